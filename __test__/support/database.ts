// Reads and changes the database of a store with another SQLite than the addon's: that of sql.js. It works
// in memory, on a copy of the file.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode, encode } from '@msgpack/msgpack'
import initSqlJs, { type Database } from 'sql.js'
import { DATABASE } from './stores'

// Bytes 18 and 19 of the header say how the file is written and read: 2 with a log, 1 without.
const [WRITE_VERSION, READ_VERSION, WITH_LOG, WITHOUT_LOG] = [18, 19, 2, 1] as const

async function open(folder: string): Promise<Database> {
  const bytes = readFileSync(join(folder, DATABASE))
  bytes[WRITE_VERSION] = bytes[READ_VERSION] = WITHOUT_LOG // in memory there is no log
  return new (await initSqlJs()).Database(bytes)
}

export async function query(folder: string, sql: string): Promise<unknown[][]> {
  const database = await open(folder)
  try {
    return database.exec(sql)[0]?.values ?? []
  } finally {
    database.close()
  }
}

export async function change(folder: string, sql: string, ...values: (string | Uint8Array)[]): Promise<void> {
  const database = await open(folder)
  database.run(sql, values)
  const bytes = database.export()
  database.close()
  bytes[WRITE_VERSION] = bytes[READ_VERSION] = WITH_LOG
  writeFileSync(join(folder, DATABASE), bytes)
}

export async function integrity(folder: string): Promise<unknown> {
  return (await query(folder, 'PRAGMA integrity_check'))[0]?.[0]
}

/** The value that a plain store holds under a key. */
export async function record(folder: string, key: string): Promise<Record<string, unknown>> {
  const value = (await query(folder, `SELECT value FROM kv WHERE key = '${key}'`))[0]?.[0]
  return decode(value as Uint8Array) as Record<string, unknown>
}

export async function setRecord(folder: string, key: string, value: unknown): Promise<void> {
  await change(folder, 'UPDATE kv SET value = ? WHERE key = ?', encode(value), key)
}

/** Sets a flag in a record without touching the rest of its bytes. */
export async function setFlag(folder: string, key: string, flag: string): Promise<void> {
  const value = (await query(folder, `SELECT value FROM kv WHERE key = '${key}'`))[0]?.[0]
  const bytes = Buffer.from(value as Uint8Array)
  const name = Buffer.from(encode(flag))
  const at = bytes.indexOf(name) + name.length
  expect(bytes.subarray(at, at + 1)).toEqual(Buffer.from(encode(false)))
  bytes.set(encode(true), at)
  await change(folder, 'UPDATE kv SET value = ? WHERE key = ?', bytes, key)
}

/** All rows of all tables. They do not depend on the layout of the file. */
export async function content(folder: string): Promise<unknown> {
  const database = await open(folder)
  try {
    const tables = database.exec("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")[0]
    return (tables?.values ?? []).map(([name]) => [name, database.exec(`SELECT * FROM "${String(name)}"`)])
  } finally {
    database.close()
  }
}
