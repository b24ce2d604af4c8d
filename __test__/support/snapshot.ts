// What a file system knows of a folder, to tell whether anything in it was made, changed or removed.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export function snapshot(folder: string): Record<string, Record<string, string>> {
  const names = readdirSync(folder)
  return Object.fromEntries(
    ['.', ...names].map((name) => {
      const path = join(folder, name)
      const { ino, nlink, size, mode, uid, gid, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
      const hash = name === '.' ? '' : createHash('sha256').update(readFileSync(path)).digest('hex')
      // Whenever root opens a log, SQLite sets its owner, to whom it has already.
      const changed = name.endsWith('-wal') && process.getuid?.() === 0 ? 0n : ctimeNs
      const numbers = Object.entries({ ino, nlink, size, mode, uid, gid, mtimeNs, changed })
      return [name, { hash, ...Object.fromEntries(numbers.map(([key, value]) => [key, value.toString()])) }]
    }),
  )
}
