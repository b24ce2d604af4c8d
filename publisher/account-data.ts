// The form of account data about secret storage. Any client of the user may have put them: nothing in them is trusted.

import { isObject, type JsonObject } from './answer'

/** Contents by type. A type that the user does not have is absent. */
export type AccountData = Record<string, JsonObject>

export const DEFAULT_KEY = 'm.secret_storage.default_key'
export const SECRETS = [
  'm.cross_signing.master',
  'm.cross_signing.self_signing',
  'm.cross_signing.user_signing',
]

/** The account data that describe a key of the secret storage. */
export function keyType(keyId: string): string {
  return `m.secret_storage.key.${keyId}`
}

// What `bootstrapCrossSigning` takes at most, counted as it counts: for each value a fixed number, and the characters of
// texts and names.
const LARGEST = 256 * 1024
const COST_OF_VALUE = 8
const DEEPEST = 100

const TOO_LARGE = 'it is too large'

/** Why a content cannot be read, in words. `undefined`: it can be. */
export function defectOf(type: string, content: unknown): string | undefined {
  if (!isObject(content)) return 'it is not an object'
  const has = (name: string) => Object.hasOwn(content, name)
  if (type === DEFAULT_KEY && has('key') && typeof content.key !== 'string') return 'its key is not a text'
  if (SECRETS.includes(type) && has('encrypted') && !isObject(content.encrypted)) {
    return 'its encrypted is not an object'
  }
  return defectIn(content, { left: LARGEST }, 0)
}

function defectIn(value: unknown, room: { left: number }, depth: number): string | undefined {
  room.left -= COST_OF_VALUE
  if (typeof value === 'string') return defectOfText(value, room)
  if (room.left < 0) return TOO_LARGE
  if (typeof value !== 'object' || value === null) return undefined
  if (depth === DEEPEST) return 'it is nested too deeply'
  const members = Array.isArray(value)
    ? value.map((item: unknown) => ['', item] as const)
    : Object.entries(value)
  for (const [name, item] of members) {
    const defect = defectOfText(name, room) ?? defectIn(item, room, depth + 1)
    if (defect !== undefined) return defect
  }
  return undefined
}

function defectOfText(text: string, room: { left: number }): string | undefined {
  room.left -= text.length
  if (room.left < 0) return TOO_LARGE
  return /\p{Surrogate}/u.test(text) ? 'it holds a half of a surrogate pair' : undefined
}
