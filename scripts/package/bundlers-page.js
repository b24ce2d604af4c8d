'use strict'

// docs/bundlers.md as the package test reads it: programs, and commands that run them.

const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { root } = require('./places.js')

const BLOCK = /^(?:## (?<heading>.*)|```(?<language>js|sh)\n(?<code>[^]*?)\n```)$/gm

function read() {
  const page = readFileSync(join(root, 'docs', 'bundlers.md'), 'utf8')
  /** @type {Record<string, string>} */
  const programs = {}
  /** @type {Record<string, string[]>} */
  const scripts = {}
  let section = ''
  for (const { groups: { heading, language, code = '' } = {} } of page.matchAll(BLOCK)) {
    if (heading) section = heading
    else if (language === 'sh') (scripts[section] ??= []).push(code)
    else programs[/^\/\/ (.*)$/m.exec(code)?.[1] ?? ''] = `${code}\n`
  }
  return { programs, scripts }
}

const { programs, scripts } = read()

/** The sections of the page that have commands. */
const sections = Object.keys(scripts)

/** The blocks of commands in a section. */
function scriptsOf(/** @type {string} */ section) {
  const found = scripts[section]
  if (!found) throw new Error(`docs/bundlers.md has no commands for ${section}`)
  return found
}

/** Writes the programs of the page into a folder. */
function writePrograms(/** @type {string} */ folder) {
  for (const [name, code] of Object.entries(programs)) writeFileSync(join(folder, name), code)
}

module.exports = { scriptsOf, sections, writePrograms }
