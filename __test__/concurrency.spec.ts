// Promise: calls for one store queue up, by any spelling of its path. Calls for different stores run side
// by side.

import { mkdirSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { Disk, mountedTwice } from './support/disks'
import { itWith } from './support/needs'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

test('50 calls for one new store, by three spellings of its path, make one identity', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'real'))
  symlinkSync(join(folder, 'real'), join(folder, 'link'))
  const spellings = [
    join(folder, 'real', 'new', 'store'),
    `${join(folder, 'link', 'new', 'store')}/`,
    relative(process.cwd(), join(folder, 'real', 'new', 'store')),
  ]
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      bootstrapCrossSigning(USER_ID, DEVICE_ID, spellings[n % spellings.length]!),
    ),
  )
  expect(new Set(results.map(({ upload_keys }) => JSON.stringify(upload_keys))).size).toBe(1)
  expect(results.filter(({ status }) => status === 'created')).toHaveLength(1)
})

itWith(Disk.cannotMount())('calls for one store queue up through a bind mount, too', async () => {
  const store = join(temporaryFolder(), 'store')
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  for (const place of mountedTwice(store)) {
    const calls = Array.from({ length: 50 }, (_, n) =>
      // A call that did not wait for its turn would find the folder locked, and not wait for that either.
      bootstrapCrossSigning(USER_ID, DEVICE_ID, n % 2 ? store : place, { reset: true, busyTimeout: 0 }),
    )
    const statuses = (await Promise.all(calls)).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set(['created']))
  }
})

test('a relative path is resolved against the working directory at the time of the call', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'elsewhere'))
  const before = process.cwd()
  process.chdir(folder)
  let call
  try {
    call = bootstrapCrossSigning(USER_ID, DEVICE_ID, 'store')
    process.chdir('elsewhere')
    await call
  } finally {
    process.chdir(before)
  }
  const again = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(folder, 'store'))
  expect(again.status).toBe('resumed')
})

test('a failed call does not harm the calls behind it in the queue', async () => {
  const store = join(temporaryFolder(), 'store')
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0
        ? bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
        : bootstrapCrossSigning('@_other:example.org', DEVICE_ID, store),
    ),
  )
  expect(outcomes.map(({ status }) => status)).toEqual(
    outcomes.map((_, n) => (n % 2 === 0 ? 'fulfilled' : 'rejected')),
  )
})

test('the event loop stays free', async () => {
  const folder = temporaryFolder()
  let ticks = 0
  const ticking = setInterval(() => ticks++, 1)
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => bootstrapCrossSigning(USER_ID, DEVICE_ID, join(folder, `${n}`))),
  )
  clearInterval(ticking)
  // If the work ran on the event loop, the timer would not fire before its end.
  expect(ticks).toBeGreaterThan(10)
})
