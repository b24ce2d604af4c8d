/**
 * Gives the ghosts of an application service a published cross-signing identity.
 *
 * Copy this file. It needs `rust-crypto-helper` and the `fetch` of Node.js, and nothing else. Every step may
 * be repeated at any time. After a crash between any two steps, call it again.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  type CrossSigningBootstrap,
  type KeysQueryAnswer,
  type UnverifiedDevice,
  verifyPublished,
} from 'rust-crypto-helper'

export interface CrossSigningBootstrapperConfig {
  /** The homeserver's base URL, such as `http://localhost:8008`. */
  homeserverUrl: string
  /** The application service's token, `as_token` in its registration. */
  asToken: string
  /** How often a rate-limited request is sent again. Default: 5. */
  maxRetries?: number
  /** How long a request may take, in milliseconds. Default: 30000. */
  timeout?: number
}

/** A request failed: it was refused, it got no answer, or the answer has `failures`. */
export class MatrixRequestError extends Error {
  override readonly name = 'MatrixRequestError'
  readonly method: string
  readonly path: string
  /** The HTTP status. It is undefined if there was no answer. */
  readonly status: number | undefined
  /** The Matrix error code, such as `M_FORBIDDEN`. It is undefined if the answer had none. */
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

/** All requests succeeded, but the homeserver does not serve what the store holds. */
export class NotPublishedError extends Error {
  override readonly name = 'NotPublishedError'
  /** The problem of `verifyPublished`, or `OTHER_IDENTITY` if the served identity is not the store's. */
  readonly problem: UnverifiedDevice['problem'] | 'OTHER_IDENTITY'

  constructor(problem: NotPublishedError['problem'], what: string) {
    super(`${problem}: ${what}`)
    this.problem = problem
  }
}

interface Answer {
  errcode?: string
  error?: string
  retry_after_ms?: number
  /** In the answer to the signatures upload: what was not stored, by user ID and by key or device ID. */
  failures?: Record<string, Record<string, { errcode?: string; error?: string }>>
}

type Upload = NonNullable<CrossSigningBootstrap['missing']>[number]

const ALL_UPLOADS: Upload[] = ['upload_device_keys', 'upload_keys', 'upload_signatures']

export class CrossSigningBootstrapper {
  readonly #config: Required<CrossSigningBootstrapperConfig>

  constructor(config: CrossSigningBootstrapperConfig) {
    this.#config = { maxRetries: 5, timeout: 30_000, ...config }
  }

  /**
   * Bootstraps a ghost and publishes its identity. The user must be registered. When this resolves, the
   * homeserver serves the identity and the signed device. The store is closed, and the ghost's own
   * OlmMachine may open it.
   *
   * The homeserver is asked first. If everything is published already, this is the only request. Without
   * `reset`, an identity that is not the store's is not replaced (the package's error `IDENTITY_CONFLICT`).
   *
   * @param options the options of `bootstrapCrossSigning` without `serverKeys`, which this method gets
   * @returns the result of `bootstrapCrossSigning`, as it was before the uploads. `status` and `missing` tell
   *   what there was to do. Log the `warnings`, if there are any
   * @throws {MatrixRequestError} if a request failed
   * @throws {NotPublishedError} if all requests succeeded, but the homeserver serves something else
   * @throws {BootstrapError} if `bootstrapCrossSigning` rejects
   */
  async bootstrap(
    userId: string,
    deviceId: string,
    storePath: string,
    options?: Omit<BootstrapOptions, 'serverKeys'>,
  ): Promise<CrossSigningBootstrap> {
    let serverKeys = await this.queryKeys(userId)
    const payloads = await bootstrapCrossSigning(userId, deviceId, storePath, { ...options, serverKeys })
    if (payloads.missing?.length !== 0) {
      const devices = serverKeys.device_keys?.[userId] ?? {}
      if (!Object.hasOwn(devices, deviceId)) await this.ensureDevice(userId, deviceId)
      await this.upload(userId, deviceId, payloads)
      serverKeys = await this.queryKeys(userId)
    }

    const verdict = verifyPublished(userId, deviceId, serverKeys)
    if (!verdict.verified) throw new NotPublishedError(verdict.problem, verdict.message)
    const [masterKey] = Object.values(payloads.upload_keys.master_key.keys)
    if (verdict.master_key !== masterKey) {
      const what = `the homeserver serves the master key ${verdict.master_key} for ${userId}, the store holds ${masterKey}`
      throw new NotPublishedError('OTHER_IDENTITY', what)
    }
    return payloads
  }

  /** Gets what the homeserver serves about the ghost, for `serverKeys` and `verifyPublished`. */
  async queryKeys(userId: string): Promise<KeysQueryAnswer> {
    const body = { device_keys: { [userId]: [] } }
    return this.#send<KeysQueryAnswer>('POST', '/_matrix/client/v3/keys/query', { user_id: userId }, body)
  }

  /**
   * Sends the payloads that are `missing`, or all of them if the result has no `missing`. Only this order
   * works: the homeserver must know what is signed before it gets the signature.
   */
  async upload(userId: string, deviceId: string, payloads: CrossSigningBootstrap): Promise<void> {
    const missing = payloads.missing ?? ALL_UPLOADS
    const asUser = { user_id: userId }
    if (missing.includes('upload_device_keys') && payloads.upload_device_keys) {
      const asDevice = { user_id: userId, device_id: deviceId }
      await this.#send('POST', '/_matrix/client/v3/keys/upload', asDevice, payloads.upload_device_keys)
    }
    if (missing.includes('upload_keys')) {
      await this.#send('POST', '/_matrix/client/v3/keys/device_signing/upload', asUser, {
        ...payloads.upload_keys,
        auth: { type: 'm.login.dummy' },
      })
    }
    if (!missing.includes('upload_signatures')) return

    const path = '/_matrix/client/v3/keys/signatures/upload'
    const { failures = {} } = await this.#send('POST', path, asUser, payloads.upload_signatures)
    // The answer is 200 even if nothing was stored.
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

  /** Makes the device if it does not exist. */
  async ensureDevice(userId: string, deviceId: string): Promise<void> {
    try {
      // With MSC4190 this makes the device without a login. It does not change a device that exists.
      const path = `/_matrix/client/v3/devices/${encodeURIComponent(deviceId)}`
      await this.#send('PUT', path, { user_id: userId }, {})
    } catch (error) {
      // Without MSC4190 a homeserver looks for a device to rename, and does not find it.
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

  async #send<T extends object = Answer>(
    method: 'POST' | 'PUT',
    path: string,
    query: Record<string, string>,
    body: object,
  ): Promise<T> {
    const url = new URL(path, this.#config.homeserverUrl)
    url.search = new URLSearchParams(query).toString()

    for (let retries = 0; ; retries++) {
      const { status, answer } = await this.#sendOnce(method, url, body)
      if (status >= 200 && status < 300) return answer as T
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
      // The error of fetch says only that it failed. Its cause says why.
      const reason = String((cause as Error).cause ?? cause)
      throw new MatrixRequestError({ method, path: url.pathname }, `no answer: ${reason}`, { cause })
    }
  }
}

/** The answer may come from a proxy in front of the homeserver. Then it need not be JSON. */
function parseAnswer(text: string): Answer {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' && answer !== null ? answer : {}
  } catch {
    return {}
  }
}
