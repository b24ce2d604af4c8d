// A real Synapse with an application service, in a temporary folder and on a free port of this machine.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CrossSigningBootstrap } from 'rust-crypto-helper'
import { ROOT } from '../../support/processes'
import { type AccountData, DEFAULT_KEY, defaultKeyId, SECRETS } from '../../support/secret-storage'

/** The versions of Synapse that `scripts/test-e2e.js` can install, the oldest first. */
export const VERSIONS = readdirSync(join(__dirname, '..', 'synapses'))
  .map((name) => name.replace('.txt', ''))
  .sort(new Intl.Collator('en', { numeric: true }).compare)

export const SERVER_NAME = 'localhost'
export const AS_TOKEN = 'application-service-token-of-the-tests'
// Of a second application service, which stands for an identity provider: it makes bots without a password.
const BOTS_TOKEN = 'token-of-the-application-service-for-bots'
const SHARED_SECRET = 'shared-secret-of-the-tests'

export interface SynapseOptions {
  /** One of `VERSIONS`. Default: the newest. */
  version?: string
  /** Whether `PUT /devices/{id}` creates devices (MSC4190). Default true. */
  msc4190?: boolean
  /**
   * Whether a Synapse before 1.141 takes the device of an application service from the query, under an unstable
   * name (MSC3202). Default false, as in Synapse.
   */
  msc3202?: boolean
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
  #admin: string | undefined

  private constructor(url: string, process: ChildProcess) {
    this.url = url
    this.#process = process
  }

  static async start(
    folder: string,
    { version = VERSIONS.at(-1)!, msc4190 = true, msc3202 = false }: SynapseOptions = {},
  ): Promise<Synapse> {
    const python = join(ROOT, '.e2e', `synapse-${version}`, 'bin', 'python')
    mkdirSync(folder, { recursive: true })
    const port = await freePort()
    const fast = { per_second: 10_000, burst_count: 10_000 }
    // Synapse reads YAML, and all JSON is YAML.
    const register = (id: string, as_token: string, regex: string) => ({
      id,
      url: null,
      as_token,
      hs_token: `homeserver-token-for-${id}`,
      sender_localpart: `_${id}`,
      rate_limited: false,
      namespaces: { users: [{ exclusive: true, regex }], rooms: [], aliases: [] },
    })
    const ghosts = { ...register('ghosts', AS_TOKEN, '@_.*'), 'io.element.msc4190': msc4190 }
    const bots = register('bots', BOTS_TOKEN, '@bot.*')
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
      app_service_config_files: [join(folder, 'ghosts.json'), join(folder, 'bots.json')],
      macaroon_secret_key: 'tests',
      registration_shared_secret: SHARED_SECRET,
      enable_registration: true,
      enable_registration_without_verification: true,
      trusted_key_servers: [],
      suppress_key_server_warning: true,
      federation_domain_whitelist: [],
      experimental_features: { msc3202_device_masquerading: msc3202 },
      rc_message: fast,
      rc_registration: fast,
      rc_login: { address: fast, account: fast, failed_attempts: fast },
      rc_joins: { local: fast, remote: fast },
      rc_invites: { per_room: fast, per_user: fast, per_issuer: fast },
    }
    for (const [name, content] of Object.entries({ ghosts, bots, logging, homeserver })) {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(content))
    }

    const config = ['-c', join(folder, 'homeserver.json')]
    execFileSync(python, ['-m', 'synapse.app.homeserver', ...config, '--generate-keys'], { cwd: folder })
    const child = spawn(python, ['-m', 'synapse.app.homeserver', ...config], { cwd: folder, stdio: 'ignore' })
    const synapse = new Synapse(`http://127.0.0.1:${port}`, child)
    // The homeserver ends with the tests, however they end.
    const end = () => child.kill('SIGKILL')
    process.once('exit', end)
    child.once('exit', () => process.off('exit', end))

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
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`)
    return answer
  }

  async tryRequest<T = unknown>(
    method: string,
    path: string,
    userId?: string,
    body?: object,
    deviceId?: string,
  ): Promise<{ status: number; answer: T }> {
    const query = { ...(userId && { user_id: userId }), ...(deviceId && { device_id: deviceId }) }
    const search = new URLSearchParams(query).toString()
    return this.#send(method, `/_matrix/client/v3${path}?${search}`, AS_TOKEN, body)
  }

  /** Sends a request as the owner of an access token. */
  async requestAs<T = unknown>(token: string, method: string, path: string, body?: object): Promise<T> {
    const { status, answer } = await this.#send<T>(method, `/_matrix/client/v3${path}`, token, body)
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`)
    return answer
  }

  async #send<T>(
    method: string,
    path: string,
    token: string | undefined,
    body?: object,
  ): Promise<{ status: number; answer: T }> {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(token && { Authorization: `Bearer ${token}` }), 'Content-Type': 'application/json' },
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

  /** Makes a device of a ghost, as an application service can from Synapse 1.138 on (MSC4190). */
  makeDevice(userId: string, deviceId: string): Promise<unknown> {
    return this.request('PUT', `/devices/${deviceId}`, userId, {})
  }

  /** Sends all that is in a result of `bootstrapCrossSigning`, in the documented order. */
  async upload(userId: string, deviceId: string, payloads: CrossSigningBootstrap): Promise<void> {
    const { upload_device_keys, upload_keys, upload_signatures } = payloads
    const requests: [string, object | undefined][] = [
      ['/keys/upload', upload_device_keys],
      ['/keys/device_signing/upload', upload_keys],
      ['/keys/signatures/upload', upload_signatures],
    ]
    for (const [path, body] of requests) {
      if (body === undefined) continue
      const { status, answer } = await this.tryRequest<object>('POST', path, userId, body, deviceId)
      expect({ path, status, failures: {}, ...answer }).toMatchObject({ path, status: 200, failures: {} })
    }
  }

  /** Registers a person and returns the session that a client needs. */
  async registerPerson(username: string): Promise<Session> {
    const body = { username, password: 'password', auth: { type: 'm.login.dummy' } }
    const { answer } = await this.#send<Session>('POST', '/_matrix/client/v3/register', undefined, body)
    return answer
  }

  /** Registers a bot without a password and returns its session. */
  async registerBot(localpart: string, deviceId: string): Promise<Session> {
    const type = 'm.login.application_service'
    const post = async <T>(path: string, body: object) =>
      (await this.#send<T>('POST', `/_matrix/client/v3${path}`, BOTS_TOKEN, { type, ...body })).answer
    const registration = { username: localpart, inhibit_login: true }
    const { user_id } = await post<{ user_id: string }>('/register', registration)
    return post<Session>('/login', { identifier: { type: 'm.id.user', user: user_id }, device_id: deviceId })
  }

  /** Logs a ghost in, as an application service without MSC4190 can. */
  async login(userId: string, deviceId: string): Promise<Session> {
    const identifier = { type: 'm.id.user', user: userId }
    const body = { type: 'm.login.application_service', identifier, device_id: deviceId }
    return this.request('POST', '/login', undefined, body)
  }

  /** Gives a user a password, as an administrator can. */
  async setPassword(userId: string, password: string): Promise<void> {
    this.#admin ??= await this.#registerAdmin()
    const path = `/_synapse/admin/v1/reset_password/${userId}`
    const body = { new_password: password, logout_devices: false }
    const { status, answer } = await this.#send('POST', path, this.#admin, body)
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`)
  }

  /** Logs a user in, as a person does. */
  async loginWithPassword(userId: string, password: string, deviceId?: string): Promise<Session> {
    const identifier = { type: 'm.id.user', user: userId }
    const body = { type: 'm.login.password', identifier, password, device_id: deviceId }
    return (await this.#send<Session>('POST', '/_matrix/client/v3/login', undefined, body)).answer
  }

  /** Deletes a device, as an administrator can. */
  async deleteDevice(userId: string, deviceId: string): Promise<void> {
    this.#admin ??= await this.#registerAdmin()
    const path = `/_synapse/admin/v2/users/${userId}/devices/${deviceId}`
    const { status, answer } = await this.#send('DELETE', path, this.#admin)
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`)
  }

  async #registerAdmin(): Promise<string> {
    const path = '/_synapse/admin/v1/register'
    const { nonce } = (await this.#send<{ nonce: string }>('GET', path, undefined)).answer
    const account = { nonce, username: 'admin', password: 'password' }
    const mac = createHmac('sha1', SHARED_SECRET)
      .update([...Object.values(account), 'admin'].join('\0'))
      .digest('hex')
    const body = { ...account, admin: true, mac }
    return (await this.#send<Session>('POST', path, undefined, body)).answer.access_token
  }

  /** The account data of a user that are about its secret storage, by type. */
  async secretStorage(userId: string): Promise<AccountData> {
    const accountData: AccountData = {}
    const read = async (type: string) => {
      const path = `/user/${userId}/account_data/${type}`
      const { status, answer } = await this.tryRequest<object>('GET', path, userId)
      if (status === 200) accountData[type] = answer
    }
    for (const type of [DEFAULT_KEY, ...SECRETS]) await read(type)
    if (DEFAULT_KEY in accountData) await read(`m.secret_storage.key.${defaultKeyId(accountData)}`)
    return accountData
  }

  /** What the homeserver serves about a user. The user itself asks. */
  queryKeys(userId: string): Promise<ServedKeys> {
    return this.request('POST', '/keys/query', userId, { device_keys: { [userId]: [] } })
  }

  /** What the homeserver serves to somebody else about users. */
  async queryKeysAs({ access_token }: Session, ...userIds: string[]): Promise<ServedKeys> {
    const body = { device_keys: Object.fromEntries(userIds.map((userId) => [userId, []])) }
    return (await this.#send<ServedKeys>('POST', '/_matrix/client/v3/keys/query', access_token, body)).answer
  }
}

export interface Session {
  user_id: string
  device_id: string
  access_token: string
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
