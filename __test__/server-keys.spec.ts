// Promise: with `serverKeys` a call replaces no identity by accident, says what is left to upload, and trusts
// nothing in the homeserver's answer. UPDATE_DOCS=1 writes the table of decisions to docs/server-keys.md.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bootstrapCrossSigning, type BootstrapOptions, type KeysQueryAnswer } from 'rust-crypto-helper'
import { record, setFlag, setRecord } from './support/database'
import { type Cell, CELLS, prepare, type Scene } from './support/decisions'
import { SigningKey } from './support/published'
import { onlyKey } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const DOCUMENT = join(__dirname, '..', 'docs', 'server-keys.md')

const byCell = (cell: Cell) => [`${cell.server} × ${cell.store}`, cell] as const

function bootstrap(store: string, options: BootstrapOptions) {
  return bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
}

async function failure(call: Promise<unknown>): Promise<Error & { code: string }> {
  return call.then(
    () => {
      throw new Error('resolved')
    },
    (error: unknown) => error as Error & { code: string },
  )
}

function answer({ device, identity }: Scene['serves']): Required<KeysQueryAnswer> {
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
    const list = (uploads: string[]) => uploads.map((upload) => `\`${upload}\``).join(', ') || 'nothing'
    const rows = CELLS.map(({ server, store, outcome, missing, afterReset, warnings }) => {
      const warned = warnings.map((code) => `, \`${code}\``).join('')
      const left = outcome === 'IDENTITY_CONFLICT' ? '(refused)' : list(missing)
      return `| ${server} | ${store} | \`${outcome}\`${outcome === 'IDENTITY_CONFLICT' ? '' : warned} | ${left} | ${list(afterReset)} |\n`
    })
    const table = [
      '| the homeserver serves | the store holds | what happens | left to upload | left with `reset: true` |\n',
      '|---|---|---|---|---|\n',
      ...rows,
    ].join('')
    if (process.env.UPDATE_DOCS) {
      const document = readFileSync(DOCUMENT, 'utf8')
      writeFileSync(
        DOCUMENT,
        document.replace(/^\| the homeserver serves (.*\n)(\|.*\n)+/m, () => table),
      )
    }
    expect(readFileSync(DOCUMENT, 'utf8')).toContain(`\n\n${table}`)
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

  test.each<[string, (serverKeys: Required<KeysQueryAnswer>) => void, string[]]>([
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

describe('INVALID_ARGUMENT', () => {
  const nothing = () => answer({})
  const nested = (levels: number) => {
    let value: object = {}
    for (let level = 0; level < levels; level++) value = { value }
    return value
  }
  const circular = () => {
    const value: Record<string, unknown> = nothing()
    return Object.assign(value, { value })
  }
  const withUser = (name: string, value: unknown) => ({ ...nothing(), [name]: { [USER_ID]: value } })

  const CASES: [what: string, serverKeys: () => unknown, message: RegExp][] = [
    ['null', () => null, /options\.serverKeys must be an object, not null/],
    ['text', () => JSON.stringify(nothing()), /must be an object, not of type string/],
    ['a number', () => 7, /must be an object/],
    ['a function', () => nothing, /must be an object/],
    ['an array', () => [nothing()], /it is not an object/],
    ['a circular object', circular, /options\.serverKeys is not JSON/],
    ['an object with a BigInt', () => ({ ...nothing(), value: 1n }), /options\.serverKeys is not JSON/],
    [
      'an object with a getter that throws',
      () => {
        return {
          ...nothing(),
          get value(): boolean {
            throw new Error('no')
          },
        }
      },
      /options\.serverKeys is not JSON/,
    ],
    [
      'an object whose toJSON returns undefined',
      () => ({ ...nothing(), toJSON: () => undefined }),
      /not JSON/,
    ],
    [
      '100,000 nested objects',
      () => ({ ...nothing(), value: nested(100_000) }),
      /options\.serverKeys is not JSON/,
    ],
    ['1,000 nested objects', () => ({ ...nothing(), value: nested(1000) }), /recursion limit/],
    [
      'more than 16 MiB',
      () => ({ ...nothing(), value: 'x'.repeat(16 * 1024 * 1024) }),
      /longer than 16777216/,
    ],
    ['half a surrogate pair', () => ({ ...nothing(), value: '\ud800' }), /serverKeys is not what POST/],
    ['an empty object', () => ({}), /serverKeys\.device_keys .*it has no devices of @_ghost:example\.org/],
    ['an error of the homeserver', () => ({ errcode: 'M_FORBIDDEN', error: 'no' }), /it has no devices of/],
    [
      'an answer about other users',
      () => ({ device_keys: { '@other:example.org': {} } }),
      /it has no devices of/,
    ],
    ['a Map', () => new Map(Object.entries(nothing())), /it has no devices of/],
    ['devices that are a list', () => withUser('device_keys', []), /it has no devices of/],
    [
      'a homeserver that did not answer',
      () => ({ ...nothing(), failures: { 'example.org': { status: 503 } } }),
      /serverKeys\.failures .*example\.org did not answer/,
    ],
    ['failures that are a list', () => ({ ...nothing(), failures: [] }), /serverKeys\.failures /],
    ['master keys that are null', () => ({ ...nothing(), master_keys: null }), /serverKeys\.master_keys /],
    ['a master key that is null', () => withUser('master_keys', null), /serverKeys\.master_keys\["@_ghost/],
    [
      'a self-signing key that is empty',
      () => withUser('self_signing_keys', {}),
      /serverKeys\.self_signing_keys\["@_ghost/,
    ],
    [
      'a user-signing key that is a number',
      () => withUser('user_signing_keys', 7),
      /serverKeys\.user_signing_keys\["@_ghost/,
    ],
    [
      'a device that is text',
      () => withUser('device_keys', { [DEVICE_ID]: 'x' }),
      /serverKeys\.device_keys\["@_ghost:example\.org"\]\["GHOSTDEVICE"\]/,
    ],
    [
      'a master key for another purpose',
      () => withUser('master_keys', { user_id: USER_ID, usage: ['self_signing'], keys: {}, signatures: {} }),
      /serverKeys\.master_keys.*usage/,
    ],
    [
      'a long value, which the message shortens',
      () => withUser('master_keys', 'x'.repeat(1_000_000)),
      /^.{0,900}$/,
    ],
  ]

  test.each(CASES)('the call rejects and makes nothing: %s', async (_, serverKeys, message) => {
    const store = join(temporaryFolder(), 'made', 'store')
    for (const reset of [false, true]) {
      const error = await failure(bootstrap(store, { serverKeys: serverKeys() as never, reset }))
      expect(error.code).toBe('INVALID_ARGUMENT')
      expect(error.message).toMatch(message)
      expect(trace(store)).toEqual({ parent: false })
    }
  })

  test('the call rejects and leaves an existing store as it is', async () => {
    const { store } = await publishedGhost()
    const before = trace(store)
    for (const [, serverKeys] of CASES) {
      const error = await failure(bootstrap(store, { serverKeys: serverKeys() as never, reset: true }))
      expect(error.code).toBe('INVALID_ARGUMENT')
    }
    expect(trace(store)).toEqual(before)
    expect(existsSync(join(store, DATABASE))).toBe(true)
  })

  test('serverKeys that are undefined count as absent', async () => {
    const store = join(temporaryFolder(), 'store')
    const call = bootstrapCrossSigning as (...args: unknown[]) => Promise<object>
    expect(await call(USER_ID, DEVICE_ID, store, { serverKeys: undefined })).not.toHaveProperty('missing')
  })

  test('an answer with 100 nested objects or of 15 MiB is accepted', async () => {
    const { store, serverKeys } = await publishedGhost()
    for (const value of [nested(100), 'x'.repeat(15 * 1024 * 1024)]) {
      const call = bootstrap(store, { serverKeys: { ...serverKeys, value } as never })
      await expect(call).resolves.toMatchObject({ status: 'published' })
    }
  })
})
