'use strict'

// The compiler, test runners, runtimes, package managers, bundlers and linters from npm, in the versions of
// the lock file in __test__/package/tools.

const { execFileSync } = require('node:child_process')
const { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { folder, sources, tools } = require('./places.js')

function installTools() {
  const lock = readFileSync(join(sources, 'tools', 'package-lock.json'), 'utf8')
  const marker = join(folder, 'installed.json')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return
  console.log('Installing compilers, test runners, runtimes and more from npm into .package ...')
  cpSync(join(sources, 'tools'), folder, { recursive: true })
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error']
  execFileSync('npm', args, { cwd: folder, stdio: 'inherit' })
  writeFileSync(marker, lock)
}

/** The packaged versions of Node.js, the oldest first. */
function nodes() {
  const order = new Intl.Collator('en', { numeric: true }).compare
  const names = readdirSync(tools).filter((name) => /^node-\d/.test(name))
  return names.map((name) => name.slice('node-'.length)).sort(order)
}

/** @param {string} version */
const nodePath = (version) => join(tools, `node-${version}`, 'bin', 'node')

module.exports = {
  installTools,
  nodes,
  nodePath,
  attw: join(tools, '@arethetypeswrong', 'cli', 'dist', 'index.js'),
  bun: join(tools, '@oven', 'bun-linux-x64', 'bin', 'bun'),
  deno: join(tools, '@deno', 'linux-x64-glibc', 'deno'),
  publint: join(tools, 'publint', 'src', 'cli.js'),
  tsc: join(tools, 'typescript', 'bin', 'tsc'),
  vitest: join(tools, 'vitest', 'vitest.mjs'),
  /** @param {string} version */
  jest: (version) => join(tools, `jest-${version}`, 'bin', 'jest.js'),
  bundlers: ['esbuild', 'ncc'].map((name) => join(tools, '.bin', name)),
  packageManagers: [join(tools, '.bin', 'yarn'), join(tools, '@pnpm', 'exe.linux-x64', 'pnpm')],
}
