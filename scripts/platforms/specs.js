'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { packages } = require('./build.js')
const { inDebian } = require('./debian.js')
const { folder, root } = require('./places.js')

// What depends on the processor or on the C library: the cryptography, the files and their locks, and how an addon is
// loaded and left.
const SPECS = [
  'payloads',
  'resuming',
  'stores',
  'closing',
  'in-use',
  'verify-published',
  'recovery',
  'concurrency',
  'process-exit',
]

// An emulated worker takes longer to start than this test lets it live.
const NOT_EMULATED = '^(?!\\d+ workers start)'

const config = join(__dirname, 'jest.config.js')
const report = join(folder, 'report.json')

// What a process runs on, and the addons that the package has loaded.
const DESCRIBE = `
require(${JSON.stringify(root)})
const { glibcVersionRuntime } = process.report.getReport().header
const libc = glibcVersionRuntime ? 'gnu' : 'musl'
const addons = Object.keys(require.cache).filter((name) => name.endsWith('.node'))
console.log(JSON.stringify({ platform: [process.platform, process.arch, libc].join('-'), addons }))
`

/**
 * @param {string} node
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
function runNode(node, args, env = {}) {
  return inDebian([node, ...args], {
    // A test whose tools are missing fails.
    CI: 'true',
    MUTANTS: '10000',
    EMULATED_NODE: node,
    NODE_OPTIONS: `--require ${join(__dirname, 'exec-path.js')}`,
    NODE_PATH: packages,
    ...env,
  })
}

/**
 * @param {string} node
 * @returns {{ platform: string, addons: string[] }}
 */
function describeNode(node) {
  return JSON.parse(runNode(node, ['-e', DESCRIBE]))
}

/**
 * Runs a spec. Returns how many tests have passed.
 *
 * @param {import('./platforms.js').Platform} platform
 * @param {string} node
 * @param {string} resolver
 * @param {string} name
 */
function runSpec({ emulator }, node, resolver, name) {
  // In one process: Jest starts its workers without the emulator.
  const options = ['--runInBand', '--config', config, '--json', '--outputFile', report]
  if (emulator) options.push('--testNamePattern', NOT_EMULATED)
  runNode(node, [require.resolve('jest/bin/jest'), ...options, `/__test__/${name}.spec.ts`], {
    // Its package looks for the C library of this Debian, which has both.
    NAPI_RS_NATIVE_LIBRARY_PATH: resolver,
  })
  const { numPassedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
  return `${numPassedTests} passed, ${numPendingTests} skipped`
}

module.exports = { SPECS, describeNode, runSpec }
