// Another user's client, which judges answers to keys/query.

import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

export interface Question {
  user: string
  device: string
  /** The answer to the query. */
  text: string
}

export interface ClientVerdict {
  says: 'verified' | 'not verified' | 'drops the answer' | 'crashes'
  masterKey?: string
}

export class Client {
  #worker: Worker | undefined

  /**
   * Asks a client that knows nobody yet. It remembers the keys that it has seen first, so a user must not be in
   * two questions, unless the client drops the first answer.
   */
  async ask(questions: readonly Question[]): Promise<ClientVerdict[]> {
    const verdicts: ClientVerdict[] = []
    while (verdicts.length < questions.length) {
      verdicts.push(...(await this.#askUntilCrash(questions.slice(verdicts.length))))
    }
    return verdicts
  }

  async close(): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = undefined
  }

  async #askUntilCrash(questions: readonly Question[]): Promise<ClientVerdict[]> {
    // What a crash prints is not of interest.
    const options = { stdout: true, stderr: true }
    const worker = (this.#worker ??= new Worker(join(__dirname, 'client-worker.mjs'), options))
    const verdicts: ClientVerdict[] = []
    try {
      await new Promise<void>((resolve, reject) => {
        worker.on('message', (verdict: ClientVerdict) => {
          verdicts.push(verdict)
          if (verdict.says === 'crashes' || verdicts.length === questions.length) resolve()
        })
        worker.on('error', reject)
        worker.on('exit', (code) => {
          reject(new Error(`the client ended with exit code ${code}`))
        })
        worker.postMessage(questions)
      })
    } finally {
      for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event)
    }
    if (verdicts.at(-1)?.says === 'crashes') await this.close()
    return verdicts
  }
}
