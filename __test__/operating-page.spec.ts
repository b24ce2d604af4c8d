// Promise: docs/operating.md leads from red to green: its commands, in their order, print what the page says.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { change } from './support/database'
import { AS_TOKEN, Homeserver } from './support/homeserver'
import { OTHER_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { COMMAND, finish, ROOT, start } from './support/processes'
import { temporaryFolder } from './support/stores'

const PAGE = readFileSync(join(ROOT, 'docs', 'operating.md'), 'utf8')
// As the page has them.
const [URL_OF_PAGE, FOLDER_OF_PAGE] = ['http://localhost:8008', '/srv/bridge']

interface Step {
  command: string
  output: string
}

const blocks = (language: string) =>
  Array.from(PAGE.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms')), ([, block]) => block!)

/** The commands of the page, each with what it prints. */
function steps(): Step[] {
  return blocks('console').flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const [command = '', ...output] = step.split('\n')
        return { command, output: output.join('\n') }
      }),
  )
}

/** A store of a bridge that knows nothing of cross-signing, whose device keys are uploaded. */
async function makeStore(homeserver: Homeserver, userId: string, deviceId: string, store: string) {
  const { upload_device_keys } = await bootstrapCrossSigning(userId, deviceId, store)
  const { device_keys } = upload_device_keys!
  const own = Object.entries(device_keys.signatures[userId]!).filter(([id]) => id.endsWith(`:${deviceId}`))
  const keys = { ...device_keys, signatures: { [userId]: Object.fromEntries(own) } }
  homeserver.logIn(userId, deviceId)
  homeserver.user(userId).deviceKeys.set(deviceId, keys)
  await change(store, "DELETE FROM kv WHERE key = 'identity'")
  await change(store, 'DELETE FROM identity')
}

/** The bridge of the page. */
async function makeBridge(homeserver: Homeserver): Promise<string> {
  const folder = temporaryFolder()
  const [list] = blocks('json')
  writeFileSync(join(folder, 'ghosts.jsonl'), list!)
  writeFileSync(join(folder, 'registration.yaml'), `id: irc\nas_token: ${AS_TOKEN}\n`)
  mkdirSync(join(folder, 'crypto'))
  for (const line of list!.trim().split('\n')) {
    const ghost = JSON.parse(line) as { user_id: string; device_id: string; store_path: string }
    const store = join(folder, ghost.store_path)
    if (ghost.user_id.includes('frank')) continue
    homeserver.register(ghost.user_id)
    if (!ghost.user_id.includes('erin')) {
      await makeStore(homeserver, ghost.user_id, ghost.device_id, store)
      continue
    }
    const publisher = new CrossSigningPublisher({ homeserverUrl: homeserver.url, asToken: AS_TOKEN })
    await publisher.publish(ghost.user_id, ghost.device_id, store)
    mkdirSync(join(folder, 'backup'))
    renameSync(store, join(folder, 'backup', 'erin'))
  }
  return folder
}

/** What a terminal shows in the end: a bar is drawn over itself. */
const shown = (text: string) =>
  text
    .split(/\r?\n/)
    // eslint-disable-next-line no-control-regex
    .map((line) => line.split('\x1b[1G').findLast((part) => part.replace(/\x1b\S{1,3}/g, '') !== '') ?? '')
    .join('\n')
    // eslint-disable-next-line no-control-regex
    .replace(/\x1b(\[[\d;?]*[A-Za-z]|[78])/g, '')

/** Without what is different each time: keys, times, and where lines are broken. */
const comparable = (text: string) =>
  text
    .replace(/\s+/g, ' ')
    .replace(/[\w+/]{43}\b/g, 'KEY')
    .replace(/\d+(\.\d+)?\/s, \d+ s left/g, 'RATE')
    .replace(/ in \d+ s: /g, ' in TIME: ')
    .trim()

itWith(OTHER_PROCESS.missing)('the commands print what the page says', async () => {
  const homeserver = await Homeserver.start()
  homeserver.register('@_service:example.org')
  const folder = await makeBridge(homeserver)
  const programs = join(temporaryFolder(), 'bin')
  mkdirSync(programs)
  writeFileSync(
    join(programs, 'rust-crypto-helper'),
    `#!/bin/sh\nexec '${process.execPath}' '${COMMAND}' "$@"\n`,
    {
      mode: 0o755,
    },
  )
  const here = (text: string) => text.replaceAll(URL_OF_PAGE, homeserver.url)
  const there = (text: string) =>
    text.replaceAll(homeserver.url, URL_OF_PAGE).replaceAll(folder, FOLDER_OF_PAGE)

  const exported: string[] = []
  const codes: [string, number | null][] = []
  expect(steps().length).toBeGreaterThan(6)
  for (const { command, output } of steps()) {
    const script = [...exported, here(command)].join('\n')
    if (command.startsWith('export ')) exported.push(command)
    const terminal = join(__dirname, 'support', 'in-terminal.py')
    const child = start(
      'python3',
      [terminal, 'bash', '-c', script],
      { PATH: `${programs}:${process.env.PATH}`, TERM: 'xterm-256color', RUST_CRYPTO_HELPER_AS_TOKEN: '' },
      { cwd: folder },
    )
    const { code, stdout } = await finish(child)
    expect([command, comparable(there(shown(stdout)))]).toEqual([command, comparable(output)])
    codes.push([command.split(' ').slice(0, 2).join(' '), code])
  }
  await homeserver.stop()
  expect(codes.filter(([command]) => command.startsWith('rust-crypto-helper'))).toEqual([
    ['rust-crypto-helper status', 1],
    ['rust-crypto-helper publish', 1],
    ['rust-crypto-helper publish', 1],
    ['rust-crypto-helper publish', 1],
    ['rust-crypto-helper status', 0],
  ])
})
