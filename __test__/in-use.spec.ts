// Promise: a call waits for a store that somebody else has open, then rejects, and has touched nothing.
// Nobody loses data, whoever opens the store first. The holder is the one who has it open.

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { integrity, query } from './support/database'
import { type Holder, OTHER_PROCESS, SAME_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { finish, printed, startScript } from './support/processes'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

// What a busy machine may add to a wait. An idle machine adds a few milliseconds.
const LATE = 5000

let store: string
let holder: Holder | undefined

beforeEach(() => {
  store = join(temporaryFolder(), 'store')
})

afterEach(async () => {
  await holder?.kill()
  holder = undefined
})

/** The locks of a process on some files. Under load /proc/locks can name a lock twice, or leave one out. */
function locksOf(pid: number, inodes: number[]): string[] {
  const read = () => {
    const lines = readFileSync('/proc/locks', 'utf8').split('\n')
    const own = lines
      .map((line) => line.replace(/^\d+: /, ''))
      .filter((line) => line.includes(` ${pid} `) && inodes.some((inode) => line.includes(`:${inode} `)))
    return [...new Set(own)].sort()
  }
  return Array.from({ length: 5 }, read).sort((a, b) => b.length - a.length)[0]!
}

/** What would change for a holder: the locks and the files of the store. */
function observe(pid: number) {
  const names = readdirSync(store)
  const inodes = [store, ...names.map((name) => join(store, name))].map((file) => statSync(file).ino)
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(store, name)))
      .digest('hex')
  return {
    locks: locksOf(pid, inodes),
    files: Object.fromEntries(names.map((name) => [name, hash(name)])),
  }
}

async function refusal(call: () => Promise<CrossSigningBootstrap>) {
  const started = performance.now()
  const error = await call().then(
    () => ({ code: 'resolved', message: '' }),
    (error: unknown) => error as { code: string; message: string },
  )
  return { code: error.code, message: error.message, elapsed: performance.now() - started }
}

const ROWS = 'SELECT n FROM holders_own ORDER BY n'

const STATES = [
  ['idle', [], []],
  ['in the middle of a write', ['BEGIN IMMEDIATE', 'INSERT INTO holders_own VALUES (2)'], ['COMMIT']],
  ['in the middle of a read', ['BEGIN', ROWS], ['COMMIT']],
] as const

describe.each([SAME_PROCESS, OTHER_PROCESS])('a store that is open in $who', (kind) => {
  const itWithHolder = itWith(process.platform === 'linux' ? kind.missing : 'only Linux has /proc/locks')

  for (const [state, before, after] of STATES) {
    itWithHolder(`${state}: the call rejects after busyTimeout, and touches and loses nothing`, async () => {
      const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
      holder = kind.start()
      await holder.open(store)
      await holder.sql('CREATE TABLE holders_own (n INTEGER)')
      await holder.sql('INSERT INTO holders_own VALUES (1)')
      for (const sql of before) await holder.sql(sql)

      const seen = observe(holder.pid)
      expect(seen.locks.length).toBeGreaterThan(0)
      expect(statSync(join(store, `${DATABASE}-wal`)).size).toBeGreaterThan(0)
      for (const options of [{ busyTimeout: 500 }, { busyTimeout: 500, reset: true }]) {
        const { code, message, elapsed } = await refusal(() => holder!.bootstrap(store, options))
        expect(code).toBe('STORE_IN_USE')
        expect(message).toContain(store)
        expect(elapsed).toBeGreaterThanOrEqual(499) // timers round down
        expect(elapsed).toBeLessThan(500 + LATE)
        expect(observe(holder.pid)).toEqual(seen)
      }

      for (const sql of after) await holder.sql(sql)
      await holder.sql('INSERT INTO holders_own VALUES (3)')
      await holder.close()
      const again = await holder.bootstrap(store)
      expect(again).toEqual({ ...first, status: 'resumed' })
      expect(await query(store, ROWS)).toEqual(state.includes('write') ? [[1], [2], [3]] : [[1], [3]])
      expect(await integrity(store)).toBe('ok')
      expect(readdirSync(store)).toEqual([DATABASE])
    })
  }

  itWithHolder('closed after a second: the call waits until then and resolves', async () => {
    const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    holder = kind.start()
    await holder.open(store)
    await holder.sql('CREATE TABLE holders_own (n INTEGER)')
    const call = holder.bootstrap(store)
    const settled = jest.fn()
    void call.then(settled, settled)
    await sleep(1000)
    expect(settled).not.toHaveBeenCalled()
    await holder.close()
    expect(await call).toEqual({ ...first, status: 'resumed' })
    expect(await query(store, ROWS)).toEqual([])
  })

  itWithHolder('busyTimeout 0: the call rejects at once', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    holder = kind.start()
    await holder.open(store)
    await holder.sql('SELECT count(*) FROM kv')
    const { code, elapsed } = await refusal(() => holder!.bootstrap(store, { busyTimeout: 0 }))
    expect(code).toBe('STORE_IN_USE')
    expect(elapsed).toBeLessThan(LATE)
  })

  itWithHolder('a database that the holder makes during the bootstrap of a new store stays', async () => {
    holder = kind.start()
    for (let n = 0; n < 10; n++) {
      const contested = join(store, `${n}`)
      mkdirSync(contested, { recursive: true })
      const call = refusal(() => holder!.bootstrap(contested, { busyTimeout: 0 }))
      await sleep(n)
      await holder.open(contested)
      await holder.sql('CREATE TABLE holders_own (n INTEGER)')
      await holder.sql('INSERT INTO holders_own VALUES (1)')
      // Either may come first. If the call finds the holder's database, that is not a crypto store.
      expect(['resolved', 'STORE_IN_USE', 'STORE_CORRUPT']).toContain((await call).code)
      await holder.close()
      expect(await query(contested, ROWS)).toEqual([[1]])
      expect(await integrity(contested)).toBe('ok')
    }
  })
})

describe('while calls wait', () => {
  const itWithHolder = itWith(OTHER_PROCESS.missing)

  itWithHolder('for ten stores in use, neither the event loop nor other stores have to wait', async () => {
    const held = Array.from({ length: 10 }, (_, n) => join(store, `held-${n}`))
    await Promise.all(held.map((path) => bootstrapCrossSigning(USER_ID, DEVICE_ID, path)))
    holder = OTHER_PROCESS.start()
    for (const path of held) await holder.open(path)
    await holder.sql('SELECT count(*) FROM kv')

    let ticks = 0
    const ticking = setInterval(() => ticks++, 10)
    let refused = 0
    const waiting = held.map(async (path) => {
      const { code } = await refusal(() =>
        bootstrapCrossSigning(USER_ID, DEVICE_ID, path, { busyTimeout: 3000 }),
      )
      refused++
      return code
    })
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        bootstrapCrossSigning(USER_ID, DEVICE_ID, join(store, `free-${n}`)),
      ),
    )
    expect(refused).toBe(0)
    expect(await Promise.all(waiting)).toEqual(held.map(() => 'STORE_IN_USE'))
    clearInterval(ticking)
    // An idle machine gives 300 ticks. A blocked event loop gives none.
    expect(ticks).toBeGreaterThan(50)
  })

  itWithHolder(
    'another process that opens and closes the store again and again loses nothing, and neither do the calls',
    async () => {
      const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
      holder = OTHER_PROCESS.start()
      await holder.open(store)
      await holder.sql('CREATE TABLE holders_own (n INTEGER)')
      await holder.close()

      let done = false
      const resets = async () => {
        let master = first.upload_keys.master_key
        let count = 0
        for (; !done; count++) {
          const options = { reset: true, busyTimeout: 60_000 }
          master = (await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)).upload_keys.master_key
          // Without a pause the other process hardly ever finds the store free.
          await sleep(Math.random() * 20)
        }
        return { master, count }
      }
      const writes = async () => {
        for (let n = 0; n < 100; n++) {
          await holder!.open(store)
          await holder!.sql(`INSERT INTO holders_own VALUES (${n})`)
          await holder!.close()
          // Long enough for a reset to begin in between.
          await sleep(Math.random() * 40)
        }
        done = true
      }
      const [{ master, count }] = await Promise.all([resets(), writes()])
      expect(count).toBeGreaterThan(20)
      expect(await query(store, ROWS)).toEqual(Array.from({ length: 100 }, (_, n) => [n]))
      const last = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
      expect(last.upload_keys.master_key).toEqual(master)
      expect(last.upload_device_keys!.device_keys.keys).toEqual(first.upload_device_keys!.device_keys.keys)
      expect(await integrity(store)).toBe('ok')
    },
  )
})

test('8 processes with 25 calls each, in parallel, for the same 10 new stores make one identity per store', async () => {
  const stores = Array.from({ length: 10 }, (_, n) => join(store, `${n}`))
  const children = Array.from({ length: 8 }, (_, process) =>
    startScript(`
      const stores = ${JSON.stringify(stores)}
      process.stdout.write('ready')
      process.stdin.once('data', async () => {
        const calls = Array.from({ length: 25 }, async (_, n) => {
          const store = (n + ${process}) % stores.length
          // Longer than all calls for one store take on a busy machine.
          const options = { busyTimeout: 60000 }
          const { status, upload_keys } = await bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', stores[store], options)
          return { store, status, keys: JSON.stringify(upload_keys) }
        })
        console.log('\\n' + JSON.stringify(await Promise.all(calls)))
        process.exit()
      })
    `),
  )
  const finished = children.map(finish)
  await Promise.all(children.map(printed))
  for (const child of children) child.stdin?.write('go')

  interface Outcome {
    store: number
    status: string
    keys: string
  }
  const outcomes = (await Promise.all(finished)).flatMap(({ code, stdout, stderr }) => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return JSON.parse(stdout.replace('ready', '')) as Outcome[]
  })
  expect(outcomes).toHaveLength(200)
  for (const [n, path] of stores.entries()) {
    const here = outcomes.filter((outcome) => outcome.store === n)
    expect(new Set(here.map(({ keys }) => keys)).size).toBe(1)
    expect(here.filter(({ status }) => status === 'created')).toHaveLength(1)
    expect(await integrity(path)).toBe('ok')
    expect(readdirSync(path)).toEqual([DATABASE])
  }
})
