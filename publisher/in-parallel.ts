// Work on many items, of which a bounded number is in progress.

export type Source<T> = Iterable<T> | AsyncIterable<T>

function iterate<T>(source: Source<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
}

/** What a source threw instead of an item. */
class SourceError {
  readonly cause: unknown

  constructor(cause: unknown) {
    this.cause = cause
  }
}

type Taken<T> = IteratorResult<T> | SourceError

async function take<T>(iterator: AsyncIterator<T> | Iterator<T>): Promise<Taken<T>> {
  try {
    return await iterator.next()
  } catch (error) {
    return new SourceError(error)
  }
}

/**
 * Yields results in the order in which they are ready. An item is taken from the source only when it can
 * begin at once. After the signal has aborted no item begins. Those in progress are yielded, then the
 * signal's reason is thrown. So it is with an error of the source. `work` must not reject.
 */
export async function* inParallel<T, R>(
  source: Source<T>,
  concurrency: number,
  work: (item: T) => Promise<R>,
  signal: AbortSignal | undefined,
): AsyncGenerator<R, void, undefined> {
  const iterator = iterate(source)
  const running = new Set<Promise<() => R>>()
  const aborted = whenAborted(signal)
  let next: Promise<Taken<T> | undefined> | undefined
  let failure: SourceError | undefined
  let isOver = false
  try {
    for (;;) {
      if (signal?.aborted) isOver = true
      if (!isOver && running.size < concurrency) {
        next ??= Promise.race([take(iterator), aborted])
      }
      if (isOver && running.size === 0) break
      const ready = await Promise.race<Taken<T> | undefined | (() => R)>([
        ...running,
        ...(next && !isOver ? [next] : []),
      ])
      if (typeof ready === 'function') {
        yield ready()
        continue
      }
      next = undefined
      if (ready instanceof SourceError) failure = ready
      if (!ready || ready instanceof SourceError || ready.done) {
        isOver = true
        continue
      }
      const item: Promise<() => R> = work(ready.value).then((result) => () => {
        running.delete(item)
        return result
      })
      running.add(item)
    }
    signal?.throwIfAborted()
    if (failure) throw failure.cause
  } finally {
    // The consumer may leave early. What is in progress is not left behind.
    await Promise.allSettled(running)
    if (!isOver || signal?.aborted) await iterator.return?.()
  }
}

function whenAborted(signal: AbortSignal | undefined): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve(undefined)
    signal?.addEventListener(
      'abort',
      () => {
        resolve(undefined)
      },
      { once: true },
    )
  })
}

/** Groups the items of a source. A group is not held back while the source is slow. */
export async function* inGroups<T>(
  source: Source<T>,
  size: number,
  patience: number,
): AsyncGenerator<T[], void, undefined> {
  const iterator = iterate(source)
  let isOver = false
  const take = () => {
    const next = Promise.resolve(iterator.next())
    // A failure is reported when its turn comes, after the group before it.
    next.catch(() => undefined)
    return next
  }
  let next = take()
  try {
    for (;;) {
      const group: T[] = []
      let result: IteratorResult<T> | undefined = await next
      while (result && !result.done) {
        group.push(result.value)
        next = take()
        result = group.length < size ? await soon(next, patience) : undefined
      }
      if (group.length > 0) yield group
      if (result?.done) {
        isOver = true
        return
      }
    }
  } catch (error) {
    isOver = true
    throw error
  } finally {
    if (!isOver) await iterator.return?.()
  }
}

async function soon<T>(promise: Promise<T>, patience: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined)
    }, patience)
  })
  try {
    return await Promise.race([promise.catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}
