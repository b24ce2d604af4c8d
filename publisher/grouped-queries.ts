// One keys/query for many users who are asked about at nearly the same time.

import type { KeysQueryAnswer } from 'rust-crypto-helper'
import { MatrixRequestError } from './errors'

/** The most users in one query. */
export const GROUP_SIZE = 100
/** How long the first one waits for others, in milliseconds. */
export const PATIENCE = 50

/** Asks about users. */
export type Ask = (users: string[]) => Promise<KeysQueryAnswer>

/** Asks about users at once. Returns an answer for each, in order. */
export function askTogether(ask: Ask, userIds: string[]): Promise<KeysQueryAnswer>[] {
  const users = [...new Set(userIds)]
  const answer = ask(users)
  return userIds.map((userId) =>
    answer.catch((error: unknown) => {
      // One user that the homeserver does not like must not fail the others.
      const isRefused =
        error instanceof MatrixRequestError && error.status !== undefined && error.status < 500
      if (users.length === 1 || !isRefused || error.status === 429) throw error
      return ask([userId])
    }),
  )
}

interface Waiting {
  userId: string
  settle: (answer: Promise<KeysQueryAnswer>) => void
}

/** Puts the queries together that come within a short time. */
export class GroupedQueries {
  readonly #ask: Ask
  #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(ask: Ask) {
    this.#ask = ask
  }

  /** What the homeserver serves about a user, and perhaps about others. */
  query(userId: string): Promise<KeysQueryAnswer> {
    return new Promise((settle) => {
      this.#waiting.push({ userId, settle })
      if (this.#waiting.length >= GROUP_SIZE) this.#send()
      else
        this.#timer ??= setTimeout(() => {
          this.#send()
        }, PATIENCE)
    })
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const group = this.#waiting.splice(0)
    const answers = askTogether(
      this.#ask,
      group.map(({ userId }) => userId),
    )
    for (const [n, { settle }] of group.entries()) settle(answers[n]!)
  }
}
