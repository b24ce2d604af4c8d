// Promise: on a real homeserver, an operator sees with `status` what is wrong with hundreds of ghosts, and mends with
// `publish` all that can be mended, also when it is stopped in the middle.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { breakGhosts, type Line, WAYS } from '../support/broken-ghosts'
import { type Holder, OTHER_PROCESS } from '../support/holders'
import { COMMAND, finish, start } from '../support/processes'
import { snapshot } from '../support/snapshot'
import { DATABASE, temporaryFolder } from '../support/stores'
import { DEVICE_ID } from './support/ghosts'
import { AS_TOKEN, type Session, Synapse } from './support/synapse'

let synapse: Synapse
let stranger: Session
let holder: Holder

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  stranger = await synapse.registerPerson('stranger')
  holder = OTHER_PROCESS.start()
})

afterAll(async () => {
  await holder.kill()
  await synapse.stop()
})

interface Result extends Line {
  status?: string
  error?: { code: string; message: string }
}

let made = 0

async function newGhosts(count: number): Promise<Line[]> {
  const folder = temporaryFolder()
  return Promise.all(
    Array.from({ length: count }, async (_, n) => ({
      user_id: await synapse.registerGhost(`_many_${made++}`),
      device_id: DEVICE_ID,
      store_path: join(folder, `${n}`),
    })),
  )
}

function list(ghosts: Line[]): string {
  const file = join(temporaryFolder(), 'ghosts.jsonl')
  writeFileSync(file, ghosts.map((ghost) => `${JSON.stringify(ghost)}\n`).join(''))
  return file
}

const begin = (command: string, ...args: string[]) =>
  start(process.execPath, [COMMAND, command, '--homeserver', synapse.url, ...args], {
    RUST_CRYPTO_HELPER_AS_TOKEN: AS_TOKEN,
  })

const run = (...args: Parameters<typeof begin>) => finish(begin(...args))

const parse = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Result)

const resultOf = (text: string, { user_id }: Line) => parse(text).find((result) => result.user_id === user_id)

test('20 broken ghosts among 200: each is named with its problem and its way out, and the 180 are published', async () => {
  const ghosts = await newGhosts(200)
  const broken = await breakGhosts(ghosts.slice(180), { url: synapse.url, token: AS_TOKEN, holder })
  expect(new Set([...broken.values()].map(({ name }) => name)).size).toBe(WAYS.length)
  const file = list(ghosts)

  const before = await run('status', '--ghosts', file, '--json')
  expect(before.code).toBe(1)
  const failed = join(temporaryFolder(), 'failed.jsonl')
  const published = await run('publish', '--ghosts', file, '--json', '--failed', failed)
  expect(published.code).toBe(1)
  const after = await run('status', '--ghosts', file, '--json')
  expect(after.code).toBe(1)

  for (const ghost of ghosts.slice(0, 180)) {
    expect(resultOf(before.stdout, ghost)).toMatchObject({ error: { code: 'NO_DEVICE' } })
    expect(resultOf(published.stdout, ghost)).toMatchObject({ status: 'created' })
    expect(resultOf(after.stdout, ghost)).toMatchObject({ status: 'verified' })
  }
  const forPeople = await run('publish', '--ghosts', failed)
  for (const [ghost, way] of broken) {
    const seen = resultOf(before.stdout, ghost)?.error?.code
    expect({ way: way.name, seen }).toEqual({ way: way.name, seen: way.status })
    const result = resultOf(published.stdout, ghost)
    if ('status' in way.publish) {
      expect({ way: way.name, status: result?.status }).toEqual({ way: way.name, status: way.publish.status })
      expect(resultOf(after.stdout, ghost)).toMatchObject({ status: 'verified' })
      continue
    }
    const { code, message } = way.publish
    expect({ way: way.name, code: result?.error?.code }).toEqual({ way: way.name, code })
    expect(result?.error?.message).toMatch(message)
    const group = forPeople.stdout.split('\n\n').find((text) => text.startsWith(`${code}: `))
    expect(group).toMatch(way.wayOut)
    expect(group).toContain(ghost.user_id)
  }
  // What failed, and nothing else, is in the list to run again with.
  const mended = [...broken].filter(([, { publish }]) => 'status' in publish).length
  expect(parse(readFileSync(failed, 'utf8'))).toHaveLength(20 - mended)
})

test.each([
  ['Ctrl-C', 'SIGINT', 130],
  ['a kill', 'SIGKILL', null],
] as const)(
  '%s in the middle, and run again: all are green, in the eyes of others, too',
  async (_, signal, code) => {
    const ghosts = await newGhosts(100)
    const file = list(ghosts)
    const child = begin('publish', '--ghosts', file, '--json')
    const ended = finish(child)
    await new Promise((printed) => child.stdout!.once('data', printed))
    await sleep(300)
    child.kill(signal)
    const first = await ended
    expect(first.code).toBe(code)
    const done = parse(first.stdout).length
    expect(done).toBeLessThan(100)

    const halfway = await run('status', '--ghosts', file, '--json')
    const verified = parse(halfway.stdout).filter(({ status }) => status === 'verified').length
    expect(verified).toBeGreaterThanOrEqual(done)
    expect(halfway.code).toBe(1)

    const second = await run('publish', '--ghosts', file, '--json')
    expect(second).toMatchObject({ code: 0, stderr: '' })
    expect(await run('status', '--ghosts', file)).toMatchObject({ code: 0 })
    const served = await synapse.queryKeysAs(stranger, ...ghosts.map(({ user_id }) => user_id))
    expect(Object.keys(served.master_keys ?? {})).toHaveLength(100)
    // What the first run said is published stays as it was.
    for (const { user_id, status } of parse(second.stdout)) {
      const before = parse(first.stdout).some((result) => result.user_id === user_id)
      if (before) expect(status).toBe('published')
    }
  },
)

test('status on stores that a running process holds: it is right, and not a byte changes in their folders', async () => {
  const ghosts = await newGhosts(30)
  expect(await run('publish', '--ghosts', list(ghosts.slice(0, 20)))).toMatchObject({ code: 0 })
  for (const { user_id, device_id, store_path } of ghosts.slice(20)) {
    await bootstrapCrossSigning(user_id, device_id, store_path)
  }
  const stores = ghosts.map(({ store_path }) => store_path)
  for (const store of stores) await holder.open(store)
  await holder.sql("INSERT INTO kv VALUES ('theirs', x'00')")
  const before = stores.map(snapshot)
  expect(Object.keys(before[0]!)).toContain(`${DATABASE}-wal`)
  for (const args of [['--ghosts', list(ghosts)], stores]) {
    const { code, stdout } = await run('status', '--json', ...args)
    expect(code).toBe(1)
    expect(parse(stdout).map(({ status, error }) => status ?? error?.code)).toEqual(
      ghosts.map((_, n) => (n < 20 ? 'verified' : 'NO_DEVICE')),
    )
  }
  expect(stores.map(snapshot)).toEqual(before)
  await holder.close()
})
