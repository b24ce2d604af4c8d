// Random values that can be made again: the message of a failed test has the seed.

import fc from 'fast-check'

/** Mulberry32: numbers from 0 to 1. */
export function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!
}

/** Any value that JavaScript has. Its objects often have properties of these names. */
export function anything(names: readonly string[]): fc.Arbitrary<unknown> {
  const values = fc.anything({
    key: fc.oneof(fc.constantFrom(...names), fc.string()),
    values: [
      ...[fc.boolean(), fc.double(), fc.integer(), fc.string({ unit: 'binary' })],
      fc.constantFrom('@', '@a:b', 'D', '\ud800', '../..', '/dev/null', '/dev/null/\0'),
      fc.constantFrom(undefined, null, NaN, Infinity, -Infinity, -0),
    ],
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withSparseArray: true,
    withTypedArray: true,
  })
  const others = fc.constantFrom<(value: unknown) => unknown>(
    () => Symbol('symbol'),
    () => /a/,
    () => new Error('input'),
    () => Promise.resolve(),
    (value) => () => value,
    (value) => new Proxy({}, { get: () => value, ownKeys: () => ['a'] }),
  )
  return fc.oneof(
    { weight: 4, arbitrary: values },
    fc.tuple(others, values).map(([make, value]) => make(value)),
  )
}

/** Arguments of which at least one is anything. The others are valid. */
export function argumentsLike(valid: readonly unknown[], names: readonly string[]): fc.Arbitrary<unknown[]> {
  const perhaps = fc.option(
    anything(names).map((value) => ({ value })),
    { freq: 4 },
  )
  const some = fc.tuple(
    fc.array(perhaps, { minLength: valid.length }),
    fc.nat(valid.length - 1),
    anything(names),
  )
  return some.map(([wrong, always, value]) =>
    valid.map((right, n) => (n === always ? value : wrong[n] ? wrong[n].value : right)),
  )
}
