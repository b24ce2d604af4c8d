'use strict'

// Reads which source file uses which, prints which room uses which, and fails on a circle of files or
// of rooms. A room is a top-level module. Tests are left out: they may use everything.
//   node scripts/check-layout.js [FOLDER]

const { existsSync, readFileSync } = require('node:fs')
const { dirname, join, relative } = require('node:path')

/**
 * @typedef {object} Token
 * @property {string} text
 * @property {number} line
 *
 * @typedef {object} Use A path in the source, or a part of a `use` declaration.
 * @property {string[]} path
 * @property {string | undefined} name What a declaration calls it in its module; `*` for everything.
 * @property {boolean} exported
 * @property {number} line
 *
 * @typedef {object} Module
 * @property {string[]} path Its names from the crate down. The crate's is empty.
 * @property {string} file
 * @property {string} folder Where the files of its children are.
 * @property {Module | undefined} parent
 * @property {Map<string, Module>} children
 * @property {Use[]} uses
 * @property {Set<string>} words The identifiers outside of `use` declarations.
 *
 * @typedef {Map<string, Map<string, string>>} Graph Who uses whom, and an example of where.
 */

const TOKENS = new RegExp(
  [
    /\/\/.*|\/\*[^]*?\*\//, // comments
    /\b[bc]?r(#*)"[^]*?"\1|(?:\b[bc])?"(?:\\[^]|[^"\\])*"/, // strings, raw or not
    /(?:\bb)?'(?:\\(?:u\{.*?\}|x..|.)|[^'\\])'/, // characters
    /'\w+/, // lifetimes
    /\w+|::|\.\.|\S/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gu',
)
const WORD = /^[A-Za-z_]\w*$/
const ITEMS =
  /^(?:async|const|enum|extern|fn|impl|macro_rules|mod|pub|static|struct|trait|type|union|unsafe|use)$/

/**
 * @param {string} source
 * @returns {Token[]}
 */
function tokenize(source) {
  let [line, end] = [1, 0]
  const tokens = []
  for (const { 0: text, index } of source.matchAll(TOKENS)) {
    line += source.slice(end, index).split('\n').length - 1
    end = index
    if (!/^(?:\/[/*]|'\w+$)/.test(text)) tokens.push({ text, line })
  }
  return tokens
}

class Cursor {
  /** @param {Token[]} tokens */
  constructor(tokens) {
    this.tokens = tokens
    this.at = 0
  }

  get line() {
    return this.tokens[this.at]?.line ?? 0
  }

  /** The text at this place, or so many tokens away. Empty outside of the source. */
  peek(offset = 0) {
    return this.tokens[this.at + offset]?.text ?? ''
  }

  take() {
    const text = this.peek()
    this.at += 1
    return text
  }

  /** @param {string} text */
  takeIf(text) {
    const there = this.peek() === text
    if (there) this.at += 1
    return there
  }

  /** Takes a group from its opening bracket to the closing one. Returns its text. */
  takeGroup() {
    let [depth, text] = [0, '']
    do {
      if (/^[([{]$/.test(this.peek())) depth += 1
      if (/^[)\]}]$/.test(this.peek())) depth -= 1
      text += this.take()
    } while (depth > 0 && this.at < this.tokens.length)
    return text
  }

  /** Takes an item, a statement, a field or an arm: up to its semicolon, its comma or its body. */
  skipItem() {
    while (this.peek() === '#') this.takeAttribute()
    const ends = ITEMS.test(this.peek()) ? [';'] : [';', ',']
    for (;;) {
      const next = this.peek()
      if (next === '' || /^[)\]}]$/.test(next)) return
      if (/^[([{]$/.test(next)) this.takeGroup()
      else this.at += 1
      if (next === '{' || ends.includes(next)) return
    }
  }

  takeAttribute() {
    this.take()
    this.takeIf('!')
    return this.takeGroup()
  }
}

/** @param {string} attribute */
const isForTests = (attribute) => /^\[cfg\((?:all\((?:[^()]*,)?)?test[,)]/.test(attribute)

/**
 * @param {Cursor} cursor What follows `use`: `a::{b, c as d}` is two paths.
 * @param {string[]} prefix
 * @returns {Omit<Use, 'exported'>[]}
 */
function readUseTree(cursor, prefix = []) {
  const path = [...prefix]
  const { line } = cursor
  do {
    if (cursor.takeIf('*')) return [{ path, name: '*', line }]
    if (cursor.takeIf('{')) {
      const parts = []
      while (!cursor.takeIf('}')) {
        parts.push(...readUseTree(cursor, path))
        cursor.takeIf(',')
      }
      return parts
    }
    if (cursor.peek() !== '::') path.push(cursor.take())
  } while (cursor.takeIf('::'))
  if (path.length > 1 && path.at(-1) === 'self') path.pop()
  return [{ path, name: cursor.takeIf('as') ? cursor.take() : path.at(-1), line }]
}

/**
 * @param {string} name
 * @param {Module} parent
 * @param {boolean} inline
 * @returns {Module}
 */
function makeModule(name, parent, inline) {
  const folder = join(parent.folder, name)
  const files = [`${folder}.rs`, join(folder, 'mod.rs')]
  const file = inline ? parent.file : files.find((each) => existsSync(each))
  if (file === undefined) throw new Error(`${parent.file}: there is no file for the module ${name}`)
  const path = [...parent.path, name]
  return { path, file, folder, parent, children: new Map(), uses: [], words: new Set() }
}

/**
 * Reads the items of a module, and those of its children, up to the end of its source or block.
 *
 * @param {Module} module
 * @param {Cursor} cursor
 */
function readItems(module, cursor) {
  let exported = false
  for (let depth = 0; depth >= 0 && cursor.peek() !== '';) {
    const { line } = cursor
    const text = cursor.peek()
    if (text === '#' && /^[[!]$/.test(cursor.peek(1))) {
      if (isForTests(cursor.takeAttribute())) cursor.skipItem()
      continue
    }
    const before = cursor.peek(-1)
    cursor.take()
    if (text === 'pub') {
      if (cursor.peek() === '(' && /^(?:crate|in|self|super)$/.test(cursor.peek(1))) cursor.takeGroup()
      exported = true
      continue
    }
    if (text === 'mod' && WORD.test(cursor.peek())) {
      const name = cursor.take()
      const inline = cursor.take() === '{'
      const child = makeModule(name, module, inline)
      module.children.set(name, child)
      readItems(child, inline ? cursor : new Cursor(tokenize(readFileSync(child.file, 'utf8'))))
    } else if (text === 'use' && cursor.peek() !== '<') {
      for (const part of readUseTree(cursor)) module.uses.push({ ...part, exported })
    } else if (WORD.test(text) && !/^(?:::|\.)$/.test(before)) {
      module.words.add(text)
      const path = [text]
      while (cursor.peek() === '::' && WORD.test(cursor.peek(1))) {
        cursor.take()
        path.push(cursor.take())
      }
      if (path.length > 1) module.uses.push({ path, name: undefined, exported: false, line })
    }
    exported = false
    if (text === '{') depth += 1
    if (text === '}') depth -= 1
  }
}

/**
 * @param {string} folder
 * @returns {Module}
 */
function readCrate(folder) {
  const file = join(folder, 'lib.rs')
  /** @type {Module} */
  const crate = { path: [], file, folder, parent: undefined, children: new Map(), uses: [], words: new Set() }
  readItems(crate, new Cursor(tokenize(readFileSync(file, 'utf8'))))
  return crate
}

/**
 * The module in which the thing with this path is defined, whatever re-exports it on the way. Nothing
 * for a path out of this crate.
 *
 * @param {Module} module
 * @param {string[]} path
 * @param {Set<Use>} seen
 * @returns {Module | undefined}
 */
function resolve(module, path, seen = new Set()) {
  /** @type {Module | undefined} */
  let found
  for (const [index, name] of path.entries()) {
    /** @type {Module} */
    const place = found ?? module
    if (name === 'crate') {
      found = place
      while (found.parent) found = found.parent
    } else if (name === 'self' || name === 'super') {
      found = name === 'self' ? place : place.parent
    } else if (place.children.has(name)) {
      found = place.children.get(name)
    } else {
      const imported = place.uses.find((use) => use.name === name && !seen.has(use))
      if (!imported) return found
      const target = resolve(place, imported.path, new Set([...seen, imported]))
      if (!target || target.path.at(-1) !== imported.path.at(-1)) return target
      found = target
    }
    if (!found) throw new Error(`${module.file}: cannot follow ${path.slice(0, index + 1).join('::')}`)
  }
  return found
}

/**
 * @param {Module} module
 * @returns {Module[]}
 */
const withChildren = (module) => [module, ...[...module.children.values()].flatMap(withChildren)]

/**
 * A door, not a use: the module offers something of its children, and does nothing with it.
 *
 * @param {Use} use
 * @param {Module} module
 * @param {Module} target
 */
const isDoor = ({ exported, name }, module, target) =>
  exported &&
  name !== undefined &&
  name !== '*' &&
  !module.words.has(name) &&
  module.path.every((part, index) => target.path[index] === part)

/**
 * @param {Module} crate
 * @param {(module: Module) => string} nameOf
 * @returns {Graph}
 */
function makeGraph(crate, nameOf) {
  /** @type {Graph} */
  const graph = new Map()
  for (const module of withChildren(crate)) {
    const from = nameOf(module)
    const uses = graph.get(from) ?? new Map()
    graph.set(from, uses)
    for (const use of module.uses) {
      const target = resolve(module, use.path)
      if (!target || isDoor(use, module, target)) continue
      const to = nameOf(target)
      const where = `${relative('', module.file)}:${use.line} uses ${use.path.join('::')}`
      if (to !== from && !uses.has(to)) uses.set(to, where)
    }
  }
  return graph
}

/**
 * A shortest way from a name back to it, if there is one.
 *
 * @param {Graph} graph
 * @param {string} start
 */
function findCircle(graph, start) {
  const ways = [[start]]
  const seen = new Set()
  for (const way of ways) {
    for (const next of graph.get(way.at(-1) ?? '')?.keys() ?? []) {
      if (next === start) return [...way, start]
      if (!seen.has(next)) ways.push([...way, next])
      seen.add(next)
    }
  }
  return undefined
}

/**
 * The circles in words, the shortest first, as far as they have no step in common.
 *
 * @param {Graph} graph
 * @param {string} kind
 */
function describeCircles(graph, kind) {
  const circles = [...graph.keys()].flatMap((start) => {
    const circle = findCircle(graph, start)
    return circle ? [circle] : []
  })
  const told = new Set()
  return circles
    .sort((a, b) => a.length - b.length)
    .flatMap((circle) => {
      const steps = circle.slice(1).map((to, index) => graph.get(circle[index] ?? '')?.get(to))
      if (steps.some((step) => told.has(step))) return []
      steps.forEach((step) => told.add(step))
      return [`circle of ${kind}: ${circle.join(' -> ')}`, ...steps.map((step) => `  ${step}`)]
    })
}

/**
 * The names, each before those that it uses, as far as there is no circle.
 *
 * @param {Graph} graph
 */
function inOrder(graph) {
  /** @type {string[]} */
  const order = []
  const visited = new Set()
  /** @param {string} name */
  const visit = (name) => {
    if (visited.has(name)) return
    visited.add(name)
    for (const used of [...(graph.get(name)?.keys() ?? [])].sort()) visit(used)
    order.unshift(name)
  }
  for (const name of [...graph.keys()].sort().reverse()) visit(name)
  return order
}

function main(folder = join(__dirname, '..', 'src')) {
  const crate = readCrate(folder)
  const files = makeGraph(crate, ({ file }) => relative(dirname(crate.file), file))
  const rooms = makeGraph(crate, ({ path }) => path[0] ?? 'lib')
  const width = Math.max(...Array.from(rooms.keys(), (name) => name.length))
  for (const room of inOrder(rooms)) {
    const used = [...(rooms.get(room)?.keys() ?? [])].sort().join(', ')
    console.log(`${room.padEnd(width)}  ->  ${used || 'nothing'}`)
  }
  const circles = [...describeCircles(files, 'files'), ...describeCircles(rooms, 'rooms')]
  if (circles.length === 0) return
  console.error(circles.join('\n'))
  process.exitCode = 1
}

main(process.argv[2])
