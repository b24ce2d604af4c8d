// An oracle for secret storage (https://spec.matrix.org/v1.16/client-server-api/#secret-storage): recovery keys,
// descriptions of keys and encrypted secrets, with the cryptography of Node.js. It shares no code with the code
// under test.

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  randomBytes,
} from 'node:crypto'

export const DEFAULT_KEY = 'm.secret_storage.default_key'
export const SECRETS = [
  'm.cross_signing.master',
  'm.cross_signing.self_signing',
  'm.cross_signing.user_signing',
]

export type AccountData = Record<string, object>

interface Encrypted {
  iv: string
  ciphertext: string
  mac: string
}

interface Secret {
  encrypted: Record<string, Encrypted>
}

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** The 32 bytes of a recovery key. */
export function readKey(text: string): Buffer {
  let number = 0n
  for (const character of text.replaceAll(' ', '')) {
    if (!ALPHABET.includes(character)) throw new Error('not base58')
    number = number * 58n + BigInt(ALPHABET.indexOf(character))
  }
  const bytes = Buffer.from(number.toString(16).padStart(70, '0'), 'hex')
  if (bytes.length !== 35 || bytes[0] !== 0x8b || bytes[1] !== 0x01) throw new Error('not a recovery key')
  if (bytes.reduce((parity, byte) => parity ^ byte, 0) !== 0) throw new Error('wrong parity')
  return bytes.subarray(2, 34)
}

/** A recovery key as clients show it. */
export function writeKey(key: Uint8Array): string {
  const bytes = [0x8b, 0x01, ...key]
  let number = BigInt(`0x${Buffer.from([...bytes, bytes.reduce((a, b) => a ^ b, 0)]).toString('hex')}`)
  let text = ''
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)]! + text
  return text.match(/.{1,4}/g)!.join(' ')
}

function keysOf(key: Uint8Array, name: string): { aes: Buffer; hmac: Buffer } {
  const bytes = Buffer.from(hkdfSync('sha256', key, Buffer.alloc(32), name, 64))
  return { aes: bytes.subarray(0, 32), hmac: bytes.subarray(32) }
}

export function decrypt(key: Uint8Array, name: string, { iv, ciphertext, mac }: Encrypted): string {
  const { aes, hmac } = keysOf(key, name)
  const bytes = Buffer.from(ciphertext, 'base64')
  if (!createHmac('sha256', hmac).update(bytes).digest().equals(Buffer.from(mac, 'base64')))
    throw new Error('wrong MAC')
  const cipher = createDecipheriv('aes-256-ctr', aes, Buffer.from(iv, 'base64'))
  return Buffer.concat([cipher.update(bytes), cipher.final()]).toString()
}

export function encrypt(key: Uint8Array, name: string, text: string | Uint8Array): Encrypted {
  const { aes, hmac } = keysOf(key, name)
  const iv = randomBytes(16)
  iv[8]! &= 0x7f
  const cipher = createCipheriv('aes-256-ctr', aes, iv)
  const bytes = Buffer.concat([cipher.update(text), cipher.final()])
  return {
    iv: iv.toString('base64'),
    ciphertext: bytes.toString('base64'),
    mac: createHmac('sha256', hmac).update(bytes).digest('base64'),
  }
}

export function describe(key: Uint8Array): { algorithm: string; iv: string; mac: string } {
  const { iv, mac } = encrypt(key, '', Buffer.alloc(32))
  return { algorithm: 'm.secret_storage.v1.aes-hmac-sha2', iv, mac }
}

/** Whether a description says that it is of this key. */
export function isDescribedBy(key: Uint8Array, { algorithm, iv, mac }: Record<string, string>): boolean {
  const { aes, hmac } = keysOf(key, '')
  const cipher = createCipheriv('aes-256-ctr', aes, Buffer.from(iv!, 'base64'))
  const bytes = Buffer.concat([cipher.update(Buffer.alloc(32)), cipher.final()])
  const expected = createHmac('sha256', hmac).update(bytes).digest()
  return algorithm === 'm.secret_storage.v1.aes-hmac-sha2' && expected.equals(Buffer.from(mac!, 'base64'))
}

/** The public key of a seed, in unpadded base64. */
export function publicKeyOf(seed: Buffer): string {
  // The fixed bytes around a seed in PKCS #8 (https://www.rfc-editor.org/rfc/rfc8410#section-7).
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  const key = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' })
  const { x } = createPublicKey(key).export({ format: 'jwk' })
  return Buffer.from(x!, 'base64url').toString('base64').replace(/=+$/, '')
}

/** The account data after uploads were put. */
export function put(
  accountData: AccountData,
  uploads: { type: string; content: object }[] = [],
): AccountData {
  return { ...accountData, ...Object.fromEntries(uploads.map(({ type, content }) => [type, content])) }
}

export function defaultKeyId(accountData: AccountData): string {
  return (accountData[DEFAULT_KEY] as { key: string }).key
}

/** The seeds in account data, as a client reads them with the default key. */
export function seedsOf(accountData: AccountData, recoveryKey: string): string[] {
  const id = defaultKeyId(accountData)
  const key = readKey(recoveryKey)
  if (!isDescribedBy(key, accountData[`m.secret_storage.key.${id}`] as Record<string, string>))
    throw new Error('another key')
  return SECRETS.map((name) => decrypt(key, name, (accountData[name] as Secret).encrypted[id]!))
}

/** Account data that hold these seeds, as a client would have made them. */
export function storage(key: Uint8Array, id: string, seeds: (string | undefined)[]): AccountData {
  const accountData: AccountData = {
    [DEFAULT_KEY]: { key: id },
    [`m.secret_storage.key.${id}`]: describe(key),
  }
  for (const [index, name] of SECRETS.entries()) {
    const seed = seeds[index]
    if (seed !== undefined) accountData[name] = { encrypted: { [id]: encrypt(key, name, seed) } }
  }
  return accountData
}
