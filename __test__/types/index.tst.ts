// Promise: the types say what a caller may write and what a call returns. What is wrong does not compile.

import {
  bootstrapCrossSigning,
  inspectStore,
  verifyPublished,
  type BootstrapError,
  type BootstrapErrorCode,
  type BootstrapOptions,
  type BootstrapStatus,
  type BootstrapUpload,
  type BootstrapWarning,
  type BootstrapWarningCode,
  type CrossSigningBootstrap,
  type CrossSigningKey,
  type CrossSigningKeyUsage,
  type DeviceKeys,
  type InspectOptions,
  type KeysQueryAnswer,
  type StoreIdentity,
  type StoreInfo,
  type UnverifiedDevice,
  type VerificationProblem,
  type VerifiedDevice,
} from 'rust-crypto-helper'
import { describe, expect, test } from 'tstyche'

declare const result: CrossSigningBootstrap
declare const serverKeys: KeysQueryAnswer

describe('bootstrapCrossSigning', () => {
  test('takes three strings and options', () => {
    expect(bootstrapCrossSigning).type.toBeCallableWith('@a:b', 'D', 'store')
    expect(bootstrapCrossSigning).type.toBeCallableWith('@a:b', 'D', 'store', {})
    expect(bootstrapCrossSigning).type.toBeCallableWith('@a:b', 'D', 'store', {
      passphrase: 'secret',
      reset: true,
      busyTimeout: 0,
      signal: new AbortController().signal,
      serverKeys: { device_keys: { '@a:b': {} }, failures: {} },
    })
    expect(bootstrapCrossSigning).type.not.toBeCallableWith('@a:b', 'D')
    expect(bootstrapCrossSigning).type.not.toBeCallableWith(1, 'D', 'store')
    expect(bootstrapCrossSigning('@a:b', 'D', 'store')).type.toBe<Promise<CrossSigningBootstrap>>()
  })

  test('takes options that are undefined, also under exactOptionalPropertyTypes', () => {
    expect<BootstrapOptions>().type.toBeAssignableFrom({
      passphrase: undefined,
      reset: undefined,
      busyTimeout: undefined,
      serverKeys: undefined,
      signal: undefined,
    })
  })

  test('takes answers with null instead of a part', () => {
    expect<KeysQueryAnswer>().type.toBeAssignableFrom({
      device_keys: { '@a:b': {} },
      master_keys: null,
      self_signing_keys: null,
      user_signing_keys: null,
      failures: null,
    })
  })

  test('refuses options that do not exist or have another type', () => {
    expect(bootstrapCrossSigning).type.not.toBeCallableWith('@a:b', 'D', 'store', { passphras: 'secret' })
    expect(bootstrapCrossSigning).type.not.toBeCallableWith('@a:b', 'D', 'store', { reset: 1 })
    expect(bootstrapCrossSigning).type.not.toBeCallableWith('@a:b', 'D', 'store', { serverKeys: '{}' })
    expect(bootstrapCrossSigning).type.not.toBeCallableWith('@a:b', 'D', 'store', {
      serverKeys: { one_time_keys: {} },
    })
  })

  test('returns payloads with names for all unions', () => {
    expect(result.status).type.toBe<BootstrapStatus>()
    expect<BootstrapStatus>().type.toBe<'created' | 'restored' | 'resumed' | 'published'>()
    expect(result.missing).type.toBe<BootstrapUpload[] | undefined>()
    expect<BootstrapUpload>().type.toBe<
      'upload_device_keys' | 'upload_account_data' | 'upload_keys' | 'upload_signatures'
    >()
    expect(result.warnings).type.toBe<BootstrapWarning[] | undefined>()
    expect<BootstrapWarning['code']>().type.toBe<BootstrapWarningCode>()
    expect<BootstrapWarningCode>().type.toBe<
      'DEVICE_KEYS_DIFFER' | 'DEVICE_KEYS_INVALID' | 'STALE_SIGNATURE'
    >()
    expect(result.upload_keys.master_key).type.toBe<CrossSigningKey>()
    expect(result.upload_keys.master_key.usage).type.toBe<CrossSigningKeyUsage[]>()
    expect(result.upload_device_keys).type.toBe<{ device_keys: DeviceKeys } | undefined>()
    expect(result.upload_signatures).type.toBe<Record<string, Record<string, DeviceKeys>>>()
    expect(result).type.not.toHaveProperty('uploadKeys')
  })

  test('rejects with an error that has a code', () => {
    expect<BootstrapError>().type.toBeAssignableTo<Error>()
    expect<BootstrapError['code']>().type.toBe<BootstrapErrorCode>()
    expect<BootstrapErrorCode>().type.toBeAssignableFrom('STORE_IN_USE' as const)
    expect<BootstrapErrorCode>().type.not.toBeAssignableFrom('STORE_LOST' as const)
  })
})

describe('inspectStore', () => {
  test('takes a path and options', () => {
    expect(inspectStore).type.toBeCallableWith('store')
    expect(inspectStore).type.toBeCallableWith('store', {
      passphrase: 'secret',
      busyTimeout: 0,
      signal: AbortSignal.abort(),
    })
    expect<InspectOptions>().type.toBeAssignableFrom({ passphrase: undefined, busyTimeout: undefined })
    expect(inspectStore).type.not.toBeCallableWith()
    expect(inspectStore).type.not.toBeCallableWith('store', { reset: true })
    expect(inspectStore('store')).type.toBe<Promise<StoreInfo>>()
  })

  test('returns what the store holds, perhaps without an account', () => {
    expect<StoreInfo>().type.toBe<{
      user_id?: string
      device_id?: string
      schema: number
      encrypted: boolean
      stray_cipher?: boolean
      identity: StoreIdentity
      master_key?: string
      device_signed: boolean
      device_keys_uploaded: boolean
    }>()
    expect<StoreIdentity>().type.toBe<'none' | 'incomplete' | 'complete'>()
  })
})

describe('verifyPublished', () => {
  test('takes a user, a device and an answer', () => {
    expect(verifyPublished).type.toBeCallableWith('@a:b', 'D', serverKeys)
    expect(verifyPublished).type.not.toBeCallableWith('@a:b', 'D')
  })

  test('returns a verdict that one must look at', () => {
    const verdict = verifyPublished('@a:b', 'D', serverKeys)
    expect(verdict).type.toBe<VerifiedDevice | UnverifiedDevice>()
    expect(verdict).type.not.toHaveProperty('master_key')
    if (verdict.verified) expect(verdict.master_key).type.toBe<string>()
    else expect(verdict.problem).type.toBe<VerificationProblem>()
  })
})
