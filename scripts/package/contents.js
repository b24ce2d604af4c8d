'use strict'

// Which files a package consists of.

const { readdirSync } = require('node:fs')
const { join } = require('node:path')
const { expectEqual } = require('./check.js')
const { root } = require('./places.js')
const { name } = require('../../package.json')

const COMMON_FILES = ['LICENSE', 'README.md', 'package.json']

/** Every module of a folder: its JavaScript and its types. */
function modules(/** @type {string} */ folder) {
  const sources = readdirSync(join(root, folder)).filter((file) => file.endsWith('.ts'))
  return sources.map((file) => file.slice(0, -'.ts'.length)).flatMap((file) => [`${file}.js`, `${file}.d.ts`])
}

function mainFiles() {
  return [
    'index.js',
    'index.d.ts',
    ...readdirSync(join(root, 'bin')).map((file) => `bin/${file}`),
    ...modules('publisher').map((file) => `dist/publisher/${file}`),
  ]
}

/**
 * Compares the files of a tarball with those of the repository. Returns how many there are.
 *
 * @param {import('../pack.js').Packed} packed
 */
function checkContents({ files, manifest }) {
  const own = manifest.name === name ? mainFiles() : [manifest.main]
  const found = files.map(({ path }) => path)
  expectEqual(found.sort(), [...COMMON_FILES, ...own].sort())
  return found.length
}

module.exports = { checkContents }
