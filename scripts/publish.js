'use strict'

// Packs the packages and publishes them on npm: those of the platforms first and the main one last, because nobody
// may find it without its binaries. What an interrupted run has published stays as it is. Options go to `npm publish`:
//   node scripts/publish.js [--provenance=false] [--dry-run]
// With --dry-run, npm does all but the upload, and packages whose binary is not here are left out.

const { execFileSync, spawnSync } = require('node:child_process')
const { join } = require('node:path')
const { checkContents } = require('./package/contents.js')
const { pack } = require('./pack.js')
const { version } = require('../package.json')

const root = join(__dirname, '..')
const OPTIONS = ['--provenance', '--access', 'public', '--loglevel', 'warn']
const options = process.argv.slice(2)
const isDryRun = options.includes('--dry-run')
// A version such as 1.0.0-rc.1 is for those who ask for it.
const tag = version.includes('-') ? 'next' : 'latest'

/** @param {string} name */
function isPublished(name) {
  return spawnSync('npm', ['view', `${name}@${version}`, 'version'], { cwd: root }).stdout.length > 0
}

/** @param {import('./pack.js').Packed} packed */
function publish({ path }) {
  const args = ['publish', path, ...OPTIONS, '--tag', tag, ...options]
  execFileSync('npm', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}

const packages = pack()
const packed = packages.filter((each) => each.path !== undefined)
for (const each of packed) checkContents(each)
const missing = packages.filter(({ path }) => path === undefined).map(({ manifest }) => manifest.name)
if (missing.length > 0 && !isDryRun) {
  console.error(`nothing is published, because there is no binary for ${missing.join(', ')}`)
  process.exit(1)
}
for (const each of packed) {
  if (isPublished(each.name)) {
    console.log(`${each.name} ${version} is published already`)
    continue
  }
  publish(each)
  const done = isDryRun ? 'can be published' : 'is published'
  console.log(`${each.name} ${version} ${done} as ${tag}: ${each.files.length} files, ${each.size} bytes`)
}
for (const each of missing) console.log(`${each} is left out: its binary is not here`)
