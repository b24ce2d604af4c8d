// Promise: on a real homeserver, the example makes other users' clients trust a ghost. It may be interrupted
// anywhere.

import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningBootstrapper, MatrixRequestError } from '../../examples/CrossSigningBootstrapper'
import { finish, start } from '../support/processes'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client, newerNode } from './support/client'
import { type Fate, Proxy } from './support/proxy'
import { AS_TOKEN, freePort, type ServedKeys, Synapse } from './support/synapse'

const DEVICE_ID = 'GHOSTDEVICE'

let synapse: Synapse
let client: Client
let proxy: Proxy
let bootstrapper: CrossSigningBootstrapper
let ghosts = 0

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  client = await Client.start(synapse.url, await synapse.registerPerson('stranger'))
})

afterAll(async () => {
  client.stop()
  await synapse.stop()
})

beforeEach(async () => {
  proxy = await Proxy.start(synapse.url)
  bootstrapper = new CrossSigningBootstrapper({ homeserverUrl: proxy.url, asToken: AS_TOKEN })
})

afterEach(() => proxy.stop())

interface Ghost {
  userId: string
  store: string
}

async function newGhost(): Promise<Ghost> {
  const userId = await synapse.registerGhost(`_ghost_${ghosts++}`)
  return { userId, store: join(temporaryFolder(), 'store') }
}

/** Puts ghosts into an encrypted room with the client. From then on the client follows their devices. */
async function meet(...users: Ghost[]): Promise<void> {
  const room = await client.createRoom(users.map(({ userId }) => userId))
  for (const { userId } of users) await synapse.request('POST', `/join/${room}`, userId, {})
  await client.prepare(room, users.length + 1)
}

async function until(condition: () => Promise<boolean>): Promise<boolean> {
  for (let waited = 0; waited < 20_000; waited += 100) {
    if (await condition()) return true
    await sleep(100)
  }
  return false
}

/** The client's verdict, once it knows the device. */
async function verdict({ userId }: Ghost): Promise<boolean> {
  expect(await until(async () => (await client.verdict(userId, DEVICE_ID)).known)).toBe(true)
  return (await client.verdict(userId, DEVICE_ID)).signedByOwner
}

/** Checks that the homeserver serves the store's identity and the device that it has signed. */
async function expectPublished({ userId, store }: Ghost): Promise<void> {
  const { upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
  const served = await synapse.queryKeys(userId)
  expect(served.master_keys?.[userId]?.keys).toEqual(upload_keys.master_key.keys)
  expect(served.self_signing_keys?.[userId]?.keys).toEqual(upload_keys.self_signing_key.keys)
  const [selfSigningId] = onlyKey(upload_keys.self_signing_key)
  expect(served.device_keys[userId]?.[DEVICE_ID]?.signatures?.[userId]).toHaveProperty([selfSigningId])
}

describe("another user's client", () => {
  test('shows a red shield for a ghost without the bootstrap, and none for a ghost with it', async () => {
    const [without, withIt] = [await newGhost(), await newGhost()]

    // Without the bootstrap: the device keys as the ghost's own OlmMachine uploads them, signed by itself.
    await bootstrapper.ensureDevice(without.userId, DEVICE_ID)
    const { upload_device_keys } = await bootstrapCrossSigning(without.userId, DEVICE_ID, without.store)
    const { device_keys } = upload_device_keys!
    const ownSignature = {
      [`ed25519:${DEVICE_ID}`]: device_keys.signatures[without.userId]![`ed25519:${DEVICE_ID}`]!,
    }
    const unsigned = { device_keys: { ...device_keys, signatures: { [without.userId]: ownSignature } } }
    const { status } = await synapse.tryRequest('POST', '/keys/upload', without.userId, unsigned, DEVICE_ID)
    expect(status).toBe(200)

    // With the bootstrap, before any OlmMachine has run for the ghost.
    await bootstrapper.bootstrap(withIt.userId, DEVICE_ID, withIt.store)

    await meet(without, withIt)
    const verdicts = { without: await verdict(without), with: await verdict(withIt) }
    process.stdout.write(`the client's verdict, signedByOwner: ${JSON.stringify(verdicts)}\n`)
    expect(verdicts).toEqual({ without: false, with: true })
  })

  test('trusts the device when the bootstrap comes later', async () => {
    const ghost = await newGhost()
    const payloads = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
    await bootstrapper.ensureDevice(ghost.userId, DEVICE_ID)
    const [selfSigningId] = onlyKey(payloads.upload_keys.self_signing_key)
    const plain = structuredClone(payloads.upload_device_keys!)
    Reflect.deleteProperty(plain.device_keys.signatures[ghost.userId]!, selfSigningId)
    await synapse.tryRequest('POST', '/keys/upload', ghost.userId, plain, DEVICE_ID)
    await meet(ghost)
    expect(await verdict(ghost)).toBe(false)

    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    expect(await until(() => verdict(ghost))).toBe(true)
  })

  test('notices that an identity was replaced, and trusts the device again', async () => {
    const ghost = await newGhost()
    const first = await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    await meet(ghost)
    expect(await verdict(ghost)).toBe(true)
    expect(await client.identityChanged(ghost.userId)).toBe(false)

    const second = await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store, { reset: true })
    expect(onlyKey(second.upload_keys.master_key)).not.toEqual(onlyKey(first.upload_keys.master_key))
    expect(await until(() => client.identityChanged(ghost.userId))).toBe(true)
    expect(await until(() => verdict(ghost))).toBe(true)
    await expectPublished(ghost)
  })

  test('trusts 50 ghosts that were bootstrapped in parallel', async () => {
    const many = await Promise.all(Array.from({ length: 50 }, newGhost))
    await Promise.all(many.map(({ userId, store }) => bootstrapper.bootstrap(userId, DEVICE_ID, store)))
    await meet(...many)
    for (const ghost of many) expect(await verdict(ghost)).toBe(true)
  })
})

describe('the requests of the example', () => {
  const REQUESTS = [
    'POST /_matrix/client/v3/keys/query',
    `PUT /_matrix/client/v3/devices/${DEVICE_ID}`,
    'POST /_matrix/client/v3/keys/upload',
    'POST /_matrix/client/v3/keys/device_signing/upload',
    'POST /_matrix/client/v3/keys/signatures/upload',
    'POST /_matrix/client/v3/keys/query',
  ]

  test('have the right order, and a second run sends only the query', async () => {
    const ghost = await newGhost()
    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    const requests = () => proxy.seen.splice(0).map(({ method, path }) => `${method} ${path}`)
    expect(requests()).toEqual(REQUESTS)
    await expectPublished(ghost)

    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    expect(requests()).toEqual(REQUESTS.slice(0, 1))
  })

  test('signatures inside signed_keys, as the SDK serialises them, are answered with failures, which is an error', async () => {
    const ghost = await newGhost()
    const payloads = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
    await bootstrapper.ensureDevice(ghost.userId, DEVICE_ID)
    const wrapped = { ...payloads, upload_signatures: { signed_keys: payloads.upload_signatures } } as never
    await expect(bootstrapper.upload(ghost.userId, DEVICE_ID, wrapped)).rejects.toMatchObject({
      name: 'MatrixRequestError',
      path: '/_matrix/client/v3/keys/signatures/upload',
      status: 200,
    })
  })

  test('signatures before the device keys are answered with failures, which is an error', async () => {
    const ghost = await newGhost()
    const { upload_device_keys: _, ...payloads } = await bootstrapCrossSigning(
      ghost.userId,
      DEVICE_ID,
      ghost.store,
    )
    await bootstrapper.ensureDevice(ghost.userId, DEVICE_ID)
    const call = bootstrapper.upload(ghost.userId, DEVICE_ID, payloads)
    await expect(call).rejects.toThrow(/signatures were not stored: .*GHOSTDEVICE/)
    await expect(call).rejects.toMatchObject({ status: 200, errcode: expect.stringMatching(/^M_/) as string })

    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    await expectPublished(ghost)
  })

  test('are accepted again by a homeserver, and nothing changes', async () => {
    const ghost = await newGhost()
    const served: ServedKeys[] = []
    await bootstrapper.ensureDevice(ghost.userId, DEVICE_ID)
    for (let run = 0; run < 3; run++) {
      // Without `serverKeys` nothing tells what is missing, so `upload` sends everything.
      const payloads = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
      await bootstrapper.upload(ghost.userId, DEVICE_ID, payloads)
      expect(proxy.seen.splice(0)).toHaveLength(run === 0 ? 4 : 3)
      served.push(await synapse.queryKeys(ghost.userId))
    }
    expect(served[1]).toEqual(served[0])
    expect(served[2]).toEqual(served[0])
  })

  test('make the device by a login on a homeserver without MSC4190', async () => {
    const older = await Synapse.start(join(temporaryFolder(), 'synapse'), { msc4190: false })
    try {
      const userId = await older.registerGhost('_ghost')
      const here = new CrossSigningBootstrapper({ homeserverUrl: older.url, asToken: AS_TOKEN })
      const store = join(temporaryFolder(), 'store')
      for (let run = 0; run < 2; run++) await here.bootstrap(userId, DEVICE_ID, store)
      const { devices } = await older.request<{ devices: { device_id: string }[] }>('GET', '/devices', userId)
      expect(devices.map(({ device_id }) => device_id)).toContain(DEVICE_ID)
      expect(Object.keys((await older.queryKeys(userId)).master_keys ?? {})).toEqual([userId])
    } finally {
      await older.stop()
    }
  })
})

describe('interrupted', () => {
  // The process is killed before each request, and after the last one before it gets the answer. Each run
  // goes on where the run before it was killed.
  test.each(['query', 'devices', 'keys/upload', 'device_signing', 'signatures', 'the end'])(
    'killed before %s, up to three times: the last run publishes the same identity',
    async (before) => {
      const ghost = await newGhost()
      const script = join(__dirname, 'run-example.mts')
      const run = () =>
        start(newerNode(), [
          '--no-warnings',
          script,
          proxy.url,
          AS_TOKEN,
          ghost.userId,
          DEVICE_ID,
          ghost.store,
        ])

      let identity: string | undefined
      for (let kill = 0; kill < 3; kill++) {
        const child = run()
        // The end is the query after the uploads. The example sends it when the last upload was answered.
        let uploaded = false
        proxy.fate = (_, { path }) => {
          const isEnd = uploaded && path.endsWith('/query')
          uploaded ||= path.includes('/signatures/')
          const isHere = before === 'the end' ? isEnd : path.includes(`/${before}`)
          if (!isHere) return undefined
          child.kill('SIGKILL')
          return before === 'the end' ? 'lost' : 'cut'
        }
        const { signal } = await finish(child)
        // The device keys have the signature in them, so nothing is missing after the first run.
        const isOver = kill > 0 && ['signatures', 'the end'].includes(before)
        expect(signal).toBe(isOver ? null : 'SIGKILL')
        // From the first kill after the bootstrap on, the identity stays the same.
        if (before !== 'query') {
          const { upload_keys } = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
          identity ??= JSON.stringify(upload_keys)
          expect(JSON.stringify(upload_keys)).toBe(identity)
        }
      }

      proxy.fate = () => undefined
      const finished = await finish(run())
      expect(finished).toMatchObject({ code: 0, stderr: '' })
      const { upload_keys } = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
      expect(finished.stdout.trim()).toBe(onlyKey(upload_keys.master_key)[1])
      if (identity) expect(JSON.stringify(upload_keys)).toBe(identity)
      await expectPublished(ghost)
    },
  )

  test.each<[string, Fate, { status?: number; errcode?: string }]>([
    [
      'answers 500',
      { status: 500, body: '{"errcode":"M_UNKNOWN","error":"broken"}' },
      { status: 500, errcode: 'M_UNKNOWN' },
    ],
    [
      'answers 502 with an HTML page of a proxy',
      { status: 502, body: '<html>Bad Gateway</html>' },
      { status: 502 },
    ],
    ['closes the connection before it gets the request', 'cut', {}],
    ['closes the connection before it answers', 'lost', {}],
  ])(
    'a homeserver that %s, at each request: the error is clear, and the next run completes',
    async (_, fate, expected) => {
      for (let request = 0; request < 6; request++) {
        const ghost = await newGhost()
        const first = proxy.seen.length
        proxy.fate = (n) => (n - first === request ? fate : undefined)
        const error: unknown = await bootstrapper
          .bootstrap(ghost.userId, DEVICE_ID, ghost.store)
          .catch((error: unknown) => error)
        expect(error).toBeInstanceOf(MatrixRequestError)
        const { method, path } = proxy.seen.at(-1)!
        expect(error).toMatchObject({ method, path, status: undefined, errcode: undefined, ...expected })
        expect((error as Error).message).toMatch(new RegExp(`^${method} ${path}: (no answer|50[02])`))

        proxy.fate = () => undefined
        await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
        await expectPublished(ghost)
      }
    },
  )

  test('after a 429 the request is sent again when the homeserver says, and not for ever', async () => {
    const ghost = await newGhost()
    const limited: Fate = {
      status: 429,
      body: '{"errcode":"M_LIMIT_EXCEEDED","error":"slow","retry_after_ms":50}',
    }
    proxy.fate = (n) => (n % 2 === 0 ? limited : undefined)
    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    expect(proxy.seen).toHaveLength(12)
    await expectPublished(ghost)

    const impatient = new CrossSigningBootstrapper({
      homeserverUrl: proxy.url,
      asToken: AS_TOKEN,
      maxRetries: 2,
    })
    proxy.fate = () => limited
    proxy.seen.length = 0
    await expect(impatient.bootstrap(ghost.userId, DEVICE_ID, ghost.store)).rejects.toMatchObject({
      status: 429,
      errcode: 'M_LIMIT_EXCEEDED',
    })
    expect(proxy.seen).toHaveLength(3)
  })

  test('a homeserver that is down: the error is clear, and the next run completes', async () => {
    const ghost = await newGhost()
    const down = new CrossSigningBootstrapper({
      homeserverUrl: `http://127.0.0.1:${await freePort()}`,
      asToken: AS_TOKEN,
    })
    await expect(down.bootstrap(ghost.userId, DEVICE_ID, ghost.store)).rejects.toThrow(
      /^POST .*query: no answer: .*ECONNREFUSED/,
    )
    await bootstrapper.bootstrap(ghost.userId, DEVICE_ID, ghost.store)
    await expectPublished(ghost)
  })

  test('a wrong token: the error has the status and the code of the homeserver', async () => {
    const ghost = await newGhost()
    const stranger = new CrossSigningBootstrapper({ homeserverUrl: synapse.url, asToken: 'wrong' })
    await expect(stranger.bootstrap(ghost.userId, DEVICE_ID, ghost.store)).rejects.toMatchObject({
      status: 401,
      errcode: 'M_UNKNOWN_TOKEN',
    })
  })
})
