"""Fills a crypto store with room keys until its database has a size.

    python3 grow.py DATABASE BYTES

The keys are random bytes: no call that is measured reads them.
"""

import base64
import os
import sqlite3
import sys

AT_ONCE = 8  # rows between two looks at the size
DATA = 1900  # bytes
ROOMS = 100
SENDER_KEY = b"A" * 43

path, size = sys.argv[1], int(sys.argv[2])
database = sqlite3.connect(path, isolation_level=None)


def pragma(name):
    return database.execute(f"PRAGMA {name}").fetchone()[0]


def row():
    session_id = base64.b64encode(os.urandom(32)).rstrip(b"=")
    room_id = b"!room%d:example.org" % (session_id[0] % ROOMS)
    return session_id, room_id, 0, os.urandom(DATA), SENDER_KEY, 1


if pragma("journal_mode") != "wal":
    sys.exit("not the log of the SDK")

page_size = pragma("page_size")
database.execute("PRAGMA cache_size = -500000")  # KiB: the index is written once
database.execute("BEGIN")
while pragma("page_count") * page_size < size:
    database.executemany(
        "INSERT INTO inbound_group_session (session_id, room_id, backed_up, data, sender_key, sender_data_type)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [row() for _ in range(AT_ONCE)],
    )
database.execute("COMMIT")
database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
database.close()
