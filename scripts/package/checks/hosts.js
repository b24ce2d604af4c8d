'use strict'

// The package beside what its users have. npm resolves the host from the registry that it is configured
// with, as it does for a user. No script runs: that of the binding downloads a binary from elsewhere, which
// needs more than a registry. So the binding is there, and cannot be loaded.

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { check, expectEqual } = require('../check.js')
const { projects } = require('../places.js')
const { Project } = require('../project.js')
const { compileForNode } = require('./compilers.js')

const BINDING = '@matrix-org/matrix-sdk-crypto-nodejs'
const HOSTS = [
  { name: BINDING, version: '^0.4.0' },
  { name: BINDING, version: '0.6.6' },
  { name: 'matrix-bot-sdk', version: '0.8.0' },
  { name: 'matrix-appservice-bridge', version: '11.2.0' },
]

/**
 * @param {import('../project.js').Servers} servers
 * @param {import('../../pack.js').Package[]} packages
 */
async function testHosts(servers, packages) {
  for (const { name, version } of HOSTS) {
    const host = `${name} ${version}`
    const project = new Project(join(projects, host.replace(/\W+/g, '-')), servers, { [name]: version })
    await check(`beside ${host}, npm install --ignore-scripts`, async () => {
      await project.run('npm', ['install', '--ignore-scripts', 'rust-crypto-helper'])
      const { packages: installed } = JSON.parse(readFileSync(project.path('package-lock.json'), 'utf8'))
      expectEqual(installed[''].dependencies[name], version)
      // What is ours is what was packed.
      for (const { manifest, integrity } of packages.filter(({ path }) => path !== undefined)) {
        expectEqual(installed[`node_modules/${manifest.name}`].integrity, integrity)
      }
      return `with the binding ${installed[`node_modules/${BINDING}`].version}`
    })
    await check(`beside ${host}, require`, async () => {
      await project.bootstraps('node', 'require.js')
      await project.publishes('node', 'publisher/require.js')
    })
    await check(`beside ${host}, import`, async () => {
      await project.bootstraps('node', 'import.mjs')
      await project.publishes('node', 'publisher/import.mjs')
    })
    await check(`beside ${host}, types`, () => compileForNode(project))
  }
}

module.exports = { testHosts }
