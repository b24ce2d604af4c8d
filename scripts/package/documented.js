'use strict'

const { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { delimiter, join } = require('node:path')
const { writePrograms } = require('./bundlers-page.js')
const { expectEqual } = require('./check.js')
const { serveHomeserver } = require('./homeserver.js')
const { Project } = require('./project.js')
const { bundlers, packageManagers } = require('./tools.js')

/** A project that does what docs/bundlers.md says. Its ghost is always the same, so its homeserver is new. */
class DocumentedProject {
  /** @type {Project} */
  #project
  /** @type {import('./loopback.js').Server} */
  #registry
  #homeserver

  /**
   * @param {string} folder
   * @param {import('./project.js').Servers} servers
   */
  constructor(folder, { registry, homeserver }) {
    this.#project = new Project(join(folder, 'project'), { registry, homeserver })
    this.#registry = registry
    this.#homeserver = homeserver
    this.folder = this.#project.folder
    writePrograms(this.folder)
    // Otherwise Yarn looks for the project in the folders above.
    writeFileSync(join(this.folder, 'yarn.lock'), '')
    link(packageManagers, join(folder, 'commands'))
  }

  /** Installs the package by npm, beside the bundlers. */
  async install() {
    await this.#project.run('npm', ['install', 'rust-crypto-helper'])
    link(bundlers, join(this.folder, 'node_modules', '.bin'))
  }

  /**
   * Runs commands of the page. The last one has to publish the ghost.
   *
   * @param {string} script
   * @param {string} [node] The folder of another Node.js.
   */
  async publishes(script, node) {
    const lines = (await this.run(script, node)).split('\n')
    expectEqual(lines.at(-1), 'created')
    if (!this.#homeserver.serves('@_ghost:example.org')) throw new Error('the homeserver does not serve it')
  }

  /**
   * The same, but the last command runs where nothing is but the bundle.
   *
   * @param {string} script
   */
  async publishesAlone(script) {
    const commands = script.split('\n')
    const last = commands.pop() ?? ''
    await this.run(commands.join('\n'))
    const elsewhere = join(this.folder, '..', 'elsewhere')
    mkdirSync(elsewhere)
    renameSync(join(this.folder, 'out'), join(elsewhere, 'out'))
    await this.publishes(`cd '${elsewhere}'\n${last}`)
  }

  /**
   * @param {string} script
   * @param {string} [node]
   */
  run(script, node) {
    const { url } = this.#registry
    const parent = join(this.folder, '..')
    const env = {
      AS_TOKEN: 'token',
      // Caches are in these, and go with the project.
      HOME: parent,
      TMPDIR: parent,
      pnpm_config_registry: url,
      YARN_ENABLE_TELEMETRY: '0',
      YARN_NPM_REGISTRY_SERVER: url,
      YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    }
    const paths = [join(parent, 'commands'), node, this.#project.env.PATH].filter(Boolean)
    return this.#project.run('bash', ['-ec', script], { ...env, PATH: paths.join(delimiter) })
  }
}

/**
 * @param {string[]} commands
 * @param {string} folder
 */
function link(commands, folder) {
  mkdirSync(folder, { recursive: true })
  for (const command of commands) symlinkSync(command, join(folder, command.split('/').at(-1) ?? ''))
}

/**
 * @param {import('./loopback.js').Server} registry
 * @param {(project: DocumentedProject) => Promise<unknown>} use
 */
async function inDocumentedProject(registry, use) {
  // Not in .package: npx and modules would find the tools of the package test in the folders above.
  const folder = mkdtempSync(join(tmpdir(), 'rust-crypto-helper-package-'))
  const homeserver = await serveHomeserver()
  try {
    await use(new DocumentedProject(folder, { registry, homeserver }))
  } finally {
    homeserver.close()
    rmSync(folder, { recursive: true })
  }
}

module.exports = { inDocumentedProject }
