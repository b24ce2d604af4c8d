'use strict'

// A real Synapse on SQLite, in a temporary folder and on a free port. It tells what it has done: the requests, from
// its log, and the time of the processor.

const { execFileSync, spawn } = require('node:child_process')
const { mkdirSync, readFileSync, readdirSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const { join } = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')

/** What `scripts/test-e2e.js` has set up. */
const SYNAPSES = join(__dirname, '..', '.e2e')
const TOKEN = 'application-service-token-of-the-benchmark'
/** Of a second, in /proc. */
const TICKS = 100
const REQUEST = /^([\d.]+) .*Processed request: ([\d.]+)sec.*"(\w+) \/_matrix\/client\/v3\/([^?" ]+)/

/** @param {string[]} words */
const newest = (words) => words.sort(new Intl.Collator('en', { numeric: true }).compare).at(-1)

/** Why it cannot be started here. */
function missing() {
  if (process.platform !== 'linux') return 'it reads /proc'
  return installed() === undefined ? 'no Synapse: npm run test:e2e installs it' : undefined
}

function installed() {
  try {
    return newest(readdirSync(SYNAPSES).filter((name) => name.startsWith('synapse-')))
  } catch {
    return undefined
  }
}

async function freePort() {
  const server = createServer()
  await new Promise((listening) => server.listen(0, '127.0.0.1', () => listening(undefined)))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/**
 * @param {string} folder
 * @param {number} port
 */
function configuration(folder, port) {
  const fast = { per_second: 100_000, burst_count: 100_000 }
  const service = {
    id: 'ghosts',
    url: null,
    as_token: TOKEN,
    hs_token: 'homeserver-token',
    sender_localpart: '_ghosts',
    rate_limited: false,
    namespaces: { users: [{ exclusive: true, regex: '@_.*' }], rooms: [], aliases: [] },
    'io.element.msc4190': true,
  }
  const logging = {
    version: 1,
    formatters: { timed: { format: '%(created).3f %(message)s' } },
    handlers: {
      file: { class: 'logging.FileHandler', filename: join(folder, 'synapse.log'), formatter: 'timed' },
    },
    loggers: { 'synapse.access.http': { level: 'INFO' } },
    root: { level: 'WARNING', handlers: ['file'] },
  }
  const homeserver = {
    server_name: 'localhost',
    report_stats: false,
    pid_file: join(folder, 'synapse.pid'),
    signing_key_path: join(folder, 'signing.key'),
    media_store_path: join(folder, 'media'),
    log_config: join(folder, 'logging.json'),
    database: { name: 'sqlite3', args: { database: join(folder, 'homeserver.db') } },
    listeners: [{ port, type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client'] }] }],
    app_service_config_files: [join(folder, 'service.json')],
    macaroon_secret_key: 'benchmark',
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    federation_domain_whitelist: [],
    rc_message: fast,
    rc_registration: fast,
    rc_login: { address: fast, account: fast, failed_attempts: fast },
  }
  return { service, logging, homeserver }
}

class Synapse {
  /**
   * @param {string} url
   * @param {string} folder
   * @param {import('node:child_process').ChildProcess} child
   */
  constructor(url, folder, child) {
    this.url = url
    this.folder = folder
    this.child = child
    this.version = (installed() ?? '').replace('synapse-', '')
  }

  /** @param {string} folder */
  static async start(folder) {
    mkdirSync(folder, { recursive: true })
    const port = await freePort()
    // Synapse reads YAML, and all JSON is YAML.
    for (const [name, content] of Object.entries(configuration(folder, port))) {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(content))
    }
    const python = join(SYNAPSES, installed() ?? '', 'bin', 'python')
    const args = ['-m', 'synapse.app.homeserver', '-c', join(folder, 'homeserver.json')]
    execFileSync(python, [...args, '--generate-keys'], { cwd: folder })
    const child = spawn(python, args, { cwd: folder, stdio: 'ignore' })
    process.once('exit', () => child.kill('SIGKILL'))
    const synapse = new Synapse(`http://127.0.0.1:${port}`, folder, child)
    for (let waited = 0; waited < 60_000 && child.exitCode === null; waited += 100) {
      const healthy = await fetch(`${synapse.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      )
      if (healthy) return synapse
      await sleep(100)
    }
    throw new Error(`Synapse did not start: ${readFileSync(join(folder, 'synapse.log'), 'utf8')}`)
  }

  stop() {
    this.child.kill('SIGKILL')
  }

  /**
   * Sends a request as the application service, or as one of its users.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} body
   * @param {Record<string, string>} query
   */
  async send(method, path, body, query = {}) {
    const response = await fetch(`${this.url}/_matrix/client/v3${path}?${new URLSearchParams(query)}`, {
      method,
      headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }

  /**
   * Registers a ghost, and returns its user ID.
   *
   * @param {string} username
   * @returns {Promise<string>}
   */
  async register(username) {
    const body = { type: 'm.login.application_service', username, inhibit_login: true }
    const { user_id } = /** @type {{ user_id: string }} */ (await this.send('POST', '/register', body))
    return user_id
  }

  /** The seconds of the processor that it has taken. */
  processorTime() {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS
  }

  /**
   * The requests that have come since then, with the seconds in which they came and were answered.
   *
   * @param {number} since in seconds
   */
  requests(since) {
    const lines = readFileSync(join(this.folder, 'synapse.log'), 'utf8').split('\n')
    return lines.flatMap((line) => {
      const [, answered = '', took, method, path] = REQUEST.exec(line) ?? []
      if (path === undefined || Number(answered) - Number(took) < since) return []
      const name = `${method} ${path.replace(/^devices\/.*/, 'devices/{deviceId}')}`
      return [{ name, from: Number(answered) - Number(took), to: Number(answered) }]
    })
  }
}

module.exports = { Synapse, TOKEN, missing }
