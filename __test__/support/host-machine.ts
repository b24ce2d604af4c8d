// A host's OlmMachine: the binary of `__test__/host-machine`, which has the SDK of the binding 0.3 to 0.5.

import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { ROOT, start } from './processes'

const BINARY = join(ROOT, '__test__', 'host-machine', 'target', 'debug', 'host-machine')

export class HostMachines {
  readonly #process: ChildProcess
  readonly #answers: Interface
  #last: Promise<unknown> = Promise.resolve()

  constructor() {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: run cargo build --locked in its folder`)
    this.#process = start(BINARY, [])
    this.#answers = createInterface({ input: this.#process.stdout! })
  }

  /** Runs a command of `host-machine/src/protocol.rs`. The binary answers one after another. */
  ask<T>(command: string, parameters: object): Promise<T> {
    const answer = this.#last.catch(() => undefined).then(() => this.#ask<T>(command, parameters))
    this.#last = answer
    return answer
  }

  async #ask<T>(command: string, parameters: object): Promise<T> {
    const answered = once(this.#answers, 'line')
    this.#process.stdin!.write(`${JSON.stringify({ command, ...parameters })}\n`)
    const [line] = (await answered) as [string]
    const { value, error } = JSON.parse(line) as { value: T; error?: string }
    if (error !== undefined) throw new Error(`${command}: ${error}`)
    return value
  }
}
