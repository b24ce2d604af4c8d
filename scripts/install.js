'use strict'

const { spawnSync } = require('node:child_process')
const { existsSync, statSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '..')

/** Installs what a folder's lock file says, unless that is there. Returns whether it is. */
function install(folder, what) {
  const [lock, installed] = ['package-lock.json', 'node_modules/.package-lock.json'].map((file) =>
    join(root, folder, file),
  )
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return true
  console.log(`Installing ${what} from npm ...`)
  const args = ['ci', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel', 'error']
  return (
    spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' }).status === 0
  )
}

/** What the tests talk to and run beside: another client, and a newer Node.js with an SQLite of its own. */
function installPeers() {
  return install('__test__/e2e', 'matrix-js-sdk, and a Node.js that it runs on')
}

module.exports = { install, installPeers }
