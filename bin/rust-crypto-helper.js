#!/usr/bin/env node
'use strict'

const { UsageError, readCommandLine } = require('./arguments.js')
const { bootstrap, named } = require('./commands.js')
const { complain, print } = require('./output.js')
const { version } = require('../package.json')

const SYNOPSES = [bootstrap, ...named.values()].map(({ synopsis }) => synopsis)
const USAGE = `usage: ${SYNOPSES.join('\n       ')}`

const HELP = `${USAGE}

Gives a Matrix user a cross-signing identity and prints what to upload, as one
line of JSON: upload_device_keys (if the server does not have them yet),
upload_keys and upload_signatures.

verify prints, as one line of JSON, whether the device is signed by its owner by
what the homeserver serves, as other users' clients see it; it needs no store.

inspect prints what stores hold, one line of JSON for each. It changes nothing.

status tells of many ghosts what the homeserver serves, what their stores hold,
what is wrong and what mends it. It changes nothing, and may run beside the bridge.

publish gives many ghosts an identity and publishes it. It goes on where an earlier
run stopped, and never replaces an identity. Stop the bridge before.

  --server-keys FILE  what POST /_matrix/client/v3/keys/query answers for the
                      user; - is standard input, which verify reads by default.
                      With it, an identity that the homeserver has is not
                      replaced by another, and "missing" says what to upload
  --empty-passphrase  the store's passphrase is "", as matrix-bot-sdk has it
  --homeserver URL    the homeserver, such as http://localhost:8008
  --ghosts FILE       the ghosts, as JSON Lines: objects with user_id, device_id and
                      store_path, or with store_path alone if the store exists;
                      - is standard input
  --json              print one line of JSON for each ghost
  --concurrency N     how many ghosts are at work at the same time (32)
  --dry-run           say what publish would do, and change nothing
  --failed FILE       write the ghosts that are not published to FILE, for --ghosts
  -h, --help          print this
  --version           print the version

Options may stand before, between and after the arguments. Every other word is
an argument by its position, whatever it begins with: a device ID such as
-fmeqAf3 needs nothing special. After -- every word is an argument, even one
that has the name of an option.

RUST_CRYPTO_HELPER_PASSPHRASE in the environment is the store's passphrase. If it
is unset or empty, the store is not encrypted, unless --empty-passphrase says so.
RUST_CRYPTO_HELPER_AS_TOKEN is the as_token of the application service, for status
and publish. With RUST_CRYPTO_HELPER_RECOVERY_SECRET, publish keeps each identity
in the secret storage of its user, and brings it back if the store was lost.

Exit code: 0 done, or verified; 1 not verified, or failed, with "CODE: message" on
standard error; 2 wrong usage; 130 stopped by Ctrl-C. Output that cannot be written
is a failure (OUTPUT): the store is bootstrapped all the same, and the same command
prints the payloads again.`

/** @param {string[]} args */
async function main(args) {
  const { information, command, values, options } = readCommandLine(args, named, bootstrap)
  if (information === undefined) return command.run(values, options)
  await print(information === '--version' ? version : HELP)
  return 0
}

/** @param {Error & { code?: string }} error */
async function explain(error) {
  if (error instanceof UsageError) {
    await complain(`rust-crypto-helper: ${error.message}`, `${USAGE}\n`)
    return 2
  }
  await complain(`${error.code ?? 'INTERNAL'}: ${error.message}`)
  return 1
}

void main(process.argv.slice(2))
  .catch(explain)
  .then((code) => (process.exitCode = code))
