// The requests of a publication, and what homeservers of different kinds need for each.

import type { CrossSigningKeysUpload, DeviceKeysUpload, KeysQueryAnswer } from 'rust-crypto-helper'
import { orAborted } from './abort'
import { defectOf } from './account-data'
import { type Answer, clip, type JsonObject, textOf } from './answer'
import { type Client, objectOf } from './client'
import { MatrixRequestError, UnknownOutcome, UserInteractiveAuthError } from './errors'
import { readFailures } from './failures'
import {
  dummyAuth,
  type OnUserInteractiveAuth,
  readChallenge,
  type UserInteractiveAuthChallenge,
} from './interactive-auth'
import { pathSegment, type Request } from './transport'
import type { Watch } from './watch'

/** As whom the requests are sent. */
export type Sender =
  /** An application service with its token: as any of its users. */
  | 'application-service'
  /** A bot with its own access token: as itself, on the device of the token. */
  | 'bot'
  /** A host's own client. It cannot send a request with another token. */
  | 'host'

/** The user and the device whose keys are published. */
export interface Owner {
  userId: string
  deviceId: string
  signal: AbortSignal | undefined
}

const CLIENT = '/_matrix/client/v3'
/** The request that asks what is published. */
export const QUERY = { method: 'POST', path: `${CLIENT}/keys/query` } as const
/** A homeserver that asks more often asks the same again and again. */
const MOST_STAGES = 10

// With Matrix Authentication Service, Synapse lets an administrator allow it. Otherwise it asks for a password.
const BY_ADMINISTRATOR =
  'ask an administrator. With Matrix Authentication Service: POST /_synapse/admin/v1/users/{userId}/_allow_cross_signing_' +
  'replacement_without_uia. Otherwise: give the user a password (POST /_synapse/admin/v1/reset_password/{userId}), and call ' +
  'again with reset, with the accessToken of a login of the user, and with an onUserInteractiveAuth that answers m.login.password'
const WITHOUT_RESET = 'Do without reset: bring back the store, or restore the identity.'
const WAYS_OUT =
  `This homeserver does not let an application service replace an identity. ${WITHOUT_RESET} Or update the homeserver ` +
  `(Synapse: 1.141 or newer). Or ${BY_ADMINISTRATOR}`
const WAYS_OUT_OF_BOT = `This homeserver offers no way to authenticate, since the user has no password. ${WITHOUT_RESET} Or ${BY_ADMINISTRATOR}`
const NO_DEVICE_ID =
  'This homeserver does not read device_id in the query (Synapse does from 1.141 on). The token of a login is needed. Give ' +
  'the publisher homeserverUrl and asToken instead of request'
const NO_LOGIN =
  'The homeserver wants a login for the device keys, and refuses it. Update the homeserver (Synapse: 1.141 or newer). Or ' +
  'switch experimental_features.msc3202_device_masquerading on. Or take MSC4190 device management ' +
  '(io.element.msc4190) out of the registration of the application service'

export class Homeserver {
  readonly #client: Client
  readonly #sender: Sender
  readonly #onUserInteractiveAuth: OnUserInteractiveAuth | undefined
  // What was learnt about the homeserver. It saves requests for the next ghosts.
  #readsDeviceId = true
  #makesDevices = true

  constructor(client: Client, sender: Sender, onUserInteractiveAuth: OnUserInteractiveAuth | undefined) {
    this.#client = client
    this.#sender = sender
    this.#onUserInteractiveAuth = onUserInteractiveAuth
  }

  /** What the homeserver serves about users. It shows the user-signing key only to the user itself. */
  async queryKeys(users: string[], signal: AbortSignal | undefined): Promise<KeysQueryAnswer> {
    const body = { device_keys: Object.fromEntries(users.map((userId) => [userId, []])) }
    const request: Request = { ...QUERY, body }
    const [userId] = users
    // For many, an application service asks as itself: one of the users may not be registered.
    const isAlone = users.length === 1 || this.#sender === 'host'
    return this.#client.send(isAlone && userId !== undefined ? this.#as(userId, request) : request, signal)
  }

  /** Uploads the device keys. It makes the device if the homeserver does not have it. */
  async uploadDeviceKeys(owner: Owner, body: DeviceKeysUpload): Promise<void> {
    if (this.#sender === 'bot') {
      await this.#checkToken(owner)
      await this.#client.send(uploadOf(body), owner.signal)
      return
    }

    // A host's client has no other way than this one. The answer says why it fails.
    const isNamed = this.#readsDeviceId || this.#sender === 'host'
    let answer = isNamed ? await this.#uploadToDevice(owner, body) : undefined
    if (answer?.isSuccess) return
    const isIgnored = !answer || isDeviceIdIgnored(answer, owner)
    let made: Answer | undefined
    if (!isIgnored && this.#makesDevices && pathSegment(owner.deviceId) !== undefined) {
      made = await this.#makeDevice(owner)
      if (made.isSuccess) answer = await this.#uploadToDevice(owner, body)
      if (answer?.isSuccess) return
    }
    if (answer && this.#sender === 'host' && isIgnored) {
      throw MatrixRequestError.refused(uploadOf(body), answer, NO_DEVICE_ID)
    }
    await this.#uploadByLogin(owner, body)
    // Only a success teaches something about the homeserver. One odd answer must not change what all ghosts get.
    if (isIgnored) this.#readsDeviceId = false
    // 404: no MSC4190. 200 all the same: it makes nothing, or another device. Other refusals are about this user.
    else if (made?.isSuccess || made?.status === 404) this.#makesDevices = false
  }

  /** The device is named in the query. Returns a refusal if the homeserver needs something else first. */
  async #uploadToDevice(owner: Owner, body: object): Promise<Answer> {
    const request = this.#as(owner.userId, uploadOf(body))
    const device_id = owner.deviceId
    // The second name is that of older homeservers, on which the feature is experimental.
    request.query = { ...request.query, device_id, 'org.matrix.msc3202.device_id': device_id }
    const answer = await this.#client.exchange(request, owner.signal)
    if (answer.isSuccess) objectOf(request, answer)
    else if (!isDeviceIdIgnored(answer, owner) && !isDeviceUnknown(answer)) {
      throw MatrixRequestError.refused(request, answer, hintFor(answer, owner))
    }
    return answer
  }

  /** Makes a device that does not exist (MSC4190). Not every homeserver does that. */
  async #makeDevice(owner: Owner): Promise<Answer> {
    const { userId, deviceId, signal } = owner
    const path = `${CLIENT}/devices/${encodeURIComponent(deviceId)}`
    const request = this.#as(userId, { method: 'PUT', path, body: {} })
    const answer = await this.#client.exchange(request, signal)
    // 403 is about the user. Of a login nothing better can come.
    if (answer.status >= 500 || [403, 429].includes(answer.status)) {
      throw MatrixRequestError.refused(request, answer, hintFor(answer, owner))
    }
    return answer
  }

  /** A login makes the device, too. Its token belongs to the device. */
  async #uploadByLogin(owner: Owner, body: object): Promise<void> {
    const { userId, deviceId, signal } = owner
    const type = 'm.login.application_service'
    const login: Request = {
      method: 'POST',
      path: `${CLIENT}/login`,
      body: { type, identifier: { type: 'm.id.user', user: userId }, device_id: deviceId },
    }
    const answer = await this.#client.exchange(login, signal)
    if (isLoginUnsupported(answer)) {
      // Another way is needed. What was learnt may be wrong.
      this.#readsDeviceId = this.#makesDevices = true
      throw MatrixRequestError.refused(login, answer, NO_LOGIN)
    }
    if (!answer.isSuccess) throw MatrixRequestError.refused(login, answer)
    const { access_token: token } = objectOf(login, answer)
    const upload = uploadOf(body)
    if (this.#sender !== 'host' && typeof token === 'string') {
      await this.#client.send({ ...upload, token }, signal)
      return
    }
    const refusal = await this.#uploadToDevice(owner, body)
    if (refusal.isSuccess) return
    throw MatrixRequestError.refused(upload, refusal, `The homeserver does not make the device ${deviceId}`)
  }

  /** The homeserver takes the device of a bot from its token. */
  async #checkToken({ userId, deviceId, signal }: Owner): Promise<void> {
    const request: Request = { method: 'GET', path: `${CLIENT}/account/whoami` }
    const { user_id, device_id } = await this.#client.send(request, signal)
    if (user_id === userId && (device_id === undefined || device_id === deviceId)) return
    const who = [user_id, device_id].filter((id) => typeof id === 'string').join(' on the device ')
    const what = `the access token belongs to ${clip(who)}, and not to ${userId} on the device ${deviceId}`
    throw new MatrixRequestError(request, what, { status: 200 })
  }

  /**
   * Uploads the three public keys of the identity.
   *
   * @param isReplacement Whether the homeserver has another identity.
   * @param watch Finds out whether somebody else has made an identity. `undefined`: it may be replaced.
   * @throws {UnknownOutcome} if the homeserver may have taken the keys all the same. After any other error of a
   *   request it has refused them
   */
  async uploadIdentity(
    owner: Owner,
    keys: CrossSigningKeysUpload,
    isReplacement: boolean,
    watch: Watch | undefined,
  ): Promise<void> {
    const path = `${CLIENT}/keys/device_signing/upload`
    let auth: object | undefined
    let isDummyTried = false
    for (let stage = 0; ; stage++) {
      const request = this.#as(owner.userId, {
        method: 'POST',
        path,
        body: { ...keys, ...(auth && { auth }) },
      })
      const beforeRetry = () => watch?.checkNoOtherIdentityIfOld()
      const answer = await this.#client
        .exchange(request, owner.signal, beforeRetry)
        .catch((reason: unknown) => {
          throw new UnknownOutcome(reason)
        })
      if (answer.isSuccess) {
        objectOf(request, answer)
        return
      }
      const challenge = readChallenge(owner.userId, answer)
      if (!challenge) {
        // Synapse before 1.141 breaks when an application service has to authenticate.
        const isBroken = isReplacement && answer.status === 500 && answer.errcode === 'M_UNKNOWN'
        if (isBroken && this.#sender !== 'bot') throw interactive(request, answer, WAYS_OUT)
        const refusal = MatrixRequestError.refused(request, answer, hintFor(answer, owner))
        throw answer.status >= 500 ? new UnknownOutcome(refusal) : refusal
      }
      auth = isDummyTried ? undefined : dummyAuth(challenge)
      isDummyTried ||= auth !== undefined
      const isDeadEnd = challenge.flows.length === 0
      const isEndless = stage >= MOST_STAGES
      if (!auth && !isDeadEnd && !isEndless) {
        auth = await this.#authenticate(challenge, owner.signal)
        if (auth) await watch?.checkNoOtherIdentity()
      }
      if (auth && !isEndless) continue
      const waysOut = this.#sender === 'bot' ? WAYS_OUT_OF_BOT : WAYS_OUT
      const advice = isEndless ? `It has asked ${MOST_STAGES} times` : adviceFor(challenge)
      throw interactive(request, answer, isDeadEnd && isReplacement ? waysOut : advice, challenge)
    }
  }

  /** Asks the caller. What the caller waits for, such as a person, does not hold back an abort. */
  async #authenticate(
    challenge: UserInteractiveAuthChallenge,
    signal: AbortSignal | undefined,
  ): Promise<object | undefined> {
    const call = Promise.resolve(this.#onUserInteractiveAuth?.(challenge))
    return orAborted(call, signal)
  }

  /** Uploads the signature of the self-signing key over the device. */
  async uploadSignatures({ userId, signal }: Owner, body: object): Promise<void> {
    const request = this.#as(userId, { method: 'POST', path: `${CLIENT}/keys/signatures/upload`, body })
    const { failures } = await this.#client.send(request, signal)
    const failed = readFailures(failures)
    if (failed.length === 0) return
    const reasons = clip(failed.map(({ text }) => text).join('; '))
    const what = `the homeserver did not store the signatures: ${reasons}`
    throw new MatrixRequestError(request, what, { status: 200, errcode: failed[0]?.errcode })
  }

  /** The account data of a type. `undefined`: the user has none. */
  async readAccountData({ userId, signal }: Owner, type: string): Promise<JsonObject | undefined> {
    const request = this.#as(userId, { method: 'GET', path: accountDataPath(userId, type) })
    const answer = await this.#client.exchange(request, signal)
    // Any other 404 is not about the account data. They may be there, and must not be replaced.
    if (answer.status === 404 && answer.errcode === 'M_NOT_FOUND') return undefined
    if (!answer.isSuccess) throw MatrixRequestError.refused(request, answer)
    return contentOf(request, answer, { userId, type })
  }

  async writeAccountData({ userId, signal }: Owner, type: string, body: object): Promise<void> {
    const path = accountDataPath(userId, type)
    await this.#client.send(this.#as(userId, { method: 'PUT', path, body }), signal)
  }

  /** An application service names the user for whom it speaks. */
  #as(userId: string, request: Request): Request {
    return this.#sender === 'bot' ? request : { ...request, query: { user_id: userId } }
  }
}

function uploadOf(body: object): Request {
  return { method: 'POST', path: `${CLIENT}/keys/upload`, body }
}

function accountDataPath(userId: string, type: string): string {
  return `${CLIENT}/user/${encodeURIComponent(userId)}/account_data/${encodeURIComponent(type)}`
}

/** @throws {MatrixRequestError} if it has no form of account data: the fault of what has put it, not of the caller */
function contentOf(
  request: Request,
  answer: Answer,
  { userId, type }: { userId: string; type: string },
): JsonObject {
  const { body, status } = answer
  // What is no JSON does not come from a homeserver.
  const defect = body === undefined || typeof body === 'string' ? undefined : defectOf(type, body)
  if (defect === undefined) return objectOf(request, answer)
  const what =
    `${status}, but the account data ${clip(type)} of ${userId} have a wrong form: ${defect}. Some client of the user has ` +
    'put them. Mend them, or put {} with PUT to the same path, after which what they hold is lost'
  throw new MatrixRequestError(request, what, { status })
}

/** What homeservers say of a device that does not exist. The user exists: the query about it was answered. */
function isDeviceUnknown({ status, errcode }: Answer): boolean {
  // Synapse 1.140 and 1.141 have a prefix before it.
  if (errcode?.endsWith('M_UNKNOWN_DEVICE')) return true
  // Synapse before 1.138, and continuwuity and tuwunel.
  return (status === 400 && errcode === 'M_EXCLUSIVE') || (status === 403 && errcode === 'M_FORBIDDEN')
}

/** An application service has no device of its own. Synapse before 1.141 says so and does not read the query. */
function isDeviceIdIgnored(answer: Answer, { userId, deviceId }: Owner): boolean {
  const said = textOf(answer.body).replaceAll(userId, '').replaceAll(deviceId, '')
  return answer.status === 400 && said.includes('device_id')
}

function hintFor(answer: Answer, { userId }: Owner): string {
  if (answer.status !== 403) return ''
  return `Is ${userId} registered, and in the namespace of the application service?`
}

function isLoginUnsupported({ errcode }: Answer): boolean {
  return errcode?.endsWith('M_APPSERVICE_LOGIN_UNSUPPORTED') ?? false
}

function adviceFor({ flows, url }: UserInteractiveAuthChallenge): string {
  const stages = clip(flows.map((flow) => flow.stages.join(' and ')).join(', or ')) || 'none'
  const where = url === undefined ? '' : ` Or let a person approve it at ${clip(url)}, and call again.`
  return `It wants interactive authentication (stages: ${stages}). Give the publisher onUserInteractiveAuth.${where}`
}

function interactive(
  request: Request,
  answer: Answer,
  advice: string,
  { flows, url }: Pick<UserInteractiveAuthChallenge, 'flows' | 'url'> = { flows: [] },
): UserInteractiveAuthError {
  return new UserInteractiveAuthError(request, `${answer.describe()}. ${advice}`, answer, { flows, url })
}
