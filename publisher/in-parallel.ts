// Work on many items, of which a bounded number is in progress.

import { onAbort } from './abort'

export type Source<T> = Iterable<T> | AsyncIterable<T>

/**
 * What is ready, in order. It has one reader. A `Promise.race` in its place would leave something behind on every
 * promise that is not ready, at every turn.
 */
class Queue<T> {
  readonly #ready: T[] = []
  #wake: (() => void) | undefined

  push(item: T): void {
    this.#ready.push(item)
    this.wake()
  }

  /** The reader goes on, with or without an item. */
  wake(): void {
    this.#wake?.()
  }

  /** The next item. `undefined`: the reader was woken without one, or the patience, in milliseconds, is over. */
  async shift(patience?: number): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined
    if (this.#ready.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (patience !== undefined) timer = setTimeout(resolve, patience)
      })
      clearTimeout(timer)
      this.#wake = undefined
    }
    return this.#ready.shift()
  }
}

/** An item of a source. */
class Item<T> {
  readonly value: T

  constructor(value: T) {
    this.value = value
  }
}

/** The source has no more items, or has thrown an error in place of one. */
class End {
  readonly failure: { cause: unknown } | undefined

  constructor(failure?: { cause: unknown }) {
    this.failure = failure
  }
}

/** Takes items from a source, one at a time. */
class Taker<T> {
  readonly #iterator: AsyncIterator<T> | Iterator<T>
  readonly #onTaken: (taken: Item<T> | End) => void
  #isBusy = false
  #hasEnded = false

  constructor(source: Source<T>, onTaken: (taken: Item<T> | End) => void) {
    this.#iterator =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    this.#onTaken = onTaken
  }

  /** Begins to take an item. */
  take(): void {
    this.#isBusy = true
    void this.#next().then((taken) => {
      this.#isBusy = false
      this.#hasEnded = taken instanceof End
      this.#onTaken(taken)
    })
  }

  async #next(): Promise<Item<T> | End> {
    try {
      const result = await this.#iterator.next()
      return result.done ? new End() : new Item(result.value)
    } catch (cause) {
      return new End({ cause })
    }
  }

  /**
   * Tells the source that nothing more is taken. Neither an abort nor a consumer that leaves waits for a source
   * that waits itself: it ends when it has its next item.
   */
  async close(signal: AbortSignal | undefined): Promise<void> {
    if (this.#hasEnded) return
    const isLeft = this.#isBusy || signal?.aborted
    const end = async () => {
      await this.#iterator.return?.()
    }
    if (isLeft) end().catch(() => undefined)
    else await end()
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
  const queue = new Queue<Item<T> | End | { result: R }>()
  const taker = new Taker(source, (taken) => {
    queue.push(taken)
  })
  let isTaking = false
  let running = 0
  let end: End | undefined
  const off = onAbort(signal, () => {
    queue.wake()
  })
  try {
    for (;;) {
      const isOver = end !== undefined || signal?.aborted === true
      if (isOver && running === 0) break
      if (!isOver && !isTaking && running < concurrency) {
        isTaking = true
        taker.take()
      }
      const next = await queue.shift()
      if (next instanceof Item) isTaking = false
      if (next instanceof End) end = next
      else if (next instanceof Item) {
        if (signal?.aborted) continue
        running++
        void work(next.value).then((result) => {
          queue.push({ result })
        })
      } else if (next) {
        running--
        yield next.result
      }
    }
  } finally {
    off()
    // The consumer may leave early. What is in progress is not left behind.
    while (running > 0) {
      const next = await queue.shift()
      if (next && 'result' in next) running--
    }
    await taker.close(signal)
  }
  signal?.throwIfAborted()
  if (end?.failure) throw end.failure.cause
}

/**
 * Groups the items of a source. A group is not held back while the source is slow. When the signal aborts, its
 * reason is thrown.
 */
export async function* inGroups<T>(
  source: Source<T>,
  size: number,
  patience: number,
  signal?: AbortSignal,
): AsyncGenerator<T[], void, undefined> {
  const queue = new Queue<Item<T> | End>()
  const taker = new Taker(source, (taken) => {
    queue.push(taken)
  })
  let end: End | undefined
  const off = onAbort(signal, () => {
    queue.wake()
  })
  try {
    if (!signal?.aborted) taker.take()
    while (!end && !signal?.aborted) {
      const group: T[] = []
      let next = await queue.shift()
      while (next instanceof Item && !signal?.aborted) {
        group.push(next.value)
        taker.take()
        next = group.length < size ? await queue.shift(patience) : undefined
      }
      if (next instanceof End) end = next
      if (group.length > 0 && !signal?.aborted) yield group
    }
  } finally {
    off()
    await taker.close(signal)
  }
  signal?.throwIfAborted()
  if (end?.failure) throw end.failure.cause
}
