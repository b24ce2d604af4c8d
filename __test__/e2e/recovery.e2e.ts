// Promise: on a real homeserver, a ghost whose store is lost comes back with the same identity, and nobody is
// warned. Its secret storage and that of other clients are the same. A kill at any request costs no identity.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, verifyPublished } from 'rust-crypto-helper'
import { CrossSigningPublisher, type Ghost, type Published } from 'rust-crypto-helper/publisher'
import { finish, ROOT, start } from '../support/processes'
import { seedsOf } from '../support/secret-storage'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client, newerNode, type Trust, type Verdict } from './support/client'
import { newGhost } from './support/ghosts'
import { Proxy, type Seen } from './support/proxy'
import { AS_TOKEN, type Session, Synapse, VERSIONS } from './support/synapse'

const [OLDEST, NEWEST] = [VERSIONS[0]!, VERSIONS.at(-1)!]
const recoverySecret = 'the secret of the tests, which is long enough'
const [FIRST, SECOND] = ['FIRST', 'SECOND']

const [QUERY, READ, UPLOAD, DEVICE, WRITE, IDENTITY] = [
  'POST keys/query',
  'GET account_data',
  'POST keys/upload',
  'PUT devices',
  'PUT account_data',
  'POST keys/device_signing/upload',
] as const

let proxy: Proxy
let publisher: CrossSigningPublisher

async function through(synapse: Synapse): Promise<void> {
  proxy = await Proxy.start(synapse.url)
  publisher = new CrossSigningPublisher({ homeserverUrl: proxy.url, asToken: AS_TOKEN, recoverySecret })
}

function nameOf({ method, path }: Seen): string {
  const name = path
    .replace('/_matrix/client/v3/', '')
    .replace(/^devices\/.*/, 'devices')
    .replace(/^user\/.*\/account_data\/.*/, 'account_data')
  return `${method} ${name}`
}

/** The requests since the last call of this function. */
const requests = () => proxy.seen.splice(0).map(nameOf)

const newStore = () => join(temporaryFolder(), 'store')
const masterKey = ({ upload_keys }: Pick<Published, 'upload_keys'>) => onlyKey(upload_keys.master_key)[1]

const publish = (userId: string, deviceId: string, store = newStore()) =>
  publisher.publish(userId, deviceId, store)

/** The master key that the homeserver serves to somebody else, if it serves one. */
async function publicKey(synapse: Synapse, stranger: Session, userId: string): Promise<string | undefined> {
  const key = (await synapse.queryKeysAs(stranger, userId)).master_keys?.[userId]
  return key && onlyKey(key)[1]
}

describe.each([
  ['the newest Synapse', NEWEST],
  ['the oldest Synapse', OLDEST],
])('with %s', (_, version) => {
  let synapse: Synapse
  let stranger: Session
  let client: Client

  beforeAll(async () => {
    // Before 1.141 the login is needed, which this setting forbids.
    const msc4190 = version === NEWEST
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), { version, msc4190 })
    stranger = await synapse.registerPerson('stranger')
    client = await Client.start(synapse.url, await synapse.registerPerson('friend'))
    expect(await client.setUpIdentity()).toBe(true)
  })

  afterAll(() => synapse.stop())

  afterAll(() => {
    client.stop()
  })

  beforeEach(() => through(synapse))

  afterEach(() => proxy.stop())

  async function expectServed(userId: string, deviceId: string, master_key: string): Promise<void> {
    const served = await synapse.queryKeysAs(stranger, userId)
    expect(verifyPublished(userId, deviceId, served)).toEqual({ verified: true, master_key })
  }

  describe('a lost store, of a ghost whom somebody has verified', () => {
    const VERIFIED: Verdict = { known: true, signedByOwner: true, verified: true }
    const TRUSTED: Trust = { isVerified: true, wasVerified: true, needsApproval: false }
    const WARNED: Trust = { isVerified: false, wasVerified: true, needsApproval: true }

    let userId: string
    let store: string
    let first: string

    beforeEach(async () => {
      ;({ userId, store } = await newGhost(synapse))
      first = masterKey(await publish(userId, FIRST, store))
      const room = await client.createRoom([userId])
      await synapse.request('POST', `/join/${room}`, userId, {})
      await client.prepare(room, 2)
      await untilKnown(FIRST, true)
      await client.verifyUser(userId)
      expect(await client.verdict(userId, FIRST)).toEqual(VERIFIED)
      expect(await client.trust(userId)).toEqual(TRUSTED)
      requests()
    })

    async function untilKnown(deviceId: string, isKnown: boolean): Promise<void> {
      for (let waited = 0; waited < 20_000; waited += 50) {
        if ((await client.verdict(userId, deviceId)).known === isKnown) return
        await sleep(50)
      }
      throw new Error(`the client did not notice ${deviceId}`)
    }

    async function expectRestored(restored: Published, deviceId: string): Promise<void> {
      const missing = ['upload_device_keys', 'upload_signatures']
      expect(restored).toMatchObject({ status: 'restored', missing, warnings: [] })
      const sent = requests()
      expect(sent).toContain(UPLOAD)
      expect(sent).not.toContain(IDENTITY)
      expect(masterKey(restored)).toBe(first)
      await expectServed(userId, deviceId, first)

      await untilKnown(deviceId, true)
      expect(await client.verdict(userId, deviceId)).toEqual(VERIFIED)
      expect(await client.trust(userId)).toEqual(TRUSTED)
    }

    test('a new device: the same identity, still verified, without a warning', async () => {
      rmSync(store, { recursive: true })
      await expectRestored(await publish(userId, SECOND), SECOND)
    })

    test('the old device ID, after the device was deleted: the same', async () => {
      rmSync(store, { recursive: true })
      await synapse.deleteDevice(userId, FIRST)
      await untilKnown(FIRST, false)
      await expectRestored(await publish(userId, FIRST, store), FIRST)
    })

    // What the two tests above would see if an identity were replaced. The oldest Synapse does not replace any.
    if (version === NEWEST) {
      test('an identity that is replaced: the client warns', async () => {
        const reset = await publisher.publish(userId, SECOND, newStore(), { reset: true })
        expect(masterKey(reset)).not.toBe(first)
        await untilKnown(SECOND, true)
        expect(await client.trust(userId)).toEqual(WARNED)
      })
    }
  })

  describe('a client that is logged in as the ghost', () => {
    async function logIn(userId: string): Promise<{ session: Session; own: Client }> {
      await synapse.setPassword(userId, 'password')
      const session = await synapse.loginWithPassword(userId, 'password')
      return { session, own: await Client.start(synapse.url, session) }
    }

    test('opens the secret storage with recovery_key, and signs its device with the identity', async () => {
      const { userId } = await newGhost(synapse)
      const published = await publish(userId, FIRST)
      const { session, own } = await logIn(userId)
      try {
        const wrong = (await publish((await newGhost(synapse)).userId, FIRST)).recovery_key
        await expect(own.setUpIdentity(wrong)).rejects.toThrow(/bad MAC/)
        expect(await own.setUpIdentity(published.recovery_key)).toBe(true)
      } finally {
        own.stop()
      }
      await expectServed(userId, session.device_id, masterKey(published))
    })

    test.each([
      ['a random key', undefined],
      ['a key from a passphrase', 'a passphrase that somebody remembers'],
    ])('makes an identity and a secret storage with %s: a call restores it', async (_, passphrase) => {
      const { userId } = await newGhost(synapse)
      const { session, own } = await logIn(userId)
      let key: string
      try {
        expect(await own.setUpIdentity()).toBe(true)
        key = await own.setUpSecretStorage(passphrase)
      } finally {
        own.stop()
      }
      const made = await publicKey(synapse, stranger, userId)
      expect(made).toBeDefined()
      await expectServed(userId, session.device_id, made!)

      const [serverKeys, accountData] = [await synapse.queryKeys(userId), await synapse.secretStorage(userId)]
      const restored = await bootstrapCrossSigning(userId, SECOND, newStore(), {
        serverKeys,
        recovery: { key, accountData },
      })
      expect(restored).toMatchObject({
        status: 'restored',
        missing: ['upload_device_keys', 'upload_signatures'],
        warnings: [],
      })
      expect(masterKey(restored)).toBe(made)

      const { access_token } = await synapse.loginWithPassword(userId, 'password', SECOND)
      for (const [path, body] of [
        ['/keys/upload', restored.upload_device_keys!],
        ['/keys/signatures/upload', restored.upload_signatures],
      ] as const) {
        const answer = await synapse.requestAs<object>(access_token, 'POST', path, body)
        expect({ failures: {}, ...answer }).toMatchObject({ failures: {} })
      }
      await expectServed(userId, SECOND, made!)
    })
  })
})

describe('with the newest Synapse', () => {
  let synapse: Synapse
  let stranger: Session

  beforeAll(async () => {
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
    stranger = await synapse.registerPerson('stranger')
  })

  afterAll(() => synapse.stop())

  test('300 ghosts with one secret: all stores are lost, and all identities come back', async () => {
    const users = await Promise.all(Array.from({ length: 300 }, () => newGhost(synapse)))
    const many = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN, recoverySecret })
    const publishAll = async (deviceId: string, status: string) => {
      const ghosts = users.map(({ userId, store }): Ghost => {
        return { userId, deviceId, storePath: `${store}-${deviceId}` }
      })
      const keys = new Map<string, string>()
      const began = performance.now()
      for await (const outcome of many.publishAll(ghosts)) {
        if ('error' in outcome) throw outcome.error
        expect(outcome.published.status).toBe(status)
        keys.set(outcome.ghost.userId, masterKey(outcome.published))
      }
      const each = (performance.now() - began) / ghosts.length
      process.stdout.write(`${ghosts.length} ghosts ${status}: ${each.toFixed(1)} ms each\n`)
      for (const { storePath } of ghosts) rmSync(storePath, { recursive: true })
      return keys
    }

    const made = await publishAll(FIRST, 'created')
    const restored = await publishAll(SECOND, 'restored')
    expect(restored.size).toBe(300)
    expect(new Set(made.values()).size).toBe(300)
    for await (const { userId, verdict } of many.check(
      users.map(({ userId }) => ({ userId, deviceId: SECOND })),
    )) {
      expect(restored.get(userId)).toBe(made.get(userId))
      expect(verdict).toEqual({ verified: true, master_key: made.get(userId) })
    }
  })

  describe('a process that is killed', () => {
    const SCRIPT = join(ROOT, '__test__', 'support', 'run-publisher.mts')
    const ENVIRONMENT = { RUST_CRYPTO_HELPER_RECOVERY_SECRET: recoverySecret }
    type Moment = 'before' | 'after'

    beforeEach(() => through(synapse))

    afterEach(() => proxy.stop())

    const ESCROW = [
      QUERY,
      ...Array<string>(5).fill(READ),
      ...[UPLOAD, DEVICE, UPLOAD],
      QUERY,
      ...Array<string>(5).fill(WRITE),
      ...Array<string>(5).fill(READ),
      QUERY,
      ...[IDENTITY, QUERY],
    ]
    const RESTORE = [QUERY, ...Array<string>(5).fill(READ), UPLOAD, DEVICE, UPLOAD, QUERY]

    const momentsOf = (sequence: string[]) =>
      sequence.flatMap((request, n) =>
        (['before', 'after'] as const).map((moment) => [moment, n, request] as const),
      )

    /** Kills it before the homeserver gets a request, or after that and before the process gets the answer. */
    async function killed(
      moment: Moment,
      request: number,
      userId: string,
      deviceId: string,
      store: string,
    ): Promise<string[]> {
      requests()
      const child = start(
        newerNode(),
        ['--no-warnings', SCRIPT, proxy.url, AS_TOKEN, userId, deviceId, store],
        ENVIRONMENT,
      )
      proxy.fate = (n) => {
        if (moment !== 'before' || n !== request) return undefined
        child.kill('SIGKILL')
        return 'cut'
      }
      proxy.rewrite = (_, answer) => {
        if (moment === 'after' && proxy.seen.length === request + 1) child.kill('SIGKILL')
        return answer
      }
      const { signal, stdout } = await finish(child)
      expect({ signal, stdout }).toEqual({ signal: 'SIGKILL', stdout: '' })
      proxy.fate = () => undefined
      proxy.rewrite = (_, answer) => answer
      return requests()
    }

    /** Loses all stores. A new device must get this identity. */
    async function expectRestored(userId: string, deviceId: string, key: string): Promise<void> {
      const restored = await publish(userId, deviceId)
      expect({ status: restored.status, key: masterKey(restored) }).toEqual({ status: 'restored', key })
      const served = await synapse.queryKeysAs(stranger, userId)
      expect(verifyPublished(userId, deviceId, served)).toEqual({ verified: true, master_key: key })
    }

    test.each(momentsOf(ESCROW))(
      'during an escrow, %s request %i, %s: what is public can be brought back, and the next run completes',
      async (moment, request) => {
        const { userId, store } = await newGhost(synapse)
        expect(await killed(moment, request, userId, FIRST, store)).toEqual(ESCROW.slice(0, request + 1))
        const before = await publicKey(synapse, stranger, userId)
        if (before !== undefined) await expectRestored(userId, 'RESCUE', before)

        const completed = await publish(userId, FIRST, store)
        const key = masterKey(completed)
        expect(await publicKey(synapse, stranger, userId)).toBe(key)
        if (before !== undefined) expect(key).toBe(before)
        expect(seedsOf(await synapse.secretStorage(userId), completed.recovery_key!)).toHaveLength(3)
        await expectRestored(userId, SECOND, key)
      },
    )

    test.each(momentsOf(RESTORE))(
      'during a restoration, %s request %i, %s: the next run completes it',
      async (moment, request) => {
        const { userId } = await newGhost(synapse)
        const [first, store] = [masterKey(await publish(userId, FIRST)), newStore()]
        expect(await killed(moment, request, userId, SECOND, store)).toEqual(RESTORE.slice(0, request + 1))
        expect(await publicKey(synapse, stranger, userId)).toBe(first)
        await expectRestored(userId, 'RESCUE', first)

        expect(masterKey(await publish(userId, SECOND, store))).toBe(first)
        const served = await synapse.queryKeysAs(stranger, userId)
        expect(verifyPublished(userId, SECOND, served)).toEqual({ verified: true, master_key: first })
      },
    )
  })
})
