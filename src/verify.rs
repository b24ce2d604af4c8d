//! Would a client take a device for its owner's? Asked of what the homeserver serves, without a store.

use matrix_sdk_crypto::{
    SignatureError,
    types::{CrossSigningKey, Signature},
};
use ruma::{CanonicalJsonValue, DeviceId, UserId, canonical_json::to_canonical_value};
use serde::Serialize;

use crate::server_keys::ServerKeys;

/// Why a client would not. The only list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Problem {
    NoDevice,
    NoMasterKey,
    NoSelfSigningKey,
    IdMismatch,
    SelfSigningKeyNotSigned,
    DeviceNotSigned,
    BadSignature,
}

/// The device is its owner's, or it is not, and why.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Verdict {
    Verified { verified: bool, master_key: String },
    NotVerified { verified: bool, problem: Problem, message: String },
}

pub fn verdict(user_id: &UserId, device_id: &DeviceId, served: &ServerKeys) -> Verdict {
    match verify(user_id, device_id, served) {
        Ok(master_key) => Verdict::Verified { verified: true, master_key },
        Err((problem, message)) => Verdict::NotVerified { verified: false, problem, message },
    }
}

/// The rules that the Matrix SDK applies to another user's device, in its order. Returns the master
/// key in unpadded base64.
pub fn verify(
    user_id: &UserId,
    device_id: &DeviceId,
    served: &ServerKeys,
) -> Result<String, (Problem, String)> {
    let device = served.device.as_ref().ok_or_else(|| {
        (
            Problem::NoDevice,
            format!("the homeserver serves no device {device_id} of {user_id}: upload its keys"),
        )
    })?;
    let master_key = served.master_key.as_ref().ok_or_else(|| {
        (
            Problem::NoMasterKey,
            format!("the homeserver serves no master key of {user_id}: upload the identity"),
        )
    })?;
    let self_signing_key = served.self_signing_key.as_ref().ok_or_else(|| {
        (
            Problem::NoSelfSigningKey,
            format!("the homeserver serves no self-signing key of {user_id}: upload the identity"),
        )
    })?;

    for (what, id) in [
        ("device", &device.user_id),
        ("master key", &master_key.as_ref().user_id),
        ("self-signing key", &self_signing_key.as_ref().user_id),
    ] {
        if id != user_id {
            return Err((
                Problem::IdMismatch,
                format!("the {what} that is served for {user_id} says that it is {id}'s"),
            ));
        }
    }
    if device.device_id != device_id {
        return Err((
            Problem::IdMismatch,
            format!("the device that is served as {device_id} says that it is {}", device.device_id),
        ));
    }

    let device_name = format!("the device {device_id} of {user_id}");
    device.check_self_signature().map_err(|error| {
        broken(Problem::DeviceNotSigned, &error, &format!("{device_name} is not signed by itself"))
    })?;
    check_signed_by(master_key.as_ref(), self_signing_key.as_ref()).map_err(|error| {
        broken(
            Problem::SelfSigningKeyNotSigned,
            &error,
            &format!("the self-signing key of {user_id} is not signed by the master key"),
        )
    })?;
    self_signing_key.verify_device_keys(device).map_err(|error| {
        broken(
            Problem::DeviceNotSigned,
            &error,
            &format!("{device_name} is not signed by the self-signing key: upload the signatures"),
        )
    })?;

    master_key.get_first_key().map(|key| key.to_base64()).ok_or_else(|| {
        (Problem::NoMasterKey, format!("the master key of {user_id} has no Ed25519 key in it"))
    })
}

fn broken(missing: Problem, error: &SignatureError, message: &str) -> (Problem, String) {
    match error {
        SignatureError::NoSignatureFound => (missing, message.to_owned()),
        _ => (Problem::BadSignature, format!("{message}: the signature is wrong ({error})")),
    }
}

/// The SDK checks this where it takes an identity in, and lets nobody else ask.
/// <https://spec.matrix.org/v1.16/appendices/#checking-for-a-signature>
pub fn check_signed_by(master_key: &CrossSigningKey, key: &CrossSigningKey) -> Result<(), SignatureError> {
    let (key_id, public_key) =
        master_key.get_first_key_and_id().ok_or(SignatureError::UnsupportedAlgorithm)?;
    let signature = key
        .signatures
        .get(&master_key.user_id)
        .and_then(|signatures| signatures.get(key_id))
        .ok_or(SignatureError::NoSignatureFound)?;
    let Ok(Signature::Ed25519(signature)) = signature else {
        return Err(SignatureError::InvalidSignature);
    };
    let CanonicalJsonValue::Object(mut signed) = to_canonical_value(key)? else {
        return Err(SignatureError::NotAnObject);
    };
    signed.remove("signatures");
    signed.remove("unsigned");
    let signed = CanonicalJsonValue::Object(signed).to_string();
    public_key.verify(signed.as_bytes(), signature).map_err(SignatureError::from)
}
