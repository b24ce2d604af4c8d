'use strict'

// Prints which files a module and what it needs consist of, as seen from the package's folder.

const { dirname, relative } = require('node:path')

require(process.argv[2])
const folder = dirname(require.resolve('rust-crypto-helper'))
const loaded = Object.keys(require.cache).filter((path) => path !== module.filename)
console.log(JSON.stringify(loaded.map((path) => relative(folder, path)).sort()))
