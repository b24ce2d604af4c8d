// Promise: a process may die at any moment of a call. The next call finds a sound store, or none.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { integrity } from './support/database'
import { finish, startScript } from './support/processes'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const KILLS = 100

test(`SIGKILL at ${KILLS} random moments`, async () => {
  const folder = temporaryFolder()
  const left = { nothing: 0, folder: 0, store: 0 }
  for (let n = 0; n < KILLS; n++) {
    const store = join(folder, `${n}`)
    const child = startScript(`
      process.stdout.write('ready')
      const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(store)}, { reset: true })
      call().then(call).then(call)
    `)
    const finished = finish(child)
    await new Promise((ready) => child.stdout?.once('data', ready))
    await new Promise((moment) => setTimeout(moment, Math.random() * 40))
    child.kill('SIGKILL')
    await finished

    left[existsSync(join(store, DATABASE)) ? 'store' : existsSync(store) ? 'folder' : 'nothing']++
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    expect(await integrity(store)).toBe('ok')
    expect(readdirSync(store)).toEqual([DATABASE])
  }
  // Moments that all fall before or after the work would prove nothing.
  expect(left.folder).toBeGreaterThan(0)
  expect(left.store).toBeGreaterThan(0)
})
