'use strict'

// What `status` and `publish` have in common: where the ghosts are, the homeserver, and Ctrl-C.

const { UsageError } = require('./arguments.js')
const {
  AS_TOKEN,
  RECOVERY_SECRET,
  readPassphrase,
  readRecoverySecret,
  readToken,
} = require('./environment.js')

/**
 * @typedef {object} Run
 * @property {import('../dist/publisher').CrossSigningPublisher} publisher
 * @property {string} homeserver
 * @property {string | undefined} file
 * @property {string[]} storePaths
 * @property {string | undefined} passphrase
 * @property {boolean} restores whether identities are kept in the secret storage, and brought back from it
 * @property {boolean} json
 */

/**
 * @param {string[]} storePaths
 * @param {Map<string, string>} options
 * @returns {Run}
 */
function readRun(storePaths, options) {
  const homeserver = options.get('--homeserver')
  const file = options.get('--ghosts')
  if (homeserver === undefined) throw new UsageError('--homeserver is missing')
  if (file === undefined && storePaths.length === 0) {
    throw new UsageError('give the ghosts: --ghosts FILE, or the paths of their stores')
  }
  const recoverySecret = readRecoverySecret()
  return {
    publisher: makePublisher(homeserver, readToken(), recoverySecret),
    homeserver,
    file,
    storePaths,
    passphrase: readPassphrase(options.has('--empty-passphrase')),
    restores: recoverySecret !== undefined,
    json: options.has('--json'),
  }
}

/**
 * @param {string} homeserverUrl
 * @param {string} asToken
 * @param {string | undefined} recoverySecret
 */
function makePublisher(homeserverUrl, asToken, recoverySecret) {
  const { CrossSigningPublisher } = require('../dist/publisher')
  try {
    return new CrossSigningPublisher({
      homeserverUrl,
      asToken,
      ...(recoverySecret !== undefined && { recoverySecret }),
    })
  } catch (error) {
    const { message } = /** @type {Error} */ (error)
    throw new UsageError(
      message
        .replace('homeserverUrl', '--homeserver')
        .replace('asToken', AS_TOKEN)
        .replace('recoverySecret', RECOVERY_SECRET),
    )
  }
}

/**
 * Calls a function at the first Ctrl-C. The second one ends the process at once: stores are whole at every
 * moment.
 *
 * @param {() => void} first
 * @param {() => void} second what is left to do before the process ends
 * @returns {() => void} stops listening
 */
function onInterrupt(first, second) {
  let count = 0
  const listener = () => {
    if (++count === 1) return first()
    second()
    process.exit(INTERRUPTED)
  }
  process.on('SIGINT', listener)
  return () => process.off('SIGINT', listener)
}

/** What shells report of a process that Ctrl-C has ended. */
const INTERRUPTED = 130

/**
 * Ends quietly when the signal aborts.
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} work rejects with the reason of the signal when it aborts
 */
async function untilAborted(signal, work) {
  try {
    await work()
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error
  }
}

/**
 * A command line that can be copied, for the same ghosts on the same homeserver.
 *
 * @param {string} command
 * @param {Pick<Run, 'homeserver' | 'storePaths'>} run
 * @param {string | undefined} file
 */
function commandLine(command, { homeserver, storePaths }, file) {
  const ghosts = file === undefined ? [] : ['--ghosts', quote(file)]
  const stores = storePaths.length > MOST_PATHS ? ['<store_path>...'] : storePaths.map(quote)
  return ['rust-crypto-helper', command, '--homeserver', quote(homeserver), ...ghosts, ...stores].join(' ')
}

const MOST_PATHS = 3

/** @param {string} word */
const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

module.exports = { INTERRUPTED, commandLine, onInterrupt, readRun, untilAborted }
