// Holders have stores open: with a second SQLite in the process that bootstraps, or in another process.

import { type ChildProcess, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  type CrossSigningBootstrap,
  inspectStore,
  type InspectOptions,
  type StoreInfo,
} from 'rust-crypto-helper'
import { findNewerNode, NO_NEWER_NODE } from './newer-node'
import { finish, type Finished, start } from './processes'
import { DATABASE, DEVICE_ID, USER_ID } from './stores'

interface Answer {
  id: number
  value?: unknown
  error?: { code: string; message: string }
}

export class Holder {
  readonly #child: ChildProcess
  readonly #ended: Promise<Finished>
  readonly #bootstrapsThere: boolean
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #asked = 0

  constructor(command: string, file: string, bootstrapsThere: boolean) {
    this.#child = start(command, [join(__dirname, file)])
    this.#ended = finish(this.#child)
    this.#bootstrapsThere = bootstrapsThere
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  async open(store: string): Promise<void> {
    await this.#ask('open', { file: join(store, DATABASE) })
  }

  /** Runs one statement on each store that is open. */
  sql(sql: string): Promise<unknown[][]> {
    return this.#ask('sql', { sql }) as Promise<unknown[][]>
  }

  async close(): Promise<void> {
    await this.#ask('close', {})
  }

  /** Bootstraps in the holder's process, or in this process if the holder must be another one. */
  bootstrap(store: string, options?: BootstrapOptions): Promise<CrossSigningBootstrap> {
    if (!this.#bootstrapsThere) return bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)
    const args = [USER_ID, DEVICE_ID, store, ...(options ? [options] : [])]
    return this.#ask('bootstrap', { args }) as Promise<CrossSigningBootstrap>
  }

  /** Inspects in the holder's process, or in this process if the holder must be another one. */
  inspect(store: string, options: InspectOptions = {}): Promise<StoreInfo> {
    if (!this.#bootstrapsThere) return inspectStore(store, options)
    return this.#ask('inspect', { args: [store, options] }) as Promise<StoreInfo>
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async #ask(command: string, parameters: object): Promise<unknown> {
    const id = this.#asked++
    const line = `${JSON.stringify({ id, command, ...parameters })}\n`
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve))
    this.#child.stdin?.write(line)
    const died = this.#ended.then(({ stderr }): Answer => {
      return { id, error: { code: 'DIED', message: stderr } }
    })
    const { value, error } = await Promise.race([answer, died])
    if (error) throw Object.assign(new Error(error.message), error)
    return value
  }
}

const node = findNewerNode()
const python = ['python3', 'python'].find((name) => spawnSync(name, ['-c', 'import sqlite3']).status === 0)

export interface KindOfHolder {
  who: string
  /** The reason why this machine has no such holder, if it has none. */
  missing: string | undefined
  start: () => Holder
}

export const SAME_PROCESS: KindOfHolder = {
  who: 'a second SQLite in the same process',
  missing: node === undefined ? NO_NEWER_NODE : undefined,
  start: () => new Holder(node!, 'holder.mjs', true),
}

export const OTHER_PROCESS: KindOfHolder = {
  who: 'another process',
  missing: python === undefined ? 'there is no Python with sqlite3' : undefined,
  start: () => new Holder(python!, 'holder.py', false),
}
