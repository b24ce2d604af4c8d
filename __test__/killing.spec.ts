// Promise: a process may die at any moment of a call. The next call finds a sound store, or none.

import { type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { integrity } from './support/database'
import { finish, printed, startScript } from './support/processes'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

/** KILLS=500 for the long run. */
const KILLS = Number(process.env.KILLS ?? 100)
// A fifth of them with many stores in flight, all of which are then looked at.
const KILLS_OF_MANY = Math.ceil(KILLS / 5)
const STORES = 20

/** Kills a process `within` so many milliseconds after it has said that it is ready. */
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
  `SIGKILL at ${KILLS - KILLS_OF_MANY} random moments`,
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
    // Moments that all fall before or after the work would prove nothing.
    expect(left.folder).toBeGreaterThan(0)
    expect(left.store).toBeGreaterThan(0)
  },
  120_000 + KILLS * 1000,
)

test(
  `SIGKILL at ${KILLS_OF_MANY} random moments with ${STORES} stores in flight`,
  async () => {
    const folder = temporaryFolder()
    let unfinished = 0
    const known = new Map<string, object>()
    for (let n = 0; n < KILLS_OF_MANY; n++) {
      // Half of them new, half of them with an account that must survive.
      const stores = Array.from({ length: STORES }, (_, s) => join(folder, s % 2 ? `${s}` : `${n}-${s}`))
      const child = startScript(`
        process.stdout.write('ready')
        for (const store of ${JSON.stringify(stores)}) {
          const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', store, { reset: true })
          call().then(call)
        }
      `)
      await killed(child, 300)
      // What was under way stands in the staging folder.
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
