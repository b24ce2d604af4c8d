'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { scriptsOf } = require('../bundlers-page.js')
const { check, expectEqual } = require('../check.js')
const { inDocumentedProject } = require('../documented.js')
const manifest = require('../../../package.json')

/** The package managers, and how each runs the command. */
const RUNNERS = { npm: 'npx --no', pnpm: 'pnpm exec', Yarn: 'yarn' }

/** The command needs more packages than the functions. pnpm and Yarn give a package only what it depends on. */
const STATUS = 'rust-crypto-helper status --homeserver "$HOMESERVER_URL" ghost'

/** @param {import('../loopback.js').Server} registry */
async function testPackageManagers(registry) {
  for (const [name, runner] of Object.entries(RUNNERS)) {
    for (const script of scriptsOf(name)) {
      await check(`${name}: ${script.split('\n').join('; ')}; ${runner} rust-crypto-helper status`, () =>
        inDocumentedProject(registry, async (project) => {
          await project.publishes(script)
          const status = await project.run(`RUST_CRYPTO_HELPER_AS_TOKEN=token ${runner} ${STATUS}`)
          if (!/@_ghost:example\.org.* verified /.test(status)) throw new Error(status)
        }),
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
