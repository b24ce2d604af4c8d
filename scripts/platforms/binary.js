'use strict'

const { statSync } = require('node:fs')
const { OLDEST_GLIBC } = require('../build-portable.js')
const { expectEqual } = require('../package/check.js')
const { inDebian } = require('./debian.js')

/** What every Linux of the kind has, whatever is installed. */
const LIBRARIES = {
  gnu: /^(?:ld-linux-aarch64\.so\.1|lib(?:c|dl|m|pthread|rt|util)\.so\.[0-9])$/,
  musl: /^libc\.so$/,
}

/**
 * Checks what a binary asks of the system. Returns it in words.
 *
 * @param {string} binary
 */
function checkBinary(binary) {
  const libc = binary.includes('-musl') ? 'musl' : 'gnu'
  const dynamic = inDebian(['readelf', '--wide', '--dynamic', binary])
  const needed = Array.from(dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g), ([, name = '']) => name)
  expectEqual(
    needed.filter((name) => !LIBRARIES[libc].test(name)),
    [],
  )
  const facts = [`${statSync(binary).size} bytes`, `needs ${needed.join(', ')}`]
  if (libc === 'musl') return facts.join('; ')

  // glibc unloads a library, and threads of ours may still run. musl never unloads.
  if (!/\(FLAGS_1\).*\bNODELETE\b/.test(dynamic)) throw new Error(`it is not NODELETE:\n${dynamic}`)
  const symbols = inDebian(['readelf', '--wide', '--version-info', binary])
  const minors = Array.from(symbols.matchAll(/\bGLIBC_2\.(\d+)/g), ([, minor]) => Number(minor))
  const glibc = Math.max(...minors)
  if (minors.length === 0 || glibc > Number(OLDEST_GLIBC.slice(2))) {
    throw new Error(`it needs glibc 2.${glibc}, which is not 2.17 or older:\n${symbols}`)
  }
  return [...facts, `glibc 2.${glibc}`, 'NODELETE'].join('; ')
}

module.exports = { checkBinary }
