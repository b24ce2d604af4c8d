/** What a call rejects with. */
export interface BootstrapError extends Error {
  /** Why, for a program. */
  code: BootstrapErrorCode
}

/**
 * Gives a Matrix user a cross-signing identity, and says what to upload.
 *
 * Opens the crypto store, or creates it; makes the master, self-signing and user-signing keys if it
 * holds none; signs the device; closes the store completely; and only then resolves (or rejects).
 * From that moment the caller's own `OlmMachine` may open it. The private keys stay in the store.
 *
 * Calling again is always safe and, without `reset`, gives the same `upload_keys`, so a caller that
 * died between the call and its uploads simply starts over. Calls for the same store wait for each other.
 *
 * Every failure rejects, never throws, with an `Error` whose `code` is one of:
 *
 * | code | when |
 * |---|---|
 * | `INVALID_ARGUMENT` | an argument of the wrong type; an option that does not exist |
 * | `INVALID_USER_ID` | not `@localpart:server` |
 * | `INVALID_DEVICE_ID` | empty, or with control characters |
 * | `INVALID_STORE_PATH` | empty, with a NUL, or something other than a folder stands there |
 * | `ACCOUNT_MISMATCH` | the store belongs to another user or device |
 * | `STORE_IN_USE` | somebody else held the store open for longer than `busyTimeout` |
 * | `STORE_PASSPHRASE` | an encrypted store and no or a wrong passphrase; a plain store and a passphrase |
 * | `STORE_CORRUPT` | not a database, or damaged |
 * | `STORE_VERSION` | written by a newer matrix-sdk than this build knows |
 * | `IDENTITY_INCOMPLETE` | the store holds some of the three private keys, but not all |
 * | `IDENTITY_CONFLICT` | by `serverKeys`, the homeserver has an identity that is not the store's |
 * | `STORE_IO` | the file system refused |
 * | `INTERNAL` | a bug of this package |
 *
 * After any of them the store is as it was before the call.
 *
 * @param userId the full user ID, such as `@_ghost:example.org`
 * @param deviceId the ID of the user's device
 * @param storePath the folder that `OlmMachine.initialize` takes; created if it is not there
 * @param options passphrase, reset, busyTimeout, serverKeys
 */
export declare function bootstrapCrossSigning(userId: string, deviceId: string, storePath: string, options?: BootstrapOptions): Promise<CrossSigningBootstrap>

/** Why a call was rejected. */
export type BootstrapErrorCode = 'INVALID_ARGUMENT' | 'INVALID_USER_ID' | 'INVALID_DEVICE_ID' | 'INVALID_STORE_PATH' | 'ACCOUNT_MISMATCH' | 'STORE_IN_USE' | 'STORE_PASSPHRASE' | 'STORE_CORRUPT' | 'STORE_VERSION' | 'IDENTITY_INCOMPLETE' | 'IDENTITY_CONFLICT' | 'STORE_IO' | 'INTERNAL'

/**
 * Options of `bootstrapCrossSigning`. An option that does not exist is an error (`INVALID_ARGUMENT`).
 * An option that is `undefined` counts as absent.
 */
export interface BootstrapOptions {
  /**
   * The store's passphrase, as given to `OlmMachine.initialize`. Without it the store is not
   * encrypted.
   */
  passphrase?: string | undefined
  /**
   * Replace the store's identity by a new one. Whoever verified this user has to do so again.
   *
   * @default false
   */
  reset?: boolean | undefined
  /**
   * How long to wait for a store that somebody else holds open, in milliseconds from 0 (do not
   * wait) to 2147483647, from when it is found in use. Calls of this process for the same store
   * queue up and do not count.
   *
   * @default 5000
   */
  busyTimeout?: number | undefined
  /**
   * The present answer to `POST /_matrix/client/v3/keys/query` about this user. With it, a call never
   * replaces an identity that the homeserver serves (`IDENTITY_CONFLICT`), and the result says what is
   * left to upload.
   */
  serverKeys?: KeysQueryAnswer | undefined
}

/** What a call did. */
export type BootstrapStatus = 'created' | 'resumed' | 'published'

/** An upload, by the name of its body in the result. */
export type BootstrapUpload = 'upload_device_keys' | 'upload_keys' | 'upload_signatures'

/** Something that the caller should know. It is no reason to refuse. */
export interface BootstrapWarning {
  /** What it is, for a program. */
  code: BootstrapWarningCode
  /** The same in words: what is odd, its usual cause, and what to do. */
  message: string
}

/** What is odd about what the homeserver serves. */
export type BootstrapWarningCode = 'DEVICE_KEYS_DIFFER'

/**
 * The bodies of the requests that publish a cross-signing identity. Send them in this order, as the
 * user whose identity it is.
 */
export interface CrossSigningBootstrap {
  /** What the call did. */
  status: BootstrapStatus
  /**
   * Body of `POST /_matrix/client/v3/keys/upload`. Send it 1st, when present. It is absent when
   * the store records that the server already has the device keys.
   */
  upload_device_keys?: DeviceKeysUpload
  /**
   * Body of `POST /_matrix/client/v3/keys/device_signing/upload`. Send it 2nd, with `auth` added
   * where the homeserver asks for it.
   */
  upload_keys: CrossSigningKeysUpload
  /**
   * Body of `POST /_matrix/client/v3/keys/signatures/upload`: by user ID and device ID, the device
   * keys with the signature of the self-signing key. Send it 3rd. The answer is 200 even when
   * the homeserver refuses: read `failures` in it.
   */
  upload_signatures: Record<string, Record<string, DeviceKeys>>
  /**
   * With `serverKeys`: the uploads that the homeserver still lacks, in the order in which to send
   * them. The others may be sent all the same.
   */
  missing?: Array<BootstrapUpload>
  /** With `serverKeys`: what is odd about what the homeserver serves. Usually empty. */
  warnings?: Array<BootstrapWarning>
}

/**
 * A public cross-signing key.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#cross-signing)
 */
export interface CrossSigningKey {
  /** The user whose key it is. */
  user_id: string
  /** What the key is for. */
  usage: Array<CrossSigningKeyUsage>
  /** The key itself in unpadded base64, by `ed25519:` and itself. */
  keys: Record<string, string>
  /** Signatures in unpadded base64, by user ID and key ID. */
  signatures: Record<string, Record<string, string>>
}

/**
 * Body of `POST /_matrix/client/v3/keys/device_signing/upload`, without `auth`.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysdevice_signingupload)
 */
export interface CrossSigningKeysUpload {
  /** The user's identity. Signed by the device. */
  master_key: CrossSigningKey
  /** Signs the user's own devices. Signed by the master key. */
  self_signing_key: CrossSigningKey
  /** Signs other users' master keys. Signed by the master key. */
  user_signing_key: CrossSigningKey
}

/** What a cross-signing key is for. */
export type CrossSigningKeyUsage = 'master' | 'self_signing' | 'user_signing'

/**
 * A device's public keys.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload_request_devicekeys)
 */
export interface DeviceKeys {
  /** The user whose device it is. */
  user_id: string
  /** The device. */
  device_id: string
  /** The encryption algorithms that the device supports. */
  algorithms: Array<string>
  /**
   * The identity keys in unpadded base64, by algorithm and device ID: `curve25519:DEVICE` and
   * `ed25519:DEVICE`.
   */
  keys: Record<string, string>
  /** Signatures in unpadded base64, by user ID and key ID. */
  signatures: Record<string, Record<string, string>>
}

/**
 * Body of `POST /_matrix/client/v3/keys/upload`. One-time keys are not in it: they belong to the
 * `OlmMachine` that takes the store over.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload)
 */
export interface DeviceKeysUpload {
  /** The device's keys, signed by the device itself and by the self-signing key. */
  device_keys: DeviceKeys
}

/**
 * The answer to `POST /_matrix/client/v3/keys/query` for one user, unchanged.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysquery)
 */
export interface KeysQueryAnswer {
  /** Devices, by user ID and device ID. */
  device_keys?: Record<string, Record<string, object>>
  /** Master keys, by user ID. */
  master_keys?: Record<string, object>
  /** Self-signing keys, by user ID. */
  self_signing_keys?: Record<string, object>
  /** User-signing keys, by user ID. A homeserver shows them to nobody but the user. */
  user_signing_keys?: Record<string, object>
  /** Homeservers that did not answer, by name. */
  failures?: Record<string, object>
}

/** What `verifyPublished` says of a device that clients show a red shield for. */
export interface UnverifiedDevice {
  verified: false
  /**
   * What is wrong, in the order in which it is looked at:
   *
   * - `NO_DEVICE`, `NO_MASTER_KEY`, `NO_SELF_SIGNING_KEY`: not served;
   * - `ID_MISMATCH`: a key says that it belongs to another user or device;
   * - `SELF_SIGNING_KEY_NOT_SIGNED`: by the master key;
   * - `DEVICE_NOT_SIGNED`: by the self-signing key, or by itself;
   * - `BAD_SIGNATURE`: one of these signatures is there, and wrong.
   */
  problem: VerificationProblem
  /** The same in words, with what to do. */
  message: string
}

/** Why a client shows a red shield for a device. */
export type VerificationProblem = 'NO_DEVICE' | 'NO_MASTER_KEY' | 'NO_SELF_SIGNING_KEY' | 'ID_MISMATCH' | 'SELF_SIGNING_KEY_NOT_SIGNED' | 'DEVICE_NOT_SIGNED' | 'BAD_SIGNATURE'

/** What `verifyPublished` says of a device that is signed by its owner. */
export interface VerifiedDevice {
  verified: true
  /** The public master key that vouches for the device, in unpadded base64. */
  master_key: string
}

/**
 * Tells whether a device is signed by its owner, by the rules of the clients of other users: when it
 * is, they show no red shield for it. Looks at nothing but its arguments; needs no store.
 *
 * Throws an `Error` with the `code` `INVALID_ARGUMENT` if `serverKeys` is not an answer about this
 * user, `INVALID_USER_ID` or `INVALID_DEVICE_ID`.
 *
 * @param userId the full user ID, such as `@_ghost:example.org`
 * @param deviceId the ID of the user's device
 * @param serverKeys the body of what `POST /_matrix/client/v3/keys/query` answers about the user
 */
export declare function verifyPublished(userId: string, deviceId: string, serverKeys: KeysQueryAnswer): VerifiedDevice | UnverifiedDevice
