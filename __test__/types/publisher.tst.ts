// Promise: the types of the publisher take one way to the homeserver, and say what comes back.

import type { CrossSigningBootstrap, VerificationProblem } from 'rust-crypto-helper'
import {
  CrossSigningPublisher,
  MatrixRequestError,
  NotPublishedError,
  UserInteractiveAuthError,
  type HostRequest,
  type OnUserInteractiveAuth,
  type PublicationProblem,
  type Published,
  type PublisherOptions,
  type PublishOptions,
  type UserInteractiveAuthChallenge,
  type UserInteractiveAuthFlow,
} from 'rust-crypto-helper/publisher'
import { describe, expect, test } from 'tstyche'

declare const publish: CrossSigningPublisher['publish']
declare const maybe: undefined

describe('CrossSigningPublisher', () => {
  test('takes a token of an application service, a token of a bot, or the client of a host', () => {
    const homeserverUrl = 'http://localhost:8008'
    const request: HostRequest = () => Promise.resolve({})
    expect(CrossSigningPublisher).type.toBeConstructableWith({ homeserverUrl, asToken: 'token' })
    expect(CrossSigningPublisher).type.toBeConstructableWith({ homeserverUrl, accessToken: 'token' })
    expect(CrossSigningPublisher).type.toBeConstructableWith({ request })
    expect(CrossSigningPublisher).type.not.toBeConstructableWith()
    expect(CrossSigningPublisher).type.not.toBeConstructableWith({ homeserverUrl })
    expect(CrossSigningPublisher).type.not.toBeConstructableWith({ asToken: 'token' })
  })

  test('takes options that are undefined', () => {
    expect(CrossSigningPublisher).type.toBeConstructableWith({
      request: () => Promise.resolve({}),
      onUserInteractiveAuth: maybe,
      timeout: maybe,
      maxRetries: maybe,
    })
    expect(publish).type.toBeCallableWith('@a:b', 'D', 'store', {
      passphrase: maybe,
      reset: maybe,
      busyTimeout: maybe,
      signal: maybe,
    })
  })

  test('takes the doRequest of a client', () => {
    interface Client {
      doRequest(method: string, path: string, query?: object | null, body?: object | null): Promise<any> // eslint-disable-line @typescript-eslint/no-explicit-any
    }
    const client = {} as Client
    const request: HostRequest = (method, path, query, body) =>
      client.doRequest(method, path, query, body) as Promise<object>
    expect(CrossSigningPublisher).type.toBeConstructableWith({ request })
  })

  test('publish gives the result of bootstrapCrossSigning', () => {
    expect(publish('@a:b', 'D', 'store')).type.toBe<Promise<Published>>()
    expect<Published>().type.toBeAssignableTo<CrossSigningBootstrap>()
    expect(publish).type.not.toBeCallableWith('@a:b', 'D', 'store', { serverKeys: {} })
  })
})

describe('errors', () => {
  test('say what failed', () => {
    expect<MatrixRequestError>().type.toBeAssignableTo<Error>()
    expect<UserInteractiveAuthError>().type.toBeAssignableTo<MatrixRequestError>()
    expect<UserInteractiveAuthError['flows']>().type.toBe<UserInteractiveAuthFlow[]>()
    expect<NotPublishedError['problem']>().type.toBe<PublicationProblem>()
    expect<VerificationProblem>().type.toBeAssignableTo<PublicationProblem>()
  })
})

test('every part has a name', () => {
  expect<PublishOptions['signal']>().type.toBe<AbortSignal | undefined>()
  expect<Parameters<OnUserInteractiveAuth>[0]>().type.toBe<UserInteractiveAuthChallenge>()
  expect<ConstructorParameters<typeof CrossSigningPublisher>[0]>().type.toBe<PublisherOptions>()
})
