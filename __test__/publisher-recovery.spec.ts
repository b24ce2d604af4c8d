// Promise: with a recovery secret, an identity that is public can be brought back, whatever is interrupted or
// lost. It is put into the secret storage before it is published, and nothing of others there is lost.

import fc from 'fast-check'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import {
  type BootstrapError,
  bootstrapCrossSigning,
  deriveRecoveryKey,
  recoveryKeyId,
} from 'rust-crypto-helper'
import {
  CrossSigningPublisher,
  type Ghost,
  type Published,
  type PublishOptions,
} from 'rust-crypto-helper/publisher'
import { defectOf } from '../publisher/account-data'
import { hostClient } from './support/host-client'
import { AS_TOKEN, type Fate, Homeserver, type Seen } from './support/homeserver'
import { type KindName } from './support/homeserver-kinds'
import { vouchingKey } from './support/published'
import {
  type AccountData,
  DEFAULT_KEY,
  defaultKeyId,
  readKey,
  SECRETS,
  seedsOf,
  storage,
} from './support/secret-storage'
import { onlyKey } from './support/signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const recoverySecret = 'the secret of the tests, which is long enough'
const RECOVERY_KEY = deriveRecoveryKey(recoverySecret, USER_ID)
const OTHER_KEY = deriveRecoveryKey('another secret, which is long enough, too', USER_ID)

const [QUERY, READ, WRITE, KEYS, IDENTITY] = [
  'POST keys/query',
  'GET account_data',
  'PUT account_data',
  'POST keys/upload',
  'POST keys/device_signing/upload',
] as const
/** The key, the default key and the three secrets. */
const READS = Array<string>(5).fill(READ)
/** The key, the three secrets, then the default key. */
const WRITES = Array<string>(5).fill(WRITE)

let homeserver: Homeserver
let folder: string

beforeEach(async () => {
  folder = temporaryFolder()
  await begin()
})

afterEach(() => homeserver.stop())

async function begin(kind?: KindName): Promise<void> {
  homeserver = await Homeserver.start(kind)
  homeserver.register('@_service:example.org')
  homeserver.register(USER_ID).devices.set(DEVICE_ID, {})
}

const newPublisher = (options: object = {}) =>
  new CrossSigningPublisher({
    homeserverUrl: homeserver.url,
    asToken: AS_TOKEN,
    recoverySecret,
    ...options,
  })

const storeOf = (deviceId: string) => join(folder, deviceId)

function publish(deviceId = DEVICE_ID, options?: PublishOptions, publisher = newPublisher()) {
  return publisher.publish(USER_ID, deviceId, storeOf(deviceId), options)
}

const without = (deviceId = DEVICE_ID) => publish(deviceId, {}, newPublisher({ recoverySecret: undefined }))

const masterKey = ({ upload_keys }: Published) => onlyKey(upload_keys.master_key)[1]
const servedKey = () => vouchingKey(homeserver.serves(USER_ID))
const accountData = (): AccountData => Object.fromEntries(homeserver.user(USER_ID).accountData)
const written = (seen: Seen[]) =>
  seen
    .filter(({ method, endpoint }) => method === 'PUT' && endpoint === 'account_data')
    .map(({ path }) => decodeURIComponent(path.slice(path.lastIndexOf('/') + 1)))

function putAccountData(contents: AccountData): void {
  for (const [type, content] of Object.entries(contents))
    homeserver.user(USER_ID).accountData.set(type, content)
}

/** What is encrypted with keys that are not described. */
function foreignEntries(count: number): object {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`key${n}`, {}]))
}

/** Loses the store and, as no device comes back without its store, the device's ID. */
function loseStore(deviceId = DEVICE_ID): void {
  rmSync(storeOf(deviceId), { recursive: true })
}

async function failure(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(Object.prototype.toString.call(error)).toBe('[object Error]')
  for (const secret of [recoverySecret, RECOVERY_KEY, RECOVERY_KEY.replaceAll(' ', '')]) {
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(secret)
  }
  return error as Error
}

describe('escrow', () => {
  test('a new identity is in the secret storage before it is published, and the recovery key opens it', async () => {
    const published = await publish()
    expect(published).toMatchObject({ status: 'created', recovery_key: RECOVERY_KEY })
    const { seen } = homeserver
    expect(written(seen)).toEqual([
      `m.secret_storage.key.${defaultKeyId(accountData())}`,
      ...SECRETS,
      DEFAULT_KEY,
    ])
    const expected = [QUERY, ...READS, KEYS, QUERY, ...WRITES, ...READS, QUERY, IDENTITY, QUERY]
    expect(homeserver.requests()).toEqual(expected)
    expect(seedsOf(accountData(), published.recovery_key!)).toHaveLength(3)
    expect(servedKey()).toBe(masterKey(published))
  })

  test('a ghost that is published and escrowed costs six requests, and nothing is sent again', async () => {
    await publish()
    homeserver.requests()
    expect((await publish()).status).toBe('published')
    expect(homeserver.requests()).toEqual([QUERY, ...READS])
  })

  test('an identity that was published without a secret is escrowed by the next call with one', async () => {
    const before = await without()
    expect(before).not.toHaveProperty('recovery_key')
    homeserver.requests()
    const published = await publish()
    expect(published).toMatchObject({ status: 'resumed', missing: ['upload_account_data'] })
    expect(homeserver.requests()).toEqual([QUERY, ...READS, ...WRITES, ...READS, QUERY])
    expect(seedsOf(accountData(), RECOVERY_KEY)).toHaveLength(3)
    expect(masterKey(published)).toBe(masterKey(before))
  })

  test.each([...SECRETS, DEFAULT_KEY])('only %s is missing: only that is put', async (type) => {
    await publish()
    homeserver.user(USER_ID).accountData.delete(type)
    homeserver.requests()
    await publish()
    await publish()
    expect(homeserver.requests().filter((request) => request === WRITE)).toHaveLength(1)
    expect(seedsOf(accountData(), RECOVERY_KEY)).toHaveLength(3)
  })

  test('what others have in the account data is kept', async () => {
    await publish()
    const seeds = seedsOf(accountData(), RECOVERY_KEY)
    const theirs = storage(readKey(OTHER_KEY), 'theirs', seeds)
    const ours = accountData()
    homeserver.register(USER_ID).devices.set('SECOND', {})
    putAccountData({ ...theirs, [DEFAULT_KEY]: {}, 'm.direct': { a: 1 } })
    const again = await publish()
    expect(again.missing).toContain('upload_account_data')
    expect(accountData()).toMatchObject({ ...theirs, 'm.direct': { a: 1 }, [DEFAULT_KEY]: ours[DEFAULT_KEY] })
    expect(seedsOf(accountData(), RECOVERY_KEY)).toEqual(seeds)
    expect(seedsOf({ ...accountData(), [DEFAULT_KEY]: { key: 'theirs' } }, OTHER_KEY)).toEqual(seeds)
  })

  test.each<[string, AccountData]>([
    ['another key', storage(readKey(OTHER_KEY), 'theirs', ['a', 'b', 'c'])],
    [
      'a key of an unknown algorithm',
      { [DEFAULT_KEY]: { key: 'x' }, 'm.secret_storage.key.x': { algorithm: 'y' } },
    ],
  ])('%s is in use: RECOVERY_KEY_MISMATCH, and nothing is made or put', async (_, theirs) => {
    putAccountData(theirs)
    expect(await failure(publish())).toMatchObject({ code: 'RECOVERY_KEY_MISMATCH' })
    expect(homeserver.requests()).toEqual([QUERY, ...READS, READ])
    expect(accountData()).toEqual(theirs)
    expect(existsSync(storeOf(DEVICE_ID))).toBe(false)
  })

  test.each<[string, Fate]>([
    ['a 404 of something else', { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: 'Unrecognized' } }],
    ['a 404 of a proxy', { status: 404, body: '<html>404 Not Found</html>' }],
    [
      'a 403',
      { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'Cannot get account data for other users.' } },
    ],
    ['a 500', { status: 500, body: { errcode: 'M_UNKNOWN', error: 'broken' } }],
    ['no object', { status: 200, body: '[]' }],
  ])('the account data cannot be read, %s: an error, and nothing is made or put', async (_, fate) => {
    homeserver.always('account_data', fate)
    const error = await failure(publish())
    expect(error).toMatchObject({ name: 'MatrixRequestError', method: 'GET' })
    expect(homeserver.requests()).toEqual([QUERY, READ])
    expect(existsSync(storeOf(DEVICE_ID))).toBe(false)
  })

  test('a homeserver that names thousands of keys is asked about a few', async () => {
    putAccountData({ [SECRETS[0]!]: { encrypted: foreignEntries(5000) } })
    await publish()
    expect(homeserver.requests().filter((request) => request === READ)).toHaveLength(5 + 20 + 5)
  })
})

describe('keys of clients beside ours', () => {
  test('the default key of a client: it stays the default, and the identity is restored with ours', async () => {
    const first = await publish()
    putAccountData({ ...storage(readKey(OTHER_KEY), 'theirs', []) })
    homeserver.requests()
    expect((await publish()).status).toBe('published')
    expect(homeserver.requests()).toEqual([QUERY, ...READS, READ])
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
    expect(defaultKeyId(accountData())).toBe('theirs')
  })

  test('a client has put the secrets for its own key alone: they are put for ours, too', async () => {
    const first = await publish()
    const seeds = seedsOf(accountData(), RECOVERY_KEY)
    putAccountData(storage(readKey(OTHER_KEY), 'theirs', seeds))
    expect((await publish()).missing).toEqual(['upload_account_data'])
    expect(seedsOf(accountData(), OTHER_KEY)).toEqual(seeds)
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })

  test('more entries of other keys than are read: the identity is restored', async () => {
    const first = await publish()
    for (const type of SECRETS) {
      const { encrypted } = accountData()[type] as { encrypted: object }
      putAccountData({ [type]: { encrypted: { ...foreignEntries(30), ...encrypted } } })
    }
    putAccountData(storage(readKey(OTHER_KEY), 'theirs', []))
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })
})

const KEY = `m.secret_storage.key.${recoveryKeyId(RECOVERY_KEY, USER_ID)}`

describe('damage in the secret storage', () => {
  test('of an entry: the store that has the identity replaces it, and so does a reset', async () => {
    const first = await publish()
    const seeds = seedsOf(accountData(), RECOVERY_KEY)
    const damaged = { [SECRETS[1]!]: { encrypted: { [defaultKeyId(accountData())]: { iv: '' } } } }
    putAccountData(damaged)
    expect(await failure(publish('SECOND'))).toMatchObject({ code: 'RECOVERY_KEY_MISMATCH' })
    expect(masterKey(await publish())).toBe(masterKey(first))
    expect(seedsOf(accountData(), RECOVERY_KEY)).toEqual(seeds)

    putAccountData(damaged)
    const second = await publish('SECOND', { reset: true })
    loseStore('SECOND')
    expect(masterKey(await publish('THIRD'))).toBe(masterKey(second))
  })

  test('of the description: with an empty one, it is described again, and the identity is restored', async () => {
    const first = await publish()
    putAccountData({ [KEY]: { ...accountData()[KEY], mac: 'x' } })
    expect(await failure(publish())).toMatchObject({ code: 'RECOVERY_KEY_MISMATCH' })
    loseStore()
    putAccountData({ [KEY]: {} })
    const restored = await publish('SECOND')
    expect(restored.status).toBe('restored')
    expect(masterKey(restored)).toBe(masterKey(first))
    expect(seedsOf(accountData(), RECOVERY_KEY)).toHaveLength(3)
  })
})

describe('account data of a wrong form', () => {
  const [MASTER] = SECRETS as [string]
  let deep: object = {}
  for (let depth = 0; depth < 101; depth++) deep = { deep }

  test.each<[string, string, unknown, string]>([
    ['a list', MASTER, [], 'it is not an object'],
    ['null', DEFAULT_KEY, null, 'it is not an object'],
    ['encrypted that is a list', MASTER, { encrypted: [] }, 'its encrypted is not an object'],
    ['encrypted that is null', MASTER, { encrypted: null }, 'its encrypted is not an object'],
    ['a default key that is no text', DEFAULT_KEY, { key: 1 }, 'its key is not a text'],
    [
      'a half of a surrogate pair in a name',
      MASTER,
      { encrypted: { '\ud800': {} } },
      'it holds a half of a surrogate pair',
    ],
    ['a half of a surrogate pair', DEFAULT_KEY, { key: '\udfff' }, 'it holds a half of a surrogate pair'],
    ['one too large', MASTER, { encrypted: {}, x: 'x'.repeat(300_000) }, 'it is too large'],
    ['one of too many values', KEY, { list: Array(40_000).fill(0) }, 'it is too large'],
    ['one too deep', KEY, { deep }, 'it is nested too deeply'],
  ])('%s: an error about the homeserver, and nothing is made or put', async (_, type, content, why) => {
    putAccountData({ [type]: content as object })
    homeserver.decide('account_data', () =>
      decodeURIComponent(homeserver.seen.at(-1)!.path).endsWith(`/${type}`)
        ? { status: 200, body: JSON.stringify(content) }
        : 'handled',
    )
    const error = await failure(publish())
    expect(error).toMatchObject({ name: 'MatrixRequestError', method: 'GET', status: 200 })
    expect(error.message).toContain(`the account data ${type} of ${USER_ID} have a wrong form: ${why}. `)
    expect(error.message).not.toMatch(/[\n\r]/)
    expect(homeserver.requests()).not.toContain(WRITE)
    expect(existsSync(storeOf(DEVICE_ID))).toBe(false)

    // The way out that the message names.
    homeserver.always('account_data', 'handled')
    putAccountData({ [type]: {} })
    expect((await publish()).status).toBe('created')
  })

  test('what is taken for well-formed is so for the native call, too', async () => {
    const storePath = join(folder, 'file')
    writeFileSync(storePath, '')
    const json = fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' })
    const content = fc.oneof(
      fc.record({ encrypted: json, key: json }, { requiredKeys: [] }),
      fc.dictionary(fc.string({ unit: 'binary' }), json),
      json,
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(DEFAULT_KEY, MASTER, KEY), content, async (type, content) => {
        const isTaken = await bootstrapCrossSigning(USER_ID, DEVICE_ID, storePath, {
          recovery: { key: RECOVERY_KEY, accountData: { [type]: content as object } },
        }).catch((error: unknown) => (error as BootstrapError).code !== 'INVALID_ARGUMENT')
        expect(defectOf(type, content) === undefined).toBe(isTaken)
      }),
      { numRuns: 500 },
    )
  })
})

describe('restore', () => {
  test('a lost store: a new device gets the same identity, without an upload of an identity', async () => {
    const first = await publish()
    loseStore()
    homeserver.requests()
    const restored = await publish('SECOND')
    expect(restored).toMatchObject({
      status: 'restored',
      missing: ['upload_device_keys', 'upload_signatures'],
      recovery_key: RECOVERY_KEY,
    })
    const requests = homeserver.requests()
    expect(requests).not.toContain(IDENTITY)
    expect(requests).not.toContain(WRITE)
    expect(masterKey(restored)).toBe(masterKey(first))
    expect(vouchingKey(homeserver.serves(USER_ID), 'SECOND')).toBe(masterKey(first))
    expect((await publish('SECOND')).status).toBe('published')
  })

  test('the old device ID, where the device is gone: the same identity', async () => {
    const first = await publish()
    loseStore()
    homeserver.user(USER_ID).devices.delete(DEVICE_ID)
    homeserver.user(USER_ID).deviceKeys.delete(DEVICE_ID)
    expect(masterKey(await publish())).toBe(masterKey(first))
    expect(servedKey()).toBe(masterKey(first))
  })

  test('the old device ID, where the device is still there: the error says that a new one is needed', async () => {
    const first = await publish()
    loseStore()
    const error = await failure(publish())
    expect(error).toMatchObject({ name: 'NotPublishedError', problem: 'DEVICE_KEYS_DIFFER' })
    expect(error.message).toMatch(/new device ID/)
    expect(servedKey()).toBe(masterKey(first))
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })

  test('an encrypted store', async () => {
    const first = await publish()
    const passphrase = 'of the new store'
    const restored = await publish('SECOND', { passphrase })
    expect(masterKey(restored)).toBe(masterKey(first))
    expect((await publish('SECOND', { passphrase })).status).toBe('published')
    expect(await failure(publish('SECOND'))).toMatchObject({ code: 'STORE_PASSPHRASE' })
  })

  test('another secret, or none: refused, and no identity is made', async () => {
    const first = await publish()
    const other = newPublisher({ recoverySecret: 'x'.repeat(32) })
    expect(await failure(publish('SECOND', {}, other))).toMatchObject({ code: 'RECOVERY_KEY_MISMATCH' })
    expect(await failure(without('SECOND'))).toMatchObject({ code: 'IDENTITY_CONFLICT' })
    expect(existsSync(storeOf('SECOND'))).toBe(false)
    expect(servedKey()).toBe(masterKey(first))
  })

  test('many at once: queries for many do not show the user-signing key, and all are restored', async () => {
    const ghosts = Array.from({ length: 40 }, (_, n): Ghost => {
      const userId = `@_ghost_${n}:example.org`
      homeserver.register(userId)
      return { userId, deviceId: DEVICE_ID, storePath: join(folder, `${n}`) }
    })
    const collect = async (ghosts: Ghost[]) => {
      const keys = new Map<string, string>()
      for await (const outcome of newPublisher().publishAll(ghosts)) {
        if ('error' in outcome) throw outcome.error
        keys.set(outcome.ghost.userId, masterKey(outcome.published))
      }
      return keys
    }
    const made = await collect(ghosts)
    const lost = ghosts.map(({ userId, storePath }) => ({
      userId,
      deviceId: 'SECOND',
      storePath: `${storePath}-2`,
    }))
    homeserver.requests()
    expect(new Map([...(await collect(lost))].sort())).toEqual(new Map([...made].sort()))
    expect(homeserver.requests()).not.toContain(IDENTITY)
  })

  test.each(['a bot', 'a host'])('%s', async (sender) => {
    const options = (deviceId: string) =>
      sender === 'a bot'
        ? { asToken: undefined, accessToken: homeserver.logIn(USER_ID, deviceId) }
        : { asToken: undefined, homeserverUrl: undefined, request: hostClient(homeserver.url, AS_TOKEN) }
    const first = await publish(DEVICE_ID, {}, newPublisher(options(DEVICE_ID)))
    loseStore()
    const restored = await publish('SECOND', {}, newPublisher(options('SECOND')))
    expect(restored.status).toBe('restored')
    expect(masterKey(restored)).toBe(masterKey(first))
    expect(vouchingKey(homeserver.serves(USER_ID), 'SECOND')).toBe(masterKey(first))
  })
})

describe('interruptions', () => {
  const ENDPOINTS = [
    'keys/query',
    'keys/upload',
    'devices',
    'account_data',
    'keys/device_signing/upload',
    'keys/signatures/upload',
  ] as const

  /** A call of which one request is cut. Returns whether the call got so far. */
  async function interrupted(request: number, fate: 'cut' | 'lost', deviceId: string): Promise<boolean> {
    let count = 0
    for (const endpoint of ENDPOINTS)
      homeserver.decide(endpoint, () => (count++ === request ? fate : 'handled'))
    const call = publish(deviceId, {}, newPublisher({ maxRetries: 0 }))
    const isCut = await call.then(
      () => false,
      () => true,
    )
    for (const endpoint of ENDPOINTS) homeserver.always(endpoint, 'handled')
    expect(isCut).toBe(count > request)
    return isCut
  }

  const publicKey = () => {
    const key = homeserver.serves(USER_ID).master_keys[USER_ID]
    return key && onlyKey(key)[1]
  }

  test.each(['cut', 'lost'] as const)(
    'an escrow, each request %s: the next call completes it, and what is public can be brought back',
    async (fate) => {
      for (let request = 0; ; request++) {
        await homeserver.stop()
        await begin()
        folder = temporaryFolder()
        const isCut = await interrupted(request, fate, DEVICE_ID)
        const published = publicKey()
        // The store may be lost at this moment.
        if (published) expect(masterKey(await publish('RESCUE'))).toBe(published)
        const completed = await publish()
        expect(servedKey()).toBe(masterKey(completed))
        if (published) expect(masterKey(completed)).toBe(published)
        expect(seedsOf(accountData(), RECOVERY_KEY)).toHaveLength(3)
        if (!isCut) {
          // A query, five reads of which one is there only later, device keys, five writes, keys, a query.
          expect(request).toBeGreaterThan(12)
          break
        }
      }
    },
  )

  test.each(['cut', 'lost'] as const)(
    'a restoration, each request %s: the next call completes it',
    async (fate) => {
      const first = masterKey(await publish())
      for (let request = 0; ; request++) {
        const deviceId = `DEVICE${request}`
        const isCut = await interrupted(request, fate, deviceId)
        expect(masterKey(await publish(deviceId))).toBe(first)
        expect(vouchingKey(homeserver.serves(USER_ID), deviceId)).toBe(first)
        if (!isCut) {
          expect(request).toBeGreaterThan(8)
          break
        }
      }
      expect(homeserver.requests().filter((sent) => sent === IDENTITY)).toHaveLength(1)
    },
  )
})

describe('reset', () => {
  const password = 'a homeserver that wants a password to replace an identity'

  test('makes a new identity, which is escrowed in the place of the old one', async () => {
    const first = await publish()
    const second = await publish(DEVICE_ID, { reset: true })
    expect(masterKey(second)).not.toBe(masterKey(first))
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(second))
  })

  test(`${password}: the old identity stays in the secret storage, and can be brought back`, async () => {
    const first = await publish()
    const before = accountData()
    homeserver.interactiveAuth = {
      when: 'another identity is there',
      flows: [{ stages: ['m.login.password'] }],
    }
    const error = await failure(publish(DEVICE_ID, { reset: true }))
    expect(error.name).toBe('UserInteractiveAuthError')
    expect(accountData()).toEqual(before)
    expect(servedKey()).toBe(masterKey(first))
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })
})

describe('a refused reset', () => {
  test.each(['throws', 'is aborted'])(
    'the caller authenticates a person, and that %s: the old identity stays in the secret storage',
    async (how) => {
      const first = await publish()
      const before = accountData()
      homeserver.interactiveAuth = {
        when: 'another identity is there',
        flows: [{ stages: ['m.login.password'] }],
      }
      const abort = new AbortController()
      const onUserInteractiveAuth = () => {
        if (how === 'throws') throw new Error('cancelled')
        abort.abort(new Error('cancelled'))
        return new Promise<never>(() => undefined)
      }
      const options = { reset: true, signal: abort.signal }
      const call = publish(DEVICE_ID, options, newPublisher({ onUserInteractiveAuth }))
      expect((await failure(call)).message).toBe('cancelled')
      expect(accountData()).toEqual(before)
      loseStore()
      expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
    },
  )
})

describe('a secret storage that is not what was put', () => {
  const dropped = { status: 200, body: {} }

  test.each([0, 1, 2, 3, 4])(
    'the homeserver drops the upload %i: nothing is published, and the next call completes it',
    async (n) => {
      let count = 0
      homeserver.decide('account_data', () =>
        homeserver.seen.at(-1)?.method === 'PUT' && count++ === n ? dropped : 'handled',
      )
      const error = await failure(publish())
      expect(error).toMatchObject({ problem: 'STILL_MISSING' })
      expect(error.message).toMatch(/ the account data m\.\S+ of @\S+, and serves something else$/)
      expect(homeserver.requests()).not.toContain(IDENTITY)
      homeserver.always('account_data', 'handled')
      const first = await publish()
      loseStore()
      expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
    },
  )

  test('another identity that appears before the escrow is not replaced, and neither is its escrow', async () => {
    const kept = { [SECRETS[0]!]: { encrypted: { theirs: { iv: 'a', ciphertext: 'b', mac: 'c' } } } }
    const other = await bootstrapCrossSigning(USER_ID, 'PHONE', join(folder, 'phone'))
    // What is there when the publication begins is older than what it must not touch.
    putAccountData({ [SECRETS[0]!]: { encrypted: { older: { iv: 'a', ciphertext: 'b', mac: 'c' } } } })
    homeserver.next('keys/upload', (answer) => {
      Object.assign(homeserver.user(USER_ID).identity, structuredClone(other.upload_keys))
      putAccountData(kept)
      return answer
    })
    expect(await failure(publish())).toMatchObject({ problem: 'OTHER_IDENTITY' })
    expect(homeserver.requests()).not.toContain(WRITE)
    expect(accountData()).toEqual(kept)
  })

  test('a reset of which an upload to the secret storage is refused: the old identity stays there', async () => {
    const first = await publish()
    const before = accountData()
    const refused = { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'no' } }
    let count = 0
    homeserver.decide('account_data', () =>
      homeserver.seen.at(-1)?.method === 'PUT' && count++ === 1 ? refused : 'handled',
    )
    const error = await failure(publish(DEVICE_ID, { reset: true }))
    expect(error).toMatchObject({ method: 'PUT', status: 403 })
    expect(accountData()).toEqual(before)
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })

  test('a reset that was done without an answer, and then refused: the new identity stays there', async () => {
    await publish()
    homeserver.next('keys/device_signing/upload', 'lost', {
      status: 403,
      body: { errcode: 'M_FORBIDDEN', error: 'no' },
    })
    await failure(publish(DEVICE_ID, { reset: true }, newPublisher({ maxRetries: 1 })))
    const { master_keys } = homeserver.serves(USER_ID)
    const published = onlyKey(master_keys[USER_ID]!)[1]
    loseStore()
    expect(masterKey(await publish('SECOND'))).toBe(published)
  })

  test.each([
    ['got no answer', 'cut', undefined],
    ['was answered by a proxy', { status: 503, body: 'restarting' }, 503],
  ] as const)('a reset whose upload %s: the new identity stays there', async (_, fate, status) => {
    await publish()
    const before = seedsOf(accountData(), RECOVERY_KEY)
    homeserver.next('keys/device_signing/upload', fate)
    const error = await failure(publish(DEVICE_ID, { reset: true }, newPublisher({ maxRetries: 0 })))
    expect(error).toMatchObject({ name: 'MatrixRequestError', status })
    // Nobody knows what the homeserver has done.
    for (const [n, seed] of seedsOf(accountData(), RECOVERY_KEY).entries()) expect(seed).not.toBe(before[n])
  })

  test.each(['.', '..', ''])('a key with the ID %j does not exist', async (id) => {
    putAccountData({ [SECRETS[0]!]: { encrypted: { [id]: {} } } })
    await publish()
    expect(seedsOf(accountData(), RECOVERY_KEY)).toHaveLength(3)
  })
})

describe('a device that is a dead end', () => {
  test('the identity is escrowed all the same, and a new device has it', async () => {
    const first = await without()
    const { deviceKeys } = homeserver.user(USER_ID)
    const [id] = onlyKey(first.upload_keys.self_signing_key)
    const { signatures } = deviceKeys.get(DEVICE_ID)!
    signatures[USER_ID]![id] = signatures[USER_ID]![`ed25519:${DEVICE_ID}`]!
    expect(await failure(publish())).toMatchObject({ problem: 'STALE_SIGNATURE' })
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })

  test('a reset does not replace what is escrowed', async () => {
    const first = await publish()
    loseStore()
    expect(await failure(publish(DEVICE_ID, { reset: true }))).toMatchObject({
      problem: 'DEVICE_KEYS_DIFFER',
    })
    expect(masterKey(await publish('SECOND'))).toBe(masterKey(first))
  })
})

describe('the secret', () => {
  test.each([
    ['short', 'x'.repeat(31)],
    ['no text', 7],
    ['empty', ''],
  ])('%s: a TypeError that does not show it', (_, secret) => {
    const make = () => newPublisher({ recoverySecret: secret })
    expect(make).toThrow(TypeError)
    expect(make).toThrow(/^recoverySecret: /)
    if (secret) expect(make).not.toThrow(new RegExp(String(secret)))
  })

  test('as bytes: the same key as its text, also if the caller wipes the bytes', async () => {
    const bytes = new TextEncoder().encode(recoverySecret)
    const publisher = newPublisher({ recoverySecret: bytes })
    bytes.fill(0)
    expect((await publish(DEVICE_ID, {}, publisher)).recovery_key).toBe(RECOVERY_KEY)
  })

  test('is in no publisher that is shown', () => {
    expect(inspect(newPublisher(), { depth: Infinity, showHidden: true })).not.toContain(recoverySecret)
  })
})
