'use strict'

// Installs the packed packages into an empty project as a stranger would, from a registry that has
// nothing else, and uses them there with everything that the README promises. It needs no Rust, only
// the binary. With --unit-tests: runs the unit tests on every Node.js line instead.

const { execFile, execFileSync } = require('node:child_process')
const {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} = require('node:fs')
const { createServer } = require('node:http')
const { delimiter, dirname, join } = require('node:path')
const { promisify } = require('node:util')
const { OLDEST_GLIBC } = require('./build-portable.js')
const { pack } = require('./pack.js')

const MAX_BINARY = 7_500_000
const PACKAGES = ['rust-crypto-helper', 'rust-crypto-helper-linux-x64-gnu']
const MAIN_FILES = [
  'LICENSE',
  'README.md',
  'bin/rust-crypto-helper.js',
  'index.d.ts',
  'index.js',
  'package.json',
]
const PLATFORM_FILES = ['LICENSE', 'README.md', 'package.json']

const root = join(__dirname, '..')
const folder = join(root, '.package')
const project = join(folder, 'project')
const stores = join(folder, 'stores')
const tools = join(folder, 'node_modules')
const manifest = require('../package.json')

const counts = { PASS: 0, FAIL: 0 }

/** @type {NodeJS.ProcessEnv} */
let projectEnv = {}

/**
 * @param {string} name
 * @param {() => unknown} test
 */
async function check(name, test) {
  const before = performance.now()
  /** @type {keyof typeof counts} */
  let result = 'PASS'
  let detail
  try {
    detail = await test()
  } catch (error) {
    result = 'FAIL'
    const { message, stdout, stderr } = /** @type {import('node:child_process').ExecFileException} */ (error)
    detail = [message, stdout, stderr].filter(Boolean).join('\n')
  }
  counts[result] += 1
  const seconds = ((performance.now() - before) / 1000).toFixed(1).padStart(6)
  console.log(`${result} ${seconds} s  ${name}${detail ? `: ${detail}` : ''}`)
}

/**
 * @param {unknown} actual
 * @param {unknown} expected
 */
function expectEqual(actual, expected) {
  const [found, wanted] = [actual, expected].map((value) => JSON.stringify(value))
  if (found !== wanted) throw new Error(`${found} instead of ${wanted}`)
}

/**
 * Runs a program in the project, where there is no Rust and no registry but ours.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function run(command, args, env = {}) {
  const options = { cwd: project, env: { ...projectEnv, ...env }, timeout: 300_000 }
  return (await promisify(execFile)(command, args, options)).stdout.trim()
}

function withoutRust() {
  const { PATH = '' } = process.env
  const paths = PATH.split(delimiter).filter(
    (path) => !['cargo', 'rustc'].some((name) => existsSync(join(path, name))),
  )
  return [dirname(process.execPath), ...paths].join(delimiter)
}

/**
 * A registry with these packages alone. Those of other platforms it names, but does not have.
 *
 * @param {import('./pack.js').Package[]} packages
 * @returns {Promise<import('node:http').Server>}
 */
function serve(packages) {
  const server = createServer((request, response) => {
    const name = request.url?.slice(1)
    const tarball = packages.find(({ filename }) => filename === name)
    const found = packages.find((each) => each.manifest.name === name)
    if (tarball?.path) {
      response.end(readFileSync(tarball.path))
    } else if (found) {
      const { version } = found.manifest
      const tarball = `http://${request.headers.host}/${found.filename ?? 'missing.tgz'}`
      const dist = { tarball, integrity: found.integrity }
      const versions = { [version]: { ...found.manifest, dist } }
      response.end(JSON.stringify({ name, versions, 'dist-tags': { latest: version } }))
    } else {
      response.writeHead(404).end('{}')
    }
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

function installTools() {
  const lock = readFileSync(join(root, '__test__', 'package', 'tools', 'package-lock.json'), 'utf8')
  const marker = join(folder, 'installed.json')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return
  console.log('Installing the compiler, test runners and runtimes from npm into .package ...')
  cpSync(join(root, '__test__', 'package', 'tools'), folder, { recursive: true })
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

let stored = 0

/**
 * @param {string} command
 * @param {...string} args
 */
async function bootstraps(command, ...args) {
  stored += 1
  expectEqual(await run(command, [...args, join(stores, String(stored))]), 'created')
}

/**
 * @param {number} times
 * @param {() => Promise<string>} measure
 */
async function median(times, measure) {
  const results = []
  while (results.length < times) results.push(Number(await measure()))
  return results.sort((a, b) => a - b)[Math.floor(times / 2)] ?? NaN
}

/** @param {import('./pack.js').Package[]} packages */
async function testTarballs(packages) {
  for (const { name, files, size, manifest } of packages.filter((each) => each.path !== undefined)) {
    await check(`files of ${name}`, () => {
      const expected = name === PACKAGES[0] ? MAIN_FILES : [...PLATFORM_FILES, manifest.main]
      const found = files.map(({ path }) => path)
      expectEqual(found.sort(), expected.sort())
      return `${found.length}, packed ${size} bytes`
    })
  }
  await check('all have one version', () => {
    const crate = /^version = "(.*)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1]
    expectEqual(crate, manifest.version)
  })
  const binary = join(root, 'rust-crypto-helper.linux-x64-gnu.node')
  await check('size of the binary', () => {
    const { size } = statSync(binary)
    if (size > MAX_BINARY) throw new Error(`${size} bytes are more than ${MAX_BINARY}`)
    return `${size} bytes`
  })
  await check('glibc that the binary needs', () => {
    const symbols = readFileSync(binary, 'latin1').matchAll(/\bGLIBC_2\.(\d+)/g)
    const needed = Math.max(...Array.from(symbols, ([, minor]) => Number(minor)))
    if (needed > Number(OLDEST_GLIBC.slice(2))) throw new Error(`2.${needed} is more than ${OLDEST_GLIBC}`)
    return `2.${needed}`
  })
  await check('glibc in the README', () => {
    const stated = readFileSync(join(root, 'README.md'), 'utf8').matchAll(/glibc ≥ (2\.\d+)/g)
    expectEqual([...new Set(Array.from(stated, ([, version]) => version))], [OLDEST_GLIBC])
  })
}

async function testInstalled() {
  await check('there is no Rust', async () => {
    for (const name of ['cargo', 'rustc']) {
      await run(name, ['--version']).then(
        () => Promise.reject(new Error(`there is a ${name}`)),
        () => undefined,
      )
    }
  })
  await check('npm install', () => run('npm', ['install', 'rust-crypto-helper']).then(() => undefined))
  await check('what is installed', () => {
    const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
    expectEqual(installed, PACKAGES)
  })
  await check('require', () => bootstraps('node', 'require.js'))
  await check('import', () => bootstraps('node', 'import.mjs'))
  await check('npx', async () => {
    expectEqual(await run('npx', ['--no', 'rust-crypto-helper', '--', '--version']), manifest.version)
    const args = ['@_ghost:example.org', 'GHOSTDEVICE', join(stores, 'npx')]
    const { status } = JSON.parse(await run('npx', ['--no', 'rust-crypto-helper', ...args]))
    expectEqual(status, 'created')
  })
  await check('npm ci --ignore-scripts', async () => {
    await run('npm', ['ci', '--ignore-scripts'])
    await bootstraps('node', 'require.js')
  })
  await check('a platform without a binary is named', async () => {
    const pretend = "Object.defineProperty(process, 'arch', { value: 'riscv64' })"
    const load = `${pretend}; try { require('rust-crypto-helper') } catch (error) { console.log(error.message) }`
    const message = await run('node', ['-e', load])
    if (!/found no binary for linux-riscv64 with glibc/.test(message)) throw new Error(message)
  })
  await check('require takes, median of 21', async () => {
    const load =
      "const t = performance.now(); require('rust-crypto-helper'); console.log(performance.now() - t)"
    return `${(await median(21, () => run('node', ['-e', load]))).toFixed(1)} ms`
  })
}

async function testCompilers() {
  const tsc = join(tools, 'typescript', 'bin', 'tsc')
  for (const { resolution, module, sources } of [
    { resolution: 'node16', module: 'node16', sources: ['typed.mts', 'typed.cts'] },
    { resolution: 'nodenext', module: 'nodenext', sources: ['typed.mts', 'typed.cts'] },
    { resolution: 'bundler', module: 'esnext', sources: ['typed.mts'] },
  ]) {
    await check(`TypeScript, ${resolution}`, async () => {
      const options = [
        '--ignoreConfig',
        '--strict',
        '--target',
        'es2022',
        '--types',
        'node',
        '--outDir',
        resolution,
      ]
      await run('node', [tsc, ...options, '--module', module, '--moduleResolution', resolution, ...sources])
      for (const source of sources) await bootstraps('node', join(resolution, source.replace('ts', 'js')))
    })
  }
}

async function testTestRunners() {
  for (const version of ['29', '30']) {
    const jest = join(tools, `jest-${version}`, 'bin', 'jest.js')
    // Without the times of an earlier run Jest starts its workers; with them it may not.
    const args = [jest, 'jest/', '--maxWorkers=2', '--cacheDirectory']
    await check(`Jest ${version}, processes`, () =>
      run('node', [...args, join(folder, 'jest', `${version}-processes`)]).then(() => undefined),
    )
    await check(`Jest ${version}, threads`, () =>
      run('node', [...args, join(folder, 'jest', `${version}-threads`), '--workerThreads'], {
        WORKERS: 'threads',
      }).then(() => undefined),
    )
  }
  const vitest = join(tools, 'vitest', 'vitest.mjs')
  for (const pool of ['forks', 'threads']) {
    await check(`Vitest, ${pool}`, () =>
      run('node', [vitest, 'run', 'vitest/', `--pool=${pool}`], { WORKERS: pool }).then(() => undefined),
    )
  }
}

async function testRuntimes() {
  await check('engines promise what is tested', () => {
    const promised = Array.from(manifest.engines.node.matchAll(/\d+(\.\d+)*/g), ([version]) => version)
    const oldest = Object.values(
      Object.fromEntries(
        nodes()
          .reverse()
          .map((version) => [parseInt(version), version]),
      ),
    )
    expectEqual(
      promised.map((version) => `${version}.0.0`.split('.').slice(0, 3).join('.')),
      oldest,
    )
  })
  const deno = ['run', '--allow-all', '--no-prompt']
  const runtimes = [
    ...nodes().map((version) => ({ name: `Node.js ${version}`, command: nodePath(version), args: [] })),
    { name: 'Bun', command: join(tools, '@oven', 'bun-linux-x64', 'bin', 'bun'), args: [] },
    { name: 'Deno', command: join(tools, '@deno', 'linux-x64-glibc', 'deno'), args: deno },
  ]
  for (const { name, command, args } of runtimes) {
    await check(`${name}, require`, () => bootstraps(command, ...args, 'require.js'))
    await check(`${name}, import`, () => bootstraps(command, ...args, 'import.mjs'))
  }
}

async function testUnits() {
  const newest = Object.fromEntries(nodes().map((version) => [parseInt(version), version]))
  for (const version of Object.values(newest)) {
    await check(`unit tests on Node.js ${version}`, async () => {
      const env = { ...process.env, PATH: `${dirname(nodePath(version))}${delimiter}${process.env.PATH}` }
      const options = { cwd: root, env, maxBuffer: 1e8 }
      const jest = require.resolve('jest/bin/jest')
      const { stderr } = await promisify(execFile)(nodePath(version), [jest], options)
      return /^Tests: +(.*)$/m.exec(stderr)?.[1]
    })
  }
}

/** @param {string} registry */
function setUpProject(registry) {
  for (const path of [project, stores, join(folder, 'jest')]) rmSync(path, { recursive: true, force: true })
  cpSync(join(root, '__test__', 'package', 'project'), project, { recursive: true })
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'project', private: true, type: 'commonjs' }),
  )
  mkdirSync(stores)
  const cache = join(folder, 'npm-cache')
  rmSync(cache, { recursive: true, force: true })
  projectEnv = {
    PATH: withoutRust(),
    HOME: process.env.HOME,
    npm_config_audit: 'false',
    npm_config_cache: cache,
    npm_config_fund: 'false',
    npm_config_registry: registry,
  }
}

async function main() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report?.getReport())
  if (process.platform !== 'linux' || process.arch !== 'x64' || !report.header.glibcVersionRuntime) {
    console.error('\n!! THE PACKAGE TEST DID NOT RUN: it needs Linux x64 with glibc.\n')
    // Where nobody reads along, what was not tested must not pass for tested.
    process.exitCode = process.env.CI ? 1 : 0
    return
  }
  mkdirSync(folder, { recursive: true })
  installTools()
  if (process.argv.includes('--unit-tests')) {
    await testUnits()
  } else {
    const packages = pack()
    const server = await serve(packages)
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    setUpProject(`http://127.0.0.1:${port}`)
    await testTarballs(packages)
    await testInstalled()
    await testCompilers()
    await testTestRunners()
    await testRuntimes()
    server.close()
    server.closeAllConnections()
  }
  console.log(`${counts.PASS} passed, ${counts.FAIL} failed`)
  process.exitCode = counts.FAIL ? 1 : 0
}

void main()
