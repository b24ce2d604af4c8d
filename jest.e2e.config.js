'use strict'

/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.config.js'),
  testMatch: ['<rootDir>/__test__/{e2e,hosts}/*.e2e.ts'],
  testTimeout: 180_000,
}
