// Promise: the three payloads have the form of the Matrix specification, and an independent Ed25519
// verifies every signature in them.

import { join } from 'node:path'
import { bootstrapCrossSigning, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { isSignedBy, onlyKey } from './support/signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

let payloads: CrossSigningBootstrap

beforeAll(async () => {
  payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
})

test('for a new store the status is created', () => {
  expect(payloads.status).toBe('created')
  expect(Object.keys(payloads).sort()).toEqual([
    'status',
    'upload_device_keys',
    'upload_keys',
    'upload_signatures',
  ])
})

test('upload_keys has the three public keys, each with its usage, and nothing else', () => {
  const keys = payloads.upload_keys
  expect(Object.keys(keys).sort()).toEqual(['master_key', 'self_signing_key', 'user_signing_key'])
  for (const [name, usage] of [
    ['master_key', 'master'],
    ['self_signing_key', 'self_signing'],
    ['user_signing_key', 'user_signing'],
  ] as const) {
    expect(Object.keys(keys[name]).sort()).toEqual(['keys', 'signatures', 'usage', 'user_id'])
    expect(keys[name].user_id).toBe(USER_ID)
    expect(keys[name].usage).toEqual([usage])
    const [id, publicKey] = onlyKey(keys[name])
    expect(id).toBe(`ed25519:${publicKey}`)
    expect(publicKey).toMatch(/^[A-Za-z0-9+/]{43}$/)
  }
})

test('the master key signs the self-signing key and the user-signing key', () => {
  const { master_key, self_signing_key, user_signing_key } = payloads.upload_keys
  const [masterId, master] = onlyKey(master_key)
  expect(isSignedBy(self_signing_key, USER_ID, masterId, master)).toBe(true)
  expect(isSignedBy(user_signing_key, USER_ID, masterId, master)).toBe(true)
})

test('the device signs the master key', () => {
  const device = payloads.upload_device_keys!.device_keys
  const deviceKeyId = `ed25519:${DEVICE_ID}`
  expect(isSignedBy(payloads.upload_keys.master_key, USER_ID, deviceKeyId, device.keys[deviceKeyId]!)).toBe(
    true,
  )
})

test('upload_device_keys has the device keys alone, signed by the device and the self-signing key', () => {
  expect(Object.keys(payloads.upload_device_keys!)).toEqual(['device_keys'])
  const device = payloads.upload_device_keys!.device_keys
  expect(device).toMatchObject({ user_id: USER_ID, device_id: DEVICE_ID })
  expect(device.algorithms).toContain('m.megolm.v1.aes-sha2')
  expect(Object.keys(device.keys).sort()).toEqual([`curve25519:${DEVICE_ID}`, `ed25519:${DEVICE_ID}`])

  const [selfSigningId, selfSigning] = onlyKey(payloads.upload_keys.self_signing_key)
  expect(isSignedBy(device, USER_ID, `ed25519:${DEVICE_ID}`, device.keys[`ed25519:${DEVICE_ID}`]!)).toBe(true)
  expect(isSignedBy(device, USER_ID, selfSigningId, selfSigning)).toBe(true)
})

test('upload_signatures has by user and device the device keys, signed by the self-signing key', () => {
  expect(Object.keys(payloads.upload_signatures)).toEqual([USER_ID])
  expect(Object.keys(payloads.upload_signatures[USER_ID]!)).toEqual([DEVICE_ID])
  const signed = payloads.upload_signatures[USER_ID]![DEVICE_ID]!
  const [selfSigningId, selfSigning] = onlyKey(payloads.upload_keys.self_signing_key)
  expect(isSignedBy(signed, USER_ID, selfSigningId, selfSigning)).toBe(true)
  // The homeserver gets the same keys in the first request. Otherwise it would have keys of two devices.
  expect(signed.keys).toEqual(payloads.upload_device_keys!.device_keys.keys)
})

test('the oracle refuses a changed object', () => {
  const key = payloads.upload_keys.self_signing_key
  const [masterId, master] = onlyKey(payloads.upload_keys.master_key)
  const changed: typeof key = { ...key, user_id: '@_other:example.org' }
  expect(isSignedBy(changed, USER_ID, masterId, master)).toBe(false)
})

test.each(['__proto__', 'constructor', 'with space', 'ABC:DEF', 'GERÄT🔑', '"'])(
  'the device ID %j is the same in all payloads',
  async (deviceId) => {
    const { upload_device_keys, upload_signatures } = await bootstrapCrossSigning(
      USER_ID,
      deviceId,
      join(temporaryFolder(), 'store'),
    )
    expect(Object.keys(upload_signatures[USER_ID]!)).toEqual([deviceId])
    expect(upload_device_keys!.device_keys.device_id).toBe(deviceId)
    const key = upload_device_keys!.device_keys.keys[`ed25519:${deviceId}`]!
    expect(isSignedBy(upload_device_keys!.device_keys, USER_ID, `ed25519:${deviceId}`, key)).toBe(true)
  },
)

test('no two ghosts share a key', async () => {
  const folder = temporaryFolder()
  const ghosts = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      bootstrapCrossSigning(`@_ghost_${n}:example.org`, DEVICE_ID, join(folder, `${n}`)),
    ),
  )
  const keys = ghosts.flatMap(({ upload_device_keys, upload_keys }) => [
    ...Object.values(upload_device_keys!.device_keys.keys),
    ...[upload_keys.master_key, upload_keys.self_signing_key, upload_keys.user_signing_key].map(
      (key) => onlyKey(key)[1],
    ),
  ])
  expect(new Set(keys).size).toBe(20 * 5)
})
