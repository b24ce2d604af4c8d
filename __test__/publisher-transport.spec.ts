// Promise: whatever a homeserver, a proxy or a host's client does to a request, no token gets into an error, nothing
// grows without a bound, and a request is sent again only if that can help.

import { spawnSync } from 'node:child_process'
import { getEventListeners } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { CrossSigningPublisher, type HostRequest, MatrixRequestError } from 'rust-crypto-helper/publisher'
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript'
import { Answer } from '../publisher/answer'
import { Client } from '../publisher/client'
import { asError } from '../publisher/errors'
import { inGroups } from '../publisher/in-parallel'
import { waitBefore } from '../publisher/retry'
import { fetchTransport, hostTransport, pathSegment, type Request } from '../publisher/transport'
import { hostClient } from './support/host-client'
import { AS_TOKEN, Homeserver } from './support/homeserver'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const PUBLISHER = join(__dirname, '..', 'publisher')
const QUERY: Request = { method: 'POST', path: '/_matrix/client/v3/keys/query', body: { device_keys: {} } }
const LOGIN: Request = { method: 'POST', path: '/_matrix/client/v3/login', body: {} }

const closing: (() => unknown)[] = []

afterEach(async () => {
  jest.restoreAllMocks()
  for (const close of closing.splice(0)) await close()
})

async function listen(server: Server): Promise<URL> {
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  closing.push(() => server.close())
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener)
  const url = await listen(server)
  closing.unshift(() => {
    server.closeAllConnections()
  })
  return url
}

interface Settings {
  timeout?: number
  maxRetries?: number
}

const clientOf = (url: URL, token: string, { timeout = 10_000, maxRetries = 0 }: Settings = {}) =>
  new Client(fetchTransport(url, token), { timeout, maxRetries })

const hostOf = (request: HostRequest, { timeout = 10_000, maxRetries = 0 }: Settings = {}) =>
  new Client(hostTransport(request), { timeout, maxRetries })

async function failure(call: Promise<unknown>): Promise<MatrixRequestError> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(error instanceof MatrixRequestError)) throw new Error(`this is none: ${inspect(error)}`)
  return error
}

function expectNoToken(error: Error, token: string): void {
  const shown = inspect(error, { depth: Infinity, showHidden: true, maxStringLength: Infinity })
  for (const text of [shown, error.message, error.stack]) expect(text).not.toContain(token)
}

async function newHomeserver(): Promise<Homeserver> {
  const homeserver = await Homeserver.start()
  closing.push(() => homeserver.stop())
  homeserver.register(USER_ID).devices.set(DEVICE_ID, {})
  return homeserver
}

describe('tokens', () => {
  const PLAIN = 'application_service_SECRET'
  const ODD = 'c2VjcmV0/dG9"r+ZW\\4='

  test.each<[what: string, token: string, listener: (token: string) => RequestListener]>([
    [
      'a redirection',
      PLAIN,
      (token) => (_, response) => response.writeHead(302, { Location: `https://x.org/?t=${token}` }).end(),
    ],
    [
      'a redirection that escapes it',
      ODD,
      (token) => (_, response) =>
        response.writeHead(302, { Location: `https://x.org/?t=${encodeURIComponent(token)}` }).end(),
    ],
    [
      'JSON',
      ODD,
      (token) => (_, response) =>
        response.writeHead(401).end(JSON.stringify({ errcode: 'M_X', error: `Unknown token ${token}` })),
    ],
    [
      'JSON that escapes slashes and letters',
      ODD,
      (token) => (_, response) =>
        response
          .writeHead(401)
          .end(JSON.stringify({ error: token }).replaceAll('/', '\\/').replaceAll('c', '\\u0063')),
    ],
    ['a key of JSON', PLAIN, (token) => (_, response) => response.writeHead(401).end(`{"${token}":1}`)],
    [
      'JSON in a web page',
      ODD,
      (token) => (_, response) => response.writeHead(401).end(`<p>${JSON.stringify({ token })}`),
    ],
    [
      'a web page that escapes it',
      ODD,
      (token) => (_, response) =>
        response
          .writeHead(401)
          .end(`<p>${token.replace(/\W/g, (c) => `&#x${c.charCodeAt(0).toString(16)};`)}`),
    ],
  ])('that the homeserver repeats in %s are not shown', async (_, token, listener) => {
    const url = await serve(listener(token))
    for (const request of [QUERY, { ...QUERY, token }]) {
      const own = request === QUERY ? token : 'the token of the options'
      const error = await failure(clientOf(url, own).send(request, undefined))
      expect(error.message).toContain('(the token)')
      for (const form of [token, encodeURIComponent(token), JSON.stringify(token).slice(1, -1)]) {
        expectNoToken(error, form)
      }
    }
  })

  test('in an answer that is not HTTP are not shown', async () => {
    const server = createSocketServer((socket) => {
      socket.once('data', () => {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nAuthorization: Bearer ${PLAIN}`)
      })
    })
    const error = await failure(clientOf(await listen(server), PLAIN).send(QUERY, undefined))
    expect(error.message).toContain('no answer: ')
    expectNoToken(error, PLAIN)
  })

  test.each<[what: string, status: number, body: unknown]>([
    ['in a list', 200, [{ access_token: PLAIN }]],
    ['under another name', 200, PLAIN],
    ['with the status 500', 500, { access: PLAIN }],
    ['beside an error', 500, { errcode: 'M_UNKNOWN', error: 'no', access: PLAIN }],
  ])('that a login answers %s are not shown', async (_, status, body) => {
    const url = await serve((_, response) => response.writeHead(status).end(JSON.stringify(body)))
    expectNoToken(await failure(clientOf(url, 'another token').send(LOGIN, undefined)), PLAIN)
    const host = hostOf(() => {
      if (status === 200) return Promise.resolve(body as object)
      return Promise.reject(Object.assign(new Error('refused'), { status, body }))
    })
    expectNoToken(await failure(host.send(LOGIN, undefined)), PLAIN)
  })

  const config = { headers: { Authorization: `Bearer ${PLAIN}` } }
  const message = `request to http://x.org/_matrix?access_token=${PLAIN}&x=1 failed`
  test.each<[what: string, rejection: unknown]>([
    ['an error as `error`', { statusCode: 500, error: Object.assign(new Error('failed'), { config }) }],
    ['an object as `error`', Object.assign(new Error('x'), { status: 500, error: { config } })],
    ['a body with the request', { status: 502, data: { config } }],
    ['a text with the request', { status: 502, data: inspect({ access_token: PLAIN }) }],
    ['a URL in a message', Object.assign(new Error(message), { code: 'ECONNREFUSED' })],
    ['a URL in a cause', new Error('failed', { cause: new Error(message) })],
  ])("that a host's client rejects with in %s are not shown", async (_, rejection) => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    const error = await failure(hostOf(() => Promise.reject(rejection)).send(QUERY, undefined))
    expectNoToken(error, PLAIN)
  })

  test('that are short leave the answers as they are', async () => {
    const url = await serve((_, response) => response.end('{"device_keys":{}}'))
    expect(await clientOf(url, 'e').send(QUERY, undefined)).toEqual({ device_keys: {} })
  })
})

test('an answer without an end is left, and not asked for again', async () => {
  let [asked, closed] = [0, 0]
  const url = await serve((request, response) => {
    asked++
    response.on('close', () => closed++)
    const chunk = Buffer.alloc(1 << 20, 'x')
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', write)
    request.resume().on('end', write)
  })
  const error = await failure(clientOf(url, 'a token', { maxRetries: 3 }).send(QUERY, undefined))
  expect(error).toMatchObject({ status: 200, message: expect.stringMatching(/longer than/) as string })
  expect(asked).toBe(1)
  while (closed < asked) await sleep(5)
})

describe('429', () => {
  /** Answers the first requests as it is told, and the others with `{}`. */
  async function limiting(...answers: [headers: Record<string, string>, body?: object][]) {
    const at: number[] = []
    const url = await serve((request, response) => {
      at.push(performance.now())
      const [headers, body = {}] = answers.shift() ?? []
      request.resume().on('end', () => {
        response.writeHead(headers ? 429 : 200, headers).end(JSON.stringify(body))
      })
    })
    return { url, at }
  }

  test('without a wait does not shorten the wait of another one', async () => {
    const { url, at } = await limiting([{ 'Retry-After': '2' }], [{}, { retry_after_ms: 0 }])
    const client = clientOf(url, 'a token', { maxRetries: 2 })
    await Promise.all([client.send(QUERY, undefined), client.send(QUERY, undefined)])
    expect(at).toHaveLength(4)
    for (const time of at.slice(2)) expect(time - at[0]!).toBeGreaterThan(1900)
  })

  test('is about other requests, also if it is not sent again itself', async () => {
    const { url, at } = await limiting([{ 'Retry-After': '1' }])
    const client = clientOf(url, 'a token')
    await failure(client.send(QUERY, undefined))
    await client.send(QUERY, undefined)
    expect(at[1]! - at[0]!).toBeGreaterThan(950)
  })

  test('does not depend on the clock', async () => {
    const { url, at } = await limiting([{ 'Retry-After': '0.2' }])
    const client = clientOf(url, 'a token', { maxRetries: 1 })
    const call = client.send(QUERY, undefined)
    await sleep(100)
    const now = Date.now()
    jest.spyOn(Date, 'now').mockReturnValue(now - 3_600_000)
    await call
    expect(at[1]! - at[0]!).toBeLessThan(5000)
  })

  test.each(
    [
      '-1',
      '+120',
      '5 7',
      '1e3',
      '120s',
      '0x10',
      '1.',
      '.5',
      '5;q=1',
      '1/2',
      'in 5',
      '2, 3',
      '120, 120',
    ].concat(['Sunday', 'Retry-After: 5', '2001-01-01', 'Mon 5']),
  )('the wait %p counts as absent', (retryAfter) => {
    const wait = waitBefore(0, new Answer(429, { retry_after_ms: 20_000 }, { retryAfter }))
    expect(wait).toBeGreaterThanOrEqual(20_000)
    expect(waitBefore(0, new Answer(429, {}, { retryAfter }))).toBeGreaterThanOrEqual(250)
  })

  test.each(['Sun, 06 Nov 2094 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 2094'])(
    'the wait %p is a date',
    (retryAfter) => {
      const wait = waitBefore(0, new Answer(429, { retry_after_ms: 20_000 }, { retryAfter }))
      expect(wait).toBe(retryAfter.includes('2094') ? 30_000 : 0)
    },
  )

  test.each<[what: string, rejection: object]>([
    ['headers', { statusCode: 503, headers: { 'retry-after': '1' }, body: '<html>' }],
    ['headers in another case', { statusCode: 503, headers: { 'RETRY-After': ['1'] } }],
    ['headers of a response', { response: { status: 503, headers: { 'Retry-After': 1 }, data: '<html>' } }],
    ['headers with a method', { response: { status: 503, headers: new Headers({ 'Retry-After': '1' }) } }],
    ['retryAfterMs', { statusCode: 429, headers: {}, retryAfterMs: 1000 }],
  ])("a host's client tells the wait in %s", async (_, rejection) => {
    const at: number[] = []
    const host = hostOf(
      () => {
        at.push(performance.now())
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        return at.length === 1 ? Promise.reject(rejection) : Promise.resolve({})
      },
      { maxRetries: 1 },
    )
    await host.send(QUERY, undefined)
    expect(at[1]! - at[0]!).toBeGreaterThan(990)
  })
})

describe("what a host's client rejects with", () => {
  const failing = (message: string, more: object) => Object.assign(new Error(message), more)
  const revoked = (() => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  })()
  const throwing = {
    get statusCode() {
      throw new Error('boo')
    },
    get message() {
      throw new Error('boo')
    },
  }
  const circle = new Error('a circle')
  circle.cause = circle
  const cut = failing('aborted', { code: 'ECONNRESET' })

  test.each<[what: string, rejection: unknown]>([
    [
      'a cut answer with the status 200',
      failing('aborted', { code: 'ECONNRESET', response: { status: 200 } }),
    ],
    ['the status 0', failing('net', { code: 'ECONNRESET', status: 0 })],
    ['a limit without a status', failing('slow', { errcode: 'M_LIMIT_EXCEEDED', retryAfterMs: 1 })],
    ['a limit with a status as text', { statusCode: '429', errcode: 'M_LIMIT_EXCEEDED', retryAfterMs: 1 }],
    ['a timeout', new DOMException('The operation was aborted due to timeout', 'TimeoutError')],
    ['a cause of a cause', new Error('failed', { cause: new TypeError('fetch failed', { cause: cut }) })],
    ['a stream that ends too early', failing('Premature close', { code: 'ERR_STREAM_PREMATURE_CLOSE' })],
    ['a name that is not known yet', failing('getaddrinfo', { code: 'ENOTFOUND' })],
  ])('%s is sent again', async (_, rejection) => {
    let count = 0
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    const request = () => (count++ === 0 ? Promise.reject(rejection) : Promise.resolve({ done: true }))
    expect(await hostOf(request, { maxRetries: 1 }).send(QUERY, undefined)).toEqual({ done: true })
  })

  test.each<[what: string, rejection: unknown, error: object]>([
    [
      'a revoked proxy',
      revoked,
      { status: undefined, message: expect.stringMatching(/no answer: ./) as string },
    ],
    ['getters that throw', throwing, { status: undefined }],
    [
      'causes without an end',
      circle,
      { status: undefined, message: expect.stringContaining('a circle') as string },
    ],
    ['a body that throws', { statusCode: 400, body: revoked }, { status: 400 }],
    ['a certificate', failing('expired', { code: 'CERT_HAS_EXPIRED' }), { status: undefined }],
    ['TLS where none is', failing('wrong version number', { code: 'EPROTO' }), { status: undefined }],
    ['an argument', failing('invalid', { code: 'UND_ERR_INVALID_ARG' }), { status: undefined }],
    ['the status 200', failing('no JSON', { status: 200, body: 'x' }), { status: undefined }],
    ['a text as status', failing('x', { status: 'error' }), { status: undefined }],
    [
      'an error code with the status 200',
      { statusCode: 200, errcode: 'M_X' },
      { status: 200, errcode: 'M_X' },
    ],
    ['an error code alone', { errcode: 'M_FORBIDDEN', error: 'no' }, { status: 403, errcode: 'M_FORBIDDEN' }],
    [
      'an error code in a body',
      { data: { errcode: 'M_NOT_FOUND' } },
      { status: 404, errcode: 'M_NOT_FOUND' },
    ],
    ['another error code', { errcode: 'ORG.X' }, { status: 400, errcode: 'ORG.X' }],
    [
      'an error code beside a body',
      { status: 403, errcode: 'M_X', data: {} },
      { status: 403, errcode: 'M_X' },
    ],
  ])('%s is not sent again', async (_, rejection, expected) => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    const request = jest.fn(() => Promise.reject(rejection))
    expect(await failure(hostOf(request, { maxRetries: 3 }).send(QUERY, undefined))).toMatchObject(expected)
    expect(request).toHaveBeenCalledTimes(1)
  })

  test('may also be what it resolves with', async () => {
    const error = await failure(
      hostOf(() => Promise.resolve({ device_keys: revoked })).send(QUERY, undefined),
    )
    expect(error.status).toBe(200)
  })
})

describe('what can never succeed is not sent again', () => {
  const nowhere = new URL('http://127.0.0.1:6667')

  test.each<[what: string, request: Request, sent: number]>([
    ['a port that is blocked', QUERY, 1],
    ['a number that JSON does not have', { ...QUERY, body: { n: 1n } }, 0],
  ])('%s', async (_, request, sent) => {
    const spy = jest.spyOn(globalThis, 'fetch')
    const error = await failure(clientOf(nowhere, 'a token', { maxRetries: 3 }).send(request, undefined))
    expect(error.message).toMatch(/: (no answer: bad port|the body is not JSON: .*BigInt)$/)
    expect(spy).toHaveBeenCalledTimes(sent)
  })

  test('an answer that is not HTTP', async () => {
    let count = 0
    const server = createSocketServer((socket) => {
      count++
      socket.end('SSH-2.0-OpenSSH_9.6\r\n')
    })
    await failure(clientOf(await listen(server), 'a token', { maxRetries: 3 }).send(QUERY, undefined))
    expect(count).toBe(1)
  })
})

describe('a request under way', () => {
  /** What a process of its own prints that sends one request, and how it exits. */
  function inProcess(request: string, timeout: number): { stdout: string; status: number | null } {
    const folder = temporaryFolder()
    for (const name of readdirSync(PUBLISHER).filter((name) => name.endsWith('.ts'))) {
      const { outputText } = transpileModule(readFileSync(join(PUBLISHER, name), 'utf8'), {
        compilerOptions: { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022 },
      })
      writeFileSync(join(folder, name.replace('.ts', '.js')), outputText)
    }
    const script = `
      const { Client } = require('./client.js')
      const { hostTransport } = require('./transport.js')
      const client = new Client(hostTransport(${request}), { timeout: ${timeout}, maxRetries: 0 })
      client.send(${JSON.stringify(QUERY)}).then(console.log, (error) => console.log(error.message))`
    return spawnSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8', timeout: 20_000 })
  }

  test('keeps the process alive until its time is over', () => {
    const { stdout } = inProcess('() => new Promise(() => {})', 300)
    expect(stdout).toContain('no answer within 300 ms')
  })

  test('does not keep it alive any longer', () => {
    expect(inProcess('async () => ({ done: true })', 60_000)).toMatchObject({
      stdout: '{ done: true }\n',
      status: 0,
    })
  })

  test('of many may have the same signal, which has no listener afterwards', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    const { signal } = new AbortController()
    let count = 0
    const host = hostOf(
      () =>
        count++ < 30
          ? sleep(20).then(() => Promise.reject(new Error('x', { cause: { code: 'EPIPE' } })))
          : Promise.resolve({}),
      { maxRetries: 1 },
    )
    const calls = Array.from({ length: 30 }, () => host.send(QUERY, signal))
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await Promise.all(calls)
    await sleep(10)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('of many is stopped with all others that have the same signal', async () => {
    const controller = new AbortController()
    const host = hostOf(() => new Promise<never>(() => undefined))
    const calls = Array.from({ length: 30 }, () => host.send(QUERY, controller.signal))
    controller.abort('stop')
    const reasons = await Promise.all(calls.map((call) => call.catch((reason: unknown) => reason)))
    expect(reasons).toEqual(calls.map(() => 'stop'))
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })
})

describe('groups', () => {
  async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
    const items: T[] = []
    for await (const item of source) items.push(item)
    return items
  }

  async function* waiting(wait = 1e6) {
    yield 1
    await sleep(wait, undefined, { ref: false })
    yield 2
    throw new Error('from the source')
  }

  test('are not held back by a source that waits, and end with its error', async () => {
    const groups: number[][] = []
    const run = async () => {
      for await (const group of inGroups(waiting(200), 10, 20)) groups.push(group)
    }
    await expect(run()).rejects.toThrow('from the source')
    expect(groups).toEqual([[1], [2]])
    expect(await collect(inGroups([1, 2, 3, 4, 5], 2, 20))).toEqual([[1, 2], [3, 4], [5]])
    expect(await collect(inGroups([], 2, 20))).toEqual([])
  })

  test('end with the reason of the signal, also while the source waits', async () => {
    const controller = new AbortController()
    const groups = inGroups(waiting(), 10, 20, controller.signal)
    expect(await groups.next()).toMatchObject({ value: [1] })
    const next = groups.next()
    await sleep(10)
    controller.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    const source = jest.fn(waiting)
    await expect(
      collect(inGroups({ [Symbol.asyncIterator]: source }, 10, 20, controller.signal)),
    ).rejects.toThrow()
  })

  test('do not hold back a consumer that leaves', async () => {
    for await (const group of inGroups(waiting(), 10, 20)) {
      expect(group).toEqual([1])
      break
    }
  })
})

describe('pathSegment', () => {
  test.each(['', '.', '..', '\ud800', 'A\udc00'])('has none for %p', (text) => {
    expect(pathSegment(text)).toBeUndefined()
  })

  test.each(['A', '...', '.a', 'a/../b', '%2e%2e', 'a?b#c', '\u{1f600}', '@a:b'])('keeps %p', (text) => {
    const segment = pathSegment(text)!
    const { pathname } = new URL(`http://x.org/devices/${segment}`)
    expect(decodeURIComponent(pathname.replace('/devices/', ''))).toBe(text)
  })
})

test('what is thrown and is no error becomes one', () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  for (const thrown of [undefined, null, 'no password', 7, {}, proxy, Symbol('x')]) {
    expect(asError(thrown)).toBeInstanceOf(Error)
  }
  expect(asError('no password').message).toContain('no password')
  const error = new RangeError('x')
  expect(asError(error)).toBe(error)
})

test('a publication by a host whose client fails and comes back is published', async () => {
  const homeserver = await newHomeserver()
  const client = hostClient(homeserver.url, AS_TOKEN)
  let count = 0
  const request: HostRequest = (...call) =>
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    count++ % 2 === 0 ? Promise.reject({ errcode: 'M_LIMIT_EXCEEDED', retryAfterMs: 0 }) : client(...call)
  const publisher = new CrossSigningPublisher({ request })
  await publisher.publish(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
  expect(homeserver.requests()).toHaveLength(4)
})
