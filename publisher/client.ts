// Sends requests until they are answered for good.

import { onAbort } from './abort'
import { Answer, isObject, type JsonObject } from './answer'
import { MatrixRequestError, NoAnswer } from './errors'
import { isRetriable, pause, waitBefore } from './retry'
import type { Request, Transport } from './transport'

export class Client {
  readonly #transport: Transport
  readonly #timeout: number
  readonly #maxRetries: number
  /** No request is sent before this time, on the clock that nobody sets. A 429 is about all requests. */
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
    beforeRetry?: () => Promise<void> | undefined,
  ): Promise<Answer> {
    for (let retry = 0; ; retry++) {
      const outcome = await this.#once(request, signal)
      const answer = outcome instanceof Answer ? outcome : undefined
      if (answer && !isRetriable(answer)) return answer
      const wait = waitBefore(retry, answer)
      if (answer?.status === 429) this.#resumeAt = Math.max(this.#resumeAt, performance.now() + wait)
      if (retry >= this.#maxRetries) {
        if (outcome instanceof NoAnswer) throw outcome
        return outcome
      }
      await pause(wait, signal)
      await beforeRetry?.()
    }
  }

  async #once(request: Request, signal: AbortSignal | undefined): Promise<Answer | NoAnswer> {
    signal?.throwIfAborted()
    while (this.#resumeAt > performance.now()) await pause(this.#resumeAt - performance.now(), signal)
    const controller = new AbortController()
    const off = onAbort(signal, () => {
      controller.abort(signal?.reason)
    })
    // Unlike `AbortSignal.timeout`, this timer keeps the process alive while an answer is awaited.
    const timer = setTimeout(() => {
      controller.abort()
    }, this.#timeout)
    try {
      return await this.#transport(request, controller.signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (controller.signal.aborted) return new NoAnswer(request, `no answer within ${this.#timeout} ms`, {})
      if (error instanceof NoAnswer) return error
      throw error
    } finally {
      clearTimeout(timer)
      off()
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
