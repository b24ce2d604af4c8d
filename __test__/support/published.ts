// Answers of a homeserver, of which the test has all private keys, and an oracle for the verdict of a client.
// The oracle shares no code with the code under test.

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { type KeysQueryAnswer } from 'rust-crypto-helper'
import { canonicalJson } from './signatures'
import { DEVICE_ID, USER_ID } from './stores'

export interface SignedObject {
  user_id: string
  device_id?: string
  usage?: string[]
  algorithms?: string[]
  keys: Record<string, string>
  signatures: Record<string, Record<string, string>>
  unsigned?: object
}

const base64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')

export class SigningKey {
  readonly publicKey: string
  readonly #private: KeyObject

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    this.#private = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }))
    this.publicKey = base64(Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'))
  }

  /** Adds a signature to an object, under the ID of this key or under another one. */
  sign(object: SignedObject, keyId = `ed25519:${this.publicKey}`, signer = USER_ID): void {
    const { signatures: _signatures, unsigned: _unsigned, ...content } = object
    const signature = base64(sign(null, Buffer.from(canonicalJson(content)), this.#private))
    object.signatures = {
      ...object.signatures,
      [signer]: { ...object.signatures[signer], [keyId]: signature },
    }
  }
}

/** A ghost that is published as it should be, with its private keys, for forgeries. */
export class Ghost {
  readonly keys = { device: new SigningKey(), master: new SigningKey(), selfSigning: new SigningKey() }
  readonly device: SignedObject
  readonly master: SignedObject
  readonly selfSigning: SignedObject
  readonly userSigning: SignedObject
  readonly userId: string

  constructor(userId = USER_ID) {
    this.userId = userId
    const { device, master, selfSigning } = this.keys
    const crossSigning = (usage: string, { publicKey }: SigningKey): SignedObject => {
      return {
        user_id: userId,
        usage: [usage],
        keys: { [`ed25519:${publicKey}`]: publicKey },
        signatures: {},
      }
    }
    this.device = {
      user_id: userId,
      device_id: DEVICE_ID,
      algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
      keys: {
        [`curve25519:${DEVICE_ID}`]: new SigningKey().publicKey,
        [`ed25519:${DEVICE_ID}`]: device.publicKey,
      },
      signatures: {},
    }
    this.master = crossSigning('master', master)
    this.selfSigning = crossSigning('self_signing', selfSigning)
    this.userSigning = crossSigning('user_signing', new SigningKey())
    this.signAll()
  }

  /** Signs everything again after a change. */
  signAll(): void {
    const { device, master, selfSigning } = this.keys
    for (const object of [this.device, this.master, this.selfSigning, this.userSigning])
      object.signatures = {}
    device.sign(this.device, `ed25519:${DEVICE_ID}`, this.userId)
    selfSigning.sign(this.device, undefined, this.userId)
    device.sign(this.master, `ed25519:${DEVICE_ID}`, this.userId)
    master.sign(this.selfSigning, undefined, this.userId)
    master.sign(this.userSigning, undefined, this.userId)
  }

  answer(): KeysQueryAnswer & Record<string, unknown> {
    return {
      device_keys: { [this.userId]: { [DEVICE_ID]: this.device } },
      master_keys: { [this.userId]: this.master },
      self_signing_keys: { [this.userId]: this.selfSigning },
      user_signing_keys: { [this.userId]: this.userSigning },
      failures: {},
    }
  }
}

/**
 * The master key of the identity that has signed the device, by this answer. Undefined if there is none.
 * The rules: https://spec.matrix.org/v1.16/client-server-api/#cross-signing
 */
export function vouchingKey(answer: unknown, deviceId = DEVICE_ID): string | undefined {
  const device = at(answer, 'device_keys', USER_ID, deviceId)
  const master = at(answer, 'master_keys', USER_ID)
  const selfSigning = at(answer, 'self_signing_keys', USER_ID)
  if ([device, master, selfSigning].some((object) => at(object, 'user_id') !== USER_ID)) return undefined
  if (at(device, 'device_id') !== deviceId) return undefined
  if (canonicalJson(at(master, 'usage')) !== '["master"]') return undefined
  if (canonicalJson(at(selfSigning, 'usage')) !== '["self_signing"]') return undefined

  const deviceKeyId = `ed25519:${deviceId}`
  const [masterId, masterKey] = firstKey(master)
  const [selfSigningId, selfSigningKey] = firstKey(selfSigning)
  const vouched =
    isSigned(device, deviceKeyId, at(device, 'keys', deviceKeyId)) &&
    isSigned(selfSigning, masterId, masterKey) &&
    isSigned(device, selfSigningId, selfSigningKey)
  return vouched ? base64(bytes(masterKey, 32)!) : undefined
}

function at(value: unknown, ...path: string[]): unknown {
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}

function firstKey(object: unknown): [id: string, key: unknown] {
  const ids = Object.keys(at(object, 'keys') ?? {})
  const [id = ''] = ids.filter((id) => id.startsWith('ed25519:')).sort()
  return [id, at(object, 'keys', id)]
}

function bytes(encoded: unknown, length: number): Buffer | undefined {
  if (typeof encoded !== 'string') return undefined
  const decoded = Buffer.from(encoded, 'base64')
  const text = base64(decoded)
  // Clients take padding that is missing, also a part of it, and no more than is right.
  const isWritten = encoded.replace(/=+$/, '') === text && encoded.length <= decoded.toString('base64').length
  return decoded.length === length && isWritten ? decoded : undefined
}

const publicKeys = new Map<string, KeyObject>()

function isSigned(object: unknown, keyId: string, publicKey: unknown): boolean {
  const signature = bytes(at(object, 'signatures', USER_ID, keyId), 64)
  const key = bytes(publicKey, 32)
  // The SDK keeps the unsigned part if it has a display name. Then it refuses some numbers in that part.
  const { unsigned: beside, ...kept } = object as Record<string, unknown>
  const read = at(beside, 'device_display_name') === undefined ? kept : object
  if (!signature || !key || !isCanonical(read)) return false
  const x = key.toString('base64url')
  if (!publicKeys.has(x))
    publicKeys.set(x, createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } }))
  const { signatures: _signatures, unsigned: _unsigned, ...content } = object as SignedObject
  // Clients decode keys with or without padding, and check the signature over the decoded keys.
  const keys = Object.entries((at(object, 'keys') ?? {}) as Record<string, unknown>).map(([id, key]) => [
    id,
    isPublicKey(id, key) ? base64(bytes(key, 32)!) : key,
  ])
  const signed = canonicalJson({
    ...content,
    ...('keys' in content && { keys: Object.fromEntries(keys) as object }),
  })
  return verify(null, Buffer.from(signed), publicKeys.get(x)!, signature)
}

function isPublicKey(id: string, key: unknown): boolean {
  return /^(ed|curve)25519:/.test(id) && bytes(key, 32) !== undefined
}

/** Clients refuse numbers that canonical JSON does not allow, anywhere in the object. */
function isCanonical(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value)
  return typeof value !== 'object' || value === null || Object.values(value).every(isCanonical)
}
