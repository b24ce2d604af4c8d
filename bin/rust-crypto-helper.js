#!/usr/bin/env node
'use strict'

const { parseArgs } = require('node:util')
const { version } = require('../package.json')

const USAGE = 'usage: rust-crypto-helper <user_id> <device_id> <store_path>'

const HELP = `${USAGE}

Gives a Matrix user a cross-signing identity and prints what to upload, as one
line of JSON: upload_device_keys (if the server does not have them yet),
upload_keys and upload_signatures.

  -h, --help     print this
  --version      print the version

RUST_CRYPTO_HELPER_PASSPHRASE in the environment is the store's passphrase; unset
or empty, the store is not encrypted.

Exit code: 0 done; 1 failed, with "CODE: message" on standard error; 2 wrong usage.`

const options = { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' } }

function readCommandLine() {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch {
    return { values: {}, positionals: [] }
  }
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
  const [userId, deviceId, storePath] = positionals
  // Empty is how shells and container files write "none".
  const passphrase = process.env.RUST_CRYPTO_HELPER_PASSPHRASE || undefined
  try {
    const { bootstrapCrossSigning } = require('..')
    console.log(JSON.stringify(await bootstrapCrossSigning(userId, deviceId, storePath, { passphrase })))
  } catch (error) {
    console.error(`${error.code ?? 'INTERNAL'}: ${error.message}`)
    process.exitCode = 1
  }
}

void main()
