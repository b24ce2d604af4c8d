// Promise: verifyPublished says what another user's client would say. It believes signatures alone. Every
// input gives a verdict or an error with a code.

import { join } from 'node:path'
import fc from 'fast-check'
import { isNativeError } from 'node:util/types'
import { bootstrapCrossSigning, type KeysQueryAnswer, verifyPublished } from 'rust-crypto-helper'
import { Ghost, type SignedObject, SigningKey, vouchingKey } from './support/published'
import { ROOT, runScript } from './support/processes'
import { argumentsLike, generator, pick } from './support/random'
import { onlyKey } from './support/signatures'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const MUTANTS = 100_000
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
])('verified: %s', (_, change) => {
  const ghost = new Ghost()
  const answer = change(ghost) ?? ghost.answer()
  expect(verdict(answer)).toEqual({ verified: true, master_key: ghost.keys.master.publicKey })
  expect(vouchingKey(answer)).toBe(ghost.keys.master.publicKey)
})

function omit(object: object, name: string): object {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name))
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
    expect(thrown(USER_ID, DEVICE_ID, ghost.answer()).code).toBe('INVALID_ARGUMENT')
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
] as [string, unknown[]][])('%s is thrown: %j', (code, args) => {
  expect(thrown(...args).code).toBe(code)
})

test.each(['device_keys', 'master_keys', 'self_signing_keys'])(
  'an invalid key of padded length in %s gives an error with a code, and does not end Node.js',
  async (name) => {
    const answer = new Ghost().answer() as Record<string, Record<string, unknown>>
    const key =
      name === 'device_keys' ? (answer[name]![USER_ID] as object)[DEVICE_ID as never] : answer[name]![USER_ID]
    Object.assign((key as SignedObject).keys, { [`ed25519:${DEVICE_ID}`]: 'A'.repeat(44) })
    const script = `
      const { verifyPublished } = require(${JSON.stringify(ROOT)})
      try { verifyPublished(...${JSON.stringify([USER_ID, DEVICE_ID, answer])}) } catch ({ code }) { console.log(code) }`
    expect(await runScript(script)).toMatchObject({ code: 0, stdout: 'INVALID_ARGUMENT\n', stderr: '' })
    const call = bootstrapCrossSigning(USER_ID, DEVICE_ID, join(temporaryFolder(), 'store'), {
      serverKeys: answer,
    })
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
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

/** Every place in a value, as the object that holds it and the name in this object. */
function places(value: unknown, found: [holder: Record<string, unknown>, name: string][] = []) {
  if (typeof value !== 'object' || value === null) return found
  for (const name of Object.keys(value)) {
    found.push([value as Record<string, unknown>, name])
    places((value as Record<string, unknown>)[name], found)
  }
  return found
}

const CHARACTERS = [...Array.from('ABCXYZabcxyz0189+/=-_:@ .é\u0000'), '😀']

function changedText(text: string, random: () => number): string {
  const at = Math.floor(random() * text.length)
  const character = pick(random, CHARACTERS)
  return pick(random, [
    () => text.slice(0, at) + character + text.slice(at + 1),
    () => text.slice(0, at) + character + text.slice(at),
    () => text.slice(0, at) + text.slice(at + 1),
    () => text.slice(0, at),
    () => `${text}=`,
    () => text + text,
    () => text.toUpperCase(),
  ])()
}

/** Makes a random change at a random place: of a value, of a name, or of where a value belongs. */
function mutate(answer: object, others: object, random: () => number): void {
  const [holder, name] = pick(random, places(answer))
  const [otherHolder, otherName] = pick(random, places(random() < 0.5 ? answer : others))
  const value = holder[name]
  pick(random, [
    () => Reflect.deleteProperty(holder, name),
    () =>
      (holder[name] = pick(random, [
        null,
        true,
        0,
        -1,
        1.5,
        2 ** 60,
        '',
        'x',
        [],
        {},
        [value],
        { [name]: value },
      ])),
    () => (holder[name] = structuredClone(otherHolder[otherName])),
    () => (holder[changedText(name, random)] = value),
    () => (holder[otherName] = structuredClone(value)),
    () => {
      const mine = structuredClone(value)
      holder[name] = structuredClone(otherHolder[otherName])
      otherHolder[otherName] = mine
    },
    () => {
      if (typeof value === 'string') holder[name] = changedText(value, random)
    },
    () => {
      if (typeof value !== 'string') return
      const [, text] = pick(
        random,
        places(others).flatMap(([holder, name]) =>
          typeof holder[name] === 'string' ? [[name, holder[name]] as const] : [],
        ),
      )
      holder[name] = text
    },
  ])()
}

test(`${MUTANTS.toLocaleString('en')} mutated answers: verified only if the signatures are right`, () => {
  const seed = Number(process.env.SEED ?? Date.now())
  const random = generator(seed)
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
    // A malformed part that no signature covers makes the whole answer malformed.
    const malformed = key !== undefined && outcome === 'INVALID_ARGUMENT' && uncovered(answer) !== untouched
    if (!verified && !refused && !malformed) {
      throw new Error(
        `${outcome} for ${key ?? 'no'} key with seed ${seed}, mutant ${n}: ${JSON.stringify(answer)}`,
      )
    }
    const kind = verified ? 'verified' : malformed ? 'malformed' : outcome
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  process.stdout.write(`mutated answers, seed ${seed}: ${JSON.stringify(counts)}\n`)
  for (const kind of ['verified', 'INVALID_ARGUMENT', ...PROBLEMS]) expect(counts[kind]).toBeGreaterThan(100)
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
  return JSON.stringify([master_keys, user_signing_keys, failures, beside])
}
