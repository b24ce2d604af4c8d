// A Node.js newer than the oldest one that the package supports: it brings an SQLite of its own, runs
// TypeScript without a compiler, and matrix-js-sdk runs on it.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = `node-${process.platform}-${process.arch}`

/** The path of a Node.js 24 or newer: this one, or that of the end-to-end tests' packages. */
export function findNewerNode(): string | undefined {
  const [major = 0] = process.versions.node.split('.').map(Number)
  if (major >= 24) return process.execPath
  const packaged = join(__dirname, '..', 'e2e', 'node_modules', PACKAGE, 'bin', 'node')
  return existsSync(packaged) ? packaged : undefined
}

export const NO_NEWER_NODE = 'there is no Node.js 24 or newer: run npm ci --prefix __test__/e2e'
