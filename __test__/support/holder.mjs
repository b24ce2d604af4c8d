// A holder has stores open. This one is in a process that bootstraps, too: it uses the SQLite of node:sqlite
// beside the SQLite of the addon. It reads one JSON command per line and writes one JSON answer per line.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'

const { bootstrapCrossSigning, inspectStore } = createRequire(import.meta.url)('../..')
const databases = []

const commands = {
  open: ({ file }) => void databases.push(new DatabaseSync(file)),
  sql: ({ sql }) => databases.flatMap((database) => database.prepare(sql).all().map(Object.values)),
  close: () => databases.splice(0).forEach((database) => database.close()),
  bootstrap: ({ args }) => bootstrapCrossSigning(...args),
  inspect: ({ args }) => inspectStore(...args),
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, ...parameters } = JSON.parse(line)
  const answer = await Promise.resolve()
    .then(() => commands[command](parameters))
    .then(
      (value) => ({ id, value }),
      ({ code, message }) => ({ id, error: { code, message } }),
    )
  process.stdout.write(`${JSON.stringify(answer)}\n`)
})
