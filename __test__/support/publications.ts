// What homeservers do to a publication, and what comes of it: every row of the tables in docs/homeservers.md.

import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { type HostRequest, type UserInteractiveAuthChallenge } from 'rust-crypto-helper/publisher'
import { withoutIdentity } from './decisions'
import { type Answer, type Endpoint, type Fate, type Homeserver } from './homeserver'
import { type InteractiveAuth, type KindName } from './homeserver-kinds'
import { onlyKey } from './signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './stores'

/** What the homeserver has of the ghost before. */
export type Before =
  'only the user' | 'a device' | 'device keys without a signature' | 'the identity and the signed device'

export interface Scene {
  homeserver: Homeserver
  store: string
  /** What the store holds. Undefined: there is no store yet. */
  ghost: CrossSigningBootstrap | undefined
}

export type Sender = 'an application service' | 'a bot' | 'a host'

type Authenticate = (challenge: UserInteractiveAuthChallenge) => object | undefined

/** One row. */
export interface Case {
  /** What the homeserver does. */
  homeserver: string
  kind?: KindName
  /** Default: an application service. */
  sender?: Sender
  /** Default: a device. */
  before?: Before
  does?: (scene: Scene, variant: unknown) => unknown
  /** Each of them is played, with the same result. */
  variants?: unknown[]
  reset?: boolean
  maxRetries?: number
  timeout?: number
  authenticate?: Authenticate
  /** Changes the requests of the host's client. */
  client?: (request: HostRequest, variant: unknown) => HostRequest
  /** `published`, or the name of the error with what a program reads of it. */
  outcome: string
  says?: RegExp
  requests: number
}

export interface Group {
  title: string
  text: string
  cases: Case[]
}

const on =
  (endpoint: Endpoint, ...fates: Fate[]) =>
  ({ homeserver }: Scene) => {
    homeserver.next(endpoint, ...fates)
  }

const forever =
  (endpoint: Endpoint, fate: Fate) =>
  ({ homeserver }: Scene) => {
    homeserver.always(endpoint, fate)
  }

const body =
  (body: unknown) =>
  (answer: Answer): Answer => ({ ...answer, body })

const matrix = (
  status: number,
  errcode: string,
  error: string,
  more: object = {},
  headers?: Record<string, string>,
): Answer => ({ status, headers, body: { errcode, error, ...more } })

const html = (status: number): Answer => ({
  status,
  headers: { 'Content-Type': 'text/html' },
  body: `<html>\r\n<head><title>${status} Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>`,
})

const limited = (more: object, headers?: Record<string, string>) =>
  matrix(429, 'M_LIMIT_EXCEEDED', 'Too Many Requests', more, headers)

const NOW = { 'Retry-After': '0' }
const NOT_ANSWERS = [html(200), ...['', [], null, 'x', '"x"', 1, true].map((body) => ({ status: 200, body }))]
const IS_NO_ANSWER = /This is not an answer of a homeserver/

const asks =
  (flows: unknown, more: Partial<InteractiveAuth> = {}) =>
  ({ homeserver }: Scene) => {
    homeserver.interactiveAuth = {
      when: 'always',
      flows: flows as InteractiveAuth['flows'],
      ...more,
    }
  }

const completes =
  (...stages: string[]): Authenticate =>
  ({ completed, session }) => {
    const type = stages.find((stage) => !completed.includes(stage))
    return type === undefined ? undefined : { type, password: 'right', session }
  }

const [DUMMY, PASSWORD, TERMS] = ['m.login.dummy', 'm.login.password', 'm.login.terms']

const INTERACTIVE: Group = {
  title: 'Interactive authentication',
  text: 'The homeserver wants it before it takes an identity. `onUserInteractiveAuth` is an option of the publisher.',
  cases: [
    {
      homeserver: 'wants a dummy stage alone',
      does: asks([{ stages: [DUMMY] }]),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'offers a dummy stage alone as one of several ways',
      does: asks([{ stages: [PASSWORD] }, { stages: [DUMMY] }]),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'wants a password, and `onUserInteractiveAuth` gives it',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: completes(PASSWORD),
      outcome: 'published',
      requests: 6,
    },
    {
      homeserver: 'wants two stages, and `onUserInteractiveAuth` completes one after the other',
      does: asks([{ stages: [TERMS, PASSWORD] }]),
      authenticate: completes(TERMS, PASSWORD),
      outcome: 'published',
      requests: 8,
    },
    {
      homeserver: 'wants a password and then a dummy stage, and `onUserInteractiveAuth` gives the password',
      does: asks([{ stages: [PASSWORD, DUMMY] }]),
      authenticate: completes(PASSWORD),
      outcome: 'published',
      requests: 7,
    },
    {
      homeserver: 'refuses the first answer of `onUserInteractiveAuth`, and takes the second one',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: (() => {
        const answers = ['wrong', 'right']
        return ({ session }) => ({ type: PASSWORD, password: answers.shift(), session })
      })(),
      outcome: 'published',
      requests: 8,
    },
    {
      homeserver: 'refuses every answer of `onUserInteractiveAuth`',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: ({ session }) => ({ type: PASSWORD, password: 'wrong', session }),
      outcome: 'UserInteractiveAuthError [m.login.password]',
      says: /401 M_FORBIDDEN: Invalid password\. It has asked 10 times$/,
      requests: 23,
    },
    {
      homeserver: 'refuses the answer of `onUserInteractiveAuth`, which gives up when it reads `errcode`',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: ({ session, errcode }) =>
        errcode === 'M_FORBIDDEN' ? undefined : { type: PASSWORD, password: 'wrong', session },
      outcome: 'UserInteractiveAuthError [m.login.password]',
      says: /401 M_FORBIDDEN: Invalid password/,
      requests: 5,
    },
    {
      homeserver: 'refuses the dummy stage that it wants',
      does: forever('keys/device_signing/upload', {
        status: 401,
        body: { session: 's', flows: [{ stages: [DUMMY] }] },
      }),
      outcome: 'UserInteractiveAuthError [m.login.dummy]',
      requests: 4,
    },
    {
      homeserver: 'wants a password, and there is no `onUserInteractiveAuth`',
      does: asks([{ stages: [PASSWORD] }]),
      outcome: 'UserInteractiveAuthError [m.login.password]',
      says: /m\.login\.password.*onUserInteractiveAuth/,
      requests: 3,
    },
    {
      homeserver: 'wants a password, and `onUserInteractiveAuth` returns `undefined`',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: () => undefined,
      outcome: 'UserInteractiveAuthError [m.login.password]',
      requests: 3,
    },
    {
      homeserver: 'wants a password, and `onUserInteractiveAuth` throws an error',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: () => {
        throw new RangeError('no password')
      },
      outcome: 'RangeError',
      says: /^no password$/,
      requests: 3,
    },
    {
      homeserver: 'names a page where a person can approve it',
      kind: 'Matrix Authentication Service, which asks application services, too',
      before: 'the identity and the signed device',
      reset: true,
      outcome: 'UserInteractiveAuthError [m.oauth] and [org.matrix.cross_signing_reset] and its `url`',
      says: /approve it at https:\/\/auth\.example\.org\/account\/\?action=org\.matrix\.cross_signing_reset/,
      requests: 2,
    },
    {
      homeserver: 'names such a page, and a person has approved it',
      kind: 'Matrix Authentication Service, which asks application services, too',
      before: 'the identity and the signed device',
      does: ({ homeserver }) => (homeserver.user(USER_ID).mayReplace = true),
      reset: true,
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: 'offers no way when an identity is replaced',
      before: 'the identity and the signed device',
      does: on('keys/device_signing/upload', { status: 401, body: { session: 's', flows: [], params: {} } }),
      reset: true,
      outcome: 'UserInteractiveAuthError',
      authenticate: completes(PASSWORD),
      says: /_allow_cross_signing_replacement_without_uia/,
      requests: 2,
    },
    {
      homeserver: 'answers 500 when an identity is replaced',
      before: 'the identity and the signed device',
      does: on('keys/device_signing/upload', matrix(500, 'M_UNKNOWN', 'Internal server error')),
      reset: true,
      outcome: 'UserInteractiveAuthError',
      says: /_allow_cross_signing_replacement_without_uia/,
      requests: 2,
    },
    {
      homeserver: 'answers 500 to a first identity',
      does: on('keys/device_signing/upload', matrix(500, 'M_UNKNOWN', 'Internal server error')),
      outcome: 'MatrixRequestError M_UNKNOWN',
      requests: 3,
    },
    {
      homeserver: 'sends `flows` and `params` of the wrong types beside a dummy stage',
      does: asks([null, 7, { stages: 'x' }, { stages: null }, { stages: [DUMMY] }], { params: null }),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'sends `flows` and `params` of the wrong types',
      variants: [
        {
          flows: [null, 7, { stages: 'x' }, { stages: [null, 7] }],
          params: null,
          session: 7,
          completed: 'x',
        },
        { flows: [{}], params: { x: null }, session: null },
      ],
      does: ({ homeserver }, body) => {
        homeserver.always('keys/device_signing/upload', { status: 401, body })
      },
      outcome: 'UserInteractiveAuthError',
      requests: 3,
    },
    {
      homeserver: 'answers 401 without `flows`',
      variants: [
        matrix(401, 'M_UNKNOWN_TOKEN', 'Invalid'),
        matrix(401, 'M_UNKNOWN_TOKEN', 'x', { flows: 'x' }),
      ],
      does: ({ homeserver }, answer) => {
        homeserver.always('keys/device_signing/upload', answer as Answer)
      },
      outcome: 'MatrixRequestError M_UNKNOWN_TOKEN',
      requests: 3,
    },
  ],
}

const reason = { status: 404, errcode: 'M_NOT_FOUND', message: '404: No device keys found' }
const notStored = (...variants: unknown[]): Pick<Case, 'before' | 'variants' | 'does'> => ({
  before: 'device keys without a signature',
  variants,
  does: ({ homeserver }, failures) => {
    homeserver.next('keys/signatures/upload', { status: 200, body: { failures } })
  },
})
const SIGNATURES = /POST .*keys\/signatures\/upload: the homeserver did not store the signatures: /

const FAILURES: Group = {
  title: '`failures` in the answer to `keys/signatures/upload`',
  text: 'The status is 200, even if nothing was stored.',
  cases: [
    {
      homeserver: 'stores the signature and answers without `failures`, with `null` or with an empty one',
      before: 'device keys without a signature',
      variants: [
        {},
        ...[null, {}, [], { [USER_ID]: {} }, { [USER_ID]: null }].map((failures) => ({ failures })),
      ],
      does: ({ homeserver }, answer) => {
        homeserver.next('keys/signatures/upload', body(answer))
      },
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: 'answers without `failures`, with `null` or with an empty one, and stores nothing',
      ...notStored(null, {}, []),
      outcome: 'NotPublishedError DEVICE_NOT_SIGNED',
      requests: 4,
    },
    {
      homeserver: 'gives a reason by user and device',
      ...notStored({ [USER_ID]: { [DEVICE_ID]: reason } }),
      outcome: 'MatrixRequestError M_NOT_FOUND',
      says: /@_ghost:example\.org GHOSTDEVICE: 404 M_NOT_FOUND 404: No device keys found$/,
      requests: 3,
    },
    {
      homeserver: 'gives it with `error` in place of `message`',
      ...notStored({ [USER_ID]: { [DEVICE_ID]: { errcode: 'M_NOT_FOUND', error: 'No keys' } } }),
      outcome: 'MatrixRequestError M_NOT_FOUND',
      says: /GHOSTDEVICE: M_NOT_FOUND No keys$/,
      requests: 3,
    },
    {
      homeserver: 'gives it without `errcode`, as text or as a list',
      ...notStored(
        { [USER_ID]: { [DEVICE_ID]: { status: 503, message: 'Not ready for retry' } } },
        { [USER_ID]: { [DEVICE_ID]: 'Not ready for retry' } },
        { [USER_ID]: { [DEVICE_ID]: ['Not ready for retry'] } },
        { [USER_ID]: 'Not ready for retry' },
        { [USER_ID]: ['Not ready for retry'] },
        { [USER_ID]: { message: 'Not ready for retry' } },
        { message: 'Not ready for retry' },
        'Not ready for retry',
        ['Not ready for retry'],
      ),
      outcome: 'MatrixRequestError 200',
      says: /Not ready for retry/,
      requests: 3,
    },
    {
      homeserver: 'sends something else',
      ...notStored(
        true,
        7,
        [[]],
        { [USER_ID]: 7 },
        { [USER_ID]: { [DEVICE_ID]: {} } },
        { [USER_ID]: { [DEVICE_ID]: null } },
        { [USER_ID]: { [DEVICE_ID]: { errcode: 7, message: { text: [] } } } },
        { [USER_ID]: { [DEVICE_ID]: { a: { b: { c: { d: [] } } } } } },
        JSON.parse('{ "__proto__": { "constructor": { "errcode": null } } }'),
      ),
      outcome: 'MatrixRequestError 200',
      says: SIGNATURES,
      requests: 3,
    },
    {
      homeserver: 'sends 10,000 reasons',
      ...notStored({
        [USER_ID]: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`DEVICE${n}`, reason])),
      }),
      outcome: 'MatrixRequestError M_NOT_FOUND',
      says: SIGNATURES,
      requests: 3,
    },
  ],
}

const AGAIN: Group = {
  title: 'Failures that are sent again',
  text:
    'A request is sent again up to `maxRetries` times. The wait is what the homeserver says, or it grows from half a ' +
    'second. It is never longer than 30 seconds.',
  cases: [
    {
      homeserver: 'answers 429 twice, with `Retry-After` in seconds',
      does: on('keys/query', limited({}, NOW), limited({}, NOW)),
      outcome: 'published',
      requests: 6,
    },
    {
      homeserver: 'answers 429 with `Retry-After` as a date, in the past or in the future',
      variants: [-1_000_000, 1100],
      does: ({ homeserver }, inMs) => {
        const date = new Date(Date.now() + (inMs as number)).toUTCString()
        homeserver.next('keys/query', limited({}, { 'Retry-After': date }))
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'answers 429 with `retry_after_ms`, as a number or as text',
      variants: [0, 20, 20.5, '20'],
      does: ({ homeserver }, retry_after_ms) => {
        homeserver.next('keys/device_signing/upload', limited({ retry_after_ms }))
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'answers 429 with `retry_after_ms` that says nothing',
      variants: [-1, '-5', 'NaN', 'soon', '', null, {}, [], true],
      does: ({ homeserver }, retry_after_ms) => {
        homeserver.next('keys/upload', limited({ retry_after_ms }))
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'answers 429 with both, which differ: `Retry-After` counts',
      does: on('keys/query', limited({ retry_after_ms: 1e12 }, NOW)),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'answers 429 all the time',
      does: forever('keys/device_signing/upload', limited({}, NOW)),
      maxRetries: 2,
      outcome: 'MatrixRequestError M_LIMIT_EXCEEDED',
      requests: 5,
    },
    {
      homeserver: 'answers 429 once, with `maxRetries: 0`',
      does: on('keys/query', limited({}, NOW)),
      maxRetries: 0,
      outcome: 'MatrixRequestError M_LIMIT_EXCEEDED',
      requests: 1,
    },
    {
      homeserver: 'answers 502, 503 and 504, with the page of a proxy',
      does: on(
        'keys/upload',
        { ...html(502), headers: NOW },
        { ...html(503), headers: NOW },
        { ...html(504), headers: NOW },
      ),
      outcome: 'published',
      requests: 7,
    },
    {
      homeserver: 'answers 502 all the time, with the page of a proxy',
      does: forever('keys/query', { ...html(502), headers: NOW }),
      maxRetries: 3,
      outcome: 'MatrixRequestError 502',
      says: /: 502, no Matrix error but <html> <head><title>502 Bad Gateway/,
      requests: 4,
    },
    {
      homeserver: 'answers 500, which is not sent again',
      does: on('keys/upload', matrix(500, 'M_UNKNOWN', 'Internal server error')),
      outcome: 'MatrixRequestError M_UNKNOWN',
      requests: 2,
    },
    {
      homeserver: 'cuts the connection before it does something',
      variants: ['keys/query', 'keys/upload', 'keys/device_signing/upload'],
      does: ({ homeserver }, endpoint) => {
        homeserver.next(endpoint as Endpoint, 'cut')
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'cuts the connection after it has done something',
      variants: ['keys/query', 'keys/upload', 'keys/device_signing/upload'],
      does: ({ homeserver }, endpoint) => {
        homeserver.next(endpoint as Endpoint, 'lost')
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'cuts the connection in the middle of the answer',
      variants: ['keys/query', 'keys/upload'],
      does: ({ homeserver }, endpoint) => {
        homeserver.next(endpoint as Endpoint, 'half')
      },
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'makes the device, and the answer is lost',
      before: 'only the user',
      does: on('devices', 'lost'),
      outcome: 'published',
      requests: 7,
    },
    {
      homeserver: 'logs the ghost in, and the answer is lost',
      kind: 'Synapse 1.120 to 1.140',
      before: 'only the user',
      does: on('login', 'lost'),
      outcome: 'published',
      requests: 7,
    },
    {
      homeserver: 'stores the signature, and the answer is lost',
      before: 'device keys without a signature',
      does: on('keys/signatures/upload', 'lost'),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'cuts every connection',
      does: forever('keys/query', 'cut'),
      maxRetries: 1,
      outcome: 'MatrixRequestError',
      says: /no answer: .*(closed|ECONNRESET)/,
      requests: 2,
    },
    {
      homeserver: 'gives no answer, until `timeout` is over',
      does: on('keys/device_signing/upload', 'never'),
      timeout: 3000,
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'never gives an answer',
      does: forever('keys/query', 'never'),
      timeout: 50,
      maxRetries: 1,
      outcome: 'MatrixRequestError',
      says: /no answer within 50 ms/,
      requests: 2,
    },
  ],
}

const notAnswer = (
  endpoint: Endpoint,
  rest: Pick<Case, 'homeserver' | 'requests'> & Partial<Case>,
): Case => ({
  variants: NOT_ANSWERS,
  does: ({ homeserver }, answer) => {
    homeserver.next(endpoint, answer as Answer)
  },
  outcome: 'MatrixRequestError 200',
  says: IS_NO_ANSWER,
  ...rest,
})

const ODD: Group = {
  title: 'Answers that are not Matrix, and errors of every form',
  text:
    '*Not Matrix*: the status is 200, and the body is a web page, is empty, or is JSON of another kind (`[]`, `null`, ' +
    '`"x"`, `1`, `true`).',
  cases: [
    notAnswer('keys/query', { homeserver: 'answers `keys/query` with what is not Matrix', requests: 1 }),
    notAnswer('keys/upload', { homeserver: 'answers `keys/upload` with what is not Matrix', requests: 2 }),
    notAnswer('keys/device_signing/upload', {
      homeserver: 'answers `keys/device_signing/upload` with what is not Matrix',
      requests: 3,
    }),
    notAnswer('keys/signatures/upload', {
      homeserver: 'answers `keys/signatures/upload` with what is not Matrix',
      before: 'device keys without a signature',
      requests: 3,
    }),
    notAnswer('login', {
      homeserver: 'answers `login` with what is not Matrix',
      kind: 'Synapse 1.120 to 1.140',
      before: 'only the user',
      requests: 3,
    }),
    notAnswer('keys/query', {
      homeserver: 'answers the last `keys/query` with what is not Matrix',
      does: ({ homeserver }, answer) => {
        homeserver.next('keys/query', 'handled', answer as Answer)
      },
      requests: 4,
    }),
    {
      homeserver: 'answers 200 with an `errcode`',
      does: on('keys/device_signing/upload', { status: 200, body: { errcode: 'M_UNKNOWN', error: 'no' } }),
      outcome: 'MatrixRequestError M_UNKNOWN',
      requests: 3,
    },
    {
      homeserver: 'answers `keys/query` without the user',
      variants: [{}, { device_keys: {} }, { device_keys: { '@other:example.org': {} } }],
      does: ({ homeserver }, body) => {
        homeserver.next('keys/query', { status: 200, body })
      },
      outcome: 'MatrixRequestError 200',
      says: /not an answer about .*: .*it has no devices of @_ghost:example\.org/,
      requests: 1,
    },
    {
      homeserver: 'names itself in the `failures` of `keys/query`',
      variants: ['example.org', 'EXAMPLE.org'],
      does: ({ homeserver }, server) => {
        const failures = { [server as string]: { status: 503, message: 'Not ready for retry' } }
        homeserver.next('keys/query', (answer) => ({
          ...answer,
          body: { ...(answer.body as object), failures },
        }))
      },
      outcome: 'MatrixRequestError 200',
      says: /not an answer about .*: .*example\.org did not answer/i,
      requests: 1,
    },
    {
      homeserver: 'names other homeservers in the `failures` of `keys/query`',
      does: ({ homeserver }) => {
        homeserver.always('keys/query', (answer) => ({
          ...answer,
          body: { ...(answer.body as object), failures: { 'other.example.org': {} } },
        }))
      },
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: 'redirects',
      variants: [301, 302, 303, 307, 308],
      does: ({ homeserver }, status) => {
        const headers = { Location: 'https://elsewhere.example.org/' }
        homeserver.next('keys/query', { status: status as number, headers, body: '' })
      },
      outcome: 'MatrixRequestError 3xx',
      says: /redirects to https:\/\/elsewhere\.example\.org\//,
      requests: 1,
    },
    {
      homeserver: 'refuses with an error of the specification',
      does: on('keys/upload', matrix(400, 'M_INVALID_SIGNATURE', 'Invalid signature')),
      outcome: 'MatrixRequestError M_INVALID_SIGNATURE',
      says: /POST \/_matrix\/client\/v3\/keys\/upload: 400 M_INVALID_SIGNATURE: Invalid signature$/,
      requests: 2,
    },
    {
      homeserver: 'refuses with an error without `errcode`, by user and key (Dendrite)',
      does: on('keys/device_signing/upload', {
        status: 400,
        body: { [USER_ID]: { 'ed25519:x': { error: 'the signature is wrong' } } },
      }),
      outcome: 'MatrixRequestError 400',
      says: /the signature is wrong/,
      requests: 3,
    },
    {
      homeserver: 'refuses with text, with nothing, or with JSON of another kind',
      variants: ['no', '', [], ['no'], 'null', 7, { errcode: 7 }, { errcode: null, error: {} }],
      does: ({ homeserver }, body) => {
        homeserver.next('keys/query', { status: 418, body })
      },
      outcome: 'MatrixRequestError 418',
      requests: 1,
    },
    {
      homeserver: 'refuses with 10 MB, or with control characters and line breaks',
      variants: [
        'x'.repeat(10_000_000),
        { error: `a\r\nb\u001b[31m\u2028\u0000${'y'.repeat(100_000)}` },
        { errcode: `M_\n${'Z'.repeat(100_000)}`, error: '\n\n\n' },
      ],
      does: ({ homeserver }, body) => {
        homeserver.next('keys/query', { status: 418, body })
      },
      outcome: 'MatrixRequestError 418',
      requests: 1,
    },
    {
      homeserver: 'does not know the user',
      does: on('keys/query', matrix(403, 'M_FORBIDDEN', 'Application service has not registered this user')),
      outcome: 'MatrixRequestError M_FORBIDDEN',
      says: /has not registered this user/,
      requests: 1,
    },
    {
      homeserver: 'does not know the token',
      does: on('keys/query', matrix(401, 'M_UNKNOWN_TOKEN', 'Invalid access token passed.')),
      outcome: 'MatrixRequestError M_UNKNOWN_TOKEN',
      requests: 1,
    },
  ],
}

const DEAD_ENDS: Group = {
  title: 'Dead ends',
  text: 'The homeserver refuses nothing, and what it serves is not what the store holds. In the last two rows the publisher helps itself.',
  cases: [
    {
      homeserver: 'has other keys under the device ID',
      does: async ({ homeserver }) => {
        const other = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'other'))
        homeserver.user(USER_ID).deviceKeys.set(DEVICE_ID, withoutIdentity(other) as never)
      },
      outcome: 'NotPublishedError DEVICE_KEYS_DIFFER',
      says: /new device ID/,
      requests: 1,
    },
    {
      homeserver: 'has a stale signature of the same key over the device, and keeps it',
      before: 'the identity and the signed device',
      does: ({ homeserver, ghost }) => {
        const [id] = onlyKey(ghost!.upload_keys.self_signing_key)
        const { signatures } = homeserver.user(USER_ID).deviceKeys.get(DEVICE_ID)!
        signatures[USER_ID]![id] = signatures[USER_ID]![`ed25519:${DEVICE_ID}`]!
      },
      outcome: 'NotPublishedError STALE_SIGNATURE',
      says: /new device ID/,
      requests: 1,
    },
    {
      homeserver: 'has another identity of the ghost',
      does: async ({ homeserver }) => {
        const other = await bootstrapCrossSigning(USER_ID, 'OTHER', join(temporaryFolder(), 'other'))
        Object.assign(homeserver.user(USER_ID).identity, other.upload_keys)
      },
      outcome: 'BootstrapError IDENTITY_CONFLICT',
      requests: 1,
    },
    {
      homeserver: 'accepts everything and serves nothing',
      does: ({ homeserver }) => {
        for (const endpoint of ['keys/upload', 'keys/device_signing/upload'] as const) {
          homeserver.always(endpoint, { status: 200, body: {} })
        }
      },
      outcome: 'NotPublishedError NO_DEVICE',
      requests: 4,
    },
    {
      homeserver: 'accepts everything and serves no device keys',
      does: forever('keys/upload', { status: 200, body: {} }),
      outcome: 'NotPublishedError NO_DEVICE',
      requests: 4,
    },
    {
      homeserver: 'accepts everything and serves no identity',
      does: forever('keys/device_signing/upload', { status: 200, body: {} }),
      outcome: 'NotPublishedError NO_MASTER_KEY',
      requests: 4,
    },
    {
      homeserver: 'accepts everything and serves another identity, which has signed the device',
      before: 'device keys without a signature',
      does: async ({ homeserver, store }) => {
        const other = join(temporaryFolder(), 'other')
        cpSync(store, other, { recursive: true })
        const { upload_keys, upload_device_keys } = await bootstrapCrossSigning(USER_ID, DEVICE_ID, other, {
          reset: true,
        })
        homeserver.next('keys/query', 'handled', () => ({
          status: 200,
          body: {
            device_keys: { [USER_ID]: { [DEVICE_ID]: upload_device_keys!.device_keys } },
            master_keys: { [USER_ID]: upload_keys.master_key },
            self_signing_keys: { [USER_ID]: upload_keys.self_signing_key },
            failures: {},
          },
        }))
      },
      outcome: 'NotPublishedError OTHER_IDENTITY',
      requests: 4,
    },
    {
      homeserver: 'serves something under the device ID that clients cannot read',
      does: ({ homeserver }) => homeserver.user(USER_ID).deviceKeys.set(DEVICE_ID, {} as never),
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: "got the ghost's device keys from its `OlmMachine` a moment ago, and keeps them",
      kind: 'continuwuity, tuwunel',
      does: async ({ homeserver, store }) => {
        const ghost = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
        homeserver.next('keys/query', (answer) => {
          const { deviceKeys } = homeserver.user(USER_ID)
          const before = structuredClone(answer)
          deviceKeys.set(DEVICE_ID, withoutIdentity(ghost) as never)
          return before
        })
      },
      outcome: 'published',
      requests: 6,
    },
  ],
}

const BOTS: Group = {
  title: 'A bot with its own access token',
  text: 'The options are `homeserverUrl` and `accessToken`. The homeserver takes user and device from the token.',
  cases: [
    { homeserver: 'serves nothing yet', sender: 'a bot', outcome: 'published', requests: 5 },
    {
      homeserver: 'serves all of it',
      sender: 'a bot',
      before: 'the identity and the signed device',
      outcome: 'published',
      requests: 1,
    },
    {
      homeserver: 'is older than Synapse 1.141',
      sender: 'a bot',
      kind: 'Synapse 1.120 to 1.140',
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'says that the token belongs to another user or another device',
      sender: 'a bot',
      variants: [
        { user_id: '@other:example.org', device_id: DEVICE_ID },
        { user_id: USER_ID, device_id: 'OTHER' },
        { user_id: '@other:example.org' },
        {},
      ],
      does: ({ homeserver }, answer) => {
        homeserver.next('account/whoami', body(answer))
      },
      outcome: 'MatrixRequestError 200',
      says: /the access token belongs to .* and not to @_ghost:example\.org on the device GHOSTDEVICE$/,
      requests: 2,
    },
    {
      homeserver: 'does not say to which device the token belongs',
      sender: 'a bot',
      does: on('account/whoami', body({ user_id: USER_ID })),
      outcome: 'published',
      requests: 5,
    },
    notAnswer('account/whoami', {
      homeserver: 'answers `account/whoami` with what is not Matrix',
      sender: 'a bot',
      requests: 2,
    }),
    {
      homeserver: 'names a page where a person can approve the replacement',
      sender: 'a bot',
      kind: 'Matrix Authentication Service, which asks application services, too',
      before: 'the identity and the signed device',
      reset: true,
      outcome: 'UserInteractiveAuthError [m.oauth] and [org.matrix.cross_signing_reset] and its `url`',
      requests: 2,
    },
  ],
}

const rejecting =
  (endpoint: string, often: number) =>
  (request: HostRequest, reason: unknown): HostRequest => {
    let left = often
    return (method, path, query, body) => {
      // A client may reject with anything.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      if (path.endsWith(endpoint) && left-- > 0) return Promise.reject(reason)
      return request(method, path, query, body)
    }
  }

const failing = (error: object) => Object.assign(new Error('it failed'), error)

const HOSTS: Group = {
  title: "A host's own client",
  text:
    'The option is `request`. It rejects as the client of `matrix-bot-sdk` does: with an error if there is an ' +
    '`errcode`, otherwise with the whole response.',
  cases: [
    {
      homeserver: 'does not have the device',
      sender: 'a host',
      before: 'only the user',
      outcome: 'published',
      requests: 6,
    },
    {
      homeserver: 'does not have the device, and no MSC4190',
      sender: 'a host',
      kind: 'reads `device_id`, but has no MSC4190',
      before: 'only the user',
      outcome: 'published',
      requests: 7,
    },
    {
      homeserver: 'does not read `device_id`',
      sender: 'a host',
      kind: 'Synapse 1.120 to 1.140',
      outcome: 'MatrixRequestError M_UNKNOWN',
      says: /homeserverUrl and asToken instead of request/,
      requests: 2,
    },
    {
      homeserver: 'wants a dummy stage alone',
      sender: 'a host',
      does: asks([{ stages: [DUMMY] }]),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'wants a password, and `onUserInteractiveAuth` gives a wrong one',
      sender: 'a host',
      does: asks([{ stages: [PASSWORD] }]),
      authenticate: ({ session }) => ({ type: PASSWORD, password: 'wrong', session }),
      outcome: 'UserInteractiveAuthError [m.login.password]',
      requests: 23,
    },
    {
      homeserver: 'answers 429 with `retry_after_ms`',
      sender: 'a host',
      does: on('keys/query', limited({ retry_after_ms: 0 })),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'answers 502 once, with the page of a proxy',
      sender: 'a host',
      does: on('keys/upload', html(502)),
      outcome: 'published',
      requests: 5,
    },
    {
      homeserver: 'refuses with an error of the specification',
      sender: 'a host',
      does: on('keys/upload', matrix(400, 'M_INVALID_SIGNATURE', 'Invalid signature')),
      outcome: 'MatrixRequestError M_INVALID_SIGNATURE',
      says: /400 M_INVALID_SIGNATURE: Invalid signature$/,
      requests: 2,
    },
    {
      homeserver: 'answers 200 with an `errcode`',
      sender: 'a host',
      does: on('keys/upload', { status: 200, body: { errcode: 'M_UNKNOWN', error: 'no' } }),
      outcome: 'MatrixRequestError M_UNKNOWN',
      requests: 2,
    },
    {
      homeserver: '(the client rejects with an error of the network)',
      sender: 'a host',
      variants: [
        failing({ code: 'ECONNRESET' }),
        failing({ code: 'ESOCKETTIMEDOUT' }),
        new TypeError('fetch failed', { cause: failing({ code: 'UND_ERR_SOCKET' }) }),
      ],
      client: rejecting('/keys/query', 1),
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: '(the client rejects with `M_LIMIT_EXCEEDED`, in the forms of several clients)',
      sender: 'a host',
      variants: [
        failing({ statusCode: 429, body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 0 } }),
        failing({ statusCode: 429, errcode: 'M_LIMIT_EXCEEDED', error: 'slow down', retryAfterMs: 0 }),
        failing({ httpStatus: 429, errcode: 'M_LIMIT_EXCEEDED', data: { retry_after_ms: 0 } }),
        failing({ response: { status: 429, data: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 0 } } }),
        { statusCode: 429, body: '{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":0}' },
      ],
      client: rejecting('/keys/query', 2),
      outcome: 'published',
      requests: 4,
    },
    {
      homeserver: '(the client rejects with something else)',
      sender: 'a host',
      variants: [
        new TypeError('a bug'),
        failing({ code: 'ERR_INVALID_URL' }),
        failing({ statusCode: 'x' }),
        'text',
        7,
        null,
        undefined,
        {},
        [],
        Symbol('x'),
        () => 7,
      ],
      client: rejecting('/keys/query', 1),
      outcome: 'MatrixRequestError',
      says: /POST \/_matrix\/client\/v3\/keys\/query: no answer: ./,
      requests: 0,
    },
    {
      homeserver: '(the client throws at once)',
      sender: 'a host',
      client: () => () => {
        throw new TypeError('a bug')
      },
      outcome: 'MatrixRequestError',
      says: /: no answer: a bug$/,
      requests: 0,
    },
    {
      homeserver: '(the client resolves with something that is not an object)',
      sender: 'a host',
      variants: [undefined, null, 'x', 7, [], true],
      client: (_, variant) => () => Promise.resolve(variant as object),
      outcome: 'MatrixRequestError 200',
      says: IS_NO_ANSWER,
      requests: 0,
    },
  ],
}

export const GROUPS: Group[] = [INTERACTIVE, FAILURES, AGAIN, ODD, DEAD_ENDS, BOTS, HOSTS]
