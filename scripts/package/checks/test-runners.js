'use strict'

const { join } = require('node:path')
const { check } = require('../check.js')
const { folder } = require('../places.js')
const { jest, vitest } = require('../tools.js')

/** @param {import('../project.js').Project} project */
async function testTestRunners(project) {
  for (const version of ['29', '30']) {
    // Without the times of an earlier run Jest starts its workers; with them it may not.
    const args = [jest(version), 'jest/', '--maxWorkers=2', '--cacheDirectory']
    await check(`Jest ${version}, processes`, () =>
      project.run('node', [...args, join(folder, 'jest', `${version}-processes`)]).then(() => undefined),
    )
    await check(`Jest ${version}, threads`, () =>
      project
        .run('node', [...args, join(folder, 'jest', `${version}-threads`), '--workerThreads'], {
          WORKERS: 'threads',
        })
        .then(() => undefined),
    )
  }
  for (const pool of ['forks', 'threads']) {
    await check(`Vitest, ${pool}`, () =>
      project
        .run('node', [vitest, 'run', 'vitest/', `--pool=${pool}`], { WORKERS: pool })
        .then(() => undefined),
    )
  }
}

module.exports = { testTestRunners }
