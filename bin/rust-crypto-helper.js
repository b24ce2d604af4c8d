#!/usr/bin/env node
'use strict'

const { readFileSync } = require('node:fs')
const { text } = require('node:stream/consumers')
const { parseArgs } = require('node:util')
const { version } = require('../package.json')

const USAGE = `usage: rust-crypto-helper <user_id> <device_id> <store_path> [--server-keys FILE]
       rust-crypto-helper verify <user_id> <device_id> [--server-keys FILE]`

const HELP = `${USAGE}

Gives a Matrix user a cross-signing identity and prints what to upload, as one
line of JSON: upload_device_keys (if the server does not have them yet),
upload_keys and upload_signatures.

verify prints, as one line of JSON, whether the device is signed by its owner by
what the homeserver serves, as other users' clients see it; it needs no store.

  --server-keys FILE  what POST /_matrix/client/v3/keys/query answers for the
                      user; - is standard input, which verify reads by default.
                      With it, an identity that the homeserver has is not
                      replaced by another, and "missing" says what to upload
  -h, --help          print this
  --version           print the version

RUST_CRYPTO_HELPER_PASSPHRASE in the environment is the store's passphrase; unset
or empty, the store is not encrypted.

Exit code: 0 done, or verified; 1 not verified, or failed, with "CODE: message" on
standard error; 2 wrong usage.`

const COMMAND_LINE = /** @type {const} */ ({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean' },
    'server-keys': { type: 'string' },
  },
})

/** @returns {Pick<ReturnType<typeof parseArgs<typeof COMMAND_LINE>>, 'values' | 'positionals'>} */
function readCommandLine() {
  try {
    return parseArgs(COMMAND_LINE)
  } catch {
    return { values: {}, positionals: [] }
  }
}

/**
 * @param {string} file
 * @returns {Promise<import('..').KeysQueryAnswer>}
 */
async function readServerKeys(file) {
  try {
    return JSON.parse(file === '-' ? await text(process.stdin) : readFileSync(file, 'utf8'))
  } catch (error) {
    // What the parser says quotes the file, line breaks and all.
    const reason = error instanceof SyntaxError ? 'it is not JSON' : /** @type {Error} */ (error).message
    throw Object.assign(new Error(`--server-keys ${file}: ${reason}`), { code: 'INVALID_ARGUMENT' })
  }
}

/**
 * @param {string} userId
 * @param {string} deviceId
 * @param {string} [file]
 */
async function verify(userId, deviceId, file = '-') {
  const { verifyPublished } = require('..')
  const verdict = verifyPublished(userId, deviceId, await readServerKeys(file))
  if (!verdict.verified) process.exitCode = 1
  return verdict
}

/**
 * @param {string} userId
 * @param {string} deviceId
 * @param {string} storePath
 * @param {string} [file]
 */
async function bootstrap(userId, deviceId, storePath, file) {
  const { bootstrapCrossSigning } = require('..')
  // Empty is how shells and container files write "none".
  const passphrase = process.env.RUST_CRYPTO_HELPER_PASSPHRASE || undefined
  const serverKeys = file === undefined ? undefined : await readServerKeys(file)
  return bootstrapCrossSigning(userId, deviceId, storePath, { passphrase, serverKeys })
}

async function main() {
  const { values, positionals } = readCommandLine()
  if (values.help) return console.log(HELP)
  if (values.version) return console.log(version)
  if (positionals.length !== 3) {
    console.error(USAGE)
    process.exitCode = 2
    return
  }
  const [first, second, third] = /** @type {[string, string, string]} */ (positionals)
  const file = values['server-keys']
  try {
    // No user ID is called that.
    const result = first === 'verify' ? verify(second, third, file) : bootstrap(first, second, third, file)
    console.log(JSON.stringify(await result))
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: string }} */ (error)
    console.error(`${code ?? 'INTERNAL'}: ${message}`)
    process.exitCode = 1
  }
}

void main()
