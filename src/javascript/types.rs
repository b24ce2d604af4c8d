//! The types that JavaScript sees. Their documentation is copied into `index.d.ts`.

use std::collections::HashMap;

use napi_derive::napi;

/// What a call did.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, PartialEq, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum BootstrapStatus {
    /// This call made the identity.
    Created,
    /// The store had no identity. This call has brought it back from the secret storage.
    Restored,
    /// The store already held the identity. The keys are the same as before.
    Resumed,
    /// The store already held the identity, and the homeserver serves all of it. Nothing is left to upload.
    Published,
}

/// An upload: the name of the property of the result that holds its body.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(clippy::enum_variant_names)] // the names in the result
pub enum BootstrapUpload {
    UploadDeviceKeys,
    UploadAccountData,
    UploadKeys,
    UploadSignatures,
}

/// Why the result has a warning.
#[napi(string_enum = "UPPER_SNAKE")]
#[cfg_attr(test, derive(Debug, PartialEq, serde::Deserialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum BootstrapWarningCode {
    /// For this device ID the homeserver serves other keys than the store has. Other users' clients do not
    /// accept new keys for a device that they know. The ghost needs a new device ID and a new store.
    DeviceKeysDiffer,
    /// What the homeserver serves for this device is not valid device keys. Other users' clients ignore it.
    /// To upload the device keys again mends it.
    DeviceKeysInvalid,
    /// The homeserver serves the device with a signature by the store's self-signing key that is wrong. It
    /// keeps that signature, whatever is uploaded. The ghost needs a new device ID, or a new identity.
    StaleSignature,
}

/// Why a call was rejected.
#[napi(string_enum = "UPPER_SNAKE")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum BootstrapErrorCode {
    InvalidArgument,
    InvalidUserId,
    InvalidDeviceId,
    InvalidStorePath,
    AccountMismatch,
    StoreInUse,
    StorePassphrase,
    StoreCorrupt,
    StoreVersion,
    IdentityIncomplete,
    IdentityConflict,
    InvalidRecoveryKey,
    RecoveryKeyMismatch,
    StoreIo,
    Internal,
}

/// Why a client shows a red shield for a device.
#[napi(string_enum = "UPPER_SNAKE")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum VerificationProblem {
    NoDevice,
    NoMasterKey,
    NoSelfSigningKey,
    IdMismatch,
    SelfSigningKeyNotSigned,
    DeviceNotSigned,
    BadSignature,
}

/// How much of a cross-signing identity a store holds.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, PartialEq, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum StoreIdentity {
    /// Nothing of an identity.
    None,
    /// A part of one: not all private keys, or no signatures.
    Incomplete,
    /// All of one. `bootstrapCrossSigning` resumes it.
    Complete,
}

/// What a cross-signing key is for.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum CrossSigningKeyUsage {
    Master,
    SelfSigning,
    UserSigning,
}

/// Options of `bootstrapCrossSigning`. An option that does not exist is an error (`INVALID_ARGUMENT`).
/// An option that is `undefined` counts as absent.
#[napi(object, object_to_js = false)]
pub struct BootstrapOptions {
    /// The passphrase that `OlmMachine.initialize` takes. Without it the store is not encrypted. `''` is a
    /// passphrase, too.
    #[napi(ts_type = "string | undefined")]
    pub passphrase: Option<String>,
    /// Replace the identity by a new one. Everybody who verified this user has to verify it again.
    ///
    /// @default false
    #[napi(ts_type = "boolean | undefined")]
    pub reset: Option<bool>,
    /// How long to wait for a store that somebody else has open, in milliseconds: from 0 (do not wait) to
    /// 2147483647. The time starts when the call finds the store in use. The time in the queue behind
    /// other calls of this process does not count.
    ///
    /// @default 5000
    #[napi(ts_type = "number | undefined")]
    pub busy_timeout: Option<f64>,
    /// The present answer to `POST /_matrix/client/v3/keys/query` about this user. With it, a call without
    /// `reset` never replaces an identity that the homeserver serves (`IDENTITY_CONFLICT`), and the result
    /// says what is left to upload. An answer that is not about this user is refused (`INVALID_ARGUMENT`).
    /// What it says about other users and devices is not looked at.
    #[napi(ts_type = "KeysQueryAnswer | undefined")]
    pub server_keys: Option<KeysQueryAnswer>,
    /// Keeps the identity in the user's secret storage, and brings it back from there if the store has none.
    #[napi(ts_type = "RecoveryOptions | undefined")]
    pub recovery: Option<RecoveryOptions>,
    /// Takes the call back. If it has not begun its work when the signal aborts, it rejects with
    /// `signal.reason` and leaves nothing. A call that waits for other calls, or for a store that somebody
    /// else has open, has not begun. A call that is at work finishes.
    #[napi(ts_type = "AbortSignal | undefined")]
    pub signal: Option<String>,
}

/// The option `recovery` of `bootstrapCrossSigning`.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#secret-storage)
#[napi(object, object_to_js = false)]
pub struct RecoveryOptions {
    /// A recovery key as clients show it. `createRecoveryKey` and `deriveRecoveryKey` make one. White space
    /// does not count.
    pub key: String,
    /// The user's present account data: the content by type, from
    /// `GET /_matrix/client/v3/user/{userId}/account_data/{type}` or from a sync. `{}` if there is none. These
    /// types are read: `m.secret_storage.default_key`, all `m.secret_storage.key.*`,
    /// `m.cross_signing.master`, `m.cross_signing.self_signing` and `m.cross_signing.user_signing`. Leave
    /// out a type that the homeserver does not have.
    ///
    /// Without `accountData` nothing is known about the secret storage. Then no identity can be brought back,
    /// and `upload_account_data` in the result would replace what others have put there.
    #[napi(ts_type = "Record<string, object> | undefined")]
    pub account_data: Option<HashMap<String, String>>,
}

/// Options of `inspectStore`. An option that does not exist is an error (`INVALID_ARGUMENT`). An option that is
/// `undefined` counts as absent.
#[napi(object, object_to_js = false)]
pub struct InspectOptions {
    /// The passphrase that `OlmMachine.initialize` takes. Leave it out if the store is not encrypted. `''` is
    /// a passphrase, too.
    #[napi(ts_type = "string | undefined")]
    pub passphrase: Option<String>,
    /// How long to wait for a store that this process has open, or that another one keeps from being read, in
    /// milliseconds: from 0 (do not wait) to 2147483647.
    ///
    /// @default 5000
    #[napi(ts_type = "number | undefined")]
    pub busy_timeout: Option<f64>,
    /// Takes the call back. If it does not read the store yet when the signal aborts, it rejects with
    /// `signal.reason`.
    #[napi(ts_type = "AbortSignal | undefined")]
    pub signal: Option<String>,
}

/// The answer to `POST /_matrix/client/v3/keys/query`, unchanged, as `JSON.parse` gives it. A `Map` or an
/// instance of a class is refused. A part that is null counts as absent.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysquery)
#[napi(object, object_to_js = false)]
pub struct KeysQueryAnswer {
    /// Devices, by user ID and device ID.
    #[napi(js_name = "device_keys", ts_type = "Record<string, Record<string, object>>")]
    pub device_keys: Option<HashMap<String, HashMap<String, String>>>,
    /// Master keys, by user ID.
    #[napi(js_name = "master_keys", ts_type = "Record<string, object> | null | undefined")]
    pub master_keys: Option<HashMap<String, String>>,
    /// Self-signing keys, by user ID.
    #[napi(js_name = "self_signing_keys", ts_type = "Record<string, object> | null | undefined")]
    pub self_signing_keys: Option<HashMap<String, String>>,
    /// User-signing keys, by user ID. A homeserver serves a user-signing key only to its own user.
    #[napi(js_name = "user_signing_keys", ts_type = "Record<string, object> | null | undefined")]
    pub user_signing_keys: Option<HashMap<String, String>>,
    /// Homeservers that did not answer, by server name.
    #[napi(ts_type = "Record<string, object> | null | undefined")]
    pub failures: Option<HashMap<String, String>>,
}

/// The result of a call, with the bodies of the requests that publish the identity. Send them in this
/// order, as the user who owns the identity.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CrossSigningBootstrap {
    /// What the call did.
    pub status: BootstrapStatus,
    /// Body of `POST /_matrix/client/v3/keys/upload`. Send it first, if it is present. It is absent if the
    /// store records that the homeserver has the device keys, unless `serverKeys` show that it has not.
    #[napi(js_name = "upload_device_keys")]
    pub upload_device_keys: Option<DeviceKeysUpload>,
    /// With `recovery` only: what keeps the identity in the user's secret storage. Put each in this order, and
    /// only then upload the keys, so that no identity becomes public that cannot be brought back. What
    /// `accountData` have already is in it unchanged.
    #[napi(js_name = "upload_account_data")]
    pub upload_account_data: Option<Vec<AccountDataUpload>>,
    /// Body of `POST /_matrix/client/v3/keys/device_signing/upload`. Send it next, with `auth` added if
    /// the homeserver asks for it. If `serverKeys` have all three keys, they are these keys as they are
    /// served, with all their signatures.
    #[napi(js_name = "upload_keys")]
    pub upload_keys: CrossSigningKeysUpload,
    /// Body of `POST /_matrix/client/v3/keys/signatures/upload`: the device keys with the signature of the
    /// self-signing key, by user ID and device ID. Send it last, and read `failures` in the answer: the
    /// status is 200 even if the homeserver stored nothing.
    #[napi(js_name = "upload_signatures")]
    pub upload_signatures: HashMap<String, HashMap<String, DeviceKeys>>,
    /// With `serverKeys` only: the uploads that the homeserver still lacks, in the order in which to send
    /// them. To send the other uploads, too, does no harm.
    pub missing: Option<Vec<BootstrapUpload>>,
    /// With `serverKeys` only: what is odd about what the homeserver serves. Usually empty.
    pub warnings: Option<Vec<BootstrapWarning>>,
}

/// Body of `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`, with its type.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#put_matrixclientv3useruseridaccount_datatype)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct AccountDataUpload {
    /// The type of the account data, for the path of the request.
    #[napi(js_name = "type")]
    #[cfg_attr(test, serde(rename = "type"))]
    pub event_type: String,
    /// The body of the request.
    #[napi(ts_type = "object")]
    #[cfg_attr(test, serde(deserialize_with = "any_object"))]
    pub content: HashMap<String, String>,
}

#[cfg(test)]
fn any_object<'de, D: serde::Deserializer<'de>>(content: D) -> Result<HashMap<String, String>, D::Error> {
    let content: HashMap<String, serde_json::Value> = serde::Deserialize::deserialize(content)?;
    Ok(content.into_iter().map(|(name, value)| (name, value.to_string())).collect())
}

/// Something that the caller should know. The call has succeeded all the same.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct BootstrapWarning {
    /// The reason, for a program.
    pub code: BootstrapWarningCode,
    /// The reason in words: what is odd, its usual cause, and what to do.
    pub message: String,
}

/// The verdict of `verifyPublished` on a device that is signed by its owner.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct VerifiedDevice {
    #[napi(ts_type = "true")]
    pub verified: bool,
    /// The owner's public master key, in unpadded base64.
    #[napi(js_name = "master_key")]
    pub master_key: String,
}

/// The verdict of `verifyPublished` on a device for which clients show a red shield.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct UnverifiedDevice {
    #[napi(ts_type = "false")]
    pub verified: bool,
    /// The first problem that was found:
    ///
    /// - `NO_DEVICE`, `NO_MASTER_KEY`, `NO_SELF_SIGNING_KEY`: the homeserver does not serve it, or serves
    ///   something that clients cannot read and ignore.
    /// - `ID_MISMATCH`: a key or the device names another user, or the device has another device ID.
    /// - `SELF_SIGNING_KEY_NOT_SIGNED`: the master key has not signed the self-signing key.
    /// - `DEVICE_NOT_SIGNED`: the self-signing key has not signed the device, or the device not itself.
    /// - `BAD_SIGNATURE`: one of these signatures is present, but wrong.
    pub problem: VerificationProblem,
    /// The problem in words, with what to do.
    pub message: String,
}

/// The result of `inspectStore`: what a store holds.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct StoreInfo {
    /// The user that the store belongs to. Absent if it has no account yet.
    #[napi(js_name = "user_id")]
    pub user_id: Option<String>,
    /// The device that the store belongs to. Absent if it has no account yet.
    #[napi(js_name = "device_id")]
    pub device_id: Option<String>,
    /// The version of the store's schema. 0 if the SDK was interrupted before it made the tables.
    pub schema: u32,
    /// Whether the store is encrypted with a passphrase.
    pub encrypted: bool,
    /// Present, and `true`, if the store is not encrypted and somebody has opened it with a passphrase. From then on no
    /// `OlmMachine` can open it ("missing field `version`"). One call of `bootstrapCrossSigning` without a passphrase
    /// repairs it.
    #[napi(js_name = "stray_cipher")]
    pub stray_cipher: Option<bool>,
    /// How much of a cross-signing identity the store holds.
    pub identity: StoreIdentity,
    /// The public master key of the identity, in unpadded base64. Absent if there is none. An incomplete identity
    /// may have one.
    #[napi(js_name = "master_key")]
    pub master_key: Option<String>,
    /// Whether the store records the device with the signature of the identity's self-signing key. It does not
    /// tell what the homeserver serves.
    #[napi(js_name = "device_signed")]
    pub device_signed: bool,
    /// Whether the store records that the homeserver has the device keys. The record is not always right: a
    /// device can be deleted.
    #[napi(js_name = "device_keys_uploaded")]
    pub device_keys_uploaded: bool,
}

/// Body of `POST /_matrix/client/v3/keys/upload`. It has no one-time keys: they belong to the
/// `OlmMachine` that opens the store afterwards.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct DeviceKeysUpload {
    /// The device's keys, signed by the device itself and by the self-signing key.
    #[napi(js_name = "device_keys")]
    pub device_keys: DeviceKeys,
}

/// Body of `POST /_matrix/client/v3/keys/device_signing/upload`, without `auth`.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysdevice_signingupload)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CrossSigningKeysUpload {
    /// The user's master key. The device that made it has signed it.
    #[napi(js_name = "master_key")]
    pub master_key: CrossSigningKey,
    /// The key that signs the user's own devices. The master key has signed it.
    #[napi(js_name = "self_signing_key")]
    pub self_signing_key: CrossSigningKey,
    /// The key that signs other users' master keys. The master key has signed it.
    #[napi(js_name = "user_signing_key")]
    pub user_signing_key: CrossSigningKey,
}

/// A public cross-signing key.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#cross-signing)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CrossSigningKey {
    /// The user who owns the key.
    #[napi(js_name = "user_id")]
    pub user_id: String,
    /// What the key is for.
    pub usage: Vec<CrossSigningKeyUsage>,
    /// The public key in unpadded base64. Its key ID is `ed25519:` and the same text.
    pub keys: HashMap<String, String>,
    /// Signatures in unpadded base64, by user ID and key ID.
    pub signatures: HashMap<String, HashMap<String, String>>,
}

/// A device's public keys.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload_request_devicekeys)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct DeviceKeys {
    /// The user who owns the device.
    #[napi(js_name = "user_id")]
    pub user_id: String,
    /// The ID of the device.
    #[napi(js_name = "device_id")]
    pub device_id: String,
    /// The encryption algorithms that the device supports.
    pub algorithms: Vec<String>,
    /// The identity keys in unpadded base64, by algorithm and device ID: `curve25519:DEVICE` and
    /// `ed25519:DEVICE`.
    pub keys: HashMap<String, String>,
    /// Signatures in unpadded base64, by user ID and key ID.
    pub signatures: HashMap<String, HashMap<String, String>>,
}
