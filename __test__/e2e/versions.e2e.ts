// Promise: what the table of homeservers in the README says is what `publish` does on each real Synapse. The
// environment variable SYNAPSES names the versions. Without it the oldest and the newest are tested.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verifyPublished } from 'rust-crypto-helper'
import {
  CrossSigningPublisher,
  type PublishOptions,
  UserInteractiveAuthError,
} from 'rust-crypto-helper/publisher'
import { hostClient } from '../support/host-client'
import { ROOT } from '../support/processes'
import { temporaryFolder } from '../support/stores'
import { DEVICE_ID, expectPublished } from './support/ghosts'
import { Proxy } from './support/proxy'
import { AS_TOKEN, type Session, Synapse, VERSIONS } from './support/synapse'

const AT_ONCE = 50

/** The settings of an operator that matter, as the table names them. Synapse 1.141 has the second for good. */
const SETTINGS = ['none', 'msc4190', 'msc3202', 'msc4190 and msc3202'] as const
type Setting = (typeof SETTINGS)[number]

const COLUMNS = ['new ghost', 'requests', 'again', 'reset', "host's client", 'bot', '50 at once'] as const
type Column = (typeof COLUMNS)[number]
type Row = Record<Column, string>

const isBefore = (version: string, other: string) => version.localeCompare(other, 'en', { numeric: true }) < 0

/** Every version with the settings that it knows. */
const ALL = VERSIONS.flatMap((version) =>
  SETTINGS.filter((setting) => isBefore(version, '1.141') || !setting.includes('msc3202')).map(
    (setting) => [version, setting] as const,
  ),
)
const TESTED = process.env.SYNAPSES?.split(',') ?? [VERSIONS[0]!, VERSIONS.at(-1)!]
const results = new Map<string, Row>()

const nameOf = (version: string, setting: Setting) => `${version}, ${setting}`

describe.each(ALL.filter(([version]) => TESTED.includes(version)))('Synapse %s, %s', (version, setting) => {
  const row = Object.fromEntries(COLUMNS.map((column) => [column, ''])) as Row
  let synapse: Synapse
  let stranger: Session
  let proxy: Proxy
  let ghosts = 0

  beforeAll(async () => {
    results.set(nameOf(version, setting), row)
    const options = { msc4190: setting.includes('msc4190'), msc3202: setting.includes('msc3202') }
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), { version, ...options })
    stranger = await synapse.registerPerson('stranger')
    proxy = await Proxy.start(synapse.url)
  })

  afterAll(() => synapse.stop())

  afterAll(() => proxy.stop())

  const newGhost = () => synapse.registerGhost(`_ghost_${ghosts++}`)
  const newStore = () => join(temporaryFolder(), 'store')
  const newPublisher = () => new CrossSigningPublisher({ homeserverUrl: proxy.url, asToken: AS_TOKEN })

  interface Attempt {
    /** What the table says: `yes`, or the name of the error. */
    cell: string
    requests: string[]
    error?: Error
  }

  /** Publishes. What resolves must be served. */
  async function attempt(
    publisher: CrossSigningPublisher,
    userId: string,
    store: string,
    options: PublishOptions = {},
  ): Promise<Attempt> {
    proxy.seen.length = 0
    const error = await publisher.publish(userId, DEVICE_ID, store, options).then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    const requests = proxy.seen.map(({ method, path }) => `${method} ${path}`)
    if (error) return { cell: error.name, requests, error }
    await expectPublished(synapse, stranger, { userId, store })
    return { cell: 'yes', requests }
  }

  /** What no application service can do here ends with an error that says what helps. */
  function expectAdvice({ error }: Attempt, ...advice: RegExp[]): void {
    for (const part of advice) expect(error?.message).toMatch(part)
  }

  /** The way out that the error names: an administrator gives the user a password. */
  async function expectResetByPassword(accessToken: string, userId: string, store: string): Promise<void> {
    const password = 'password for one reset'
    await synapse.setPassword(userId, password)
    const identifier = { type: 'm.id.user', user: userId }
    const publisher = new CrossSigningPublisher({
      homeserverUrl: proxy.url,
      accessToken,
      onUserInteractiveAuth: ({ session }) => ({ type: 'm.login.password', identifier, password, session }),
    })
    expect((await attempt(publisher, userId, store, { reset: true })).error).toBeUndefined()
  }

  test('a new ghost, without a device, and again', async () => {
    const [publisher, userId, store] = [newPublisher(), await newGhost(), newStore()]
    const first = await attempt(publisher, userId, store)
    row['new ghost'] = first.cell
    row.requests = `${first.requests.length}`
    if (first.cell !== 'yes') {
      expectAdvice(first, /msc4190/, /1\.141/)
      row.again = first.cell
      return
    }
    await synapse.request('GET', `/devices/${DEVICE_ID}`, userId)

    const again = await attempt(publisher, userId, store)
    row.again = again.cell
    expect(again.requests).toEqual(['POST /_matrix/client/v3/keys/query'])

    // What the publisher learnt with the first ghost saves requests.
    const second = await attempt(publisher, await newGhost(), newStore())
    expect(second.cell).toBe('yes')
    expect(second.requests.length).toBeLessThanOrEqual(6)
    if (second.requests.length < first.requests.length) row.requests += `, then ${second.requests.length}`
  })

  test('reset', async () => {
    const [publisher, userId, store] = [newPublisher(), await newGhost(), newStore()]
    const first = await attempt(publisher, userId, store)
    if (first.cell !== 'yes') {
      row.reset = first.cell
      return
    }
    const reset = await attempt(publisher, userId, store, { reset: true })
    row.reset = reset.cell
    if (reset.cell === 'yes') return

    expect(reset.error).toBeInstanceOf(UserInteractiveAuthError)
    expectAdvice(reset, /without reset/, /1\.141/, /reset_password/)
    // Others still see the identity that was there.
    const served = await synapse.queryKeysAs(stranger, userId)
    expect(verifyPublished(userId, DEVICE_ID, served)).toMatchObject({ verified: true })
    await expectResetByPassword((await synapse.login(userId, DEVICE_ID)).access_token, userId, store)
  })

  test("a host's own client as `request`", async () => {
    const publisher = new CrossSigningPublisher({ request: hostClient(proxy.url, AS_TOKEN) })
    const result = await attempt(publisher, await newGhost(), newStore())
    row["host's client"] = result.cell
    if (result.cell !== 'yes') expectAdvice(result, /homeserverUrl/, /asToken/)
  })

  test('a bot without a password, with its own access token', async () => {
    const { user_id, access_token: accessToken } = await synapse.registerBot('bot', DEVICE_ID)
    const publisher = new CrossSigningPublisher({ homeserverUrl: proxy.url, accessToken })
    const store = newStore()
    const first = await attempt(publisher, user_id, store)
    row.bot = first.cell
    expect(first.cell).toBe('yes')
    expect((await attempt(publisher, user_id, store)).requests).toHaveLength(1)

    // No way of authentication is open to it.
    const reset = await attempt(publisher, user_id, store, { reset: true })
    expect(reset.error).toBeInstanceOf(UserInteractiveAuthError)
    expect(reset.error).toMatchObject({ status: 401, flows: [] })
    expectAdvice(reset, /without reset/, /reset_password/)
    expect(reset.error?.message).not.toMatch(/application service|1\.141/)
    await expectResetByPassword(accessToken, user_id, store)
  })

  test(`${AT_ONCE} ghosts at once`, async () => {
    const publisher = newPublisher()
    const users = await Promise.all(Array.from({ length: AT_ONCE }, newGhost))
    const stores = users.map(newStore)
    const settled = await Promise.allSettled(
      users.map((userId, index) => publisher.publish(userId, DEVICE_ID, stores[index]!)),
    )
    const cells = settled.map((one) => (one.status === 'fulfilled' ? 'yes' : (one.reason as Error).name))
    row['50 at once'] = [...new Set(cells)].join(', ')
    if (cells[0] !== 'yes') return
    const served = await synapse.queryKeysAs(stranger, ...users)
    for (const userId of users)
      expect(verifyPublished(userId, DEVICE_ID, served)).toMatchObject({ verified: true })
  })
})

describe('the table in the README', () => {
  const HEAD = ['Synapse', 'settings', ...COLUMNS]
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`

  /** The rows below the head, each as its cells. */
  function readTable(): string[][] {
    const lines = readFileSync(join(ROOT, 'README.md'), 'utf8').split('\n')
    const head = lines.indexOf(line(HEAD))
    if (head === -1) throw new Error(`the README has no table with the head ${line(HEAD)}`)
    const end = lines.findIndex((text, index) => index > head && !text.startsWith('|'))
    return lines.slice(head + 2, end).map((text) => text.slice(2, -2).split(' | '))
  }

  /** The row about a version and a setting. Versions and settings are listed with commas. */
  const rowsAbout = (version: string, setting: Setting) =>
    readTable().filter(
      ([versions, settings]) =>
        versions!.split(', ').includes(version) &&
        (settings === 'any' || settings!.split(', ').includes(setting)),
    )

  afterAll(() => {
    const rows = Array.from(results, ([name, row]) => line([...name.split(', '), ...Object.values(row)]))
    process.stdout.write([line(HEAD), line(HEAD.map(() => '---')), ...rows, ''].join('\n'))
  })

  test('has one row for each version and its settings', () => {
    const counts = ALL.map(([version, setting]) => [version, setting, rowsAbout(version, setting).length])
    expect(counts).toEqual(ALL.map(([version, setting]) => [version, setting, 1]))
  })

  test('says what happened', () => {
    for (const [name, row] of results) {
      const [version, setting] = name.split(', ') as [string, Setting]
      const [promised] = rowsAbout(version, setting)
      expect([name, ...(promised ?? []).slice(2)]).toEqual([name, ...Object.values(row)])
    }
  })
})
