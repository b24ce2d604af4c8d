'use strict'

// Sets up what the end-to-end tests talk to, in folders that git ignores, and runs them: Synapses from PyPI,
// matrix-js-sdk with a Node.js new enough for it from npm, and the host machine.
//   node scripts/test-e2e.js [ARGUMENT OF JEST]...           all specs, with the newest and the oldest Synapse
//   node scripts/test-e2e.js --synapses [ARGUMENT OF JEST]...  the spec of the versions, with every Synapse

const { spawnSync } = require('node:child_process')
const { existsSync, readdirSync, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { installHosts, installPeers, installPython } = require('./install.js')

const root = join(__dirname, '..')
const requirements = join(root, '__test__', 'e2e', 'synapses')

/**
 * @param {string} folder
 * @param {string} command
 * @param {...string} args
 */
function run(folder, command, ...args) {
  return spawnSync(command, args, { cwd: join(root, folder), stdio: 'inherit' }).status === 0
}

/** The packages that the Synapses need have binaries for all these versions of Python, and for no others. */
function findPython() {
  const check = 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
  const names = ['python3', 'python', 'python3.13', 'python3.12', 'python3.11']
  return names.find((python) => spawnSync(python, ['-c', check]).status === 0)
}

/** The versions of Synapse that there are requirements for, the oldest first. */
function listSynapses() {
  const order = new Intl.Collator('en', { numeric: true }).compare
  return readdirSync(requirements)
    .map((name) => name.replace('.txt', ''))
    .sort(order)
}

/** @param {string[]} synapses */
function setUp(synapses) {
  const python = findPython()
  if (!python) return 'they need Python 3.11 to 3.13 with venv (on Debian: apt-get install python3-venv)'
  for (const version of synapses) {
    const file = join(requirements, `${version}.txt`)
    const pip = ['--only-binary', ':all:', '-r', file]
    if (!installPython(python, join(root, '.e2e', `synapse-${version}`), readFileSync(file, 'utf8'), pip))
      return `Synapse ${version} could not be installed (see above)`
  }
  if (!installPeers()) return 'matrix-js-sdk could not be installed (see above)'
  if (!installHosts()) return 'the hosts could not be installed (see above)'
  const host = join('__test__', 'host-machine')
  const isBuilt = existsSync(join(root, host, 'target', 'debug', 'host-machine'))
  if (!isBuilt && !run(host, 'cargo', 'build', '--locked'))
    return 'the host machine could not be built (see above)'
  // Processes of the tests load it as users do: compiled.
  if (!run('.', 'npm', 'run', '--silent', 'build:publisher'))
    return 'the publisher could not be compiled (see above)'
  return undefined
}

const args = process.argv.slice(2)
const isAll = args[0] === '--synapses'
const known = listSynapses()
const synapses = isAll
  ? known
  : [...new Set([known[0], known.at(-1)])].filter((version) => version !== undefined)
const problem = setUp(synapses)
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
process.env.SYNAPSES = synapses.join()
const specs = isAll ? ['versions.e2e.ts', ...args.slice(1)] : args
const passed = run('.', process.execPath, jest, ...config, '--silent=false', ...specs)
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
console.log(
  `End-to-end tests against Synapse ${synapses.join(', ')}: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`,
)
process.exit(passed ? 0 : 1)
