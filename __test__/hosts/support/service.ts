// An application service as a page in docs/hosts/ shows it, and what the page leaves to the reader.

import { AS_TOKEN, SERVER_NAME, type Synapse } from '../../e2e/support/synapse'
import { type Finished } from '../../support/processes'
import { readPage, type Replacements } from './page'
import { Project } from './project'
import { type Message, Stranger } from './stranger'

/** What the page takes from the environment. */
const ENVIRONMENT = {
  AS_TOKEN,
  RUST_CRYPTO_HELPER_RECOVERY_SECRET: 'the secret of the tests, which is long enough',
}

const REGISTRATION = `
  export const registration = {
    id: 'tests',
    url: 'http://localhost:9000',
    as_token: '${AS_TOKEN}',
    hs_token: 'homeserver-token-of-the-tests',
    sender_localpart: '_bot',
    rate_limited: false,
    namespaces: { users: [{ exclusive: true, regex: '@_.*:${SERVER_NAME}' }], rooms: [], aliases: [] },
  }
`

/** Sends an encrypted message as a ghost, does what else the environment says, and ends. */
const talk = (sdk: string) => `
  import { LogLevel, LogService } from '${sdk}'
  import { appservice } from './appservice.js'

  LogService.setLevel(LogLevel.ERROR)
  const { GHOST, ROOM, TEXT, FORGET, THEN } = process.env
  await appservice.begin()
  const intent = appservice.getIntentForUserId(GHOST!)
  await intent.enableEncryption()
  await intent.joinRoom(ROOM!)
  await intent.sendText(ROOM!, TEXT!)
  if (FORGET) {
    // As the service does with a ghost that was not used for an hour.
    Reflect.get(appservice, 'intentsCache').clear()
    await appservice.getIntentForUserId(GHOST!).enableEncryption()
  }
  if (THEN) await import(THEN)
  process.exit()
`

export interface Setting {
  /** The ghosts of the loop. */
  ghosts?: string[]
  /** What the reader of the page wrote wrong. */
  mistake?: Replacements
}

export class Service {
  readonly project = new Project()
  readonly stranger: Stranger
  readonly #page: string
  readonly #sdk: string
  readonly #synapse: Synapse

  private constructor(page: string, sdk: string, synapse: Synapse, stranger: Stranger) {
    this.stranger = stranger
    this.#page = page
    this.#sdk = sdk
    this.#synapse = synapse
  }

  static async start(page: string, sdk: string, synapse: Synapse): Promise<Service> {
    return new Service(page, sdk, synapse, await Stranger.start(synapse))
  }

  /** Writes one version of the service. Its stores stay. */
  install(version: 'before' | 'after', { ghosts = [], mistake = {} }: Setting = {}): void {
    // The homeserver's URL and name, and a free port, are all that is not as printed.
    const replacements = {
      'http://localhost:8008': this.#synapse.url,
      'example.org': SERVER_NAME,
      'port: 9000': 'port: 0',
      ...mistake,
    }
    this.project.write({
      ...readPage(this.#page, replacements)[version],
      'registration.ts': REGISTRATION,
      'ghosts.ts': `export const ghosts = ${JSON.stringify(ghosts)}`,
      'talk.ts': talk(this.#sdk),
    })
  }

  /** Starts the service, sends a message as a ghost and stops. */
  talk(userId: string, text: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const message = { GHOST: userId, ROOM: this.stranger.room, TEXT: text }
    return this.project.run('talk.js', { env: { ...ENVIRONMENT, ...message, ...env } })
  }

  /** The same, and what the stranger sees of it. */
  async say(userId: string, text: string): Promise<Message[]> {
    await this.talk(userId, text)
    return this.stranger.read(userId)
  }

  publishAll(): Promise<Finished> {
    return this.project.run('publish-all.js', { env: ENVIRONMENT })
  }
}
