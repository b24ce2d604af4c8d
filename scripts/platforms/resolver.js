'use strict'

// Jest resolves modules by an addon. npm installs only the one for this system.

const { execFileSync } = require('node:child_process')
const { existsSync, mkdirSync } = require('node:fs')
const { join } = require('node:path')
const { folder } = require('./places.js')

const { version } = require(join(require.resolve('unrs-resolver'), '..', 'package.json'))

/**
 * Installs the addon for a platform from npm, unless it is there.
 *
 * @param {import('./platforms.js').Platform} platform
 * @returns {string} Its path.
 */
function installResolver({ name }) {
  const place = join(folder, 'resolver', `${name}-${version}`)
  const addon = join(place, 'package', `resolver.${name}.node`)
  if (!existsSync(addon)) {
    mkdirSync(place, { recursive: true })
    const packed = execFileSync('npm', ['pack', '--silent', `@unrs/resolver-binding-${name}@${version}`], {
      cwd: place,
      encoding: 'utf8',
    })
    execFileSync('tar', ['--extract', '--gzip', '--file', packed.trim()], { cwd: place })
  }
  return addon
}

module.exports = { installResolver }
