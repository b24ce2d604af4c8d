// Random values that can be had again: the seed is in the message of whatever fails.

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

/** A value of any type that JavaScript has; its objects have properties of these names. */
export function anything(random: () => number, names: readonly string[]): unknown {
  const another = () => anything(random, names)
  return pick<() => unknown>(random, [
    () => undefined,
    () => null,
    () => random() < 0.5,
    () => (random() - 0.5) * 10 ** Math.floor(random() * 20),
    () => pick(random, [NaN, Infinity, -Infinity, -0]),
    () => BigInt(Math.floor(random() * 1e9)),
    () => Symbol('symbol'),
    () => String.fromCharCode(...Array.from({ length: random() * 30 }, () => random() * 0x10000)),
    () => pick(random, ['@', '@a:b', 'D', '\ud800', '../..', '/dev/null', `/dev/null/${random()}\0`]),
    () => [another()],
    () => ({ [pick(random, names)]: another(), [pick(random, names)]: another() }),
    () => another,
    () => new Date(),
    () => /a/,
    () => new Map(),
    () => Buffer.alloc(8),
    () => new Proxy({}, { get: another, ownKeys: () => ['a'] }),
    () => Promise.resolve(),
    () => new Error('input'),
    () => Object.create(null) as object,
  ])()
}
