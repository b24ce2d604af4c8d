import { types } from 'node:util'
import type { BootstrapWarning, VerificationProblem } from 'rust-crypto-helper'
import { type Answer, clip } from './answer'

/** A request failed: the homeserver refused it, gave no answer, or did not do all of it (`failures`). */
export class MatrixRequestError extends Error {
  override readonly name: string = 'MatrixRequestError'
  readonly method: string
  /** The path of the endpoint, such as `/_matrix/client/v3/keys/query`. */
  readonly path: string
  /** The HTTP status. It is undefined if there was no answer. */
  readonly status: number | undefined
  /** The Matrix error code, such as `M_FORBIDDEN`. It is undefined if the answer had none. */
  readonly errcode: string | undefined

  constructor(
    { method, path }: { method: string; path: string },
    what: string,
    {
      status,
      errcode,
      cause,
    }: { status?: number | undefined; errcode?: string | undefined; cause?: unknown },
  ) {
    super(`${method} ${path}: ${what}`, cause === undefined ? {} : { cause })
    this.method = method
    this.path = path
    this.status = status
    this.errcode = errcode
  }

  /** The error of an answer that refuses. `hint` says what to do. */
  static refused(request: { method: string; path: string }, answer: Answer, hint = ''): MatrixRequestError {
    return new MatrixRequestError(request, `${answer.describe()}${hint && `. ${hint}`}`, answer)
  }
}

/** The connection failed or was cut, or the time was over. The same request may succeed a moment later. */
export class NoAnswer extends MatrixRequestError {}

/** Nobody knows whether the homeserver has done what a request asks for. Callers get the `reason` alone. */
export class UnknownOutcome extends Error {
  readonly reason: unknown

  constructor(reason: unknown) {
    super()
    this.reason = reason
  }
}

/** One way through the interactive authentication: stages to complete, in order. */
export interface UserInteractiveAuthFlow {
  stages: string[]
}

/**
 * The homeserver wants interactive authentication before it takes the identity, and it was not given.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#user-interactive-authentication-api)
 */
export class UserInteractiveAuthError extends MatrixRequestError {
  override readonly name = 'UserInteractiveAuthError'
  /** The ways that the homeserver offers. Empty: it offers none. */
  readonly flows: UserInteractiveAuthFlow[]
  /** A page where a person can approve the upload, if the homeserver names one. */
  readonly url: string | undefined

  constructor(
    request: { method: string; path: string },
    what: string,
    answer: Answer,
    { flows, url }: { flows: UserInteractiveAuthFlow[]; url?: string | undefined },
  ) {
    super(request, what, answer)
    this.flows = flows
    this.url = url
  }
}

/**
 * Why a ghost is not published:
 *
 * - `DEVICE_KEYS_DIFFER`, `STALE_SIGNATURE`: the message has the way out. No keys were uploaded. After a `reset`, the store
 *   holds the new identity all the same.
 * - `OTHER_IDENTITY`: the homeserver serves another identity than the store holds.
 * - `STILL_MISSING`: the homeserver has accepted everything and does not serve all of it.
 * - The others are those of `verifyPublished`.
 */
export type PublicationProblem =
  VerificationProblem | 'DEVICE_KEYS_DIFFER' | 'STALE_SIGNATURE' | 'OTHER_IDENTITY' | 'STILL_MISSING'

/** The homeserver does not serve what the store holds, and no request that is left would change it. */
export class NotPublishedError extends Error {
  override readonly name = 'NotPublishedError'
  /** Why, for a program. */
  readonly problem: PublicationProblem
  /** What is odd about what the homeserver serves, as in the result of `bootstrapCrossSigning`. */
  readonly warnings: BootstrapWarning[]

  constructor(problem: PublicationProblem, what: string, warnings: BootstrapWarning[]) {
    super(`${problem}: ${what}`)
    this.problem = problem
    this.warnings = warnings
  }
}

/** What was thrown, as an error. A caller's function may throw anything. */
export function asError(thrown: unknown): Error {
  // An error of another context, such as Jest's, is no instance of the `Error` here.
  if (!types.isProxy(thrown) && (thrown instanceof Error || types.isNativeError(thrown))) return thrown
  const what = typeof thrown === 'string' ? `: ${clip(thrown)}` : ''
  return new Error(`a function of the caller threw what is no error${what}`, { cause: thrown })
}
