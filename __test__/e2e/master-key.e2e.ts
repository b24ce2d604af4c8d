// Promise: on a real homeserver, the payloads of an identity that it serves are accepted, also when another
// device has signed the master key.

import { join } from 'node:path'
import { bootstrapCrossSigning, type KeysQueryAnswer } from 'rust-crypto-helper'
import { type SignedObject, SigningKey } from '../support/published'
import { DEVICE_ID, temporaryFolder } from '../support/stores'
import { Synapse } from './support/synapse'

const OTHER = 'OTHERDEVICE'
const PATH = '/keys/device_signing/upload'

let synapse: Synapse

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
})

afterAll(() => synapse.stop())

/** Makes another device, which signs the master key, as a client does that has verified its user's identity. */
async function signWithOtherDevice(userId: string, masterKey: SignedObject): Promise<void> {
  const [key, name] = [new SigningKey(), `ed25519:${OTHER}`]
  const device: SignedObject = {
    user_id: userId,
    device_id: OTHER,
    algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
    keys: { [`curve25519:${OTHER}`]: new SigningKey().publicKey, [name]: key.publicKey },
    signatures: {},
  }
  key.sign(device, name, userId)
  await synapse.makeDevice(userId, OTHER)
  await expect(
    synapse.tryRequest('POST', '/keys/upload', userId, { device_keys: device }, OTHER),
  ).resolves.toMatchObject({ status: 200 })

  const signed = { ...structuredClone(masterKey), signatures: {} }
  key.sign(signed, name, userId)
  const [publicKey] = Object.values(masterKey.keys)
  const body = { [userId]: { [publicKey!]: signed } }
  const answer = await synapse.request('POST', '/keys/signatures/upload', userId, body)
  expect(answer).toEqual({ failures: {} })
}

test('with serverKeys, upload_keys are what the homeserver serves, and it accepts them', async () => {
  const userId = await synapse.registerGhost('_ghost_master')
  const store = join(temporaryFolder(), 'store')
  const first = await bootstrapCrossSigning(userId, DEVICE_ID, store)
  await synapse.makeDevice(userId, DEVICE_ID)
  await synapse.upload(userId, DEVICE_ID, first)
  await signWithOtherDevice(userId, first.upload_keys.master_key)

  const query = { device_keys: { [userId]: [] } }
  const serverKeys = await synapse.request<KeysQueryAnswer>('POST', '/keys/query', userId, query)
  const served = serverKeys.master_keys![userId] as SignedObject
  expect(Object.keys(served.signatures[userId]!)).toContain(`ed25519:${OTHER}`)

  const { status, upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store, { serverKeys })
  expect(status).toBe('published')
  expect(upload_keys.master_key).toEqual(served)
  await expect(synapse.tryRequest('POST', PATH, userId, upload_keys)).resolves.toMatchObject({ status: 200 })
  // This is why: the homeserver refuses the key with the signatures that it had at first.
  await expect(synapse.tryRequest('POST', PATH, userId, first.upload_keys)).resolves.toMatchObject({
    status: 500,
  })
})
