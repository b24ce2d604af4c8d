'use strict'

// What is in the tarballs, and what the linters of packages say of them.

const { execFile } = require('node:child_process')
const { readFileSync, statSync } = require('node:fs')
const { join } = require('node:path')
const { promisify } = require('node:util')
const { OLDEST_GLIBC } = require('../../build-portable.js')
const { check, expectEqual } = require('../check.js')
const { checkContents } = require('../contents.js')
const { root } = require('../places.js')
const { attw, publint } = require('../tools.js')
const manifest = require('../../../package.json')

const MAX_BINARY = 7_500_000
const binary = join(root, 'rust-crypto-helper.linux-x64-gnu.node')

/** @param {import('../../pack.js').Package[]} packages */
async function testTarballs(packages) {
  const packed = packages.filter((each) => each.path !== undefined)
  for (const tarball of packed) {
    const { name, size } = tarball
    await check(`files of ${name}`, () => `${checkContents(tarball)}, packed ${size} bytes`)
  }
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
  for (const { name, path } of packed) {
    await check(`publint, ${name}`, () => lint(publint, ['--strict', path]))
  }
  await check(`attw, ${manifest.name}`, () => {
    const { path } = packed.find(({ name }) => name === manifest.name) ?? {}
    return lint(attw, ['--no-color', '--no-definitely-typed', String(path)])
  })
}

/**
 * @param {string} linter
 * @param {string[]} args
 */
async function lint(linter, args) {
  await promisify(execFile)(process.execPath, [linter, ...args])
}

module.exports = { testTarballs }
