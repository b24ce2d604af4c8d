'use strict'

// The file of the ghosts that are not published. It is a list of ghosts again.

const { closeSync, openSync, statSync, writeSync } = require('node:fs')
const { UsageError } = require('./arguments.js')
const { invalid, writeGhost } = require('./ghosts.js')

class FailedFile {
  #path
  #handle
  count = 0

  /**
   * @param {string} path
   * @param {string | undefined} ghosts the list of ghosts, which is read at the same time
   */
  constructor(path, ghosts) {
    if (ghosts !== undefined && isSame(path, ghosts)) {
      throw new UsageError('--failed and --ghosts are the same file')
    }
    this.#path = path
    this.#handle = this.#try(() => openSync(path, 'w'))
  }

  /**
   * A line that is no ghost is left out: it would fail again.
   *
   * @param {import('./ghosts.js').Ghost} ghost
   */
  add(ghost) {
    if (ghost.storePath === undefined) return
    this.#try(() => writeSync(this.#handle, `${JSON.stringify(writeGhost(ghost))}\n`))
    this.count++
  }

  close() {
    closeSync(this.#handle)
  }

  /**
   * @template T
   * @param {() => T} work
   */
  #try(work) {
    try {
      return work()
    } catch (error) {
      throw invalid(`--failed ${this.#path}: ${/** @type {Error} */ (error).message}`)
    }
  }
}

/**
 * @param {string} a
 * @param {string} b
 */
function isSame(a, b) {
  const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }))
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino
}

module.exports = { FailedFile }
