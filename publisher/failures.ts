// `failures` in the answer to the signatures upload. The status is 200 even if nothing was stored.

import { clip, isObject, textOf } from './answer'

export interface Failure {
  /** What failed and why. */
  text: string
  errcode?: string | undefined
}

/** The failures, by user ID and by key or device ID. Homeservers write the reasons in several forms. */
export function readFailures(failures: unknown): Failure[] {
  if (failures === undefined || failures === null) return []
  if (!isObject(failures)) return isEmpty(failures) ? [] : [read('', failures)]
  return Object.entries(failures).flatMap(([user, keys]) => {
    if (!isObject(keys) || isReason(keys)) return isEmpty(keys) ? [] : [read(user, keys)]
    return Object.entries(keys).map(([key, failure]) => read(`${user} ${key}`, failure))
  })
}

function isReason(value: Record<string, unknown>): boolean {
  return ['errcode', 'error', 'message'].some((name) => typeof value[name] === 'string')
}

function isEmpty(value: unknown): boolean {
  return value === null || (Array.isArray(value) && value.length === 0)
}

function read(what: string, failure: unknown): Failure {
  if (!isObject(failure) || !isReason(failure)) return { text: clip(`${what}: ${textOf(failure)}`) }
  const { status, errcode, message, error } = failure
  const reason = [status, errcode, message ?? error].filter((part) => part !== undefined).map(textOf)
  return {
    text: clip(`${what}: ${reason.join(' ')}`),
    errcode: typeof errcode === 'string' ? clip(errcode) : undefined,
  }
}
