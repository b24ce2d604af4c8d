'use strict'

const { join } = require('node:path')

const root = join(__dirname, '..', '..')
const folder = join(root, '.package')

/** Where the package test finds and puts its things. All but the sources is in a folder that git ignores. */
module.exports = {
  root,
  folder,
  sources: join(root, '__test__', 'package'),
  npmCache: join(folder, 'npm-cache'),
  projects: join(folder, 'projects'),
  stores: join(folder, 'stores'),
  tools: join(folder, 'node_modules'),
}
