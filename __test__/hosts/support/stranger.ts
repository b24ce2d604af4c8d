// A person who talks to ghosts: reads what they write, and sees a shield or none.

import { type Session, type Synapse } from '../../e2e/support/synapse'
import { HostMachines } from '../../support/host-machine'

export interface Message {
  body: unknown
  /** What a client shows: `None`, or the colour of the shield and its reason. */
  shield: string
}

/** A ghost's messages have this shield if nobody has signed its device. */
export const RED = expect.stringContaining('Red') as string

interface Event {
  type: string
  sender: string
}

interface Sync {
  next_batch: string
  to_device?: { events: object[] }
  rooms?: { join?: Record<string, { timeline: { events: Event[] } }> }
}

const machines = new HostMachines()
let strangers = 0

export class Stranger {
  readonly #url: string
  readonly #account: Session
  readonly #machine: { machine: number }
  #room = ''
  #since: string | undefined

  private constructor(url: string, account: Session, machine: { machine: number }) {
    this.#url = url
    this.#account = account
    this.#machine = machine
  }

  /** Makes an encrypted room, too, which everybody may join. */
  static async start(synapse: Synapse): Promise<Stranger> {
    const account = await synapse.registerPerson(`stranger${strangers++}`)
    const owner = { user: account.user_id, device: account.device_id }
    const stranger = new Stranger(synapse.url, account, await machines.ask('open', owner))
    const keys = await machines.ask<object>('keysToUpload', stranger.#machine)
    await stranger.#send('POST', '/keys/upload', keys)

    const content = { algorithm: 'm.megolm.v1.aes-sha2' }
    const initial_state = [{ type: 'm.room.encryption', state_key: '', content }]
    const room = { preset: 'public_chat', initial_state }
    stranger.#room = (await stranger.#send<{ room_id: string }>('POST', '/createRoom', room)).room_id
    return stranger
  }

  get userId(): string {
    return this.#account.user_id
  }

  get room(): string {
    return this.#room
  }

  /** What a user wrote in the room since the last call, decrypted, as a client shows it. */
  async read(user: string): Promise<Message[]> {
    const since = this.#since === undefined ? '' : `&since=${this.#since}`
    const { next_batch, to_device, rooms } = await this.#send<Sync>('GET', `/sync?timeout=0${since}`)
    this.#since = next_batch
    await machines.ask('receiveToDevice', { ...this.#machine, events: to_device?.events ?? [] })
    const answer = await this.#send('POST', '/keys/query', { device_keys: { [user]: [] } })
    await machines.ask('receiveKeysQuery', { ...this.#machine, user, answer })

    const events = rooms?.join?.[this.#room]?.timeline.events ?? []
    const encrypted = events.filter(({ type, sender }) => type === 'm.room.encrypted' && sender === user)
    return Promise.all(encrypted.map((event) => this.#decrypt(event)))
  }

  async #decrypt(event: Event): Promise<Message> {
    const parameters = { ...this.#machine, room: this.#room, event }
    const decrypted = await machines.ask<{ content: Message; shield: string }>('decrypt', parameters)
    return { body: decrypted.content.body, shield: decrypted.shield }
  }

  async #send<T = object>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await fetch(`${this.#url}/_matrix/client/v3${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#account.access_token}` },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`)
    return (await response.json()) as T
  }
}
