'use strict'

// Builds the binaries of the other Linux platforms, and tests each with a Node.js of its platform: musl as it is,
// arm64 in an emulator. All that it needs comes from Debian, PyPI and crates.io into .platforms, about 6 GB.
//   node scripts/test-platforms.js [PLATFORM]...

const { spawnSync } = require('node:child_process')
const { mkdirSync } = require('node:fs')
const { check, expectEqual, summarize } = require('./package/check.js')
const { checkBinary } = require('./platforms/binary.js')
const { build } = require('./platforms/build.js')
const { makeDebian } = require('./platforms/debian.js')
const { installNode } = require('./platforms/node.js')
const { folder } = require('./platforms/places.js')
const { PLATFORMS } = require('./platforms/platforms.js')
const { installResolver } = require('./platforms/resolver.js')
const { SPECS, describeNode, runSpec } = require('./platforms/specs.js')

/** @param {import('./platforms/platforms.js').Platform} platform */
async function testPlatform(platform) {
  const { name } = platform
  /** @type {string | undefined} */
  let binary
  await check(`${name}: build`, () => {
    binary = build(platform)
  })
  if (binary === undefined) return
  const built = binary
  await check(`${name}: what the binary needs`, () => checkBinary(built))
  const node = installNode(platform)
  const resolver = installResolver(platform)
  await check(`${name}: Node.js loads it`, () => {
    expectEqual(describeNode(node), { platform: name, addons: [built] })
  })
  for (const spec of SPECS)
    await check(`${name}: ${spec}.spec.ts`, () => runSpec(platform, node, resolver, spec))
}

function findProblem() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux x64'
  if (process.getuid?.() !== 0) return 'it needs to be root, to make a Debian and to enter it'
  const missing = ['debootstrap', 'python3', 'unshare'].filter(
    (command) => spawnSync(command, ['--version']).error,
  )
  return missing.length > 0 ? `it needs ${missing.join(' and ')}` : undefined
}

async function main() {
  const problem = findProblem()
  if (problem) {
    console.error(`\n!! THE PLATFORMS WERE NOT TESTED: ${problem}.\n`)
    // Where nobody reads along, what was not tested must not pass for tested.
    process.exitCode = process.env.CI ? 1 : 0
    return
  }
  const names = process.argv.slice(2)
  const unknown = names.filter((name) => PLATFORMS.every((platform) => platform.name !== name))
  if (unknown.length > 0) throw new Error(`no such platform: ${unknown.join(', ')}`)
  mkdirSync(folder, { recursive: true })
  makeDebian()
  for (const platform of PLATFORMS) {
    if (names.length === 0 || names.includes(platform.name)) await testPlatform(platform)
  }
  process.exitCode = summarize() ? 0 : 1
}

void main()
