// Promise: a process may die at any moment of a call. The next call finds a whole store, or none.

import { type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { integrity } from './support/database'
import { finish, printed, ROOT, startScript } from './support/processes'
import { differences, expectOwnRows, rows } from './support/rows'
import { bootstrap, place, SDK_STORES, wrongSignatures } from './support/sdk-stores'
import { onlyKey } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

/** KILLS=500 is the full size. */
const KILLS = Number(process.env.KILLS ?? 100)
// A fifth of the kills hit a process that works on many stores. All of these stores are then checked.
const KILLS_OF_MANY = Math.ceil(KILLS / 5)
const STORES = 20

/** Kills a process at a random moment, at most `within` milliseconds after it has printed something. */
async function killed(child: ChildProcess, within: number): Promise<void> {
  const finished = finish(child)
  await printed(child)
  await sleep(Math.random() * within)
  child.kill('SIGKILL')
  await finished
}

async function expectSound(store: string) {
  const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(await integrity(store)).toBe('ok')
  expect(readdirSync(store)).toEqual([DATABASE])
  return payloads
}

test(
  `a process may die at any moment of a call: SIGKILL at ${KILLS - KILLS_OF_MANY} random moments`,
  async () => {
    const folder = temporaryFolder()
    const left = { nothing: 0, folder: 0, store: 0 }
    for (let n = KILLS_OF_MANY; n < KILLS; n++) {
      const store = join(folder, `${n}`)
      const child = startScript(`
        process.stdout.write('ready')
        const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(store)}, { reset: true })
        call().then(call).then(call)
      `)
      await killed(child, 40)
      left[existsSync(join(store, DATABASE)) ? 'store' : existsSync(store) ? 'folder' : 'nothing']++
      await expectSound(store)
    }
    // If all kills came before or after the work, the test would prove nothing.
    expect(left.folder).toBeGreaterThan(0)
    expect(left.store).toBeGreaterThan(0)
  },
  120_000 + KILLS * 1000,
)

test(
  `a process may die while it works on ${STORES} stores: SIGKILL at ${KILLS_OF_MANY} random moments`,
  async () => {
    const folder = temporaryFolder()
    let unfinished = 0
    const known = new Map<string, object>()
    for (let n = 0; n < KILLS_OF_MANY; n++) {
      // Half of the stores are new. The other half have an account that must survive.
      const stores = Array.from({ length: STORES }, (_, s) => join(folder, s % 2 ? `${s}` : `${n}-${s}`))
      const child = startScript(`
        process.stdout.write('ready')
        for (const store of ${JSON.stringify(stores)}) {
          const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', store, { reset: true })
          call().then(call)
        }
      `)
      await killed(child, 300)
      // Unfinished work on an existing store leaves a log beside the database.
      unfinished += stores.filter((store) => existsSync(store) && readdirSync(store).length > 1).length
      for (const store of stores) {
        const { upload_device_keys } = await expectSound(store)
        const device = upload_device_keys!.device_keys.keys
        if (known.has(store)) expect(device).toEqual(known.get(store))
        known.set(store, device)
      }
    }
    expect(unfinished).toBeGreaterThan(0)
  },
  120_000 + KILLS * 1000,
)

const KILLS_WITH_A_THOUSAND = Math.ceil(KILLS / 50)

test.each(['a process is killed', 'a worker thread is terminated'])(
  `%s with 1,000 calls in flight, at ${KILLS_WITH_A_THOUSAND} random moments: every store is whole or absent`,
  async (end) => {
    const folder = temporaryFolder()
    let [whole, absent] = [0, 0]
    for (let n = 0; n < KILLS_WITH_A_THOUSAND; n++) {
      const stores = Array.from({ length: 1000 }, (_, s) => join(folder, `${n}`, `${s}`))
      const calls = `for (const store of ${JSON.stringify(stores)})
          bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', store).catch((error) => console.log(error))
        process.stdout.write('ready')`
      const inWorker = `const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)});${calls}`
      const child = startScript(
        end.startsWith('a process')
          ? calls
          : `const { Worker } = require('node:worker_threads')
             const worker = new Worker(${JSON.stringify(inWorker)}, { eval: true })
             process.stdin.once('data', () => worker.terminate().then(() => process.exit()))`,
      )
      const finished = finish(child)
      await printed(child)
      await sleep(Math.random() * 1000)
      if (end.startsWith('a process')) child.kill('SIGKILL')
      else child.stdin?.write('end')
      await finished

      for (const store of stores) {
        const wasThere = existsSync(join(store, DATABASE))
        if (wasThere) expect((await expectSound(store)).status).toBe('resumed')
        else if (existsSync(store)) expect((await expectSound(store)).status).toBe('created')
        whole += Number(wasThere)
        absent += Number(!wasThere)
      }
    }
    expect(whole).toBeGreaterThan(0)
    expect(absent).toBeGreaterThan(0)
  },
  120_000 + KILLS * 1000,
)

test(
  `SIGKILL at ${KILLS} random moments while stores of every SDK are reset and resumed: the identity is the one before or after, and everything else stays`,
  async () => {
    // On the disk: in memory a write is too short to be hit.
    const disk = temporaryFolder()
    let [ended, atWork] = [0, 0]
    for (let n = 0; n < KILLS; n++) {
      const store = SDK_STORES[n % SDK_STORES.length]!
      const folder = place(store, join(disk, `${n}`))
      const before = await rows(store, folder)
      const args = [store.user_id, store.device_id, folder]
      const passphrase = store.passphrase === undefined ? {} : { passphrase: store.passphrase }
      const child = startScript(`
        const call = (options) => bootstrapCrossSigning(...${JSON.stringify(args)}, { ...options, ...${JSON.stringify(passphrase)} })
        const print = ({ upload_keys }) => require('node:fs').writeSync(1, Object.values(upload_keys.master_key.keys)[0] + '\\n')
        const loop = async () => { for (;;) for (const reset of [false, true]) print(await call({ reset })) }
        loop()
      `)
      let output = ''
      child.stdout!.on('data', (data: Buffer) => (output += data.toString()))
      await killed(child, store.passphrase === undefined ? 40 : 400)
      atWork += readdirSync(folder).length > 1 ? 1 : 0

      const payloads = await bootstrap(store, folder)
      expect(payloads.status).toBe('resumed')
      expect(wrongSignatures(payloads, store)).toEqual([])
      expect(await integrity(folder)).toBe('ok')
      expect(readdirSync(folder)).toEqual([DATABASE])
      expectOwnRows(store, differences(before, await rows(store, folder)))
      // A call that had not resolved may have made another identity.
      if (output.trim().split('\n').at(-1) === onlyKey(payloads.upload_keys.master_key)[1]) ended++
    }
    // Moments that are all between two calls would prove nothing.
    expect(atWork).toBeGreaterThan(KILLS / 20)
    expect(ended).toBeGreaterThan(0)
  },
  120_000 + KILLS * 2000,
)
