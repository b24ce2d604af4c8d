'use strict'

// The types of both entry points, found in every way that TypeScript has for packages of Node.js.

const { join } = require('node:path')
const { check } = require('../check.js')
const { tsc } = require('../tools.js')

const BOTH = ['mts', 'cts']
const RESOLUTIONS = [
  { resolution: 'node16', module: 'node16', kinds: BOTH },
  { resolution: 'nodenext', module: 'nodenext', kinds: BOTH },
  { resolution: 'bundler', module: 'esnext', kinds: ['mts'] },
  // Deprecated, and what a project has that sets only `module: commonjs` with TypeScript before 6.
  { resolution: 'node10', module: 'commonjs', kinds: ['cts'] },
]

/**
 * Compiles the programs of a project and runs them.
 *
 * @param {import('../project.js').Project} project
 * @param {(typeof RESOLUTIONS)[number]} how
 */
async function compile(project, { resolution, module, kinds }) {
  const options = ['--ignoreConfig', '--ignoreDeprecations', '6.0', '--strict', '--target', 'es2022']
  const sources = kinds.flatMap((kind) => [`typed.${kind}`, `publisher/typed.${kind}`])
  const how = ['--module', module, '--moduleResolution', resolution, '--outDir', resolution]
  await project.run('node', [tsc, ...options, '--types', 'node', ...how, ...sources])
  for (const kind of kinds) {
    const compiled = `typed.${kind.replace('ts', 'js')}`
    await project.bootstraps('node', join(resolution, compiled))
    await project.publishes('node', join(resolution, 'publisher', compiled))
  }
}

/** @param {import('../project.js').Project} project */
async function testCompilers(project) {
  for (const how of RESOLUTIONS) await check(`TypeScript, ${how.resolution}`, () => compile(project, how))
}

/** @param {import('../project.js').Project} project */
const compileForNode = (project) =>
  compile(project, { resolution: 'nodenext', module: 'nodenext', kinds: BOTH })

module.exports = { compileForNode, testCompilers }
