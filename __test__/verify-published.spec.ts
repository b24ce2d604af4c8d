// Promise: verifyPublished says what another user's client would say. It believes signatures alone. Every
// input gives a verdict or an error with a code.

import { join } from 'node:path'
import fc from 'fast-check'
import { isNativeError } from 'node:util/types'
import { bootstrapCrossSigning, type KeysQueryAnswer, verifyPublished } from 'rust-crypto-helper'
import { Ghost, type SignedObject, SigningKey, vouchingKey } from './support/published'
import { mutate } from './support/mutants'
import { ROOT, runScript } from './support/processes'
import { argumentsLike, generator } from './support/random'
import { onlyKey } from './support/signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'
import { SEED } from './support/seed'

/** MUTANTS=10000 is enough for a slow processor. */
const MUTANTS = Number(process.env.MUTANTS ?? 100_000)
const OTHER_USER = '@other:example.org'
const PROBLEMS = [
  'NO_DEVICE',
  'NO_MASTER_KEY',
  'NO_SELF_SIGNING_KEY',
  'ID_MISMATCH',
  'SELF_SIGNING_KEY_NOT_SIGNED',
  'DEVICE_NOT_SIGNED',
  'BAD_SIGNATURE',
] as const

const verdict = (answer: unknown) => verifyPublished(USER_ID, DEVICE_ID, answer as KeysQueryAnswer)

function thrown(...args: unknown[]): Error & { code: string } {
  try {
    ;(verifyPublished as (...args: unknown[]) => unknown)(...args)
  } catch (error) {
    expect(isNativeError(error)).toBe(true)
    return error as Error & { code: string }
  }
  throw new Error('no error')
}

const onDevice = ({ device }: Ghost, { publicKey }: SigningKey) => ({
  signatures: device.signatures[USER_ID]!,
  id: `ed25519:${publicKey}`,
})

/** Flips one bit of a signature. */
function spoil(object: SignedObject, keyId: string): void {
  const signatures = object.signatures[USER_ID]!
  const bytes = Buffer.from(signatures[keyId]!, 'base64')
  bytes[7]! ^= 1
  signatures[keyId] = bytes.toString('base64').replace(/=+$/, '')
}

test('a bootstrapped ghost is verified, and the verdict has its master key', async () => {
  const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'))
  const { master_key, self_signing_key } = payloads.upload_keys
  const answer = {
    device_keys: { [USER_ID]: { [DEVICE_ID]: payloads.upload_device_keys!.device_keys } },
    master_keys: { [USER_ID]: master_key },
    self_signing_keys: { [USER_ID]: self_signing_key },
  }
  expect(verdict(answer)).toEqual({ verified: true, master_key: onlyKey(master_key)[1] })
  expect(vouchingKey(answer)).toBe(onlyKey(master_key)[1])
})

test.each<[string, (ghost: Ghost) => object | undefined]>([
  ['a ghost that is published as it should be', () => undefined],
  ['no user-signing key, which other users never see', (ghost) => omit(ghost.answer(), 'user_signing_keys')],
  ['a master key that the device did not sign', ({ master }) => void (master.signatures = {})],
  [
    'a display name, which no signature covers',
    ({ device }) => void (device.unsigned = { device_display_name: 'x' }),
  ],
  [
    'more fields, which the signatures cover',
    (ghost) => {
      for (const object of [ghost.device, ghost.master, ghost.selfSigning]) {
        Object.assign(object, { 'org.example.é\u0001😀': { z: [1, null, true], a: -7 } })
      }
      ghost.signAll()
      return undefined
    },
  ],
  [
    'signatures of other keys, and one that is not base64',
    ({ device }) => {
      new SigningKey().sign(device, 'ed25519:OTHER')
      new SigningKey().sign(device, 'ed25519:OTHER', OTHER_USER)
      device.signatures[USER_ID]!['ed25519:NONSENSE'] = '?'
      return undefined
    },
  ],
  [
    'keys, signatures and algorithms of a kind that nobody knows, beside the others',
    (ghost) => {
      const { device, master, selfSigning } = ghost
      device.algorithms!.push('org.example.new')
      device.keys[`new:${DEVICE_ID}`] = 'of any length'
      for (const object of [master, selfSigning]) object.keys['new:key'] = 'of any length'
      ghost.signAll()
      for (const object of [device, master, selfSigning]) {
        object.signatures = {
          ...object.signatures,
          [USER_ID]: { ...object.signatures[USER_ID], 'new:key': '?' },
        }
      }
      return undefined
    },
  ],
  ...[null, {}, 'x', [7], { keys: 7n }, new Map()].map((odd): [string, (ghost: Ghost) => object] => [
    `a user-signing key that is odd: ${Object.prototype.toString.call(odd)}`,
    (ghost) => ({ ...ghost.answer(), user_signing_keys: { [USER_ID]: odd } }),
  ]),
  [
    'user-signing keys and failures that are null',
    (ghost) => {
      return { ...ghost.answer(), user_signing_keys: null, failures: null }
    },
  ],
  [
    'nonsense about other devices and users',
    (ghost) => {
      const answer = ghost.answer()
      Object.assign(answer.device_keys![USER_ID]!, { OTHER: 7n, NONE: null })
      for (const name of ['device_keys', 'master_keys', 'self_signing_keys'] as const)
        Object.assign(answer[name]!, { [OTHER_USER]: 7n })
      return { ...answer, failures: { 'other.example.org': 7n }, 'org.example.new': [7n] }
    },
  ],
])('verified: %s', (_, change) => {
  const ghost = new Ghost()
  const answer = change(ghost) ?? ghost.answer()
  expect(verdict(answer)).toEqual({ verified: true, master_key: ghost.keys.master.publicKey })
  expect(vouchingKey(answer)).toBe(ghost.keys.master.publicKey)
})

function omit(object: object, name: string): object {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
}

function withDevice(ghost: Ghost, device: unknown): object {
  return { ...ghost.answer(), device_keys: { [USER_ID]: { [DEVICE_ID]: device } } }
}

function withKey(ghost: Ghost, name: string, key: unknown): object {
  return { ...ghost.answer(), [name]: { [USER_ID]: key } }
}

const FORGERIES: [(typeof PROBLEMS)[number], string, (ghost: Ghost) => object | undefined][] = [
  ['NO_DEVICE', 'no device at all', (ghost) => ({ ...ghost.answer(), device_keys: { [USER_ID]: {} } })],
  [
    'NO_DEVICE',
    'another device',
    (ghost) => ({ ...ghost.answer(), device_keys: { [USER_ID]: { OTHER: ghost.device } } }),
  ],
  ['NO_MASTER_KEY', 'no master keys', (ghost) => omit(ghost.answer(), 'master_keys')],
  [
    'NO_MASTER_KEY',
    "another user's master key",
    (ghost) => ({ ...ghost.answer(), master_keys: { [OTHER_USER]: ghost.master } }),
  ],
  ['NO_SELF_SIGNING_KEY', 'no self-signing keys', (ghost) => omit(ghost.answer(), 'self_signing_keys')],
  ...([null, {}, 'x', 7, true, []] as unknown[]).flatMap((odd): (typeof FORGERIES)[number][] => {
    const what = JSON.stringify(odd)
    return [
      ['NO_DEVICE', `a device that is ${what}`, (ghost) => withDevice(ghost, odd)],
      ['NO_MASTER_KEY', `a master key that is ${what}`, (ghost) => withKey(ghost, 'master_keys', odd)],
      [
        'NO_SELF_SIGNING_KEY',
        `a self-signing key that is ${what}`,
        (ghost) => withKey(ghost, 'self_signing_keys', odd),
      ],
    ]
  }),
  ...['user_id', 'device_id', 'algorithms', 'keys', 'signatures'].flatMap(
    (name): (typeof FORGERIES)[number][] =>
      [undefined, null, 7].map((odd) => [
        'NO_DEVICE',
        `a device whose ${name} is ${odd}`,
        (ghost) => withDevice(ghost, { ...ghost.device, [name]: odd }),
      ]),
  ),
  ...['A'.repeat(42), 'A'.repeat(44), '?'.repeat(43), ''].map((key): (typeof FORGERIES)[number] => [
    'NO_DEVICE',
    `a device with the Ed25519 key ${JSON.stringify(key)}`,
    (ghost) =>
      withDevice(ghost, { ...ghost.device, keys: { ...ghost.device.keys, [`ed25519:${DEVICE_ID}`]: key } }),
  ]),
  [
    'NO_DEVICE',
    'a device with half a surrogate pair',
    (ghost) => withDevice(ghost, { ...ghost.device, 'org.example.half': '\ud800' }),
  ],
  [
    'NO_DEVICE',
    'a device with 200 levels',
    (ghost) => {
      let nested: object = {}
      for (let level = 0; level < 200; level++) nested = { nested }
      return withDevice(ghost, { ...ghost.device, nested })
    },
  ],
  ...(['master_keys', 'self_signing_keys'] as const).map((name): (typeof FORGERIES)[number] => [
    name === 'master_keys' ? 'NO_MASTER_KEY' : 'NO_SELF_SIGNING_KEY',
    `${name} that are null`,
    (ghost) => ({ ...ghost.answer(), [name]: null }),
  ]),
  ...(['device', 'master', 'selfSigning'] as const).map((name): (typeof FORGERIES)[number] => [
    'ID_MISMATCH',
    `the ${name} names another user, and all signatures are right`,
    (ghost) => {
      ghost[name].user_id = OTHER_USER
      ghost.signAll()
      return undefined
    },
  ]),
  [
    'ID_MISMATCH',
    'the device has another device ID, and all signatures are right',
    (ghost) => {
      const { device, keys } = ghost
      device.device_id = 'OTHER'
      device.keys['ed25519:OTHER'] = keys.device.publicKey
      ghost.signAll()
      keys.device.sign(device, 'ed25519:OTHER')
      return undefined
    },
  ],
  ['SELF_SIGNING_KEY_NOT_SIGNED', 'no signature', ({ selfSigning }) => void (selfSigning.signatures = {})],
  [
    'SELF_SIGNING_KEY_NOT_SIGNED',
    'a signature of another identity',
    ({ selfSigning }) => {
      selfSigning.signatures = {}
      new SigningKey().sign(selfSigning)
      return undefined
    },
  ],
  [
    'SELF_SIGNING_KEY_NOT_SIGNED',
    'a signature of the master key under another user ID',
    ({ selfSigning, keys }) => {
      selfSigning.signatures = {}
      keys.master.sign(selfSigning, undefined, OTHER_USER)
      return undefined
    },
  ],
  [
    'SELF_SIGNING_KEY_NOT_SIGNED',
    "an attacker's self-signing key, which signed the device",
    (ghost) => {
      const attacker = new SigningKey()
      ghost.selfSigning.keys = { [`ed25519:${attacker.publicKey}`]: attacker.publicKey }
      ghost.selfSigning.signatures = {}
      attacker.sign(ghost.selfSigning)
      attacker.sign(ghost.device)
      return undefined
    },
  ],
  [
    'DEVICE_NOT_SIGNED',
    'no signature of the self-signing key',
    (ghost) => {
      const { signatures, id } = onDevice(ghost, ghost.keys.selfSigning)
      Reflect.deleteProperty(signatures, id)
      return undefined
    },
  ],
  [
    'DEVICE_NOT_SIGNED',
    'no signature of the device itself',
    ({ device }) => void Reflect.deleteProperty(device.signatures[USER_ID]!, `ed25519:${DEVICE_ID}`),
  ],
  [
    'DEVICE_NOT_SIGNED',
    'the homeserver serves another identity',
    (ghost) => {
      const { master, selfSigning } = new Ghost()
      return {
        ...ghost.answer(),
        master_keys: { [USER_ID]: master },
        self_signing_keys: { [USER_ID]: selfSigning },
      }
    },
  ],
  [
    'DEVICE_NOT_SIGNED',
    'a signature of the master key, and none of the self-signing key',
    (ghost) => {
      const { signatures, id } = onDevice(ghost, ghost.keys.selfSigning)
      Reflect.deleteProperty(signatures, id)
      ghost.keys.master.sign(ghost.device)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    'a flipped bit in the signature of the device by the self-signing key',
    ({ device, keys }) => {
      spoil(device, `ed25519:${keys.selfSigning.publicKey}`)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    'a flipped bit in the signature of the device by itself',
    ({ device }) => {
      spoil(device, `ed25519:${DEVICE_ID}`)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    'a flipped bit in the signature of the self-signing key by the master key',
    ({ selfSigning, keys }) => {
      spoil(selfSigning, `ed25519:${keys.master.publicKey}`)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    "an attacker's signature under the ID of the master key",
    ({ selfSigning, keys }) => {
      new SigningKey().sign(selfSigning, `ed25519:${keys.master.publicKey}`)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    "an attacker's signature under the ID of the self-signing key",
    ({ device, keys }) => {
      new SigningKey().sign(device, `ed25519:${keys.selfSigning.publicKey}`)
      return undefined
    },
  ],
  [
    'BAD_SIGNATURE',
    'another Curve25519 key than the signed one',
    ({ device }) => void (device.keys[`curve25519:${DEVICE_ID}`] = new SigningKey().publicKey),
  ],
  [
    'BAD_SIGNATURE',
    'a number in the unsigned part that canonical JSON does not allow',
    ({ device }) => void (device.unsigned = { device_display_name: 'Ghost', n: 1.5 }),
  ],
  ['BAD_SIGNATURE', 'other algorithms than the signed ones', ({ device }) => void device.algorithms!.pop()],
  [
    'BAD_SIGNATURE',
    'a signature that is not base64',
    ({ device }) => void (device.signatures[USER_ID]![`ed25519:${DEVICE_ID}`] = '?'),
  ],
  [
    'BAD_SIGNATURE',
    'a device without its Ed25519 key',
    ({ device }) => void Reflect.deleteProperty(device.keys, `ed25519:${DEVICE_ID}`),
  ],
]

test.each(FORGERIES)('%s: %s', (problem, _, change) => {
  const ghost = new Ghost()
  const answer = change(ghost) ?? ghost.answer()
  expect(verdict(answer)).toEqual({
    verified: false,
    problem,
    message: expect.stringMatching(/.{20}/) as string,
  })
  expect(vouchingKey(answer)).toBeUndefined()
})

test('the forgeries give every problem', () => {
  expect(new Set(FORGERIES.map(([problem]) => problem))).toEqual(new Set(PROBLEMS))
})

test('keys with another usage are no identity', () => {
  for (const [name, usage] of [
    ['master', ['self_signing']],
    ['selfSigning', ['master']],
    ['selfSigning', ['self_signing', 'master']],
    ['selfSigning', []],
  ] as const) {
    const ghost = new Ghost()
    ghost[name].usage = [...usage]
    ghost.signAll()
    const problem = name === 'master' ? 'NO_MASTER_KEY' : 'NO_SELF_SIGNING_KEY'
    expect(verdict(ghost.answer())).toMatchObject({ verified: false, problem })
    expect(vouchingKey(ghost.answer())).toBeUndefined()
  }
})

test.each([
  ['INVALID_USER_ID', ['ghost', DEVICE_ID, {}]],
  ['INVALID_USER_ID', ['', DEVICE_ID, {}]],
  ['INVALID_DEVICE_ID', [USER_ID, '', {}]],
  ['INVALID_DEVICE_ID', [USER_ID, 'A\nB', {}]],
  ['INVALID_ARGUMENT', []],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID]],
  ['INVALID_ARGUMENT', [7, DEVICE_ID, {}]],
  ['INVALID_ARGUMENT', [USER_ID, null, {}]],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, '{}']],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, {}]],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, { device_keys: { [OTHER_USER]: {} } }]],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, { device_keys: { [USER_ID]: null } }]],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, { device_keys: { [USER_ID]: {} }, master_keys: [] }]],
  ['INVALID_ARGUMENT', [USER_ID, DEVICE_ID, { device_keys: { [USER_ID]: {} }, master_keys: new Map() }]],
  [
    'INVALID_ARGUMENT',
    [USER_ID, DEVICE_ID, { device_keys: { [USER_ID]: {} }, failures: { 'EXAMPLE.ORG': {} } }],
  ],
] as [string, unknown[]][])('%s is thrown: %j', (code, args) => {
  expect(thrown(...args).code).toBe(code)
})

test.each([
  ['device_keys', 'NO_DEVICE'],
  ['master_keys', 'NO_MASTER_KEY'],
  ['self_signing_keys', 'NO_SELF_SIGNING_KEY'],
])(
  'an invalid key of padded length in %s gives a verdict, and does not end Node.js',
  async (name, problem) => {
    const answer = new Ghost().answer() as Record<string, Record<string, unknown>>
    const key =
      name === 'device_keys' ? (answer[name]![USER_ID] as object)[DEVICE_ID as never] : answer[name]![USER_ID]
    Object.assign((key as SignedObject).keys, { [`ed25519:${DEVICE_ID}`]: 'A'.repeat(44) })
    const script = `
      const { verifyPublished } = require(${JSON.stringify(ROOT)})
      console.log(verifyPublished(...${JSON.stringify([USER_ID, DEVICE_ID, answer])}).problem)`
    expect(await runScript(script)).toMatchObject({ code: 0, stdout: `${problem}\n`, stderr: '' })
    const call = bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'), {
      serverKeys: answer,
    })
    await expect(call).rejects.toMatchObject({ code: 'IDENTITY_CONFLICT' })
  },
)

test('it is synchronous and does not change its arguments', () => {
  const answer = new Ghost().answer()
  const before = JSON.stringify(answer)
  const result: unknown = verdict(answer)
  expect(result).not.toBeInstanceOf(Promise)
  expect(JSON.stringify(answer)).toBe(before)
})

test('any input of any type to any parameter gives a verdict or an error with a code', () => {
  const names = ['device_keys', 'master_keys', 'failures', USER_ID, DEVICE_ID, '__proto__']
  const valid = [USER_ID, DEVICE_ID, new Ghost().answer()]
  const property = fc.property(argumentsLike(valid, names), (args) => {
    const allowed = ['NO_DEVICE', 'INVALID_ARGUMENT', 'INVALID_USER_ID', 'INVALID_DEVICE_ID']
    expect(allowed).toContain(outcomeOf(...args))
  })
  fc.assert(property, { numRuns: 10_000 })
})

/** The master key of the verdict, its problem, or the code of the error. */
function outcomeOf(...args: unknown[]): string {
  try {
    const result = (verifyPublished as (...args: unknown[]) => ReturnType<typeof verifyPublished>)(...args)
    return result.verified ? result.master_key : result.problem
  } catch (error) {
    return String((error as { code?: string }).code)
  }
}

/** The outcomes of an answer with a part that cannot be read. */
const MALFORMED = ['INVALID_ARGUMENT', 'NO_DEVICE', 'NO_MASTER_KEY', 'NO_SELF_SIGNING_KEY']

test(`${MUTANTS.toLocaleString('en')} mutated answers: verified only if the signatures are right`, () => {
  const random = generator(SEED)
  const [ghost, other] = [new Ghost(), new Ghost()]
  ghost.device.unsigned = { device_display_name: 'Ghost' }
  const [text, otherText] = [JSON.stringify(ghost.answer()), JSON.stringify(other.answer())]
  const untouched = uncovered(ghost.answer())
  const counts: Record<string, number> = {}

  for (let n = 0; n < MUTANTS; n++) {
    const [mutant, others] = [JSON.parse(text) as object, JSON.parse(otherText) as object]
    for (let times = 1 + Math.floor(random() * 3); times > 0; times--) mutate(mutant, others, random)
    // JavaScript allows named properties of lists and undefined values. The answer of a homeserver does not.
    const answer = JSON.parse(JSON.stringify(mutant)) as object

    const key = vouchingKey(answer)
    const outcome = outcomeOf(USER_ID, DEVICE_ID, answer)
    const verified = key !== undefined && outcome === key
    const refused = key === undefined && (outcome === 'INVALID_ARGUMENT' || isProblem(outcome))
    // A malformed part that no signature covers makes a record, or the whole answer, malformed.
    const { user_signing_keys } = answer as { user_signing_keys?: unknown }
    const isList = outcome === 'INVALID_ARGUMENT' && Array.isArray(user_signing_keys)
    const malformed =
      key !== undefined && MALFORMED.includes(outcome) && (isList || uncovered(answer) !== untouched)
    if (!verified && !refused && !malformed) {
      throw new Error(
        `${outcome} for ${key ?? 'no'} key with seed ${SEED}, mutant ${n}: ${JSON.stringify(answer)}`,
      )
    }
    const kind = verified ? 'verified' : malformed ? 'malformed' : outcome
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  process.stdout.write(`mutated answers, seed ${SEED}: ${JSON.stringify(counts)}\n`)
  for (const kind of ['verified', 'INVALID_ARGUMENT', ...PROBLEMS])
    expect(counts[kind]).toBeGreaterThan(MUTANTS / 1000)
}, 600_000)

function isProblem(outcome: string): boolean {
  return (PROBLEMS as readonly string[]).includes(outcome)
}

/** The parts of an answer that are read although no signature covers them. They must have the right form. */
function uncovered(answer: object): string {
  const { master_keys, user_signing_keys, failures, self_signing_keys, device_keys } = answer as Record<
    string,
    Record<string, SignedObject & Record<string, SignedObject>>
  >
  const signed = [self_signing_keys?.[USER_ID], device_keys?.[USER_ID]?.[DEVICE_ID]]
  const beside = signed.map((object) => [object?.signatures, object?.unsigned, Object.keys(object ?? {})])
  const ignored = typeof user_signing_keys
  return JSON.stringify([master_keys, ignored, failures, beside])
}
