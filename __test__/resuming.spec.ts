// Promise: a store keeps its identity. The same call gives the same keys, unless `reset` asks for new ones.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { change, setFlag } from './support/database'
import { runScript } from './support/processes'
import { isSignedBy, onlyKey } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

let store: string

beforeEach(() => {
  store = join(temporaryFolder(), 'store')
})

test('a second call resumes the identity, with the same keys byte for byte', async () => {
  const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(second.status).toBe('resumed')
  expect(JSON.stringify(second.upload_keys)).toBe(JSON.stringify(first.upload_keys))
  expect({ ...second, status: 'created' }).toEqual(first)
})

test('a call in another process resumes the identity, with the same keys byte for byte', async () => {
  const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  const { stdout } = await runScript(
    `bootstrapCrossSigning(${JSON.stringify(USER_ID)}, ${JSON.stringify(DEVICE_ID)}, ${JSON.stringify(store)})
       .then((payloads) => console.log(JSON.stringify(payloads)))`,
  )
  const second = JSON.parse(stdout) as CrossSigningBootstrap
  expect(second.status).toBe('resumed')
  expect(JSON.stringify(second.upload_keys)).toBe(JSON.stringify(first.upload_keys))
})

test('resuming does not change the file', async () => {
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  const before = readFileSync(join(store, DATABASE))
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(readFileSync(join(store, DATABASE)).equals(before)).toBe(true)
})

test('reset makes a new identity for the same device', async () => {
  const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { reset: true })
  expect(second.status).toBe('created')
  for (const key of ['master_key', 'self_signing_key', 'user_signing_key'] as const) {
    expect(onlyKey(second.upload_keys[key])).not.toEqual(onlyKey(first.upload_keys[key]))
  }
  const device = second.upload_device_keys!.device_keys
  expect(device.keys).toEqual(first.upload_device_keys!.device_keys.keys)
  const [selfSigningId, selfSigning] = onlyKey(second.upload_keys.self_signing_key)
  expect(isSignedBy(device, USER_ID, selfSigningId, selfSigning)).toBe(true)

  const third = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { reset: false })
  expect(third).toEqual({ ...second, status: 'resumed' })
})

test('an encrypted store keeps its identity, and no ID, key or passphrase in it is readable', async () => {
  const options = { passphrase: 'correct horse battery staple' }
  const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
  const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
  expect(second).toEqual({ ...first, status: 'resumed' })

  const file = readFileSync(join(store, DATABASE))
  const [, master] = onlyKey(first.upload_keys.master_key)
  for (const readable of [USER_ID, DEVICE_ID, master, options.passphrase]) {
    expect(file.includes(readable)).toBe(false)
  }
})

test('an empty passphrase is a passphrase', async () => {
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { passphrase: '' })
  await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store)).rejects.toMatchObject({
    code: 'STORE_PASSPHRASE',
  })
})

test('device keys are not returned again if the store records that the homeserver has them', async () => {
  const { upload_device_keys, ...first } = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(upload_device_keys).toBeDefined()
  await setFlag(store, 'account', 'shared')
  const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(second).toEqual({ ...first, status: 'resumed' })
  expect('upload_device_keys' in second).toBe(false)
})

test('an account without an identity, as an OlmMachine makes it, gets an identity and keeps its keys', async () => {
  const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  await change(store, "DELETE FROM kv WHERE key = 'identity'")
  await change(store, 'DELETE FROM identity')
  const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(second.status).toBe('created')
  expect(second.upload_device_keys!.device_keys.keys).toEqual(first.upload_device_keys!.device_keys.keys)
  expect(onlyKey(second.upload_keys.master_key)).not.toEqual(onlyKey(first.upload_keys.master_key))
})

test('an identity whose private keys are not in the store is not replaced by accident', async () => {
  const { upload_keys } = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  await change(store, "DELETE FROM kv WHERE key = 'identity'")
  const call = bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  await expect(call).rejects.toMatchObject({
    code: 'IDENTITY_INCOMPLETE',
    message: expect.stringContaining(onlyKey(upload_keys.master_key)[1]) as string,
  })
  await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { reset: true })).resolves.toMatchObject({
    status: 'created',
  })
})
