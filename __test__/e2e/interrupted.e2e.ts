// Promise: a publication may be interrupted anywhere, on real homeservers of both kinds. The next call goes on.

import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher, MatrixRequestError } from 'rust-crypto-helper/publisher'
import { finish, ROOT, start } from '../support/processes'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { newerNode } from './support/client'
import {
  DEVICE_ID,
  expectPublished as expectPublishedOn,
  type Ghost,
  newGhost as newGhostOn,
} from './support/ghosts'
import { type Fate, Proxy } from './support/proxy'
import { AS_TOKEN, type Session, Synapse, VERSIONS } from './support/synapse'

const [QUERY, UPLOAD, IDENTITY, LOGIN] = [
  'keys/query',
  'keys/upload',
  'keys/device_signing/upload',
  'login',
].map((path) => `POST /_matrix/client/v3/${path}`) as [string, string, string, string]
const DEVICE = `PUT /_matrix/client/v3/devices/${DEVICE_ID}`

/** What a ghost without a device needs. The first upload tells what the homeserver needs for the device. */
const HOMESERVERS: [name: string, version: string, requests: string[]][] = [
  ['the newest Synapse', VERSIONS.at(-1)!, [QUERY, UPLOAD, DEVICE, UPLOAD, IDENTITY, QUERY]],
  ['the oldest Synapse', VERSIONS[0]!, [QUERY, UPLOAD, LOGIN, UPLOAD, IDENTITY, QUERY]],
]

describe.each(HOMESERVERS)('with %s', (_, version, REQUESTS) => {
  let synapse: Synapse
  let stranger: Session
  let proxy: Proxy
  let publisher: CrossSigningPublisher

  beforeAll(async () => {
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), { version })
    stranger = await synapse.registerPerson('stranger')
  })

  afterAll(() => synapse.stop())

  beforeEach(async () => {
    proxy = await Proxy.start(synapse.url)
    publisher = new CrossSigningPublisher({ homeserverUrl: proxy.url, asToken: AS_TOKEN })
  })

  afterEach(() => proxy.stop())

  const newGhost = () => newGhostOn(synapse)

  /** The requests since the last call of this function. */
  const requests = () => proxy.seen.splice(0).map(({ method, path }) => `${method} ${path}`)

  /** Checks that the homeserver serves others the store's identity and the device that it has signed. */
  const expectPublished = (ghost: Ghost) => expectPublishedOn(synapse, stranger, ghost)

  // In each run the process is killed at this request: before the homeserver gets it, or before the process
  // gets the answer. Each run goes on where the run before it was killed.
  const moments = REQUESTS.flatMap((request, n) =>
    (['before', 'after'] as const).map((moment) => [moment, n, request] as const),
  )

  test.each(moments)(
    'killed %s request %i, %s, up to three times: the last run publishes the same identity',
    async (moment, request) => {
      const ghost = await newGhost()
      const script = join(ROOT, '__test__', 'support', 'run-publisher.mts')
      const { userId, store } = ghost
      const run = () =>
        start(newerNode(), ['--no-warnings', script, proxy.url, AS_TOKEN, userId, DEVICE_ID, store])

      let identity: string | undefined
      for (let kill = 0; kill < 3; kill++) {
        const child = run()
        const first = proxy.seen.length
        proxy.fate = (n) => {
          if (n - first !== request) return undefined
          child.kill('SIGKILL')
          return moment === 'before' ? 'cut' : 'lost'
        }
        const { signal, code } = await finish(child)
        // Later runs have less to do. They may be through before the moment comes.
        expect([signal, code]).toEqual(kill > 0 && signal === null ? [null, 0] : ['SIGKILL', null])
        // From the first kill after the bootstrap on, the identity stays the same.
        if (request > 0) {
          const { upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
          identity ??= JSON.stringify(upload_keys)
          expect(JSON.stringify(upload_keys)).toBe(identity)
        }
      }

      proxy.fate = () => undefined
      const finished = await finish(run())
      expect(finished).toMatchObject({ code: 0, stderr: '' })
      const { upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
      expect(finished.stdout.trim()).toBe(onlyKey(upload_keys.master_key)[1])
      if (identity) expect(JSON.stringify(upload_keys)).toBe(identity)
      await expectPublished(ghost)
    },
  )

  const FAULTS: [string, Fate, { status?: number; errcode?: string }, passes: boolean][] = [
    [
      'answers 500',
      { status: 500, body: '{"errcode":"M_UNKNOWN","error":"broken"}' },
      { status: 500, errcode: 'M_UNKNOWN' },
      false,
    ],
    [
      'answers 502 with an HTML page of a proxy',
      { status: 502, body: '<html>Bad Gateway</html>' },
      { status: 502 },
      true,
    ],
    ['closes the connection before it gets the request', 'cut', {}, true],
    ['closes the connection before it answers', 'lost', {}, true],
  ]

  test.each(FAULTS)(
    'a homeserver that %s, at each request: without retries the error is clear, and the next run completes',
    async (_, fate, expected) => {
      for (let request = 0; request < REQUESTS.length; request++) {
        const ghost = await newGhost()
        const first = proxy.seen.length
        // A new one does not know yet what the homeserver needs.
        const options = { homeserverUrl: proxy.url, asToken: AS_TOKEN, maxRetries: 0 }
        const impatient = new CrossSigningPublisher(options)
        proxy.fate = (n) => (n - first === request ? fate : undefined)
        const error: unknown = await impatient
          .publish(ghost.userId, DEVICE_ID, ghost.store)
          .catch((error: unknown) => error)
        expect(proxy.seen).toHaveLength(first + request + 1)
        expect(error).toBeInstanceOf(MatrixRequestError)
        const { method, path } = proxy.seen.at(-1)!
        expect(`${method} ${path}`).toBe(REQUESTS[request])
        expect(error).toMatchObject({ method, path, status: undefined, errcode: undefined, ...expected })
        expect((error as Error).message).toMatch(new RegExp(`^${method} ${path}: (no answer|50[02])`))

        proxy.fate = () => undefined
        await impatient.publish(ghost.userId, DEVICE_ID, ghost.store)
        await expectPublished(ghost)
      }
    },
  )

  test.each(FAULTS.filter(([, , , passes]) => passes))(
    'a homeserver that %s, once at each request: with retries the same run completes',
    async (_, fate) => {
      const cases = REQUESTS.map(async (_, request) => {
        const ghost = await newGhost()
        const own = await Proxy.start(synapse.url)
        try {
          own.fate = (n) => (n === request ? fate : undefined)
          const here = new CrossSigningPublisher({ homeserverUrl: own.url, asToken: AS_TOKEN })
          await here.publish(ghost.userId, DEVICE_ID, ghost.store)
          await expectPublished(ghost)
          const sent = own.seen.map(({ method, path }) => `${method} ${path}`)
          expect(sent[request + 1]).toBe(sent[request])
        } finally {
          await own.stop()
        }
      })
      await Promise.all(cases)
    },
  )

  test('after a 429 the request is sent again when the homeserver says, and not for ever', async () => {
    const ghost = await newGhost()
    const limited: Fate = {
      status: 429,
      body: '{"errcode":"M_LIMIT_EXCEEDED","error":"slow","retry_after_ms":50}',
    }
    proxy.fate = (n) => (n % 2 === 0 ? limited : undefined)
    await publisher.publish(ghost.userId, DEVICE_ID, ghost.store)
    expect(requests()).toEqual(REQUESTS.flatMap((request) => [request, request]))
    await expectPublished(ghost)

    const options = { homeserverUrl: proxy.url, asToken: AS_TOKEN, maxRetries: 2 }
    proxy.fate = () => limited
    const call = new CrossSigningPublisher(options).publish(ghost.userId, DEVICE_ID, ghost.store)
    await expect(call).rejects.toMatchObject({ status: 429, errcode: 'M_LIMIT_EXCEEDED' })
    expect(requests()).toHaveLength(3)
  })
})
