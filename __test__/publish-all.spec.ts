// Promise: thousands of ghosts are published and checked with few requests. A ghost that fails stops no other.

import { getEventListeners } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher, type Ghost, type Outcome } from 'rust-crypto-helper/publisher'
import { hostClient } from './support/host-client'
import { type Answer, AS_TOKEN, Homeserver } from './support/homeserver'
import { OTHER_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { DEVICE_ID, temporaryFolder } from './support/stores'

let homeserver: Homeserver
let publisher: CrossSigningPublisher
let folder: string

beforeEach(async () => {
  homeserver = await Homeserver.start()
  homeserver.register('@_service:example.org')
  publisher = new CrossSigningPublisher({ homeserverUrl: homeserver.url, asToken: AS_TOKEN })
  folder = temporaryFolder()
})

afterEach(() => homeserver.stop())

/** Ghosts that are registered. They have neither a device nor a store. */
function newGhosts(count: number): Ghost[] {
  return Array.from({ length: count }, (_, n) => {
    const userId = `@_ghost_${n}:example.org`
    homeserver.register(userId)
    return { userId, deviceId: DEVICE_ID, storePath: join(folder, `${n}`) }
  })
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

const published = (outcome: Outcome) => 'published' in outcome
const errorOf = (outcome: Outcome) => ('error' in outcome ? outcome.error : undefined)
const queries = (requests: string[]) => requests.filter((request) => request === 'POST keys/query').length

async function verified(ghosts: Ghost[]): Promise<number> {
  return (await collect(publisher.check(ghosts))).filter(({ verdict }) => verdict.verified).length
}

describe('publishAll', () => {
  test('publishes ghosts that are new with at most four requests of their own, and queries for many', async () => {
    const ghosts = newGhosts(100)
    const outcomes = await collect(publisher.publishAll(ghosts))
    expect(outcomes.filter(published)).toHaveLength(100)
    expect(outcomes.map(({ ghost }) => ghost.userId).sort()).toEqual(
      ghosts.map(({ userId }) => userId).sort(),
    )
    const requests = homeserver.requests()
    expect(requests.length - queries(requests)).toBeLessThanOrEqual(400)
    expect(queries(requests)).toBeLessThan(100)
    expect(await verified(ghosts)).toBe(100)
  })

  test('sends only queries for ghosts that are published, each for many', async () => {
    const ghosts = newGhosts(64)
    await collect(publisher.publishAll(ghosts))
    homeserver.requests()
    const again = await collect(publisher.publishAll(ghosts, { concurrency: 16 }))
    expect(again.map((outcome) => 'published' in outcome && outcome.published.status)).toEqual(
      ghosts.map(() => 'published'),
    )
    const requests = homeserver.requests()
    expect(queries(requests)).toBe(requests.length)
    expect(requests.length).toBeLessThan(64)
  })

  test('gives ghosts that fail as outcomes with their errors, and publishes the others', async () => {
    const ghosts = newGhosts(20)
    const [lost, unknown, wrong, held] = [ghosts[3]!, ghosts[5]!, ghosts[7]!, ghosts[9]!]
    await publisher.publish(lost.userId, lost.deviceId, lost.storePath)
    lost.storePath = join(folder, 'elsewhere')
    unknown.userId = '@_nobody:example.org'
    wrong.userId = 'not a user ID'
    await bootstrapCrossSigning('@_other:example.org', DEVICE_ID, held.storePath)

    const outcomes = await collect(publisher.publishAll(ghosts))
    const failed = outcomes.filter((outcome) => !published(outcome))
    const errors = new Map(failed.map((outcome) => [outcome.ghost, errorOf(outcome)]))
    expect(errors.size).toBe(4)
    expect(errors.get(lost)).toMatchObject({ code: 'IDENTITY_CONFLICT' })
    expect(errors.get(unknown)).toMatchObject({ name: 'MatrixRequestError', status: 403 })
    expect(errors.get(wrong)).toMatchObject({ code: 'INVALID_USER_ID' })
    expect(errors.get(held)).toMatchObject({ code: 'ACCOUNT_MISMATCH' })
    expect(outcomes.filter(published)).toHaveLength(16)
  })

  test('asks about each ghost alone if the homeserver refuses a query for many', async () => {
    const ghosts = newGhosts(8)
    homeserver.next('keys/query', { status: 400, body: { errcode: 'M_INVALID_PARAM', error: 'one of them' } })
    expect((await collect(publisher.publishAll(ghosts))).filter(published)).toHaveLength(8)
  })

  test('a refused query becomes at most four at once about single ghosts', async () => {
    const ghosts = newGhosts(12)
    let [now, most] = [0, 0]
    const client = hostClient(homeserver.url, AS_TOKEN)
    const host = new CrossSigningPublisher({
      request: async (method, path, query, body) => {
        const { device_keys } = body as { device_keys: object }
        if (Object.keys(device_keys).length > 1) {
          // A client may reject with anything.
          // eslint-disable-next-line @typescript-eslint/only-throw-error
          throw { statusCode: 403, body: { errcode: 'M_FORBIDDEN', error: 'one of them' } }
        }
        most = Math.max(most, ++now)
        await sleep(5)
        return client(method, path, query, body).finally(() => now--)
      },
    })
    expect(await collect(host.check(ghosts))).toHaveLength(12)
    expect(homeserver.requests()).toHaveLength(12)
    expect(most).toBe(4)
  })

  test.each(['publishAll', 'check'] as const)('%s with a wrong token sends one request', async (how) => {
    const wrong = new CrossSigningPublisher({ homeserverUrl: homeserver.url, asToken: 'wrong' })
    const ghosts = newGhosts(20)
    const outcomes = await collect<unknown>(wrong[how](ghosts)).catch((error: unknown) => error)
    expect(homeserver.requests()).toEqual(['POST keys/query'])
    const denied = { errcode: 'M_UNKNOWN_TOKEN' }
    if (how === 'check') expect(outcomes).toMatchObject(denied)
    else
      expect(outcomes).toEqual(
        ghosts.map((ghost) => ({ ghost, error: expect.objectContaining(denied) as Error })),
      )
  })

  test('asks alone, and once, about a ghost that the answer for many leaves out', async () => {
    const ghosts = newGhosts(3)
    await collect(publisher.publishAll(ghosts))
    homeserver.requests()
    const without = (answer: Answer): Answer => {
      const body = structuredClone(answer.body) as { device_keys: Record<string, unknown> }
      Reflect.deleteProperty(body.device_keys, ghosts[1]!.userId)
      return { ...answer, body }
    }
    homeserver.next('keys/query', without)
    expect(await verified(ghosts)).toBe(3)
    expect(homeserver.requests()).toHaveLength(2)
    // What is answered about one alone, or refused, fails no other.
    for (const alone of [without, { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'no' } }]) {
      homeserver.next('keys/query', without, alone)
      expect(await verified(ghosts)).toBe(2)
      expect(homeserver.requests()).toHaveLength(2)
    }
  })

  test('takes a ghost from its source only when it can begin', async () => {
    const ghosts = newGhosts(30)
    let [taken, done, most] = [0, 0, 0]
    async function* source() {
      for (const ghost of ghosts) {
        await sleep(0)
        taken++
        most = Math.max(most, taken - done)
        yield ghost
      }
    }
    for await (const outcome of publisher.publishAll(source(), { concurrency: 3 })) {
      expect(published(outcome)).toBe(true)
      done++
      // A slow consumer holds the source back, too.
      await sleep(5)
    }
    expect(done).toBe(30)
    // Those at work, and one that waits for its turn.
    expect(most).toBeLessThanOrEqual(3 + 1)
  })

  test('yields what is ready while the source has nothing yet', async () => {
    const [first, second] = newGhosts(2)
    let release: () => void = () => undefined
    const wait = new Promise<void>((resolve) => (release = resolve))
    async function* source() {
      yield first!
      await wait
      yield second!
    }
    const outcomes = publisher.publishAll(source())
    expect((await outcomes.next()).value).toMatchObject({ ghost: first })
    release()
    expect((await outcomes.next()).value).toMatchObject({ ghost: second })
    expect((await outcomes.next()).done).toBe(true)
  })

  test('after the signal has aborted, finishes the ghosts at work and begins no other', async () => {
    const ghosts = newGhosts(50)
    const controller = new AbortController()
    const outcomes: Outcome[] = []
    const run = async () => {
      for await (const outcome of publisher.publishAll(ghosts, {
        concurrency: 4,
        signal: controller.signal,
      })) {
        outcomes.push(outcome)
        if (outcomes.length === 6) controller.abort(new Error('enough'))
      }
    }
    await expect(run()).rejects.toThrow('enough')
    expect(outcomes.every(published)).toBe(true)
    expect(outcomes.length).toBeGreaterThanOrEqual(6)
    expect(outcomes.length).toBeLessThanOrEqual(6 + 4)
    // Nothing goes on in the background, and no other ghost has a store.
    homeserver.requests()
    expect(await verified(ghosts)).toBe(outcomes.length)
    expect(homeserver.requests()).toEqual(['POST keys/query'])
  })

  test('ends its source when the consumer leaves early', async () => {
    const ghosts = newGhosts(10)
    let isEnded = false
    function* source() {
      try {
        yield* ghosts
      } finally {
        isEnded = true
      }
    }
    for await (const _ of publisher.publishAll(source(), { concurrency: 2 })) break
    expect(isEnded).toBe(true)
  })

  test('an abort does not wait for a source that waits, nor for its end', async () => {
    const [ghost] = newGhosts(1)
    const controller = new AbortController()
    async function* source() {
      try {
        yield ghost!
        await new Promise<never>(() => undefined)
      } finally {
        await new Promise<never>(() => undefined)
      }
    }
    const outcomes: Outcome[] = []
    const run = async () => {
      for await (const outcome of publisher.publishAll(source(), { signal: controller.signal })) {
        outcomes.push(outcome)
        setTimeout(() => {
          controller.abort(new Error('enough'))
        }, 20)
      }
    }
    await expect(run()).rejects.toThrow('enough')
    expect(outcomes.filter(published)).toHaveLength(1)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  test('a consumer that leaves does not wait for a source that waits', async () => {
    const [ghost] = newGhosts(1)
    async function* source() {
      yield ghost!
      await sleep(300)
      throw new Error('too late')
    }
    for await (const _ of publisher.publishAll(source())) break
    for await (const _ of publisher.check(source())) break
    // Nobody is left to hear the error, and it crashes nothing.
    await sleep(400)
  })

  test('an error at the end of the source does not hide the reason of the signal', async () => {
    const ghosts = newGhosts(3)
    const controller = new AbortController()
    const source: Iterable<Ghost> = {
      [Symbol.iterator]: () => {
        const iterator = ghosts.values()
        return {
          next: () => iterator.next(),
          return: () => {
            throw new Error('from the source')
          },
        }
      },
    }
    const run = async (signal?: AbortSignal) => {
      for await (const _ of publisher.publishAll(source, { concurrency: 1, signal })) {
        if (!signal) break
        controller.abort(new Error('enough'))
      }
    }
    await expect(run(controller.signal)).rejects.toThrow('enough')
    await expect(run()).rejects.toThrow('from the source')
  })

  test('ghosts that are done leave nothing in the memory, while another one is at work', async () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const heap = () => {
      gc()
      return process.memoryUsage().heapUsed
    }
    const count = 20_000
    let release: (answer: object) => void = () => undefined
    const answer = new Promise<object>((resolve) => (release = resolve))
    const stuck = new CrossSigningPublisher({ request: () => answer })
    function* source(): Generator<Ghost> {
      yield newGhosts(1)[0]!
      for (let n = 0; n < count; n++) yield { userId: 'wrong', deviceId: DEVICE_ID, storePath: folder }
    }
    const outcomes = stuck.publishAll(source(), { signal: new AbortController().signal })
    await outcomes.next()
    const before = heap()
    for (let n = 1; n < count; n++) await outcomes.next()
    expect(heap() - before).toBeLessThan(5_000_000)
    release({})
    expect(await outcomes.next()).toMatchObject({ value: { ghost: { userId: '@_ghost_0:example.org' } } })
    expect((await outcomes.next()).done).toBe(true)
  })

  test('an error of the source ends the run with that error, after what was at work', async () => {
    const [ghost] = newGhosts(1)
    async function* source() {
      yield ghost!
      await sleep(0)
      throw new Error('the list cannot be read')
    }
    const outcomes: Outcome[] = []
    const run = async () => {
      for await (const outcome of publisher.publishAll(source())) outcomes.push(outcome)
    }
    await expect(run()).rejects.toThrow('the list cannot be read')
    expect(outcomes.filter(published)).toHaveLength(1)
    expect(await verified([ghost!])).toBe(1)
  })

  test('a 429 slows the whole run down: no other request is sent before the time is over', async () => {
    const ghosts = newGhosts(20)
    let limitedAt = 0
    let early = 0
    homeserver.next('keys/upload', 'handled', () => {
      limitedAt = Date.now()
      return { status: 429, body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 4000 } }
    })
    homeserver.always('keys/device_signing/upload', (answer) => {
      const waited = Date.now() - limitedAt
      // What was on its way may still arrive.
      if (limitedAt > 0 && waited > 2000 && waited < 3900) early++
      return answer
    })
    expect((await collect(publisher.publishAll(ghosts, { concurrency: 5 }))).filter(published)).toHaveLength(
      20,
    )
    expect(limitedAt).toBeGreaterThan(0)
    expect(early).toBe(0)
  })

  itWith(OTHER_PROCESS.missing)(
    'a store that is in use is waited for as long as busyTimeout says',
    async () => {
      const ghosts = newGhosts(2)
      const [free, held] = ghosts
      await bootstrapCrossSigning(held!.userId, DEVICE_ID, held!.storePath)
      const holder = OTHER_PROCESS.start()
      await holder.open(held!.storePath)
      await holder.sql('SELECT count(*) FROM kv')
      const outcomes = await collect(publisher.publishAll(ghosts, { busyTimeout: 0 }))
      expect(outcomes.filter(published).map(({ ghost }) => ghost)).toEqual([free])
      expect(outcomes.map(errorOf).find(Boolean)).toMatchObject({ code: 'STORE_IN_USE' })
      const waiting = collect(publisher.publishAll([held!], { busyTimeout: 60_000 }))
      await holder.kill()
      expect((await waiting).filter(published)).toHaveLength(1)
      const [wrong] = await collect(publisher.publishAll([free!], { busyTimeout: -1 }))
      expect(errorOf(wrong!)).toMatchObject({ code: 'INVALID_ARGUMENT' })
    },
  )

  test.each([0, -1, 1.5, Number.NaN, 'two' as never])('refuses the concurrency %p', (concurrency) => {
    expect(() => publisher.publishAll([], { concurrency })).toThrow(TypeError)
  })
})

describe('check', () => {
  test('asks about 1,000 ghosts in ten requests, and gives the verdicts in order', async () => {
    const ghosts = newGhosts(1000)
    const some = ghosts.slice(0, 10)
    await collect(publisher.publishAll(some))
    homeserver.requests()
    const checked = await collect(publisher.check(ghosts))
    expect(homeserver.requests()).toEqual(Array.from({ length: 10 }, () => 'POST keys/query'))
    expect(checked.map(({ userId }) => userId)).toEqual(ghosts.map(({ userId }) => userId))
    expect(checked.map(({ verdict }) => verdict.verified)).toEqual(ghosts.map((_, n) => n < 10))
    expect(checked[10]!.verdict).toMatchObject({ problem: 'NO_DEVICE' })
  })

  test('a user about whom nothing is answered, or whose ID is wrong, does not stop the others', async () => {
    const [first, lost, last] = newGhosts(3)
    await collect(publisher.publishAll([first!, last!]))
    homeserver.always('keys/query', (answer) => {
      const body = structuredClone(answer.body) as { device_keys: Record<string, unknown> }
      Reflect.deleteProperty(body.device_keys, lost!.userId)
      return { ...answer, body }
    })
    const wrong = { ...last!, userId: 'not a user ID' }
    const checked = await collect(publisher.check([first!, lost!, wrong, last!]))
    expect(checked.map(({ verdict }) => ('problem' in verdict ? verdict.problem : 'verified'))).toEqual([
      'verified',
      'NO_ANSWER',
      'NO_ANSWER',
      'verified',
    ])
    expect(checked[1]!.verdict).toMatchObject({ message: expect.stringContaining(lost!.userId) as string })
  })

  test('stops when the signal aborts', async () => {
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    await expect(collect(publisher.check(newGhosts(3), { signal: controller.signal }))).rejects.toThrow(
      'enough',
    )
    expect(homeserver.requests()).toEqual([])
  })
})
