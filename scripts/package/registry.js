'use strict'

// A registry on the loopback interface that has the packed packages.

const { execFileSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const { serve } = require('./loopback.js')

/** The registry that npm is configured with. */
function configuredRegistry() {
  return execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim().replace(/\/$/, '')
}

/**
 * Serves these packages. Those of other platforms it names, but does not have.
 *
 * @param {import('../pack.js').Package[]} packages
 * @param {string} [upstream] The registry that has everything else. Without it nothing else exists.
 */
function serveRegistry(packages, upstream) {
  return serve((request, response) => {
    const name = decodeURIComponent(request.url?.slice(1) ?? '')
    const tarball = packages.find(({ filename }) => filename === name)
    const found = packages.find((each) => each.manifest.name === name)
    // The next build has the same version, and other contents.
    response.setHeader('Cache-Control', 'no-store')
    if (tarball?.path) {
      response.end(readFileSync(tarball.path))
    } else if (found) {
      const { version } = found.manifest
      const tarball = `http://${request.headers.host}/${found.filename ?? 'missing.tgz'}`
      const dist = { tarball, integrity: found.integrity }
      const versions = { [version]: { ...found.manifest, dist } }
      // Package managers refuse what is younger than a day.
      const time = { [version]: '2020-01-01T00:00:00.000Z' }
      response.end(JSON.stringify({ name, versions, time, 'dist-tags': { latest: version } }))
    } else if (upstream && name !== 'missing.tgz') {
      response.writeHead(302, { Location: upstream + request.url }).end()
    } else {
      response.writeHead(404).end('{}')
    }
  })
}

module.exports = { configuredRegistry, serveRegistry }
