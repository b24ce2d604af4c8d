//! Compares what the homeserver serves with what the store holds.

use matrix_sdk_crypto::{
    SignatureError,
    types::{CrossSigningKey, DeviceKeys},
};
use ruma::DeviceKeyAlgorithm;
use serde::Serialize;

use super::server_keys::{Served, ServerKeys};
use crate::{
    error::clipped,
    identity::Payloads,
    keys::{PublicIdentity, check_signed_by_key, is_same_key},
};

/// The uploads, in the order in which they must be sent. Their names are those in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // the names in the result
pub enum Upload {
    UploadDeviceKeys,
    UploadAccountData,
    UploadKeys,
    UploadSignatures,
}

/// Something that the caller should know. It is no reason to reject the call.
#[derive(Debug, Serialize)]
pub struct Warning {
    code: WarningCode,
    message: String,
}

/// JavaScript sees it as `BootstrapWarningCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WarningCode {
    DeviceKeysDiffer,
    DeviceKeysInvalid,
    StaleSignature,
}

/// What the homeserver still lacks, and what is odd about what it serves.
pub struct Comparison {
    pub missing: Vec<Upload>,
    pub warnings: Vec<Warning>,
}

/// The device that the homeserver serves, beside the store's.
enum Device<'a> {
    Absent,
    /// Clients ignore it, for this reason.
    Invalid(String),
    Other,
    Ours(&'a DeviceKeys),
}

pub fn compare(payloads: &Payloads, served: &ServerKeys) -> Comparison {
    let device = compare_device(&payloads.device_keys, &served.device);
    let is_identity_known = is_identity_known(&payloads.upload_keys, served);

    let mut missing = Vec::new();
    if !matches!(device, Device::Ours(_)) {
        missing.push(Upload::UploadDeviceKeys);
    }
    if !is_identity_known {
        missing.push(Upload::UploadKeys);
    }
    let self_signing_key = served.self_signing_key.readable();
    let is_signed = matches!(device, Device::Ours(device)
        if self_signing_key.is_some_and(|key| key.verify_device_keys(device).is_ok()));
    if !(is_identity_known && is_signed) {
        missing.push(Upload::UploadSignatures);
    }
    Comparison { missing, warnings: warning(payloads, &device).into_iter().collect() }
}

fn compare_device<'a>(ours: &DeviceKeys, served: &'a Served<DeviceKeys>) -> Device<'a> {
    let served = match served {
        Served::Absent => return Device::Absent,
        Served::Unreadable(why) => return Device::Invalid(why.clone()),
        Served::Readable(served) => served,
    };
    if (&served.user_id, &served.device_id) != (&ours.user_id, &ours.device_id) {
        return Device::Invalid("it names another user or device".to_owned());
    }
    // Keys of other kinds are the device's own affair: it has signed them.
    let keys = [DeviceKeyAlgorithm::Ed25519, DeviceKeyAlgorithm::Curve25519]
        .map(|algorithm| (served.get_key(algorithm.clone()), ours.get_key(algorithm)));
    if keys.iter().any(|(served, ours)| served.is_some() && served != ours) {
        return Device::Other;
    }
    if keys.iter().any(|(served, _)| served.is_none()) {
        return Device::Invalid("it lacks a key".to_owned());
    }
    match served.check_self_signature() {
        Ok(()) => Device::Ours(served),
        Err(_) => Device::Invalid("it is not signed by itself".to_owned()),
    }
}

fn is_identity_known(ours: &PublicIdentity, served: &ServerKeys) -> bool {
    let is_vouched = |served: &CrossSigningKey, own: &CrossSigningKey| {
        is_same_key(served, own) && check_signed_by_key(served, &ours.master_key).is_ok()
    };
    let is_master_known =
        served.master_key.readable().is_some_and(|key| is_same_key(key.as_ref(), &ours.master_key));
    let is_self_signing_known = served
        .self_signing_key
        .readable()
        .is_some_and(|key| is_vouched(key.as_ref(), &ours.self_signing_key));
    let is_user_signing_known = match &served.user_signing_key {
        // A homeserver serves this key only to its own user, so its absence proves nothing.
        Served::Absent => true,
        Served::Unreadable(_) => false,
        Served::Readable(key) => is_vouched(key.as_ref(), &ours.user_signing_key),
    };
    is_master_known && is_self_signing_known && is_user_signing_known
}

fn warning(payloads: &Payloads, device: &Device) -> Option<Warning> {
    let ours = &payloads.device_keys;
    let name = format!("the device {} of {}", ours.device_id, ours.user_id);
    let (code, message) = match device {
        Device::Other => (
            WarningCode::DeviceKeysDiffer,
            format!(
                "the homeserver serves other keys for {name} than the store has. Usually the store was lost and its \
                 device ID was used again. Other users' clients do not accept new keys for a device that they know: \
                 give the ghost a new device ID with a new store, and delete this device. With a recovery secret it keeps \
                 its identity. Without one, if an identity is served, the new store needs the option reset"
            ),
        ),
        Device::Invalid(why) => (
            WarningCode::DeviceKeysInvalid,
            format!(
                "what the homeserver serves for {name} is not valid device keys: {}. Other users' clients ignore such \
                 a device. Upload the device keys again. If the homeserver still serves the same after that, give the \
                 ghost a new device ID",
                clipped(why)
            ),
        ),
        Device::Ours(served) if is_stale(payloads, served) => (
            WarningCode::StaleSignature,
            format!(
                "the homeserver serves {name} with a signature by the store's self-signing key that is wrong. \
                 Homeservers keep a signature that they have, so to upload it again does not help. With a recovery \
                 secret: give the ghost a new device ID and a new store. Without one: call with the option reset, which \
                 makes a new identity"
            ),
        ),
        Device::Absent | Device::Ours(_) => return None,
    };
    Some(Warning { code, message })
}

/// Whether the self-signing key has signed something else under the device's name.
fn is_stale(payloads: &Payloads, served: &DeviceKeys) -> bool {
    let check = |device| payloads.upload_keys.check_device(device);
    // The signature is right for what would be uploaded, if only the homeserver's copy of the device differs.
    let mut uploaded = payloads.device_keys.clone();
    uploaded.signatures = served.signatures.clone();
    !matches!(check(served), Ok(()) | Err(SignatureError::NoSignatureFound)) && check(&uploaded).is_err()
}
