'use strict'

// Builds a Linux binary that runs on old systems too: linked by zig, which carries the symbols of
// every glibc and a whole musl. What it takes is installed from PyPI.
//   node scripts/build-portable.js [TARGET]

const { execFileSync } = require('node:child_process')
const { delimiter, join } = require('node:path')
const { installPython } = require('./install.js')

const OLDEST_GLIBC = '2.17' // the oldest that Rust's standard library takes
const TOOLS = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1'].join('\n')

const root = join(__dirname, '..')
const venv = join(root, '.package', 'zig')

/** Installs zig and what lets cargo use it. Returns the folder of their commands. */
function installZig() {
  if (!installPython('python3', venv, TOOLS)) process.exit(1)
  return join(venv, 'bin')
}

function build(target = 'x86_64-unknown-linux-gnu') {
  const built = target.endsWith('-gnu') ? `${target}.${OLDEST_GLIBC}` : target
  const outputs = ['--no-js', '--no-const-enum', '--dts', 'index.d.ts']
  const options = ['--platform', '--release', ...outputs, '--target', built, '--cross-compile']
  const path = `${installZig()}${delimiter}${process.env.PATH}`
  const env = { ...process.env, PATH: path }
  execFileSync('npx', ['napi', 'build', ...options, '--', '--locked'], { cwd: root, stdio: 'inherit', env })
}

module.exports = { OLDEST_GLIBC, installZig }

if (require.main === module) build(process.argv[2])
