'use strict'

// What can be wrong with a ghost: a code for programs, and the way out for people.

const { AS_TOKEN, PASSPHRASE, RECOVERY_SECRET } = require('./environment.js')

/**
 * @typedef {object} Problem
 * @property {string} code
 * @property {string} message
 */

const DOCS = 'https://github.com/rust-crypto-helper/rust-crypto-helper/blob/main/docs'

/** What a homeserver serves of a ghost that is not published yet, or not all of it. */
const UNPUBLISHED = [
  'NO_DEVICE',
  'NO_MASTER_KEY',
  'NO_SELF_SIGNING_KEY',
  'SELF_SIGNING_KEY_NOT_SIGNED',
  'DEVICE_NOT_SIGNED',
  'BAD_SIGNATURE',
  'ID_MISMATCH',
]

const NEW_DEVICE =
  'Clients do not accept these keys under this device ID. Give the ghost a new device ID and a new store.'
const NO_SERVICE = `The homeserver does not know the token. ${AS_TOKEN} must be the as_token of a registration that it has loaded.`

/** @type {Record<string, string>} */
const WAYS_OUT = {
  INVALID_ARGUMENT: 'Correct the line, or give the store with its user_id and device_id.',
  INVALID_USER_ID: 'Give the full user ID, such as @_ghost:example.org.',
  INVALID_DEVICE_ID: 'Give the device ID as the homeserver knows it.',
  INVALID_STORE_PATH: 'Give the folder of the store.',
  ACCOUNT_MISMATCH:
    'The store belongs to another user or device. Look for mixed-up paths, and give each device its own store.',
  STORE_IN_USE:
    'Another program has the store open, usually the bridge itself. Stop it, and run the same command again.',
  STORE_PASSPHRASE:
    `Give the passphrase that the store was made with in ${PASSPHRASE}. If it is the empty string, as with ` +
    'matrix-bot-sdk, give --empty-passphrase. If the store is not encrypted, give neither.',
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
  RECOVERY_KEY_MISMATCH: `${RECOVERY_SECRET} is not the secret that the ghost was published with: ${DOCS}/recovery.md`,
  DEVICE_KEYS_DIFFER: NEW_DEVICE,
  STALE_SIGNATURE: NEW_DEVICE,
  OTHER_IDENTITY: `Somebody else publishes this ghost from another store. Find it: ${DOCS}/lost-store.md`,
  USER_INTERACTIVE_AUTH:
    'The homeserver wants interactive authentication from this application service. The message has the ways out.',
  M_FORBIDDEN:
    'Is the user registered, and in the namespace of the application service? Let the bridge register it, or take it out of ' +
    'the list.',
  M_UNKNOWN_TOKEN: NO_SERVICE,
  M_MISSING_TOKEN: NO_SERVICE,
  M_LIMIT_EXCEEDED: 'Run the same command again later, or with a smaller --concurrency.',
  NO_ANSWER: 'Check that the homeserver runs, and its address, and run the same command again.',
  BAD_ANSWER: 'Check the address of the homeserver, and the proxies in front of it.',
  INTERNAL: 'This is a bug of rust-crypto-helper. Report it with the message.',
}

const BY_HOMESERVER = `The message has what the homeserver said. See ${DOCS}/homeservers.md`
const NOT_SERVED =
  'The homeserver has accepted the keys and does not serve them. Run the same command again. If that does not help: ' +
  `${DOCS}/homeservers.md`

/**
 * What to do about ghosts with this problem that could not be published.
 *
 * @param {string} code
 */
function wayOut(code) {
  return UNPUBLISHED.includes(code) ? NOT_SERVED : (WAYS_OUT[code] ?? BY_HOMESERVER)
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

module.exports = { UNPUBLISHED, problemOf, wayOut }
