'use strict'

const { execFile } = require('node:child_process')
const { cpSync, existsSync, mkdirSync, writeFileSync } = require('node:fs')
const { basename, delimiter, dirname, join } = require('node:path')
const { promisify } = require('node:util')
const { expectEqual } = require('./check.js')
const { npmCache, sources, stores } = require('./places.js')

function withoutRust() {
  const { PATH = '' } = process.env
  const paths = PATH.split(delimiter).filter(
    (path) => !['cargo', 'rustc'].some((name) => existsSync(join(path, name))),
  )
  return [dirname(process.execPath), ...paths].join(delimiter)
}

let stored = 0

function newStore() {
  stored += 1
  return join(stores, `ghost${stored}`)
}

/**
 * The servers that a project may talk to.
 *
 * @typedef {{ registry: import('./loopback.js').Server, homeserver: import('./homeserver.js').Homeserver }} Servers
 */

/** A project of a stranger: a folder that depends on the package, where there is no Rust. */
class Project {
  /** @type {Servers['homeserver']} */
  #homeserver

  /**
   * @param {string} folder
   * @param {Servers} servers
   * @param {object} dependencies
   */
  constructor(folder, { registry, homeserver }, dependencies = {}) {
    this.folder = folder
    this.#homeserver = homeserver
    /** @type {NodeJS.ProcessEnv} */
    this.env = {
      PATH: withoutRust(),
      HOME: process.env.HOME,
      HOMESERVER_URL: homeserver.url,
      npm_config_audit: 'false',
      npm_config_cache: npmCache,
      npm_config_fund: 'false',
      npm_config_registry: registry.url,
    }
    cpSync(join(sources, 'project'), this.folder, { recursive: true })
    const manifest = { name: 'project', private: true, type: 'commonjs', dependencies }
    writeFileSync(join(this.folder, 'package.json'), JSON.stringify(manifest))
    mkdirSync(stores, { recursive: true })
  }

  /** @param {string[]} path */
  path(...path) {
    return join(this.folder, ...path)
  }

  /**
   * @param {string} command
   * @param {string[]} args
   * @param {NodeJS.ProcessEnv} env
   */
  async run(command, args, env = {}) {
    const options = { cwd: this.folder, env: { ...this.env, ...env }, timeout: 300_000 }
    return (await promisify(execFile)(command, args, options)).stdout.trim()
  }

  /**
   * Runs a program of the project that bootstraps a ghost.
   *
   * @param {string} command
   * @param {...string} args
   */
  async bootstraps(command, ...args) {
    expectEqual(await this.run(command, [...args, newStore()]), 'created')
  }

  /**
   * Runs a program of the project that publishes a ghost.
   *
   * @param {string} command
   * @param {...string} args
   */
  async publishes(command, ...args) {
    const store = newStore()
    const userId = `@_${basename(store)}:example.org`
    expectEqual(await this.run(command, [...args, store, userId]), 'created')
    if (!this.#homeserver.serves(userId)) throw new Error('the homeserver does not serve it')
  }
}

module.exports = { Project }
