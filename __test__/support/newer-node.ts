// Finds a Node.js that is newer than the oldest one that the package supports. It has an SQLite of its own,
// and it runs TypeScript without a compiler and matrix-js-sdk.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = `node-${process.platform}-${process.arch}`

/** The path of a Node.js 24 or newer: the running one, or the one that the end-to-end tests install. */
export function findNewerNode(): string | undefined {
  const [major = 0] = process.versions.node.split('.').map(Number)
  if (major >= 24) return process.execPath
  const packaged = join(__dirname, '..', 'e2e', 'node_modules', PACKAGE, 'bin', 'node')
  return existsSync(packaged) ? packaged : undefined
}

export const NO_NEWER_NODE = 'there is no Node.js 24 or newer: run npm ci --prefix __test__/e2e'
