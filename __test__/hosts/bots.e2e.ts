// Promise: a bot that does what docs/hosts/bots.md says has no shield.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning, verifyPublished } from 'rust-crypto-helper'
import { Client } from '../e2e/support/client'
import { type Session, Synapse, VERSIONS } from '../e2e/support/synapse'
import { temporaryFolder } from '../support/stores'
import { readPage, readSymptoms, type Replacements } from './support/page'
import { Project } from './support/project'
import { RED, Stranger } from './support/stranger'

const [OLDEST = '', NEWEST = ''] = [VERSIONS[0], VERSIONS.at(-1)]
const synapses: Record<string, Synapse> = {}

beforeAll(async () => {
  for (const version of [OLDEST, NEWEST])
    synapses[version] = await Synapse.start(join(temporaryFolder(), 'synapse'), { version })
})

afterAll(() => Promise.all(Object.values(synapses).map((synapse) => synapse.stop())))

/** Sends an encrypted message, does what else the environment says, and ends. */
const TALK = `
  import { LogLevel, LogService } from 'matrix-bot-sdk'
  import { client } from './bot.js'

  LogService.setLevel(LogLevel.ERROR)
  const { ROOM, TEXT } = process.env
  await client.joinRoom(ROOM!)
  await client.sendText(ROOM!, TEXT!)
  process.exit()
`
const OPEN = `
  import { openMachine } from './machine.js'

  const machine = await openMachine(process.env.USER_ID!, process.env.DEVICE_ID!)
  console.log(machine.identityKeys.ed25519.toBase64())
  machine.close()
`

let bots = 0

/** A bot as the page has it. */
class Bot {
  readonly project = new Project()
  session: Session
  readonly #synapse: Synapse

  private constructor(synapse: Synapse, session: Session) {
    this.#synapse = synapse
    this.session = session
  }

  static async start(synapse: Synapse): Promise<Bot> {
    return new Bot(synapse, await synapse.registerPerson(`robot${bots++}`))
  }

  /** Writes one version of the bot. Its stores stay. */
  install(version: 'before' | 'after', mistake: Replacements = {}): void {
    const files = readPage('bots', { 'http://localhost:8008': this.#synapse.url, ...mistake })[version]
    this.project.write({ ...files, 'talk.ts': TALK, 'open.ts': OPEN })
  }

  run(file: string, env: NodeJS.ProcessEnv = {}) {
    const { user_id, device_id, access_token } = this.session
    const own = {
      USER_ID: user_id,
      DEVICE_ID: device_id,
      ACCESS_TOKEN: access_token,
      STORE_PASSPHRASE: 'secret',
      RUST_CRYPTO_HELPER_RECOVERY_SECRET: 'the secret of the tests, which is long enough',
    }
    return this.project.run(file, { env: { ...own, ...env } })
  }

  /** Sends a message, and answers what the stranger sees of it. */
  async say(stranger: Stranger, text: string) {
    await this.run('talk.js', { ROOM: stranger.room, TEXT: text })
    return stranger.read(this.session.user_id)
  }

  /** Makes a new device and a new token. */
  async logIn(): Promise<void> {
    this.session = await this.#synapse.loginWithPassword(this.session.user_id, 'password')
  }

  /** A person logs in to the same account and makes an identity and a secret storage. Answers the recovery key. */
  async letPersonSetUp(): Promise<string> {
    const person = await this.#synapse.loginWithPassword(this.session.user_id, 'password')
    const client = await Client.start(this.#synapse.url, person)
    try {
      expect(await client.setUpIdentity()).toBe(true)
      return await client.setUpSecretStorage()
    } finally {
      client.stop()
    }
  }

  async masterKey(): Promise<object | undefined> {
    const { master_keys } = await this.#synapse.queryKeysAs(this.session, this.session.user_id)
    return master_keys?.[this.session.user_id]?.keys
  }

  verdict() {
    const { user_id, device_id } = this.session
    return this.#synapse
      .queryKeysAs(this.session, user_id)
      .then((served) => verifyPublished(user_id, device_id, served))
  }
}

/** As the page says about a bot whose identity is in the secret storage of a person. */
const WITHOUT_SECRET = { '{ homeserverUrl, accessToken, recoverySecret }': '{ homeserverUrl, accessToken }' }

const outputOf = (run: Promise<unknown>) => run.then(JSON.stringify, String)

/** By what can be seen. Each answers what was printed. */
const TROUBLES: Partial<Record<string, (bot: Bot, synapse: Synapse) => Promise<string>>> = {
  'the access token belongs to': (bot) => {
    bot.install('after')
    return outputOf(bot.run('open.js', { DEVICE_ID: 'OTHER' }))
  },

  UserInteractiveAuthError: async (bot) => {
    bot.install('after')
    await bot.run('open.js')
    bot.install('after', { '{ passphrase }': '{ passphrase, reset: true }' })
    return outputOf(bot.run('open.js'))
  },

  IDENTITY_CONFLICT: async (bot, synapse) => {
    const { user_id, access_token } = bot.session
    const { upload_keys } = await bootstrapCrossSigning(user_id, 'OTHER', join(temporaryFolder(), 'store'))
    await fetch(`${synapse.url}/_matrix/client/v3/keys/device_signing/upload`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${access_token}` },
      body: JSON.stringify(upload_keys),
    })
    bot.install('after')
    return outputOf(bot.run('open.js'))
  },

  RECOVERY_KEY_MISMATCH: async (bot) => {
    await bot.letPersonSetUp()
    bot.install('after')
    return outputOf(bot.run('open.js'))
  },

  'missing field `version`': async (bot, synapse) => {
    const { room } = await Stranger.start(synapse)
    bot.install('after', { ", { passphrase: '' }": '' })
    return outputOf(bot.run('talk.js', { ROOM: room, TEXT: 'hello' }))
  },

  // The call comes after the machine.
  STORE_IN_USE: (bot) => {
    bot.install('after')
    const twice = `
      import { openMachine } from './machine.js'
      const open = () => openMachine(process.env.USER_ID!, process.env.DEVICE_ID!)
      const machine = await open()
      await open()
      machine.close()
    `
    bot.project.write({ 'twice.ts': twice })
    return outputOf(bot.run('twice.js'))
  },
}

describe.each([OLDEST, NEWEST])('with Synapse %s', (version) => {
  let synapse: Synapse
  beforeAll(() => {
    synapse = synapses[version]!
  })

  test('a bot on matrix-bot-sdk has a red shield, and none after the change of the page', async () => {
    const [stranger, bot] = [await Stranger.start(synapse), await Bot.start(synapse)]
    bot.install('before')
    expect(await bot.say(stranger, 'before')).toEqual([{ body: 'before', shield: RED }])
    bot.install('after')
    for (const body of ['first', 'second'])
      expect(await bot.say(stranger, body)).toEqual([{ body, shield: 'None' }])
  })

  test('a new bot on matrix-bot-sdk has no shield', async () => {
    const [stranger, bot] = [await Stranger.start(synapse), await Bot.start(synapse)]
    bot.install('after')
    expect(await bot.say(stranger, 'hello')).toEqual([{ body: 'hello', shield: 'None' }])
  })

  test('a bot on the binding alone is published, and its machine opens the same store', async () => {
    const bot = await Bot.start(synapse)
    bot.install('after')
    const { stdout } = await bot.run('open.js')
    expect(await bot.verdict()).toMatchObject({ verified: true })
    const { user_id, device_id, access_token } = bot.session
    const served = await synapse.queryKeysAs({ user_id, device_id, access_token }, user_id)
    expect(served.device_keys[user_id]?.[device_id]?.keys[`ed25519:${device_id}`]).toBe(stdout.trim())
  })
})

test('a bot on matrix-bot-sdk whose store is lost keeps its identity, and has no shield', async () => {
  const synapse = synapses[NEWEST]!
  const [stranger, bot] = [await Stranger.start(synapse), await Bot.start(synapse)]
  bot.install('after')
  expect(await bot.say(stranger, 'before')).toEqual([{ body: 'before', shield: 'None' }])
  for (const file of ['bot.js', 'machine.js']) {
    const withoutSecret = bot.run(file, { RUST_CRYPTO_HELPER_RECOVERY_SECRET: '' })
    await expect(withoutSecret).rejects.toThrow('RUST_CRYPTO_HELPER_RECOVERY_SECRET is not set')
  }
  const masterKey = await bot.masterKey()
  rmSync(join(bot.project.folder, 'data', 'crypto'), { recursive: true })
  await bot.logIn()
  expect(await bot.say(stranger, 'after')).toEqual([{ body: 'after', shield: 'None' }])
  expect(await bot.masterKey()).toEqual(masterKey)
})

test("a bot takes the identity from a person's secret storage, and has no shield", async () => {
  const synapse = synapses[NEWEST]!
  const [stranger, bot] = [await Stranger.start(synapse), await Bot.start(synapse)]
  const RECOVERY_KEY = await bot.letPersonSetUp()
  const masterKey = await bot.masterKey()
  bot.install('after', WITHOUT_SECRET)
  await expect(bot.run('restore.js', { RECOVERY_KEY })).resolves.toMatchObject({ stdout: 'restored\n' })
  for (const body of ['first', 'second'])
    expect(await bot.say(stranger, body)).toEqual([{ body, shield: 'None' }])
  expect(await bot.masterKey()).toEqual(masterKey)
})

test.each(readSymptoms('bots'))('what can go wrong: %s', async (symptom) => {
  const trouble = TROUBLES[symptom]
  if (!trouble) throw new Error(`no test provokes ${symptom}`)
  const synapse = synapses[NEWEST]!
  expect(await trouble(await Bot.start(synapse), synapse)).toContain(symptom)
})
