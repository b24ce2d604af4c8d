// Promise: every failure rejects with a code of the table and a helpful message, and leaves the store as it
// was.

import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { isNativeError } from 'node:util/types'
import fc from 'fast-check'
import { join } from 'node:path'
import { bootstrapCrossSigning, type BootstrapOptions } from 'rust-crypto-helper'
import { change, content, record, setRecord } from './support/database'
import { runScript } from './support/processes'
import { argumentsLike } from './support/random'
import { place, SDK_STORES } from './support/sdk-stores'
import { DATABASE, DEVICE_ID, itOnUnix, temporaryFolder, USER_ID } from './support/stores'

const CODES = [
  'INVALID_ARGUMENT',
  'INVALID_USER_ID',
  'INVALID_DEVICE_ID',
  'INVALID_STORE_PATH',
  'ACCOUNT_MISMATCH',
  'STORE_IN_USE',
  'STORE_PASSPHRASE',
  'STORE_CORRUPT',
  'STORE_VERSION',
  'IDENTITY_INCOMPLETE',
  'IDENTITY_CONFLICT',
  'INVALID_RECOVERY_KEY',
  'RECOVERY_KEY_MISMATCH',
  'STORE_IO',
  'INTERNAL',
] as const

type Code = (typeof CODES)[number]

const untyped = bootstrapCrossSigning as (...args: unknown[]) => Promise<unknown>

interface Failure extends Error {
  code: Code
}

/** The error of a call that must reject and must not throw. */
async function failure(...args: unknown[]): Promise<Failure> {
  let call: Promise<unknown>
  try {
    call = untyped(...args)
  } catch (error) {
    throw new Error('thrown, not rejected', { cause: error })
  }
  return call.then(
    () => {
      throw new Error('resolved')
    },
    (error: unknown) => {
      expect(isNativeError(error)).toBe(true)
      return error as Failure
    },
  )
}

// Through a file. Nothing can be made there.
const NO_STORE = join(__filename, 'store')

let folder: string
let store: string

beforeEach(() => {
  folder = temporaryFolder()
  store = join(folder, 'store')
})

describe('arguments', () => {
  test.each([
    ['no arguments', []],
    ['a user ID that is a number', [1, DEVICE_ID, 'store']],
    ['a device ID that is null', [USER_ID, null, 'store']],
    ['a path that is a Buffer', [USER_ID, DEVICE_ID, Buffer.from('store')]],
    ['options that are null', [USER_ID, DEVICE_ID, 'store', null]],
    ['options that are an array', [USER_ID, DEVICE_ID, 'store', []]],
    ['options that are a function', [USER_ID, DEVICE_ID, 'store', () => ({})]],
    ['a wrong option that is inherited', [USER_ID, DEVICE_ID, 'store', Object.create({ reset: 1 })]],
    ['a misspelt option', [USER_ID, DEVICE_ID, 'store', { passphras: 'secret' }]],
    ['a misspelt option whose value is undefined', [USER_ID, DEVICE_ID, 'store', { passphras: undefined }]],
    ['a passphrase that is null', [USER_ID, DEVICE_ID, 'store', { passphrase: null }]],
    ['a reset that is not a boolean', [USER_ID, DEVICE_ID, 'store', { reset: 1 }]],
    ['a timeout that is a string', [USER_ID, DEVICE_ID, 'store', { busyTimeout: '5' }]],
    ['a negative timeout', [USER_ID, DEVICE_ID, 'store', { busyTimeout: -1 }]],
    ['a timeout that is not a number', [USER_ID, DEVICE_ID, 'store', { busyTimeout: NaN }]],
    ['an infinite timeout', [USER_ID, DEVICE_ID, 'store', { busyTimeout: Infinity }]],
    [
      'a getter that throws',
      [
        USER_ID,
        DEVICE_ID,
        'store',
        {
          get reset(): boolean {
            throw new Error('no')
          },
        },
      ],
    ],
    [
      'a proxy that throws',
      [
        USER_ID,
        DEVICE_ID,
        'store',
        new Proxy(
          {},
          {
            ownKeys: () => {
              throw new Error('no')
            },
          },
        ),
      ],
    ],
  ] as [string, unknown[]][])('INVALID_ARGUMENT: %s', async (_, args) => {
    expect((await failure(...args)).code).toBe('INVALID_ARGUMENT')
  })

  test('options may be absent, undefined, empty or without a prototype, and may have undefined values', async () => {
    for (const options of [
      undefined,
      {},
      Object.create(null) as BootstrapOptions,
      { passphrase: undefined, reset: undefined, busyTimeout: undefined },
    ]) {
      await untyped(USER_ID, DEVICE_ID, store, options)
    }
  })

  test.each(['', 'ghost', '@ghost', 'ghost:example.org', '@:example.org', '@ghost:', '@a:b:c:d', '@a\0b:c'])(
    'INVALID_USER_ID: %j',
    async (userId) => {
      const error = await failure(userId, DEVICE_ID, store)
      expect(error.code).toBe('INVALID_USER_ID')
      expect(error.message).toContain('@_ghost:example.org')
    },
  )

  test.each(['', 'A\nB', '\0', '\u007f', '\u0085', 'A\ud800', '\udc00B'])(
    'INVALID_DEVICE_ID: %j',
    async (deviceId) => {
      expect((await failure(USER_ID, deviceId, store)).code).toBe('INVALID_DEVICE_ID')
    },
  )

  test.each(['', 'a\0b', 'a\ud800'])('INVALID_STORE_PATH: %j', async (path) => {
    expect((await failure(USER_ID, DEVICE_ID, path)).code).toBe('INVALID_STORE_PATH')
  })

  // Each of them kept a thread busy for seconds or minutes, before its length was limited.
  test.each<[Code, string, unknown[]]>([
    ['INVALID_USER_ID', 'userId', [`@${'a'.repeat(10_000_000)}:b`, DEVICE_ID, 'store']],
    ['INVALID_DEVICE_ID', 'deviceId', [USER_ID, 'D'.repeat(10_000_000), 'store']],
    ['STORE_IO', 'storePath', [USER_ID, DEVICE_ID, `/${'a/../'.repeat(2_000_000)}store`]],
    [
      'INVALID_ARGUMENT',
      'options.passphrase',
      [USER_ID, DEVICE_ID, 'store', { passphrase: 'p'.repeat(10_000_000) }],
    ],
    [
      'INVALID_RECOVERY_KEY',
      'recovery key',
      [USER_ID, DEVICE_ID, 'store', { recovery: { key: ' '.repeat(10_000_000) } }],
    ],
  ])('%s: %s is very long', async (code, name, args) => {
    const error = await failure(...args)
    expect(error.code).toBe(code)
    expect(error.message).toContain(name)
    expect(error.message.length).toBeLessThan(500)
  })

  test('wrong arguments do not touch the file system', async () => {
    await failure('ghost', DEVICE_ID, store)
    await failure(USER_ID, '', store)
    await failure(USER_ID, DEVICE_ID, store, { reset: 1 })
    await failure(USER_ID, DEVICE_ID, store, { serverKeys: {} })
    expect(existsSync(store)).toBe(false)
  })

  test('any input of any type to any parameter gives a code of the table', async () => {
    const names = ['passphrase', 'reset', 'busyTimeout', 'serverKeys', '__proto__', 'x']
    const valid = [USER_ID, DEVICE_ID, NO_STORE, {}]
    const property = fc.asyncProperty(argumentsLike(valid, names), async (args) => {
      // No store can be made at any of the paths.
      if (typeof args[2] === 'string' && !args[2].includes('\0')) args[2] = NO_STORE
      const { code } = await failure(...args)
      expect(CODES.filter((known) => known !== 'INTERNAL')).toContain(code)
    })
    await fc.assert(property, { numRuns: 1000 })
  })
})

describe('stores', () => {
  /** Checks that a call on the store fails with this code, names the store, and leaves its file as it is. */
  async function expectUntouched(code: Code, ...args: unknown[]): Promise<Failure> {
    const before = { file: readFileSync(join(store, DATABASE)), names: readdirSync(store) }
    const error = await failure(...args)
    expect(error.code).toBe(code)
    expect(error.message).toContain(store)
    expect(readdirSync(store)).toEqual(before.names)
    expect(readFileSync(join(store, DATABASE)).equals(before.file)).toBe(true)
    return error
  }

  test('ACCOUNT_MISMATCH: the store belongs to another user or device, and the message names both', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    for (const [user, device] of [
      ['@_other:example.org', DEVICE_ID],
      [USER_ID, 'OTHERDEVICE'],
    ] as const) {
      const error = await expectUntouched('ACCOUNT_MISMATCH', user, device, store, { reset: true })
      for (const name of [USER_ID, DEVICE_ID, user, device]) expect(error.message).toContain(name)
    }
  })

  test('STORE_PASSPHRASE: the store is plain and there is a passphrase', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const error = await expectUntouched('STORE_PASSPHRASE', USER_ID, DEVICE_ID, store, {
      passphrase: 'hunter2',
    })
    expect(error.message).not.toContain('hunter2')
  })

  test('STORE_PASSPHRASE: the store is encrypted and the passphrase is missing or wrong', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { passphrase: 'correct' })
    await expectUntouched('STORE_PASSPHRASE', USER_ID, DEVICE_ID, store)
    const error = await expectUntouched('STORE_PASSPHRASE', USER_ID, DEVICE_ID, store, {
      passphrase: 'hunter2',
    })
    expect(error.message).not.toContain('hunter2')
  })

  test('STORE_PASSPHRASE: the message says whether the passphrase is the empty string', async () => {
    const stores = SDK_STORES.filter(({ passphrase }) => passphrase !== undefined)
    expect(new Set(stores.map(({ passphrase }) => passphrase === ''))).toEqual(new Set([true, false]))
    for (const made of stores) {
      place(made, store)
      const error = await expectUntouched('STORE_PASSPHRASE', made.user_id, made.device_id, store)
      const isEmpty = error.message.includes('made by matrix-bot-sdk? Its passphrase is the empty string')
      expect([made.file, isEmpty]).toEqual([made.file, made.passphrase === ''])
    }
  })

  test('STORE_VERSION: the schema is below 9 or above 19', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    for (const version of [8, 20]) {
      await change(store, 'UPDATE kv SET value = ? WHERE key = ?', Uint8Array.of(version), 'version')
      await expectUntouched('STORE_VERSION', USER_ID, DEVICE_ID, store)
    }
  })

  test('IDENTITY_INCOMPLETE: a private key is missing, and reset makes a new identity', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const identity = (await record(store, 'identity')) as { keys: object }
    await setRecord(store, 'identity', { ...identity, keys: { ...identity.keys, user_signing_key: null } })
    const error = await expectUntouched('IDENTITY_INCOMPLETE', USER_ID, DEVICE_ID, store)
    expect(error.message).toContain('without the private user-signing key')

    await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { reset: true })).resolves.toMatchObject({
      status: 'created',
    })
  })

  test.each<[string, (database: string) => void | Promise<void>]>([
    [
      'a file of text',
      (database) => {
        writeFileSync(database, 'This is not a database, but long enough to be one.'.repeat(99))
      },
    ],
    [
      'a damaged header',
      (database) => {
        overwrite(database, 0, 100)
      },
    ],
    [
      'a damaged page of the table kv',
      (database) => {
        // The second page of a store that this package makes.
        overwrite(database, 1024, 1024)
      },
    ],
    [
      'a truncated file',
      (database) => {
        truncateSync(database, 10 * 4096)
      },
    ],
    ['another database', () => change(store, 'ALTER TABLE kv RENAME TO other')],
    ['no schema version', () => change(store, "DELETE FROM kv WHERE key = 'version'")],
    ['an account that is garbage', () => setRecord(store, 'account', { pickle: 'garbage' })],
    ['an identity that is garbage', () => setRecord(store, 'identity', 7)],
  ])('STORE_CORRUPT: %s', async (_, damage) => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    await damage(join(store, DATABASE))
    await expectUntouched('STORE_CORRUPT', USER_ID, DEVICE_ID, store)
  })

  test('STORE_CORRUPT: the database is a folder', async () => {
    mkdirSync(join(store, DATABASE), { recursive: true })
    expect((await failure(USER_ID, DEVICE_ID, store)).code).toBe('STORE_CORRUPT')
  })

  itOnUnix(
    'INVALID_STORE_PATH: the path leads to or through a file or a dangling link, or the database is a link',
    async () => {
      writeFileSync(store, 'mine')
      expect((await failure(USER_ID, DEVICE_ID, store)).code).toBe('INVALID_STORE_PATH')
      expect((await failure(USER_ID, DEVICE_ID, join(store, 'below'))).code).toBe('INVALID_STORE_PATH')
      expect(readFileSync(store, 'utf8')).toBe('mine')

      symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
      expect((await failure(USER_ID, DEVICE_ID, join(folder, 'dangling'))).code).toBe('INVALID_STORE_PATH')

      const real = join(folder, 'real')
      await bootstrapCrossSigning(USER_ID, DEVICE_ID, real)
      mkdirSync(join(folder, 'linked'))
      symlinkSync(join(real, DATABASE), join(folder, 'linked', DATABASE))
      expect((await failure(USER_ID, DEVICE_ID, join(folder, 'linked'))).code).toBe('INVALID_STORE_PATH')
    },
  )

  itOnUnix(
    'STORE_IO: the file system refuses, the message has the reason, and no folder is left behind',
    async () => {
      const long = await failure(USER_ID, DEVICE_ID, join(folder, 'made', 'n'.repeat(300)))
      expect(long.code).toBe('STORE_IO')
      expect(long.message).toContain('File name too long')
      expect(readdirSync(folder)).toEqual([])

      symlinkSync(join(folder, 'loop'), join(folder, 'loop'))
      expect((await failure(USER_ID, DEVICE_ID, join(folder, 'loop', 'store'))).code).toBe('STORE_IO')
    },
  )

  itOnUnix('STORE_IN_USE: this process has the database open', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    // Any open handle counts, even if the file was opened by another name.
    linkSync(join(store, DATABASE), join(folder, 'other-name'))
    const script = `
      const handle = require('node:fs').openSync(${JSON.stringify(join(folder, 'other-name'))})
      const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(store)}, { busyTimeout: 50 })
      call().catch((error) => console.log(error.code)).then(() => require('node:fs').closeSync(handle))
        .then(call).then(({ status }) => console.log(status))`
    expect((await runScript(script)).stdout).toBe('STORE_IN_USE\nresumed\n')
  })

  test.each<[string, object]>([
    ['inherited', Object.create({ passphrase: 'secret' }) as object],
    ['not enumerable', Object.defineProperty({}, 'passphrase', { value: 'secret' })],
    [
      'from a getter that is inherited',
      Object.create(Object.defineProperty({}, 'passphrase', { get: () => 'secret' })) as object,
    ],
    ['from a proxy', new Proxy({}, { get: (_, name) => (name === 'passphrase' ? 'secret' : undefined) })],
  ])('a passphrase that is %s is not ignored', async (_, options) => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
    expect((await failure(USER_ID, DEVICE_ID, store)).code).toBe('STORE_PASSPHRASE')
  })

  test('a host may replace the built-in functions of JavaScript after it has loaded the package', async () => {
    const script = `
      const call = () => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(store)}, { reset: false })
      const { log } = console
      const stringify = JSON.stringify
      call().then(async (first) => {
        const refuse = () => { throw new Error('replaced by the host') }
        JSON.parse = JSON.stringify = Object.keys = Object.entries = Reflect.get = Object.getPrototypeOf = refuse
        const second = await call()
        log(second.status, stringify(second.upload_keys) === stringify(first.upload_keys))
      })`
    expect((await runScript(script)).stdout).toBe('resumed true\n')
  })

  test('after a failure the next call resumes the identity that the store had', async () => {
    const first = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const before = await content(store)
    for (const options of [{ passphrase: 'x' }, { nonsense: 1 }])
      await failure(USER_ID, DEVICE_ID, store, options)
    await failure('@_other:example.org', DEVICE_ID, store)
    expect(await content(store)).toEqual(before)
    const second = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    expect(second).toEqual({ ...first, status: 'resumed' })
  })

  test('an empty database file counts as a new store', async () => {
    mkdirSync(store)
    writeFileSync(join(store, DATABASE), '')
    await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store)).resolves.toMatchObject({
      status: 'created',
    })
    expect(readdirSync(store)).toEqual([DATABASE])
  })

  test('the log of a deleted database is not replayed into the new one', async () => {
    mkdirSync(store)
    for (const companion of ['-wal', '-shm']) writeFileSync(join(store, `${DATABASE}${companion}`), 'stale')
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    expect(readdirSync(store)).toEqual([DATABASE])
    rmSync(store, { recursive: true })
  })
})

test('the tables of codes in the types and in the README have exactly these codes', () => {
  const read = (file: string) => readFileSync(join(__dirname, '..', file), 'utf8')
  const rows = (text: string) => [...text.matchAll(/^[ *]*\| `([A-Z_]+)` \|/gm)].map(([, code]) => code)
  const tables = read('index.d.ts').split('export declare function')
  const [all, some] = tables.map(rows).filter((codes) => codes.length > 0)
  expect(all).toEqual(CODES)
  // inspectStore has fewer reasons to fail.
  expect(some).toEqual(CODES.filter((code) => some!.includes(code)))
  const [, errors] = /^## Errors\n(.*?)^## /ms.exec(read('README.md'))!
  expect(rows(errors!)).toEqual(CODES)
})

function overwrite(file: string, start: number, length: number): void {
  const bytes = readFileSync(file)
  bytes.fill(0xa5, start, start + length)
  writeFileSync(file, bytes)
}
