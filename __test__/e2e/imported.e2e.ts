// Promise: on a real homeserver, a second device that imported the identity of the first, as the binding's
// importSecretsFromSecretStorage does, is published like any other.

import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { bootstrapCrossSigning, type KeysQueryAnswer, verifyPublished } from 'rust-crypto-helper'
import { CrossSigningBootstrapper } from '../../examples/CrossSigningBootstrapper'
import { ROOT, start } from '../support/processes'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { AS_TOKEN, Synapse } from './support/synapse'

const [FIRST, SECOND] = ['FIRST', 'SECOND']

/** The binary of `__test__/host-machine`: the SDK of the binding. */
class Host {
  readonly #process: ChildProcess
  readonly #answers: Interface

  constructor() {
    const binary = join(ROOT, '__test__', 'host-machine', 'target', 'debug', 'host-machine')
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run cargo build --locked in its folder`)
    this.#process = start(binary, [])
    this.#answers = createInterface({ input: this.#process.stdout! })
  }

  async ask<T>(command: string, parameters: object): Promise<T> {
    const answered = once(this.#answers, 'line')
    this.#process.stdin!.write(`${JSON.stringify({ command, ...parameters })}\n`)
    const [line] = (await answered) as [string]
    const { value, error } = JSON.parse(line) as { value: T; error?: string }
    if (error !== undefined) throw new Error(`${command}: ${error}`)
    return value
  }

  /** Opens a machine, and closes it when the work is done. */
  async with<T>(
    store: string,
    user: string,
    device: string,
    work: (machine: { machine: number }) => Promise<T>,
  ) {
    const machine = await this.ask<{ machine: number }>('open', { store, user, device })
    try {
      return await work(machine)
    } finally {
      await this.ask('close', machine)
    }
  }
}

let synapse: Synapse
let bootstrapper: CrossSigningBootstrapper
const host = new Host()
let ghosts = 0

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  bootstrapper = new CrossSigningBootstrapper({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
})

afterAll(() => synapse.stop())

async function post<T = object>(path: string, userId: string, body: object, deviceId?: string): Promise<T> {
  const { status, answer } = await synapse.tryRequest<T>('POST', path, userId, body, deviceId)
  expect({ path, status, answer }).toMatchObject({ path, status: 200 })
  return answer
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
  const first = await bootstrapper.bootstrap(userId, FIRST, firstStore)
  const keys = await host.with(firstStore, userId, FIRST, (machine) =>
    host.ask<object>('exportCrossSigning', machine),
  )

  await bootstrapper.ensureDevice(userId, SECOND)
  await host.with(store, userId, SECOND, async (machine) => {
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
  const before = await bootstrapper.queryKeys(userId)
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
  expectVerified(imported, await bootstrapper.queryKeys(userId))
})

test('with serverKeys, the signature is all that is missing, and then nothing', async () => {
  const imported = await importOnSecond()
  const { userId, store } = imported
  const call = async () => {
    const serverKeys = await bootstrapper.queryKeys(userId)
    return bootstrapCrossSigning(userId, SECOND, store, { serverKeys })
  }

  const payloads = await call()
  expect(payloads).toMatchObject({ status: 'resumed', missing: ['upload_signatures'], warnings: [] })
  expect(await post('/keys/signatures/upload', userId, payloads.upload_signatures)).toEqual({ failures: {} })
  await expect(call()).resolves.toMatchObject({ status: 'published', missing: [], warnings: [] })
  expectVerified(imported, await bootstrapper.queryKeys(userId))
})
