// Promise: whatever a homeserver answers, `publish` publishes, or it rejects with an error that says what the
// homeserver said and what to do. UPDATE_DOCS=1 writes the tables to docs/homeservers.md.

import { getEventListeners } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, type CrossSigningBootstrap } from 'rust-crypto-helper'
import {
  CrossSigningPublisher,
  MatrixRequestError,
  NotPublishedError,
  type PublisherOptions,
  type PublishOptions,
  type UserInteractiveAuthChallenge,
  UserInteractiveAuthError,
} from 'rust-crypto-helper/publisher'
import { Answer } from '../publisher/answer'
import { waitBefore } from '../publisher/retry'
import { withoutIdentity } from './support/decisions'
import { hostClient } from './support/host-client'
import { OTHER_PROCESS } from './support/holders'
import { AS_TOKEN, type Endpoint, type Fate, Homeserver } from './support/homeserver'
import { type Kind, KINDS, type KindName } from './support/homeserver-kinds'
import { itWith } from './support/needs'
import { type Case, GROUPS, type Scene, type Sender } from './support/publications'
import { vouchingKey } from './support/published'
import { onlyKey } from './support/signatures'
import { DEVICE_ID, openHandles, temporaryFolder, USER_ID } from './support/stores'

const testWithHolder = itWith(OTHER_PROCESS.missing)

const DOCUMENT = join(__dirname, '..', 'docs', 'homeservers.md')

const homeservers: Homeserver[] = []
/** Every token that no error may show. */
const secrets: string[] = []

async function homeserverOf(kind?: KindName | Kind, base?: string): Promise<Homeserver> {
  const homeserver = await Homeserver.start(kind, base)
  homeservers.push(homeserver)
  return homeserver
}

beforeEach(() => {
  secrets.splice(0, secrets.length, AS_TOKEN, 'syt_secret_of_a_login')
})

afterEach(async () => {
  for (const homeserver of homeservers.splice(0)) await homeserver.stop()
})

type Options = Partial<Record<keyof PublisherOptions | 'asToken' | 'timeout', unknown>>

const publisherOf = ({ url: homeserverUrl }: Homeserver, options: object = {}) =>
  new CrossSigningPublisher({ homeserverUrl, asToken: AS_TOKEN, ...options })

/** A homeserver with a ghost that is registered and has a device, and a publisher for it. */
async function ghostWithDevice(kind?: KindName | Kind, options?: object) {
  const homeserver = await homeserverOf(kind)
  homeserver.register(USER_ID).devices.set(DEVICE_ID, {})
  const store = join(temporaryFolder(), 'store')
  const publisher = publisherOf(homeserver, options)
  const publish = (options?: PublishOptions) => publisher.publish(USER_ID, DEVICE_ID, store, options)
  return { homeserver, store, publisher, publish }
}

async function failure(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  // Errors of the addon are not of Jest's realm.
  expect(Object.prototype.toString.call(error)).toBe('[object Error]')
  return error as Error
}

const isShort = (code: unknown): code is string => typeof code === 'string' && /^[A-Z0-9_.]{1,60}$/.test(code)

/** What a program reads of an error. */
function nameOf(error: Error & { code?: unknown }): string {
  if (error instanceof UserInteractiveAuthError) {
    const flows = error.flows
      .map(({ stages }) => `[${stages.join(', ')}]`)
      .filter((stages) => stages !== '[]')
    return (
      [error.name, flows.join(' and ')].join(' ').trim() + (error.url === undefined ? '' : ' and its `url`')
    )
  }
  if (error instanceof NotPublishedError) return `${error.name} ${error.problem}`
  if (error instanceof MatrixRequestError) {
    const { status } = error
    const known = status !== undefined && status >= 300 && status < 400 ? '3xx' : status
    return `${error.name} ${isShort(error.errcode) ? error.errcode : (known ?? '')}`.trim()
  }
  return isShort(error.code) ? `BootstrapError ${error.code}` : error.name
}

/** The same for the documentation. */
function rendered(outcome: string): string {
  if (outcome === 'published') return outcome
  return outcome.replace(/^\w+|(?<= )[A-Z][A-Z0-9_.]+|\[[^\]]+\]/g, (word) => `\`${word}\``)
}

/** One short line, and no token anywhere. */
function expectDecent(error: Error, ...others: unknown[]): void {
  expect(error.message).toMatch(/^[^\p{Cc}\p{Zl}\p{Zp}]{1,1500}$/u)
  for (const value of [error, ...others]) {
    const shown = inspect(value, { depth: Infinity, showHidden: true, maxStringLength: Infinity })
    for (const text of [shown, JSON.stringify(value), String(value), error.stack]) {
      for (const secret of secrets) expect(text).not.toContain(secret)
    }
  }
}

async function expectPublished(homeserver: Homeserver, store: string, deviceId = DEVICE_ID): Promise<void> {
  const { upload_keys } = await bootstrapCrossSigning(USER_ID, deviceId, store)
  expect(vouchingKey(homeserver.serves(USER_ID))).toBe(onlyKey(upload_keys.master_key)[1])
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

async function prepare({ kind, before = 'a device', sender, does }: Case, variant: unknown): Promise<Scene> {
  const homeserver = await homeserverOf(kind)
  const user = homeserver.register(USER_ID)
  const store = join(temporaryFolder(), 'store')
  let ghost: CrossSigningBootstrap | undefined
  if (before !== 'only the user' || sender === 'a bot') user.devices.set(DEVICE_ID, {})
  if (before === 'device keys without a signature' || before === 'the identity and the signed device') {
    ghost = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const isSigned = before === 'the identity and the signed device'
    const device = isSigned ? ghost.upload_device_keys!.device_keys : withoutIdentity(ghost)
    user.deviceKeys.set(DEVICE_ID, structuredClone(device) as never)
    if (isSigned) Object.assign(user.identity, structuredClone(ghost.upload_keys))
  }
  const scene = { homeserver, store, ghost }
  await does?.(scene, variant)
  return scene
}

function connect({ homeserver }: Scene, { sender, client, ...rest }: Case, variant: unknown) {
  const { authenticate: onUserInteractiveAuth, maxRetries, timeout } = rest
  const common = { onUserInteractiveAuth, maxRetries, timeout }
  const { url: homeserverUrl } = homeserver
  const senders: Record<Sender, () => PublisherOptions> = {
    'an application service': () => ({ ...common, homeserverUrl, asToken: AS_TOKEN }),
    'a bot': () => ({ ...common, homeserverUrl, accessToken: homeserver.logIn(USER_ID, DEVICE_ID) }),
    'a host': () => {
      const request = hostClient(homeserverUrl, AS_TOKEN)
      return { ...common, request: client ? client(request, variant) : request }
    },
  }
  return new CrossSigningPublisher(senders[sender ?? 'an application service']())
}

describe.each(GROUPS)('$title', ({ cases }) => {
  test.each(cases.map((row) => [row.homeserver, row.outcome, row] as const))('%s: %s', async (_, __, row) => {
    for (const variant of row.variants ?? [undefined]) {
      const scene = await prepare(row, variant)
      const publisher = connect(scene, row, variant)
      const { homeserver, store } = scene
      const { reset } = row
      const call = publisher.publish(USER_ID, DEVICE_ID, store, { reset })
      if (row.outcome === 'published') {
        await call
        await expectPublished(homeserver, store)
      } else {
        const error = await failure(call)
        expect({ variant, outcome: nameOf(error), error }).toMatchObject({ outcome: row.outcome })
        expect(error.message).toMatch(row.says ?? /./)
        expectDecent(error, publisher)
      }
      expect({ variant, requests: homeserver.requests() }).toMatchObject({
        requests: { length: row.requests },
      })
      expect(openHandles(store)).toEqual([])
      await homeserver.stop()
    }
  })
})

describe('kinds of homeservers', () => {
  const OTHER = '@_other:example.org'

  /** What becomes of the publication of one ghost, and how many requests it takes. */
  async function play(homeserver: Homeserver, call: Promise<unknown>): Promise<string> {
    const outcome = await call.then(
      () => 'published',
      (error: unknown) => {
        expectDecent(error as Error)
        return nameOf(error as Error)
      },
    )
    return `${rendered(outcome)} (${homeserver.requests().length})`
  }

  async function playKind(kind: KindName): Promise<string[]> {
    const homeserver = await homeserverOf(kind)
    const publisher = publisherOf(homeserver)
    const store = join(temporaryFolder(), 'store')
    homeserver.register(USER_ID)
    homeserver.register(OTHER)
    const publish = (options?: PublishOptions) =>
      play(homeserver, publisher.publish(USER_ID, DEVICE_ID, store, options))

    const first = await publish()
    if (first.startsWith('published')) await expectPublished(homeserver, store)
    const next = await play(homeserver, publisher.publish(OTHER, DEVICE_ID, join(temporaryFolder(), 'store')))
    const again = await publish()
    const reset = await publish({ reset: true })
    if (reset.startsWith('published')) await expectPublished(homeserver, store)
    return [first, next, again, reset]
  }

  const names = Object.keys(KINDS) as KindName[]
  const played = new Map<KindName, Promise<string[]>>()
  const rowOf = (kind: KindName): Promise<string[]> => {
    if (!played.has(kind)) played.set(kind, playKind(kind))
    return played.get(kind)!
  }

  test.each(names)('%s', async (kind) => {
    const row = await rowOf(kind)
    const requests = row.map((cell) => Number(/\((\d+)\)$/.exec(cell)![1]))
    if (!row[0]!.startsWith('published')) return
    const [first, next, again] = requests as [number, number, number, number]
    expect(first).toBeLessThanOrEqual(8)
    expect(next).toBeLessThanOrEqual(6)
    expect(again).toBe(1)
  })

  test('docs/homeservers.md has the tables of what was played', async () => {
    const rows = await Promise.all(names.map(rowOf))
    const kinds = names.map((kind, n) => `| ${[kind, ...rows[n]!].join(' | ')} |\n`)
    const tables = GROUPS.map(({ title, text, cases }) => {
      const rows = cases.map(({ homeserver, outcome, requests }) => {
        return `| ${homeserver} | ${rendered(outcome)} | ${requests} |\n`
      })
      return [
        `## ${title}\n\n${text}\n\n`,
        '| the homeserver | what comes of it | requests |\n|---|---|---|\n',
        ...rows,
      ].join('')
    })
    const tablesOfAll = [
      '| kind | the first new ghost | the next one | a published ghost | `reset: true` |\n|---|---|---|---|---|\n',
      ...kinds,
      '\n',
      tables.join('\n'),
    ].join('')
    const [begin, end] = ['<!-- played by __test__/publisher.spec.ts -->\n\n', '\n<!-- until here -->']
    if (process.env.UPDATE_DOCS) {
      const [head, rest] = readFileSync(DOCUMENT, 'utf8').split(begin)
      writeFileSync(DOCUMENT, head! + begin + tablesOfAll + rest!.slice(rest!.indexOf(end)))
    }
    expect(readFileSync(DOCUMENT, 'utf8')).toContain(begin + tablesOfAll + end)
  })
})

describe('requests', () => {
  test('an application service names the user, and the device where it matters', async () => {
    const { homeserver, publish } = await ghostWithDevice()
    await publish()
    expect(homeserver.seen.map(({ query, token }) => ({ query, token }))).toEqual(
      [{}, { device_id: DEVICE_ID, 'org.matrix.msc3202.device_id': DEVICE_ID }, {}, {}].map((more) => ({
        query: { user_id: USER_ID, ...more },
        token: AS_TOKEN,
      })),
    )
  })

  test('a bot names nobody', async () => {
    const homeserver = await homeserverOf()
    homeserver.register(USER_ID)
    const accessToken = homeserver.logIn(USER_ID, DEVICE_ID)
    const publisher = new CrossSigningPublisher({ homeserverUrl: homeserver.url, accessToken })
    await publisher.publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
    expect(homeserver.seen.map(({ query, token }) => ({ query, token }))).toEqual(
      Array.from({ length: 5 }, () => ({ query: {}, token: accessToken })),
    )
  })

  test('a ghost that is published twice at once is published once', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    const [first, second] = await Promise.all([publish(), publish()])
    expect(second.upload_keys).toEqual(first.upload_keys)
    await expectPublished(homeserver, store)
  })

  test('two stores of one user at once: one makes the identity, and the other does not replace it', async () => {
    for (let round = 0; round < 10; round++) {
      const homeserver = await homeserverOf()
      const { devices } = homeserver.register(USER_ID)
      for (const device of ['A', 'B']) devices.set(device, {})
      // Two publishers, as two copies of a list of ghosts may have.
      const calls = ['A', 'B'].map((device) =>
        publisherOf(homeserver).publish(USER_ID, device, join(temporaryFolder(), 'store')),
      )
      const [first, second] = await Promise.allSettled(calls)
      expect(first).toMatchObject({ status: 'fulfilled' })
      expect(second).toMatchObject({ status: 'rejected', reason: { code: 'IDENTITY_CONFLICT' } })
      const identities = homeserver.requests().filter((request) => request.endsWith('device_signing/upload'))
      expect(identities).toHaveLength(1)
    }
  })

  test('a publication beside a reset: the homeserver serves what the store holds', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    homeserver.next('keys/device_signing/upload', { status: 503, headers: { 'Retry-After': '1' }, body: '' })
    const first = publish()
    await until(() => homeserver.seen.length > 2)
    await publish({ reset: true })
    await first
    await expectPublished(homeserver, store)
    expect((await publish()).status).toBe('published')
  })

  test('an abort ends the wait for another publication of the user, which goes on', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    homeserver.next('keys/query', { status: 503, headers: { 'Retry-After': '1' }, body: '' })
    const first = publish()
    const abort = new AbortController()
    const second = publish({ signal: abort.signal })
    abort.abort('stop')
    await expect(second).rejects.toBe('stop')
    const third = publish()
    expect((await first).status).toBe('created')
    expect((await third).status).toBe('published')
    await expectPublished(homeserver, store)
  })

  test('an identity that is made while a person authenticates is not replaced', async () => {
    const other = await bootstrapCrossSigning(USER_ID, 'PHONE', join(temporaryFolder(), 'phone'))
    const { homeserver, publish } = await ghostWithDevice(undefined, {
      onUserInteractiveAuth: ({ session }: UserInteractiveAuthChallenge) => {
        Object.assign(homeserver.user(USER_ID).identity, structuredClone(other.upload_keys))
        return { type: 'm.login.password', password: 'right', session }
      },
    })
    homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['m.login.password'] }] }
    expect(nameOf(await failure(publish()))).toBe('NotPublishedError OTHER_IDENTITY')
    expect(homeserver.user(USER_ID).identity).toEqual(other.upload_keys)
  })

  test('a user-signing key that is not what was uploaded is not published', async () => {
    const other = await bootstrapCrossSigning(USER_ID, 'OTHER', join(temporaryFolder(), 'other'))
    const { homeserver, publish } = await ghostWithDevice()
    homeserver.next('keys/query', 'handled')
    homeserver.always('keys/query', (answer) => ({
      ...answer,
      body: {
        ...(answer.body as object),
        user_signing_keys: { [USER_ID]: other.upload_keys.user_signing_key },
      },
    }))
    expect(nameOf(await failure(publish()))).toBe('NotPublishedError STILL_MISSING')
  })

  test.each<[what: string, endpoint: Endpoint, ...fates: Fate[]]>([
    ['a page of a proxy', 'devices', { status: 404, body: '<html>404 Not Found</html>' }],
    [
      'an error that has the word device_id',
      'keys/upload',
      { status: 400, body: { errcode: 'M_INVALID_PARAM', error: 'device_id must be shorter' } },
    ],
  ])('one odd answer, %s, changes nothing for the next ghosts', async (_, endpoint, ...fates) => {
    const homeserver = await homeserverOf('Synapse from 1.141 on, registration with `io.element.msc4190`')
    const publisher = publisherOf(homeserver)
    homeserver.next(endpoint, ...fates)
    const outcomes: string[] = []
    for (const userId of ['@_first:example.org', '@_second:example.org', '@_third:example.org']) {
      homeserver.register(userId)
      const call = publisher.publish(userId, DEVICE_ID, join(temporaryFolder(), 'store'))
      outcomes.push(await call.then(({ status }) => status, nameOf))
    }
    expect(outcomes.slice(1)).toEqual(['created', 'created'])
    expect(outcomes[0]).toMatch(/M_APPSERVICE_LOGIN_UNSUPPORTED/)
  })

  test.each(['.', '..'])('the device %s is not put into a path', async (deviceId) => {
    const homeserver = await homeserverOf()
    homeserver.register(USER_ID)
    await publisherOf(homeserver).publish(USER_ID, deviceId, join(temporaryFolder(), 'store'))
    expect([...homeserver.user(USER_ID).devices.keys()]).toEqual([deviceId])
    expect(homeserver.requests()).not.toContain('PUT devices')
  })

  test("a fault of the homeserver while the store's own identity is completed is no refusal to replace it", async () => {
    const { homeserver, publish } = await ghostWithDevice()
    await publish()
    Reflect.deleteProperty(homeserver.user(USER_ID).identity, 'self_signing_key')
    const fault = { status: 500, body: { errcode: 'M_UNKNOWN', error: 'database is locked' } }
    homeserver.next('keys/device_signing/upload', fault)
    const error = await failure(publish())
    expect(nameOf(error)).toBe('MatrixRequestError M_UNKNOWN')
    expect(error.message).toContain('database is locked')
    await publish()
  })

  test('a reset that was refused is finished by a later one', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    await publish()
    homeserver.next('keys/device_signing/upload', { status: 401, body: { flows: [], session: 's' } })
    await expect(publish({ reset: true })).rejects.toBeInstanceOf(UserInteractiveAuthError)
    await expect(publish()).rejects.toMatchObject({ code: 'IDENTITY_CONFLICT' })
    await publish({ reset: true })
    await expectPublished(homeserver, store)
  })

  test('what is refused for one ghost is not learnt for the others', async () => {
    const homeserver = await homeserverOf('Synapse from 1.141 on, registration with `io.element.msc4190`')
    const publisher = publisherOf(homeserver)
    const publish = (userId: string) => {
      homeserver.register(userId)
      return publisher.publish(userId, DEVICE_ID, join(temporaryFolder(), 'store'))
    }
    const refusals: [Endpoint, Fate][] = [
      ['keys/upload', { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'not registered' } }],
      ['keys/upload', { status: 400, body: { errcode: 'M_BAD_JSON', error: 'no' } }],
      ['devices', { status: 403, body: { errcode: 'M_USER_SUSPENDED', error: 'no' } }],
      ['devices', { status: 400, body: { errcode: 'M_UNKNOWN', error: 'no' } }],
    ]
    for (const [n, [endpoint, fate]] of refusals.entries()) {
      homeserver.next(endpoint, fate)
      await publish(`@_refused${n}:example.org`).catch(() => undefined)
      homeserver.requests()
      await publish(`@_other${n}:example.org`)
      expect(homeserver.requests()).toHaveLength(6)
    }
  })

  test('if the homeserver makes no device for this user (403), that is the error, and no login is tried', async () => {
    const homeserver = await homeserverOf('Synapse from 1.141 on, registration with `io.element.msc4190`')
    homeserver.register(USER_ID)
    homeserver.next('devices', { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'not yours' } })
    const store = join(temporaryFolder(), 'store')
    await expect(publisherOf(homeserver).publish(USER_ID, DEVICE_ID, store)).rejects.toMatchObject({
      name: 'MatrixRequestError',
      method: 'PUT',
      errcode: 'M_FORBIDDEN',
      message: expect.stringMatching(/not yours\. Is @.* registered, and in the namespace/) as string,
    })
    expect(homeserver.requests()).not.toContain('POST login')
  })

  test('the token of the login is used for the device keys alone', async () => {
    const homeserver = await homeserverOf('Synapse 1.120 to 1.140')
    homeserver.register(USER_ID)
    await publisherOf(homeserver).publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
    const foreign = homeserver.seen.filter(({ token }) => token !== AS_TOKEN)
    expect(foreign.map(({ endpoint }) => endpoint)).toEqual(['keys/upload'])
  })

  test('a device that exists is neither made nor renamed', async () => {
    for (const kind of Object.keys(KINDS) as KindName[]) {
      const homeserver = await homeserverOf(kind)
      homeserver.register(USER_ID).devices.set(DEVICE_ID, { display_name: 'A bridge' })
      await publisherOf(homeserver)
        .publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
        .catch(() => undefined)
      expect(homeserver.requests()).not.toContain('PUT devices')
      expect(homeserver.user(USER_ID).devices.get(DEVICE_ID)).toEqual({ display_name: 'A bridge' })
    }
  })

  test.each(['', '/', '/hs', '/hs/', '/hs//', '/a/b%20c'])('the base path is kept: %j', async (base) => {
    const homeserver = await homeserverOf(undefined, base.replace(/\/+$/, ''))
    homeserver.register(USER_ID).devices.set(DEVICE_ID, {})
    const { origin } = new URL(homeserver.url)
    const publisher = new CrossSigningPublisher({ homeserverUrl: origin + base, asToken: AS_TOKEN })
    const store = join(temporaryFolder(), 'store')
    await publisher.publish(USER_ID, DEVICE_ID, store)
    await expectPublished(homeserver, store)
  })

  test('a base path that is wrong gives an error of the proxy', async () => {
    const homeserver = await homeserverOf(undefined, '/hs')
    const { origin } = new URL(homeserver.url)
    const publisher = new CrossSigningPublisher({ homeserverUrl: `${origin}/other`, asToken: AS_TOKEN })
    const error = await failure(publisher.publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store')))
    expect(nameOf(error)).toBe('MatrixRequestError 404')
    expect(error.message).toContain('404 Not Found')
  })

  test.each(['@_ghost/#?:example.org', '@_gh%6fst:example.org', '@_ghöst:example.org'])(
    'the user %j and its device are encoded',
    async (userId) => {
      const homeserver = await homeserverOf()
      homeserver.register(userId)
      const [deviceId, store] = ['-fm/#?%20 ö', join(temporaryFolder(), 'store')]
      const { upload_keys } = await publisherOf(homeserver).publish(userId, deviceId, store)
      // A login, which has the device ID in its body, is not needed.
      expect(homeserver.requests()).toHaveLength(6)
      expect([...homeserver.user(userId).devices.keys()]).toEqual([deviceId])
      expect(homeserver.user(userId).identity).toEqual(upload_keys)
    },
  )

  test.each([301, 302, 303, 307, 308])('a redirection with %d takes no token elsewhere', async (status) => {
    const elsewhere = await homeserverOf()
    const { homeserver, publish } = await ghostWithDevice()
    const Location = `${elsewhere.url}/_matrix/client/v3/keys/query`
    homeserver.always('keys/query', { status, headers: { Location }, body: '' })
    await failure(publish())
    expect(elsewhere.seen).toEqual([])
  })

  test('100 ghosts at once, on every kind of homeserver that takes them', async () => {
    const kinds = ['Synapse from 1.141 on', 'Synapse 1.120 to 1.140', 'continuwuity, tuwunel'] as const
    for (const kind of kinds) {
      const homeserver = await homeserverOf(kind)
      const publisher = publisherOf(homeserver)
      const folder = temporaryFolder()
      const ghosts = Array.from({ length: 100 }, (_, n) => ({
        userId: `@_ghost${n}:example.org`,
        store: `${n}`,
      }))
      const results = await Promise.all(
        ghosts.map(({ userId, store }) => {
          homeserver.register(userId)
          return publisher.publish(userId, DEVICE_ID, join(folder, store))
        }),
      )
      for (const [n, { userId }] of ghosts.entries()) {
        expect(homeserver.user(userId).identity).toEqual(results[n]!.upload_keys)
      }
      homeserver.requests()
      await Promise.all(
        ghosts.map(({ userId, store }) => publisher.publish(userId, DEVICE_ID, join(folder, store))),
      )
      expect(homeserver.requests()).toEqual(ghosts.map(() => 'POST keys/query'))
      expect(homeserver.waiting).toBe(0)
    }
  })
})

describe('waits', () => {
  const wait = (retryAfter: string | undefined, retry_after_ms?: unknown, retry = 0) =>
    waitBefore(retry, new Answer(429, { retry_after_ms }, { retryAfter }))
  const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString()

  test('the homeserver is not asked again before it wants to be', async () => {
    const cases: [headers: Record<string, string>, body: object][] = [
      [{ 'Retry-After': '1' }, { retry_after_ms: 0 }],
      [{}, { retry_after_ms: 1000 }],
      [{}, { retry_after_ms: '1000' }],
    ]
    for (const [headers, body] of cases) {
      const { homeserver, publish } = await ghostWithDevice()
      homeserver.next('keys/query', { status: 429, headers, body })
      const begin = performance.now()
      await publish()
      expect(performance.now() - begin).toBeGreaterThanOrEqual(990)
    }
  })

  test.each<[what: string, wait: () => number, least: number, most: number]>([
    ['seconds', () => wait('7'), 7000, 7700],
    ['seconds supersede retry_after_ms', () => wait('7', 1), 7000, 7700],
    ['0 seconds supersede retry_after_ms', () => wait('0', 1e12), 0, 0],
    ['a date', () => wait(inSeconds(10)), 8000, 11_000],
    ['a date in the past', () => wait(inSeconds(-10)), 0, 500],
    ['absurd seconds', () => wait('99999999999999999999'), 30_000, 30_000],
    ['an absurd date', () => wait('Fri, 31 Dec 9999 23:59:59 GMT'), 30_000, 30_000],
    ['retry_after_ms', () => wait(undefined, 200), 200, 220],
    ['retry_after_ms as text', () => wait(undefined, '200'), 200, 220],
    ['an absurd retry_after_ms', () => wait(undefined, 1e12), 30_000, 30_000],
    ['an infinite retry_after_ms', () => wait(undefined, Infinity), 30_000, 30_000],
    ['a negative retry_after_ms', () => wait(undefined, -5), 250, 500],
    ['a retry_after_ms that is NaN', () => wait(undefined, NaN), 250, 500],
    ['a retry_after_ms of another type', () => wait(undefined, { 7: 7 }), 250, 500],
    ['text in the header, and retry_after_ms', () => wait('soon', 200), 200, 220],
    ['an empty header', () => wait(''), 250, 500],
    ['nothing', () => wait(undefined), 250, 500],
    ['nothing, the fourth time', () => wait(undefined, undefined, 3), 2000, 4000],
    ['nothing, the thousandth time', () => wait(undefined, undefined, 999), 15_000, 30_000],
    ['a connection that was cut', () => waitBefore(0, undefined), 250, 500],
  ])('%s', (_, waitOf, least, most) => {
    for (let times = 0; times < 100; times++) {
      const ms = waitOf()
      expect(ms).toBeGreaterThanOrEqual(least)
      expect(ms).toBeLessThanOrEqual(most)
    }
  })

  test('are not the same for all', () => {
    for (const waitOf of [() => wait(undefined), () => wait('7')]) {
      expect(new Set(Array.from({ length: 20 }, waitOf)).size).toBeGreaterThan(1)
    }
  })
})

describe('signal', () => {
  /** The call rejects with the reason and leaves nothing behind. */
  async function expectAborted(
    homeserver: Homeserver,
    call: Promise<unknown>,
    reason: unknown,
  ): Promise<void> {
    await expect(call).rejects.toBe(reason)
    await until(() => homeserver.waiting === 0)
    const { length } = homeserver.seen
    await sleep(50)
    expect(homeserver.seen).toHaveLength(length)
  }

  /** Aborts. The call rejects then and there: it waits for no timer and no answer. */
  async function expectAbortedAtOnce(
    abort: AbortController,
    homeserver: Homeserver,
    call: Promise<unknown>,
  ): Promise<void> {
    const reason = { text: 'a reason that is no error' }
    let isSettled = false
    const settled = () => (isSettled = true)
    call.then(settled, settled)
    abort.abort(reason)
    for (let turn = 0; turn < 20; turn++) await new Promise((next) => setImmediate(next))
    expect(isSettled).toBe(true)
    await expectAborted(homeserver, call, reason)
  }

  test('an aborted signal stops the call before the first request', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    const reason = new Error('no')
    await expectAborted(homeserver, publish({ signal: AbortSignal.abort(reason) }), reason)
    expect(homeserver.seen).toEqual([])
    await expect(publish({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    expect(openHandles(store)).toEqual([])
  })

  test.each<Endpoint>(['keys/query', 'keys/upload', 'keys/device_signing/upload'])(
    'during a request to %s',
    async (endpoint) => {
      for (const maxRetries of [0, 5]) {
        const { homeserver, store, publish } = await ghostWithDevice(undefined, { maxRetries })
        homeserver.always(endpoint, 'never')
        const abort = new AbortController()
        const call = publish({ signal: abort.signal })
        await until(() => homeserver.seen.at(-1)?.endpoint === endpoint)
        await expectAbortedAtOnce(abort, homeserver, call)
        expect(openHandles(store)).toEqual([])
      }
    },
  )

  test('during the wait before a retry', async () => {
    const { homeserver, publish } = await ghostWithDevice()
    homeserver.always('keys/query', { status: 429, headers: { 'Retry-After': '3600' }, body: {} })
    const abort = new AbortController()
    const call = publish({ signal: abort.signal })
    await until(() => homeserver.seen.length === 1 && homeserver.waiting === 0)
    // The answer has to reach the publisher.
    await sleep(100)
    await expectAbortedAtOnce(abort, homeserver, call)
  })

  test('another ghost waits, and is stopped alone', async () => {
    const { homeserver, publisher, publish } = await ghostWithDevice()
    homeserver.register('@_other:example.org')
    homeserver.next('keys/query', { status: 429, headers: { 'Retry-After': '2' }, body: {} })
    const abort = new AbortController()
    const first = publish()
    await until(() => homeserver.seen.length === 1 && homeserver.waiting === 0)
    await sleep(100)
    const folder = temporaryFolder()
    const { signal } = abort
    const second = publisher.publish('@_other:example.org', DEVICE_ID, join(folder, 'store'), { signal })
    await expectAbortedAtOnce(abort, homeserver, second)
    await first
  })

  test('while the store is bootstrapped', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    homeserver.always('keys/upload', 'never')
    const abort = new AbortController()
    const call = publish({ signal: abort.signal })
    await until(() => existsSync(store))
    abort.abort('stop')
    await expectAborted(homeserver, call, 'stop')
    expect(openHandles(store)).toEqual([])
    // The store is whole, and the next call goes on.
    homeserver.always('keys/upload', 'handled')
    await publish()
    await expectPublished(homeserver, store)
  })

  testWithHolder('while the store is held by another process', async () => {
    const { homeserver, store, publish } = await ghostWithDevice()
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const holder = OTHER_PROCESS.start()
    await holder.open(store)
    // SQLite holds a store from the first statement on.
    await holder.sql('SELECT count(*) FROM kv')
    const abort = new AbortController()
    const call = publish({ signal: abort.signal, busyTimeout: 1000 })
    await until(() => homeserver.seen.length === 1 && homeserver.waiting === 0)
    // The answer has to reach the publisher.
    await sleep(100)
    abort.abort('stop')
    await expectAborted(homeserver, call, 'stop')
    await holder.kill()
  })

  test('during onUserInteractiveAuth', async () => {
    const abort = new AbortController()
    const onUserInteractiveAuth = () => {
      abort.abort('stop')
      return { type: 'm.login.password', password: 'right' }
    }
    const { homeserver, publish } = await ghostWithDevice(undefined, { onUserInteractiveAuth })
    homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['m.login.password'] }] }
    await expectAborted(homeserver, publish({ signal: abort.signal }), 'stop')
  })

  test('while onUserInteractiveAuth waits for a person', async () => {
    const abort = new AbortController()
    let isAsked = false
    const onUserInteractiveAuth = () => {
      isAsked = true
      return new Promise<never>(() => undefined)
    }
    const { homeserver, publish } = await ghostWithDevice(undefined, { onUserInteractiveAuth })
    homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['m.login.password'] }] }
    const call = publish({ signal: abort.signal })
    await until(() => isAsked)
    await expectAbortedAtOnce(abort, homeserver, call)
  })

  test("during a request of the host's client that never ends", async () => {
    const { homeserver, store } = await ghostWithDevice()
    const abort = new AbortController()
    let isAsked = false
    const request = () => {
      isAsked = true
      return new Promise<never>(() => undefined)
    }
    const publisher = new CrossSigningPublisher({ request })
    const call = publisher.publish(USER_ID, DEVICE_ID, store, { signal: abort.signal })
    await until(() => isAsked)
    await expectAbortedAtOnce(abort, homeserver, call)
  })

  test('a signal that outlives the calls has no listener of them', async () => {
    const { homeserver, store, publisher } = await ghostWithDevice()
    const host = new CrossSigningPublisher({ request: hostClient(homeserver.url, AS_TOKEN) })
    const { signal } = new AbortController()
    for (const { publish } of [publisher, host].map((of) => ({ publish: of.publish.bind(of) }))) {
      for (let call = 0; call < 20; call++) await publish(USER_ID, DEVICE_ID, store, { signal })
      homeserver.next('keys/query', { status: 429, body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 0 } })
      await publish(USER_ID, DEVICE_ID, store, { signal })
    }
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

describe('onUserInteractiveAuth', () => {
  test('gets the challenge, and its answer is sent as it is', async () => {
    const challenges: UserInteractiveAuthChallenge[] = []
    const onUserInteractiveAuth = (challenge: UserInteractiveAuthChallenge) => {
      challenges.push(challenge)
      return Promise.resolve({ type: 'm.login.password', password: 'right', session: challenge.session })
    }
    const { homeserver, publish } = await ghostWithDevice(undefined, { onUserInteractiveAuth })
    const flows = [{ stages: ['m.login.password', 'm.login.terms'] }, { stages: ['m.login.password'] }]
    const params = { 'm.login.password': { url: 'https://example.org/', more: [1] } }
    homeserver.interactiveAuth = { when: 'always', flows, params, session: 'the session' }
    await publish()
    const url = 'https://example.org/'
    expect(challenges).toEqual([
      { userId: USER_ID, flows, completed: [], session: 'the session', params, url },
    ])
    const uploads = homeserver.seen.filter(({ endpoint }) => endpoint === 'keys/device_signing/upload')
    expect(uploads.map(({ body }) => body.auth)).toEqual([
      undefined,
      { type: 'm.login.password', password: 'right', session: 'the session' },
    ])
  })

  test('is not asked about a dummy stage, which is completed with the session', async () => {
    const onUserInteractiveAuth = jest.fn()
    const { homeserver, publish } = await ghostWithDevice(undefined, { onUserInteractiveAuth })
    homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['m.login.dummy'] }], session: 's' }
    await publish()
    expect(onUserInteractiveAuth).not.toHaveBeenCalled()
    expect(homeserver.seen.at(-2)!.body.auth).toEqual({ type: 'm.login.dummy', session: 's' })
  })

  test('may reject', async () => {
    const reason = new RangeError('no')
    const onUserInteractiveAuth = () => Promise.reject(reason)
    const { homeserver, publish } = await ghostWithDevice(undefined, { onUserInteractiveAuth })
    homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['m.login.password'] }] }
    await expect(publish()).rejects.toBe(reason)
  })

  test.each<[what: string, auth: (homeserver: Homeserver) => void]>([
    [
      'stages',
      (homeserver) => {
        const flows = Array.from({ length: 1000 }, (_, n) => ({ stages: [`a\r\n\u001b[31m${n}`] }))
        homeserver.interactiveAuth = { when: 'always', flows }
      },
    ],
    [
      'a URL',
      (homeserver) => {
        const url = `https://example.org/\n${'x'.repeat(100_000)}`
        homeserver.interactiveAuth = { when: 'always', flows: [{ stages: ['x'] }], params: { x: { url } } }
      },
    ],
  ])('%s of a hostile homeserver make no long message', async (_, auth) => {
    const { homeserver, publish } = await ghostWithDevice()
    auth(homeserver)
    const error = await failure(publish())
    expect(error).toBeInstanceOf(UserInteractiveAuthError)
    expectDecent(error)
  })
})

describe('errors', () => {
  test('say what was asked and what was answered', async () => {
    const { homeserver, publish } = await ghostWithDevice()
    homeserver.next('keys/upload', { status: 400, body: { errcode: 'M_BAD_JSON', error: 'no' } })
    const error = await failure(publish())
    expect(error).toBeInstanceOf(MatrixRequestError)
    const { name, message, method, path, status, errcode } = error as unknown as Record<string, unknown>
    expect({ name, message, method, path, status, errcode }).toEqual({
      name: 'MatrixRequestError',
      message: 'POST /_matrix/client/v3/keys/upload: 400 M_BAD_JSON: no',
      method: 'POST',
      path: '/_matrix/client/v3/keys/upload',
      status: 400,
      errcode: 'M_BAD_JSON',
    })
  })

  test('have the warnings about what the homeserver serves', async () => {
    const { homeserver, publish } = await ghostWithDevice()
    const other = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'other'))
    homeserver.user(USER_ID).deviceKeys.set(DEVICE_ID, withoutIdentity(other) as never)
    const error = await failure(publish())
    if (!(error instanceof NotPublishedError)) throw error
    expect(error.warnings).toMatchObject([{ code: 'DEVICE_KEYS_DIFFER' }])
    expect(error.message).toContain(error.warnings[0]!.message)
  })

  test.each<[what: string, say: (token: string) => unknown]>([
    ['an error', (token) => ({ errcode: 'M_UNKNOWN_TOKEN', error: `Unknown token ${token}` })],
    ['a page', (token) => `<html>Authorization: Bearer ${token}</html>`],
    ['an errcode', (token) => ({ errcode: token })],
  ])('do not repeat the token that the homeserver repeats in %s', async (_, say) => {
    const { homeserver, publisher, publish } = await ghostWithDevice()
    homeserver.next('keys/query', { status: 418, body: say(AS_TOKEN) })
    expectDecent(await failure(publish()), publisher)
  })

  test('do not show the token of a login', async () => {
    const homeserver = await homeserverOf('Synapse 1.120 to 1.140')
    homeserver.register(USER_ID)
    const publisher = publisherOf(homeserver)
    homeserver.next('keys/upload', 'handled', {
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', error: '' },
    })
    const error = await failure(publisher.publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store')))
    expectDecent(error, publisher)
  })

  test("do not show the token that a host's client has in its errors", async () => {
    const { homeserver, store } = await ghostWithDevice()
    const config = { headers: { Authorization: `Bearer ${AS_TOKEN}` } }
    const reasons = [
      ...['ECONNREFUSED', 'ERR_NETWORK'].map((code) =>
        Object.assign(new Error('it failed'), { code, config }),
      ),
      Object.assign(new Error('it failed', { cause: { config } }), { request: config }),
      { code: 'ECONNREFUSED', config },
      { config },
      config,
    ]
    for (const reason of reasons) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      const publisher = new CrossSigningPublisher({ request: () => Promise.reject(reason), maxRetries: 0 })
      const error = await failure(publisher.publish(USER_ID, DEVICE_ID, store))
      expect(error.message).toMatch(/: no answer: ./)
      expectDecent(error, publisher)
    }
    expect(homeserver.seen).toEqual([])
  })

  test('have a cause where there was no answer', async () => {
    const { homeserver, publisher, publish } = await ghostWithDevice(undefined, { maxRetries: 0 })
    await homeserver.stop()
    const error = await failure(publish())
    expect(error.message).toMatch(/no answer: .*ECONNREFUSED/)
    expect(error.cause).toBeDefined()
    expectDecent(error, publisher)
  })

  test.each<[what: string, ids: [string, string]]>([
    ['INVALID_USER_ID', ['ghost', DEVICE_ID]],
    ['INVALID_DEVICE_ID', [USER_ID, '']],
    ['INVALID_ARGUMENT', [7 as never, DEVICE_ID]],
  ])('%s comes before the first request', async (code, [userId, deviceId]) => {
    const { homeserver, publisher } = await ghostWithDevice()
    const error = await failure(publisher.publish(userId, deviceId, join(temporaryFolder(), 'store')))
    expect(error).toMatchObject({ code })
    expect(homeserver.seen).toEqual([])
  })
})

describe('options', () => {
  const homeserverUrl = 'http://127.0.0.1:1'
  const service = { homeserverUrl, asToken: 'secret' }

  test.each<[what: string, options: unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['no option', {}],
    ['no token', { homeserverUrl }],
    ['no URL', { asToken: 'secret' }],
    ['no URL for a bot', { accessToken: 'secret' }],
    ['two tokens', { ...service, accessToken: 'secret' }],
    ['a token and a client', { ...service, request: () => Promise.resolve({}) }],
    ['a URL and a client', { homeserverUrl, request: () => Promise.resolve({}) }],
    ...['', 'example.org', 'example.org:8448', 'ftp://example.org', 'file:///x', 7, null, {}].map(
      (homeserverUrl): [string, unknown] => [
        `the URL ${JSON.stringify(homeserverUrl)}`,
        { ...service, homeserverUrl },
      ],
    ),
    ['a URL with a password', { ...service, homeserverUrl: 'http://user:secret@example.org' }],
    ...['', 'secret\n', 'secret\u00e4', 'two secrets', 7, null, {}, ['secret']].map(
      (asToken): [string, unknown] => [`the token ${JSON.stringify(asToken)}`, { ...service, asToken }],
    ),
    ['a client that is no function', { request: {} }],
    ['an onUserInteractiveAuth that is no function', { ...service, onUserInteractiveAuth: {} }],
    ...[-1, 0, 0.5, NaN, Infinity, 2 ** 31, '7', null].map((timeout): [string, unknown] => [
      `the timeout ${String(timeout)}`,
      { ...service, timeout },
    ]),
    ...[-1, 0.5, NaN, Infinity, '7', null].map((maxRetries): [string, unknown] => [
      `the maxRetries ${String(maxRetries)}`,
      { ...service, maxRetries },
    ]),
  ])('are refused at once: %s', (_, options) => {
    secrets.push('secret')
    let error: unknown
    try {
      new CrossSigningPublisher(options as PublisherOptions)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(TypeError)
    expectDecent(error as Error)
  })

  test.each<[what: string, options: Options]>([
    [
      'with undefined',
      { accessToken: undefined, request: undefined, timeout: undefined, maxRetries: undefined },
    ],
    ['with the least values', { timeout: 1, maxRetries: 0 }],
    ['with a URL that has a query and a fragment', { homeserverUrl: 'https://example.org/hs/?x=/#y' }],
  ] as [string, Options][])('are taken: %s', (_, options) => {
    const publisher = new CrossSigningPublisher({ ...service, ...options } as never)
    for (const text of [inspect(publisher, { showHidden: true, depth: 9 }), JSON.stringify(publisher)]) {
      expect(text).not.toContain('secret')
    }
  })
})
