// What a store holds, row by row, and which of its rows a call may write.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { content, query } from './database'
import { type SdkStore } from './sdk-stores'
import { DATABASE } from './stores'

/** The rows that a call may write, as `differences` names them. */
export function ownRows({ identity, user_id, device_id, passphrase, file }: SdkStore): string[] {
  const [user, device] = passphrase === undefined ? [user_id, device_id] : ['*', '*']
  const how = identity === 'complete' ? 'changed' : 'added'
  const own = [`kv identity: ${how}`, `identity ${user}: ${how}`, `device ${user} ${device}: changed`]
  return file.includes('stray-cipher') ? [...own, 'kv cipher: removed'] : own
}

/** Checks that no other row has changed, none of them twice, and that a stray cipher is removed. */
export function expectOwnRows(store: SdkStore, changed: string[]): void {
  const own = ownRows(store)
  expect(changed.filter((row, n) => !own.includes(row) || changed.indexOf(row) < n)).toEqual([])
  expect(changed.includes('kv cipher: removed')).toBe(own.includes('kv cipher: removed'))
}

interface Row {
  name: string
  id: string
  value: string
}

/** All rows of a store, its schema, and its settings from the header of the database. */
export async function rows({ passphrase }: SdkStore, folder: string): Promise<Row[]> {
  const tables = (await content(folder)) as [table: string, [{ values: unknown[][] }?]][]
  const schema = await query(folder, 'SELECT * FROM sqlite_master')
  const found = [...tables, ['sqlite_master', [{ values: schema }]] as const].flatMap(([table, [result]]) =>
    (result?.values ?? []).map((row): Row => {
      const columns = row.map((value) =>
        value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : JSON.stringify(value),
      )
      const hasKey = ['kv', 'identity', 'device'].includes(table)
      const key = hasKey ? columns.slice(0, -1) : columns
      // Encrypted stores name users and devices by hashes.
      const shown = passphrase !== undefined && table !== 'kv' && hasKey ? key.map(() => '*') : key
      const value = hasKey ? columns.at(-1)! : ''
      return { name: [table, ...shown].join(' ').replaceAll('"', ''), id: [table, ...key].join('\0'), value }
    }),
  )
  expect(new Set(found.map(({ id }) => id)).size).toBe(found.length)
  const header = readFileSync(join(folder, DATABASE)).subarray(0, 72)
  const settings = [header.subarray(16, 24), header.subarray(40)].map((part) => part.toString('hex')).join()
  return [...found, { name: 'settings', id: 'settings', value: settings }]
}

export function differences(before: Row[], after: Row[]): string[] {
  const [earlier, later] = [before, after].map((rows) => new Map(rows.map((row) => [row.id, row.value])))
  const removed = before.filter(({ id }) => !later!.has(id)).map(({ name }) => `${name}: removed`)
  const added = after.filter(({ id }) => !earlier!.has(id)).map(({ name }) => `${name}: added`)
  const changed = after.filter(({ id, value }) => earlier!.has(id) && earlier!.get(id) !== value)
  return [...removed, ...added, ...changed.map(({ name }) => `${name}: changed`)]
}
