// Sends requests until they are answered for good.

import { Answer, isObject, type JsonObject } from './answer'
import { MatrixRequestError } from './errors'
import { isPassing, pause, waitBefore } from './retry'
import { NoAnswer, type Request, type Transport } from './transport'

export class Client {
  readonly #transport: Transport
  readonly #timeout: number
  readonly #maxRetries: number
  /** No request is sent before this time. A 429 is about all requests. */
  #resumeAt = 0

  constructor(transport: Transport, { timeout, maxRetries }: { timeout: number; maxRetries: number }) {
    this.#transport = transport
    this.#timeout = timeout
    this.#maxRetries = maxRetries
  }

  /** Sends a request that must succeed, and returns the JSON object of the answer. */
  async send(request: Request, signal: AbortSignal | undefined): Promise<JsonObject> {
    const answer = await this.exchange(request, signal)
    if (!answer.isSuccess) throw MatrixRequestError.refused(request, answer)
    return objectOf(request, answer)
  }

  /**
   * Sends a request, and again while the failure may pass. Returns the answer, whatever its status.
   * `beforeRetry` may refuse to send it again.
   */
  async exchange(
    request: Request,
    signal: AbortSignal | undefined,
    beforeRetry?: () => Promise<void>,
  ): Promise<Answer> {
    for (let retry = 0; ; retry++) {
      const outcome = await this.#once(request, signal)
      const answer = outcome instanceof Answer ? outcome : undefined
      if (answer && !isPassing(answer)) return answer
      if (retry >= this.#maxRetries) {
        if (outcome instanceof NoAnswer) throw outcome
        return outcome
      }
      const wait = waitBefore(retry, answer)
      if (answer?.status === 429) this.#resumeAt = Date.now() + wait
      await pause(wait, signal)
      await beforeRetry?.()
    }
  }

  async #once(request: Request, signal: AbortSignal | undefined): Promise<Answer | NoAnswer> {
    signal?.throwIfAborted()
    while (this.#resumeAt > Date.now()) await pause(this.#resumeAt - Date.now(), signal)
    const timeout = AbortSignal.timeout(this.#timeout)
    try {
      return await this.#transport(request, signal ? AbortSignal.any([signal, timeout]) : timeout)
    } catch (error) {
      signal?.throwIfAborted()
      if (timeout.aborted)
        return new NoAnswer(request, `no answer within ${this.#timeout} ms`, { cause: error })
      if (error instanceof NoAnswer) return error
      throw error
    }
  }
}

export function objectOf(request: Request, answer: Answer): JsonObject {
  if (isObject(answer.body)) return answer.body
  throw MatrixRequestError.refused(
    request,
    answer,
    'This is not an answer of a homeserver: check its address',
  )
}
