'use strict'

const { check, expectEqual } = require('../check.js')
const { bun, deno, nodePath, nodes } = require('../tools.js')
const manifest = require('../../../package.json')

/** @param {import('../project.js').Project} project */
async function testRuntimes(project) {
  await check('engines promise what is tested', () => {
    const numbers = nodes().map((version) => version.split('.').map(Number))
    const [oldest = []] = numbers.sort(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d)
    expectEqual(manifest.engines.node, `>=${oldest.slice(0, 2).join('.')}`)
  })
  const runtimes = [
    ...nodes().map((version) => ({ name: `Node.js ${version}`, command: nodePath(version), args: [] })),
    { name: 'Bun', command: bun, args: [] },
    { name: 'Deno', command: deno, args: ['run', '--allow-all', '--no-prompt'] },
  ]
  for (const { name, command, args } of runtimes) {
    await check(`${name}, require`, () => project.bootstraps(command, ...args, 'require.js'))
    await check(`${name}, import`, () => project.bootstraps(command, ...args, 'import.mjs'))
    await check(`${name}, publisher, require`, () =>
      project.publishes(command, ...args, 'publisher/require.js'),
    )
    await check(`${name}, publisher, import`, () =>
      project.publishes(command, ...args, 'publisher/import.mjs'),
    )
  }
}

module.exports = { testRuntimes }
