'use strict'

// Publishes many ghosts. A run goes on where an earlier one stopped, and never replaces an identity.

const { UsageError } = require('./arguments.js')
const { FailedFile } = require('./failed-file.js')
const { countGhosts, writeGhost } = require('./ghosts.js')
const { complain, print, visible } = require('./output.js')
const { wayOut, withWayOut } = require('./problems.js')
const { Progress } = require('./progress.js')
const { perform, rehearse } = require('./publication.js')
const { Problems } = require('./report.js')
const { INTERRUPTED, commandLine, onInterrupt, readRun } = require('./run.js')
const { describe, duration, ghosts, grouped, wrap } = require('./terminal.js')

/**
 * @typedef {import('./publication.js').Result} Result
 * @typedef {import('./run.js').Run} Run
 */

/** @type {import('./arguments.js').Command} */
const publish = {
  name: 'publish',
  synopsis:
    'rust-crypto-helper publish --homeserver URL [--ghosts FILE] [--json] [--concurrency N] [--dry-run]\n' +
    '         [--failed FILE] [--empty-passphrase] [<store_path>...]',
  parameters: ['[<store_path>...]'],
  options: [
    '--homeserver',
    '--ghosts',
    '--json',
    '--concurrency',
    '--dry-run',
    '--failed',
    '--empty-passphrase',
  ],

  async run(values, options) {
    const run = readRun(values, options)
    const isDry = options.has('--dry-run')
    const concurrency = readConcurrency(options.get('--concurrency'))
    const failed = options.get('--failed')
    const controller = new AbortController()
    const { signal } = controller
    /** @type {Progress | undefined} */
    let shown
    // This comes before the file of failed ghosts is made: after Ctrl-C it must have all ghosts that are left.
    const stopListening = onInterrupt(
      () => {
        controller.abort()
        void shown?.say('Finishing the ghosts at work. Press Ctrl-C again to stop at once.')
      },
      () => shown?.stop(),
    )
    const total = await countGhosts(run.file, run.storePaths)
    const file = failed === undefined ? undefined : new FailedFile(failed, run.file)
    // On the same terminal, a bar and lines of results would be mixed.
    const progress = new Progress(total, run.json && process.stdout.isTTY)
    shown = progress
    const tally = new Tally(run, progress, file, controller)
    const record = (/** @type {Result} */ result) => tally.record(result)
    try {
      if (isDry) await rehearse(run, record, signal)
      else await perform(run, record, { concurrency, signal, wantsRest: file !== undefined })
    } finally {
      progress.stop()
      stopListening()
      file?.close()
    }

    if (tally.fatal) await complain(tally.fatal)
    else if (signal.aborted) {
      const text = wrap(tally.interrupted(total), describe(process.stderr).columns)
      for (const line of text.split('\n')) await complain(line)
    }
    if (!run.json) await print(tally.summary(isDry, total, progress.seconds))
    if (!run.json && file && file.count > 0) {
      const command = commandLine('publish', { ...run, storePaths: [] }, failed)
      const where = `${ghosts(file.count)} in ${failed}. To publish them:`
      await print(`\n${visible(where)}\n    ${visible(command)}`)
    }
    if (signal.aborted && !tally.fatal) return INTERRUPTED
    return tally.failed > 0 ? 1 : 0
  },
}

/** @param {string | undefined} text */
function readConcurrency(text) {
  if (text === undefined) return undefined
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= 1 && Number.isSafeInteger(number)) return number
  throw new UsageError('--concurrency must be a whole number from 1')
}

/** Counts what becomes of the ghosts, and prints it. */
class Tally {
  failed = 0
  /** Why the run cannot go on. @type {string | undefined} */
  fatal
  #done = 0
  #isAnswered = false
  /** @type {Record<string, number>} */
  #statuses = {}
  #problems = new Problems()
  #run
  #progress
  #file
  #controller
  /** @type {Promise<void>} */
  #last = Promise.resolve()

  /**
   * @param {Run} run
   * @param {Progress} progress
   * @param {FailedFile | undefined} file
   * @param {AbortController} controller
   */
  constructor(run, progress, file, controller) {
    this.#run = run
    this.#progress = progress
    this.#file = file
    this.#controller = controller
  }

  /**
   * Records one result after another, so that lines of output are not mixed.
   *
   * @param {Result} result
   */
  record(result) {
    this.#last = this.#last.then(() => this.#record(result))
    return this.#last
  }

  /** @param {Result} result */
  async #record({ ghost, status, details, problem, isLeft = false }) {
    if (!status) this.#file?.add(ghost)
    if (isLeft) return
    this.#done++
    if (status) {
      this.#statuses[status] = (this.#statuses[status] ?? 0) + 1
      this.#isAnswered = true
    } else if (problem) {
      this.failed++
      this.#problems.add(ghost, problem)
      this.#considerEnd(problem)
    }
    this.#progress.update({ done: this.#done, failed: this.failed })
    if (!this.#run.json) return
    await print(
      JSON.stringify({ ...writeGhost(ghost), ...(problem ? { error: problem } : { status, ...details }) }),
      'Run the same command again to go on',
    )
  }

  /**
   * Ends the run if every ghost would fail like this one: each would take its time.
   *
   * @param {import('./problems.js').Problem} problem
   */
  #considerEnd({ code, message }) {
    const isRefused = code === 'M_UNKNOWN_TOKEN' || code === 'M_MISSING_TOKEN'
    const isUnreachable = code === 'NO_ANSWER' && !this.#isAnswered
    // What is wrong with a line is found before anybody is asked.
    if (code !== 'NO_ANSWER' && !code.startsWith('INVALID_')) this.#isAnswered = true
    if (this.fatal !== undefined || !(isRefused || isUnreachable)) return
    this.fatal = `${code}: ${withWayOut(code, message)}`
    this.#controller.abort()
  }

  /** @param {number | undefined} total */
  interrupted(total) {
    const left = total === undefined ? '' : `, ${grouped(total - this.#done)} not begun`
    const published = this.#done - this.failed
    return `Interrupted: ${grouped(published)} published, ${grouped(this.failed)} failed${left}. Run the same command again to go on.`
  }

  /**
   * @param {boolean} isDry
   * @param {number | undefined} total
   * @param {number} seconds
   */
  summary(isDry, total, seconds) {
    const terminal = describe(process.stdout)
    const published = this.#done - this.failed
    const statuses = Object.entries(this.#statuses).map(
      ([status, count]) => `${grouped(count)} ${status === 'published' ? 'published before' : status}`,
    )
    const outcome = isDry ? 'would be published' : `published in ${duration(seconds)}`
    const list = statuses.length > 0 ? `: ${statuses.join(', ')}` : ''
    const head = `${grouped(published)} of ${ghosts(total ?? this.#done)} ${outcome}${list}.`
    const colour = this.failed === 0 ? 'green' : 'red'
    const problems = this.#problems.text(terminal, (code) => ({ text: wayOut(code) }))
    return [terminal.paint(colour, head), problems].filter(Boolean).join('\n\n')
  }
}

module.exports = { publish }
