'use strict'

// What the other scripts install, each in a folder that git ignores, and only if it is not there.

const { spawnSync } = require('node:child_process')
const { existsSync, readFileSync, rmSync, statSync, writeFileSync } = require('node:fs')
const { join, relative } = require('node:path')

const root = join(__dirname, '..')

/**
 * Installs what a folder's lock file says, unless that is there. Returns whether it is.
 *
 * @param {string} folder
 * @param {string} what
 * @param {...string} options
 */
function install(folder, what, ...options) {
  const lock = join(root, folder, 'package-lock.json')
  const installed = join(root, folder, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return true
  console.log(`Installing ${what} from npm ...`)
  const args = ['ci', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel', 'error', ...options]
  return (
    spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' }).status === 0
  )
}

/** What the tests talk to and run beside: another client, and a newer Node.js with an SQLite of its own. */
function installPeers() {
  return install('__test__/e2e', 'matrix-js-sdk, and a Node.js that it runs on')
}

/** The hosts. Scripts of theirs would download binaries, and the tests have a binary of their own. */
function installHosts() {
  return install('__test__/hosts', 'the hosts of docs/hosts', '--ignore-scripts')
}

/**
 * Makes a Python with packages from PyPI, unless it is there with just these. Returns whether it is.
 *
 * @param {string} python
 * @param {string} venv
 * @param {string} packages As in a requirements file.
 * @param {string[]} pipArguments
 */
function installPython(python, venv, packages, pipArguments = packages.split('\n')) {
  const marker = join(venv, 'installed.txt')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === packages) return true
  console.log(`Installing from PyPI into ${relative(root, venv)} ...`)
  rmSync(venv, { recursive: true, force: true })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...pipArguments]
  /**
   * @param {string} command
   * @param {string[]} args
   */
  const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0
  if (!run(python, ['-m', 'venv', venv]) || !run(join(venv, 'bin', 'python'), pip)) return false
  writeFileSync(marker, packages)
  return true
}

module.exports = { install, installHosts, installPeers, installPython }
