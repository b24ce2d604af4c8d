//! The types that JavaScript sees. Their documentation becomes that of `index.d.ts`.

use std::collections::HashMap;

use napi_derive::napi;

/// What a call did.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, PartialEq, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum BootstrapStatus {
    /// This call made the identity.
    Created,
    /// The store already held the identity. The keys are the same as before.
    Resumed,
    /// The store already held the identity, and the homeserver serves all of it. Nothing is left to upload.
    Published,
}

/// An upload, by the name of its body in the result.
#[napi(string_enum = "snake_case")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(clippy::enum_variant_names)] // the names in the result
pub enum BootstrapUpload {
    UploadDeviceKeys,
    UploadKeys,
    UploadSignatures,
}

/// What is odd about what the homeserver serves.
#[napi(string_enum = "UPPER_SNAKE")]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum BootstrapWarningCode {
    /// The homeserver serves other keys for this device ID than the store has.
    DeviceKeysDiffer,
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
    /// The store's passphrase, as given to `OlmMachine.initialize`. Without it the store is not
    /// encrypted.
    #[napi(ts_type = "string | undefined")]
    pub passphrase: Option<String>,
    /// Replace the store's identity by a new one. Whoever verified this user has to do so again.
    ///
    /// @default false
    #[napi(ts_type = "boolean | undefined")]
    pub reset: Option<bool>,
    /// How long to wait for a store that somebody else holds open, in milliseconds from 0 (do not
    /// wait) to 2147483647, from when it is found in use. Calls of this process for the same store
    /// queue up and do not count.
    ///
    /// @default 5000
    #[napi(ts_type = "number | undefined")]
    pub busy_timeout: Option<f64>,
    /// The present answer to `POST /_matrix/client/v3/keys/query` about this user. With it, a call never
    /// replaces an identity that the homeserver serves (`IDENTITY_CONFLICT`), and the result says what is
    /// left to upload.
    #[napi(ts_type = "KeysQueryAnswer | undefined")]
    pub server_keys: Option<KeysQueryAnswer>,
}

/// The answer to `POST /_matrix/client/v3/keys/query` for one user, unchanged.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysquery)
#[napi(object, object_to_js = false)]
pub struct KeysQueryAnswer {
    /// Devices, by user ID and device ID.
    #[napi(js_name = "device_keys", ts_type = "Record<string, Record<string, object>>")]
    pub device_keys: Option<HashMap<String, HashMap<String, String>>>,
    /// Master keys, by user ID.
    #[napi(js_name = "master_keys", ts_type = "Record<string, object>")]
    pub master_keys: Option<HashMap<String, String>>,
    /// Self-signing keys, by user ID.
    #[napi(js_name = "self_signing_keys", ts_type = "Record<string, object>")]
    pub self_signing_keys: Option<HashMap<String, String>>,
    /// User-signing keys, by user ID. A homeserver shows them to nobody but the user.
    #[napi(js_name = "user_signing_keys", ts_type = "Record<string, object>")]
    pub user_signing_keys: Option<HashMap<String, String>>,
    /// Homeservers that did not answer, by name.
    #[napi(ts_type = "Record<string, object>")]
    pub failures: Option<HashMap<String, String>>,
}

/// The bodies of the requests that publish a cross-signing identity. Send them in this order, as the
/// user whose identity it is.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CrossSigningBootstrap {
    /// What the call did.
    pub status: BootstrapStatus,
    /// Body of `POST /_matrix/client/v3/keys/upload`. Send it 1st, when present. It is absent when
    /// the store records that the server already has the device keys.
    #[napi(js_name = "upload_device_keys")]
    pub upload_device_keys: Option<DeviceKeysUpload>,
    /// Body of `POST /_matrix/client/v3/keys/device_signing/upload`. Send it 2nd, with `auth` added
    /// where the homeserver asks for it.
    #[napi(js_name = "upload_keys")]
    pub upload_keys: CrossSigningKeysUpload,
    /// Body of `POST /_matrix/client/v3/keys/signatures/upload`: by user ID and device ID, the device
    /// keys with the signature of the self-signing key. Send it 3rd. The answer is 200 even when
    /// the homeserver refuses: read `failures` in it.
    #[napi(js_name = "upload_signatures")]
    pub upload_signatures: HashMap<String, HashMap<String, DeviceKeys>>,
    /// With `serverKeys`: the uploads that the homeserver still lacks, in the order in which to send
    /// them. The others may be sent all the same.
    pub missing: Option<Vec<BootstrapUpload>>,
    /// With `serverKeys`: what is odd about what the homeserver serves. Usually empty.
    pub warnings: Option<Vec<BootstrapWarning>>,
}

/// Something that the caller should know. It is no reason to refuse.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct BootstrapWarning {
    /// What it is, for a program.
    pub code: BootstrapWarningCode,
    /// The same in words: what is odd, its usual cause, and what to do.
    pub message: String,
}

/// What `verifyPublished` says of a device that is signed by its owner.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct VerifiedDevice {
    #[napi(ts_type = "true")]
    pub verified: bool,
    /// The public master key that vouches for the device, in unpadded base64.
    #[napi(js_name = "master_key")]
    pub master_key: String,
}

/// What `verifyPublished` says of a device that clients show a red shield for.
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct UnverifiedDevice {
    #[napi(ts_type = "false")]
    pub verified: bool,
    /// What is wrong, in the order in which it is looked at:
    ///
    /// - `NO_DEVICE`, `NO_MASTER_KEY`, `NO_SELF_SIGNING_KEY`: not served;
    /// - `ID_MISMATCH`: a key says that it belongs to another user or device;
    /// - `SELF_SIGNING_KEY_NOT_SIGNED`: by the master key;
    /// - `DEVICE_NOT_SIGNED`: by the self-signing key, or by itself;
    /// - `BAD_SIGNATURE`: one of these signatures is there, and wrong.
    pub problem: VerificationProblem,
    /// The same in words, with what to do.
    pub message: String,
}

/// Body of `POST /_matrix/client/v3/keys/upload`. One-time keys are not in it: they belong to the
/// `OlmMachine` that takes the store over.
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
    /// The user's identity. Signed by the device.
    #[napi(js_name = "master_key")]
    pub master_key: CrossSigningKey,
    /// Signs the user's own devices. Signed by the master key.
    #[napi(js_name = "self_signing_key")]
    pub self_signing_key: CrossSigningKey,
    /// Signs other users' master keys. Signed by the master key.
    #[napi(js_name = "user_signing_key")]
    pub user_signing_key: CrossSigningKey,
}

/// A public cross-signing key.
///
/// @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#cross-signing)
#[napi(object, object_from_js = false)]
#[cfg_attr(test, derive(Debug, serde::Deserialize), serde(deny_unknown_fields))]
pub struct CrossSigningKey {
    /// The user whose key it is.
    #[napi(js_name = "user_id")]
    pub user_id: String,
    /// What the key is for.
    pub usage: Vec<CrossSigningKeyUsage>,
    /// The key itself in unpadded base64, by `ed25519:` and itself.
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
    /// The user whose device it is.
    #[napi(js_name = "user_id")]
    pub user_id: String,
    /// The device.
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
