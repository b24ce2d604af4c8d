'use strict'

const { join } = require('node:path')
const { folder, root } = require('./places.js')

/** @type {import('jest').Config} */
module.exports = {
  ...require('../../jest.config.js'),
  rootDir: root,
  cacheDirectory: join(folder, 'jest'),
  // An emulated processor is ten times slower.
  testTimeout: 1_200_000,
}
