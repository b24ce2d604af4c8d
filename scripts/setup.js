'use strict'

// What `npm start` and `npm test` need on a machine where nothing is installed or built. When all
// is there already it takes seconds: npm and cargo know themselves what is up to date.

const { spawnSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { install, installPeers } = require('./install.js')

const root = join(__dirname, '..')

/**
 * @param {string} folder
 * @param {string} command
 * @param {...string} args
 */
function run(folder, command, ...args) {
  const cwd = join(root, folder)
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (error) console.error(`cannot run ${command}: ${error.message}`)
  if (status !== 0) process.exit(status || 1)
}

/** @param {string} command */
function has(command) {
  return spawnSync(command, ['--version'], { shell: process.platform === 'win32' }).status === 0
}

if (!install('.', 'the development packages')) process.exit(1)
if (process.argv.includes('--tests') && !installPeers()) process.exit(1)

if (!has('cargo')) {
  console.error('Building needs Rust 1.93 or newer: see https://rustup.rs, then run this again.')
  process.exit(1)
}
if (!existsSync(join(root, 'target', 'release'))) {
  console.log('Building the addon with all that it is made of: the first time takes about five minutes ...')
}
run('.', 'npm', 'run', '--silent', 'build')
// The tests' host. Its folder has settings of its own for cargo.
if (process.argv.includes('--tests')) run('__test__/host-machine', 'cargo', 'build', '--locked')
