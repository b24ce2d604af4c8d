'use strict'

// Sets up what the end-to-end tests talk to, in folders that git ignores, and runs them: a Synapse
// from PyPI, and matrix-js-sdk with a Node.js new enough for it from npm.

const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { installPeers, installPython } = require('./install.js')

const root = join(__dirname, '..')
const venv = join(root, '.e2e', 'venv')
const requirements = join(root, '__test__', 'e2e', 'requirements.txt')

/**
 * @param {string} command
 * @param {...string} args
 */
function run(command, ...args) {
  return spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0
}

function findPython() {
  const check = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
  return ['python3', 'python'].find((python) => spawnSync(python, ['-c', check]).status === 0)
}

function setUp() {
  const python = findPython()
  if (!python) return 'they need Python 3.10 or newer with venv (on Debian: apt-get install python3-venv)'
  const packages = readFileSync(requirements, 'utf8')
  if (!installPython(python, venv, packages, ['-r', requirements]))
    return 'Synapse could not be installed (see above)'
  return installPeers() ? undefined : 'matrix-js-sdk could not be installed (see above)'
}

const problem = setUp()
if (problem) {
  const bar = '!'.repeat(78)
  console.error(`\n${bar}\n!! THE END-TO-END TESTS DID NOT RUN: ${problem}.`)
  console.error(`!! Then: npm run test:e2e\n${bar}\n`)
  // Where nobody reads along, what was not tested must not pass for tested.
  process.exit(process.env.CI ? 1 : 0)
}

const report = join(root, '.e2e', 'report.json')
const jest = require.resolve('jest/bin/jest')
const config = ['--config', join(root, 'jest.e2e.config.js'), '--json', '--outputFile', report]
const passed = run(process.execPath, jest, ...config, '--silent=false', ...process.argv.slice(2))
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
const version = /^matrix-synapse==(.*)$/m.exec(readFileSync(requirements, 'utf8'))?.[1]
console.log(
  `End-to-end tests against Synapse ${version}: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`,
)
process.exit(passed ? 0 : 1)
