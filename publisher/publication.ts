// What happens to one user, in order.

import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  type CrossSigningBootstrap,
  type DeviceKeysUpload,
  type KeysQueryAnswer,
  verifyPublished,
} from 'rust-crypto-helper'
import { NotPublishedError } from './errors'
import type { Homeserver, Owner } from './homeserver'

/** A user, its device and its store. */
export interface Ghost {
  /** The full user ID, such as `@_ghost:example.org`. */
  userId: string
  /** The ID of the user's device. */
  deviceId: string
  /** The folder that `OlmMachine.initialize` takes. It is made if it is missing. */
  storePath: string
  /** The passphrase that `OlmMachine.initialize` takes. */
  passphrase?: string | undefined
}

export type StoreOptions = Pick<BootstrapOptions, 'passphrase' | 'reset' | 'busyTimeout'>

/** The result of `bootstrapCrossSigning`, as it was before the uploads. */
export type Published = CrossSigningBootstrap

/** Asks what the homeserver serves about the user. */
export type Query = (userId: string) => Promise<KeysQueryAnswer>

/** @throws {BootstrapError} if an ID is wrong: before the first request */
export function checkIds({ userId, deviceId }: Pick<Ghost, 'userId' | 'deviceId'>): void {
  verifyPublished(userId, deviceId, { device_keys: { [userId]: {} } })
}

export async function publish(
  homeserver: Homeserver,
  query: Query,
  { userId, deviceId, storePath }: Ghost,
  options: StoreOptions,
  signal: AbortSignal | undefined,
): Promise<Published> {
  signal?.throwIfAborted()
  checkIds({ userId, deviceId })
  const owner = { userId, deviceId, signal }
  const serverKeys = await query(userId)
  const call = bootstrapCrossSigning(userId, deviceId, storePath, { ...options, serverKeys })
  const result = await call.finally(() => signal?.throwIfAborted())
  if (result.missing?.length === 0) {
    checkServed(owner, result, serverKeys)
    return result
  }
  checkDeadEnds(result)
  await upload(homeserver, owner, result, serverKeys)

  let served = await query(userId)
  if (missingDeviceKeys(result) && lacksSignature(owner, served)) {
    // Some homeservers keep the device keys that they have, whatever their signatures.
    await homeserver.uploadSignatures(owner, result.upload_signatures)
    served = await query(userId)
  }
  checkServed(owner, result, served)
  return result
}

/** A homeserver keeps what it has under a device ID, and clients do not accept other keys under it. */
function checkDeadEnds({ warnings = [] }: CrossSigningBootstrap): void {
  for (const { code, message } of warnings) {
    if (code === 'DEVICE_KEYS_DIFFER' || code === 'STALE_SIGNATURE') {
      throw new NotPublishedError(code, message, warnings)
    }
  }
}

/** Sends what is missing. Each upload is about what the uploads before it have made known. */
async function upload(
  homeserver: Homeserver,
  owner: Owner,
  result: CrossSigningBootstrap,
  before: KeysQueryAnswer,
): Promise<void> {
  const { missing = [], upload_keys, upload_signatures } = result
  const deviceKeys = missingDeviceKeys(result)
  if (deviceKeys) await homeserver.uploadDeviceKeys(owner, deviceKeys)
  if (missing.includes('upload_keys')) {
    const isReplacement = before.master_keys?.[owner.userId] != null
    await homeserver.uploadIdentity(owner, upload_keys, isReplacement)
  }
  if (!deviceKeys) await homeserver.uploadSignatures(owner, upload_signatures)
}

/** The device keys, if they are to be uploaded. They carry the signature of the self-signing key. */
function missingDeviceKeys({
  missing,
  upload_device_keys,
}: CrossSigningBootstrap): DeviceKeysUpload | undefined {
  return missing?.includes('upload_device_keys') ? upload_device_keys : undefined
}

function lacksSignature({ userId, deviceId }: Owner, served: KeysQueryAnswer): boolean {
  const verdict = verifyPublished(userId, deviceId, served)
  return !verdict.verified && verdict.problem === 'DEVICE_NOT_SIGNED'
}

function checkServed(
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
