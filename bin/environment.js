'use strict'

// What comes from the environment, because the arguments of a process are no secret.

const { UsageError } = require('./arguments.js')

const PASSPHRASE = 'RUST_CRYPTO_HELPER_PASSPHRASE'
const AS_TOKEN = 'RUST_CRYPTO_HELPER_AS_TOKEN'
const RECOVERY_SECRET = 'RUST_CRYPTO_HELPER_RECOVERY_SECRET'

// Shells and container files write "none" as an empty value.
/** @param {string} name */
const read = (name) => process.env[name] || undefined

/**
 * The passphrase of the stores. Undefined: they are not encrypted.
 *
 * @param {boolean} empty whether it is the empty string
 */
function readPassphrase(empty) {
  const passphrase = read(PASSPHRASE)
  if (empty && passphrase)
    throw new UsageError(`--empty-passphrase contradicts ${PASSPHRASE}, which is not empty`)
  return empty ? '' : passphrase
}

function readToken() {
  const token = read(AS_TOKEN)
  if (token === undefined) {
    throw new UsageError(`${AS_TOKEN} is not set. It is the as_token in the registration of the bridge`)
  }
  return token
}

const readRecoverySecret = () => read(RECOVERY_SECRET)

module.exports = { AS_TOKEN, PASSPHRASE, RECOVERY_SECRET, readPassphrase, readRecoverySecret, readToken }
