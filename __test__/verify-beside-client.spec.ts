// Promise: verifyPublished never calls a device verified that another user's client does not. The client is the
// Matrix SDK that Element runs. Where the two differ otherwise, there is a reason. SEED=n repeats the mutants.

import { verifyPublished } from 'rust-crypto-helper'
import { Client, type ClientVerdict } from './support/client'
import { HOSTILE_ANSWERS } from './support/hostile-answers'
import { mutate } from './support/mutants'
import { Ghost } from './support/published'
import { generator, pick } from './support/random'
import { DEVICE_ID } from './support/stores'
import { SEED } from './support/seed'

const MUTANTS = 10_000
/** A client judges so many answers. Then another one follows, which knows nobody. */
const BATCH = 200

/** Why the two differ. The first difference alone is about devices that verifyPublished calls verified. */
const REASONS = {
  others: `The client drops the whole answer, because of a part that is null or about others. Such a part does not
    tell anything about the device. The client gets an answer of its own, about other users than this one. With
    nothing but what is about the device, it says the same.`,
  failures: `The answer says that the homeserver of the user did not answer. Then it is not about the user.`,
  size: 'The answer has a record that is larger than any homeserver takes.',
  levels:
    'The answer has a record with more levels than any record needs. With some more, this client crashes.',
} as const

type Reason = keyof typeof REASONS

const DIFFERENCES: Record<Reason, string[]> = {
  others: [
    'user_signing_keys is null',
    'failures is null',
    ...['null', 'a number', 'true', 'text', 'a list'].map((odd) => `the devices of another user are ${odd}`),
    ...['device', 'master', 'self_signing', 'user_signing'].map(
      (name) => `${name}_keys has a user that is none`,
    ),
  ],
  failures: ['the homeserver of the user failed', 'the homeserver of the user failed, in capitals'],
  size: ['device', 'master', 'selfSigning'].flatMap((record) =>
    ['signed', 'beside what is signed'].map((how) => named(record, 'a text of 300,000 characters', how)),
  ),
  levels: [
    ...[100, 120, 123, 124, 125].map((levels) =>
      named('device', `${levels} levels`, 'beside what is signed'),
    ),
    ...[100, 120, 123, 124, 125, 126].map((levels) => named('device', `${levels} levels`, 'signed')),
    ...['master', 'selfSigning'].flatMap((record) => [
      ...[100, 120, 123].map((levels) => named(record, `${levels} levels`, 'beside what is signed')),
      ...[100, 120, 123, 124].map((levels) => named(record, `${levels} levels`, 'signed')),
    ]),
  ],
}

function named(record: string, extra: string, how: string): string {
  return `the ${record} has ${extra}${how === 'signed' ? ', signed' : ` ${how}`}`
}

type Answer = Record<string, unknown>

interface Case {
  name: string
  user: string
  answer: Answer
}

interface Judged extends Case {
  /** The master key, the problem or the code of the error. */
  ours: string
  isVerified: boolean
  client: ClientVerdict
}

function judge({ user, answer }: Case): Pick<Judged, 'ours' | 'isVerified'> {
  try {
    const verdict = verifyPublished(user, DEVICE_ID, answer)
    return { ours: verdict.verified ? verdict.master_key : verdict.problem, isVerified: verdict.verified }
  } catch (error) {
    return { ours: (error as { code: string }).code, isVerified: false }
  }
}

const client = new Client()

afterAll(() => client.close())

/** The client judges each answer, and again without what is about others, if it dropped it or crashed on it. */
async function judgeAll(cases: Case[]): Promise<(Judged & { reason: Reason | undefined })[]> {
  const ask = (asked: Case[], about: (item: Case) => object) =>
    client.ask(
      asked.map((item) => ({ user: item.user, device: DEVICE_ID, text: JSON.stringify(about(item)) })),
    )
  const clients = await ask(cases, ({ answer }) => answer)
  const judged = cases.map((item, n) => ({ ...item, ...judge(item), client: clients[n]! }))
  const gaveUp = ['drops the answer', 'crashes']
  const dropped = judged.filter(({ isVerified, client }) => isVerified && gaveUp.includes(client.says))
  const again = await ask(dropped, aboutDevice)
  return judged.map((item) => ({ ...item, reason: explain(item, again[dropped.indexOf(item)]) }))
}

/** The reason of a difference. Fails if there is none. */
function explain(item: Judged, clientAlone: ClientVerdict | undefined): Reason | undefined {
  const { user, answer, ours, isVerified, client } = item
  if (isVerified ? client.masterKey === ours : client.says !== 'verified') return undefined
  if (isVerified && clientAlone?.masterKey === ours) return 'others'
  if (!isVerified) {
    const server = user.slice(user.indexOf(':') + 1)
    const failed = Object.keys(answer.failures ?? {}).map((name) => name.toLowerCase())
    const records = aboutDevice(item)
    const isUnreadable = ['NO_DEVICE', 'NO_MASTER_KEY', 'NO_SELF_SIGNING_KEY'].includes(ours)
    if (ours === 'INVALID_ARGUMENT' && failed.includes(server)) return 'failures'
    if (ours === 'INVALID_ARGUMENT' && JSON.stringify(records).length > 250_000) return 'size'
    if (isUnreadable && levels(records) > 100) return 'levels'
  }
  throw new Error(`${item.name}: ${ours}, but the client says ${client.says}: ${JSON.stringify(answer)}`)
}

/** An own property of an object. */
function at(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Answer)[name]
}

function aboutDevice({ user, answer }: Case): object {
  const one = (name: string, value: unknown) => (value == null ? {} : { [name]: value })
  return {
    device_keys: { [user]: one(DEVICE_ID, at(at(answer.device_keys, user), DEVICE_ID)) },
    master_keys: one(user, at(answer.master_keys, user)),
    self_signing_keys: one(user, at(answer.self_signing_keys, user)),
  }
}

function levels(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(levels))
}

/** As it comes from a homeserver, without what JSON does not have. */
const viaJson = (answer: object) => JSON.parse(JSON.stringify(answer)) as Answer

function batches<T>(items: T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / BATCH) }, (_, n) =>
    items.slice(n * BATCH, (n + 1) * BATCH),
  )
}

test(`${HOSTILE_ANSWERS.length} hostile answers: the two differ for good reasons only`, async () => {
  expect(new Set(HOSTILE_ANSWERS.map(({ name }) => name)).size).toBe(HOSTILE_ANSWERS.length)
  const cases = HOSTILE_ANSWERS.map(({ name, change }, n): Case => {
    const user = `@ghost${n}:example.org`
    const ghost = new Ghost(user)
    return { name, user, answer: viaJson(change(ghost) ?? ghost.answer()) }
  })
  const found: Record<Reason, string[]> = { others: [], failures: [], size: [], levels: [] }
  const counts: Record<string, number> = {}
  for (const batch of batches(cases)) {
    for (const { name, ours, isVerified, client, reason } of await judgeAll(batch)) {
      if (reason) found[reason].push(name)
      const both = `${isVerified ? 'verified' : ours} / ${client.says}`
      counts[both] = (counts[both] ?? 0) + 1
    }
  }
  process.stdout.write(`hostile answers, verifyPublished / client: ${JSON.stringify(counts, undefined, 1)}\n`)
  for (const reason of Object.keys(REASONS) as Reason[]) {
    expect({ [reason]: found[reason].sort() }).toEqual({ [reason]: DIFFERENCES[reason].sort() })
  }
}, 600_000)

/** A random user, whom no mutation makes of another one. */
function randomUser(random: () => number): string {
  const digits = Array.from({ length: 16 }, () => Math.floor(random() * 16).toString(16))
  return `@ghost-${digits.join('')}:example.org`
}

/** Changes characters of the text until the text is JSON again. */
function mutateText(text: string, random: () => number): Answer {
  for (;;) {
    let changed = text
    for (let times = 1 + Math.floor(random() * 3); times > 0; times--) {
      const position = Math.floor(random() * changed.length)
      const character = String.fromCharCode(32 + Math.floor(random() * 95))
      const [before, after] = [changed.slice(0, position), changed.slice(position + Math.floor(random() * 2))]
      changed = before + pick(random, [character, '', changed[position]! + character]) + after
    }
    try {
      const answer: unknown = JSON.parse(changed)
      if (changed !== text && typeof answer === 'object' && answer !== null) return answer as Answer
    } catch {
      // Another try.
    }
  }
}

test(`${MUTANTS.toLocaleString('en')} mutants: the two differ for good reasons only`, async () => {
  const random = generator(SEED)
  const texts = Array.from({ length: BATCH }, () => {
    const user = randomUser(random)
    const [ghost, other] = [new Ghost(user), new Ghost(user)]
    ghost.device.unsigned = { device_display_name: 'Ghost' }
    return { user, text: JSON.stringify(ghost.answer()), otherText: JSON.stringify(other.answer()) }
  })
  const counts: Record<string, number> = {}
  for (let made = 0; made < MUTANTS; made += BATCH) {
    const cases = texts.map(({ user, text, otherText }, n): Case => {
      const name = `mutant ${made + n} of seed ${SEED}`
      if (random() < 0.3) return { name, user, answer: mutateText(text, random) }
      const [mutant, others] = [JSON.parse(text) as Answer, JSON.parse(otherText) as Answer]
      for (let times = 1 + Math.floor(random() * 3); times > 0; times--) mutate(mutant, others, random)
      // JavaScript allows named properties of lists and undefined values. JSON does not.
      return { name, user, answer: viaJson(mutant) }
    })
    for (const { ours, isVerified, client, reason } of await judgeAll(cases)) {
      const what = reason ?? (isVerified ? 'verified' : `${ours} / ${client.says}`)
      counts[what] = (counts[what] ?? 0) + 1
    }
  }
  process.stdout.write(`mutants of seed ${SEED}: ${JSON.stringify(counts, undefined, 1)}\n`)
  expect(counts.verified).toBeGreaterThan(MUTANTS / 10)
  for (const problem of [
    'BAD_SIGNATURE',
    'NO_DEVICE',
    'NO_MASTER_KEY',
    'DEVICE_NOT_SIGNED',
    'INVALID_ARGUMENT',
  ]) {
    expect(Object.keys(counts).join()).toContain(problem)
  }
}, 600_000)
