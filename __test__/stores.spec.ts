// Promise: a call works on the stores of every SDK and keeps them. It changes its own rows and nothing else.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BootstrapOptions, type KeysQueryAnswer } from 'rust-crypto-helper'
import { change, integrity, query } from './support/database'
import { walk } from './support/pages'
import { differences, expectOwnRows, ownRows, rows } from './support/rows'
import {
  bootstrap,
  outcome,
  place,
  readFixture,
  SDK_STORES,
  type SdkStore,
  sdkStore,
  wrongSignatures,
} from './support/sdk-stores'
import { onlyKey } from './support/signatures'
import { DATABASE } from './support/stores'

const NAMES = SDK_STORES.map(({ file }) => file.replace('.sqlite3', ''))
const STRAY = NAMES.filter((name) => name.endsWith('-stray-cipher'))
// Stores from both ends of the range, plain and encrypted.
const SOME = ['sdk-0.9-plain', 'sdk-0.9-encrypted', 'sdk-0.18-encrypted', 'sdk-0.19-plain']

test.each(NAMES)('%s: the call returns the identity of the store, or makes the first one', async (name) => {
  const store = sdkStore(name)
  const folder = place(store)
  const before = await rows(store, folder)
  const payloads = await bootstrap(store, folder)
  expect(payloads.status).toBe(store.identity === 'complete' ? 'resumed' : 'created')
  const [, master] = onlyKey(payloads.upload_keys.master_key)
  if (store.master_key) expect(master).toBe(store.master_key)
  expect(wrongSignatures(payloads, store)).toEqual([])
  const after = await rows(store, folder)
  expectOwnRows(store, differences(before, after))

  // The device is signed now, so the second call has nothing to write.
  const file = join(folder, DATABASE)
  const { mtimeNs } = statSync(file, { bigint: true })
  const again = await outcome(store, folder)
  expect(again).toEqual({ code: 'resumed', payloads: { ...payloads, status: 'resumed' }, isChanged: false })
  expect(statSync(file, { bigint: true }).mtimeNs).toBe(mtimeNs)
})

test.each(NAMES)('%s: a reset replaces the identity and keeps everything else', async (name) => {
  const store = sdkStore(name)
  const folder = place(store)
  const before = await rows(store, folder)
  const payloads = await bootstrap(store, folder, { reset: true })
  expect(payloads.status).toBe('created')
  expect(onlyKey(payloads.upload_keys.master_key)[1]).not.toBe(store.master_key)
  expect(wrongSignatures(payloads, store)).toEqual([])
  const changed = differences(before, await rows(store, folder))
  expectOwnRows(store, changed)
  expect(changed).toEqual(expect.arrayContaining(ownRows(store).slice(0, 2)))

  expect(await outcome(store, folder)).toMatchObject({
    code: 'resumed',
    payloads: { ...payloads, status: 'resumed' },
    isChanged: false,
  })
})

test.each(STRAY)('%s: a passphrase is refused, and the plain store stays as it is', async (name) => {
  const store = sdkStore(name)
  for (const passphrase of ['', 'x']) {
    await expectRefused('STORE_PASSPHRASE', store, place(store), { passphrase })
    await expectRefused('STORE_PASSPHRASE', store, place(store), { passphrase, reset: true })
  }
})

test('the payloads of an imported identity are what the homeserver serves', async () => {
  const store = sdkStore('sdk-0.18-imported')
  const serverKeys = readFixture('sdk-0.18-imported.keys-query.json') as KeysQueryAnswer
  const { upload_keys } = await bootstrap(store, place(store))
  const { master_keys, self_signing_keys, user_signing_keys } = serverKeys
  expect(upload_keys).toEqual({
    master_key: master_keys![store.user_id],
    self_signing_key: self_signing_keys![store.user_id],
    user_signing_key: user_signing_keys![store.user_id],
  })
  const folder = place(store)
  const informed = await bootstrap(store, folder, { serverKeys })
  expect(informed.upload_keys).toEqual(upload_keys)
  expect(informed).toMatchObject({ status: 'published', missing: [], warnings: [] })
})

test.each(SOME)('%s: a schema below 9 or above 19 is refused', async (name) => {
  const store = sdkStore(name)
  for (const schema of [1, 8, 20]) {
    const folder = place(store)
    await change(folder, "UPDATE kv SET value = ? WHERE key = 'version'", Uint8Array.of(schema))
    await expectRefused('STORE_VERSION', store, folder)
    await expectRefused('STORE_VERSION', store, folder, { reset: true })
  }
})

test.each(SOME)('%s: what others made in the store stays, and their triggers do not run', async (name) => {
  const store = sdkStore(name)
  const folder = place(store)
  await change(folder, 'CREATE TABLE theirs (what TEXT)')
  await change(folder, 'INSERT INTO theirs VALUES (?)', 'a row')
  await change(folder, 'CREATE VIEW their_view AS SELECT key FROM kv')
  await change(folder, 'CREATE INDEX their_index ON kv (value)')
  for (const table of ['kv', 'identity', 'device']) {
    for (const event of ['INSERT', 'UPDATE', 'DELETE']) {
      const trigger = `their_${table}_${event}`
      const action = `INSERT INTO theirs VALUES ('${trigger}')`
      await change(folder, `CREATE TRIGGER ${trigger} AFTER ${event} ON ${table} BEGIN ${action}; END`)
    }
  }
  const before = await rows(store, folder)
  expect(await bootstrap(store, folder, { reset: true })).toMatchObject({ status: 'created' })
  expectOwnRows(store, differences(before, await rows(store, folder)))
  expect(await query(folder, 'SELECT what FROM theirs')).toEqual([['a row']])
  expect(await integrity(folder)).toBe('ok')
})

test.each(SOME)('%s: an identity without its account is refused', async (name) => {
  const store = sdkStore(name)
  const folder = place(store)
  await change(folder, "DELETE FROM kv WHERE key = 'account'")
  await expectRefused('STORE_CORRUPT', store, folder)
  await expectRefused('STORE_CORRUPT', store, folder, { reset: true })
})

test.each(SOME)('%s: a row that a damaged index hides does not count as missing', async (name) => {
  const store = sdkStore(name)
  const hidden = [
    ['kv', 'account'],
    ['kv', 'identity'],
  ]
  // Encrypted stores name users and devices by hashes.
  if (store.passphrase === undefined) hidden.push(['identity', store.user_id], ['device', store.device_id])
  for (const [table, key] of hidden) {
    const folder = place(store)
    await hide(folder, table!, key!)
    await expectRefused('STORE_CORRUPT', store, folder)
    await expectRefused('STORE_CORRUPT', store, folder, { reset: true })
  }
})

test('a public identity of other private keys than the store holds is damage', async () => {
  const store = sdkStore('sdk-0.18-plain')
  const [folder, other] = [place(store), place(store)]
  await bootstrap(store, other, { reset: true })
  const [theirs] = await query(other, 'SELECT data FROM identity')
  await change(folder, 'UPDATE identity SET data = ?', theirs![0] as Uint8Array)
  await expectRefused('STORE_CORRUPT', store, folder)
})

test('a damaged header that makes a store look empty is damage', async () => {
  const store = sdkStore('sdk-0.18-plain')
  const folder = place(store)
  const file = readFileSync(join(folder, DATABASE))
  // The first page, a leaf without cells, lists no tables.
  file.writeUInt8(13, 100)
  file.writeUInt16BE(0, 103)
  writeFileSync(join(folder, DATABASE), file)
  await expectRefused('STORE_CORRUPT', store, folder)
  await expectRefused('STORE_CORRUPT', store, folder, { reset: true })
})

test('a cipher that asks for endless key derivation is damage', async () => {
  const store = sdkStore('sdk-0.18-encrypted')
  const folder = place(store)
  const [cipher] = await query(folder, "SELECT value FROM kv WHERE key = 'cipher'")
  const damaged = Buffer.from(cipher![0] as Uint8Array)
  const rounds = damaged.indexOf('rounds') + 'rounds'.length
  expect(damaged.readUInt8(rounds)).toBe(0xce)
  damaged.writeUInt32BE(0xffffffff, rounds + 1)
  await change(folder, "UPDATE kv SET value = ? WHERE key = 'cipher'", damaged)
  await expectRefused('STORE_CORRUPT', store, folder)
})

test.each(STRAY)('%s: a cipher beside an encrypted row is not removed', async (name) => {
  const store = sdkStore(name)
  const folder = place(store)
  const encrypted = Buffer.from('\x83\xa7version\x01', 'latin1')
  await change(folder, 'INSERT INTO tracked_user VALUES (?, ?)', '@a:b', encrypted)
  await expectRefused('STORE_CORRUPT', store, folder)
  await expectRefused('STORE_CORRUPT', store, folder, { passphrase: '' })
})

/** Changes a key in the index of a table, so that a look-up by this key finds nothing. */
async function hide(folder: string, table: string, key: string): Promise<void> {
  const sql = `SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_${table}_1'`
  const [root] = await query(folder, sql)
  const file = readFileSync(join(folder, DATABASE))
  const places = [...walk(file, root![0] as number)].map(({ start, end }) => {
    const at = file.subarray(start, end).indexOf(key)
    return at < 0 ? at : start + at
  })
  const at = Math.max(...places)
  expect(at).toBeGreaterThan(0)
  file[at + 1]! ^= 1
  writeFileSync(join(folder, DATABASE), file)
}

async function expectRefused(
  code: string,
  store: SdkStore,
  folder: string,
  options?: BootstrapOptions,
): Promise<void> {
  expect(await outcome(store, folder, options)).toEqual({ code, isChanged: false })
}
