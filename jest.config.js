'use strict'

/** @type {import('jest').Config} */
module.exports = {
  testMatch: ['<rootDir>/__test__/*.spec.ts'],
  transform: { '\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.json', diagnostics: true }] },
  // As a user writes it: the name, not a path.
  moduleNameMapper: {
    '^rust-crypto-helper$': '<rootDir>/index.js',
    '^rust-crypto-helper/publisher$': '<rootDir>/publisher/index.ts',
  },
  setupFiles: ['<rootDir>/__test__/support/seed.ts'],
  // Many stores are made and killed here; what is slow is the disk of a busy machine.
  testTimeout: 120_000,
}
