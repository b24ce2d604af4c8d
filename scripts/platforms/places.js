'use strict'

const { join } = require('node:path')

const root = join(__dirname, '..', '..')

/** Git ignores it, and the linters do. */
const folder = join(root, '.platforms')

module.exports = { folder, root }
