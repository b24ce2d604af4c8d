// Answers to keys/query that are odd, and what a call decides on them: every row of the second table in
// docs/server-keys.md. They start from an answer that serves an identity and a device that it has signed.

import { type CrossSigningBootstrap } from 'rust-crypto-helper'
import { type Upload } from './decisions'
import { DEVICE_ID, USER_ID } from './stores'

/** Anything may be in an answer. */
export type OddAnswer = Record<string, unknown> &
  Record<'device_keys' | 'master_keys' | 'self_signing_keys' | 'user_signing_keys', Record<string, unknown>>

export interface Decision {
  outcome: CrossSigningBootstrap['status'] | 'IDENTITY_CONFLICT' | 'INVALID_ARGUMENT'
  warnings: NonNullable<CrossSigningBootstrap['warnings']>[number]['code'][]
  missing: Upload[]
}

export interface Oddity {
  serves: string
  change: (answer: OddAnswer) => void
  /** What happens to a store with the same device and without an identity. */
  none: Decision
  /** What happens to the store of the identity that was served before the change. */
  same: Decision
  /** What happens to a store with the same device and another identity. */
  other: Decision
}

const [DEVICE, KEYS, SIGNATURES] = ['upload_device_keys', 'upload_keys', 'upload_signatures'] as const

const EVERYTHING: Upload[] = [DEVICE, KEYS, SIGNATURES]

const conflict: Decision = { outcome: 'IDENTITY_CONFLICT', warnings: [], missing: [] }
const refusal: Decision = { outcome: 'INVALID_ARGUMENT', warnings: [], missing: [] }

function decision(
  outcome: Decision['outcome'],
  missing: Upload[],
  ...warnings: Decision['warnings']
): Decision {
  return { outcome, missing, warnings }
}

/** Only the store of the served identity goes on. */
const foreign = (same: Decision) => ({ none: conflict, same, other: conflict })
const everywhere = (same: Decision) => ({ none: same, same, other: same })

const devices = ({ device_keys }: OddAnswer) => device_keys[USER_ID] as Record<string, unknown>
const device = (answer: OddAnswer) => devices(answer)[DEVICE_ID] as Record<string, unknown>

function setDevice(value: unknown): Oddity['change'] {
  return (answer) => void (devices(answer)[DEVICE_ID] = value)
}

function setKey(name: 'master_keys' | 'self_signing_keys' | 'user_signing_keys', value: unknown) {
  return (answer: OddAnswer) => void (answer[name] = { [USER_ID]: value })
}

/** Leaves only these parts of the answer, and an empty map of devices if there is no device. */
function only(...names: string[]): Oddity['change'] {
  return (answer) => {
    for (const name of Object.keys(answer)) {
      if (name !== 'device_keys' && !names.includes(name)) Reflect.deleteProperty(answer, name)
    }
    if (!names.includes('device_keys')) answer.device_keys = { [USER_ID]: {} }
  }
}

function changed(...changes: Oddity['change'][]): Oddity['change'] {
  return (answer) => {
    for (const change of changes) change(answer)
  }
}

/** Removes the signature of the self-signing key from the device. */
function unsign(answer: OddAnswer): void {
  const signatures = device(answer).signatures as Record<string, Record<string, string>>
  signatures[USER_ID] = { [`ed25519:${DEVICE_ID}`]: signatures[USER_ID]![`ed25519:${DEVICE_ID}`]! }
}

/** Changes the signature of the self-signing key on the device, as if it had signed something else. */
function makeStale(answer: OddAnswer): void {
  const signatures = (device(answer).signatures as Record<string, Record<string, string>>)[USER_ID]!
  for (const id of Object.keys(signatures)) {
    if (id !== `ed25519:${DEVICE_ID}`) signatures[id] = signatures[`ed25519:${DEVICE_ID}`]!
  }
}

const nothing = changed(unsign, only('device_keys'))
const invalidDevice = foreign(decision('resumed', [DEVICE, SIGNATURES], 'DEVICE_KEYS_INVALID'))

export const ODDITIES: Oddity[] = [
  {
    serves: 'a self-signing key without its master key',
    change: only('self_signing_keys'),
    ...foreign(decision('resumed', [DEVICE, KEYS, SIGNATURES])),
  },
  {
    serves: 'a user-signing key without its master key',
    change: only('user_signing_keys'),
    ...foreign(decision('resumed', [DEVICE, KEYS, SIGNATURES])),
  },
  {
    serves: 'a device with the signature of a self-signing key that is not served',
    change: only('device_keys'),
    ...foreign(decision('resumed', [KEYS, SIGNATURES])),
  },
  {
    serves: 'a device that cannot be read, with the signature of a self-signing key that is not served',
    change: changed(only('device_keys'), (answer) => Reflect.deleteProperty(device(answer), 'algorithms')),
    ...foreign(decision('resumed', [DEVICE, KEYS, SIGNATURES], 'DEVICE_KEYS_INVALID')),
  },
  ...(['master', 'self-signing', 'user-signing'] as const).map((name): Oddity => {
    const part = `${name.replace('-', '_')}_keys` as 'master_keys' | 'self_signing_keys' | 'user_signing_keys'
    return {
      serves: `a ${name} key that cannot be read, and no other key`,
      change: changed(only(), setKey(part, {})),
      ...everywhere(conflict),
    }
  }),
  {
    serves: 'an identity with a master key that cannot be read',
    change: setKey('master_keys', 'x'),
    ...everywhere(conflict),
  },
  {
    serves: 'an identity with a self-signing key that cannot be read',
    change: setKey('self_signing_keys', { usage: 7 }),
    ...foreign(decision('resumed', [KEYS, SIGNATURES])),
  },
  {
    serves: 'an identity with a user-signing key that cannot be read',
    change: setKey('user_signing_keys', []),
    ...foreign(decision('resumed', [KEYS, SIGNATURES])),
  },
  { serves: 'a device that is `null`', change: setDevice(null), ...invalidDevice },
  { serves: 'a device that is text', change: setDevice('x'), ...invalidDevice },
  { serves: 'a device that is empty', change: setDevice({}), ...invalidDevice },
  ...['algorithms', 'signatures', 'keys'].map((name): Oddity => ({
    serves: `a device without \`${name}\``,
    change: (answer) => void Reflect.deleteProperty(device(answer), name),
    ...invalidDevice,
  })),
  {
    serves: 'a device with empty `keys` and `signatures`',
    change: (answer) => void Object.assign(device(answer), { keys: {}, signatures: {} }),
    ...invalidDevice,
  },
  {
    serves: 'a device with a key of the wrong length',
    change: (answer) => void Object.assign(device(answer).keys!, { [`ed25519:${DEVICE_ID}`]: 'AAAA' }),
    ...invalidDevice,
  },
  {
    serves: 'a device without its own signature',
    change: (answer) => void (device(answer).signatures = { [USER_ID]: {} }),
    ...invalidDevice,
  },
  {
    serves: 'a device that names another user',
    change: (answer) => void (device(answer).user_id = '@other:example.org'),
    ...invalidDevice,
  },
  {
    serves: 'a device that is empty, and no identity',
    change: changed(only('device_keys'), setDevice({})),
    none: decision('created', EVERYTHING, 'DEVICE_KEYS_INVALID'),
    same: decision('resumed', EVERYTHING, 'DEVICE_KEYS_INVALID'),
    other: decision('resumed', EVERYTHING, 'DEVICE_KEYS_INVALID'),
  },
  {
    serves: 'a device with a wrong signature of the self-signing key',
    change: makeStale,
    ...foreign(decision('resumed', [SIGNATURES], 'STALE_SIGNATURE')),
  },
  {
    serves: 'a device, and `null` instead of the other parts',
    change: changed(nothing, (answer) =>
      Object.assign(answer, {
        ...{ master_keys: null, self_signing_keys: null, user_signing_keys: null, failures: null },
      }),
    ),
    none: decision('created', [KEYS, SIGNATURES]),
    same: decision('resumed', [KEYS, SIGNATURES]),
    other: decision('resumed', [KEYS, SIGNATURES]),
  },
  {
    serves: 'a device, and keys that are `null`',
    change: changed(
      nothing,
      ...(['master_keys', 'self_signing_keys', 'user_signing_keys'] as const).map((name) =>
        setKey(name, null),
      ),
    ),
    none: decision('created', [KEYS, SIGNATURES]),
    same: decision('resumed', [KEYS, SIGNATURES]),
    other: decision('resumed', [KEYS, SIGNATURES]),
  },
  {
    serves: 'nonsense about other users and devices',
    change: (answer) => {
      Object.assign(devices(answer), { OTHER: { keys: 7 }, NONE: null })
      for (const name of ['device_keys', 'master_keys', 'self_signing_keys', 'user_signing_keys'] as const)
        answer[name]['@other:example.org'] = 7n
      Object.assign(answer, { failures: { 'other.example.org': 1n }, 'org.example.new': [1.5, 1n] })
    },
    ...foreign(decision('published', [])),
  },
  {
    serves: 'nothing, and the homeserver of the user among the failures, in capitals',
    change: changed(nothing, (answer) => void (answer.failures = { 'Example.ORG': {} })),
    ...everywhere(refusal),
  },
  {
    serves: 'nothing about the user',
    change: (answer) => void (answer.device_keys = { '@other:example.org': {} }),
    ...everywhere(refusal),
  },
  {
    serves: 'devices of the user that are `null`',
    change: (answer) => void (answer.device_keys = { [USER_ID]: null }),
    ...everywhere(refusal),
  },
]
