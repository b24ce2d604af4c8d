// Takes MessagePack apart, changes one place and puts it together again. All other bytes stay the same.
// @msgpack/msgpack alone cannot do this: it makes strings of the numbers that the SDK uses as keys of maps.

import { inspect } from 'node:util'
import { decode, encode } from '@msgpack/msgpack'
import { pick } from './random'

/** The bytes of a scalar, or the parts of an array, or the keys and values of a map in turn. */
export type Part = Buffer | { isMap: boolean; parts: Part[] }

const [BIN_8, BIN_16, STR_8, STR_16, ARRAY_16, MAP_16] = [0xc4, 0xc5, 0xd9, 0xda, 0xdc, 0xde]
const FLOAT_32 = 0xca
const INT_64 = 0xd3

const CHARACTERS = ['A', 'z', '0', '9', '+', '/', '=', ':', '@', '.', ' ', 'é', '\0']

export function takeApart(bytes: Buffer): Part {
  let at = 0
  const read = (): Part => {
    const type = bytes.readUInt8(at)
    const isMap = (type & 0xf0) === 0x80 || type === MAP_16
    const isLong = type === ARRAY_16 || type === MAP_16
    if (isMap || isLong || (type & 0xf0) === 0x90) {
      const count = isLong ? bytes.readUInt16BE(at + 1) : type & 15
      at += isLong ? 3 : 1
      return { isMap, parts: Array.from({ length: isMap ? 2 * count : count }, read) }
    }
    const start = at
    at += length(type)
    return bytes.subarray(start, at)
  }
  const length = (type: number): number => {
    if (type >= 0xa0 && type <= 0xbf) return 1 + (type & 31)
    if (type === BIN_8 || type === STR_8) return 2 + bytes.readUInt8(at + 1)
    if (type === BIN_16 || type === STR_16) return 3 + bytes.readUInt16BE(at + 1)
    if (type >= FLOAT_32 && type <= INT_64) return 1 + [4, 8, 1, 2, 4, 8, 1, 2, 4, 8][type - FLOAT_32]!
    return 1
  }
  const part = read()
  if (at !== bytes.length) throw new Error('not the MessagePack that SDKs write')
  return part
}

export function putTogether(part: Part): Buffer {
  if (Buffer.isBuffer(part)) return part
  const { isMap, parts } = part
  const count = isMap ? parts.length / 2 : parts.length
  const header =
    count < 16 ? [(isMap ? 0x80 : 0x90) + count] : [isMap ? MAP_16 : ARRAY_16, count >> 8, count & 255]
  return Buffer.concat([Buffer.from(header), ...parts.map(putTogether)])
}

/** Makes one change: it changes a scalar, removes a field or replaces a whole object. */
export function changeOne(part: Part, random: () => number): { part: Part; what: string } {
  if (Buffer.isBuffer(part) || part.parts.length === 0 || random() < 0.03) {
    const value = another(Buffer.isBuffer(part) ? decode(part) : undefined, random)
    return { part: Buffer.from(encode(value)), what: ` = ${inspect(value, { breakLength: Infinity })}` }
  }
  const { isMap, parts } = part
  const width = isMap ? 2 : 1
  const at = Math.floor((random() * parts.length) / width) * width
  const name = isMap ? String(decode(putTogether(parts[at]!))) : at
  if (random() < 0.05) return { part: { isMap, parts: parts.toSpliced(at, width) }, what: `.${name} removed` }

  const isKey = isMap && random() < 0.1
  const index = isMap && !isKey ? at + 1 : at
  const changed = changeOne(parts[index]!, random)
  return {
    part: { isMap, parts: parts.with(index, changed.part) },
    what: `.${name}${isKey ? ', its name' : ''}${changed.what}`,
  }
}

function another(value: unknown, random: () => number): unknown {
  const byte = () => Math.floor(random() * 256)
  const bytes = (length: number) => Uint8Array.from({ length }, byte)
  if (random() < 0.7) {
    if (typeof value === 'boolean') return !value
    if (typeof value === 'number') return pick(random, [value + 1, value ^ 1, byte(), byte() * 2 ** 32])
    if (typeof value === 'string') {
      const at = Math.floor(random() * value.length)
      const character = pick(random, CHARACTERS)
      const changed = value.slice(0, at) + character + value.slice(at + 1)
      return pick(random, [changed, changed, value.slice(0, at), value + character])
    }
    if (value instanceof Uint8Array) {
      const at = Math.floor(random() * value.length)
      return pick(random, [value.with(at, byte()), value.slice(0, at), Buffer.concat([value, bytes(1)])])
    }
  }
  return pick(random, [
    null,
    true,
    false,
    0,
    -1,
    byte(),
    0.5,
    '',
    'other',
    '@other:example.org',
    bytes(32),
    [],
    [1],
    {},
    { other: 1 },
  ])
}
