/**
 * Gives an application service's ghosts a cross-signing identity, from nothing to published.
 *
 * Copy this file: it needs `rust-crypto-helper` and the `fetch` of Node.js, nothing else. Everything
 * in it may be repeated at any time: after a crash between any two steps, call it again.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'

export interface CrossSigningBootstrapperConfig {
  /** The homeserver's base URL, such as `http://localhost:8008`. */
  homeserverUrl: string
  /** The application service's token, `as_token` in its registration. */
  asToken: string
  /** How often a request is sent again that was rate-limited. Default 5. */
  maxRetries?: number
  /** How long a request may take, in milliseconds. Default 30000. */
  timeout?: number
}

/** A request that did not do what it was for: refused, not answered, or answered with failures. */
export class MatrixRequestError extends Error {
  override readonly name = 'MatrixRequestError'
  readonly method: string
  readonly path: string
  /** The HTTP status; undefined if there was no answer. */
  readonly status: number | undefined
  /** The Matrix error code, such as `M_FORBIDDEN`; undefined if the answer had none. */
  readonly errcode: string | undefined

  constructor(
    request: { method: string; path: string; status?: number | undefined; errcode?: string | undefined },
    what: string,
    options?: ErrorOptions,
  ) {
    super(`${request.method} ${request.path}: ${what}`, options)
    this.method = request.method
    this.path = request.path
    this.status = request.status
    this.errcode = request.errcode
  }
}

interface Answer {
  errcode?: string
  error?: string
  retry_after_ms?: number
  /** Of the signatures upload: by user ID and key or device ID, what was not stored. */
  failures?: Record<string, Record<string, { errcode?: string; error?: string }>>
}

export class CrossSigningBootstrapper {
  readonly #config: Required<CrossSigningBootstrapperConfig>

  constructor(config: CrossSigningBootstrapperConfig) {
    this.#config = { maxRetries: 5, timeout: 30_000, ...config }
  }

  /**
   * When this resolves, the homeserver serves the ghost's identity and its signed device, and the
   * store is closed, for the ghost's own OlmMachine to open. The user must be registered.
   */
  async bootstrap(
    userId: string,
    deviceId: string,
    storePath: string,
    options?: BootstrapOptions,
  ): Promise<CrossSigningBootstrap> {
    await this.ensureDevice(userId, deviceId)
    const payloads = await bootstrapCrossSigning(userId, deviceId, storePath, options)
    await this.upload(userId, deviceId, payloads)
    return payloads
  }

  /** The three uploads, in the only order that works: what is signed must be known before. */
  async upload(userId: string, deviceId: string, payloads: CrossSigningBootstrap): Promise<void> {
    const asUser = { user_id: userId }
    if (payloads.upload_device_keys) {
      const asDevice = { user_id: userId, device_id: deviceId }
      await this.#send('POST', '/_matrix/client/v3/keys/upload', asDevice, payloads.upload_device_keys)
    }
    await this.#send('POST', '/_matrix/client/v3/keys/device_signing/upload', asUser, {
      ...payloads.upload_keys,
      auth: { type: 'm.login.dummy' },
    })

    const path = '/_matrix/client/v3/keys/signatures/upload'
    const { failures = {} } = await this.#send('POST', path, asUser, payloads.upload_signatures)
    // The answer is 200 even when nothing was stored.
    const failed = Object.entries(failures).flatMap(([user, keys]) =>
      Object.entries(keys).map(([key, failure]) => ({ what: `${user} ${key}`, ...failure })),
    )
    if (failed.length > 0) {
      const reasons = failed.map(({ what, errcode, error }) =>
        `${what}: ${errcode ?? ''} ${error ?? ''}`.trim(),
      )
      throw new MatrixRequestError(
        { method: 'POST', path, status: 200, errcode: failed[0]?.errcode },
        `signatures were not stored: ${reasons.join('; ')}`,
      )
    }
  }

  /** Makes the device if it is not there. */
  async ensureDevice(userId: string, deviceId: string): Promise<void> {
    try {
      // MSC4190, without a login. On a device that is there already it changes nothing.
      const path = `/_matrix/client/v3/devices/${encodeURIComponent(deviceId)}`
      await this.#send('PUT', path, { user_id: userId }, {})
    } catch (error) {
      // Servers without it look for the device to rename, and find none.
      if (!(error instanceof MatrixRequestError) || error.status !== 404) throw error
      await this.#send(
        'POST',
        '/_matrix/client/v3/login',
        {},
        {
          type: 'm.login.application_service',
          identifier: { type: 'm.id.user', user: userId },
          device_id: deviceId,
        },
      )
    }
  }

  async #send(
    method: 'POST' | 'PUT',
    path: string,
    query: Record<string, string>,
    body: object,
  ): Promise<Answer> {
    const url = new URL(path, this.#config.homeserverUrl)
    url.search = new URLSearchParams(query).toString()

    for (let retries = 0; ; retries++) {
      const { status, answer } = await this.#sendOnce(method, url, body)
      if (status >= 200 && status < 300) return answer
      if (status !== 429 || retries >= this.#config.maxRetries) {
        const reason = answer.errcode
          ? `${answer.errcode}: ${answer.error ?? ''}`
          : 'no Matrix error in the answer'
        throw new MatrixRequestError({ method, path, status, errcode: answer.errcode }, `${status} ${reason}`)
      }
      await sleep(answer.retry_after_ms ?? 1000)
    }
  }

  async #sendOnce(method: string, url: URL, body: object): Promise<{ status: number; answer: Answer }> {
    try {
      const response = await fetch(url, {
        method,
        headers: { Authorization: `Bearer ${this.#config.asToken}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(this.#config.timeout),
      })
      const text = await response.text()
      return { status: response.status, answer: parseAnswer(text) }
    } catch (cause) {
      // fetch says only that it failed; what failed is the cause of that.
      const reason = String((cause as Error).cause ?? cause)
      throw new MatrixRequestError({ method, path: url.pathname }, `no answer: ${reason}`, { cause })
    }
  }
}

/** Between here and the homeserver there may be proxies, whose errors are not JSON. */
function parseAnswer(text: string): Answer {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' && answer !== null ? answer : {}
  } catch {
    return {}
  }
}
