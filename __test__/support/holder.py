"""Somebody who has stores open, in a process of its own: holder.mjs without the bootstraps."""

import json
import sqlite3
import sys

databases = []


def rows(sql):
    return [row for database in databases for row in database.execute(sql).fetchall()]


def close():
    while databases:
        databases.pop().close()


for line in sys.stdin:
    request = json.loads(line)
    answer = {"id": request["id"]}
    try:
        if request["command"] == "open":
            # Without an isolation level, Python leaves transactions to us.
            databases.append(sqlite3.connect(request["file"], timeout=10, isolation_level=None))
        elif request["command"] == "sql":
            answer["value"] = rows(request["sql"])
        elif request["command"] == "close":
            close()
    except sqlite3.Error as error:
        answer["error"] = {"code": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
