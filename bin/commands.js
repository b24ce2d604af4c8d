'use strict'

// The commands. Each loads what it needs when it runs: the help works without the binary.

const { readFileSync } = require('node:fs')
const { text } = require('node:stream/consumers')
const { readPassphrase } = require('./environment.js')
const { inspect } = require('./inspect.js')
const { print } = require('./output.js')
const { publish } = require('./publish.js')
const { status } = require('./status.js')

/** @type {import('./arguments.js').Command} */
const bootstrap = {
  name: 'a bootstrap',
  synopsis: 'rust-crypto-helper <user_id> <device_id> <store_path> [--server-keys FILE] [--empty-passphrase]',
  parameters: ['<user_id>', '<device_id>', '<store_path>'],
  options: ['--server-keys', '--empty-passphrase'],

  async run(values, options) {
    const [userId, deviceId, storePath] = /** @type {[string, string, string]} */ (values)
    const passphrase = readPassphrase(options.has('--empty-passphrase'))
    const file = options.get('--server-keys')
    const serverKeys = file === undefined ? undefined : await readServerKeys(file)
    const { bootstrapCrossSigning } = require('..')
    const result = await bootstrapCrossSigning(userId, deviceId, storePath, { passphrase, serverKeys })
    const advice = 'The store is bootstrapped: run the same command again to get the payloads'
    await print(JSON.stringify(result), advice)
    return 0
  },
}

/** @type {import('./arguments.js').Command} */
const verify = {
  name: 'verify',
  synopsis: 'rust-crypto-helper verify <user_id> <device_id> [--server-keys FILE]',
  parameters: ['<user_id>', '<device_id>'],
  options: ['--server-keys'],

  async run(values, options) {
    const [userId, deviceId] = /** @type {[string, string]} */ (values)
    const serverKeys = await readServerKeys(options.get('--server-keys') ?? '-')
    const { verifyPublished } = require('..')
    const verdict = verifyPublished(userId, deviceId, serverKeys)
    await print(JSON.stringify(verdict))
    return verdict.verified ? 0 : 1
  },
}

/**
 * @param {string} file
 * @returns {Promise<import('..').KeysQueryAnswer>}
 */
async function readServerKeys(file) {
  try {
    return JSON.parse(file === '-' ? await text(process.stdin) : readFileSync(file, 'utf8'))
  } catch (error) {
    // What the parser says quotes the file.
    const reason = error instanceof SyntaxError ? 'it is not JSON' : /** @type {Error} */ (error).message
    throw Object.assign(new Error(`--server-keys ${file}: ${reason}`), { code: 'INVALID_ARGUMENT' })
  }
}

module.exports = {
  bootstrap,
  named: new Map([
    ['verify', verify],
    ['inspect', inspect],
    ['status', status],
    ['publish', publish],
  ]),
}
