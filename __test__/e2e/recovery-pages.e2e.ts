// Promise: what docs/recovery.md, docs/rotating-a-device.md and docs/lost-store.md show can be run as it is printed. A
// client that has verified the ghost does not warn, and encrypts for the new device. The environment variable SYNAPSES
// names the versions. Without it the oldest and the newest are tested.

import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createRecoveryKey,
  type CrossSigningBootstrap,
  deriveRecoveryKey,
  verifyPublished,
} from 'rust-crypto-helper'
import { CrossSigningPublisher, type Ghost } from 'rust-crypto-helper/publisher'
import { Project } from '../hosts/support/project'
import { fileOf, readBlocks } from '../support/blocks'
import { HostMachines } from '../support/host-machine'
import { COMMAND, finish, start } from '../support/processes'
import { readKey, seedsOf, storage } from '../support/secret-storage'
import { onlyKey } from '../support/signatures'
import { temporaryFolder } from '../support/stores'
import { Client } from './support/client'
import { newGhost } from './support/ghosts'
import { Proxy } from './support/proxy'
import { AS_TOKEN, SERVER_NAME, type Session, Synapse, VERSIONS } from './support/synapse'

const TESTED = process.env.SYNAPSES?.split(',') ?? [VERSIONS[0]!, VERSIONS.at(-1)!]
const SECRET = 'the secret of the tests, which is long enough'
const ENVIRONMENT = { AS_TOKEN, RUST_CRYPTO_HELPER_RECOVERY_SECRET: SECRET }

/** The blocks of a page, by language. A block of another language fails, because no test runs it. */
function printed(page: string, ...languages: string[]): string[][] {
  const blocks = readBlocks(page)
  const other = blocks.find(({ language }) => !languages.includes(language))
  if (other) throw new Error(`no test runs a block of ${other.language} in ${page}`)
  return languages.map((name) => blocks.filter(({ language }) => language === name).map(({ code }) => code))
}

/** The code of a page as files. The homeserver's URL and name are all that is not as printed. */
function filesOf(blocks: string[], url: string): Record<string, string> {
  const code = blocks.map((block) =>
    block.replaceAll('http://localhost:8008', url).replaceAll('example.org', SERVER_NAME),
  )
  return Object.fromEntries(code.map((block) => [fileOf(block), block]))
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

  /** The scripts of the page, and the ghosts that it leaves to its reader. */
  function newProject(url: string, ghosts: Ghost[] = [], replacements: Record<string, string> = {}): Project {
    const project = new Project()
    const [blocks = []] = printed('rotating-a-device.md', 'ts')
    const files = Object.entries(filesOf(blocks, url)).map(([name, code]) => [
      name,
      Object.entries(replacements).reduce((text, [from, to]) => text.replaceAll(from, to), code),
    ])
    const list = `import type { Ghost } from 'rust-crypto-helper/publisher'\nexport const ghosts: Ghost[] = ${JSON.stringify(ghosts)}`
    project.write({ ...(Object.fromEntries(files) as Record<string, string>), 'ghosts.ts': list })
    return project
  }

  async function expectRotated(userId: string, deviceId: string, master_key: string): Promise<void> {
    const served = await synapse.queryKeysAs(stranger, userId)
    expect(verifyPublished(userId, deviceId, served)).toEqual({ verified: true, master_key })
    expect(Object.keys(served.device_keys[userId]!)).toEqual([deviceId])
  }

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
      const project = newProject(proxy.url)

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

      await expectRotated(userId, NEW, master_key)

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
      await expectRotated(userId, NEW, master_key)
    } finally {
      await proxy.stop()
    }
  })

  test('the script for a store with a passphrase', async () => {
    const name = '_with_a_passphrase'
    const user = await synapse.registerGhost(name)
    const project = newProject(synapse.url, [], { _ghost: name, 'passphrase = undefined': "passphrase = ''" })
    const plain = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
    const store = join(project.folder, 'data', 'crypto', 'ghost')
    const made = await plain.publish(user, OLD, store, { passphrase: '' })
    await expect(project.run('rotate.js', { env: ENVIRONMENT })).resolves.toMatchObject({
      stdout: 'restored\n',
    })
    await expectRotated(user, NEW, masterKey(made))
    const again = await plain.publish(user, NEW, `${store}-new`, { passphrase: '' })
    expect(again.status).toBe('published')
  })

  test('the script for many ghosts: also for one whose store is lost, and one that fails stops no other', async () => {
    const users = await Promise.all(
      ['_plain', '_with_passphrase', '_lost', '_foreign'].map((name) => synapse.registerGhost(name)),
    )
    const folder = temporaryFolder()
    const ghosts = users.map((userId, n): Ghost => {
      return { userId, deviceId: OLD, storePath: join(folder, `${n}`), ...(n === 1 && { passphrase: '' }) }
    })
    const [, , lost, foreign] = ghosts as [Ghost, Ghost, Ghost, Ghost]
    const keys: string[] = []
    for (const ghost of ghosts) {
      const recoverySecret = ghost === foreign ? undefined : SECRET
      const publisher = new CrossSigningPublisher({
        homeserverUrl: synapse.url,
        asToken: AS_TOKEN,
        recoverySecret,
      })
      keys.push(
        masterKey(
          await publisher.publish(ghost.userId, OLD, ghost.storePath, { passphrase: ghost.passphrase }),
        ),
      )
    }
    for (const { storePath } of [lost, foreign]) rmSync(storePath, { recursive: true })

    const project = newProject(synapse.url, ghosts)
    const failure = await project.run('rotate-all.js', { env: ENVIRONMENT }).then(JSON.stringify, String)
    expect(failure).toMatch(/^Error: rotate-all.js ended with 1:/)
    expect(failure).toMatch(new RegExp(`^${foreign.userId} .*IDENTITY_CONFLICT`, 'ms'))
    for (const [n, { userId }] of ghosts.entries()) {
      expect(failure.includes(`${userId} has a new device`)).toBe(userId !== foreign.userId)
      if (userId !== foreign.userId) await expectRotated(userId, NEW, keys[n]!)
    }
    await expectRotated(foreign.userId, OLD, keys[3]!)
  })

  test('the script for a bot', async () => {
    const old = await synapse.registerPerson('robot')
    const { user_id } = old
    const project = newProject(synapse.url)
    const publisher = new CrossSigningPublisher({ homeserverUrl: synapse.url, accessToken: old.access_token })
    const store = join(project.folder, 'data', 'crypto')
    const made = await publisher.publish(user_id, old.device_id, store, { passphrase: '' })

    const session = await synapse.loginWithPassword(user_id, 'password')
    const env = { ...ENVIRONMENT, OLD_ACCESS_TOKEN: old.access_token, ACCESS_TOKEN: session.access_token }
    const { stdout } = await project.run('rotate-bot.js', { env })
    expect(stdout).toBe(`${old.device_id} resumed\n${session.device_id} restored\n`)
    await expectRotated(user_id, session.device_id, masterKey(made))
  })
})

describe('docs/lost-store.md', () => {
  const [code, commands] = printed('lost-store.md', 'ts', 'sh') as [string[], string[]]
  const userId = `@_ghost:${SERVER_NAME}`
  const [OLD, NEW] = ['GHOSTDEVICE', 'NEWDEVICE']

  let synapse: Synapse
  let stranger: Session
  let project: Project

  beforeEach(async () => {
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
    stranger = await synapse.registerPerson('stranger')
    await synapse.registerGhost('_ghost')
    project = new Project()
    project.write(filesOf(code, synapse.url))
  })

  afterEach(() => synapse.stop())

  const storeOf = (name: string) => join(project.folder, name)

  async function publishLost(recoverySecret?: string): Promise<string> {
    const publisher = new CrossSigningPublisher({
      homeserverUrl: synapse.url,
      asToken: AS_TOKEN,
      recoverySecret,
    })
    return masterKey(await publisher.publish(userId, OLD, storeOf('lost')))
  }

  async function expectServed(deviceId: string): Promise<string> {
    const verdict = verifyPublished(userId, deviceId, await synapse.queryKeysAs(stranger, userId))
    if (!verdict.verified) throw new Error(verdict.message)
    return verdict.master_key
  }

  /** Runs the commands of the page, and answers what each block prints. */
  async function runCommands(): Promise<string[]> {
    const bin = storeOf('bin')
    mkdirSync(bin)
    symlinkSync(COMMAND, join(bin, 'rust-crypto-helper'))
    const env = { AS_TOKEN, HOMESERVER: synapse.url, PATH: `${bin}:${process.env.PATH!}` }
    const outputs: string[] = []
    for (const command of commands) {
      const script = command.replaceAll('example.org', SERVER_NAME)
      const child = start('bash', ['-euo', 'pipefail', '-c', script], env, { cwd: project.folder })
      const { code, stdout, stderr } = await finish(child)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      outputs.push(stdout)
    }
    return outputs
  }

  test('with a recovery secret: the code restores the identity', async () => {
    const made = await publishLost(SECRET)
    rmSync(storeOf('lost'), { recursive: true })
    const { stdout } = await project.run('restore.js', { env: ENVIRONMENT })
    expect(stdout).toBe('restored\n')
    expect(await expectServed(NEW)).toBe(made)
  })

  test('without one: the commands tell the right store, and the code replaces the identity', async () => {
    const made = await publishLost()
    mkdirSync(storeOf('found'))
    cpSync(storeOf('lost'), storeOf('found/store'), { recursive: true })
    rmSync(storeOf('lost'), { recursive: true })
    const [verified, found] = await runCommands()
    expect(JSON.parse(verified!)).toEqual({ verified: true, master_key: made })
    expect(JSON.parse(found!)).toMatchObject({ status: 'published' })

    const { stderr } = await project.run('reset.js', { env: { AS_TOKEN } })
    expect(stderr).toBe('')
    expect(await expectServed(NEW)).not.toBe(made)
    const plain = new CrossSigningPublisher({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
    const again = await plain.publish(userId, NEW, storeOf('data/crypto/ghost-new'))
    expect(again.status).toBe('published')
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
    homeserverUrl: string
    asToken: string
    serverKeys: object
  }) => Promise<CrossSigningBootstrap>

  function load(): Snippet {
    const file = join(temporaryFolder(), 'snippet.js')
    const parameters = '{ userId, deviceId, storePath, homeserverUrl, asToken, serverKeys }'
    const [blocks = []] = printed('recovery.md', 'js')
    expect(blocks).toHaveLength(1)
    writeFileSync(file, `exports.snippet = async (${parameters}) => {\n${blocks[0]!}\nreturn ghost\n}\n`)
    return jest.requireActual<{ snippet: Snippet }>(file).snippet
  }

  let synapse: Synapse
  beforeAll(async () => {
    process.env.RUST_CRYPTO_HELPER_RECOVERY_SECRET = SECRET
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'))
  })
  afterAll(async () => {
    delete process.env.RUST_CRYPTO_HELPER_RECOVERY_SECRET
    await synapse.stop()
  })

  async function run(userId: string, deviceId: string): Promise<CrossSigningBootstrap> {
    const serverKeys = await synapse.queryKeys(userId)
    const storePath = join(temporaryFolder(), 'store')
    const given = { homeserverUrl: synapse.url, asToken: AS_TOKEN, serverKeys }
    return load()({ userId, deviceId, storePath, ...given })
  }

  test('the example, from nothing and after everything is lost', async () => {
    const { userId } = await newGhost(synapse)
    const stranger = await synapse.registerPerson('stranger')
    const publish = async (deviceId: string) => {
      const before = await synapse.queryKeys(userId)
      const ghost = await run(userId, deviceId)
      // Before anything of it is public.
      const seeds = seedsOf(await synapse.secretStorage(userId), deriveRecoveryKey(SECRET, userId))
      expect(seeds).toHaveLength(3)
      expect(await synapse.queryKeys(userId)).toEqual(before)
      await synapse.makeDevice(userId, deviceId)
      await synapse.upload(userId, deviceId, ghost)
      const served = await synapse.queryKeysAs(stranger, userId)
      const verdict = { verified: true, master_key: masterKey(ghost) }
      expect(verifyPublished(userId, deviceId, served)).toEqual(verdict)
      return ghost
    }

    const made = await publish('FIRST')
    expect(made.status).toBe('created')
    const restored = await publish('SECOND')
    expect(restored).toMatchObject({
      status: 'restored',
      missing: ['upload_device_keys', 'upload_signatures'],
    })
    expect(masterKey(restored)).toBe(masterKey(made))
  })

  test('the example restores where the default key is one of a client', async () => {
    const { userId } = await newGhost(synapse)
    const made = await run(userId, 'FIRST')
    const theirs = storage(readKey(createRecoveryKey()), 'theirs', [])
    for (const [type, content] of Object.entries(theirs))
      await synapse.request('PUT', `/user/${userId}/account_data/${type}`, userId, content)
    const restored = await run(userId, 'SECOND')
    expect(restored.status).toBe('restored')
    expect(masterKey(restored)).toBe(masterKey(made))
  })

  test('the example does not take a failure for account data that are not there', async () => {
    const { userId } = await newGhost(synapse)
    const serverKeys = await synapse.queryKeys(userId)
    const storePath = join(temporaryFolder(), 'store')
    const given = { homeserverUrl: synapse.url, asToken: 'wrong', serverKeys }
    const call = load()({ userId, deviceId: 'FIRST', storePath, ...given })
    await expect(call).rejects.toThrow(/GET .*: 401/)
    expect(existsSync(storePath)).toBe(false)
  })
})
