'use strict'

const { examine } = require('./examination.js')
const { readGhosts, writeGhost } = require('./ghosts.js')
const { print, visible } = require('./output.js')
const { isUnpublished, wayOut } = require('./problems.js')
const { Problems } = require('./report.js')
const { INTERRUPTED, commandLine, onInterrupt, readRun, untilAborted } = require('./run.js')
const { describe, ghosts, grouped } = require('./terminal.js')

/**
 * @typedef {import('./examination.js').Finding} Finding
 * @typedef {import('./run.js').Run} Run
 */

/** @type {import('./arguments.js').Command} */
const status = {
  name: 'status',
  synopsis:
    'rust-crypto-helper status --homeserver URL [--ghosts FILE] [--json] [--empty-passphrase]\n' +
    '         [<store_path>...]',
  parameters: ['[<store_path>...]'],
  options: ['--homeserver', '--ghosts', '--json', '--empty-passphrase'],

  async run(values, options) {
    const run = readRun(values, options)
    const controller = new AbortController()
    const { signal } = controller
    const stopListening = onInterrupt(
      () => controller.abort(),
      () => undefined,
    )
    const show = run.json ? new Lines() : new Overview(run)
    try {
      await untilAborted(signal, async () => {
        const entries = readGhosts(run.file, run.storePaths, signal)
        for await (const findings of examine(entries, run, signal)) await show.add(findings)
      })
    } finally {
      stopListening()
    }
    await show.end()
    if (signal.aborted) return INTERRUPTED
    return show.failed > 0 ? 1 : 0
  },
}

/** One object a line. */
class Lines {
  failed = 0

  /** @param {Finding[]} findings */
  async add(findings) {
    for (const { ghost, verdict, store, problem } of findings) {
      if (problem) this.failed++
      const verified = verdict?.verified ? { status: 'verified', master_key: verdict.master_key } : {}
      await print(
        JSON.stringify({ ...writeGhost(ghost), ...(problem ? { error: problem } : verified), store }),
      )
    }
  }

  async end() {}
}

const HEAD = ['user', 'device', 'homeserver', 'store']
const VERIFIED = 'verified'
/** The most ghosts that are named for a problem. The table has them all. */
const FEW = 3
const PUBLISH = 'Stop the bridge, so that no store is in use, and publish:'

/** A table, and then the problems. */
class Overview {
  failed = 0
  #done = 0
  #problems = new Problems()
  #terminal = describe(process.stdout)
  #rows
  #run

  /** @param {Run} run */
  constructor(run) {
    const { Rows } = require('./rows.js')
    this.#rows = new Rows(HEAD, this.#terminal)
    this.#run = run
  }

  /** @param {Finding[]} findings */
  async add(findings) {
    const rows = findings.map((finding) => cellsOf(finding).map(visible))
    await print(this.#rows.text(rows, styleOf))
    for (const { ghost, problem } of findings) {
      this.#done++
      if (!problem) continue
      this.failed++
      this.#problems.add(ghost, problem)
    }
  }

  async end() {
    const verified = this.#done - this.failed
    const summary = `${grouped(verified)} of ${ghosts(this.#done)} verified.`
    await print(`\n${this.#terminal.paint(this.failed === 0 ? 'green' : 'red', summary)}`)
    if (this.failed === 0) return
    const command = commandLine('publish', this.#run, this.#run.file)
    const text = this.#problems.text(this.#terminal, (code) => {
      if (isUnpublished(code)) return { text: PUBLISH, command, shown: FEW }
      return { text: wayOut(code), ...(code === 'STRAY_CIPHER' && { command }) }
    })
    await print(`\n${text}`)
  }
}

/**
 * @param {Finding} finding
 * @returns {string[]}
 */
function cellsOf({ ghost, verdict, store, problem }) {
  const { userId, deviceId = '', storePath = '', line } = ghost
  const name = userId ?? (storePath || `line ${line}`)
  if (verdict === undefined) return [name, deviceId, '', problem?.code ?? '']
  const served = verdict.verified ? VERIFIED : verdict.problem
  const isOfStore = problem && (verdict.verified || problem.code !== verdict.problem)
  return [name, deviceId, served, isOfStore ? problem.code : held(store)]
}

/** @param {Finding['store']} store */
function held(store) {
  if (!store) return 'no store'
  return store.identity === 'complete' ? 'identity' : 'no identity'
}

/**
 * @param {string} cell
 * @param {number} column
 * @returns {import('./rows.js').CellStyle}
 */
function styleOf(cell, column) {
  if (column < 2) return undefined
  if (cell === VERIFIED) return 'green'
  return cell === cell.toUpperCase() ? 'red' : undefined
}

module.exports = { status }
