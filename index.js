'use strict'

// What users load: the binary of this platform, and of it what is public.

const { platform, arch } = process

/** The binaries that may fit, by the end of their names. With musl, the one for glibc does not load. */
const SUFFIXES = { linux: ['-gnu', '-musl'], win32: ['-msvc'] }[/** @type {string} */ (platform)] ?? ['']

/** @returns {import('./index')} */
function load() {
  /** @type {string[]} */
  const refusals = []
  for (const suffix of SUFFIXES) {
    const target = `${platform}-${arch}${suffix}`
    // Beside this file after a build from source, otherwise in a package of its own.
    for (const name of [`./rust-crypto-helper.${target}.node`, `rust-crypto-helper-${target}`]) {
      try {
        return require(name)
      } catch (error) {
        const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
        if (code !== 'MODULE_NOT_FOUND') refusals.push(message.split('\n', 1)[0]?.replace(/\.$/, '') ?? '')
      }
    }
  }
  throw new Error(explain(refusals))
}

/** @param {string[]} refusals */
function explain(refusals) {
  const { homepage } = require('./package.json')
  const host = `${platform}-${arch}${libc()} (Node.js ${process.versions.node})`
  if (refusals.length > 0) {
    return (
      `rust-crypto-helper cannot load its binary for ${host}: ${refusals.join('; ')}. Install it again on this machine, ` +
      `and let Node.js read its files and load addons. Or build it from source: ${homepage}`
    )
  }
  return (
    `rust-crypto-helper found no binary for ${host}. There are binaries for Linux (glibc and musl), macOS and ` +
    `Windows, x64 and arm64 each. If this is one of them, install again on this machine, without --omit=optional ` +
    `and without node_modules from another platform. If not, build it from source: ${homepage}`
  )
}

function libc() {
  const { report } = process
  if (platform !== 'linux' || !report) return ''
  const { excludeNetwork } = /** @type {{ excludeNetwork?: boolean }} */ (report)
  // Otherwise the report looks up the names of all open connections.
  Object.assign(report, { excludeNetwork: true })
  const { header } = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (report.getReport())
  Object.assign(report, { excludeNetwork })
  return header.glibcVersionRuntime ? ` with glibc ${header.glibcVersionRuntime}` : ' with musl'
}

const binding = load()

exports.bootstrapCrossSigning = binding.bootstrapCrossSigning
exports.inspectStore = binding.inspectStore
exports.verifyPublished = binding.verifyPublished
exports.createRecoveryKey = binding.createRecoveryKey
exports.deriveRecoveryKey = binding.deriveRecoveryKey
exports.recoveryKeyId = binding.recoveryKeyId
