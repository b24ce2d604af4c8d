// The two ways in which a request reaches the homeserver: `fetch`, or the host's own client.

import { orAborted } from './abort'
import { Answer, clip } from './answer'
import { MatrixRequestError } from './errors'
import { type Redact, redactAll, redactorOf } from './redaction'
import { answerIn, failureOf, plain } from './rejection'

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
 * `response.body` and `response.data`, an error code from `errcode`, and a wait from `headers`, `response.headers` and
 * `retryAfterMs`. A rejection with neither a status nor an error code is sent again if it is one of the network.
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

/** Sends one request once. It rejects with a `MatrixRequestError`, or with what it likes after the signal has aborted. */
export type Transport = (request: Request, signal: AbortSignal) => Promise<Answer>

/** No answer of a homeserver is longer. An answer without an end must not fill the memory. */
const LONGEST_ANSWER = 64 * 1024 * 1024

export function fetchTransport(homeserverUrl: URL, ownToken: string): Transport {
  // A homeserver may have a base path. As a base of `new URL` it would be lost.
  const base = homeserverUrl.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  const redactOwn = redactorOf(ownToken)
  return async (request, signal) => {
    const { method, path, query = {}, token } = request
    const redactOther = token === undefined ? undefined : redactorOf(token)
    const redact: Redact = (text) => redactOwn(redactOther?.(text) ?? text)
    const fail = (cause: unknown): never => {
      throw failureOf(request, cause, redact)
    }
    const search = new URLSearchParams(query).toString()
    const body = bodyOf(request)
    const response = await fetch(`${base}${path}${search && `?${search}`}`, {
      method,
      headers: {
        Authorization: `Bearer ${token ?? ownToken}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
      // A redirected POST becomes a GET, and succeeds without doing anything.
      redirect: 'manual',
      signal,
    }).catch(fail)
    const { status, headers } = response
    const text = await readText(response).catch(fail)
    if (text === undefined) {
      const what = `${status}, but the answer is longer than ${LONGEST_ANSWER} bytes. This is not an answer of a homeserver: check its address`
      throw new MatrixRequestError(request, what, { status })
    }
    const location = headers.get('Location')
    return new Answer(status, parse(text, redact), {
      retryAfter: headers.get('Retry-After') ?? undefined,
      location: location === null ? undefined : redact(location),
      isSecret: isLogin(request),
    })
  }
}

/** The client has its own token and masquerades. A call of it cannot be taken back: it is left alone. */
export function hostTransport(hostRequest: HostRequest): Transport {
  return async (request, signal) => {
    const { method, path, query = {}, body } = request
    const isSecret = isLogin(request)
    try {
      const call = Promise.resolve(hostRequest(method, path, query, body))
      return new Answer(200, plain(await orAborted(call, signal)), { isSecret })
    } catch (rejection) {
      const answer = signal.aborted ? undefined : answerIn(rejection, { isSecret })
      if (answer) return answer
      throw failureOf(request, rejection)
    }
  }
}

/**
 * A text as one segment of a path. `undefined`: no path can have it. URLs resolve `.` and `..`, escaped or not, and
 * have no bytes for half of a surrogate pair.
 */
export function pathSegment(text: string): string | undefined {
  return /^\.{0,2}$/.test(text) || /\p{Surrogate}/u.test(text) ? undefined : encodeURIComponent(text)
}

/** The answer to a login has a token that nobody knows yet. */
function isLogin({ path }: Request): boolean {
  return path.endsWith('/login')
}

/** @throws {MatrixRequestError} if the body is not JSON, as that of a caller's `auth` may be */
function bodyOf(request: Request): string | undefined {
  try {
    return request.body && JSON.stringify(request.body)
  } catch (error) {
    throw new MatrixRequestError(request, `the body is not JSON: ${clip((error as Error).message)}`, {})
  }
}

/** The text of an answer. `undefined`: it is too long, and the rest was not read. */
async function readText(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > LONGEST_ANSWER) return undefined
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

/** The JSON value in a text, or the text if it is not JSON or nested too deeply. */
function parse(text: string, redact: Redact): unknown {
  try {
    return redactAll(JSON.parse(text), redact)
  } catch {
    return redact(text)
  }
}
