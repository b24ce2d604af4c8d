'use strict'

// What `npm start` and `npm test` need on a machine where nothing is installed or built. When all
// is there already it takes seconds: npm and cargo know themselves what is up to date.

const { spawnSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { install, installPeers } = require('./install.js')

const root = join(__dirname, '..')

function run(command, ...args) {
  const windows = process.platform === 'win32'
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: windows })
  if (error) console.error(`cannot run ${command}: ${error.message}`)
  if (status !== 0) process.exit(status || 1)
}

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
run('npm', 'run', '--silent', 'build')
