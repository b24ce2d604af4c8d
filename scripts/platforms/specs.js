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
 */
function runNode(node, args) {
  return inDebian([node, ...args], {
    // A test whose tools are missing fails.
    CI: 'true',
    MUTANTS: '10000',
    EMULATED_NODE: node,
    NODE_OPTIONS: `--require ${join(__dirname, 'exec-path.js')}`,
    NODE_PATH: packages,
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
 * @param {string} node
 * @param {string} name
 */
function runSpec(node, name) {
  // In one process: Jest starts its workers without the emulator.
  const options = ['--runInBand', '--config', config, '--json', '--outputFile', report]
  runNode(node, [require.resolve('jest/bin/jest'), ...options, `/__test__/${name}.spec.ts`])
  const { numPassedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
  return `${numPassedTests} passed, ${numPendingTests} skipped`
}

module.exports = { SPECS, describeNode, runSpec }
