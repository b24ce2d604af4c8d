'use strict'

const { execFile } = require('node:child_process')
const { delimiter, dirname } = require('node:path')
const { promisify } = require('node:util')
const { check } = require('../check.js')
const { root } = require('../places.js')
const { nodePath, nodes } = require('../tools.js')

/** Runs the unit tests of the repository on the newest Node.js of every line. */
async function testUnits() {
  const newest = Object.fromEntries(nodes().map((version) => [parseInt(version), version]))
  for (const version of Object.values(newest)) {
    await check(`unit tests on Node.js ${version}`, async () => {
      const env = { ...process.env, PATH: `${dirname(nodePath(version))}${delimiter}${process.env.PATH}` }
      const options = { cwd: root, env, maxBuffer: 1e8 }
      const jest = require.resolve('jest/bin/jest')
      const { stderr } = await promisify(execFile)(nodePath(version), [jest], options)
      return /^Tests: +(.*)$/m.exec(stderr)?.[1]
    })
  }
}

module.exports = { testUnits }
