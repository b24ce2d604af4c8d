// Another user's client: matrix-js-sdk, in a process with a Node.js that it supports.

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findNewerNode } from '../../support/newer-node'

const FOLDER = join(__dirname, '..')

/** matrix-js-sdk needs Node.js 22. TypeScript without a compiler needs a newer one. */
export function newerNode(): string {
  const node = findNewerNode()
  if (node === undefined) throw new Error('the end-to-end tests need Node.js 24 or newer on this platform')
  return node
}

export interface Verdict {
  known: boolean
  signedByOwner: boolean
  /** Whether the owner is verified by this client's user, too. */
  verified: boolean
}

/** What the client thinks of a user's identity. */
export interface Trust {
  /** Whether this client's user has verified the identity. */
  isVerified: boolean
  /** Whether it has verified an identity of the user before. With `isVerified` false, the client warns. */
  wasVerified: boolean
  /** Whether the identity was replaced by another. The client warns. */
  needsApproval: boolean
}

export class Client {
  readonly userId: string
  readonly #process: ChildProcess
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = []

  private constructor(userId: string, process: ChildProcess) {
    this.userId = userId
    this.#process = process
    createInterface({ input: process.stdout! }).on('line', (line) => {
      const { value, error } = JSON.parse(line) as { value?: unknown; error?: string }
      const next = this.#waiting.shift()
      if (error === undefined) next?.resolve(value)
      else next?.reject(new Error(error))
    })
    process.once('exit', (code) => {
      for (const { reject } of this.#waiting.splice(0))
        reject(new Error(`the client ended with code ${code ?? '?'}`))
    })
  }

  static async start(
    homeserver: string,
    account: { user_id: string; device_id: string; access_token: string },
  ): Promise<Client> {
    const child = spawn(newerNode(), [join(FOLDER, 'client.mjs')], { stdio: ['pipe', 'pipe', 'ignore'] })
    process.once('exit', () => child.kill('SIGKILL'))
    const client = new Client(account.user_id, child)
    try {
      await client.#ask('start', { homeserver, ...account })
    } catch (error) {
      client.stop()
      throw error
    }
    return client
  }

  /** Makes an encrypted room and invites these users. From then on the client follows their keys. */
  createRoom(userIds: string[]): Promise<string> {
    return this.#ask('createRoom', { userIds }) as Promise<string>
  }

  /** Waits for the members, and prepares to write to them, as a client does when somebody starts to type. */
  prepare(roomId: string, members: number): Promise<void> {
    return this.#ask('prepare', { roomId, members }) as Promise<void>
  }

  /** The client's verdict on a device, which decides about the red shield. */
  verdict(userId: string, deviceId: string): Promise<Verdict> {
    return this.#ask('verdict', { userId, deviceId }) as Promise<Verdict>
  }

  /** Whether the client has noticed that the user's identity was replaced. */
  identityChanged(userId: string): Promise<boolean> {
    return this.#ask('identityChanged', { userId }) as Promise<boolean>
  }

  /**
   * Makes an identity for the client's user. If there is one and the secret storage has it, the client takes it
   * from there, with the recovery key. Answers whether the client is ready for cross-signing.
   */
  setUpIdentity(recoveryKey?: string): Promise<boolean> {
    return this.#ask('setUpIdentity', { recoveryKey }) as Promise<boolean>
  }

  /** Puts the identity into a new secret storage, and answers its recovery key. */
  setUpSecretStorage(passphrase?: string): Promise<string> {
    return this.#ask('setUpSecretStorage', { passphrase }) as Promise<string>
  }

  /** Verifies a user, as a person does who has compared the emoji. */
  verifyUser(userId: string): Promise<void> {
    return this.#ask('verifyUser', { userId }) as Promise<void>
  }

  trust(userId: string): Promise<Trust> {
    return this.#ask('trust', { userId }) as Promise<Trust>
  }

  /** Sends a text to a room. */
  send(roomId: string, text: string): Promise<void> {
    return this.#ask('send', { roomId, text }) as Promise<void>
  }

  stop(): void {
    this.#process.kill('SIGKILL')
  }

  #ask(command: string, parameters: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#process.stdin?.write(`${JSON.stringify({ command, ...parameters })}\n`)
    })
  }
}
