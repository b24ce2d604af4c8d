'use strict'

// What can be wrong with a ghost: a code for programs, and the way out for people.

const { AS_TOKEN, PASSPHRASE, RECOVERY_SECRET } = require('./environment.js')

/**
 * @typedef {object} Problem
 * @property {string} code
 * @property {string} message
 *
 * @typedef {import('..').VerificationProblem} VerificationProblem
 * @typedef {import('../dist/publisher').PublicationProblem} PublicationProblem
 * @typedef {import('../dist/publisher').UnansweredDevice['problem']} Unanswered
 */

const DOCS = 'https://github.com/rust-crypto-helper/rust-crypto-helper/blob/main/docs'

const NEW_DEVICE =
  'Clients do not accept these keys under this device ID. Give the ghost a new device ID and a new store. Published with ' +
  `${RECOVERY_SECRET}, it keeps its identity. If it has one, and was published without: ${DOCS}/lost-store.md`
const NO_SERVICE = `The homeserver does not know the token. ${AS_TOKEN} must be the as_token of a registration that it has loaded.`

const NOT_SERVED =
  'The homeserver has accepted the keys and does not serve them. Run the same command again. If that does not help: ' +
  `${DOCS}/homeservers.md`

/**
 * What a homeserver serves of a ghost that is not published, or only in part. `status` advises to publish it. After a
 * publication this is the way out.
 *
 * @type {Record<VerificationProblem, string>}
 */
const UNPUBLISHED = {
  NO_DEVICE: NOT_SERVED,
  NO_MASTER_KEY: NOT_SERVED,
  NO_SELF_SIGNING_KEY: NOT_SERVED,
  ID_MISMATCH: NOT_SERVED,
  SELF_SIGNING_KEY_NOT_SIGNED: NOT_SERVED,
  DEVICE_NOT_SIGNED: NOT_SERVED,
  BAD_SIGNATURE: NOT_SERVED,
}

/**
 * All codes that this package and its publisher declare. A new one does not pass the type check without its way out.
 *
 * @type {Record<import('..').BootstrapErrorCode | PublicationProblem | Unanswered, string>}
 */
const DECLARED = {
  ...UNPUBLISHED,
  INVALID_ARGUMENT: 'Correct the line, or give the store with its user_id and device_id.',
  INVALID_USER_ID: 'Give the full user ID, such as @_ghost:example.org.',
  INVALID_DEVICE_ID: 'Give the device ID as the homeserver knows it.',
  INVALID_STORE_PATH:
    'Give the folder of the store. A ghost that has no store yet, or has lost it, needs its user_id and device_id, too, in a ' +
    'line of --ghosts FILE.',
  ACCOUNT_MISMATCH:
    'The store belongs to another user or device. Look for mixed-up paths, and give each device its own store.',
  STORE_IN_USE:
    'Another program has the store open, usually the bridge itself. Stop it, and run the same command again.',
  STORE_PASSPHRASE:
    `Give the passphrase that the store was made with in ${PASSPHRASE}. If it is the empty string, as with ` +
    'matrix-bot-sdk, give --empty-passphrase. If the store is not encrypted, give neither. A bridge that always gives a ' +
    `passphrase cannot use such a store: ${DOCS}/lost-store.md`,
  STORE_CORRUPT: `Bring the store back from a backup. If there is none: ${DOCS}/lost-store.md`,
  STORE_VERSION:
    'Below schema 9: open the store once with matrix-sdk-crypto-nodejs 0.3 or newer. Above 19: update rust-crypto-helper.',
  STORE_IO: 'Check permissions, free space and read-only mounts, and run the same command again.',
  IDENTITY_INCOMPLETE:
    'The store holds a part of an identity. Bring back a backup of the store, or import the private keys that are missing.',
  IDENTITY_CONFLICT:
    'The homeserver serves an identity that the store does not hold: the store was lost, wiped or mixed up. Bring the right ' +
    `store back: ${DOCS}/lost-store.md. If it is lost, and the ghost was published with ${RECOVERY_SECRET}: give the ghost a ` +
    'new device ID and a new store, and publish with the secret again. It restores the identity.',
  INVALID_RECOVERY_KEY: `Correct ${RECOVERY_SECRET}: ${DOCS}/recovery.md`,
  RECOVERY_KEY_MISMATCH:
    `${RECOVERY_SECRET} is not the secret that the ghost was published with, or its secret storage is damaged or belongs to ` +
    `a client. The message says which, and ${DOCS}/recovery.md what to do.`,
  DEVICE_KEYS_DIFFER: NEW_DEVICE,
  STALE_SIGNATURE: NEW_DEVICE,
  OTHER_IDENTITY: `Somebody else publishes this ghost from another store. Find it: ${DOCS}/lost-store.md`,
  STILL_MISSING: NOT_SERVED,
  NO_ANSWER:
    'Check that the homeserver runs, its address, and the server names of the ghosts, and run the same command again.',
  INTERNAL: 'This is a bug of rust-crypto-helper. Report it with the message.',
}

/** @type {Record<string, string>} */
const WAYS_OUT = {
  ...DECLARED,
  STRAY_CIPHER:
    'publish repairs the store for a bridge that gives no passphrase. Stop the bridge before. A bridge that always gives one, ' +
    `such as those with matrix-bot-sdk, cannot use a store that is not encrypted: ${DOCS}/lost-store.md`,
  USER_INTERACTIVE_AUTH:
    'The homeserver wants interactive authentication from this application service. The message has the ways out.',
  M_FORBIDDEN:
    'Is the user registered, and in the namespace of the application service? Let the bridge register it, or take it out of ' +
    'the list.',
  M_UNKNOWN_TOKEN: NO_SERVICE,
  M_MISSING_TOKEN: NO_SERVICE,
  M_LIMIT_EXCEEDED: 'Run the same command again later, or with a smaller --concurrency.',
  BAD_ANSWER: 'Check the address of the homeserver, and the proxies in front of it.',
}

const BY_HOMESERVER = `The message has what the homeserver said. See ${DOCS}/homeservers.md`
/** @param {string} code */
const isUnpublished = (code) => Object.hasOwn(UNPUBLISHED, code)

/**
 * What to do about ghosts with this problem that could not be published.
 *
 * @param {string} code
 */
function wayOut(code) {
  // The code may be the homeserver's.
  return (Object.hasOwn(WAYS_OUT, code) && WAYS_OUT[code]) || BY_HOMESERVER
}

/**
 * A problem and its way out, in one line.
 *
 * @param {string} code
 * @param {string} message
 */
function withWayOut(code, message) {
  // What a homeserver says is often a sentence.
  return `${message.replace(/\.$/, '')}. ${wayOut(code)}`
}

/**
 * What an error of this package or of its publisher says about a ghost.
 *
 * @param {Error} error
 * @returns {Problem}
 */
function problemOf(error) {
  const code = codeOf(error)
  const prefix = `${code}: `
  const { message } = error
  return { code, message: message.startsWith(prefix) ? message.slice(prefix.length) : message }
}

/**
 * A store that only `inspectStore` can read.
 *
 * @param {string} [storePath]
 * @returns {Problem}
 */
function strayCipher(storePath) {
  const what =
    'is not encrypted, and somebody has opened it with a passphrase. Since then nothing can open it'
  return { code: 'STRAY_CIPHER', message: `the store ${storePath} ${what}` }
}

/** @param {Error & { code?: unknown, problem?: unknown, errcode?: unknown, status?: unknown, path?: unknown }} error */
function codeOf({ name, code, problem, errcode, status, path }) {
  if (typeof problem === 'string') return problem
  if (name === 'UserInteractiveAuthError') return 'USER_INTERACTIVE_AUTH'
  if (typeof path === 'string' && name === 'MatrixRequestError') {
    if (typeof errcode === 'string') return errcode
    if (typeof status !== 'number') return 'NO_ANSWER'
    return status >= 400 ? `HTTP_${status}` : 'BAD_ANSWER'
  }
  return typeof code === 'string' ? code : 'INTERNAL'
}

module.exports = { isUnpublished, problemOf, strayCipher, wayOut, withWayOut }
