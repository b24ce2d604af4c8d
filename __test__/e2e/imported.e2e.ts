// Promise: on a real homeserver, a second device that imported the identity of the first, as the binding's
// importSecretsFromSecretStorage does, is published like any other.

import { join } from 'node:path'
import { bootstrapCrossSigning, type KeysQueryAnswer, verifyPublished } from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { HostMachines } from '../support/host-machine'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { AS_TOKEN, Synapse } from './support/synapse'

const [FIRST, SECOND] = ['FIRST', 'SECOND']

let synapse: Synapse
let publisher: CrossSigningPublisher
const host = new HostMachines()
let ghosts = 0

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  publisher = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
})

afterAll(() => synapse.stop())

async function post<T = object>(path: string, userId: string, body: object, deviceId?: string): Promise<T> {
  const { status, answer } = await synapse.tryRequest<T>('POST', path, userId, body, deviceId)
  expect({ path, status, answer }).toMatchObject({ path, status: 200 })
  return answer
}

/** Opens a machine, and closes it when the work is done. */
async function withMachine<T>(
  store: string,
  user: string,
  device: string,
  work: (machine: { machine: number }) => Promise<T>,
): Promise<T> {
  const machine = await host.ask<{ machine: number }>('open', { store, user, device })
  try {
    return await work(machine)
  } finally {
    await host.ask('close', machine)
  }
}

interface Imported {
  userId: string
  store: string
  /** The payloads of the first device. */
  first: Awaited<ReturnType<typeof bootstrapCrossSigning>>
}

/** Publishes an identity from the first device, and imports it on the second, whose store is returned. */
async function importOnSecond(): Promise<Imported> {
  const userId = await synapse.registerGhost(`_ghost_${ghosts++}`)
  const [firstStore, store] = [join(temporaryFolder(), 'first'), join(temporaryFolder(), 'second')]
  const first = await publisher.publish(userId, FIRST, firstStore)
  const keys = await withMachine(firstStore, userId, FIRST, (machine) =>
    host.ask<object>('exportCrossSigning', machine),
  )

  await synapse.makeDevice(userId, SECOND)
  await withMachine(store, userId, SECOND, async (machine) => {
    const upload = await host.ask<object>('keysToUpload', machine)
    await post('/keys/upload', userId, upload, SECOND)
    const answer = await synapse.queryKeys(userId)
    expect(answer.user_signing_keys).toHaveProperty([userId])
    await host.ask('receiveKeysQuery', { ...machine, user: userId, answer })
    await expect(host.ask('importCrossSigning', { ...machine, keys })).resolves.toEqual({
      has_master: true,
      has_self_signing: true,
      has_user_signing: true,
    })
  })
  return { userId, store, first }
}

function expectVerified({ userId, first }: Imported, served: KeysQueryAnswer): void {
  for (const device of [FIRST, SECOND])
    expect(verifyPublished(userId, device, served)).toEqual({
      verified: true,
      master_key: onlyKey(first.upload_keys.master_key)[1],
    })
}

test('the homeserver accepts the payloads, and the device is verified', async () => {
  const imported = await importOnSecond()
  const { userId, store, first } = imported
  const before = await synapse.queryKeys(userId)
  expect(verifyPublished(userId, SECOND, before)).toMatchObject({ problem: 'DEVICE_NOT_SIGNED' })

  const payloads = await bootstrapCrossSigning(userId, SECOND, store)
  expect(payloads.status).toBe('resumed')
  // The store records that the homeserver has the device.
  expect(payloads).not.toHaveProperty('upload_device_keys')
  for (const usage of ['master_key', 'self_signing_key', 'user_signing_key'] as const)
    expect(payloads.upload_keys[usage].keys).toEqual(first.upload_keys[usage].keys)
  const auth = { type: 'm.login.dummy' }
  await post('/keys/device_signing/upload', userId, { ...payloads.upload_keys, auth })
  expect(await post('/keys/signatures/upload', userId, payloads.upload_signatures)).toEqual({ failures: {} })
  expectVerified(imported, await synapse.queryKeys(userId))
})

test('with serverKeys, the signature is all that is missing, and then nothing', async () => {
  const imported = await importOnSecond()
  const { userId, store } = imported
  const call = async () => {
    const serverKeys = await synapse.queryKeys(userId)
    return bootstrapCrossSigning(userId, SECOND, store, { serverKeys })
  }

  const payloads = await call()
  expect(payloads).toMatchObject({ status: 'resumed', missing: ['upload_signatures'], warnings: [] })
  expect(await post('/keys/signatures/upload', userId, payloads.upload_signatures)).toEqual({ failures: {} })
  await expect(call()).resolves.toMatchObject({ status: 'published', missing: [], warnings: [] })
  expectVerified(imported, await synapse.queryKeys(userId))
})
