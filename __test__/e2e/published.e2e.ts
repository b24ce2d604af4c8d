// Promise: on a real homeserver, an identity is never replaced by accident. An interrupted run is completed
// with the missing requests. verifyPublished says what a client says.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  bootstrapCrossSigning,
  type CrossSigningBootstrap,
  type KeysQueryAnswer,
  type UnverifiedDevice,
  verifyPublished,
} from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { type Cell, CELLS, prepare, type Scene, type Upload, withoutIdentity } from '../support/decisions'
import { type SignedObject, SigningKey } from '../support/published'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client } from './support/client'
import { type Fate, Proxy } from './support/proxy'
import { AS_TOKEN, Synapse } from './support/synapse'

const DEVICE_ID = 'GHOSTDEVICE'
const QUERY = '/keys/query'
const DEVICE = `/devices/${DEVICE_ID}`
const PATHS = {
  upload_device_keys: '/keys/upload',
  upload_account_data: '/account_data/',
  upload_keys: '/keys/device_signing/upload',
  upload_signatures: '/keys/signatures/upload',
} as const

let synapse: Synapse
let direct: CrossSigningPublisher
let proxy: Proxy
/** Through the proxy, and without retries: a test sees each failure. */
let publisher: CrossSigningPublisher
let ghosts = 0

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  direct = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
})

afterAll(() => synapse.stop())

beforeEach(async () => {
  proxy = await Proxy.start(synapse.url)
  publisher = new CrossSigningPublisher({ homeserverUrl: proxy.url, asToken: AS_TOKEN, maxRetries: 0 })
})

afterEach(() => proxy.stop())

function newGhost(): Promise<string> {
  return synapse.registerGhost(`_ghost_${ghosts++}`)
}

/** The paths of the requests since the last call of this function, without their common start. */
function requests(): string[] {
  return proxy.seen.splice(0).map(({ path }) => path.replace('/_matrix/client/v3', ''))
}

/** The requests that send what is missing. The first upload of device keys tells that there is no device. */
function uploads(missing: Upload[], hasDevice: boolean): string[] {
  if (missing.length === 0) return []
  const { upload_device_keys: keys } = PATHS
  const isDeviceNew = missing.includes('upload_device_keys')
  // New device keys carry the signature.
  const others = missing.filter(
    (upload) => upload !== 'upload_device_keys' && !(isDeviceNew && upload === 'upload_signatures'),
  )
  const device = isDeviceNew ? (hasDevice ? [keys] : [keys, DEVICE, keys]) : []
  return [...device, ...others.map((upload) => PATHS[upload]), QUERY]
}

/** Makes the homeserver serve what a scene says, with the requests of a client. */
async function publish(userId: string, { device, identity }: Scene['serves']): Promise<void> {
  const post = async (path: string, body: object, deviceId?: string) => {
    const { status, answer } = await synapse.tryRequest<object>('POST', path, userId, body, deviceId)
    expect({ status, failures: {}, ...answer }).toMatchObject({ status: 200, failures: {} })
    return answer
  }
  if (device) {
    await synapse.makeDevice(userId, DEVICE_ID)
    await post(PATHS.upload_device_keys, { device_keys: device }, DEVICE_ID)
  }
  if (!identity) return
  await post(PATHS.upload_keys, { ...identity, auth: { type: 'm.login.dummy' } })
  const [selfSigningId] = onlyKey(identity.self_signing_key)
  if (device?.signatures[userId]?.[selfSigningId]) {
    expect(await post(PATHS.upload_signatures, { [userId]: { [DEVICE_ID]: device } })).toEqual({
      failures: {},
    })
  }
}

describe('each decision', () => {
  const cases = CELLS.flatMap((cell) =>
    [false, true].map(
      (reset) => [`${cell.server} × ${cell.store}${reset ? ', reset' : ''}`, cell, reset] as const,
    ),
  )

  test.each<readonly [string, Cell, boolean]>(cases)('%s', async (_, cell, reset) => {
    const userId = await newGhost()
    const { store, identity, serves } = await prepare(cell, userId, DEVICE_ID, temporaryFolder())
    await publish(userId, serves)
    const served = await synapse.queryKeys(userId)
    const before =
      cell.store === 'nothing' ? undefined : readFileSync(join(store, 'matrix-sdk-crypto.sqlite3'))

    const call = publisher.publish(userId, DEVICE_ID, store, { reset })
    if (cell.outcome === 'IDENTITY_CONFLICT' && !reset) {
      await expect(call).rejects.toMatchObject({ code: 'IDENTITY_CONFLICT' })
      expect(requests()).toEqual([QUERY])
      expect(await synapse.queryKeys(userId)).toEqual(served)
      if (before) expect(readFileSync(join(store, 'matrix-sdk-crypto.sqlite3')).equals(before)).toBe(true)
      else expect(() => readdirSync(store)).toThrow('ENOENT')
      return
    }

    if (cell.warnings.includes('DEVICE_KEYS_DIFFER')) {
      await expect(call).rejects.toMatchObject({ name: 'NotPublishedError', problem: 'DEVICE_KEYS_DIFFER' })
      expect(requests()).toEqual([QUERY])
      expect(await synapse.queryKeys(userId)).toEqual(served)
      return
    }

    const payloads = await call
    const missing = reset ? cell.afterReset : cell.missing
    expect(payloads.status).toBe(reset ? 'created' : cell.outcome)
    expect(payloads.missing).toEqual(missing)
    expect(payloads.warnings!.map(({ code }) => code)).toEqual(cell.warnings)
    expect(requests()).toEqual([QUERY, ...uploads(missing, false)])
    await expectServed(userId, payloads)
    if (identity && !reset) expect(payloads.upload_keys).toEqual(identity)

    // From now on a run sends the query and nothing else.
    await expect(publisher.publish(userId, DEVICE_ID, store)).resolves.toMatchObject({
      status: 'published',
    })
    expect(requests()).toEqual([QUERY])
  })
})

/** Checks that the homeserver serves the identity of the payloads and the device that it has signed. */
async function expectServed(userId: string, { upload_keys }: CrossSigningBootstrap): Promise<void> {
  const served = await synapse.queryKeys(userId)
  expect(served.master_keys?.[userId]).toMatchObject({ keys: upload_keys.master_key.keys })
  expect(verifyPublished(userId, DEVICE_ID, served)).toEqual({
    verified: true,
    master_key: onlyKey(upload_keys.master_key)[1],
  })
}

describe('an interrupted run', () => {
  // The requests are: the query, an upload that tells that there is no device, the device, the device keys, the
  // identity, and the query.
  test.each<[request: number, lost: boolean, then: Upload[], hasDevice: boolean]>([
    [1, false, ['upload_device_keys', 'upload_keys', 'upload_signatures'], false],
    [2, false, ['upload_device_keys', 'upload_keys', 'upload_signatures'], false],
    [2, true, ['upload_device_keys', 'upload_keys', 'upload_signatures'], true],
    [3, false, ['upload_device_keys', 'upload_keys', 'upload_signatures'], true],
    [3, true, ['upload_keys', 'upload_signatures'], true],
    [4, false, ['upload_keys', 'upload_signatures'], true],
    // The device keys have the signature in them. With the identity, everything is there.
    [4, true, [], true],
    [5, true, [], true],
  ])(
    'stops at request %i (the homeserver got it: %j), and the next run sends %j',
    async (request, lost, then, hasDevice) => {
      const userId = await newGhost()
      const store = join(temporaryFolder(), 'store')
      proxy.fate = (n) => (n === request ? (lost ? 'lost' : 'cut') : undefined)
      await expect(publisher.publish(userId, DEVICE_ID, store)).rejects.toThrow(/: no answer: /)
      expect(requests()).toHaveLength(request + 1)

      proxy.fate = () => undefined
      const payloads = await publisher.publish(userId, DEVICE_ID, store)
      expect(payloads.missing).toEqual(then)
      expect(requests()).toEqual([QUERY, ...uploads(then, hasDevice)])
      await expectServed(userId, payloads)
    },
  )

  test('sends the signature alone, if nothing else is missing', async () => {
    const userId = await newGhost()
    const cell = CELLS.find(({ missing }) => missing.join() === 'upload_signatures')!
    const { store, serves } = await prepare(cell, userId, DEVICE_ID, temporaryFolder())
    await publish(userId, serves)
    proxy.fate = (_, { path }) => (path.endsWith(PATHS.upload_signatures) ? 'cut' : undefined)
    await expect(publisher.publish(userId, DEVICE_ID, store)).rejects.toThrow(/: no answer: /)
    proxy.fate = () => undefined
    requests()
    await publisher.publish(userId, DEVICE_ID, store)
    expect(requests()).toEqual([QUERY, PATHS.upload_signatures, QUERY])
  })

  test('with reset makes the next call fail without reset, and is completed by a call with reset', async () => {
    const userId = await newGhost()
    const store = join(temporaryFolder(), 'store')
    const first = await publisher.publish(userId, DEVICE_ID, store, { passphrase: 'secret' })
    proxy.fate = (_, { path }) => (path.endsWith(PATHS.upload_keys) ? 'cut' : undefined)
    const options = { passphrase: 'secret', reset: true }
    await expect(publisher.publish(userId, DEVICE_ID, store, options)).rejects.toThrow(/: no answer: /)
    proxy.fate = () => undefined
    const again = publisher.publish(userId, DEVICE_ID, store, { passphrase: 'secret' })
    await expect(again).rejects.toMatchObject({ code: 'IDENTITY_CONFLICT' })
    await expectServed(userId, first)
    await expectServed(userId, await publisher.publish(userId, DEVICE_ID, store, options))
  })
})

describe('a homeserver that does not serve what was uploaded', () => {
  const done: Fate = { status: 200, body: '{}' }

  test.each<[string, Upload[], string]>([
    ['device keys and signatures', ['upload_device_keys', 'upload_signatures'], 'NO_DEVICE'],
    ['the identity and signatures', ['upload_keys', 'upload_signatures'], 'NO_MASTER_KEY'],
    ['all of it', ['upload_device_keys', 'upload_keys', 'upload_signatures'], 'NO_DEVICE'],
  ])('drops %s: an error', async (_, dropped, problem) => {
    const [userId, store] = [await newGhost(), join(temporaryFolder(), 'store')]
    proxy.fate = (_, { path }) => (dropped.some((upload) => path.endsWith(PATHS[upload])) ? done : undefined)
    await expect(publisher.publish(userId, DEVICE_ID, store)).rejects.toMatchObject({
      name: 'NotPublishedError',
      problem,
    })
    proxy.fate = () => undefined
    await expectServed(userId, await publisher.publish(userId, DEVICE_ID, store))
  })

  test('serves another identity, with all signatures: the error names both', async () => {
    const [userId, store] = [await newGhost(), join(temporaryFolder(), 'store')]
    const other = await bootstrapCrossSigning(userId, DEVICE_ID, join(temporaryFolder(), 'store'))
    let queries = 0
    proxy.rewrite = ({ path }, answer) => {
      if (!path.endsWith(QUERY) || queries++ === 0) return answer
      const body = {
        device_keys: { [userId]: { [DEVICE_ID]: other.upload_device_keys!.device_keys } },
        master_keys: { [userId]: other.upload_keys.master_key },
        self_signing_keys: { [userId]: other.upload_keys.self_signing_key },
      }
      return { ...answer, body: JSON.stringify(body) }
    }
    const error = await publisher.publish(userId, DEVICE_ID, store).catch((error: unknown) => error)
    expect(error).toMatchObject({ name: 'NotPublishedError', problem: 'OTHER_IDENTITY' })
    const [, theirs] = onlyKey(other.upload_keys.master_key)
    const { upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
    for (const key of [theirs, onlyKey(upload_keys.master_key)[1]])
      expect((error as Error).message).toContain(key)
  })

  test('serves a key without its signature: an error, even if there is nothing to upload', async () => {
    const [userId, store] = [await newGhost(), join(temporaryFolder(), 'store')]
    await publisher.publish(userId, DEVICE_ID, store)
    proxy.rewrite = ({ path }, answer) => {
      if (!path.endsWith(QUERY)) return answer
      const body = JSON.parse(answer.body) as Answer
      body.self_signing_keys![userId]!.signatures = {}
      return { ...answer, body: JSON.stringify(body) }
    }
    await expect(publisher.publish(userId, DEVICE_ID, store)).rejects.toMatchObject({
      name: 'NotPublishedError',
      problem: 'SELF_SIGNING_KEY_NOT_SIGNED',
    })
  })
})

type Answer = KeysQueryAnswer & {
  device_keys: Record<string, Record<string, SignedObject>>
  master_keys?: Record<string, SignedObject>
  self_signing_keys?: Record<string, SignedObject>
}

interface State {
  state: string
  /** Brings the homeserver into this state. */
  make?: (userId: string) => Promise<unknown>
  /** Changes the answer between the homeserver and the client. */
  tamper?: (answer: Answer, userId: string) => void
  says: UnverifiedDevice['problem'] | 'verified'
}

const all = (userId: string) => direct.publish(userId, DEVICE_ID, join(temporaryFolder(), 'store'))

async function plain(userId: string, only: 'device' | 'identity' | 'both'): Promise<void> {
  const payloads = await bootstrapCrossSigning(userId, DEVICE_ID, join(temporaryFolder(), 'store'))
  await publish(userId, {
    ...(only !== 'identity' && { device: withoutIdentity(payloads) }),
    ...(only !== 'device' && { identity: payloads.upload_keys }),
  })
}

const device = (answer: Answer, userId: string) => answer.device_keys[userId]![DEVICE_ID]!
const ids = (answer: Answer, userId: string) => ({
  master: onlyKey(answer.master_keys![userId]!)[0],
  selfSigning: onlyKey(answer.self_signing_keys![userId]!)[0],
})

function spoil(object: SignedObject, userId: string, keyId: string): void {
  const signatures = object.signatures[userId]!
  const bytes = Buffer.from(signatures[keyId]!, 'base64')
  bytes[7]! ^= 1
  signatures[keyId] = bytes.toString('base64').replace(/=+$/, '')
}

const STATES: State[] = [
  { state: 'published', says: 'verified' },
  {
    state: 'published, then replaced by reset',
    make: async (userId) => {
      const store = join(temporaryFolder(), 'store')
      for (const reset of [false, true]) await direct.publish(userId, DEVICE_ID, store, { reset })
    },
    says: 'verified',
  },
  {
    state: 'published, with a display name',
    tamper: (answer, userId) => (device(answer, userId).unsigned = { device_display_name: 'Ghost' }),
    says: 'verified',
  },
  {
    state: 'published, the master key not signed by the device',
    tamper: (answer, userId) => (answer.master_keys![userId]!.signatures = {}),
    says: 'verified',
  },
  { state: 'a device, no identity', make: (userId) => plain(userId, 'device'), says: 'NO_MASTER_KEY' },
  { state: 'an identity, no device', make: (userId) => plain(userId, 'identity'), says: 'NO_DEVICE' },
  {
    state: 'an identity and a device that it has not signed',
    make: (userId) => plain(userId, 'both'),
    says: 'DEVICE_NOT_SIGNED',
  },
  {
    state: 'a reset that stopped before the signatures',
    make: async (userId) => {
      const store = join(temporaryFolder(), 'store')
      await direct.publish(userId, DEVICE_ID, store)
      const payloads = await bootstrapCrossSigning(userId, DEVICE_ID, store, { reset: true })
      await synapse.request('POST', PATHS.upload_keys, userId, payloads.upload_keys)
    },
    says: 'DEVICE_NOT_SIGNED',
  },
  {
    state: 'no self-signing key served',
    tamper: (answer, userId) => Reflect.deleteProperty(answer.self_signing_keys!, userId),
    says: 'NO_SELF_SIGNING_KEY',
  },
  {
    state: 'no master key served',
    tamper: (answer, userId) => Reflect.deleteProperty(answer.master_keys!, userId),
    says: 'NO_MASTER_KEY',
  },
  {
    state: 'the self-signing key without its signature',
    tamper: (answer, userId) => (answer.self_signing_keys![userId]!.signatures = {}),
    says: 'SELF_SIGNING_KEY_NOT_SIGNED',
  },
  {
    state: 'the self-signing key signed by another master key',
    tamper: (answer, userId) => {
      const key = answer.self_signing_keys![userId]!
      key.signatures = {}
      new SigningKey().sign(key, undefined, userId)
    },
    says: 'SELF_SIGNING_KEY_NOT_SIGNED',
  },
  {
    state: "an attacker's self-signing key, which signed the device",
    tamper: (answer, userId) => {
      const [key, attacker] = [answer.self_signing_keys![userId]!, new SigningKey()]
      key.keys = { [`ed25519:${attacker.publicKey}`]: attacker.publicKey }
      attacker.sign(device(answer, userId), undefined, userId)
    },
    says: 'BAD_SIGNATURE',
  },
  {
    state: 'the device without its own signature',
    tamper: (answer, userId) =>
      Reflect.deleteProperty(device(answer, userId).signatures[userId]!, `ed25519:${DEVICE_ID}`),
    says: 'DEVICE_NOT_SIGNED',
  },
  {
    state: "the device's own signature with a flipped bit",
    tamper: (answer, userId) => {
      spoil(device(answer, userId), userId, `ed25519:${DEVICE_ID}`)
    },
    says: 'BAD_SIGNATURE',
  },
  {
    state: "the self-signing key's signature of the device with a flipped bit",
    tamper: (answer, userId) => {
      spoil(device(answer, userId), userId, ids(answer, userId).selfSigning)
    },
    says: 'BAD_SIGNATURE',
  },
  {
    state: "the master key's signature with a flipped bit",
    tamper: (answer, userId) => {
      spoil(answer.self_signing_keys![userId]!, userId, ids(answer, userId).master)
    },
    says: 'BAD_SIGNATURE',
  },
  {
    state: 'the device with another Curve25519 key',
    tamper: (answer, userId) =>
      (device(answer, userId).keys[`curve25519:${DEVICE_ID}`] = new SigningKey().publicKey),
    says: 'BAD_SIGNATURE',
  },
  {
    state: 'the device with another user ID',
    tamper: (answer, userId) => (device(answer, userId).user_id = '@other:localhost'),
    says: 'ID_MISMATCH',
  },
  {
    state: 'the device with another device ID',
    tamper: (answer, userId) => (device(answer, userId).device_id = 'OTHER'),
    says: 'ID_MISMATCH',
  },
  {
    state: 'the master key with another user ID',
    tamper: (answer, userId) => (answer.master_keys![userId]!.user_id = '@other:localhost'),
    says: 'ID_MISMATCH',
  },
  {
    state: 'the self-signing key with another user ID',
    tamper: (answer, userId) => (answer.self_signing_keys![userId]!.user_id = '@other:localhost'),
    says: 'ID_MISMATCH',
  },
]

test("verifyPublished says what another user's client says", async () => {
  const users: string[] = []
  const answers = new Map<string, Answer>()
  proxy.rewrite = ({ path }, answer) => {
    if (!path.endsWith(QUERY)) return answer
    const body = JSON.parse(answer.body) as Answer
    for (const [index, { tamper }] of STATES.entries()) {
      const userId = users[index]!
      if (!(userId in body.device_keys)) continue
      tamper?.(body, userId)
      answers.set(userId, body)
    }
    return { ...answer, body: JSON.stringify(body) }
  }
  for (const { make = all } of STATES) {
    const userId = await newGhost()
    await make(userId)
    users.push(userId)
  }

  const client = await Client.start(proxy.url, await synapse.registerPerson('stranger'))
  try {
    const room = await client.createRoom(users)
    for (const userId of users) await synapse.request('POST', `/join/${room}`, userId, {})
    await client.prepare(room, users.length + 1)
    const witness = users[STATES.findIndex(({ says }) => says === 'verified')]!
    for (let waited = 0; waited < 30_000; waited += 100) {
      if (answers.size === users.length && (await client.verdict(witness, DEVICE_ID)).known) break
      await sleep(100)
    }
    expect(answers.size).toBe(users.length)
    // The client may not have processed the last answer yet.
    await sleep(1000)

    const rows: string[][] = []
    for (const [index, { state }] of STATES.entries()) {
      const userId = users[index]!
      const verdict = verifyPublished(userId, DEVICE_ID, answers.get(userId)!)
      const { known, signedByOwner } = await client.verdict(userId, DEVICE_ID)
      rows.push([
        state,
        verdict.verified ? 'verified' : verdict.problem,
        known ? `${signedByOwner}` : 'unknown device',
      ])
    }
    const line = ([state, ours, theirs]: string[]) => `${state!.padEnd(64)}${ours!.padEnd(30)}${theirs!}\n`
    process.stdout.write([['state', 'verifyPublished', 'signedByOwner'], ...rows].map(line).join(''))
    expect(rows.map(([state, ours]) => [state, ours])).toEqual(STATES.map(({ state, says }) => [state, says]))
    for (const [state, ours, theirs] of rows)
      expect([state, theirs === 'true']).toEqual([state, ours === 'verified'])
  } finally {
    client.stop()
  }
})
