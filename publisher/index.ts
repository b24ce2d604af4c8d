/**
 * Publishes cross-signing identities on a Matrix homeserver: the caller's side of `rust-crypto-helper`, for
 * application services and bots.
 *
 * @module
 */

export {
  MatrixRequestError,
  NotPublishedError,
  type PublicationProblem,
  UserInteractiveAuthError,
  type UserInteractiveAuthFlow,
} from './errors'
export type { OnUserInteractiveAuth, UserInteractiveAuthChallenge } from './interactive-auth'
export type {
  ApplicationServiceOptions,
  BotOptions,
  CommonOptions,
  HostOptions,
  PublisherOptions,
} from './options'
export type { Ghost, Published } from './publication'
export {
  type Checked,
  CrossSigningPublisher,
  type Outcome,
  type PublishAllOptions,
  type PublishOptions,
  type UnansweredDevice,
} from './publisher'
export type { HostRequest, Method } from './transport'
