/**
 * Gives the ghosts of an application service a published cross-signing identity.
 */

import { CrossSigningPublisher, type Published, type PublishOptions } from 'rust-crypto-helper/publisher'

/** A ghost, as the `Intent` of `matrix-bot-sdk` and of `matrix-appservice-bridge` represents it. */
export interface Intent {
  readonly userId: string
  ensureRegistered(): Promise<unknown>
}

export class CrossSigningBootstrapper {
  readonly #publisher: CrossSigningPublisher

  /** One for the whole service: it remembers what the homeserver needs. */
  constructor(config: { homeserverUrl: string; asToken: string }) {
    this.#publisher = new CrossSigningPublisher(config)
  }

  /** Call this before the ghost's `OlmMachine` opens the store. */
  async bootstrap(
    intent: Intent,
    deviceId: string,
    storePath: string,
    options?: PublishOptions,
  ): Promise<Published> {
    await intent.ensureRegistered()
    return this.#publisher.publish(intent.userId, deviceId, storePath, options)
  }
}
