// A real Synapse with an application service, in a temporary folder and on a free port of this machine.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../../support/processes'

const PYTHON = join(ROOT, '.e2e', 'venv', 'bin', 'python')

export const SERVER_NAME = 'localhost'
export const AS_TOKEN = 'application-service-token-of-the-tests'

export interface SynapseOptions {
  /** Whether `PUT /devices/{id}` creates devices (MSC4190). Default true. */
  msc4190?: boolean
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export class Synapse {
  readonly url: string
  readonly #process: ChildProcess

  private constructor(url: string, process: ChildProcess) {
    this.url = url
    this.#process = process
  }

  static async start(folder: string, { msc4190 = true }: SynapseOptions = {}): Promise<Synapse> {
    mkdirSync(folder, { recursive: true })
    const port = await freePort()
    const fast = { per_second: 10_000, burst_count: 10_000 }
    // Synapse reads YAML, and all JSON is YAML.
    const registration = {
      id: 'tests',
      url: null,
      as_token: AS_TOKEN,
      hs_token: 'homeserver-token-of-the-tests',
      sender_localpart: '_bot',
      rate_limited: false,
      namespaces: { users: [{ exclusive: true, regex: '@_.*' }], rooms: [], aliases: [] },
      'io.element.msc4190': msc4190,
    }
    const logging = {
      version: 1,
      handlers: { file: { class: 'logging.FileHandler', filename: join(folder, 'synapse.log') } },
      root: { level: 'WARNING', handlers: ['file'] },
    }
    const homeserver = {
      server_name: SERVER_NAME,
      report_stats: false,
      pid_file: join(folder, 'synapse.pid'),
      signing_key_path: join(folder, 'signing.key'),
      media_store_path: join(folder, 'media'),
      log_config: join(folder, 'logging.json'),
      database: { name: 'sqlite3', args: { database: join(folder, 'homeserver.db') } },
      listeners: [{ port, type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client'] }] }],
      app_service_config_files: [join(folder, 'registration.json')],
      macaroon_secret_key: 'tests',
      registration_shared_secret: 'tests',
      enable_registration: true,
      enable_registration_without_verification: true,
      trusted_key_servers: [],
      suppress_key_server_warning: true,
      federation_domain_whitelist: [],
      rc_message: fast,
      rc_registration: fast,
      rc_login: { address: fast, account: fast, failed_attempts: fast },
      rc_joins: { local: fast, remote: fast },
      rc_invites: { per_room: fast, per_user: fast, per_issuer: fast },
    }
    for (const [name, content] of Object.entries({ registration, logging, homeserver })) {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(content))
    }

    const config = ['-c', join(folder, 'homeserver.json')]
    execFileSync(PYTHON, ['-m', 'synapse.app.homeserver', ...config, '--generate-keys'], { cwd: folder })
    const child = spawn(PYTHON, ['-m', 'synapse.app.homeserver', ...config], { cwd: folder, stdio: 'ignore' })
    const synapse = new Synapse(`http://127.0.0.1:${port}`, child)
    // The homeserver ends with the tests, however they end.
    process.once('exit', () => child.kill('SIGKILL'))

    for (let waited = 0; waited < 60_000; waited += 100) {
      if (child.exitCode !== null) break
      const healthy = await fetch(`${synapse.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      )
      if (healthy) return synapse
      await sleep(100)
    }
    await synapse.stop()
    throw new Error(`Synapse did not start:\n${readFileSync(join(folder, 'synapse.log'), 'utf8')}`)
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    const late = setTimeout(() => this.#process.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(late)
  }

  /** Sends a request as the application service, or as one of its users. The caller says what it answers. */
  async request<T = unknown>(method: string, path: string, userId?: string, body?: object): Promise<T> {
    const { status, answer } = await this.tryRequest<T>(method, path, userId, body)
    if (status !== 200) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`)
    return answer
  }

  async tryRequest<T = unknown>(
    method: string,
    path: string,
    userId?: string,
    body?: object,
    deviceId?: string,
  ): Promise<{ status: number; answer: T }> {
    const url = new URL(`/_matrix/client/v3${path}`, this.url)
    if (userId) url.searchParams.set('user_id', userId)
    if (deviceId) url.searchParams.set('device_id', deviceId)
    const response = await fetch(url, {
      method,
      headers: { Authorization: `Bearer ${AS_TOKEN}`, 'Content-Type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    return { status: response.status, answer: (await response.json()) as T }
  }

  /** Registers a ghost and returns its user ID. */
  async registerGhost(localpart: string): Promise<string> {
    const body = { type: 'm.login.application_service', username: localpart, inhibit_login: true }
    const { user_id } = await this.request<{ user_id: string }>('POST', '/register', undefined, body)
    return user_id
  }

  /** Registers a person and returns the session that a client needs. */
  async registerPerson(
    username: string,
  ): Promise<{ user_id: string; device_id: string; access_token: string }> {
    const response = await fetch(`${this.url}/_matrix/client/v3/register`, {
      method: 'POST',
      body: JSON.stringify({ username, password: 'password', auth: { type: 'm.login.dummy' } }),
    })
    return (await response.json()) as { user_id: string; device_id: string; access_token: string }
  }

  /** What the homeserver serves about a user. The user itself asks. */
  queryKeys(userId: string): Promise<ServedKeys> {
    return this.request('POST', '/keys/query', userId, { device_keys: { [userId]: [] } })
  }
}

interface ServedKey {
  keys: Record<string, string>
  signatures?: Record<string, Record<string, string>>
}

export interface ServedKeys {
  device_keys: Record<string, Record<string, ServedKey>>
  master_keys?: Record<string, ServedKey>
  self_signing_keys?: Record<string, ServedKey>
  user_signing_keys?: Record<string, ServedKey>
}
