// How long to wait before a request is sent again.

import { orAborted } from './abort'
import type { Answer } from './answer'

/** Too many requests, and what proxies answer while a homeserver restarts. */
const RETRIABLE = [429, 502, 503, 504]

const LONGEST_WAIT = 30_000
const FIRST_WAIT = 500

export function isRetriable(answer: Answer): boolean {
  return RETRIABLE.includes(answer.status)
}

/**
 * The wait in milliseconds before the retry with this number, from 0. The homeserver may say how long. The
 * wait is random by a part, so that many ghosts do not come back at the same moment.
 */
export function waitBefore(retry: number, answer: Answer | undefined): number {
  const asked = answer && (headerWait(answer.retryAfter) ?? bodyWait(answer.get('retry_after_ms')))
  const wait = asked ?? Math.min(FIRST_WAIT * 2 ** retry, LONGEST_WAIT)
  const random = asked === undefined ? wait * (0.5 + Math.random() / 2) : wait * (1 + Math.random() / 10)
  return Math.min(random, LONGEST_WAIT)
}

/** `Retry-After` has seconds or an HTTP date. Everything else counts as absent. */
function headerWait(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (/^\s*\d+(\.\d+)?\s*$/.test(value)) return Number(value) * 1000
  // `Date.parse` makes a date of almost everything, such as "5 7".
  if (!/^\s*(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,?\s.*\d\d:\d\d:\d\d\b/.test(value))
    return undefined
  // One of the three forms of a date has no time zone.
  const date = Date.parse(value.includes('GMT') ? value : `${value} GMT`)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

function bodyWait(value: unknown): number | undefined {
  const isNumber = typeof value === 'number' || (typeof value === 'string' && /^\d+(\.\d+)?$/.test(value))
  const wait = isNumber ? Number(value) : NaN
  return wait >= 0 ? wait : undefined
}

/** Waits. Rejects with the reason of the signal as soon as it aborts. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  try {
    await orAborted(over, signal)
  } finally {
    clearTimeout(timer)
  }
}
