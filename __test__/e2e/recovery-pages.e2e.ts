// Promise: what docs/recovery.md and docs/rotating-a-device.md show can be run as it is printed. A client that has
// verified the ghost does not warn, and encrypts for the new device. The environment variable SYNAPSES names the
// versions. Without it the oldest and the newest are tested.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CrossSigningBootstrap, deriveRecoveryKey, verifyPublished } from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { Project } from '../hosts/support/project'
import { HostMachines } from '../support/host-machine'
import { ROOT } from '../support/processes'
import { seedsOf } from '../support/secret-storage'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client } from './support/client'
import { newGhost } from './support/ghosts'
import { Proxy } from './support/proxy'
import { AS_TOKEN, SERVER_NAME, type Session, Synapse, VERSIONS } from './support/synapse'

const TESTED = process.env.SYNAPSES?.split(',') ?? [VERSIONS[0]!, VERSIONS.at(-1)!]
const SECRET = 'the secret of the tests, which is long enough'
const ENVIRONMENT = { AS_TOKEN, RUST_CRYPTO_HELPER_RECOVERY_SECRET: SECRET }

/** The only block of a language that a page prints. */
function printed(page: string, language: string): string {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8')
  const blocks = Array.from(
    text.matchAll(/^```(\w+)\n(.*?)^```$/gms),
    ([, name, code]) => [name, code!] as const,
  )
  const [block, ...others] = blocks.filter(([name]) => name === language)
  if (block === undefined || others.length > 0) throw new Error(`not one block of ${language} in ${page}`)
  return block[1]
}

const masterKey = ({ upload_keys }: Pick<CrossSigningBootstrap, 'upload_keys'>) =>
  onlyKey(upload_keys.master_key)[1]

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (await condition()) return
    await sleep(50)
  }
  throw new Error(`timed out: ${what}`)
}

describe.each(TESTED)('docs/rotating-a-device.md, on Synapse %s', (version) => {
  const isOld = version.localeCompare('1.141', 'en', { numeric: true }) < 0
  const [OLD, NEW] = ['OLDDEVICE', 'NEWDEVICE']
  const userId = `@_ghost:${SERVER_NAME}`

  let synapse: Synapse
  let client: Client
  let stranger: Session

  beforeAll(async () => {
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), { version, msc4190: !isOld })
    stranger = await synapse.registerPerson('stranger')
    client = await Client.start(synapse.url, await synapse.registerPerson('friend'))
    await client.setUpIdentity()
  })

  afterAll(() => synapse.stop())

  afterAll(() => {
    client.stop()
  })

  /** What the ghost's own machine on the new store reads of a message that the client sends now. */
  async function readNext(text: string, room: string, store: string): Promise<unknown> {
    const host = new HostMachines()
    await synapse.setPassword(userId, 'password')
    const { access_token: token } = await synapse.loginWithPassword(userId, 'password', NEW)
    const machine = await host.ask<object>('open', { store, user: userId, device: NEW })
    try {
      const keys = await host.ask<object>('keysToUpload', machine)
      await synapse.requestAs(token, 'POST', '/keys/upload', keys)
      await client.send(room, text)

      const sync = await synapse.requestAs<Sync>(token, 'GET', '/sync')
      await host.ask('receiveToDevice', { ...machine, events: sync.to_device?.events ?? [] })
      const event = sync.rooms?.join?.[room]?.timeline.events.findLast(
        ({ type }) => type === 'm.room.encrypted',
      )
      const message = await host.ask<{ content: { body: string } }>('decrypt', { ...machine, room, event })
      return message.content.body
    } finally {
      await host.ask('close', machine)
    }
  }

  test('the script: nobody is warned, and the new device reads the next message', async () => {
    const proxy = await Proxy.start(synapse.url)
    try {
      const project = new Project()
      const code = printed('rotating-a-device.md', 'ts')
      project.write({
        'rotate.ts': code.replace('http://localhost:8008', proxy.url).replace('example.org', SERVER_NAME),
      })

      // The ghost has an identity, and it is not in the secret storage.
      await synapse.registerGhost('_ghost')
      const stores = join(project.folder, 'data', 'crypto')
      const plain = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
      const master_key = masterKey(await plain.publish(userId, OLD, join(stores, 'ghost')))
      const room = await client.createRoom([userId])
      await synapse.request('POST', `/join/${room}`, userId, {})
      await client.prepare(room, 2)
      await until(async () => (await client.verdict(userId, OLD)).known, 'the old device')
      await client.verifyUser(userId)

      const withoutSecret = project.run('rotate.js', { env: { AS_TOKEN } })
      await expect(withoutSecret).rejects.toThrow('RUST_CRYPTO_HELPER_RECOVERY_SECRET is not set')
      expect(verifyPublished(userId, OLD, await synapse.queryKeys(userId))).toMatchObject({ verified: true })

      proxy.seen.length = 0
      const { stdout, stderr } = await project.run('rotate.js', { env: ENVIRONMENT })
      expect({ stdout, stderr }).toEqual({ stdout: 'restored\n', stderr: '' })
      const requests = proxy.seen.map(({ method, path }) => `${method} ${path}`)
      expect(requests).not.toContain('POST /_matrix/client/v3/keys/device_signing/upload')
      const deletion = requests.slice(requests.indexOf(`DELETE /_matrix/client/v3/devices/${OLD}`))
      expect(deletion).toHaveLength(isOld ? 3 : 1)

      const served = await synapse.queryKeysAs(stranger, userId)
      expect(verifyPublished(userId, NEW, served)).toEqual({ verified: true, master_key })
      expect(Object.keys(served.device_keys[userId]!)).toEqual([NEW])

      await until(async () => (await client.verdict(userId, NEW)).known, 'the new device')
      await until(async () => !(await client.verdict(userId, OLD)).known, 'the deletion')
      expect(await readNext('hello', room, join(stores, 'ghost-new'))).toBe('hello')
      expect(await client.verdict(userId, NEW)).toEqual({ known: true, signedByOwner: true, verified: true })
      expect(await client.trust(userId)).toEqual({
        isVerified: true,
        wasVerified: true,
        needsApproval: false,
      })

      // As after a failure in the last step.
      await expect(project.run('rotate.js', { env: ENVIRONMENT })).resolves.toMatchObject({
        stdout: 'published\n',
      })
      const again = await synapse.queryKeysAs(stranger, userId)
      expect(verifyPublished(userId, NEW, again)).toEqual({ verified: true, master_key })
      expect(Object.keys(again.device_keys[userId]!)).toEqual([NEW])
    } finally {
      await proxy.stop()
    }
  })
})

interface Sync {
  to_device?: { events: object[] }
  rooms?: { join?: Record<string, { timeline: { events: { type: string }[] } }> }
}

describe('docs/recovery.md', () => {
  /** What the page leaves to its reader, as parameters. */
  type Snippet = (given: {
    userId: string
    deviceId: string
    storePath: string
    serverKeys: object
    accountData: Record<string, object>
    put: (type: string, content: object) => Promise<unknown>
  }) => Promise<CrossSigningBootstrap>

  function load(): Snippet {
    const file = join(temporaryFolder(), 'snippet.js')
    const parameters = '{ userId, deviceId, storePath, serverKeys, accountData, put }'
    const body = `${printed('recovery.md', 'js')}\nreturn ghost`
    writeFileSync(file, `exports.snippet = async (${parameters}) => {\n${body}\n}\n`)
    return jest.requireActual<{ snippet: Snippet }>(file).snippet
  }

  test('the example, from nothing and after everything is lost', async () => {
    process.env.RUST_CRYPTO_HELPER_RECOVERY_SECRET = SECRET
    const synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
    try {
      const { userId } = await newGhost(synapse)
      const stranger = await synapse.registerPerson('stranger')
      const snippet = load()
      const run = async (deviceId: string) => {
        const [serverKeys, accountData] = [
          await synapse.queryKeys(userId),
          await synapse.secretStorage(userId),
        ]
        const put = (type: string, content: object) =>
          synapse.request('PUT', `/user/${userId}/account_data/${type}`, userId, content)
        const storePath = join(temporaryFolder(), 'store')
        const ghost = await snippet({ userId, deviceId, storePath, serverKeys, accountData, put })
        // Before anything of it is public.
        expect(seedsOf(await synapse.secretStorage(userId), deriveRecoveryKey(SECRET, userId))).toHaveLength(
          3,
        )
        expect(await synapse.queryKeys(userId)).toEqual(serverKeys)
        await synapse.makeDevice(userId, deviceId)
        await synapse.upload(userId, deviceId, ghost)
        const served = await synapse.queryKeysAs(stranger, userId)
        const verdict = { verified: true, master_key: masterKey(ghost) }
        expect(verifyPublished(userId, deviceId, served)).toEqual(verdict)
        return ghost
      }

      const made = await run('FIRST')
      expect(made.status).toBe('created')
      const restored = await run('SECOND')
      expect(restored).toMatchObject({
        status: 'restored',
        missing: ['upload_device_keys', 'upload_signatures'],
      })
      expect(masterKey(restored)).toBe(masterKey(made))
    } finally {
      delete process.env.RUST_CRYPTO_HELPER_RECOVERY_SECRET
      await synapse.stop()
    }
  })
})
