// Promise: a call that has not begun its work when its signal aborts rejects with the reason of the signal, leaves
// nothing and takes no turn. A call that is at work finishes.

import { existsSync, readdirSync } from 'node:fs'
import { createContext, runInContext } from 'node:vm'
import { join } from 'node:path'
import { bootstrapCrossSigning, type BootstrapOptions, inspectStore } from 'rust-crypto-helper'
import { itWith } from './support/needs'
import { type Holder, OTHER_PROCESS } from './support/holders'
import { runScript } from './support/processes'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

const bootstrap = (store: string, options?: BootstrapOptions) =>
  bootstrapCrossSigning(USER_ID, DEVICE_ID, store, options)

const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'resolved',
    (reason: unknown) => reason,
  )

const aborted = (reason: unknown) => {
  const controller = new AbortController()
  controller.abort(reason)
  return controller.signal
}

test('of 10,000 calls, those that have not begun reject with the reason and leave nothing', async () => {
  const folder = temporaryFolder()
  const controller = new AbortController()
  const { signal } = controller
  const reason = new Error('the service stops')
  let [resolvedBefore, madeBefore] = [0, 0]
  const calls = Array.from({ length: 10_000 }, async (_, n) => {
    const call = bootstrap(join(folder, `${n}`), { signal })
    void call.then(
      () => {
        resolvedBefore += signal.aborted ? 0 : 1
        if (resolvedBefore !== 100 || signal.aborted) return
        controller.abort(reason)
        madeBefore = readdirSync(folder).length
      },
      () => undefined,
    )
    return outcome(call)
  })
  const outcomes = await Promise.all(calls)
  const resolved = outcomes.flatMap((found, n) => (found === 'resolved' ? [`${n}`] : []))
  expect(outcomes.filter((found) => found !== 'resolved' && found !== reason)).toEqual([])
  expect(resolved.length).toBeGreaterThanOrEqual(100)
  // 16 calls are at work at most. Those of them that have no folder yet make one.
  expect(resolved.length).toBeLessThanOrEqual(madeBefore + 16)
  expect(readdirSync(folder).sort()).toEqual(resolved.sort())
})

test('an aborted signal rejects before anything is touched', async () => {
  const store = join(temporaryFolder(), 'store')
  const reason = new Error('too late')
  expect(await outcome(bootstrap(store, { signal: aborted(reason) }))).toBe(reason)
  expect(await outcome(inspectStore(store, { signal: aborted(reason) }))).toBe(reason)
  expect(existsSync(store)).toBe(false)
})

test.each([
  ['an object', {}],
  ['a text', 'stop'],
  ['null', null],
  ['a symbol', Symbol('stop')],
  ['zero', 0],
])('the reason may be any value: %s', async (_, reason) => {
  const controller = new AbortController()
  const store = join(temporaryFolder(), 'store')
  const [first, second] = [bootstrap(store), bootstrap(store, { signal: controller.signal })]
  controller.abort(reason)
  expect(await outcome(second)).toBe(reason)
  await first
})

test('without a reason it is an AbortError', async () => {
  const controller = new AbortController()
  controller.abort()
  const rejected = bootstrap(join(temporaryFolder(), 'store'), { signal: controller.signal })
  await expect(rejected).rejects.toHaveProperty('name', 'AbortError')
})

test('a call that waits for other calls for its store gives up its turn', async () => {
  const store = join(temporaryFolder(), 'store')
  const controller = new AbortController()
  const first = bootstrap(store)
  const second = bootstrap(store, { signal: controller.signal, reset: true })
  const third = bootstrap(store)
  controller.abort('stop')
  expect(await outcome(second)).toBe('stop')
  // The second one would have made another identity.
  expect(await third).toEqual({ ...(await first), status: 'resumed' })
})

test('a call that is at work finishes, and its signal has no listener any more', async () => {
  const controller = new AbortController()
  const { signal } = controller
  const added = jest.spyOn(signal, 'addEventListener')
  const removed = jest.spyOn(signal, 'removeEventListener')
  const store = join(temporaryFolder(), 'store')
  // As long as a key is derived, the call is at work.
  const call = bootstrap(store, { signal, passphrase: 'secret' })
  while (!existsSync(store)) await new Promise((resolve) => setTimeout(resolve, 1))
  controller.abort()
  expect((await call).status).toBe('created')
  expect(removed.mock.calls).toEqual(added.mock.calls)
})

test('calls with one signal share one listener', async () => {
  const controller = new AbortController()
  const { signal } = controller
  const added = jest.spyOn(signal, 'addEventListener')
  const removed = jest.spyOn(signal, 'removeEventListener')
  const folder = temporaryFolder()
  for (let round = 0; round < 2; round++) {
    const stores = Array.from({ length: 20 }, (_, n) => join(folder, `${round}-${n}`))
    await Promise.all(stores.map((store) => bootstrap(store, { signal })))
    expect([added, removed].map(({ mock }) => mock.calls.length)).toEqual([round + 1, round + 1])
  }
  await expect(bootstrap('', { signal })).rejects.toHaveProperty('code', 'INVALID_STORE_PATH')
  expect(added).toHaveBeenCalledTimes(2)
})

test('a process with 10,000 calls and one signal prints no warning, and can end', async () => {
  const folder = temporaryFolder()
  const script = `
    const controller = new AbortController()
    const { signal } = controller
    const calls = Array.from({ length: 10_000 }, (_, n) =>
      bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(folder)} + '/' + n, { signal }))
    controller.abort('stop')
    Promise.allSettled(calls).then((calls) => console.log(calls.length))`
  expect(await runScript(script)).toEqual({ code: 0, signal: null, stdout: '10000\n', stderr: '' })
})

test('a signal may come from another realm, or be an object that behaves like one', async () => {
  const folder = temporaryFolder()
  const context = createContext({ AbortController: undefined })
  const own = runInContext(
    `({
      aborted: false,
      reason: undefined,
      listeners: new Set(),
      addEventListener(event, listener) { this.listeners.add(listener) },
      removeEventListener(event, listener) { this.listeners.delete(listener) },
      abort(reason) { Object.assign(this, { aborted: true, reason }); for (const listener of this.listeners) listener() },
    })`,
    context,
  ) as AbortSignal & { abort: (reason: unknown) => void; listeners: Set<unknown> }
  const store = join(folder, 'store')
  const [first, second] = [bootstrap(store), bootstrap(store, { signal: own })]
  expect(own.listeners.size).toBe(1)
  own.abort('stop')
  expect(await outcome(second)).toBe('stop')
  expect(own.listeners.size).toBe(0)
  await first
})

test.each<[string, unknown]>([
  ['null', null],
  ['a number', 1],
  ['an object', {}],
  ['a controller', new AbortController()],
  ['an event target', new EventTarget()],
  ['a signal that throws', new Proxy({}, { get: () => throwing() })],
  [
    'a signal that takes no listener',
    { aborted: false, addEventListener: throwing, removeEventListener: throwing },
  ],
])('INVALID_ARGUMENT: %s', async (_, signal) => {
  const store = join(temporaryFolder(), 'store')
  const options = { signal } as { signal: AbortSignal }
  await expect(bootstrap(store, options)).rejects.toHaveProperty('code', 'INVALID_ARGUMENT')
  await expect(inspectStore(store, options)).rejects.toHaveProperty('code', 'INVALID_ARGUMENT')
  expect(existsSync(store)).toBe(false)
})

test('a signal of the caller that throws later does no harm', async () => {
  const signal = { aborted: false, addEventListener: () => undefined, removeEventListener: throwing }
  const options = { signal } as unknown as { signal: AbortSignal }
  expect((await bootstrap(join(temporaryFolder(), 'store'), options)).status).toBe('created')
})

function throwing(): never {
  throw new Error('no')
}

describe('a store that another process has open', () => {
  const it = itWith(OTHER_PROCESS.missing)
  let holder: Holder
  let store: string

  beforeEach(async () => {
    store = join(temporaryFolder(), 'store')
    await bootstrap(store)
    holder = OTHER_PROCESS.start()
    await holder.open(store)
    await holder.sql('SELECT count(*) FROM kv')
  })
  afterEach(() => holder.kill())

  it('an abort ends the wait at once', async () => {
    const controller = new AbortController()
    const call = bootstrap(store, { signal: controller.signal, busyTimeout: 600_000 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    controller.abort('stop')
    expect(await outcome(call)).toBe('stop')
  })
})
