// A homeserver of our own, on loopback. It keeps what it is given: users, devices, keys, signatures and account
// data. It behaves like one of the kinds of homeservers, and tests decide what becomes of single requests.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type DeviceKeys } from 'rust-crypto-helper'
import { type InteractiveAuth, type Kind, KINDS, type KindName, type Refusal } from './homeserver-kinds'
import { canonicalJson, isSignedBy } from './signatures'

export const AS_TOKEN = 'application-service-token-of-the-tests'

type Json = Record<string, unknown>

export interface Answer {
  status: number
  headers?: Record<string, string> | undefined
  /** A string is sent as it is, everything else as JSON. */
  body?: unknown
}

/**
 * What becomes of a request. `handled`: the homeserver does what it is asked. An answer: it does nothing and
 * answers that. A function: it does what it is asked, and the answer is changed. `cut`: the connection ends
 * before it does anything. `lost`: it ends after that, without an answer. `half`: it ends in the middle of the
 * answer. `never`: nothing happens.
 */
export type Fate = 'handled' | 'cut' | 'lost' | 'half' | 'never' | Answer | ((answer: Answer) => Answer)

const ENDPOINTS = [
  'keys/query',
  'keys/upload',
  'keys/device_signing/upload',
  'keys/signatures/upload',
  'login',
  'account/whoami',
  'devices',
  'account_data',
] as const

export type Endpoint = (typeof ENDPOINTS)[number]

export interface Seen {
  method: string
  endpoint: Endpoint
  path: string
  query: Record<string, string>
  token: string | undefined
  body: Json
}

interface Signed extends Json {
  keys: Record<string, string>
  signatures: Record<string, Record<string, string>>
}

class User {
  readonly devices = new Map<string, { display_name?: string | undefined }>()
  readonly deviceKeys = new Map<string, Signed>()
  readonly identity: { master_key?: Signed; self_signing_key?: Signed; user_signing_key?: Signed } = {}
  readonly accountData = new Map<string, object>()
  /** A person or an administrator has allowed to replace the identity. */
  mayReplace = false
}

interface Session {
  userId: string
  deviceId: string | undefined
  isService: boolean
}

class Refused extends Error {
  readonly answer: Answer

  constructor(answer: Refusal) {
    super('refused')
    this.answer = answer
  }
}

function refuse(status: number, errcode: string, error: string): never {
  throw new Refused({ status, body: { errcode, error } })
}

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null
const content = ({ signatures: _signatures, unsigned: _unsigned, ...rest }: Json) => canonicalJson(rest)
const firstKey = (key: Signed) => Object.entries(key.keys)[0]!

export class Homeserver {
  readonly kind: Kind
  /** Where clients find it. */
  readonly url: string
  readonly seen: Seen[] = []
  /** How many requests wait for an answer on an open connection. */
  waiting = 0
  /** Before it takes an identity. It comes from the kind, and tests may change it. */
  interactiveAuth: InteractiveAuth | undefined
  readonly #users = new Map<string, User>()
  readonly #tokens = new Map<string, Session>()
  readonly #interactive = new Map<string, { userId: string; completed: string[] }>()
  readonly #fates = new Map<Endpoint, Fate[]>()
  readonly #always = new Map<Endpoint, () => Fate>()
  readonly #base: string
  readonly #server: Server
  #count = 0

  private constructor(kind: Kind, server: Server, origin: string, base: string) {
    this.kind = kind
    this.interactiveAuth = typeof kind.replacing === 'object' ? kind.replacing : undefined
    this.#server = server
    this.url = origin + base
    this.#base = base
  }

  /** Starts a homeserver of a kind. `base` is the path in front of `/_matrix`. */
  static async start(kind: KindName | Kind = 'Synapse from 1.141 on', base = ''): Promise<Homeserver> {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const origin = `http://127.0.0.1:${address.port}`
    const homeserver = new Homeserver(typeof kind === 'string' ? KINDS[kind] : kind, server, origin, base)
    server.on('request', (request, response) => {
      homeserver.#serve(request, response).catch(() => request.socket.destroy())
    })
    return homeserver
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((closed) => this.#server.close(closed))
  }

  /** Decides about the next requests to an endpoint, in order. Those after them are handled. */
  next(endpoint: Endpoint, ...fates: Fate[]): void {
    this.#fates.set(endpoint, [...(this.#fates.get(endpoint) ?? []), ...fates])
  }

  /** Decides about all requests to an endpoint. */
  always(endpoint: Endpoint, fate: Fate): void {
    this.decide(endpoint, () => fate)
  }

  /** Decides about each request to an endpoint when it comes. */
  decide(endpoint: Endpoint, decision: () => Fate): void {
    this.#always.set(endpoint, decision)
  }

  /** The requests since the last call of this function, as method and endpoint. */
  requests(): string[] {
    return this.seen.splice(0).map(({ method, endpoint }) => `${method} ${endpoint}`)
  }

  /** Makes a user, as a registration does. */
  register(userId: string): User {
    const user = new User()
    this.#users.set(userId, user)
    return user
  }

  user(userId: string): User {
    const user = this.#users.get(userId)
    if (!user) refuse(403, 'M_FORBIDDEN', `Application service has not registered this user (${userId})`)
    return user
  }

  /** Makes a device and an access token for it, as the login of a person or a bot does. */
  logIn(userId: string, deviceId: string): string {
    if (!this.user(userId).devices.has(deviceId)) this.user(userId).devices.set(deviceId, {})
    const token = `syt_secret_of_a_login_${this.#count++}`
    this.#tokens.set(token, { userId, deviceId, isService: false })
    return token
  }

  /** The answer to a `keys/query` of the user about itself. */
  serves(userId: string) {
    const { deviceKeys, identity } = this.#users.get(userId) ?? new User()
    const of = <T>(value: T | undefined) => (value === undefined ? {} : { [userId]: value })
    return {
      device_keys: { [userId]: Object.fromEntries(deviceKeys) },
      master_keys: of(identity.master_key),
      self_signing_keys: of(identity.self_signing_key),
      user_signing_keys: of(identity.user_signing_key),
      failures: {},
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const seen = this.#read(request, Buffer.concat(chunks).toString())
    if (!seen) {
      response.writeHead(404, { 'Content-Type': 'text/html' }).end('<html>404 Not Found</html>')
      return
    }
    this.seen.push(seen)
    this.waiting++
    response.on('close', () => this.waiting--)

    const fate = this.#fates.get(seen.endpoint)?.shift() ?? this.#always.get(seen.endpoint)?.() ?? 'handled'
    if (fate === 'never') return
    if (fate === 'cut') {
      request.socket.destroy()
      return
    }
    const given = typeof fate === 'object' ? fate : this.#handle(seen)
    if (fate === 'lost') {
      request.socket.destroy()
      return
    }
    const { status, headers, body } = typeof fate === 'function' ? fate(given) : given
    const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    if (fate === 'half') response.write(text.slice(0, text.length / 2), () => request.socket.destroy())
    else response.end(text)
  }

  #read(request: IncomingMessage, text: string): Seen | undefined {
    const url = new URL(request.url ?? '/', this.url)
    const prefix = `${this.#base}/_matrix/client/v3/`
    if (!url.pathname.startsWith(prefix)) return undefined
    const path = url.pathname.slice(prefix.length)
    const endpoint = ENDPOINTS.find((name) => path === name || path.startsWith(`${name}/`))
    const accountData = /^user\/[^/]+\/account_data\//.test(path) ? ('account_data' as const) : undefined
    if (!endpoint && !accountData) return undefined
    return {
      method: request.method ?? '',
      endpoint: (endpoint ?? accountData)!,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      token: request.headers.authorization?.replace(/^Bearer /, ''),
      body: text ? (JSON.parse(text) as Json) : {},
    }
  }

  #handle(seen: Seen): Answer {
    try {
      return { status: 200, body: {}, ...this.#answer(seen) }
    } catch (error) {
      if (error instanceof Refused) return error.answer
      throw error
    }
  }

  #answer(seen: Seen): Partial<Answer> {
    const { method, endpoint, path, body } = seen
    const id = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
    switch (`${method} ${endpoint}`) {
      case 'POST keys/query':
        return { body: this.#query(this.#session(seen), body) }
      case 'POST keys/upload':
        return { body: this.#uploadDeviceKeys(this.#sessionOnDevice(seen), body) }
      case 'POST keys/device_signing/upload':
        return { body: this.#uploadIdentity(this.#session(seen), body) }
      case 'POST keys/signatures/upload':
        return { body: this.#uploadSignatures(this.#session(seen), body) }
      case 'POST login':
        return { body: this.#logIn(seen) }
      case 'GET account/whoami': {
        const { userId, deviceId } = this.#session(seen)
        return { body: { user_id: userId, device_id: deviceId } }
      }
      case 'GET devices':
        return { body: this.#device(this.#session(seen), id) }
      case 'PUT devices':
        return this.#putDevice(this.#session(seen), id, body)
      case 'GET account_data': {
        const data = this.user(this.#session(seen).userId).accountData.get(id)
        return data ? { body: data } : refuse(404, 'M_NOT_FOUND', 'Account data not found')
      }
      case 'PUT account_data':
        this.user(this.#session(seen).userId).accountData.set(id, body)
        return {}
      default:
        return refuse(405, 'M_UNRECOGNIZED', 'Unrecognized request')
    }
  }

  #session({ token, query }: Seen): Session {
    if (token === AS_TOKEN) {
      const userId = query.user_id ?? '@_service:example.org'
      this.user(userId)
      return { userId, deviceId: undefined, isService: true }
    }
    const session = this.#tokens.get(token ?? '')
    return session ?? refuse(401, 'M_UNKNOWN_TOKEN', 'Invalid access token passed.')
  }

  #sessionOnDevice(seen: Seen): Session & { deviceId: string } {
    const session = this.#session(seen)
    const { deviceFrom, unknownDevice } = this.kind
    const named = {
      device_id: seen.query.device_id,
      'org.matrix.msc3202.device_id': seen.query['org.matrix.msc3202.device_id'],
      nowhere: undefined,
      'a device of the service': 'AS_Device',
    }[deviceFrom]
    const deviceId = session.isService ? named : session.deviceId
    if (deviceId === undefined) {
      refuse(400, 'M_UNKNOWN', 'To upload keys, you must pass device_id when authenticating')
    }
    if (deviceId !== 'AS_Device' && !this.user(session.userId).devices.has(deviceId)) {
      throw new Refused(unknownDevice)
    }
    return { ...session, deviceId }
  }

  #query({ userId }: Session, body: Json): object {
    const answers = Object.keys(body.device_keys as Json).map((id) => this.serves(id))
    const merged = (name: keyof ReturnType<Homeserver['serves']>) =>
      Object.fromEntries(answers.flatMap((answer) => Object.entries(answer[name])))
    return {
      device_keys: merged('device_keys'),
      master_keys: merged('master_keys'),
      self_signing_keys: merged('self_signing_keys'),
      // Nobody sees the user-signing key of another user.
      user_signing_keys: Object.fromEntries(
        Object.entries(merged('user_signing_keys')).filter(([owner]) => owner === userId),
      ),
      failures: {},
    }
  }

  #uploadDeviceKeys({ userId, deviceId }: Session & { deviceId: string }, body: Json): object {
    const keys = body.device_keys as (Signed & DeviceKeys) | undefined
    if (keys && (keys.user_id !== userId || keys.device_id !== deviceId)) {
      const mismatch = `user_id or device_id mismatch: users: ${keys.user_id} - ${userId}, devices: ${deviceId} - ${keys.device_id}`
      if (deviceId === 'AS_Device') {
        throw new Refused({ status: 400, body: { [userId]: { [keys.device_id]: { error: mismatch } } } })
      }
      refuse(400, 'M_BAD_JSON', mismatch)
    }
    const { deviceKeys } = this.user(userId)
    const known = deviceKeys.get(deviceId)
    const areKept =
      known && this.kind.keepsDeviceKeys && canonicalJson(known.keys) === canonicalJson(keys?.keys)
    if (keys && !areKept) deviceKeys.set(deviceId, structuredClone(keys))
    return { one_time_key_counts: { signed_curve25519: 0 } }
  }

  #uploadIdentity(session: Session, { auth, ...keys }: Json): object {
    const { userId } = session
    const user = this.user(userId)
    const { master_key: master } = user.identity
    const named = ['master_key', 'self_signing_key', 'user_signing_key'] as const
    const isSame = named.every((name) => canonicalJson(keys[name]) === canonicalJson(user.identity[name]))
    if (isSame) return {}
    if (master && this.kind.replacing === 'breaks') {
      if (session.isService) refuse(500, 'M_UNKNOWN', 'Internal server error')
      throw new Refused({ status: 401, body: { session: 'session', flows: [], params: {} } })
    }
    const asks = this.interactiveAuth
    if (asks && (asks.when === 'always' || master) && !user.mayReplace) this.#authenticate(userId, asks, auth)

    const { master_key, self_signing_key, user_signing_key } = keys as Required<User['identity']>
    const [masterId, masterKey] = firstKey(master_key)
    for (const key of [self_signing_key, user_signing_key]) {
      if (key.user_id !== userId) refuse(400, 'M_INVALID_PARAM', 'Invalid user ID')
      if (!isSignedBy(key, userId, masterId, masterKey))
        refuse(400, 'M_INVALID_SIGNATURE', 'Invalid signature')
    }
    Object.assign(user.identity, structuredClone({ master_key, self_signing_key, user_signing_key }))
    return {}
  }

  /** Returns when one of the flows is completed. */
  #authenticate(
    userId: string,
    { flows, params = {}, session: fixed, msg }: InteractiveAuth,
    auth: unknown,
  ): void {
    const ask = (id: string, completed: string[], problem = {}): never => {
      const body = { session: id, flows, params, completed, ...(msg !== undefined && { msg }), ...problem }
      throw new Refused({ status: 401, body })
    }
    if (!isJson(auth)) {
      const id = fixed ?? `session_${this.#count++}`
      this.#interactive.set(id, { userId, completed: [] })
      ask(id, [])
      return
    }
    const id = String(auth.session)
    const session = this.#interactive.get(id)
    if (session?.userId !== userId) refuse(400, 'M_UNKNOWN', 'Unknown session ID')
    const { completed } = session
    const stage = String(auth.type)
    const ways = (flows as unknown[])
      .map((flow) => (isJson(flow) && Array.isArray(flow.stages) ? (flow.stages as unknown[]) : []))
      .filter((stages) => stages.length > 0)
    const isOffered = ways.some((stages) => stages.includes(stage))
    if (!isOffered || (stage !== 'm.login.dummy' && auth.password !== 'right')) {
      ask(id, completed, { errcode: 'M_FORBIDDEN', error: 'Invalid password' })
    }
    completed.push(stage)
    if (!ways.some((stages) => stages.every((name) => completed.includes(name as string)))) ask(id, completed)
  }

  #uploadSignatures({ userId }: Session, body: Json): object {
    const failures: Record<string, Record<string, object>> = {}
    for (const [signed, objects] of Object.entries(body)) {
      for (const [id, object] of Object.entries(objects as Record<string, Signed>)) {
        const failure = this.#sign(userId, signed, id, object)
        if (failure && this.kind.badSignature === 'failures') (failures[signed] ??= {})[id] = failure
      }
    }
    return { failures }
  }

  /** Stores a signature of the self-signing key over a device. An older one by the same key stays. */
  #sign(userId: string, signed: string, deviceId: string, object: Signed): object | undefined {
    const failure = (status: number, errcode: string, message: string) => ({ status, errcode, message })
    const { identity, deviceKeys } = this.user(userId)
    const device = signed === userId ? deviceKeys.get(deviceId) : undefined
    if (!device) return failure(404, 'M_NOT_FOUND', '404: No device keys found')
    if (!identity.self_signing_key) return failure(404, 'M_NOT_FOUND', '404: No self_signing key found')
    const [keyId, publicKey] = firstKey(identity.self_signing_key)
    const mine = (device.signatures[userId] ??= {})
    if (keyId in mine) return undefined
    if (content(object) !== content(device)) return failure(400, 'M_UNKNOWN', '400: Key does not match')
    if (!isSignedBy(object, userId, keyId, publicKey)) {
      return failure(400, 'M_INVALID_SIGNATURE', '400: Invalid signature')
    }
    mine[keyId] = object.signatures[userId]![keyId]!
    return undefined
  }

  #logIn({ token, body }: Seen): object {
    const {
      type,
      identifier,
      device_id: deviceId,
    } = body as {
      type?: string
      identifier?: { user?: string }
      device_id?: string
    }
    if (type !== 'm.login.application_service' || token !== AS_TOKEN) {
      refuse(403, 'M_FORBIDDEN', 'Unknown login')
    }
    if (this.kind.loginRefusal) throw new Refused(this.kind.loginRefusal)
    const userId = identifier?.user ?? ''
    return {
      user_id: userId,
      device_id: deviceId,
      access_token: this.logIn(userId, deviceId ?? 'GENERATED'),
    }
  }

  #device({ userId }: Session, deviceId: string): object {
    const device = this.user(userId).devices.get(deviceId)
    if (!device) refuse(404, 'M_NOT_FOUND', 'No device found')
    return { device_id: deviceId, ...device }
  }

  #putDevice({ userId, isService }: Session, deviceId: string, body: Json): Partial<Answer> {
    const { devices } = this.user(userId)
    const device = devices.get(deviceId)
    if (device) {
      const name = body.display_name
      if (typeof name === 'string' || this.kind.putClearsName)
        device.display_name = name as string | undefined
      return {}
    }
    const { put } = this.kind
    if (put === 'answers 200 and makes nothing') return {}
    if (put === 'answers 404' || !isService) refuse(404, 'M_NOT_FOUND', 'Device not found.')
    devices.set(put === 'makes another device' ? `RANDOM${this.#count++}` : deviceId, {})
    return put === 'makes another device' ? {} : { status: 201 }
  }
}
