// What happens to one user, in order.

import {
  type BootstrapError,
  bootstrapCrossSigning,
  type BootstrapOptions,
  type CrossSigningBootstrap,
  deriveRecoveryKey,
  type DeviceKeysUpload,
  type KeysQueryAnswer,
} from 'rust-crypto-helper'
import type { AccountData } from './account-data'
import { UnknownOutcome } from './errors'
import type { Homeserver, Owner } from './homeserver'
import {
  checkAnswer,
  checkDeadEnds,
  checkIds,
  checkServed,
  checkStore,
  lacksSignature,
  servesOther,
} from './proof'
import { readSecretStorage, undoSecretStorage, writeSecretStorage } from './secret-storage'
import { inTurn } from './turns'
import { Watch } from './watch'

/** A user, its device and its store. */
export interface Ghost {
  /** The full user ID, such as `@_ghost:example.org`. */
  userId: string
  /** The ID of the user's device. */
  deviceId: string
  /** The folder that `OlmMachine.initialize` takes. It is made if it is missing. */
  storePath: string
  /** The passphrase that `OlmMachine.initialize` takes. Absent: the store is not encrypted. `''` is a passphrase, too. */
  passphrase?: string | undefined
}

export type StoreOptions = Pick<BootstrapOptions, 'passphrase' | 'reset' | 'busyTimeout'>

/** The result of `bootstrapCrossSigning`, as it was before the uploads. */
export interface Published extends CrossSigningBootstrap {
  /**
   * Only with a `recoverySecret`: the user's recovery key, as clients take it. Whoever has it and can read the
   * user's account data has the identity.
   */
  recovery_key?: string | undefined
}

/** The secret of all users, from which their recovery keys are derived. `undefined`: without recovery. */
export type RecoverySecret = string | Uint8Array | undefined

/** Asks what the homeserver serves about the user. */
export type Query = (userId: string) => Promise<KeysQueryAnswer>

/** What is published, and how. */
export interface Publication {
  homeserver: Homeserver
  query: Query
  secret: RecoverySecret
  ghost: Ghost
  options: StoreOptions
  signal: AbortSignal | undefined
}

export async function publish(publication: Publication): Promise<Published> {
  const { ghost, signal } = publication
  signal?.throwIfAborted()
  checkIds(ghost)
  return inTurn(ghost.userId, signal, () => publishInTurn(publication))
}

async function publishInTurn({
  homeserver,
  query,
  secret,
  ghost,
  options,
  signal,
}: Publication): Promise<Published> {
  const { userId, deviceId, storePath } = ghost
  const owner = { userId, deviceId, signal }
  const ask = async (send: Query) => {
    const answer = await send(userId)
    checkAnswer(owner, answer)
    return answer
  }
  const key = secret === undefined ? undefined : deriveRecoveryKey(secret, userId)
  let serverKeys = await ask(query)
  const askedAt = performance.now()
  const accountData = key === undefined ? undefined : await readSecretStorage(homeserver, owner, key)
  const recovery = key === undefined ? undefined : { key, accountData }
  const bootstrap = async () => {
    const call = bootstrapCrossSigning(userId, deviceId, storePath, {
      ...options,
      serverKeys,
      recovery,
      signal,
    })
    return call.finally(() => signal?.throwIfAborted())
  }

  const result = await bootstrap().catch(async (error: unknown) => {
    // A query about many users does not show the user-signing key, which a restored identity must have.
    const isIncomplete = serverKeys.user_signing_keys?.[userId] == null
    if (!recovery || !isIncomplete || !isConflict(error)) throw error
    serverKeys = await ask((user) => homeserver.queryKeys([user], signal))
    return bootstrap()
  })
  const published = key === undefined ? result : { ...result, recovery_key: key }
  const { missing = [], status } = result
  // Whatever is wrong with this device, a new one needs the identity from the secret storage. An identity that was
  // just made comes there later, so that it replaces nothing if this is a dead end.
  if (status !== 'created') await escrow(homeserver, owner, result, accountData)
  checkDeadEnds(result)
  const watch = options.reset
    ? undefined
    : new Watch(homeserver, owner, result.upload_keys.master_key, askedAt)
  await upload(homeserver, owner, result, { serverKeys, accountData, watch })
  if (missing.length === 0) {
    checkServed(owner, result, serverKeys)
    return published
  }

  let served = await ask(query)
  if (missingDeviceKeys(result) && lacksSignature(owner, served)) {
    // Some homeservers keep the device keys that they have, whatever their signatures.
    await homeserver.uploadSignatures(owner, result.upload_signatures)
    served = await ask(query)
  }
  checkServed(owner, result, served)
  await checkStore(ghost, options, served)
  return published
}

function isConflict(error: unknown): boolean {
  return (error as Partial<BootstrapError>).code === 'IDENTITY_CONFLICT'
}

/** What the homeserver had before. */
interface Before {
  serverKeys: KeysQueryAnswer
  accountData: AccountData | undefined
  /** `undefined`: the caller has asked for another identity in the place of what is served. */
  watch: Watch | undefined
}

/** Sends what is missing. Each upload is about what the uploads before it have made known. */
async function upload(
  homeserver: Homeserver,
  owner: Owner,
  result: CrossSigningBootstrap,
  before: Before,
): Promise<void> {
  const { missing = [], upload_signatures } = result
  const deviceKeys = missingDeviceKeys(result)
  if (deviceKeys) await homeserver.uploadDeviceKeys(owner, deviceKeys)
  if (missing.includes('upload_keys')) await uploadIdentity(homeserver, owner, result, before)
  if (missing.includes('upload_signatures') && !deviceKeys) {
    await homeserver.uploadSignatures(owner, upload_signatures)
  }
}

/** Puts into the secret storage what it lacks of the identity. */
async function escrow(
  homeserver: Homeserver,
  owner: Owner,
  { missing, upload_account_data = [] }: CrossSigningBootstrap,
  present: AccountData = {},
): Promise<void> {
  if (!missing?.includes('upload_account_data')) return
  await writeSecretStorage(homeserver, owner, upload_account_data, present)
}

async function uploadIdentity(
  homeserver: Homeserver,
  owner: Owner,
  result: CrossSigningBootstrap,
  { serverKeys, accountData, watch }: Before,
): Promise<void> {
  const { status, upload_keys } = result
  const isReplacement = servesOther(serverKeys.master_keys?.[owner.userId], upload_keys.master_key)
  const mustEscrow = status === 'created' && accountData !== undefined
  if (mustEscrow) await watch?.checkNoOtherIdentity()
  else await watch?.checkNoOtherIdentityIfOld()
  // From here on there may be something to undo. Before, the account data may be newer than what was read.
  try {
    if (mustEscrow) {
      await escrow(homeserver, owner, result, accountData)
      await watch?.checkNoOtherIdentity()
    }
    await homeserver.uploadIdentity(owner, upload_keys, isReplacement, watch)
  } catch (error) {
    // If the homeserver has taken the identity, the secret storage must keep it.
    if (error instanceof UnknownOutcome) throw error.reason
    if (accountData) await undoEscrow(homeserver, owner, result, accountData, error)
    throw error
  }
}

/** The homeserver keeps the identity that it has. So must the secret storage. */
async function undoEscrow(
  homeserver: Homeserver,
  { userId, deviceId }: Owner,
  { upload_keys, upload_account_data = [] }: CrossSigningBootstrap,
  before: AccountData,
  error: unknown,
): Promise<void> {
  // Also after an abort.
  const owner = { userId, deviceId, signal: undefined }
  try {
    const served = await homeserver.queryKeys([userId], undefined)
    // An earlier attempt may have succeeded without an answer.
    if (servesOther(served.master_keys?.[userId], upload_keys.master_key)) {
      await undoSecretStorage(homeserver, owner, upload_account_data, before)
    }
  } catch (cause) {
    if (error instanceof Error) {
      error.message += `. The secret storage may hold an identity that is not served: ${(cause as Error).message}`
    }
  }
}

/** The device keys, if they are to be uploaded. They carry the signature of the self-signing key. */
function missingDeviceKeys({
  missing,
  upload_device_keys,
}: CrossSigningBootstrap): DeviceKeysUpload | undefined {
  return missing?.includes('upload_device_keys') ? upload_device_keys : undefined
}
