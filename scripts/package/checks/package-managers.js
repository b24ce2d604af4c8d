'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { scriptsOf } = require('../bundlers-page.js')
const { check, expectEqual } = require('../check.js')
const { inDocumentedProject } = require('../documented.js')
const manifest = require('../../../package.json')

/** @param {import('../loopback.js').Server} registry */
async function testPackageManagers(registry) {
  for (const name of ['npm', 'pnpm', 'Yarn']) {
    for (const script of scriptsOf(name)) {
      await check(`${name}: ${script.split('\n').join('; ')}`, () =>
        inDocumentedProject(registry, (project) => project.publishes(script)),
      )
    }
  }
  await check('a lock file of another platform has every platform', () =>
    inDocumentedProject(registry, async (project) => {
      const [script = ''] = scriptsOf('npm')
      await project.run(script.split('\n')[0] ?? '')
      const { packages } = JSON.parse(readFileSync(join(project.folder, 'package-lock.json'), 'utf8'))
      const names = Object.keys(packages).filter((name) =>
        name.startsWith('node_modules/rust-crypto-helper-'),
      )
      expectEqual(names.length, manifest.napi.targets.length)
    }),
  )
}

module.exports = { testPackageManagers }
