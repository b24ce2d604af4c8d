'use strict'

// The command that tells what stores hold.

const { readPassphrase } = require('./environment.js')
const { print } = require('./output.js')
const { strayCipher, withWayOut } = require('./problems.js')

/** @type {import('./arguments.js').Command} */
const inspect = {
  name: 'inspect',
  synopsis: 'rust-crypto-helper inspect <store_path>... [--empty-passphrase]',
  parameters: ['<store_path>...'],
  options: ['--empty-passphrase'],

  async run(storePaths, options) {
    const passphrase = readPassphrase(options.has('--empty-passphrase'))
    // They run side by side, and are printed in the order in which they were given.
    const lines = storePaths.map((storePath) => look(storePath, passphrase))
    let code = 0
    for (const line of lines) {
      const result = await line
      if ('error' in result) code = 1
      await print(JSON.stringify(result))
    }
    return code
  },
}

/**
 * @param {string} storePath
 * @param {string | undefined} passphrase
 */
async function look(storePath, passphrase) {
  const { inspectStore } = require('..')
  try {
    const info = await inspectStore(storePath, { passphrase })
    if (!info.stray_cipher) return { store_path: storePath, ...info }
    const { code, message } = strayCipher(storePath)
    return { store_path: storePath, ...info, error: { code, message: withWayOut(code, message) } }
  } catch (error) {
    const { code, message } = /** @type {import('..').BootstrapError} */ (error)
    return { store_path: storePath, error: { code, message } }
  }
}

module.exports = { inspect }
