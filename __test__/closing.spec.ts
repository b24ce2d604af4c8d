// Promise: at the moment when a call settles, its store is closed.

import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import {
  DATABASE,
  DEVICE_ID,
  itOnLinux,
  itOnUnix,
  openHandles,
  temporaryFolder,
  USER_ID,
} from './support/stores'

/** Await this directly. Then no other code runs between the end of the call and the check. */
async function settled(call: Promise<unknown>, store: string) {
  const code = await call.then(
    () => 'resolved',
    (error: unknown) => (error as { code: string }).code,
  )
  return { code, handles: openHandles(store), files: readdirSync(store) }
}

const closed = (code: string) => ({ code, handles: [], files: [DATABASE] })

itOnLinux('openHandles finds an open handle', () => {
  expect(openHandles('/dev').length).toBeGreaterThan(0)
})

itOnLinux('1,000 new stores, one after another: each is closed when its call resolves', async () => {
  const folder = temporaryFolder()
  for (let n = 0; n < 1000; n++) {
    const store = join(folder, `${n}`)
    expect(await settled(bootstrapCrossSigning(USER_ID, DEVICE_ID, store), store)).toEqual(closed('resolved'))
  }
})

itOnLinux('1,000 new stores in parallel: each is closed when its call resolves', async () => {
  const folder = temporaryFolder()
  const stores = Array.from({ length: 1000 }, (_, n) => join(folder, `${n}`))
  const seen = await Promise.all(
    stores.map((store) => settled(bootstrapCrossSigning(USER_ID, DEVICE_ID, store), store)),
  )
  expect(seen).toEqual(stores.map(() => closed('resolved')))
})

itOnLinux('1,000 rejected calls, also in parallel: each store is closed when its call rejects', async () => {
  const folder = temporaryFolder()
  const stores = Array.from({ length: 20 }, (_, n) => join(folder, `${n}`))
  await Promise.all(stores.map((store) => bootstrapCrossSigning(USER_ID, DEVICE_ID, store)))
  const refusals = [
    ['ACCOUNT_MISMATCH', (store: string) => bootstrapCrossSigning('@_other:example.org', DEVICE_ID, store)],
    [
      'STORE_PASSPHRASE',
      (store: string) => bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { passphrase: 'wrong' }),
    ],
  ] as const
  for (let n = 0; n < 500; n++) {
    const store = stores[n % stores.length]!
    const [code, call] = refusals[n % 2]!
    expect(await settled(call(store), store)).toEqual(closed(code))
  }
  const seen = await Promise.all(
    Array.from({ length: 500 }, (_, n) => {
      // Each call has a store of its own. In a common store, another call could have a handle open now.
      const store = join(folder, `rejected-${n}`)
      return bootstrapCrossSigning(USER_ID, DEVICE_ID, store).then(() =>
        settled(refusals[n % 2]![1](store), store),
      )
    }),
  )
  expect(seen).toEqual(seen.map((_, n) => closed(refusals[n % 2]![0])))
})

test('the folder can be moved and removed as soon as the call resolves', async () => {
  const folder = temporaryFolder()
  const store = join(folder, 'store')
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  renameSync(store, `${store}-moved`)
  rmSync(`${store}-moved`, { recursive: true })
  expect(readdirSync(folder)).toEqual([])
})

itOnUnix('new folders and the database are readable for their owner alone, whatever the umask', async () => {
  const folder = temporaryFolder()
  const umask = process.umask(0)
  try {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(folder, 'data', 'crypto', 'ghost'))
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(folder, 'encrypted'), { passphrase: 'secret' })
  } finally {
    process.umask(umask)
  }
  const mode = (...path: string[]) => (statSync(join(folder, ...path)).mode & 0o777).toString(8)
  for (const path of [['data'], ['data', 'crypto'], ['data', 'crypto', 'ghost'], ['encrypted']]) {
    expect(mode(...path)).toBe('700')
  }
  expect(mode('data', 'crypto', 'ghost', DATABASE)).toBe('600')
  expect(mode('encrypted', DATABASE)).toBe('600')
})

itOnUnix("the caller's own files in the folder stay as they are", async () => {
  const store = join(temporaryFolder(), 'store')
  mkdirSync(store, { mode: 0o755 })
  writeFileSync(join(store, '.device_id'), DEVICE_ID, { mode: 0o640 })
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(readdirSync(store).sort()).toEqual(['.device_id', DATABASE])
  expect(statSync(join(store, '.device_id')).mode & 0o777).toBe(0o640)
  expect(statSync(store).mode & 0o777).toBe(0o755)
})
