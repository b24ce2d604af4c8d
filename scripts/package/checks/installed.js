'use strict'

// The package as npm installs it from a registry that has nothing but what it ships with.

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { check, expectEqual } = require('../check.js')
const { stores } = require('../places.js')
const { licences, shipped } = require('../shipped.js')
const manifest = require('../../../package.json')

const PACKAGES = ['rust-crypto-helper', 'rust-crypto-helper-linux-x64-gnu']

/**
 * @param {number} times
 * @param {() => Promise<string>} measure
 */
async function median(times, measure) {
  const results = []
  while (results.length < times) results.push(Number(await measure()))
  return results.sort((a, b) => a - b)[Math.floor(times / 2)] ?? NaN
}

/** @param {import('../project.js').Project} project */
async function testInstalled(project) {
  await check('there is no Rust', async () => {
    for (const name of ['cargo', 'rustc']) {
      await project.run(name, ['--version']).then(
        () => Promise.reject(new Error(`there is a ${name}`)),
        () => undefined,
      )
    }
  })
  await check('npm install', () =>
    project.run('npm', ['install', 'rust-crypto-helper']).then(() => undefined),
  )
  await check('what is installed', () => {
    const lock = readFileSync(project.path('node_modules', '.package-lock.json'), 'utf8')
    const installed = Object.keys(JSON.parse(lock).packages).map((path) => path.replace('node_modules/', ''))
    expectEqual(installed.sort(), [...PACKAGES, ...shipped].sort())
  })
  await check('what it depends on', () => {
    const file = project.path('node_modules', 'rust-crypto-helper', 'package.json')
    const { dependencies, peerDependencies, optionalDependencies } = JSON.parse(readFileSync(file, 'utf8'))
    expectEqual(
      [Object.keys(dependencies), peerDependencies],
      [Object.keys(manifest.dependencies), undefined],
    )
    const names = Object.keys(optionalDependencies)
    expectEqual(names.length, manifest.napi.targets.length)
    const strangers = names.filter((name) => !name.startsWith('rust-crypto-helper-'))
    expectEqual(strangers, [])
  })
  await check('licences of what is installed with it', () => {
    expectEqual(licences, ['MIT'])
  })
  await check('require', () => project.bootstraps('node', 'require.js'))
  await check('import', () => project.bootstraps('node', 'import.mjs'))
  await check('publisher, require', () => project.publishes('node', 'publisher/require.js'))
  await check('publisher, import', () => project.publishes('node', 'publisher/import.mjs'))
  await check('publisher, require and import give the same classes', async () => {
    expectEqual(await project.run('node', ['publisher/classes.mjs']), 'the same')
  })
  await check('what is loaded', async () => {
    const binary = '../rust-crypto-helper-linux-x64-gnu/rust-crypto-helper.linux-x64-gnu.node'
    const main = await project.run('node', ['loaded.js', 'rust-crypto-helper'])
    expectEqual(JSON.parse(main), [binary, 'index.js'])
    const publisher = await project.run('node', ['loaded.js', 'rust-crypto-helper/publisher'])
    /** @type {string[]} */
    const strangers = JSON.parse(publisher).filter(
      (/** @type {string} */ path) => !path.startsWith('dist/publisher/'),
    )
    expectEqual(strangers, [binary, 'index.js'])
  })
  await check('npx', async () => {
    expectEqual(await project.run('npx', ['--no', 'rust-crypto-helper', '--', '--version']), manifest.version)
    const args = ['@_ghost:example.org', 'GHOSTDEVICE', join(stores, 'npx')]
    const { status } = JSON.parse(await project.run('npx', ['--no', 'rust-crypto-helper', ...args]))
    expectEqual(status, 'created')
  })
  await check('npm ci --ignore-scripts', async () => {
    await project.run('npm', ['ci', '--ignore-scripts'])
    await project.bootstraps('node', 'require.js')
  })
  await check('a platform without a binary is named', async () => {
    const pretend = "Object.defineProperty(process, 'arch', { value: 'riscv64' })"
    const load = `${pretend}; try { require('rust-crypto-helper') } catch (error) { console.log(error.message) }`
    const message = await project.run('node', ['-e', load])
    if (!/found no binary for linux-riscv64 with glibc/.test(message)) throw new Error(message)
  })
  await check('require takes, median of 21', async () => {
    const load =
      "const t = performance.now(); require('rust-crypto-helper'); console.log(performance.now() - t)"
    return `${(await median(21, () => project.run('node', ['-e', load]))).toFixed(1)} ms`
  })
}

module.exports = { testInstalled }
