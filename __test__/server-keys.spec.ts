// Promise: with `serverKeys` a call replaces no identity by accident, says what is left to upload, and trusts
// nothing in the homeserver's answer. UPDATE_DOCS=1 writes the tables of decisions to docs/server-keys.md.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  type KeysQueryAnswer,
  verifyPublished,
} from 'rust-crypto-helper'
import { change, record, setFlag, setRecord } from './support/database'
import { type Cell, CELLS, prepare, type Scene } from './support/decisions'
import { type Decision, ODDITIES, type OddAnswer, type Oddity } from './support/odd-answers'
import { SigningKey } from './support/published'
import { onlyKey } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const DOCUMENT = join(__dirname, '..', 'docs', 'server-keys.md')

const byCell = (cell: Cell) => [`${cell.server} × ${cell.store}`, cell] as const

function bootstrap(store: string, options: BootstrapOptions) {
  return bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
}

/** An option of any type. */
/** An answer in which nothing is left out. */
type WholeAnswer = { [Part in keyof KeysQueryAnswer]-?: NonNullable<KeysQueryAnswer[Part]> }

function bootstrapOdd(store: string, serverKeys: unknown, reset = false) {
  return bootstrap(store, { serverKeys: serverKeys as KeysQueryAnswer, reset })
}

async function failure(call: Promise<unknown>): Promise<Error & { code: string }> {
  return call.then(
    () => {
      throw new Error('resolved')
    },
    (error: unknown) => error as Error & { code: string },
  )
}

function answer({ device, identity }: Scene['serves']): WholeAnswer {
  return structuredClone({
    device_keys: { [USER_ID]: device ? { [DEVICE_ID]: device } : {} },
    master_keys: identity ? { [USER_ID]: identity.master_key } : {},
    self_signing_keys: identity ? { [USER_ID]: identity.self_signing_key } : {},
    user_signing_keys: identity ? { [USER_ID]: identity.user_signing_key } : {},
    failures: {},
  })
}

/** The files of a store with their content, or whether the parent of its folder exists. */
function trace(store: string): unknown {
  if (!existsSync(store)) return { parent: existsSync(dirname(store)) }
  return readdirSync(store).map((name) => [name, readFileSync(join(store, name)).toString('base64')])
}

function list(uploads: string[]): string {
  return uploads.map((upload) => `\`${upload}\``).join(', ') || 'nothing'
}

/** Expects a table in the document, or writes it in the place of the one with the same first line. */
function expectInDocument(lines: string[]): void {
  const table = lines.join('')
  if (process.env.UPDATE_DOCS) {
    const document = readFileSync(DOCUMENT, 'utf8')
    const start = document.indexOf(lines[0]!)
    expect(start).toBeGreaterThan(0)
    const end = document.indexOf('\n\n', start) + 1
    writeFileSync(DOCUMENT, document.slice(0, start) + table + document.slice(end))
  }
  expect(readFileSync(DOCUMENT, 'utf8')).toContain(`\n\n${table}\n`)
}

async function publishedGhost() {
  const cell = CELLS.find(({ outcome }) => outcome === 'published')!
  const { store, serves, identity } = await prepare(cell, USER_ID, DEVICE_ID, temporaryFolder())
  return { store, identity: identity!, device: serves.device!, serverKeys: answer(serves) }
}

describe('decisions', () => {
  test.each(CELLS.map(byCell))('%s', async (_, cell) => {
    const { store, identity, serves } = await prepare(cell, USER_ID, DEVICE_ID, temporaryFolder())
    const serverKeys = answer(serves)
    const before = trace(store)
    const call = bootstrap(store, { serverKeys })

    if (cell.outcome === 'IDENTITY_CONFLICT') {
      const error = await failure(call)
      expect(error.code).toBe('IDENTITY_CONFLICT')
      expect(error.message).toContain(onlyKey(serves.identity!.master_key)[1])
      expect(error.message).toContain(identity ? onlyKey(identity.master_key)[1] : 'has none')
      expect(error.message).toContain(USER_ID)
      expect(error.message).toContain(store)
      expect(trace(store)).toEqual(before)
      return
    }
    const payloads = await call
    expect(payloads.status).toBe(cell.outcome)
    expect(payloads.missing).toEqual(cell.missing)
    expect(payloads.warnings?.map(({ code }) => code)).toEqual(cell.warnings)
    if (identity) expect(payloads.upload_keys).toEqual(identity)
    if (cell.outcome === 'published') expect(trace(store)).toEqual(before)
    // The payloads are complete, whether the homeserver lacks them or not.
    const { status: _status, missing: _missing, warnings: _warnings, ...bodies } = payloads
    const { status: _resumed, ...again } = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    expect(bodies).toEqual(again)
  })

  test.each(CELLS.map(byCell))('%s, with reset', async (_, cell) => {
    const { store, identity, serves } = await prepare(cell, USER_ID, DEVICE_ID, temporaryFolder())
    const payloads = await bootstrap(store, { serverKeys: answer(serves), reset: true })
    expect(payloads.status).toBe('created')
    expect(payloads.missing).toEqual(cell.afterReset)
    expect(payloads.warnings?.map(({ code }) => code)).toEqual(cell.warnings)
    for (const old of [identity, serves.identity]) {
      if (old) expect(onlyKey(payloads.upload_keys.master_key)).not.toEqual(onlyKey(old.master_key))
    }
  })

  test('docs/server-keys.md has the table of these decisions', () => {
    const rows = CELLS.map(({ server, store, outcome, missing, afterReset, warnings }) => {
      const warned = warnings.map((code) => `, \`${code}\``).join('')
      const left = outcome === 'IDENTITY_CONFLICT' ? '(refused)' : list(missing)
      return `| ${server} | ${store} | \`${outcome}\`${outcome === 'IDENTITY_CONFLICT' ? '' : warned} | ${left} | ${list(afterReset)} |\n`
    })
    expectInDocument([
      '| the homeserver serves | the store holds | what happens | left to upload | left with `reset: true` |\n',
      '|---|---|---|---|---|\n',
      ...rows,
    ])
  })

  test('an identity without one of its private keys is refused, whatever the homeserver serves', async () => {
    const { store, serverKeys } = await publishedGhost()
    const identity = (await record(store, 'identity')) as { keys: object }
    await setRecord(store, 'identity', { ...identity, keys: { ...identity.keys, master_key: null } })
    const before = trace(store)
    for (const known of [serverKeys, answer({})]) {
      expect((await failure(bootstrap(store, { serverKeys: known }))).code).toBe('IDENTITY_INCOMPLETE')
    }
    expect(trace(store)).toEqual(before)
  })
})

describe('what the homeserver serves', () => {
  test('without serverKeys the result has neither missing nor warnings', async () => {
    const { store } = await publishedGhost()
    for (const payloads of [
      await bootstrapCrossSigning(USER_ID, DEVICE_ID, store),
      await bootstrap(store, {}),
      await bootstrap(store, { reset: true }),
    ]) {
      expect(payloads.status).not.toBe('published')
      const names = ['status', 'upload_device_keys', 'upload_keys', 'upload_signatures']
      expect(Object.keys(payloads).sort()).toEqual(names)
    }
  })

  test.each<[string, (ghost: Awaited<ReturnType<typeof publishedGhost>>) => void]>([
    [
      'the answer that other users get, without the user-signing key',
      ({ serverKeys }) => Reflect.deleteProperty(serverKeys, 'user_signing_keys'),
    ],
    [
      'with a display name beside the device keys',
      ({ serverKeys, device }) => {
        serverKeys.device_keys[USER_ID] = {
          [DEVICE_ID]: { ...device, unsigned: { device_display_name: 'Ghost' } },
        }
      },
    ],
    [
      'with a signature of another user on the master key',
      ({ serverKeys, identity }) => {
        const master = structuredClone(identity.master_key)
        new SigningKey().sign(master, 'ed25519:other', '@other:example.org')
        serverKeys.master_keys = { [USER_ID]: master }
      },
    ],
    [
      'with other devices and users in the answer, valid or not',
      ({ serverKeys }) => {
        Object.assign(serverKeys.device_keys[USER_ID]!, { OTHER: { keys: 7 }, NONE: null })
        Object.assign(serverKeys.device_keys, { '@other:example.org': 7 })
        Object.assign(serverKeys.master_keys, { '@other:example.org': 7 })
        Object.assign(serverKeys.failures, { 'other.example.org': {} })
        Object.assign(serverKeys, { 'org.example.new': [1.5] })
      },
    ],
  ])('published: %s', async (_, change) => {
    const ghost = await publishedGhost()
    change(ghost)
    const { status, missing, warnings } = await bootstrap(ghost.store, { serverKeys: ghost.serverKeys })
    expect({ status, missing, warnings }).toEqual({ status: 'published', missing: [], warnings: [] })
  })

  test.each<[string, (serverKeys: WholeAnswer) => void, string[]]>([
    [
      'another self-signing key',
      ({ self_signing_keys }) => {
        const [other, key] = [new SigningKey(), self_signing_keys[USER_ID] as { keys: object }]
        key.keys = { [`ed25519:${other.publicKey}`]: other.publicKey }
      },
      ['upload_keys', 'upload_signatures'],
    ],
    [
      'no self-signing key',
      (serverKeys) => (serverKeys.self_signing_keys = {}),
      ['upload_keys', 'upload_signatures'],
    ],
    [
      'a self-signing key that the master key did not sign',
      ({ self_signing_keys }) => {
        ;(self_signing_keys[USER_ID] as { signatures: object }).signatures = {}
      },
      ['upload_keys', 'upload_signatures'],
    ],
    [
      'a wrong signature of the self-signing key on the device',
      ({ device_keys, self_signing_keys }) => {
        const [id] = onlyKey(self_signing_keys[USER_ID] as { keys: Record<string, string> })
        const { signatures } = device_keys[USER_ID]![DEVICE_ID] as {
          signatures: Record<string, Record<string, string>>
        }
        signatures[USER_ID]![id] = signatures[USER_ID]![`ed25519:${DEVICE_ID}`]!
      },
      ['upload_signatures'],
    ],
  ])('not published: %s', async (_, change, missing) => {
    const { store, serverKeys } = await publishedGhost()
    change(serverKeys)
    await expect(bootstrap(store, { serverKeys })).resolves.toMatchObject({ status: 'resumed', missing })
  })

  test('device keys that the homeserver has lost are returned again, whatever the store records', async () => {
    const { store, device, serverKeys } = await publishedGhost()
    await setFlag(store, 'account', 'shared')
    expect(await bootstrap(store, { serverKeys })).not.toHaveProperty('upload_device_keys')
    serverKeys.device_keys = { [USER_ID]: {} }
    await expect(bootstrap(store, { serverKeys })).resolves.toMatchObject({
      upload_device_keys: { device_keys: device },
      missing: ['upload_device_keys', 'upload_signatures'],
    })
  })

  test('the warning names the device and the user, and says what to do', async () => {
    const { store, serverKeys } = await publishedGhost()
    const other = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'other'))
    serverKeys.device_keys = { [USER_ID]: { [DEVICE_ID]: other.upload_device_keys!.device_keys } }
    const { warnings } = await bootstrap(store, { serverKeys })
    expect(warnings).toEqual([{ code: 'DEVICE_KEYS_DIFFER', message: expect.any(String) as string }])
    for (const text of [USER_ID, DEVICE_ID, 'new device ID']) expect(warnings![0]!.message).toContain(text)
  })
})

describe('odd answers', () => {
  type Kind = 'none' | 'same' | 'other'

  const byDecision = ODDITIES.flatMap((oddity) =>
    (['none', 'same', 'other'] as const).map((kind) => [oddity.serves, kind, oddity] as const),
  )

  /** Makes a store, and an answer with the identity that it has, had or never had. */
  async function prepareOdd({ change: makeOdd }: Oddity, kind: Kind) {
    const { store, serverKeys } = await publishedGhost()
    if (kind === 'none') await change(store, "DELETE FROM kv WHERE key = 'identity'")
    if (kind === 'other') await bootstrap(store, { reset: true })
    const odd = serverKeys as unknown as OddAnswer
    makeOdd(odd)
    return { store, odd }
  }

  test.each(byDecision)('%s × %s identity', async (_, kind, oddity) => {
    const { store, odd } = await prepareOdd(oddity, kind)
    const before = trace(store)
    const call = bootstrapOdd(store, odd)
    const { outcome, missing, warnings } = oddity[kind]
    if (outcome === 'IDENTITY_CONFLICT' || outcome === 'INVALID_ARGUMENT') {
      const error = await failure(call)
      expect(error.code).toBe(outcome)
      expect(error.message).toMatch(/^[^\n]{30,1000}$/)
      expect(trace(store)).toEqual(before)
      return
    }
    const payloads = await call
    expect(payloads.status).toBe(outcome)
    expect(payloads.missing).toEqual(missing)
    expect(payloads.warnings!.map(({ code }) => code)).toEqual(warnings)
    for (const { message } of payloads.warnings!) {
      for (const text of [USER_ID, DEVICE_ID, 'new device ID']) expect(message).toContain(text)
    }
    if (missing.includes('upload_device_keys')) expect(payloads).toHaveProperty('upload_device_keys')
  })

  test.each(ODDITIES.map((oddity) => [oddity.serves, oddity] as const))(
    '%s, with reset',
    async (_, oddity) => {
      const { store, odd } = await prepareOdd(oddity, 'same')
      const before = trace(store)
      if (oddity.same.outcome === 'INVALID_ARGUMENT') {
        expect((await failure(bootstrapOdd(store, odd, true))).code).toBe('INVALID_ARGUMENT')
        expect(trace(store)).toEqual(before)
        return
      }
      const payloads = await bootstrapOdd(store, odd, true)
      expect(payloads.status).toBe('created')
      expect(payloads.missing).toEqual(expect.arrayContaining(['upload_keys', 'upload_signatures']))
      // The new self-signing key has signed nothing before.
      const warnings = oddity.same.warnings.filter((code) => code !== 'STALE_SIGNATURE')
      expect(payloads.warnings!.map(({ code }) => code)).toEqual(warnings)
    },
  )

  test('docs/server-keys.md has the table of these decisions', () => {
    const cell = ({ outcome, warnings, missing }: Decision) => {
      const what = [outcome, ...warnings].map((code) => `\`${code}\``).join(', ')
      return missing.length > 0 ? `${what}: ${list(missing)}` : what
    }
    const rows = ODDITIES.map(
      ({ serves, none, same, other }) => `| ${serves} | ${cell(none)} | ${cell(same)} | ${cell(other)} |\n`,
    )
    expectInDocument([
      '| the homeserver serves | the store has no identity | the store has that identity | the store has another |\n',
      '|---|---|---|---|\n',
      ...rows,
    ])
  })

  test('the error names the key that is a sign of an identity', async () => {
    for (const name of ['self_signing_keys', 'user_signing_keys'] as const) {
      const { store, serverKeys } = await publishedGhost()
      await bootstrap(store, { reset: true })
      const [, key] = onlyKey(serverKeys[name][USER_ID] as { keys: Record<string, string> })
      const error = await failure(
        bootstrap(store, { serverKeys: { ...answer({}), [name]: serverKeys[name] } }),
      )
      expect(error.message).toContain(key)
    }
    const { store, serverKeys, identity } = await publishedGhost()
    await bootstrap(store, { reset: true })
    const { device_keys } = serverKeys
    const error = await failure(bootstrap(store, { serverKeys: { ...answer({}), device_keys } }))
    expect(error.message).toContain(onlyKey(identity.self_signing_key)[0])
  })

  test('own properties alone count, also of users and devices with the names of inherited ones', async () => {
    const inherited = { master_keys: { [USER_ID]: {} }, failures: { 'example.org': {} } }
    const answers = [JSON.parse(`{ "__proto__": ${JSON.stringify(inherited)} }`) as object]
    for (const part of answers) {
      const store = join(temporaryFolder(), 'store')
      await expect(bootstrapOdd(store, { ...answer({}), ...part })).resolves.toMatchObject({
        status: 'created',
      })
    }
    for (const device of ['__proto__', 'constructor', 'toString']) {
      const store = join(temporaryFolder(), 'store')
      const served = { device_keys: { [USER_ID]: {} }, master_keys: {}, failures: {} }
      const call = bootstrapCrossSigning(USER_ID, device, store, { serverKeys: served })
      const { upload_device_keys, upload_keys, missing, warnings } = await call
      expect({ missing, warnings }).toEqual({
        missing: ['upload_device_keys', 'upload_keys', 'upload_signatures'],
        warnings: [],
      })
      const text = JSON.stringify({
        ...{ device_keys: { [USER_ID]: { DEVICE: upload_device_keys!.device_keys } } },
        master_keys: { [USER_ID]: upload_keys.master_key },
        self_signing_keys: { [USER_ID]: upload_keys.self_signing_key },
        user_signing_keys: { [USER_ID]: upload_keys.user_signing_key },
      })
      // An object literal with this name would set the prototype.
      const serverKeys = JSON.parse(text.replace('"DEVICE":', `"${device}":`)) as KeysQueryAnswer
      const again = bootstrapCrossSigning(USER_ID, device, store, { serverKeys })
      await expect(again).resolves.toMatchObject({ status: 'published' })
    }
  })
})

describe('the signatures of the master key', () => {
  const OTHER_DEVICE = 'ed25519:OTHERDEVICE'

  async function signedByAnotherDevice() {
    const ghost = await publishedGhost()
    const master = structuredClone(ghost.identity.master_key)
    new SigningKey().sign(master, OTHER_DEVICE)
    ghost.serverKeys.master_keys = { [USER_ID]: master }
    return { ...ghost, master }
  }

  test('are handed out as the homeserver has them: it may refuse a key that it has with others', async () => {
    const { store, serverKeys, identity, master } = await signedByAnotherDevice()
    const payloads = await bootstrap(store, { serverKeys })
    expect(payloads.upload_keys).toEqual({ ...identity, master_key: master })
    expect(payloads.status).toBe('published')
    // The store keeps its own.
    expect((await bootstrap(store, {})).upload_keys).toEqual(identity)
  })

  test.each<[string, (serverKeys: WholeAnswer) => void]>([
    ['the answer lacks a key', (serverKeys) => Reflect.deleteProperty(serverKeys, 'user_signing_keys')],
    [
      'a key that is served is not signed by the master key',
      ({ user_signing_keys }) => Object.assign(user_signing_keys[USER_ID]!, { signatures: {} }),
    ],
    [
      'the signature of the device on the master key is wrong',
      ({ master_keys }) => {
        const { signatures } = master_keys[USER_ID] as { signatures: Record<string, Record<string, string>> }
        signatures[USER_ID]![`ed25519:${DEVICE_ID}`] = signatures[USER_ID]![OTHER_DEVICE]!
      },
    ],
    [
      'a key that is served has more fields',
      ({ master_keys }) => Object.assign(master_keys[USER_ID]!, { unsigned: { text: 'x' } }),
    ],
  ])("are the store's own if %s", async (_, spoil) => {
    const { store, serverKeys, identity } = await signedByAnotherDevice()
    spoil(serverKeys)
    expect((await bootstrap(store, { serverKeys })).upload_keys).toEqual(identity)
  })
})

describe('INVALID_ARGUMENT', () => {
  const nothing = () => answer({})
  const withUser = (name: string, value: unknown) => ({ ...nothing(), [name]: { [USER_ID]: value } })
  const withDevice = (value: unknown) => withUser('device_keys', { [DEVICE_ID]: value })
  class Answer {
    device_keys = nothing().device_keys
    get master_keys() {
      return { [USER_ID]: {} }
    }
  }
  const throwing = (target: object, trap: keyof ProxyHandler<object>) =>
    new Proxy(target, {
      [trap]: () => {
        throw new Error('no')
      },
    })

  const CASES: [what: string, serverKeys: () => unknown, message: RegExp][] = [
    ['null', () => null, /options\.serverKeys must be an object, not null/],
    ['text', () => JSON.stringify(nothing()), /must be an object, not of type string/],
    ['a number', () => 7, /must be an object/],
    ['a function', () => nothing, /must be an object/],
    ['an array', () => [nothing()], /it is not a plain object/],
    ['a Map', () => new Map(Object.entries(nothing())), /it is not a plain object/],
    ['an instance of a class', () => new Answer(), /it is not a plain object/],
    [
      'an object that inherits its properties',
      () => Object.create(nothing()) as object,
      /it is not a plain object/,
    ],
    ['an empty object', () => ({}), /serverKeys\.device_keys .*it has no devices of @_ghost:example\.org/],
    ['an error of the homeserver', () => ({ errcode: 'M_FORBIDDEN', error: 'no' }), /it has no devices of/],
    [
      'an answer about other users',
      () => ({ device_keys: { '@other:example.org': {} } }),
      /it has no devices of/,
    ],
    [
      'an answer about the user in another spelling',
      () => ({ device_keys: { [USER_ID.toUpperCase()]: {} } }),
      /it has no devices of/,
    ],
    ['device keys that are null', () => ({ ...nothing(), device_keys: null }), /it has no devices of/],
    ...['device_keys', 'master_keys', 'self_signing_keys', 'user_signing_keys', 'failures'].flatMap(
      (name): [string, () => unknown, RegExp][] =>
        [[], 'text', 7, true, new Map(), new Map([[USER_ID, {}]]), new Set(), new Date(), () => ({})].map(
          (value) => [
            `${name} of the type ${Object.prototype.toString.call(value)}`,
            () => ({ ...nothing(), [name]: value }),
            new RegExp(`^serverKeys\\.${name} .*it is not a plain object`),
          ],
        ),
    ),
    ...[[], 'text', 7, null, new Map([[DEVICE_ID, {}]])].map((value): [string, () => unknown, RegExp] => [
      `devices of the type ${Object.prototype.toString.call(value)}`,
      () => withUser('device_keys', value),
      /serverKeys\.device_keys\["@_ghost:example\.org"\] .*it is not a plain object/,
    ]),
    [
      'a homeserver that did not answer',
      () => ({ ...nothing(), failures: { 'example.org': { status: 503 } } }),
      /serverKeys\.failures .*example\.org did not answer/,
    ],
    [
      'a homeserver that did not answer, among 100,000 others',
      () => {
        const others = Array.from({ length: 100_000 }, (_, n): [string, object] => [`s${n}.example.net`, {}])
        return { ...nothing(), failures: Object.fromEntries<object>([...others, ['EXAMPLE.org', {}]]) }
      },
      /example\.org did not answer/,
    ],
    [
      'a part with a getter that throws',
      () => ({
        ...nothing(),
        get master_keys(): never {
          throw new Error('no')
        },
      }),
      /serverKeys\.master_keys .*exception/,
    ],
    ['a proxy that throws', () => throwing(nothing(), 'getPrototypeOf'), /serverKeys .*exception/],
    [
      'a proxy of a part that throws',
      () => withUser('device_keys', throwing({}, 'getOwnPropertyDescriptor')),
      /exception/,
    ],
    ['a proxy of a record that throws', () => withUser('master_keys', throwing({}, 'ownKeys')), /exception/],
    ['a record with a BigInt', () => withDevice({ user_id: 1n }), /\["GHOSTDEVICE"\] .*JSON does not have/],
    ['a record with a function', () => withUser('master_keys', { usage: [() => 1] }), /JSON does not have/],
    ['a record that is a Map', () => withUser('master_keys', new Map()), /not a plain one/],
    [
      'a record with a Map',
      () => withDevice({ signatures: new Map() }),
      /\["GHOSTDEVICE"\] .*not a plain one/,
    ],
    ['a long string in a record', () => withDevice({ user_id: 'x'.repeat(20_000_000) }), /it is larger/],
    ['a long name in a record', () => withDevice({ ['x'.repeat(20_000_000)]: 1 }), /it is larger/],
    [
      'many values in a record',
      () => withUser('master_keys', { keys: new Array<number>(10_000_000).fill(0) }),
      /larger/,
    ],
    [
      'a sparse array in a record',
      () => withDevice({ keys: new Array<number>(2 ** 32 - 1) }),
      /it is larger/,
    ],
  ]

  test.each(CASES)('the call rejects and makes nothing: %s', async (_, serverKeys, message) => {
    const store = join(temporaryFolder(), 'made', 'store')
    for (const reset of [false, true]) {
      const error = await failure(bootstrapOdd(store, serverKeys(), reset))
      expect(error.code).toBe('INVALID_ARGUMENT')
      expect(error.message).toMatch(message)
      expect(error.message).toMatch(/^.{0,900}$/)
      expect(trace(store)).toEqual({ parent: false })
    }
  })

  test('the call rejects and leaves an existing store as it is', async () => {
    const { store } = await publishedGhost()
    const before = trace(store)
    for (const [, serverKeys] of CASES) {
      expect((await failure(bootstrapOdd(store, serverKeys(), true))).code).toBe('INVALID_ARGUMENT')
    }
    expect(trace(store)).toEqual(before)
    expect(existsSync(join(store, DATABASE))).toBe(true)
  })

  test('serverKeys that are undefined count as absent', async () => {
    const store = join(temporaryFolder(), 'store')
    const call = bootstrapCrossSigning as (...args: unknown[]) => Promise<object>
    expect(await call(USER_ID, DEVICE_ID, store, { serverKeys: undefined })).not.toHaveProperty('missing')
  })

  test('a plain object may have no prototype, or be a proxy of a plain object', async () => {
    const { store, serverKeys } = await publishedGhost()
    const bare = Object.assign(Object.create(null) as object, serverKeys)
    for (const same of [bare, new Proxy(serverKeys, {})]) {
      await expect(bootstrapOdd(store, same)).resolves.toMatchObject({ status: 'published' })
    }
  })
})

describe('what an answer says about others', () => {
  const LARGE = 15 * 1024 * 1024

  test('is not read: a getter, a circle and 100,000 levels do no harm', async () => {
    const { store, serverKeys } = await publishedGhost()
    let nested: object = {}
    for (let level = 0; level < 100_000; level++) nested = { nested }
    const circle: Record<string, unknown> = {}
    circle.circle = circle
    const others = {
      nested,
      circle,
      get other(): never {
        throw new Error('no')
      },
    }
    const devices = Object.defineProperties(
      { ...serverKeys.device_keys[USER_ID] },
      Object.getOwnPropertyDescriptors(others),
    )
    const odd = Object.defineProperties({ ...serverKeys }, Object.getOwnPropertyDescriptors(others))
    odd.device_keys = { [USER_ID]: devices, '@other:example.org': others }
    await expect(bootstrapOdd(store, odd)).resolves.toMatchObject({ status: 'published' })
  })

  test('costs neither time nor memory', async () => {
    const { store, serverKeys } = await publishedGhost()
    const user = { DEVICE: { keys: { 'ed25519:DEVICE': 'x'.repeat(43) }, signatures: {} } }
    const users = Math.ceil(LARGE / JSON.stringify(user).length)
    for (let n = 0; n < users; n++) serverKeys.device_keys[`@u${n}:example.net`] = structuredClone(user)
    expect(JSON.stringify(serverKeys).length).toBeGreaterThan(LARGE)
    verifyPublished(USER_ID, DEVICE_ID, serverKeys)

    const before = { time: performance.now(), memory: process.memoryUsage().rss }
    for (let times = 0; times < 100; times++) {
      expect(verifyPublished(USER_ID, DEVICE_ID, serverKeys).verified).toBe(true)
    }
    const call = bootstrap(store, { serverKeys })
    const blocked = performance.now() - before.time
    await expect(call).resolves.toMatchObject({ status: 'published' })
    // Copying the answer once takes longer, and takes hundreds of megabytes.
    expect(blocked).toBeLessThan(1000)
    expect(process.memoryUsage().rss - before.memory).toBeLessThan(LARGE)
  })
})
