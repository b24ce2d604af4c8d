'use strict'

// Node.js started in ways that restrict or prepare what a program finds.

const { dirname } = require('node:path')
const { scriptsOf } = require('../bundlers-page.js')
const { check } = require('../check.js')
const { inDocumentedProject } = require('../documented.js')
const { nodePath, nodes } = require('../tools.js')

/**
 * The command of the page for a version of Node.js.
 *
 * @param {string} version
 */
function permitted(version) {
  const [script = ''] = scriptsOf('Permission model')
  const [withNetwork = '', stable = '', experimental = ''] = script.split('\n')
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major >= 25) return withNetwork
  return major > 22 || (major === 22 && minor >= 13) ? stable : experimental
}

/** @param {import('../loopback.js').Server} registry */
async function testRestrictions(registry) {
  for (const version of nodes()) {
    const node = dirname(nodePath(version))
    const command = permitted(version)
    const worker = command.replace('app.js', '--allow-worker worker.js')
    await check(`permission model, Node.js ${version}`, () =>
      inDocumentedProject(registry, async (project) => {
        await project.install()
        await project.publishes(command, node)
      }),
    )
    await check(`permission model, worker thread, Node.js ${version}`, () =>
      inDocumentedProject(registry, async (project) => {
        await project.install()
        await project.publishes(worker, node)
      }),
    )
  }
  await check('without addons the error says why', () =>
    inDocumentedProject(registry, async (project) => {
      await project.install()
      const withoutPermission = permitted(process.versions.node).replace('--allow-addons', '')
      for (const command of ['node --no-addons app.js', withoutPermission]) {
        const { stderr } = await project.run(command).then(
          () => Promise.reject(new Error(`it runs: ${command}`)),
          (/** @type {import('node:child_process').ExecFileException} */ error) => error,
        )
        if (!/cannot load its binary .* loading addons is disabled/.test(stderr ?? ''))
          throw new Error(stderr)
      }
    }),
  )
  for (const script of scriptsOf('Other ways to start Node.js')) {
    await check(script, () =>
      inDocumentedProject(registry, async (project) => {
        await project.install()
        await project.publishes(script)
      }),
    )
  }
}

module.exports = { testRestrictions }
