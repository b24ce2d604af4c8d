// Answers to keys/query that a hostile or broken homeserver could give, made systematically: every part of every
// record, and every way to be wrong. Each starts from a ghost that is published as it should be.

import { Ghost, type SignedObject, SigningKey } from './published'
import { DEVICE_ID } from './stores'

export interface HostileAnswer {
  name: string
  /** Changes the ghost, or returns another answer. */
  change: (ghost: Ghost) => object | undefined
}

type Change = (ghost: Ghost) => unknown

const OTHER_USER = '@other:example.org'
const DEVICE_KEY = `ed25519:${DEVICE_ID}`
const RECORDS = ['device', 'master', 'selfSigning'] as const
const PARTS = ['device_keys', 'master_keys', 'self_signing_keys', 'user_signing_keys', 'failures'] as const
const ODD: [string, unknown][] = [
  ['absent', undefined],
  ['null', null],
  ['a number', 7],
  ['true', true],
  ['text', 'x'],
  ['a list', []],
  ['an empty object', {}],
]

const FIELDS = {
  device: ['user_id', 'device_id', 'algorithms', 'keys', 'signatures', 'unsigned', 'dehydrated'],
  master: ['user_id', 'usage', 'keys', 'signatures'],
  selfSigning: ['user_id', 'usage', 'keys', 'signatures'],
} as const

/** Changes a ghost in place. */
function on(name: string, change: Change): HostileAnswer {
  return {
    name,
    change: (ghost) => {
      change(ghost)
      return undefined
    },
  }
}

/** Changes what signatures cover, and makes all signatures again. */
function signed(name: string, change: Change): HostileAnswer {
  return on(`${name}, signed`, (ghost) => {
    change(ghost)
    ghost.signAll()
  })
}

/** Changes the answer around the records. */
function answer(
  name: string,
  change: (answer: Record<string, unknown>, ghost: Ghost) => unknown,
): HostileAnswer {
  return {
    name,
    change: (ghost) => {
      const whole = structuredClone(ghost.answer())
      change(whole, ghost)
      return whole
    },
  }
}

function setRecord(
  whole: Record<string, unknown>,
  record: (typeof RECORDS)[number],
  user: string,
  value: unknown,
) {
  if (record === 'device') whole.device_keys = { [user]: { [DEVICE_ID]: value } }
  else whole[record === 'master' ? 'master_keys' : 'self_signing_keys'] = { [user]: value }
}

const oddRecords = RECORDS.flatMap((record) =>
  ODD.map(([odd, value]) =>
    answer(`the ${record} is ${odd}`, (whole, { userId }) => {
      setRecord(whole, record, userId, value)
    }),
  ),
)

const oddFields = RECORDS.flatMap((record) =>
  FIELDS[record].flatMap((field) =>
    ODD.flatMap(([odd, value]) => {
      const name = `${field} of the ${record} is ${odd}`
      const set: Change = (ghost) => Object.assign(ghost[record], { [field]: value })
      return field === 'signatures' || field === 'unsigned'
        ? [on(name, set)]
        : [on(name, set), signed(name, set)]
    }),
  ),
).filter(({ name }) => !/keys of .* is (absent|null|a number|true|text|a list), signed$/.test(name))

const oddParts = PARTS.flatMap((part) =>
  ODD.map(([odd, value]) => answer(`${part} is ${odd}`, (whole) => Object.assign(whole, { [part]: value }))),
)

const identities = [
  ...RECORDS.map((record) =>
    signed(`the ${record} names another user`, (ghost) => (ghost[record].user_id = OTHER_USER)),
  ),
  ...RECORDS.map((record) =>
    signed(
      `the ${record} names the user in capitals`,
      (ghost) => (ghost[record].user_id = ghost.userId.toUpperCase()),
    ),
  ),
  signed('all records name another user', (ghost) => {
    for (const record of RECORDS) ghost[record].user_id = OTHER_USER
  }),
  signed('the device names another device', ({ device }) => (device.device_id = 'OTHER')),
  signed('the device names another device and has its keys', (ghost) => {
    const { device, keys } = ghost
    device.device_id = 'OTHER'
    device.keys['ed25519:OTHER'] = keys.device.publicKey
  }),
  answer('the device is served under another ID', (whole, { userId, device }) => {
    whole.device_keys = { [userId]: { OTHER: device } }
  }),
  answer('the user has no devices', (whole, { userId }) => (whole.device_keys = { [userId]: {} })),
  answer('the devices are null', (whole, { userId }) => (whole.device_keys = { [userId]: null })),
  answer(
    'the devices are a list',
    (whole, { userId, device }) => (whole.device_keys = { [userId]: [device] }),
  ),
  ...(['master_keys', 'self_signing_keys'] as const).map((part) =>
    answer(`${part} are another user's`, (whole, ghost) => {
      whole[part] = { [OTHER_USER]: part === 'master_keys' ? ghost.master : ghost.selfSigning }
    }),
  ),
  answer('the master and the self-signing key are swapped', (whole, { userId, master, selfSigning }) => {
    Object.assign(whole, { master_keys: { [userId]: selfSigning }, self_signing_keys: { [userId]: master } })
  }),
  answer('the master key is also the self-signing key', (whole, { userId, master }) => {
    whole.self_signing_keys = { [userId]: master }
  }),
  ...RECORDS.map((record) =>
    answer(`the ${record} is another ghost's of the same name`, (whole, { userId }) => {
      setRecord(whole, record, userId, new Ghost(userId)[record])
    }),
  ),
  answer('the identity is another one', (whole, { userId }) => {
    const { master, selfSigning } = new Ghost(userId)
    Object.assign(whole, { master_keys: { [userId]: master }, self_signing_keys: { [userId]: selfSigning } })
  }),
  ...(['master', 'selfSigning'] as const).flatMap((record) =>
    [
      ['master', 'master'],
      ['self_signing'],
      ['master'],
      ['user_signing'],
      ['self_signing', 'master'],
      ['org.example.new'],
      ['MASTER'],
      [7],
    ].map((usage) =>
      signed(`the ${record} is for ${JSON.stringify(usage)}`, (ghost) =>
        Object.assign(ghost[record], { usage }),
      ),
    ),
  ),
]

/** The three signatures that count: where, by which key, and under which ID. */
const SIGNATURES = [
  ['the device by itself', 'device', 'device'],
  ['the device by the self-signing key', 'device', 'selfSigning'],
  ['the self-signing key by the master key', 'selfSigning', 'master'],
] as const

const keyId = ({ keys }: Ghost, signer: 'device' | 'master' | 'selfSigning') =>
  signer === 'device' ? DEVICE_KEY : `ed25519:${keys[signer].publicKey}`

const urlSafe = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_')

const TEXTS: [string, (text: string) => unknown][] = [
  ['has a flipped bit', (text) => flipBit(text)],
  ['has a flipped last bit', (text) => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A')],
  ['is padded', (text) => text + '='.repeat((4 - (text.length % 4)) % 4)],
  ['is padded too much', (text) => `${text}====`],
  ['is URL-safe', (text) => `-_${urlSafe(text).slice(2)}`],
  ['is in capitals', (text) => text.toUpperCase()],
  ['ends with a line', (text) => `${text}\n`],
  ['begins with a space', (text) => ` ${text}`],
  ['is cut', (text) => text.slice(0, -4)],
  ['is longer', (text) => `${text}AAAA`],
  ['is empty', () => ''],
  ['is not base64', () => '?'],
  ['is null', () => null],
  ['is a number', () => 7],
  ['is zeros', (text) => 'A'.repeat(text.length)],
]

function flipBit(text: string): string {
  const bytes = Buffer.from(text, 'base64')
  bytes[7]! ^= 1
  return bytes.toString('base64').replace(/=+$/, '')
}

const signatures = SIGNATURES.flatMap(([name, record, signer]) => {
  const all = (ghost: Ghost) => ghost[record].signatures[ghost.userId] as Record<string, unknown>
  const move = (ghost: Ghost, id: string, user = ghost.userId) => {
    const old = keyId(ghost, signer)
    const signature = ghost[record].signatures[ghost.userId]![old]!
    Reflect.deleteProperty(all(ghost), old)
    ghost[record].signatures[user] = { ...ghost[record].signatures[user], [id]: signature }
  }
  return [
    ...TEXTS.map(([how, change]) =>
      on(`the signature of ${name} ${how}`, (ghost) => {
        const id = keyId(ghost, signer)
        all(ghost)[id] = change(all(ghost)[id] as string)
      }),
    ),
    on(`no signature of ${name}`, (ghost) => Reflect.deleteProperty(all(ghost), keyId(ghost, signer))),
    on(`the signature of ${name} under another user`, (ghost) => {
      move(ghost, keyId(ghost, signer), OTHER_USER)
    }),
    on(`the signature of ${name} under an ID in capitals`, (ghost) => {
      move(ghost, keyId(ghost, signer).toUpperCase())
    }),
    on(`the signature of ${name} under another algorithm`, (ghost) => {
      move(ghost, keyId(ghost, signer).replace('ed25519', 'ed448'))
    }),
    on(`the signature of ${name} under an ID without algorithm`, (ghost) => {
      move(ghost, keyId(ghost, signer).replace('ed25519:', ''))
    }),
    on(`the signature of ${name} under another ID`, (ghost) => {
      move(ghost, 'ed25519:OTHER')
    }),
    on(`the signature of ${name} by an attacker`, (ghost) => {
      new SigningKey().sign(ghost[record], keyId(ghost, signer), ghost.userId)
    }),
    on(`the signature of ${name} over another version`, (ghost) => {
      const other = structuredClone(ghost[record])
      Object.assign(other, { version: 2 })
      ghost.keys[signer].sign(other, keyId(ghost, signer), ghost.userId)
      ghost[record].signatures = other.signatures
    }),
  ]
})

/** The three keys that count, each with the record that it is in. */
const KEYS = [
  ['device', 'device'],
  ['master', 'master'],
  ['selfSigning', 'selfSigning'],
] as const

const keys = KEYS.flatMap(([record, signer]) => {
  const add = (name: string, id: string, value: unknown) =>
    signed(name, (ghost) => Object.assign(ghost[record].keys, { [id]: value }))
  return [
    ...TEXTS.flatMap(([how, change]) => {
      const set: Change = (ghost) => {
        const id = keyId(ghost, signer)
        ghost[record].keys[id] = change(ghost[record].keys[id]!) as string
      }
      return [on(`the key of the ${record} ${how}`, set), signed(`the key of the ${record} ${how}`, set)]
    }),
    signed(`the key of the ${record} has an ID in capitals`, (ghost) => {
      rename(ghost[record], keyId(ghost, signer), (id) => id.toUpperCase())
    }),
    signed(`the key of the ${record} has another ID`, (ghost) => {
      rename(ghost[record], keyId(ghost, signer), () => 'ed25519:OTHER')
    }),
    signed(`the key of the ${record} has another algorithm`, (ghost) => {
      rename(ghost[record], keyId(ghost, signer), (id) => id.replace('ed25519', 'ed448'))
    }),
    signed(`the key of the ${record} has an ID without algorithm`, (ghost) => {
      rename(ghost[record], keyId(ghost, signer), () => 'nonsense')
    }),
    add(`the ${record} has a key of an unknown algorithm`, 'ed448:A', 'of any length'),
    add(`the ${record} has a key of an unknown algorithm that is no text`, 'ed448:A', 7),
    add(`the ${record} has a key without algorithm`, 'nonsense', 'x'),
    add(`the ${record} has a key with an empty ID`, '', 'x'),
    add(`the ${record} has another key that is no key`, 'ed25519:zzz', 'x'),
    add(`the ${record} has another key of 33 bytes`, 'ed25519:zzz', 'A'.repeat(44)),
    add(`the ${record} has another Curve25519 key of 33 bytes`, 'curve25519:zzz', 'A'.repeat(44)),
    add(`the ${record} has another Curve25519 key that is no key`, 'curve25519:zzz', 'x'),
    add(`the ${record} has an attacker's key before its own`, 'ed25519:!', new SigningKey().publicKey),
    add(`the ${record} has an attacker's key after its own`, 'ed25519:~', new SigningKey().publicKey),
    on(`the ${record} has an attacker's key instead of its own`, (ghost) => {
      const attacker = new SigningKey()
      const id = record === 'device' ? DEVICE_KEY : `ed25519:${attacker.publicKey}`
      Reflect.deleteProperty(ghost[record].keys, keyId(ghost, signer))
      ghost[record].keys[id] = attacker.publicKey
      ghost.keys[signer] = attacker
    }),
    signed(`the ${record} has an attacker's key, and the attacker signed all that it can`, (ghost) => {
      const attacker = new SigningKey()
      const id = record === 'device' ? DEVICE_KEY : `ed25519:${attacker.publicKey}`
      Reflect.deleteProperty(ghost[record].keys, keyId(ghost, signer))
      ghost[record].keys[id] = attacker.publicKey
      ghost.keys[signer] = attacker
    }),
  ]
})

function rename({ keys }: SignedObject, id: string, change: (id: string) => string): void {
  const key = keys[id]!
  Reflect.deleteProperty(keys, id)
  keys[change(id)] = key
}

const nested = (levels: number) => {
  let value: object = {}
  for (let level = 1; level < levels; level++) value = { value }
  return value
}

const EXTRAS: [string, unknown][] = [
  ['more fields', { z: [1, null, true], a: -7, '\u0001é😀': 'é' }],
  ['an integer that is just right', 2 ** 53 - 1],
  ['an integer that is too large', 2 ** 53],
  ['a fraction', 1.5],
  ['a very large number', 1e300],
  ['half a surrogate pair', '\ud800'],
  ['a name with half a surrogate pair', { '\udc00': 1 }],
  ['the name __proto__', JSON.parse('{ "__proto__": { "x": 1 } }')],
  ...[90, 100, 120, 123, 124, 125, 126, 127, 128, 200].map((levels): [string, unknown] => [
    `${levels} levels`,
    nested(levels),
  ]),
  ['a text of 10,000 characters', 'x'.repeat(10_000)],
  ['a text of 300,000 characters', 'x'.repeat(300_000)],
]

const extras = RECORDS.flatMap((record) =>
  EXTRAS.flatMap(([name, extra]) => [
    signed(`the ${record} has ${name}`, (ghost) => Object.assign(ghost[record], { extra })),
    on(`the ${record} has ${name} beside what is signed`, (ghost) =>
      Object.assign(ghost[record], { unsigned: { extra } }),
    ),
  ]),
)

const others = [
  on('the device has a display name', ({ device }) => (device.unsigned = { device_display_name: 'Ghost' })),
  on(
    'the device has a display name that is a number',
    ({ device }) => (device.unsigned = { device_display_name: 7 }),
  ),
  on('the device has a display name and a fraction', ({ device }) => {
    device.unsigned = { device_display_name: 'Ghost', fraction: 1.5 }
  }),
  signed('the device is dehydrated', ({ device }) => Object.assign(device, { dehydrated: true })),
  signed('the device has no algorithms', ({ device }) => (device.algorithms = [])),
  signed('the device has an unknown algorithm', ({ device }) => device.algorithms!.push('org.example.new')),
  signed('the device has an algorithm that is a number', ({ device }) => device.algorithms!.push(7 as never)),
  on('the algorithms are not the signed ones', ({ device }) => device.algorithms!.pop()),
  signed('the device has no Curve25519 key', ({ device }) =>
    Reflect.deleteProperty(device.keys, `curve25519:${DEVICE_ID}`),
  ),
  on('the Curve25519 key is not the signed one', ({ device }) => {
    device.keys[`curve25519:${DEVICE_ID}`] = new SigningKey().publicKey
  }),
  on('the master key has no signatures', ({ master }) => (master.signatures = {})),
  on('the signatures are under users that are none', ({ device }) =>
    Object.assign(device.signatures, { nobody: {} }),
  ),
  on('the signatures of another user are a list', ({ device }) =>
    Object.assign(device.signatures, { [OTHER_USER]: [] }),
  ),
  on('the signatures of another user have an ID without algorithm', ({ device }) => {
    device.signatures[OTHER_USER] = { nonsense: 'x' }
  }),
  on('the signatures of another user are not base64', ({ device }) => {
    device.signatures[OTHER_USER] = { 'ed25519:A': '?' }
  }),
  ...ODD.slice(1).map(([odd, value]) =>
    answer(
      `the user-signing key is ${odd}`,
      (whole, { userId }) => (whole.user_signing_keys = { [userId]: value }),
    ),
  ),
  ...ODD.slice(1).map(([odd, value]) =>
    answer(`another device is ${odd}`, (whole, { userId, device }) => {
      whole.device_keys = { [userId]: { [DEVICE_ID]: device, OTHER: value } }
    }),
  ),
  ...ODD.slice(1).map(([odd, value]) =>
    answer(`the devices of another user are ${odd}`, (whole) => {
      Object.assign(whole.device_keys!, { [OTHER_USER]: value })
    }),
  ),
  ...ODD.slice(1).map(([odd, value]) =>
    answer(`the master key of another user is ${odd}`, (whole) => {
      Object.assign(whole.master_keys!, { [OTHER_USER]: value })
    }),
  ),
  ...PARTS.slice(0, 4).map((part) =>
    answer(`${part} has a user that is none`, (whole) => Object.assign(whole[part]!, { nobody: {} })),
  ),
  answer('the homeserver of the user failed', (whole) => (whole.failures = { 'example.org': {} })),
  answer(
    'the homeserver of the user failed, in capitals',
    (whole) => (whole.failures = { 'EXAMPLE.ORG': {} }),
  ),
  answer('another homeserver failed', (whole) => (whole.failures = { 'example.net': 7 })),
  answer('there are more parts', (whole) => Object.assign(whole, { 'org.example.new': [1.5] })),
]

export const HOSTILE_ANSWERS: HostileAnswer[] = [
  { name: 'all is as it should be', change: () => undefined },
  ...oddRecords,
  ...oddFields,
  ...oddParts,
  ...identities,
  ...signatures,
  ...keys,
  ...extras,
  ...others,
]
