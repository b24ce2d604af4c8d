import {
  type KeysQueryAnswer,
  type UnverifiedDevice,
  type VerifiedDevice,
  verifyPublished,
} from 'rust-crypto-helper'
import { asError } from './errors'
import { askTogether, GROUP_SIZE, GroupedQueries, PATIENCE } from './grouped-queries'
import type { Homeserver } from './homeserver'
import { inGroups, inParallel, type Source } from './in-parallel'
import { connect, type PublisherOptions, readRecoverySecret } from './options'
import {
  type Ghost,
  publish,
  type Published,
  type Query,
  type RecoverySecret,
  type StoreOptions,
} from './publication'

/** Options of `publish`. An option that is `undefined` counts as absent. */
export interface PublishOptions extends StoreOptions {
  /**
   * Stops the publication. The promise rejects with the signal's reason. The store is whole, and the next
   * call goes on: after a `reset`, with `reset` again.
   */
  signal?: AbortSignal | undefined
}

/** Options of `publishAll`. An option that is `undefined` counts as absent. */
export interface PublishAllOptions {
  /**
   * How many users are at work at the same time.
   *
   * @default 32
   */
  concurrency?: number | undefined
  /**
   * How long each user waits for a store that somebody else has open, in milliseconds.
   *
   * @default 5000
   */
  busyTimeout?: number | undefined
  /** Stops the run: no ghost begins after it has aborted. Those at work are finished, with their retries. */
  signal?: AbortSignal | undefined
}

/** What became of one of many users. */
export type Outcome = { ghost: Ghost; published: Published } | { ghost: Ghost; error: Error }

/** The homeserver has answered nothing that is about the user. Or an ID is wrong. */
export interface UnansweredDevice {
  verified: false
  problem: 'NO_ANSWER'
  message: string
}

/** The verdict on one of many devices. */
export interface Checked {
  userId: string
  deviceId: string
  verdict: VerifiedDevice | UnverifiedDevice | UnansweredDevice
}

/** Gives ghosts or a bot a cross-signing identity that other users' clients see. */
export class CrossSigningPublisher {
  readonly #homeserver: Homeserver
  readonly #recoverySecret: RecoverySecret

  /** @throws {TypeError} if an option is missing, has the wrong type or contradicts another */
  constructor(options: PublisherOptions) {
    this.#homeserver = connect(options)
    this.#recoverySecret = readRecoverySecret(options)
  }

  /**
   * Bootstraps a user and publishes its identity and its signed device. When the promise resolves, the
   * homeserver serves both, proved by a query. The store is closed, and the user's own `OlmMachine` may
   * open it. The user must be registered. The device is made if it does not exist.
   *
   * The homeserver is asked first. If all is published already, this is the only request, unless there is a
   * `recoverySecret`. Calling again is always safe, also after a crash between any two requests. Without
   * `reset`, the identity that the homeserver has is never replaced (`IDENTITY_CONFLICT`).
   *
   * With a `recoverySecret`, the private keys are put into the user's secret storage before the identity is
   * published. If the store is lost, a call with a new device ID and an empty folder brings the identity back
   * (`restored`). To find out takes five requests more, and one for each further key of the secret storage.
   *
   * On a homeserver that does not read `device_id` in the query (Synapse before 1.141), the device keys are
   * uploaded with the token of a login.
   *
   * @param userId the full user ID, such as `@_ghost:example.org`
   * @param deviceId the ID of the user's device
   * @param storePath the folder that `OlmMachine.initialize` takes. The call creates it if it is missing
   * @returns `status` and `missing` say what there was to do, `warnings` what is odd
   * @throws {BootstrapError} if an argument is wrong, the store cannot be used, or the homeserver has an identity
   *   that is not the store's (`IDENTITY_CONFLICT`)
   * @throws {MatrixRequestError} if a request failed
   * @throws {UserInteractiveAuthError} if the homeserver wants interactive authentication
   * @throws {NotPublishedError} if the homeserver does not serve what the store holds
   * @throws the reason of the signal, and what `onUserInteractiveAuth` throws
   */
  async publish(
    userId: string,
    deviceId: string,
    storePath: string,
    options: PublishOptions = {},
  ): Promise<Published> {
    const { signal, ...storeOptions } = options
    const query = (user: string) => this.#homeserver.queryKeys([user], signal)
    return this.#publish(query, { userId, deviceId, storePath }, storeOptions, signal)
  }

  /**
   * Publishes many users, with a bounded number at work. Results come as they are ready. A user that fails
   * is an outcome with its error and does not stop the others. A 429 slows all of them down.
   *
   * @param ghosts an array, or any iterable. From an asynchronous one, a ghost is taken when it can begin
   * @returns one outcome for each ghost. After the signal has aborted no ghost begins. Those at work are
   *   finished and yielded, then the signal's reason is thrown. So it is with an error of `ghosts`
   * @throws {TypeError} if `concurrency` is not a whole number from 1
   */
  publishAll(
    ghosts: Source<Ghost>,
    { concurrency = 32, busyTimeout, signal }: PublishAllOptions = {},
  ): AsyncGenerator<Outcome, void, undefined> {
    checkConcurrency(concurrency)
    const queries = new GroupedQueries((users) => this.#homeserver.queryKeys(users, undefined))
    const query = (userId: string) => queries.query(userId)
    const work = async (ghost: Ghost): Promise<Outcome> => {
      try {
        const options = { passphrase: ghost.passphrase, busyTimeout }
        return { ghost, published: await this.#publish(query, ghost, options, undefined) }
      } catch (error) {
        return { ghost, error: asError(error) }
      }
    }
    return inParallel(ghosts, concurrency, work, signal)
  }

  #publish(
    query: Query,
    ghost: Ghost,
    options: StoreOptions,
    signal: AbortSignal | undefined,
  ): Promise<Published> {
    const [homeserver, secret] = [this.#homeserver, this.#recoverySecret]
    return publish({ homeserver, query, secret, ghost, options, signal })
  }

  /**
   * Tells of many devices whether other users' clients take them for their owner's. One query asks about
   * up to 100 users. It needs no store.
   *
   * @returns one verdict for each ghost, in order. A user about whom the homeserver answers nothing has the problem
   *   `NO_ANSWER`
   * @throws {MatrixRequestError} if a query fails
   */
  async *check(
    ghosts: Source<Pick<Ghost, 'userId' | 'deviceId'>>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Checked, void, undefined> {
    const ask = (users: string[]) => this.#homeserver.queryKeys(users, signal)
    for await (const group of inGroups(ghosts, GROUP_SIZE, PATIENCE, signal)) {
      signal?.throwIfAborted()
      const users = group.map(({ userId }) => userId)
      const answers = await Promise.all(askTogether(ask, users))
      for (const [n, { userId, deviceId }] of group.entries()) {
        yield { userId, deviceId, verdict: judge({ userId, deviceId }, answers[n]!) }
      }
    }
  }
}

function judge(device: Pick<Ghost, 'userId' | 'deviceId'>, answer: KeysQueryAnswer): Checked['verdict'] {
  try {
    return verifyPublished(device.userId, device.deviceId, answer)
  } catch (error) {
    return { verified: false, problem: 'NO_ANSWER', message: (error as Error).message }
  }
}

function checkConcurrency(concurrency: number): void {
  if (Number.isInteger(concurrency) && concurrency >= 1) return
  throw new TypeError('concurrency must be a whole number from 1')
}
