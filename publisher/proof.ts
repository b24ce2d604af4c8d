// Whether the homeserver serves what the store holds.

import {
  bootstrapCrossSigning,
  type CrossSigningBootstrap,
  type CrossSigningKey,
  type KeysQueryAnswer,
  verifyPublished,
} from 'rust-crypto-helper'
import { isObject } from './answer'
import { MatrixRequestError, NotPublishedError } from './errors'
import { type Owner, QUERY } from './homeserver'
import type { Ghost, StoreOptions } from './publication'

type Device = Pick<Ghost, 'userId' | 'deviceId'>

/** @throws {BootstrapError} if an ID is wrong: before the first request */
export function checkIds({ userId, deviceId }: Device): void {
  verifyPublished(userId, deviceId, { device_keys: { [userId]: {} } })
}

/** @throws {MatrixRequestError} if it is no answer about the user: the homeserver's fault, not the caller's */
export function checkAnswer({ userId, deviceId }: Device, answer: KeysQueryAnswer): void {
  try {
    verifyPublished(userId, deviceId, answer)
  } catch (cause) {
    const what = `200, but this is not an answer about ${userId}: ${(cause as Error).message}`
    throw new MatrixRequestError(QUERY, what, { status: 200, cause })
  }
}

/** A homeserver keeps what it has under a device ID, and clients do not accept other keys under it. */
export function checkDeadEnds({ warnings = [] }: CrossSigningBootstrap): void {
  for (const { code, message } of warnings) {
    if (code === 'DEVICE_KEYS_DIFFER' || code === 'STALE_SIGNATURE') {
      throw new NotPublishedError(code, message, warnings)
    }
  }
}

/** Checks what other users' clients see. */
export function checkServed(
  { userId, deviceId }: Owner,
  { upload_keys, warnings = [] }: CrossSigningBootstrap,
  served: KeysQueryAnswer,
): void {
  const verdict = verifyPublished(userId, deviceId, served)
  if (!verdict.verified) throw new NotPublishedError(verdict.problem, verdict.message, warnings)
  const [ours] = Object.values(upload_keys.master_key.keys)
  if (verdict.master_key === ours) return
  const what = `the homeserver serves the master key ${verdict.master_key} for ${userId}, the store holds ${ours}`
  throw new NotPublishedError('OTHER_IDENTITY', what, warnings)
}

/** Checks the store again: another process may have changed it. And all that only the user itself sees. */
export async function checkStore(
  { userId, deviceId, storePath }: Ghost,
  { passphrase, busyTimeout }: StoreOptions,
  served: KeysQueryAnswer,
): Promise<void> {
  const options = { passphrase, busyTimeout, serverKeys: served }
  const { missing = [], warnings = [] } = await bootstrapCrossSigning(userId, deviceId, storePath, options)
  if (missing.length === 0) return
  const what = `the homeserver has accepted everything, and still lacks ${missing.join(', ')} of ${userId}`
  throw new NotPublishedError('STILL_MISSING', what, warnings)
}

export function lacksSignature({ userId, deviceId }: Owner, served: KeysQueryAnswer): boolean {
  const verdict = verifyPublished(userId, deviceId, served)
  return !verdict.verified && verdict.problem === 'DEVICE_NOT_SIGNED'
}

/** Whether another master key is served than ours, or something that cannot be read. */
export function servesOther(served: unknown, ours: CrossSigningKey): boolean {
  if (served === undefined || served === null) return false
  const keys = isObject(served) && isObject(served.keys) ? Object.values(served.keys) : []
  return !Object.values(ours.keys).some((key) => keys.includes(key))
}
