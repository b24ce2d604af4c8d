// Promise: on a real homeserver, `publish` makes other users' clients trust a ghost, and what it reports is what
// happened.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { CrossSigningBootstrapper } from '../../examples/CrossSigningBootstrapper'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client } from './support/client'
import {
  DEVICE_ID,
  expectPublished as expectPublishedOn,
  type Ghost,
  newGhost as newGhostOn,
} from './support/ghosts'
import { Proxy } from './support/proxy'
import { AS_TOKEN, freePort, SERVER_NAME, type ServedKeys, type Session, Synapse } from './support/synapse'

const UPLOAD = 'POST /_matrix/client/v3/keys/upload'
/** What a ghost without a device needs. The first upload tells that the device does not exist. */
const REQUESTS = [
  'POST /_matrix/client/v3/keys/query',
  UPLOAD,
  `PUT /_matrix/client/v3/devices/${DEVICE_ID}`,
  UPLOAD,
  'POST /_matrix/client/v3/keys/device_signing/upload',
  'POST /_matrix/client/v3/keys/query',
]

let synapse: Synapse
let client: Client
let stranger: Session
let proxy: Proxy
let publisher: CrossSigningPublisher

beforeAll(async () => {
  synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  stranger = await synapse.registerPerson('stranger')
  client = await Client.start(synapse.url, stranger)
})

afterAll(() => synapse.stop())

afterAll(() => {
  client.stop()
})

beforeEach(async () => {
  proxy = await Proxy.start(synapse.url)
  publisher = new CrossSigningPublisher({ homeserverUrl: proxy.url, asToken: AS_TOKEN })
})

afterEach(() => proxy.stop())

const newGhost = () => newGhostOn(synapse)

const publish = ({ userId, store }: Ghost) => publisher.publish(userId, DEVICE_ID, store)

/** The requests since the last call of this function. */
const requests = () => proxy.seen.splice(0).map(({ method, path }) => `${method} ${path}`)

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

/** Checks that the homeserver serves others the store's identity and the device that it has signed. */
const expectPublished = (ghost: Ghost) => expectPublishedOn(synapse, stranger, ghost)

/** Publishes the device keys as the ghost's own OlmMachine uploads them, signed by itself alone. */
async function uploadOwnDevice({ userId, store }: Ghost): Promise<void> {
  await synapse.makeDevice(userId, DEVICE_ID)
  const { upload_device_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
  const device_keys = structuredClone(upload_device_keys!.device_keys)
  const id = `ed25519:${DEVICE_ID}`
  device_keys.signatures = { [userId]: { [id]: device_keys.signatures[userId]![id]! } }
  const { status } = await synapse.tryRequest('POST', '/keys/upload', userId, { device_keys }, DEVICE_ID)
  expect(status).toBe(200)
}

describe("another user's client", () => {
  test('shows a red shield for a ghost that is not published, and none for one that is', async () => {
    const [without, withIt] = [await newGhost(), await newGhost()]
    await uploadOwnDevice(without)
    // Before any OlmMachine has run for the ghost.
    await publish(withIt)

    await meet(without, withIt)
    const verdicts = { without: await verdict(without), with: await verdict(withIt) }
    process.stdout.write(`the client's verdict, signedByOwner: ${JSON.stringify(verdicts)}\n`)
    expect(verdicts).toEqual({ without: false, with: true })
  })

  test('trusts the device when it is published later', async () => {
    const ghost = await newGhost()
    await uploadOwnDevice(ghost)
    await meet(ghost)
    expect(await verdict(ghost)).toBe(false)

    await publish(ghost)
    expect(await until(() => verdict(ghost))).toBe(true)
  })

  test('notices that an identity was replaced, and trusts the device again', async () => {
    const ghost = await newGhost()
    const first = await publish(ghost)
    await meet(ghost)
    expect(await verdict(ghost)).toBe(true)
    expect(await client.identityChanged(ghost.userId)).toBe(false)

    const second = await publisher.publish(ghost.userId, DEVICE_ID, ghost.store, { reset: true })
    expect(onlyKey(second.upload_keys.master_key)).not.toEqual(onlyKey(first.upload_keys.master_key))
    expect(await until(() => client.identityChanged(ghost.userId))).toBe(true)
    expect(await until(() => verdict(ghost))).toBe(true)
    await expectPublished(ghost)
  })

  test('trusts 50 ghosts that were published at once', async () => {
    const many = await Promise.all(Array.from({ length: 50 }, newGhost))
    await Promise.all(many.map(publish))
    await meet(...many)
    for (const ghost of many) expect(await verdict(ghost)).toBe(true)
  })
})

describe('the requests', () => {
  test('have the right order, and a second run sends only the query', async () => {
    const ghost = await newGhost()
    await publish(ghost)
    expect(requests()).toEqual(REQUESTS)
    await expectPublished(ghost)

    await publish(ghost)
    expect(requests()).toEqual(REQUESTS.slice(0, 1))
  })

  test('do not make or rename a device that exists', async () => {
    const ghost = await newGhost()
    await synapse.makeDevice(ghost.userId, DEVICE_ID)
    const device = { display_name: 'A bridge' }
    await synapse.request('PUT', `/devices/${DEVICE_ID}`, ghost.userId, device)
    await publish(ghost)
    expect(requests()).toEqual([REQUESTS[0], ...REQUESTS.slice(3)])
    const found = await synapse.request('GET', `/devices/${DEVICE_ID}`, ghost.userId)
    expect(found).toMatchObject(device)
  })

  test('are accepted again by the homeserver, and nothing changes', async () => {
    const ghost = await newGhost()
    const served: ServedKeys[] = []
    await synapse.makeDevice(ghost.userId, DEVICE_ID)
    for (let run = 0; run < 3; run++) {
      const payloads = await bootstrapCrossSigning(ghost.userId, DEVICE_ID, ghost.store)
      await synapse.upload(ghost.userId, DEVICE_ID, payloads)
      served.push(await synapse.queryKeys(ghost.userId))
    }
    expect(served[1]).toEqual(served[0])
    expect(served[2]).toEqual(served[0])
    await expectPublished(ghost)
  })
})

test('the example registers a ghost and publishes it, and may be called again', async () => {
  const bootstrapper = new CrossSigningBootstrapper({ homeserverUrl: proxy.url, asToken: AS_TOKEN })
  let registrations = 0
  const userId = `@_example:${SERVER_NAME}`
  const intent = {
    userId,
    ensureRegistered: async () => {
      if (registrations++ === 0) expect(await synapse.registerGhost('_example')).toBe(userId)
    },
  }
  const store = join(temporaryFolder(), 'store')
  const first = await bootstrapper.bootstrap(intent, DEVICE_ID, store)
  expect(first).toMatchObject({ status: 'created', warnings: [] })
  await expectPublished({ userId, store })
  await expect(bootstrapper.bootstrap(intent, DEVICE_ID, store)).resolves.toMatchObject({
    status: 'published',
  })
  expect(registrations).toBe(2)
})

describe('signatures that the homeserver does not store', () => {
  const PATH = '/_matrix/client/v3/keys/signatures/upload'

  test('because they are in signed_keys, as the SDK serialises them: an error', async () => {
    const ghost = await newGhost()
    await uploadOwnDevice(ghost)
    proxy.change = ({ path }, body) => (path === PATH ? `{"signed_keys":${body}}` : body)
    const call = publish(ghost)
    await expect(call).rejects.toThrow(/signed_keys/)
    await expect(call).rejects.toMatchObject({ name: 'MatrixRequestError', path: PATH, status: 200 })
    expect(requests().at(-1)).toBe(`POST ${PATH}`)

    proxy.change = (_, body) => body
    await publish(ghost)
    await expectPublished(ghost)
  })

  test('because it does not have the device keys: an error', async () => {
    const ghost = await newGhost()
    await uploadOwnDevice(ghost)
    proxy.fate = async (_, { path }) => {
      if (path === PATH) await synapse.request('DELETE', `/devices/${DEVICE_ID}`, ghost.userId, {})
      return undefined
    }
    const call = publish(ghost)
    await expect(call).rejects.toThrow(/GHOSTDEVICE.*No device keys found/)
    await expect(call).rejects.toMatchObject({ path: PATH, status: 200, errcode: 'M_NOT_FOUND' })

    proxy.fate = () => undefined
    await publish(ghost)
    await expectPublished(ghost)
  })

  test('because it drops them from the device keys: they are sent by themselves', async () => {
    const ghost = await newGhost()
    proxy.change = ({ path }, body) => {
      if (!path.endsWith('/keys/upload')) return body
      const upload = JSON.parse(body) as { device_keys: { signatures: Record<string, object> } }
      const signatures = Object.entries(upload.device_keys.signatures[ghost.userId]!)
      const own = signatures.filter(([id]) => id === `ed25519:${DEVICE_ID}`)
      upload.device_keys.signatures[ghost.userId] = Object.fromEntries(own)
      return JSON.stringify(upload)
    }
    await publish(ghost)
    expect(requests()).toEqual([...REQUESTS, `POST ${PATH}`, REQUESTS[0]])
    await expectPublished(ghost)
  })
})

describe('a homeserver that gives no answer, or none that helps', () => {
  test('a homeserver that is down: the error is clear, and the next run completes', async () => {
    const ghost = await newGhost()
    const homeserverUrl = `http://127.0.0.1:${await freePort()}`
    const down = new CrossSigningPublisher({ homeserverUrl, asToken: AS_TOKEN, maxRetries: 0 })
    const call = down.publish(ghost.userId, DEVICE_ID, ghost.store)
    await expect(call).rejects.toThrow(/^POST .*query: no answer: .*ECONNREFUSED/)
    await publish(ghost)
    await expectPublished(ghost)
  })

  test('a wrong token: the error has the status and the code of the homeserver', async () => {
    const ghost = await newGhost()
    const wrong = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: 'wrong' })
    await expect(wrong.publish(ghost.userId, DEVICE_ID, ghost.store)).rejects.toMatchObject({
      status: 401,
      errcode: 'M_UNKNOWN_TOKEN',
    })
  })
})
