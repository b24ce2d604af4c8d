// The two ways in which a request reaches the homeserver: `fetch`, or the host's own client.

import { Answer, clip, isObject } from './answer'
import { MatrixRequestError } from './errors'

export type Method = 'GET' | 'POST' | 'PUT'

export interface Request {
  method: Method
  /** From `/_matrix` on. */
  path: string
  query?: Record<string, string>
  body?: object
  /** Instead of the token of the options. */
  token?: string
}

/**
 * A host's own client. It sends a request to the homeserver as the user whom `query.user_id` names, and resolves with
 * the JSON of the answer. It rejects if the status is not 2xx, best with an error that has `statusCode` and `body`. A
 * status is also read from `httpStatus`, `status`, `response.statusCode` and `response.status`, a body from `data`,
 * `response.body` and `response.data`, and a wait from `retryAfterMs`.
 *
 * The `doRequest` of `matrix-bot-sdk`'s client does so. Pass it in a function, since it needs its client:
 * `(method, path, query, body) => client.doRequest(method, path, query, body)`.
 *
 * A call that takes longer than `timeout` is left alone, and the request is sent again.
 */
export type HostRequest = (
  method: Method,
  path: string,
  query: Record<string, string>,
  body: object | undefined,
) => Promise<object>

/** Sends one request once. It rejects with a `NoAnswer`, or with the reason of the signal. */
export type Transport = (request: Request, signal: AbortSignal) => Promise<Answer>

/** The connection failed or was cut, or the time was over. The same request may succeed a moment later. */
export class NoAnswer extends MatrixRequestError {}

export function fetchTransport(homeserverUrl: URL, ownToken: string): Transport {
  // A homeserver may have a base path. As a base of `new URL` it would be lost.
  const base = homeserverUrl.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  return async (request, signal) => {
    const { method, path, query = {}, body, token = ownToken } = request
    const search = new URLSearchParams(query).toString()
    try {
      const response = await fetch(`${base}${path}${search && `?${search}`}`, {
        method,
        headers: {
          Authorization: `Bearer ${token}`,
          ...(body && { 'Content-Type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        // A redirected POST becomes a GET, and succeeds without doing anything.
        redirect: 'manual',
        signal,
      })
      // Some proxies repeat the headers of a request in their answer.
      const text = (await response.text()).replaceAll(token, '(the token)')
      const headers = {
        retryAfter: response.headers.get('Retry-After') ?? undefined,
        location: response.headers.get('Location') ?? undefined,
      }
      return new Answer(response.status, parse(text), headers)
    } catch (cause) {
      throw new NoAnswer(request, `no answer: ${reasonOf(cause)}`, { cause })
    }
  }
}

/** The client has its own token and masquerades. A call of it cannot be taken back: it is left alone. */
export function hostTransport(hostRequest: HostRequest): Transport {
  return async (request, signal) => {
    const { method, path, query = {}, body } = request
    try {
      const call = Promise.resolve(hostRequest(method, path, query, body))
      return new Answer(200, await Promise.race([call, rejectionOf(signal)]))
    } catch (cause) {
      const answer = readRejection(cause)
      if (answer) return answer
      const what = `no answer: ${reasonOf(cause)}`
      // What is not a failure of the network is one of the client, and is the same the next time.
      const bare = { cause: withoutDetails(cause) }
      throw signal.aborted || isNetworkError(cause)
        ? new NoAnswer(request, what, bare)
        : new MatrixRequestError(request, what, bare)
    }
  }
}

/** Rejects when the signal aborts, with its reason. */
export function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener(
      'abort',
      () => {
        reject(signal.reason as Error)
      },
      { once: true },
    )
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The answer in what a client rejects with. Clients name its parts differently. */
function readRejection(error: unknown): Answer | undefined {
  if (!isObject(error)) return undefined
  const response = isObject(error.response) ? error.response : {}
  const status = [
    error.statusCode,
    error.httpStatus,
    error.status,
    response.statusCode,
    response.status,
  ].find((status): status is number => typeof status === 'number')
  if (status === undefined) return undefined
  const { errcode, error: message } = error
  const body = [error.body, error.data, response.body, response.data].find((body) => body !== undefined) ?? {
    errcode,
    error: message,
  }
  const wait = error.retryAfterMs
  const retryAfter = typeof wait === 'number' ? String(wait / 1000) : undefined
  return new Answer(status, typeof body === 'string' ? parse(body) : body, { retryAfter })
}

/** An error of a client may have the request in it, with the token. */
function withoutDetails(error: unknown): Error {
  const bare = new Error(reasonOf(error))
  if (isObject(error) && typeof error.stack === 'string') bare.stack = error.stack
  return bare
}

function isNetworkError(error: unknown): boolean {
  const code = isObject(error)
    ? (error.code ?? (isObject(error.cause) ? error.cause.code : undefined))
    : undefined
  return typeof code === 'string' && /^(E[A-Z]|UND_ERR)/.test(code) && !code.startsWith('ERR_')
}

/** The error of `fetch` says only that it failed. Its cause says why. */
function reasonOf(error: unknown): string {
  // In Jest and in other contexts, an error of Node.js is no instance of the `Error` there.
  const cause = isObject(error) && error.cause !== undefined ? error.cause : error
  // An object may have the request in it, with the token.
  const { message, code }: { message?: unknown; code?: unknown } = isObject(cause) ? cause : {}
  // A connection that was refused at several addresses has a code alone.
  const known = [message, code, cause].find((part): part is string => typeof part === 'string' && part !== '')
  return clip(known ?? 'an unknown failure')
}
