'use strict'

const { scriptsOf } = require('../bundlers-page.js')
const { check } = require('../check.js')
const { inDocumentedProject } = require('../documented.js')

/** @param {import('../loopback.js').Server} registry */
async function testBundlers(registry) {
  for (const name of ['esbuild', 'ncc']) {
    for (const script of scriptsOf(name)) {
      // The binary beside the bundle is all that it needs.
      const isWhole = script.includes('\ncp ')
      await check(`${name}, ${isWhole ? 'bundle alone' : 'external'}: ${script.split('\n')[0]}`, () =>
        inDocumentedProject(registry, async (project) => {
          await project.install()
          await (isWhole ? project.publishesAlone(script) : project.publishes(script))
        }),
      )
    }
  }
}

module.exports = { testBundlers }
