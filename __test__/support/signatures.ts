// An oracle for signatures: the Ed25519 of Node.js over canonical JSON
// (https://spec.matrix.org/v1.16/appendices/#signing-json). It shares no code with the code under test.

import { createPublicKey, verify } from 'node:crypto'

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}

interface Signed {
  signatures: Record<string, Record<string, string>>
  unsigned?: unknown
}

/** Whether `signer` has signed the object with the key that has this ID and this public half. */
export function isSignedBy(object: Signed, signer: string, keyId: string, publicKey: string): boolean {
  const signature = object.signatures[signer]?.[keyId]
  if (signature === undefined) return false
  const { signatures: _signatures, unsigned: _unsigned, ...content } = object
  const key = createPublicKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey, 'base64').toString('base64url') },
  })
  return verify(null, Buffer.from(canonicalJson(content)), key, Buffer.from(signature, 'base64'))
}

/** The one key of a cross-signing key object, as ID and public key. */
export function onlyKey(key: { keys: Record<string, string> }): [id: string, publicKey: string] {
  const entries = Object.entries(key.keys)
  expect(entries).toHaveLength(1)
  return entries[0]!
}
