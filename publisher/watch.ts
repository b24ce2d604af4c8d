// An identity that somebody else makes while a publication goes on. It must not be replaced.

import type { CrossSigningKey } from 'rust-crypto-helper'
import { NotPublishedError } from './errors'
import type { Homeserver, Owner } from './homeserver'
import { servesOther } from './proof'

/** After an answer, the homeserver need not be asked again for this time, in milliseconds. */
const FRESH = 5_000

export class Watch {
  readonly #homeserver: Homeserver
  readonly #owner: Owner
  readonly #ours: CrossSigningKey
  #askedAt: number

  constructor(homeserver: Homeserver, owner: Owner, ours: CrossSigningKey, askedAt: number) {
    this.#homeserver = homeserver
    this.#owner = owner
    this.#ours = ours
    this.#askedAt = askedAt
  }

  /** @throws {NotPublishedError} if the homeserver has got another identity since it was asked */
  async checkNoOtherIdentity(): Promise<void> {
    const { userId, signal } = this.#owner
    const now = await this.#homeserver.queryKeys([userId], signal)
    this.#askedAt = performance.now()
    if (!servesOther(now.master_keys?.[userId], this.#ours)) return
    const what = `the homeserver has got another identity of ${userId} since it was asked. It was not replaced`
    throw new NotPublishedError('OTHER_IDENTITY', what, [])
  }

  /** The same, unless the homeserver was asked a moment ago. */
  async checkNoOtherIdentityIfOld(): Promise<void> {
    if (performance.now() - this.#askedAt >= FRESH) await this.checkNoOtherIdentity()
  }
}
