// One keys/query for many users who are asked about at nearly the same time.

import type { KeysQueryAnswer } from 'rust-crypto-helper'
import { isObject } from './answer'
import { MatrixRequestError } from './errors'

/** The most users in one query. */
export const GROUP_SIZE = 100
/** How long the first one waits for others, in milliseconds. */
export const PATIENCE = 50
/** How many users of one group are asked about alone at the same time. */
const ALONE_AT_ONCE = 4

/** Asks about users. */
export type Ask = (users: string[]) => Promise<KeysQueryAnswer>

/**
 * Asks about users at once. Returns an answer for each, in order. If the homeserver refuses the query, or its answer
 * lacks a user, it is asked about users alone.
 */
export function askTogether(ask: Ask, userIds: string[]): Promise<KeysQueryAnswer>[] {
  const users = [...new Set(userIds)]
  const together = ask(users)
  if (users.length === 1) return userIds.map(() => together)

  const turns = Array.from({ length: ALONE_AT_ONCE }, () => Promise.resolve<unknown>(undefined))
  let count = 0
  const alone = (userId: string) => {
    const turn = count++ % ALONE_AT_ONCE
    const answer = turns[turn]!.then(() => ask([userId]))
    turns[turn] = answer.catch(() => undefined)
    return answer
  }
  const about = async (userId: string) => {
    const answer = await together.catch(undefinedIfAboutUsers)
    if (!answer) return alone(userId)
    return lacks(answer, userId) ? ((await alone(userId).catch(undefinedIfAboutUsers)) ?? answer) : answer
  }
  const answers = new Map(users.map((userId) => [userId, about(userId)]))
  return userIds.map((userId) => answers.get(userId)!)
}

/** One of the users may be the reason of these errors. A wrong token, for example, is wrong for each of them. */
function undefinedIfAboutUsers(error: unknown): undefined {
  const isAboutUsers =
    error instanceof MatrixRequestError &&
    error.errcode !== undefined &&
    [400, 403, 413].includes(error.status ?? 0)
  if (!isAboutUsers) throw error
}

/** Whether an answer leaves a user out. */
function lacks(answer: KeysQueryAnswer, userId: string): boolean {
  const deviceKeys: unknown = answer.device_keys
  return isObject(deviceKeys) && !Object.hasOwn(deviceKeys, userId)
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
