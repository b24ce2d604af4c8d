// Ghosts on a real Synapse, and what it serves about them.

import { join } from 'node:path'
import { bootstrapCrossSigning, verifyPublished } from 'rust-crypto-helper'
import { onlyKey } from '../../support/signatures'
import { temporaryFolder } from '../../support/stores'
import { type Session, type Synapse } from './synapse'

export const DEVICE_ID = 'GHOSTDEVICE'

export interface Ghost {
  userId: string
  store: string
}

let ghosts = 0

/** A ghost that is registered. It has neither a device nor a store. */
export async function newGhost(synapse: Synapse): Promise<Ghost> {
  const userId = await synapse.registerGhost(`_ghost_${ghosts++}`)
  return { userId, store: join(temporaryFolder(), 'store') }
}

/** Checks that the homeserver serves others the store's identity and the device that it has signed. */
export async function expectPublished(
  synapse: Synapse,
  stranger: Session,
  { userId, store }: Ghost,
): Promise<void> {
  const { upload_keys } = await bootstrapCrossSigning(userId, DEVICE_ID, store)
  const served = await synapse.queryKeysAs(stranger, userId)
  const [, master_key] = onlyKey(upload_keys.master_key)
  expect(verifyPublished(userId, DEVICE_ID, served)).toEqual({ verified: true, master_key })
}
