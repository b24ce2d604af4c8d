'use strict'

// What a user loads. It is index.js, the loader that the build generates, with an error that says
// what is wrong: the generated one names no platform, and advises a new install whatever happened.

try {
  module.exports = require('./index.js')
} catch (error) {
  throw new Error(explain(error), { cause: error })
}

function explain(error) {
  const platform = `${process.platform}-${process.arch}${libc()} (Node.js ${process.versions.node})`
  const refused = reasons(error).find((reason) => !/^(Cannot find|Unsupported)/.test(reason))
  if (refused) return `rust-crypto-helper cannot load its binary for ${platform}: ${refused}`
  return (
    `rust-crypto-helper found no binary for ${platform}. There are binaries for Linux (glibc and musl), macOS and ` +
    `Windows, x64 and arm64 each. If this is one of them, install again where it shall run, without --omit=optional ` +
    `and without node_modules from another platform. If not, build it from source: ${require('./package.json').homepage}`
  )
}

function libc() {
  if (process.platform !== 'linux') return ''
  const glibc = process.report?.getReport().header.glibcVersionRuntime
  return glibc ? ` with glibc ${glibc}` : ' with musl'
}

/** The first line of each attempt's error, from the chain of causes that the generated loader makes. */
function reasons({ cause, message }) {
  return [message.split('\n', 1)[0], ...(cause ? reasons(cause) : [])]
}
