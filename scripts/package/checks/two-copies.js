'use strict'

const { cpSync } = require('node:fs')
const { join } = require('node:path')
const { check } = require('../check.js')

/** @param {import('../project.js').Project} project */
async function testTwoCopies(project) {
  await check('two copies in one process, for one store', async () => {
    const copies = ['first', 'second'].map((name) => project.path('copies', name))
    for (const copy of copies) {
      cpSync(project.path('node_modules'), join(copy, 'node_modules'), { recursive: true })
    }
    await project.bootstraps('node', 'two-copies.js', ...copies)
  })
}

module.exports = { testTwoCopies }
