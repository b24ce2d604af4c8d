// Promise: private keys, the passphrase, recovery keys and the secret that they are derived from never leave the
// store. Nothing that the package prints, throws or returns has them, even if all logs are switched on.

import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { bootstrapCrossSigning, deriveRecoveryKey } from 'rust-crypto-helper'
import { change, record, setRecord } from './support/database'
import { COMMAND, finish, type Finished, runScript, start } from './support/processes'
import { put, readKey, SECRETS, storage } from './support/secret-storage'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

// The variables that make Rust programs print more.
const TALKATIVE = { RUST_BACKTRACE: '1', RUST_LIB_BACKTRACE: '1', RUST_LOG: 'trace' }

const PASSPHRASE = `a "passphrase"\\ ${randomBytes(12).toString('hex')} ✓`
const WRONG_PASSPHRASE = `another ${randomBytes(12).toString('hex')}`

/** The bytes in every form in which they could be printed. */
function forms(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const decimal = [...bytes]
  return [
    ...['latin1' as const, 'utf8' as const].flatMap((encoding) => {
      const text = bytes.toString(encoding)
      return [text, JSON.stringify(text).slice(1, -1), inspect(text).slice(1, -1)]
    }),
    encodeURIComponent(bytes.toString('latin1')),
    // Without padding. The text with padding begins with it.
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    hex,
    hex.toUpperCase(),
    hex.replace(/..(?=.)/g, '$& '),
    hex.replace(/..(?=.)/g, '$&:'),
    decimal.join(','),
    decimal.map((byte) => `0x${byte.toString(16)}`).join(','),
    decimal.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  ]
}

/** The secrets that are in a text, each with its name and its form. */
function found(text: string, secrets: Map<string, Uint8Array>): string[] {
  // Debug output breaks lists into lines and indents them.
  const texts = [text, text.replace(/[\s"]+/g, '')]
  return [...secrets].flatMap(([name, secret]) =>
    forms(secret)
      .filter((form) => texts.some((text) => text.includes(form)))
      .map((form) => `${name} as ${form.slice(0, 8)}...`),
  )
}

/** The private keys of these public keys in a text. Every part that looks like an Ed25519 key is tried. */
function privateHalves(text: string, publicKeys: Set<string>): string[] {
  const candidates = [
    ...[...text.matchAll(/(?=([A-Za-z0-9+/_-]{43}))/g)].map(([, seed]) => Buffer.from(seed!, 'base64')),
    ...[...text.matchAll(/(?=([0-9a-fA-F]{64}))/g)].map(([, seed]) => Buffer.from(seed!, 'hex')),
  ]
  // The fixed bytes around a seed in PKCS #8 (https://www.rfc-editor.org/rfc/rfc8410#section-7).
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  return candidates.flatMap((seed) => {
    const key = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' })
    const { x } = createPublicKey(key).export({ format: 'jwk' })
    return publicKeys.has(x!) ? [x!] : []
  })
}

/** Every value of 32 bytes in the account and the private identity of a plain store, but no public key. */
async function secretsOf(store: string): Promise<Map<string, Uint8Array>> {
  const secrets = new Map<string, Uint8Array>()
  const collect = (path: string, value: unknown): void => {
    const isBytes =
      value instanceof Uint8Array || (Array.isArray(value) && value.every((n) => typeof n === 'number'))
    if (isBytes && value.length === 32) {
      if (!path.includes('public_key')) secrets.set(path, Uint8Array.from(value))
    } else if (value !== null && typeof value === 'object' && !isBytes) {
      for (const [name, member] of Object.entries(value)) collect(`${path}.${name}`, member)
    }
  }
  collect('identity', await record(store, 'identity'))
  collect('account', await record(store, 'account'))
  return secrets
}

/** Makes calls in a process that prints everything about their results and errors. */
function outcomes(calls: unknown[][], before = ''): Promise<Finished> {
  return runScript(
    `
    const { inspect } = require('node:util')
    const all = (value) => inspect(value, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null, getters: true })
    process.on('warning', (warning) => console.log(all(warning)))
    ${before}
    async function main() {
      for (const args of ${JSON.stringify(calls)}) {
        try {
          const payloads = await bootstrapCrossSigning(...args)
          console.log(payloads.status, JSON.stringify(payloads), all(payloads))
        } catch (error) {
          console.log(error.code, String(error), error.stack, JSON.stringify(error), all(error), all(error.cause))
        }
      }
    }
    main()`,
    TALKATIVE,
  )
}

const printedBy = ({ stdout, stderr }: Finished) => stdout + stderr

let folder: string
let plain: string
let encrypted: string
let secrets: Map<string, Uint8Array>
let publicKeys: Set<string>

const inFolder = (name: string) => join(folder, name)

/** A changed copy of the plain store. */
async function changed(name: string, change: (store: string) => void | Promise<void>): Promise<string> {
  const store = inFolder(name)
  mkdirSync(store)
  writeFileSync(join(store, DATABASE), readFileSync(join(plain, DATABASE)))
  await change(store)
  return store
}

beforeAll(async () => {
  folder = temporaryFolder()
  plain = inFolder('plain')
  encrypted = inFolder('encrypted')
  const made = [
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, plain),
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, encrypted, { passphrase: PASSPHRASE }),
  ]
  publicKeys = new Set(
    made
      .flatMap(({ upload_keys, upload_device_keys }) => [
        ...Object.values(upload_keys as object as Record<string, { keys: object }>),
        upload_device_keys!.device_keys,
      ])
      .flatMap(({ keys }) => Object.values(keys) as string[])
      .map((key) => Buffer.from(key, 'base64').toString('base64url')),
  )
  secrets = await secretsOf(plain)
  secrets.set('passphrase', Buffer.from(PASSPHRASE))
  secrets.set('wrong passphrase', Buffer.from(WRONG_PASSPHRASE))
})

test('the search finds a secret in every form', () => {
  // The three keys of the identity, the Ed25519 and the Curve25519 key of the device, and one-time keys.
  expect(secrets.size).toBeGreaterThan(50)
  for (const name of ['master_key', 'self_signing_key', 'user_signing_key'])
    expect([...secrets.keys()]).toContain(`identity.keys.${name}.pickle`)
  const master = secrets.get('identity.keys.master_key.pickle')!
  for (const form of [
    Buffer.from(master).toString('base64'),
    Buffer.from(master).toString('base64url'),
    JSON.stringify([...master], null, 2),
    JSON.stringify(Buffer.from(master)),
    Buffer.from(master).toString('latin1'),
  ]) {
    expect(found(`... ${form} ...`, secrets)).not.toEqual([])
  }
  for (const form of ['base64', 'base64url', 'hex'] as const)
    expect(privateHalves(`...${Buffer.from(master).toString(form)}...`, publicKeys)).not.toEqual([])
  expect(found(JSON.stringify({ PASSPHRASE }), secrets)).not.toEqual([])
})

test('no result and no error has a secret in it', async () => {
  const seed = Buffer.from(secrets.get('identity.keys.master_key.pickle')!)
  const identity = (await record(plain, 'identity')) as { keys: Record<string, object> }
  const account = (await record(plain, 'account')) as { pickle: object }
  const withPassphrase = { passphrase: PASSPHRASE }

  // Private keys of a wrong type. A decoder's message about such damage quotes what it found.
  const garbled = await Promise.all(
    [
      ['identity', { ...identity, keys: { ...identity.keys, master_key: seed.toString('base64') } }],
      ['identity', { ...identity, keys: { ...identity.keys, master_key: { pickle: [...seed] } } }],
      ['identity', { ...identity, keys: seed.toString('hex') }],
      ['identity', { ...identity, shared: seed.toString('base64') }],
      [
        'account',
        { ...account, pickle: { ...account.pickle, signing_key: { Normal: seed.toString('hex') } } },
      ],
      ['account', { ...account, pickle: { ...account.pickle, diffie_hellman_key: [...seed, 0] } }],
      ['account', { ...account, device_id: [...seed] }],
      ['account', [...seed]],
    ].map(([key, value], n) => changed(`garbled-${n}`, (store) => setRecord(store, key as string, value))),
  )
  const incomplete = await changed('incomplete', (store) =>
    setRecord(store, 'identity', { ...identity, keys: { ...identity.keys, user_signing_key: null } }),
  )
  const newer = await changed('newer', (store) =>
    change(store, 'UPDATE kv SET value = ? WHERE key = ?', Uint8Array.of(255), 'version'),
  )
  const overwritten = await changed('overwritten', (store) => {
    writeFileSync(join(store, DATABASE), seed.toString('hex').repeat(100))
  })
  const cipher = inFolder('cipher')
  await bootstrapCrossSigning(USER_ID, DEVICE_ID, cipher, withPassphrase)
  await change(cipher, "UPDATE kv SET value = substr(value, 1, 40) WHERE key = 'cipher'")

  const calls: [string, unknown[]][] = [
    ['created', [USER_ID, DEVICE_ID, inFolder('new-plain')]],
    ['created', [USER_ID, DEVICE_ID, inFolder('new-encrypted'), withPassphrase]],
    ['resumed', [USER_ID, DEVICE_ID, plain]],
    ['resumed', [USER_ID, DEVICE_ID, encrypted, withPassphrase]],
    ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, plain, { passphrase: [PASSPHRASE] }]],
    ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, plain, PASSPHRASE]],
    ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, plain, { passphras: PASSPHRASE }]],
    ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, plain, { ...withPassphrase, busyTimeout: PASSPHRASE }]],
    ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, plain, { ...withPassphrase, reset: PASSPHRASE }]],
    ['INVALID_USER_ID', ['ghost', DEVICE_ID, encrypted, withPassphrase]],
    ['INVALID_DEVICE_ID', [USER_ID, '', encrypted, withPassphrase]],
    ['INVALID_STORE_PATH', [USER_ID, DEVICE_ID, '', withPassphrase]],
    ['ACCOUNT_MISMATCH', ['@_other:example.org', DEVICE_ID, plain]],
    ['ACCOUNT_MISMATCH', ['@_other:example.org', DEVICE_ID, encrypted, withPassphrase]],
    ['STORE_PASSPHRASE', [USER_ID, DEVICE_ID, plain, withPassphrase]],
    ['STORE_PASSPHRASE', [USER_ID, DEVICE_ID, encrypted]],
    ['STORE_PASSPHRASE', [USER_ID, DEVICE_ID, encrypted, { passphrase: WRONG_PASSPHRASE }]],
    ['STORE_VERSION', [USER_ID, DEVICE_ID, newer]],
    ['IDENTITY_INCOMPLETE', [USER_ID, DEVICE_ID, incomplete]],
    ['STORE_CORRUPT', [USER_ID, DEVICE_ID, overwritten, withPassphrase]],
    ...garbled.map((store): [string, unknown[]] => ['STORE_CORRUPT', [USER_ID, DEVICE_ID, store]]),
    ['STORE_IO', [USER_ID, DEVICE_ID, inFolder('n'.repeat(300)), withPassphrase]],
  ]
  const run = await outcomes(calls.map(([, args]) => args))
  const codes = [...run.stdout.matchAll(/^(?:created|resumed|[A-Z]+_[A-Z_]+)(?= )/gm)].map(([code]) => code)
  expect(codes).toEqual(calls.map(([code]) => code))

  const inUse = await outcomes(
    [[USER_ID, DEVICE_ID, encrypted, { ...withPassphrase, busyTimeout: 0 }]],
    `require('node:fs').openSync(${JSON.stringify(join(encrypted, DATABASE))})`,
  )
  expect(inUse.stdout).toMatch(/^STORE_IN_USE /)
  const badCipher = await outcomes([[USER_ID, DEVICE_ID, cipher, withPassphrase]])
  expect(badCipher.stdout).toMatch(/^STORE_[A-Z]+ /)

  const printed = [run, inUse, badCipher].map(printedBy).join('\n')
  expect(found(printed, secrets)).toEqual([])
  expect(privateHalves(printed, publicKeys)).toEqual([])
  // Nothing is logged at all. What the SDK logs may be harmless in one release and a secret in the next.
  expect([run, inUse, badCipher].map(({ stderr }) => stderr).join('')).toBe('')
  // The process has made the keys of the new store. They must not be in its output, either.
  const fresh = await secretsOf(inFolder('new-plain'))
  expect(found(printed, fresh)).toEqual([])
})

test('with recovery, no result and no error has a recovery key, its secret or a private key in it', async () => {
  const secret = `an operator's ${randomBytes(24).toString('hex')}`
  const key = deriveRecoveryKey(secret, USER_ID)
  const bytes = readKey(key)
  const store = inFolder('escrowed')
  const made = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { recovery: { key, accountData: {} } })
  const accountData = put({}, made.upload_account_data)
  const seed = randomBytes(33)
  const damaged = {
    ...accountData,
    [SECRETS[0]!]: storage(bytes, 'ID', [seed.toString('base64')])[SECRETS[0]!],
    'm.secret_storage.default_key': { key: 'ID' },
    'm.secret_storage.key.ID': storage(bytes, 'ID', [])['m.secret_storage.key.ID'],
  }
  const foreign = storage(randomBytes(32), 'OTHER', [])
  const { master_key, self_signing_key, user_signing_key } = made.upload_keys
  const serverKeys = {
    device_keys: { [USER_ID]: {} },
    master_keys: { [USER_ID]: master_key },
    self_signing_keys: { [USER_ID]: self_signing_key },
    user_signing_keys: { [USER_ID]: user_signing_key },
  }
  const other = storage(
    bytes,
    'ID',
    SECRETS.map(() => randomBytes(32).toString('base64')),
  )

  const known = new Map(await secretsOf(store))
  const texts = {
    secret,
    'another seed': seed,
    'recovery key': bytes,
    'recovery key as text': Buffer.from(key),
    'recovery key without spaces': Buffer.from(key.replaceAll(' ', '')),
    'the middle of the recovery key': Buffer.from(key.slice(10, 40)),
  }
  for (const [name, text] of Object.entries(texts)) known.set(name, Buffer.from(text))
  expect(found(JSON.stringify({ key }), known)).not.toEqual([])

  const mistyped = `${key.slice(0, -1)}${key.endsWith('3') ? '4' : '3'}`
  const calls: [string, unknown][] = [
    ['resumed', { recovery: { key } }],
    ['published', { recovery: { key, accountData }, serverKeys: { ...serverKeys, device_keys: { [USER_ID]: { [DEVICE_ID]: made.upload_device_keys!.device_keys } } } }], // prettier-ignore
    ['INVALID_RECOVERY_KEY', { recovery: { key: mistyped } }],
    ['INVALID_RECOVERY_KEY', { recovery: { key: `${key} ${key}` } }],
    ['INVALID_RECOVERY_KEY', { recovery: { key: secret } }],
    ['INVALID_ARGUMENT', { recovery: key }],
    ['INVALID_ARGUMENT', { recovery: [key] }],
    ['INVALID_ARGUMENT', { recovery: { key: [key] } }],
    ['INVALID_ARGUMENT', { recovery: { key, accountData: key } }],
    ['INVALID_ARGUMENT', { recovery: { key, accountData: { [SECRETS[0]!]: secret } } }],
    ['INVALID_ARGUMENT', { recovery: { key, secret } }],
    ['RECOVERY_KEY_MISMATCH', { recovery: { key, accountData: foreign } }],
  ]
  const lost: [string, unknown][] = [
    ['RECOVERY_KEY_MISMATCH', { recovery: { key, accountData: damaged }, serverKeys }],
    ['IDENTITY_CONFLICT', { recovery: { key, accountData: other }, serverKeys }],
    ['IDENTITY_CONFLICT', { recovery: { key, accountData: {} }, serverKeys }],
    ['restored', { recovery: { key, accountData }, serverKeys }],
    ['created', { recovery: { key, accountData }, serverKeys, reset: true }],
  ]
  const restored = inFolder('restored-by-key')
  const run = await outcomes([
    ...calls.map(([, options]) => [USER_ID, DEVICE_ID, store, options]),
    ...lost.map(([, options]) => [USER_ID, DEVICE_ID, restored, options]),
  ])
  const codes = [...run.stdout.matchAll(/^(?:created|restored|resumed|published|[A-Z]+_[A-Z_]+)(?= )/gm)].map(
    ([code]) => code,
  )
  expect(codes).toEqual([...calls, ...lost].map(([code]) => code))

  const deriving = await runScript(
    `
    const { deriveRecoveryKey } = require(${JSON.stringify(join(__dirname, '..'))})
    for (const args of ${JSON.stringify([[secret.slice(0, 31), USER_ID], [secret, 'ghost'], [[secret], USER_ID], [secret]])}) {
      try {
        console.log(deriveRecoveryKey(...args))
      } catch (error) {
        console.log(error.code, String(error), error.stack, JSON.stringify(error))
      }
    }`,
    TALKATIVE,
  )
  expect(deriving.stdout.match(/^[A-Z]+_[A-Z_]+(?= )/gm)).toEqual([
    'INVALID_ARGUMENT',
    'INVALID_USER_ID',
    'INVALID_ARGUMENT',
    'INVALID_ARGUMENT',
  ])

  const printed = [run, deriving].map(printedBy).join('\n')
  expect(found(printed, known)).toEqual([])
  expect(privateHalves(printed, new Set([master_key, self_signing_key, user_signing_key].flatMap(({ keys }) => Object.values(keys)).map((key) => Buffer.from(key, 'base64').toString('base64url'))))).toEqual([]) // prettier-ignore
  expect(found(printed, await secretsOf(restored))).toEqual([])
  expect([run, deriving].map(({ stderr }) => stderr).join('')).toBe('')
})

test('the command prints no secret', async () => {
  const runs = [
    [encrypted, PASSPHRASE],
    [encrypted, WRONG_PASSPHRASE],
    [plain, ''],
    [plain, PASSPHRASE],
  ] as const
  const finished = await Promise.all(
    runs.map(([store, RUST_CRYPTO_HELPER_PASSPHRASE]) =>
      finish(
        start(process.execPath, [COMMAND, USER_ID, DEVICE_ID, store], {
          ...TALKATIVE,
          RUST_CRYPTO_HELPER_PASSPHRASE,
        }),
      ),
    ),
  )
  expect(finished.map(({ code }) => code)).toEqual([0, 1, 0, 1])
  const printed = finished.map(printedBy).join('\n')
  expect(found(printed, secrets)).toEqual([])
  expect(privateHalves(printed, publicKeys)).toEqual([])
})

test('an encrypted store has no secret in plain text', () => {
  const bytes = readFileSync(join(encrypted, DATABASE))
  expect(bytes.includes(PASSPHRASE)).toBe(false)
  expect(privateHalves(bytes.toString('latin1'), publicKeys)).toEqual([])
})
