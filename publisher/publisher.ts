import {
  bootstrapCrossSigning,
  type BootstrapOptions,
  type CrossSigningBootstrap,
  type KeysQueryAnswer,
  verifyPublished,
} from 'rust-crypto-helper'
import { NotPublishedError } from './errors'
import type { Homeserver, Owner } from './homeserver'
import { connect, type PublisherOptions } from './options'

/** Options of `publish`. An option that is `undefined` counts as absent. */
export interface PublishOptions extends Pick<BootstrapOptions, 'passphrase' | 'reset' | 'busyTimeout'> {
  /**
   * Stops the publication. The promise rejects with the signal's reason. The store is whole, and the next
   * call goes on.
   */
  signal?: AbortSignal | undefined
}

/** The result of `bootstrapCrossSigning`, as it was before the uploads. */
export type Published = CrossSigningBootstrap

/** Gives ghosts or a bot a cross-signing identity that other users' clients see. */
export class CrossSigningPublisher {
  readonly #homeserver: Homeserver

  /** @throws {TypeError} if an option is missing, has the wrong type or contradicts another */
  constructor(options: PublisherOptions) {
    this.#homeserver = connect(options)
  }

  /**
   * Bootstraps a user and publishes its identity and its signed device. When the promise resolves, the
   * homeserver serves both, proved by a query. The store is closed, and the user's own `OlmMachine` may
   * open it. The user must be registered. The device is made if it does not exist.
   *
   * The homeserver is asked first. If all is published already, this is the only request. Calling again is
   * always safe, also after a crash between any two requests. Without `reset`, the identity that the
   * homeserver has is never replaced (`IDENTITY_CONFLICT`).
   *
   * On a homeserver that does not read `device_id` in the query (Synapse before 1.141), the device keys are
   * uploaded with the token of a login. That login ends other tokens of this device.
   *
   * @param userId the full user ID, such as `@_ghost:example.org`
   * @param deviceId the ID of the user's device
   * @param storePath the folder that `OlmMachine.initialize` takes. The call creates it if it is missing
   * @returns `status` and `missing` say what there was to do, `warnings` what is odd
   * @throws {BootstrapError} if an argument is wrong, or the store cannot be used
   * @throws {MatrixRequestError} if a request failed
   * @throws {UserInteractiveAuthError} if the homeserver wants interactive authentication
   * @throws {NotPublishedError} if the homeserver does not serve what the store holds
   */
  async publish(
    userId: string,
    deviceId: string,
    storePath: string,
    options: PublishOptions = {},
  ): Promise<Published> {
    const { signal, ...storeOptions } = options
    signal?.throwIfAborted()
    // Wrong IDs are refused before the first request.
    verifyPublished(userId, deviceId, { device_keys: { [userId]: {} } })

    const owner = { userId, deviceId, signal }
    const served = await this.#homeserver.queryKeys(owner)
    const ghost = await bootstrapCrossSigning(userId, deviceId, storePath, {
      ...storeOptions,
      serverKeys: served,
    })
    signal?.throwIfAborted()
    const { missing = [] } = ghost
    if (missing.length === 0) {
      checkServed(owner, ghost, served)
    } else {
      checkDeadEnds(ghost)
      await this.#upload(owner, ghost, served)
    }
    return ghost
  }

  /** Sends what is missing. Each upload is about what the uploads before it have made known. */
  async #upload(owner: Owner, ghost: CrossSigningBootstrap, before: KeysQueryAnswer): Promise<void> {
    const { missing = [], upload_device_keys: deviceKeys } = ghost
    const isDeviceNew = missing.includes('upload_device_keys') && deviceKeys !== undefined
    if (isDeviceNew) await this.#homeserver.uploadDeviceKeys(owner, deviceKeys)
    if (missing.includes('upload_keys')) {
      const isReplacement = before.master_keys?.[owner.userId] != null
      await this.#homeserver.uploadIdentity(owner, ghost.upload_keys, isReplacement)
    }
    // New device keys carry the signature.
    if (!isDeviceNew) await this.#homeserver.uploadSignatures(owner, ghost.upload_signatures)

    const served = await this.#homeserver.queryKeys(owner)
    if (isDeviceNew && lacksSignature(owner, served)) {
      // Some homeservers keep the device keys that they have, whatever their signatures.
      await this.#homeserver.uploadSignatures(owner, ghost.upload_signatures)
      checkServed(owner, ghost, await this.#homeserver.queryKeys(owner))
    } else {
      checkServed(owner, ghost, served)
    }
  }
}

/** A homeserver keeps what it has under a device ID, and clients do not accept other keys under it. */
function checkDeadEnds({ warnings = [] }: CrossSigningBootstrap): void {
  for (const { code, message } of warnings) {
    if (code === 'DEVICE_KEYS_DIFFER' || code === 'STALE_SIGNATURE') {
      throw new NotPublishedError(code, message, warnings)
    }
  }
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
