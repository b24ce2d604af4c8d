'use strict'

const { execFileSync } = require('node:child_process')
const { copyFileSync, mkdirSync, rmSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { OLDEST_GLIBC, installZig } = require('../build-portable.js')
const { PATH, inDebian } = require('./debian.js')
const { folder } = require('./places.js')
const manifest = require('../../package.json')

/** The packages with the binaries. Node.js finds them by NODE_PATH. */
const packages = join(folder, 'packages')

/**
 * Builds the binary of a platform as the published one is built, and puts it into a package of its own. The standard
 * library is built with it: Debian has none for musl.
 *
 * @param {import('./platforms.js').Platform} platform
 * @returns {string} The path of the binary.
 */
function build({ name, target }) {
  const commands = installZig()
  const isMusl = target.endsWith('-musl')
  const zigTarget = isMusl ? target : `${target}.${OLDEST_GLIBC}`
  const options = ['--locked', '--release', '--lib', '--target', zigTarget, '-Zbuild-std=std,panic_unwind']
  const env = {
    PATH: `${commands}:${PATH}`,
    CARGO_HOME: join(folder, 'cargo'),
    CARGO_TARGET_DIR: join(folder, 'target'),
    CARGO_ZIGBUILD_CACHE_DIR: join(folder, 'zig'),
    CARGO_ZIGBUILD_ZIG_PATH: findZig(commands),
    RUSTC_BOOTSTRAP: '1',
    ...(isMusl ? { RUSTFLAGS: '-C target-feature=-crt-static' } : {}),
  }
  inDebian(['cargo-zigbuild', 'zigbuild', ...options], env, 'inherit')
  const place = join(packages, `${manifest.name}-${name}`)
  const main = `${manifest.name}.${name}.node`
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'package.json'), JSON.stringify({ version: manifest.version, main }))
  copyFileSync(join(folder, 'target', target, 'release', 'librust_crypto_helper.so'), join(place, main))
  return join(place, main)
}

/** The program itself. The command that pip installs starts a Python that Debian does not have there. */
function findZig(/** @type {string} */ commands) {
  const script = 'import ziglang; print(ziglang.__path__[0], end="")'
  return join(execFileSync(join(commands, 'python'), ['-c', script], { encoding: 'utf8' }), 'zig')
}

module.exports = { build, packages }
