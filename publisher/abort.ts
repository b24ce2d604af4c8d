// What an abort does not wait for.

/** What is called when a signal aborts. All share one listener: Node.js takes more than ten for a leak. */
class Callbacks {
  readonly all = new Set<() => void>()
  readonly listener = () => {
    for (const callback of [...this.all]) callback()
  }
}

const callbacksOf = new WeakMap<AbortSignal, Callbacks>()

/** Calls back when the signal aborts. It has not aborted yet. Returns a function that takes the callback off. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (!signal) return () => undefined
  const callbacks = callbacksOf.get(signal) ?? new Callbacks()
  callbacksOf.set(signal, callbacks)
  const { all, listener } = callbacks
  if (all.size === 0) signal.addEventListener('abort', listener)
  all.add(callback)
  return () => {
    all.delete(callback)
    if (all.size === 0) signal.removeEventListener('abort', listener)
  }
}

/** The result of a call, or the reason of the signal as soon as it aborts. The call itself goes on. */
export async function orAborted<T>(call: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  let off: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    const stop = () => {
      reject(signal?.reason as Error)
    }
    if (signal?.aborted) stop()
    else off = onAbort(signal, stop)
  })
  try {
    return await Promise.race([call, aborted])
  } finally {
    off?.()
  }
}
