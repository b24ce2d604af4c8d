// What `fetch` and a host's client reject with. It may be anything: getters and proxies that throw, and objects that
// have the request in them, with the token.

import { Answer, type AnswerDetails, clip, isObject, withoutTokens } from './answer'
import { MatrixRequestError, NoAnswer } from './errors'
import type { Redact } from './redaction'

/**
 * The failures that may pass: the connection was refused or cut, the network or the time was out, or a name is not
 * known, as that of a container that has not started yet. Certificates, blocked ports, wrong URLs and answers that
 * are not HTTP are the same the next time.
 */
const NETWORK_FAILURES =
  /^(ECONN[A-Z]+|E(SOCKET)?TIMEDOUT|EPIPE|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|EAI_AGAIN|ENOTFOUND|ERR_STREAM_PREMATURE_CLOSE|UND_ERR_(SOCKET|CLOSED|DESTROYED|(CONNECT|HEADERS|BODY)_TIMEOUT))$/

/** The statuses of errors whose status the client does not tell. */
const STATUSES: Partial<Record<string, number>> = {
  M_LIMIT_EXCEEDED: 429,
  M_UNKNOWN_TOKEN: 401,
  M_MISSING_TOKEN: 401,
  M_FORBIDDEN: 403,
  M_NOT_FOUND: 404,
  M_UNRECOGNIZED: 404,
}
const OTHER_STATUS = 400

/** Nobody has more causes. A chain may be a circle. */
const MOST_CAUSES = 10

/** The error of a request that has no answer. */
export function failureOf(
  request: { method: string; path: string },
  rejection: unknown,
  redact: Redact = (text) => text,
): MatrixRequestError {
  const chain = causesOf(rejection)
  const reason = clip(redact(reasonOf(chain)))
  const cause = new Error(reason)
  const code = chain.map((link) => part(link, 'code')).find(isText)
  if (code !== undefined) Object.assign(cause, { code: clip(redact(code)) })
  const stack = part(rejection, 'stack')
  if (typeof stack === 'string') cause.stack = withoutTokens(redact(stack))
  const Failure = chain.some(isNetworkFailure) ? NoAnswer : MatrixRequestError
  return new Failure(request, `no answer: ${reason}`, { cause })
}

/**
 * The answer in what a client rejects with, if there is one: it has a status that is an error, or a Matrix error
 * code. Clients name the parts differently.
 */
export function answerIn(rejection: unknown, details: AnswerDetails): Answer | undefined {
  const response = part(rejection, 'response')
  const body = [
    part(rejection, 'body'),
    part(rejection, 'data'),
    part(response, 'body'),
    part(response, 'data'),
  ].find((body) => body !== undefined)
  const said = typeof body === 'string' ? parse(body) : plain(body)
  const [errcode, error] = ['errcode', 'error'].map((name) =>
    [said, rejection].map((from) => part(from, name)).find(isText),
  )
  const status = statusOf(rejection, response, errcode)
  if (status === undefined) return undefined
  const retryAfter = [rejection, response].map(retryAfterOf).find((value) => value !== undefined)
  const isWhole = errcode === undefined && said !== undefined
  const whole = isWhole ? said : { ...(isObject(said) && said), errcode, error }
  return new Answer(status, whole, { ...details, retryAfter })
}

/** A value as JSON. A client may give what is not JSON, or changes later. */
export function plain(value: unknown): unknown {
  try {
    const text: unknown = JSON.stringify(value)
    return typeof text === 'string' ? (JSON.parse(text) as unknown) : undefined
  } catch {
    return undefined
  }
}

/** The JSON value in a text, or the text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function statusOf(rejection: unknown, response: unknown, errcode: string | undefined): number | undefined {
  const statuses = [
    part(rejection, 'statusCode'),
    part(rejection, 'httpStatus'),
    part(rejection, 'status'),
    part(response, 'statusCode'),
    part(response, 'status'),
  ].map((status) => (isText(status) && /^\d{3}$/.test(status) ? Number(status) : status))
  const within = (least: number) =>
    statuses.find(
      (status): status is number =>
        Number.isInteger(status) && Number(status) >= least && Number(status) < 600,
    )
  const refusal = within(300)
  if (refusal !== undefined || errcode === undefined) return refusal
  return within(200) ?? STATUSES[errcode] ?? OTHER_STATUS
}

/** The wait that an error or its response names. */
function retryAfterOf(from: unknown): string | undefined {
  const headers = part(from, 'headers')
  const value = header(headers, 'retry-after')
  if (typeof value === 'number' || typeof value === 'string') return String(value)
  const wait = part(from, 'retryAfterMs')
  return typeof wait === 'number' ? String(wait / 1000) : undefined
}

function header(headers: unknown, name: string): unknown {
  try {
    if (!isObject(headers)) return undefined
    if (typeof headers.get === 'function') return (headers as unknown as Headers).get(name)
    const value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1]
    return Array.isArray(value) ? (value[0] as unknown) : value
  } catch {
    return undefined
  }
}

function causesOf(rejection: unknown): unknown[] {
  const chain = [rejection]
  for (let cause = rejection; chain.length < MOST_CAUSES; chain.push(cause)) {
    cause = part(cause, 'cause')
    if (cause === undefined || cause === null) break
  }
  return chain
}

function isNetworkFailure(error: unknown): boolean {
  const code = part(error, 'code')
  return (isText(code) && NETWORK_FAILURES.test(code)) || part(error, 'name') === 'TimeoutError'
}

/** The error of `fetch` says only that it failed. The last of its causes says why. */
function reasonOf(chain: unknown[]): string {
  // A connection that was refused at several addresses has a code alone.
  const known = chain.toReversed().flatMap((link) => [part(link, 'message'), part(link, 'code'), link])
  return known.find(isText) ?? 'an unknown failure'
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** A property of what may be anything. Getters may throw, and proxies do when they are revoked. */
function part(of: unknown, name: string): unknown {
  try {
    return isObject(of) ? of[name] : undefined
  } catch {
    return undefined
  }
}
