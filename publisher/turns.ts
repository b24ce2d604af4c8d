// One publication of a user at a time. Two at once would each make an identity, and the last upload would win.

import { orAborted } from './abort'

/** By user ID: settles when all of the user's publications that have begun are over. It never rejects. */
const turns = new Map<string, Promise<unknown>>()

/** Works when nobody else in this process publishes the user. An abort ends the wait. */
export async function inTurn<T>(
  userId: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const before = turns.get(userId)
  let finish: () => void = () => undefined
  const mine = new Promise<void>((resolve) => (finish = resolve))
  const turn = Promise.all([before, mine])
  turns.set(userId, turn)
  void turn.then(() => {
    if (turns.get(userId) === turn) turns.delete(userId)
  })
  try {
    if (before) await orAborted(before, signal)
    return await work()
  } finally {
    finish()
  }
}
