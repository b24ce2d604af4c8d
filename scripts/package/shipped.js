'use strict'

// The packages of others that users get with this one, in the versions of the lock file.

const { execFileSync } = require('node:child_process')
const { mkdirSync, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { folder, root } = require('./places.js')

/** @type {{ packages: Record<string, { dev?: boolean }> }} */
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))

const manifests = Object.entries(packages)
  .filter(([path, { dev }]) => path !== '' && !dev)
  .map(([path]) => JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')))

/** @type {string[]} */
const shipped = manifests.map(({ name }) => name)

/** @type {string[]} */
const licences = [...new Set(manifests.map(({ license }) => license))]

/**
 * Downloads them by npm, which knows how to reach its registry.
 *
 * @returns {import('../pack.js').Package[]}
 */
function downloadShipped() {
  const tarballs = join(folder, 'shipped')
  mkdirSync(tarballs, { recursive: true })
  const specs = manifests.map(({ name, version }) => `${name}@${version}`)
  const args = ['pack', '--json', '--pack-destination', tarballs, ...specs]
  /** @type {import('../pack.js').Tarball[]} */
  const downloaded = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }))
  return downloaded.map((tarball) => ({
    ...tarball,
    manifest: manifests.find(({ name }) => name === tarball.name),
    path: join(tarballs, tarball.filename),
  }))
}

module.exports = { downloadShipped, licences, shipped }
