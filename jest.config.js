'use strict'

// They need names that Windows does not allow, disks in memory, bash and a terminal.
const NOT_ON_WINDOWS = ['durability', 'faults', 'operating-page']

/** @type {import('jest').Config} */
module.exports = {
  // Jest looks at all files of these folders.
  roots: ['<rootDir>/__test__'],
  testMatch: ['<rootDir>/__test__/*.spec.ts'],
  testPathIgnorePatterns: [
    '/node_modules/',
    ...(process.platform === 'win32' ? NOT_ON_WINDOWS.map((name) => `${name}\\.spec\\.ts$`) : []),
  ],
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
