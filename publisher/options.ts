// The options of a publisher, checked once.

import { deriveRecoveryKey } from 'rust-crypto-helper'
import { clip } from './answer'
import { Client } from './client'
import { Homeserver, type Sender } from './homeserver'
import type { OnUserInteractiveAuth } from './interactive-auth'
import type { RecoverySecret } from './publication'
import { fetchTransport, type HostRequest, hostTransport, type Transport } from './transport'

/** Settings of every publisher. An option that is `undefined` counts as absent. */
export interface CommonOptions {
  /**
   * Keeps each user's identity in its secret storage, encrypted with the user's recovery key, which
   * `deriveRecoveryKey` makes from this secret: at least 32 bytes that nobody can guess, such as the output of
   * `openssl rand -base64 32`. The same secret serves all users. Whoever has it and can read the account data
   * has all identities.
   */
  recoverySecret?: string | Uint8Array | undefined
  /**
   * Does the interactive authentication that a homeserver may want before it takes an identity. A dummy
   * stage is completed without it.
   */
  onUserInteractiveAuth?: OnUserInteractiveAuth | undefined
  /**
   * How long one request may take, in milliseconds.
   *
   * @default 30000
   */
  timeout?: number | undefined
  /**
   * How often a request is sent again after 429, 502, 503, 504, a failure of the network or a timeout. A wrong
   * certificate, a blocked port or an answer that is not HTTP stays as it is, and is not tried again. Each wait is
   * as long as the homeserver says, and at most 30 seconds.
   *
   * @default 5
   */
  maxRetries?: number | undefined
}

/** An application service: it publishes any of its users. */
export interface ApplicationServiceOptions extends CommonOptions {
  /** The homeserver's base URL, such as `http://localhost:8008`. It may have a path. */
  homeserverUrl: string
  /** The application service's token, `as_token` in its registration. */
  asToken: string
}

/** A bot: it publishes itself, on the device of its access token. */
export interface BotOptions extends CommonOptions {
  /** The homeserver's base URL, such as `http://localhost:8008`. It may have a path. */
  homeserverUrl: string
  /** The bot's own access token. */
  accessToken: string
}

/** A host with a client of its own, which sends the requests. */
export interface HostOptions extends CommonOptions {
  /** Sends a request as the user whom `query.user_id` names. */
  request: HostRequest
}

export type PublisherOptions = ApplicationServiceOptions | BotOptions | HostOptions

const LONGEST_TIMEOUT = 2_147_483_647
const OPTIONS = [
  'homeserverUrl',
  'asToken',
  'accessToken',
  'request',
  'recoverySecret',
  'onUserInteractiveAuth',
  'timeout',
  'maxRetries',
]
const TRANSPORTS = ['asToken', 'accessToken', 'request'] as const

/** @throws {TypeError} if an option is missing, has the wrong type or contradicts another */
export function connect(options: PublisherOptions): Homeserver {
  const given: Partial<Record<string, unknown>> = { ...options }
  const unknown = Object.keys(given).find((name) => !OPTIONS.includes(name))
  if (unknown !== undefined) {
    throw new TypeError(`there is no option ${clip(unknown)}. The options are: ${OPTIONS.join(', ')}`)
  }
  const { onUserInteractiveAuth, timeout = 30_000, maxRetries = 5 } = options
  if (onUserInteractiveAuth !== undefined && typeof onUserInteractiveAuth !== 'function') {
    throw new TypeError('onUserInteractiveAuth must be a function')
  }
  checkNumber('timeout', timeout, 1)
  checkNumber('maxRetries', maxRetries, 0)

  const names = TRANSPORTS.filter((name) => given[name] !== undefined)
  const [name] = names
  if (names.length !== 1 || name === undefined) {
    throw new TypeError(
      `give the publisher one of ${TRANSPORTS.join(', ')}, and not ${names.join(' and ') || 'none'}`,
    )
  }
  const [sender, transport] = readTransport(name, given)
  return new Homeserver(new Client(transport, { timeout, maxRetries }), sender, onUserInteractiveAuth)
}

function readTransport(
  name: (typeof TRANSPORTS)[number],
  { [name]: value, homeserverUrl }: Partial<Record<string, unknown>>,
): [Sender, Transport] {
  if (name === 'request') {
    if (typeof value !== 'function') throw new TypeError('request must be a function')
    if (homeserverUrl !== undefined)
      throw new TypeError('give the publisher request or homeserverUrl, not both')
    return ['host', hostTransport(value as HostRequest)]
  }
  // What is not visible ASCII cannot be in a header. The error must not quote the token.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new TypeError(`${name} must be a string of visible ASCII characters`)
  }
  return [name === 'asToken' ? 'application-service' : 'bot', fetchTransport(readUrl(homeserverUrl), value)]
}

/** @throws {TypeError} if the secret cannot make keys */
export function readRecoverySecret({ recoverySecret }: CommonOptions): RecoverySecret {
  if (recoverySecret === undefined) return undefined
  try {
    deriveRecoveryKey(recoverySecret, '@user:example.org')
  } catch (error) {
    throw new TypeError(`recoverySecret: ${(error as Error).message}`, { cause: error })
  }
  // The caller may wipe its own.
  return typeof recoverySecret === 'string' ? recoverySecret : Uint8Array.from(recoverySecret)
}

function readUrl(homeserverUrl: unknown): URL {
  const url =
    typeof homeserverUrl === 'string' && URL.canParse(homeserverUrl) ? new URL(homeserverUrl) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password) {
    throw new TypeError(
      'homeserverUrl must be an http or https URL without user name and password, such as http://localhost:8008',
    )
  }
  return url
}

function checkNumber(name: string, value: unknown, least: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= LONGEST_TIMEOUT) return
  throw new TypeError(`${name} must be a whole number from ${least} to ${LONGEST_TIMEOUT}`)
}
