'use strict'

// Compares the versions that a release needs to be the same, and finds its notes in CHANGELOG.md:
//   node scripts/check-version.js [TAG [FILE]]
// Without a tag, the notes are those of the next release. FILE is where the notes go.

const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '..')
const [tag, file] = process.argv.slice(2)

/** @param {string} name */
const read = (name) => readFileSync(join(root, name), 'utf8')

/**
 * The version of this crate in a file of cargo.
 *
 * @param {string} name
 */
function crateVersion(name) {
  return /^name = "rust-crypto-helper"\nversion = "(.*)"$/m.exec(read(name))?.[1]
}

/** @param {string} heading */
function notesUnder(heading) {
  const sections = read('CHANGELOG.md').split(/^## /m)
  const section = sections.find((text) => text.startsWith(`[${heading}]`))
  return section?.slice(section.indexOf('\n')).trim() ?? ''
}

const { version } = JSON.parse(read('package.json'))
const lock = JSON.parse(read('package-lock.json'))
/** @type {Record<string, string | undefined>} */
const versions = {
  'package-lock.json': lock.version,
  "package-lock.json's package": lock.packages[''].version,
  'Cargo.toml': crateVersion('Cargo.toml'),
  'Cargo.lock': crateVersion('Cargo.lock'),
  ...(tag === undefined ? {} : { 'the tag': tag.replace(/^v/, '') }),
}
const problems = Object.entries(versions)
  .filter(([, other]) => other !== version)
  .map(([name, other]) => `package.json has version ${version}, and ${name} has ${other}`)

const heading = tag === undefined ? 'Unreleased' : version
const notes = notesUnder(heading)
if (notes === '') problems.push(`CHANGELOG.md has nothing under [${heading}]`)

for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
if (file !== undefined) writeFileSync(file, `${notes}\n`)
console.log(`version ${version}, with notes under [${heading}]`)
