// Promise: with `recovery` an identity is in the secret storage before it is public, outlives its store, and is
// never replaced by accident; nothing in the account data is trusted. UPDATE_DOCS=1 writes the table of decisions
// to docs/recovery.md.

import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  createRecoveryKey,
  type CrossSigningBootstrap,
  deriveRecoveryKey,
  type KeysQueryAnswer,
  recoveryKeyId,
  verifyPublished,
} from 'rust-crypto-helper'
import { change, record, setRecord } from './support/database'
import {
  type AccountData,
  DEFAULT_KEY,
  defaultKeyId,
  describe as describeKey,
  encrypt,
  isDescribedBy,
  publicKeyOf,
  put,
  readKey,
  SECRETS,
  seedsOf,
  storage,
  writeKey,
} from './support/secret-storage'
import { canonicalJson, isSignedBy, onlyKey } from './support/signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const DOCUMENT = join(__dirname, '..', 'docs', 'recovery.md')
const NEW_DEVICE_ID = 'NEWDEVICE'

interface Failure extends Error {
  code: string
}

async function failure(call: Promise<unknown>): Promise<Failure> {
  return call.then(
    () => {
      throw new Error('resolved')
    },
    (error: unknown) => error as Failure,
  )
}

function thrown(call: () => unknown): Failure {
  try {
    call()
  } catch (error) {
    return error as Failure
  }
  throw new Error('returned')
}

function bootstrap(store: string, options: BootstrapOptions, deviceId = DEVICE_ID) {
  return bootstrapCrossSigning(USER_ID, deviceId, store, options)
}

/** What a homeserver answers that got these keys, and perhaps the device with its signatures. */
function answer(published?: CrossSigningBootstrap, device = true): KeysQueryAnswer {
  const keys = published?.upload_keys
  const deviceKeys = published?.upload_device_keys?.device_keys
  return structuredClone({
    device_keys: { [USER_ID]: deviceKeys && device ? { [deviceKeys.device_id]: deviceKeys } : {} },
    master_keys: keys ? { [USER_ID]: keys.master_key } : {},
    self_signing_keys: keys ? { [USER_ID]: keys.self_signing_key } : {},
    user_signing_keys: keys ? { [USER_ID]: keys.user_signing_key } : {},
  })
}

/** The files of a store with their content, or whether the parent of its folder exists. */
function trace(store: string): unknown {
  if (!existsSync(store)) return { parent: existsSync(dirname(store)) }
  return readdirSync(store).map((name) => [name, readFileSync(join(store, name)).toString('base64')])
}

const masterKey = ({ upload_keys }: CrossSigningBootstrap) => onlyKey(upload_keys.master_key)[1]

const publicKeys = ({ upload_keys: keys }: CrossSigningBootstrap) =>
  [keys.master_key, keys.self_signing_key, keys.user_signing_key].map((key) => onlyKey(key)[1])

/** The public keys of what a client finds with a key. */
const escrowed = (accountData: AccountData, key: string) =>
  seedsOf(accountData, key).map((seed) => publicKeyOf(Buffer.from(seed, 'base64')))

/** A published ghost whose identity is in the secret storage. */
async function escrowedGhost(folder = temporaryFolder(), options: BootstrapOptions = {}) {
  const key = createRecoveryKey()
  const store = join(folder, 'store')
  const made = await bootstrap(store, {
    ...options,
    serverKeys: answer(),
    recovery: { key, accountData: {} },
  })
  const accountData = put({}, made.upload_account_data)
  return { folder, key, store, made, accountData, serverKeys: answer(made) }
}

describe('recovery keys', () => {
  test('a new key is one that clients read', () => {
    const keys = Array.from({ length: 200 }, () => createRecoveryKey())
    for (const key of keys) {
      expect(key).toMatch(/^(\w{4} ){11}\w{4}$/)
      expect(writeKey(readKey(key))).toBe(key)
    }
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('a derived key is that of HKDF by Node.js', () => {
    const secrets = [randomBytes(32), randomBytes(1000), 'x'.repeat(32), 'ä'.repeat(16), '😀'.repeat(8)]
    for (const secret of secrets) {
      for (const userId of [USER_ID, '@a:b', '@ghost/with=odd.characters:example.org:8448']) {
        const info = `rust-crypto-helper recovery key v1 ${userId}`
        const expected = Buffer.from(hkdfSync('sha256', secret, '', info, 32))
        expect(deriveRecoveryKey(secret, userId)).toBe(writeKey(expected))
        expect(deriveRecoveryKey(Buffer.from(secret), userId)).toBe(writeKey(expected))
        expect(deriveRecoveryKey(new Uint8Array(Buffer.from(secret)), userId)).toBe(writeKey(expected))
      }
    }
    // Written down, so that a change of the construction is seen: it makes every escrowed identity unreachable.
    expect(deriveRecoveryKey('0123456789abcdef0123456789abcdef', USER_ID)).toBe(
      'EsTi iqgg 8UN4 R7vQ meR6 Zus9 G1vF Xsds JLnP mTjJ PoUf B4Fx',
    )
  })

  const untyped = deriveRecoveryKey as (...args: unknown[]) => string

  test.each<[string, string, unknown[]]>([
    ['no arguments', 'INVALID_ARGUMENT', []],
    ['a secret of 31 bytes', 'INVALID_ARGUMENT', ['x'.repeat(31), USER_ID]],
    ['31 bytes', 'INVALID_ARGUMENT', [new Uint8Array(31), USER_ID]],
    ['an empty secret', 'INVALID_ARGUMENT', ['', USER_ID]],
    ['a secret with half of a surrogate pair', 'INVALID_ARGUMENT', [`${'x'.repeat(32)}\ud800`, USER_ID]],
    ['a secret that is an array', 'INVALID_ARGUMENT', [Array(32).fill(0), USER_ID]],
    ['a secret that is a Uint16Array', 'INVALID_ARGUMENT', [new Uint16Array(64), USER_ID]],
    ['a secret that is an ArrayBuffer', 'INVALID_ARGUMENT', [new ArrayBuffer(64), USER_ID]],
    ['a secret that is detached', 'INVALID_ARGUMENT', [detached(), USER_ID]],
    ['no user', 'INVALID_ARGUMENT', ['x'.repeat(32)]],
    ['a user that is none', 'INVALID_USER_ID', ['x'.repeat(32), 'ghost']],
  ])('%s is refused: %s', (_, code, args) => {
    expect(thrown(() => untyped(...args)).code).toBe(code)
  })

  test('anything may come in', () => {
    fc.assert(
      fc.property(fc.array(fc.anything(), { maxLength: 3 }), (args) => {
        expect(['INVALID_ARGUMENT', 'INVALID_USER_ID']).toContain(thrown(() => untyped(...args)).code)
      }),
    )
  })

  test('what is no recovery key is refused, and not quoted', async () => {
    const store = join(temporaryFolder(), 'made', 'store')
    const key = createRecoveryKey()
    const bytes = readKey(key)
    const other = key.endsWith('3') ? '4' : '3'
    const wrong = [
      '',
      ' ',
      'key',
      key.slice(1),
      key.slice(0, -1),
      `${key.slice(0, -1)}${other}`,
      `${key} ${key}`,
    ]
    wrong.push(key.replaceAll(' ', '-'), `${key.slice(0, -1)}0`, key.repeat(10_000), bytes.toString('base64'))
    for (const key of wrong) {
      const error = await failure(bootstrap(store, { recovery: { key } }))
      expect(error.code).toBe('INVALID_RECOVERY_KEY')
      if (key.trim().length > 3) expect(error.message).not.toContain(key.trim().slice(0, 8))
    }
    expect(trace(store)).toEqual({ parent: false })
  })

  test('the ID of a key is that of HKDF by Node.js, and tells what to read', async () => {
    const { key, accountData } = await escrowedGhost()
    const id = Buffer.from(
      hkdfSync('sha256', readKey(key), '', `rust-crypto-helper key ID v1 ${USER_ID}`, 16),
    )
    expect(recoveryKeyId(key, USER_ID)).toBe(id.toString('hex'))
    expect(defaultKeyId(accountData)).toBe(id.toString('hex'))
    expect(recoveryKeyId(` ${key.replaceAll(' ', '')}`, USER_ID)).toBe(id.toString('hex'))
    expect(recoveryKeyId(key, '@other:example.org')).not.toBe(id.toString('hex'))
    const untyped = recoveryKeyId as (...args: unknown[]) => string
    expect(thrown(() => untyped()).code).toBe('INVALID_ARGUMENT')
    expect(thrown(() => untyped('key', USER_ID)).code).toBe('INVALID_RECOVERY_KEY')
    expect(thrown(() => untyped(key, 'ghost')).code).toBe('INVALID_USER_ID')
    expect(thrown(() => untyped(key)).code).toBe('INVALID_ARGUMENT')
  })

  test('white space in a key does not count', async () => {
    const { key, store, serverKeys, accountData } = await escrowedGhost()
    for (const written of [key.replaceAll(' ', ''), `\n${key.replaceAll(' ', '\u00a0\t')} `]) {
      const again = await bootstrap(store, { serverKeys, recovery: { key: written, accountData } })
      expect(again).toMatchObject({ status: 'published', missing: [] })
    }
  })
})

function detached(): Uint8Array {
  const bytes = new Uint8Array(64)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

describe('escrow', () => {
  test('Node.js decrypts what is escrowed, and finds the private keys of what is published', async () => {
    const { key, made, accountData } = await escrowedGhost()
    const id = defaultKeyId(accountData)
    expect(made.upload_account_data!.map(({ type }) => type)).toEqual([
      `m.secret_storage.key.${id}`,
      ...SECRETS,
      DEFAULT_KEY,
    ])
    expect(Object.keys(accountData[`m.secret_storage.key.${id}`]!).sort()).toEqual(['algorithm', 'iv', 'mac'])
    expect(made.missing).toEqual([
      'upload_device_keys',
      'upload_account_data',
      'upload_keys',
      'upload_signatures',
    ])
    expect(escrowed(accountData, key)).toEqual(publicKeys(made))
    // Clients of today write and read seeds in this form.
    for (const seed of seedsOf(accountData, key)) expect(seed).toMatch(/^[A-Za-z0-9+/]{43}$/)
  })

  test('a call that is made again describes the same key', async () => {
    const { key, store, accountData } = await escrowedGhost()
    const again = await bootstrap(store, { recovery: { key } })
    expect(defaultKeyId(put({}, again.upload_account_data))).toBe(defaultKeyId(accountData))
    expect(escrowed(put({}, again.upload_account_data), key)).toEqual(publicKeys(again))
    expect(again).not.toHaveProperty('missing')
  })

  test('without recovery the result says nothing about account data', async () => {
    const { store, serverKeys } = await escrowedGhost()
    expect(await bootstrap(store, { serverKeys })).not.toHaveProperty('upload_account_data')
    expect(await bootstrap(store, { serverKeys, recovery: undefined })).not.toHaveProperty(
      'upload_account_data',
    )
  })

  test('a caller that dies between two requests finishes with the next call', async () => {
    const { key, store, made, accountData } = await escrowedGhost()
    for (let sent = 0; sent <= 5; sent += 1) {
      const there = put({}, made.upload_account_data!.slice(0, sent))
      const recovery = { key, accountData: there }
      const again = await bootstrap(store, { serverKeys: answer(made), recovery })
      expect(again.missing).toEqual(sent === 5 ? [] : ['upload_account_data'])
      const finished = put(there, again.upload_account_data)
      expect(escrowed(finished, key)).toEqual(publicKeys(made))
      // What is there stays as it is.
      expect(finished).toMatchObject(there)
      expect(defaultKeyId(finished)).toBe(defaultKeyId(accountData))
    }
  })

  test('what others have in the account data is kept', async () => {
    const { key, store, made, accountData } = await escrowedGhost()
    const theirs = { iv: 'theirs', ciphertext: 'theirs', mac: 'theirs' }
    const mixed: AccountData = {
      'm.cross_signing.master': { encrypted: { theirs }, beside: [1, null, { a: 'ä' }] },
      'm.secret_storage.key.theirs': { algorithm: 'org.example.other', name: 'theirs' },
      [DEFAULT_KEY]: { beside: true },
    }
    const again = await bootstrap(store, { serverKeys: answer(made), recovery: { key, accountData: mixed } })
    expect(again.missing).toEqual(['upload_account_data'])
    const finished = put(mixed, again.upload_account_data)
    expect(finished).toMatchObject(mixed)
    expect(escrowed(finished, key)).toEqual(publicKeys(made))
    expect(defaultKeyId(finished)).toBe(defaultKeyId(accountData))
  })
})

describe('restore', () => {
  test.each([
    ['a new device', NEW_DEVICE_ID],
    ['the old device ID', DEVICE_ID],
  ])('%s gets the served identity, and nothing but the device is left', async (_, deviceId) => {
    for (const passphrase of [undefined, '', 'secret']) {
      const { folder, key, made, accountData } = await escrowedGhost()
      const store = join(folder, 'restored')
      const call = { passphrase, serverKeys: answer(made, false), recovery: { key, accountData } }
      const restored = await bootstrap(store, call, deviceId)
      expect(restored.status).toBe('restored')
      expect(restored.missing).toEqual(['upload_device_keys', 'upload_signatures'])
      expect(restored.warnings).toEqual([])
      expect(publicKeys(restored)).toEqual(publicKeys(made))

      const device = restored.upload_device_keys!.device_keys
      const [keyId, publicKey] = onlyKey(made.upload_keys.self_signing_key)
      expect(isSignedBy(device, USER_ID, keyId, publicKey)).toBe(true)
      const published = { ...answer(made), device_keys: { [USER_ID]: { [deviceId]: device } } }
      expect(verifyPublished(USER_ID, deviceId, published)).toEqual({
        verified: true,
        master_key: masterKey(made),
      })
      // From now on the store has the identity, with and without what the homeserver says.
      for (const known of [
        { ...call, serverKeys: published },
        { passphrase, serverKeys: published },
      ])
        expect(await bootstrap(store, known, deviceId)).toMatchObject({ status: 'published', missing: [] })
      const alone = await bootstrap(store, { passphrase }, deviceId)
      expect(alone.status).toBe('resumed')
      expect(publicKeys(alone)).toEqual(publicKeys(made))
    }
  })

  test('a device of the old ID that is still there is reported', async () => {
    const { folder, key, serverKeys, accountData } = await escrowedGhost()
    const restored = await bootstrap(join(folder, 'restored'), { serverKeys, recovery: { key, accountData } })
    expect(restored.status).toBe('restored')
    expect(restored.warnings?.map(({ code }) => code)).toEqual(['DEVICE_KEYS_DIFFER'])
  })

  test('a store without one of its private keys is completed', async () => {
    const { key, store, made, serverKeys, accountData } = await escrowedGhost()
    const identity = (await record(store, 'identity')) as { keys: object }
    for (const name of ['master_key', 'self_signing_key', 'user_signing_key']) {
      await setRecord(store, 'identity', { ...identity, keys: { ...identity.keys, [name]: null } })
      const before = trace(store)
      for (const recovery of [undefined, { key }, { key, accountData: {} }])
        expect((await failure(bootstrap(store, { serverKeys, recovery }))).code).toBe('IDENTITY_INCOMPLETE')
      expect(trace(store)).toEqual(before)
      const restored = await bootstrap(store, { serverKeys, recovery: { key, accountData } })
      expect(restored).toMatchObject({ status: 'restored', missing: [] })
      expect(publicKeys(restored)).toEqual(publicKeys(made))
      expect((await bootstrap(store, { serverKeys })).status).toBe('published')
    }
  })

  test('an identity that only the store knows comes back without serverKeys', async () => {
    const { key, store, made, accountData } = await escrowedGhost()
    await change(store, "DELETE FROM kv WHERE key = 'identity'")
    expect((await failure(bootstrap(store, {}))).code).toBe('IDENTITY_INCOMPLETE')
    const restored = await bootstrap(store, { recovery: { key, accountData } })
    expect(restored.status).toBe('restored')
    expect(restored.upload_keys).toEqual(made.upload_keys)
  })

  test('what the store has of another identity is not replaced', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const store = join(folder, 'other')
    const other = await bootstrap(store, {})
    const identity = (await record(store, 'identity')) as { keys: object }
    const refused = async (options: BootstrapOptions, theirs: string[]) => {
      const before = trace(store)
      const error = await failure(bootstrap(store, { ...options, recovery: { key, accountData } }))
      expect(error.code).toBe('IDENTITY_CONFLICT')
      expect(error.message).toContain(masterKey(made))
      expect(theirs.filter((theirs) => error.message.includes(theirs))).toHaveLength(1)
      expect(trace(store)).toEqual(before)
    }
    for (const name of ['master_key', 'self_signing_key', 'user_signing_key']) {
      await setRecord(store, 'identity', { ...identity, keys: { ...identity.keys, [name]: null } })
      for (const serverKeys of [undefined, answer(), answer(made, false)])
        await refused({ serverKeys }, publicKeys(other))
    }
    await change(store, "DELETE FROM kv WHERE key = 'identity'")
    for (const serverKeys of [undefined, answer()]) await refused({ serverKeys }, [masterKey(other)])

    // Public keys that are no longer served are worth nothing.
    const serverKeys = answer(made, false)
    const restored = await bootstrap(store, { serverKeys, recovery: { key, accountData } })
    expect(restored.status).toBe('restored')
    expect(publicKeys(restored)).toEqual(publicKeys(made))
  })

  test('what a client has made is restored, in every form of base64', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const bytes = readKey(key)
    const seeds = seedsOf(accountData, key)
    for (const [index, pad] of ['', '='].entries()) {
      const theirs = storage(
        bytes,
        'CLIENTKEY',
        seeds.map((seed) => seed + pad),
      )
      // The key was made from a passphrase. To derive it again would take hours.
      Object.assign(theirs['m.secret_storage.key.CLIENTKEY']!, {
        passphrase: { algorithm: 'm.pbkdf2', salt: 'salt', iterations: 4_294_967_295, bits: 256 },
      })
      const store = join(folder, `restored-${index}`)
      const began = Date.now()
      const restored = await bootstrap(
        store,
        { serverKeys: answer(made, false), recovery: { key, accountData: theirs } },
        NEW_DEVICE_ID,
      )
      expect(Date.now() - began).toBeLessThan(10_000)
      expect(restored).toMatchObject({
        status: 'restored',
        missing: ['upload_device_keys', 'upload_signatures'],
      })
      expect(put({}, restored.upload_account_data)).toEqual(theirs)
    }
  })

  test('a description without a check is believed only if a secret proves the key', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const id = defaultKeyId(accountData)
    const unchecked = {
      ...accountData,
      [`m.secret_storage.key.${id}`]: { algorithm: 'm.secret_storage.v1.aes-hmac-sha2' },
    }
    const serverKeys = answer(made, false)
    const restored = bootstrap(join(folder, 'restored'), {
      serverKeys,
      recovery: { key, accountData: unchecked },
    })
    await expect(restored).resolves.toMatchObject({ status: 'restored' })
    const wrong = { key: createRecoveryKey(), accountData: unchecked }
    for (const call of [{}, { serverKeys }, { reset: true }]) {
      const error = await failure(bootstrap(join(folder, 'new'), { ...call, recovery: wrong }))
      expect(error.code).toBe('RECOVERY_KEY_MISMATCH')
    }
    const nothing: AccountData = { ...unchecked }
    for (const secret of SECRETS) Reflect.deleteProperty(nothing, secret)
    const error = await failure(bootstrap(join(folder, 'new'), { recovery: { key, accountData: nothing } }))
    expect(error.code).toBe('RECOVERY_KEY_MISMATCH')
  })

  test('each of the private keys must be that of the served identity', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const store = join(folder, 'new')
    for (const index of SECRETS.keys()) {
      const seeds = seedsOf(accountData, key)
      seeds[index] = randomBytes(32).toString('base64')
      const recovery = { key, accountData: storage(readKey(key), 'MIXED', seeds) }
      const error = await failure(bootstrap(store, { serverKeys: answer(made, false), recovery }))
      expect(error.code).toBe('IDENTITY_CONFLICT')
      expect(error.message).toContain(masterKey(made))
    }
    expect(existsSync(store)).toBe(false)
  })

  test('the served identity must be complete and signed, as far as it can be seen', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const other = await bootstrap(join(folder, 'other'), {})
    const recovery = { key, accountData }
    const wrong: KeysQueryAnswer[] = [
      { ...answer(made), user_signing_keys: {} },
      { ...answer(made), self_signing_keys: {} },
      { ...answer(made), user_signing_keys: answer(other).user_signing_keys },
      { ...answer(made), self_signing_keys: answer(other).self_signing_keys },
      { ...answer(other), master_keys: {} },
      { ...answer(made), master_keys: { [USER_ID]: {} } },
    ]
    const unsigned = answer(made)
    Object.assign(unsigned.self_signing_keys![USER_ID]!, { signatures: {} })
    const store = join(folder, 'new')
    for (const serverKeys of [...wrong, unsigned]) {
      const error = await failure(bootstrap(store, { serverKeys, recovery }))
      expect(error.code).toBe('IDENTITY_CONFLICT')
    }
    expect(existsSync(store)).toBe(false)
  })
})

/** A and B are identities of the same ghost. */
describe('decisions', () => {
  const SERVERS = ['nothing', 'A', 'B'] as const
  const ACCOUNT_DATA = [
    'are not given',
    'are empty',
    'hold A',
    'hold B',
    'hold a part of A',
    "hold A, and a client's key is the default",
    "belong to a client's key alone",
  ] as const
  const STORES = ['nothing', 'an account', 'A', 'A, imported'] as const

  let scene: Awaited<ReturnType<typeof makeScene>>

  async function makeScene() {
    const ours = await escrowedGhost()
    const { folder, key, made, accountData, store } = ours
    const other = await bootstrap(join(folder, 'other'), { recovery: { key, accountData: {} } })
    const account = join(folder, 'account')
    await bootstrap(account, {})
    await change(account, "DELETE FROM kv WHERE key = 'identity'")
    await change(account, 'DELETE FROM identity')
    const imported = join(folder, 'imported')
    await bootstrap(imported, { serverKeys: answer(made, false), recovery: { key, accountData } })

    const id = defaultKeyId(accountData)
    const theirs = storage(
      randomBytes(32),
      'THEIRS',
      SECRETS.map(() => randomBytes(32).toString('base64')),
    )
    const beside: AccountData = { ...theirs, ...accountData, [DEFAULT_KEY]: { key: 'THEIRS' } }
    for (const name of SECRETS) {
      const encrypted = [theirs, accountData].map((data) => (data[name] as { encrypted: object }).encrypted)
      beside[name] = { encrypted: Object.assign({}, ...encrypted) as object }
    }
    const { 'm.cross_signing.user_signing': _, ...part } = accountData
    return {
      folder,
      key,
      id,
      made,
      other,
      theirs,
      stores: {
        nothing: '',
        'an account': account,
        A: store,
        'A, imported': imported,
      },
      servers: {
        nothing: answer(),
        A: answer(made, false),
        B: answer(other, false),
      },
      accountData: {
        'are not given': undefined,
        'are empty': {},
        'hold A': accountData,
        'hold B': put({}, other.upload_account_data),
        'hold a part of A': part,
        "hold A, and a client's key is the default": beside,
        "belong to a client's key alone": theirs,
      } satisfies Record<(typeof ACCOUNT_DATA)[number], AccountData | undefined>,
    }
  }

  beforeAll(async () => {
    scene = await makeScene()
  })

  function copyOf(store: (typeof STORES)[number], name: string): string {
    const copy = join(scene.folder, 'cells', name.replaceAll(/\W+/g, '-'), 'store')
    if (scene.stores[store]) cpSync(scene.stores[store], copy, { recursive: true })
    return copy
  }

  /** Plays a cell, and holds what is true for all cells. */
  async function play(
    server: (typeof SERVERS)[number],
    data: (typeof ACCOUNT_DATA)[number],
    held: (typeof STORES)[number],
    reset: boolean,
  ): Promise<string> {
    const store = copyOf(held, `${server} ${data} ${held} ${reset}`)
    const { key, id, made, theirs } = scene
    const accountData = scene.accountData[data]
    const serverKeys = scene.servers[server]
    const before = trace(store)
    const recovery = { key, accountData }
    let result: CrossSigningBootstrap
    try {
      result = await bootstrap(store, { serverKeys, recovery, reset })
    } catch (error) {
      expect(trace(store)).toEqual(before)
      return `\`${(error as Failure).code}\``
    }
    const { status, missing, upload_account_data: uploads } = result
    const known = [made, scene.other].map(masterKey)
    expect(status === 'created').toBe(!known.includes(masterKey(result)))
    if (reset) expect(status).toBe('created')
    if (!reset) {
      if (held.startsWith('A')) expect(masterKey(result)).toBe(masterKey(made))
      // An identity that is served is never replaced.
      if (server !== 'nothing') expect(masterKey(result)).toBe(masterKey(server === 'A' ? made : scene.other))
    }

    // After the uploads the secret storage holds the identity, and what others have there.
    const finished = put(accountData ?? {}, uploads)
    const opened = data.includes('default') ? { ...finished, [DEFAULT_KEY]: { key: id } } : finished
    expect(escrowed(opened, key)).toEqual(publicKeys(result))
    if (data.includes('default')) {
      expect(defaultKeyId(finished)).toBe('THEIRS')
      for (const [type, content] of Object.entries(theirs)) expect(finished[type]).toMatchObject(content)
    }
    if (data !== 'are not given')
      expect(missing!.includes('upload_account_data')).toBe(
        canonicalJson(finished) !== canonicalJson(accountData),
      )
    const again = await bootstrap(store, {
      serverKeys: answer(result),
      recovery: { key, accountData: finished },
    })
    expect(again.missing).toEqual([])

    const left = missing!.map((upload) => upload.replace('upload_', '')).join(', ') || 'nothing'
    return `\`${status}\`: ${left}`
  }

  test('docs/recovery.md has the table of what happens', async () => {
    const rows: string[] = []
    for (const server of SERVERS) {
      for (const data of ACCOUNT_DATA) {
        const cells: string[] = []
        for (const held of STORES) cells.push(await play(server, data, held, false))
        rows.push(`| ${server} | ${data} | ${cells.join(' | ')} |\n`)
      }
    }
    const heads = STORES.map((held) => `the store holds ${held}`).join(' | ')
    const table = `| the homeserver serves | the account data | ${heads} |\n|---|---|---|---|---|---|\n${rows.join('')}`
    if (process.env.UPDATE_DOCS) {
      const document = readFileSync(DOCUMENT, 'utf8')
      writeFileSync(
        DOCUMENT,
        document.replace(/^\| the homeserver serves (.*\n)(\|.*\n)+/m, () => table),
      )
    }
    expect(readFileSync(DOCUMENT, 'utf8')).toContain(`\n\n${table}`)
  })

  test('with reset there is a new identity, in the secret storage, too', async () => {
    for (const server of SERVERS) {
      for (const data of ACCOUNT_DATA) {
        for (const held of STORES) {
          const outcome = await play(server, data, held, true)
          expect(outcome).toBe(
            data === "belong to a client's key alone"
              ? '`RECOVERY_KEY_MISMATCH`'
              : '`created`: device_keys, account_data, keys, signatures',
          )
        }
      }
    }
  })
})

describe('account data that are not what they should be', () => {
  const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) })

  test('what is no account data is refused', async () => {
    const { folder, key, serverKeys, accountData } = await escrowedGhost()
    const store = join(folder, 'new')
    const id = defaultKeyId(accountData)
    const many = Array.from({ length: 101 }, (_, n) => [`m.secret_storage.key.${n}`, {}] as const)
    const cases: unknown[] = [null, 7, 'text', [], new Map(), () => ({}), Object.fromEntries(many)]
    cases.push(new Proxy({}, { ownKeys: () => { throw new Error('no') } })) // prettier-ignore
    for (const type of [DEFAULT_KEY, ...SECRETS, `m.secret_storage.key.${id}`]) {
      for (const content of [null, 7, 'text', [], new Map(), nested(1000), { a: 'x'.repeat(300_000) }])
        cases.push({ ...accountData, [type]: content })
    }
    cases.push({ ...accountData, [DEFAULT_KEY]: { key: 7 } })
    for (const encrypted of [null, 7, [], 'text'])
      cases.push({ ...accountData, [SECRETS[0]!]: { encrypted } })
    for (const data of cases) {
      const recovery = { key, accountData: data as AccountData }
      for (const call of [{ serverKeys }, {}, { reset: true }])
        expect((await failure(bootstrap(store, { ...call, recovery }))).code).toBe('INVALID_ARGUMENT')
    }
    expect(existsSync(store)).toBe(false)
  })

  test('what is not about recovery is not read, and what is inherited does not count', async () => {
    const { key, store, serverKeys, accountData } = await escrowedGhost()
    const beside = { ...accountData, 'm.direct': nested(1000), huge: 'x'.repeat(1_000_000) as never }
    const published = await bootstrap(store, { serverKeys, recovery: { key, accountData: beside } })
    expect(published.missing).toEqual([])
    const polluted = JSON.parse(`{"__proto__": ${JSON.stringify(accountData)}}`) as AccountData
    const again = await bootstrap(store, { serverKeys, recovery: { key, accountData: polluted } })
    expect(again.missing).toEqual(['upload_account_data'])
    const absent = { ...accountData, [SECRETS[0]!]: undefined as never }
    const without = await bootstrap(store, { serverKeys, recovery: { key, accountData: absent } })
    expect(without.missing).toEqual(['upload_account_data'])
  })

  test('secrets that the key does not open, or that are no private keys, are not restored', async () => {
    const { folder, key, made, store: own, serverKeys, accountData } = await escrowedGhost()
    const id = defaultKeyId(accountData)
    const bytes = readKey(key)
    const store = join(folder, 'new')
    const [seed] = seedsOf(accountData, key)
    const secret = (accountData[SECRETS[0]!] as { encrypted: Record<string, Record<string, string>> })
      .encrypted[id]!
    const seeds = [0, 31, 33, 64].map((length) =>
      encrypt(bytes, SECRETS[0]!, randomBytes(length).toString('base64')),
    )
    const wrong: unknown[] = [
      ...seeds,
      encrypt(bytes, SECRETS[0]!, `${seed!} `),
      encrypt(bytes, SECRETS[0]!, randomBytes(43)),
      encrypt(bytes, SECRETS[1]!, seed!),
      encrypt(randomBytes(32), SECRETS[0]!, seed!),
      { ...secret, mac: createHash('sha256').digest('base64') },
      { ...secret, mac: secret.mac!.slice(0, 20) },
      { ...secret, iv: secret.iv!.slice(0, 4) },
      { ...secret, ciphertext: secret.ciphertext!.slice(0, 16) },
      { ...secret, ciphertext: '' },
      { ...secret, ciphertext: 7 },
      { ciphertext: secret.ciphertext },
      {},
      null,
      'text',
      [],
    ]
    for (const entry of wrong) {
      const recovery = { key, accountData: { ...accountData, [SECRETS[0]!]: { encrypted: { [id]: entry } } } }
      for (const call of [{ serverKeys }, {}]) {
        const error = await failure(bootstrap(store, { ...call, recovery }))
        expect(error.code).toBe('RECOVERY_KEY_MISMATCH')
        expect(error.message).toContain(SECRETS[0])
      }
      // The store that has the identity mends it.
      const before = trace(own)
      const mended = await bootstrap(own, { serverKeys, recovery })
      expect(mended.missing).toEqual(['upload_account_data'])
      expect(escrowed(put(recovery.accountData, mended.upload_account_data), key)).toEqual(publicKeys(made))
      expect(trace(own)).toEqual(before)
    }
    expect(existsSync(store)).toBe(false)
  })

  test('damaged secrets are mended, although nothing describes the key', async () => {
    const { folder, key, made, store: own, serverKeys, accountData } = await escrowedGhost()
    const id = defaultKeyId(accountData)
    const damaged: AccountData = {}
    for (const name of SECRETS) damaged[name] = { encrypted: { [id]: { iv: '', ciphertext: '', mac: '' } } }
    const recovery = { key, accountData: damaged }
    const error = await failure(bootstrap(join(folder, 'new'), { serverKeys, recovery }))
    expect(error.code).toBe('RECOVERY_KEY_MISMATCH')
    expect(error.message).toContain('damaged')
    expect(existsSync(join(folder, 'new'))).toBe(false)

    const mended = await bootstrap(own, { serverKeys, recovery })
    expect(mended.missing).toEqual(['upload_account_data'])
    expect(escrowed(put(damaged, mended.upload_account_data), key)).toEqual(publicKeys(made))
    const replaced = await bootstrap(join(folder, 'new'), { reset: true, serverKeys, recovery })
    expect(escrowed(put(damaged, replaced.upload_account_data), key)).toEqual(publicKeys(replaced))
  })

  test('a default key that the recovery key is not is never replaced', async () => {
    const { folder, key, serverKeys, store: own } = await escrowedGhost()
    const store = join(folder, 'new')
    const description = describeKey(randomBytes(32))
    const ours = describeKey(readKey(key))
    const { iv, mac, algorithm } = ours
    const descriptions: (object | undefined)[] = [
      description,
      undefined,
      {},
      { algorithm },
      { ...ours, algorithm: 'm.secret_storage.v1.curve25519-aes-sha2' },
      { iv, mac },
      { ...ours, mac: description.mac },
      { ...ours, iv: description.iv },
      { ...ours, iv: 7 },
      { ...ours, mac: [] },
      { ...ours, iv: '' },
      { ...ours, mac: '?' },
    ]
    for (const described of descriptions) {
      const accountData: AccountData = { [DEFAULT_KEY]: { key: 'THEIRS' } }
      if (described) accountData['m.secret_storage.key.THEIRS'] = described
      const before = trace(own)
      for (const [folder, call] of [
        [store, {}],
        [store, { reset: true }],
        [own, { serverKeys }],
        [own, { reset: true }],
      ] as const) {
        const error = await failure(bootstrap(folder, { ...call, recovery: { key, accountData } }))
        expect(error.code).toBe('RECOVERY_KEY_MISMATCH')
      }
      expect(trace(own)).toEqual(before)
    }
    expect(existsSync(store)).toBe(false)
    expect(isDescribedBy(readKey(key), ours)).toBe(true)
  })

  test('whatever is changed in account data, a new store gets the identity or an error', async () => {
    const { folder, key, made, accountData } = await escrowedGhost()
    const paths = (value: unknown, path: string[] = []): string[][] =>
      typeof value === 'object' && value !== null
        ? [path, ...Object.entries(value).flatMap(([name, member]) => paths(member, [...path, name]))]
        : [path]
    const places = paths(accountData).filter((path) => path.length > 0)
    const serverKeys = answer(made, false)
    const store = join(folder, 'new')
    const codes = new Map<string, number>()
    let number = 0
    const mutation = fc.oneof(
      fc.record({
        replace: fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.base64String(), fc.constant(undefined)),
      }),
      fc.record({ at: fc.nat(), with: fc.string({ minLength: 0, maxLength: 2 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), mutation, async (path, mutated) => {
        const changed = structuredClone(accountData)
        const parent = path
          .slice(0, -1)
          .reduce<Record<string, unknown>>((object, name) => object[name] as Record<string, unknown>, changed)
        const name = path.at(-1)!
        const value = parent[name]
        if ('replace' in mutated) parent[name] = mutated.replace
        else if (typeof value === 'string') {
          const place = mutated.at % (value.length + 1)
          parent[name] = value.slice(0, place) + mutated.with + value.slice(place + 1)
        } else {
          Reflect.deleteProperty(parent, name)
        }
        number += 1
        const target = join(store, String(number))
        const recovery = { key, accountData: changed }
        const outcome = await bootstrap(target, { serverKeys, recovery }, NEW_DEVICE_ID).then(
          (restored) => {
            expect(publicKeys(restored)).toEqual(publicKeys(made))
            return restored.status
          },
          (error: unknown) => {
            expect(existsSync(target)).toBe(false)
            return (error as Failure).code
          },
        )
        codes.set(outcome, (codes.get(outcome) ?? 0) + 1)
        expect(['restored', 'IDENTITY_CONFLICT', 'RECOVERY_KEY_MISMATCH', 'INVALID_ARGUMENT']).toContain(
          outcome,
        )
      }),
      { numRuns: Number(process.env.MUTATIONS ?? 500) },
    )
    expect(codes.size).toBeGreaterThan(2)
  })

  test('anything may be the option', async () => {
    const store = join(temporaryFolder(), 'made', 'store')
    const untyped = bootstrap as (...args: unknown[]) => Promise<unknown>
    for (const recovery of [
      null,
      7,
      'text',
      [],
      {},
      { accountData: {} },
      { key: 7 },
      { key: 'x', keys: 'x' },
    ])
      expect((await failure(untyped(store, { recovery }))).code).toBe('INVALID_ARGUMENT')
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (recovery) => {
        if (recovery === undefined) return
        const { code } = await failure(untyped(store, { recovery }))
        expect(['INVALID_ARGUMENT', 'INVALID_RECOVERY_KEY']).toContain(code)
      }),
    )
    expect(trace(store)).toEqual({ parent: false })
  })
})
