'use strict'

// Builds a Linux binary that runs on old systems too: linked by zig, which carries the symbols of
// every glibc and a whole musl. What it takes is installed from PyPI.
//   node scripts/build-portable.js [TARGET]

const { execFileSync } = require('node:child_process')
const { existsSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { delimiter, join } = require('node:path')

const OLDEST_GLIBC = '2.17' // the oldest that Rust's standard library takes
const TOOLS = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1'].join('\n')

const root = join(__dirname, '..')
const venv = join(root, '.package', 'zig')

function run(command, args, env = {}) {
  execFileSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
}

function installTools() {
  const marker = join(venv, 'installed.txt')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === TOOLS) return
  console.log('Installing zig from PyPI into .package/zig ...')
  rmSync(venv, { recursive: true, force: true })
  run('python3', ['-m', 'venv', venv])
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...TOOLS.split('\n')]
  run(join(venv, 'bin', 'python'), pip)
  writeFileSync(marker, TOOLS)
}

function build([target = 'x86_64-unknown-linux-gnu']) {
  const built = target.endsWith('-gnu') ? `${target}.${OLDEST_GLIBC}` : target
  const outputs = ['--js', 'index.js', '--dts', 'index.d.ts']
  const options = ['--platform', '--release', ...outputs, '--target', built, '--cross-compile']
  const path = `${join(venv, 'bin')}${delimiter}${process.env.PATH}`
  run('npx', ['napi', 'build', ...options, '--', '--locked'], { PATH: path })
}

module.exports = { OLDEST_GLIBC }

if (require.main === module) {
  installTools()
  build(process.argv.slice(2))
}
