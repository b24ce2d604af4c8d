//! Compares what the homeserver serves with what the store holds.

use matrix_sdk_crypto::types::{CrossSigningKey, DeviceKeys};
use ruma::UserId;
use serde::Serialize;

use super::server_keys::ServerKeys;
use crate::{
    error::{Error, ErrorCode, Result},
    identity::Payloads,
    keys::{check_signed_by_key, is_same_key},
};

/// The uploads, in the order in which they must be sent. Their names are those in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // the names in the result
pub enum Upload {
    UploadDeviceKeys,
    UploadKeys,
    UploadSignatures,
}

/// Something that the caller should know. It is no reason to reject the call.
#[derive(Debug, Serialize)]
pub struct Warning {
    code: &'static str,
    message: String,
}

/// What the homeserver still lacks, and what is odd about what it serves.
pub struct Comparison {
    pub missing: Vec<Upload>,
    pub warnings: Vec<Warning>,
}

/// Fails with `IDENTITY_CONFLICT` if the homeserver has an identity that is not the store's. Other users
/// trust the identity of the homeserver.
pub fn check_conflict(user_id: &UserId, ours: Option<&str>, served: &ServerKeys) -> Result<()> {
    let Some(theirs) = &served.master_key else { return Ok(()) };
    let theirs = theirs.get_first_key().map(|key| key.to_base64());
    if ours.is_some() && ours == theirs.as_deref() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::IdentityConflict,
        format!(
            "the homeserver has the identity with the master key {} for {user_id}, the store has {}. Bring back the \
             store that belongs to that identity. Only if it is lost, replace the identity with the option reset, \
             after which whoever verified this user has to do so again",
            theirs.as_deref().unwrap_or("(of an unknown kind)"),
            ours.map_or_else(|| "none".to_owned(), |key| format!("the one with {key}")),
        ),
    ))
}

pub fn compare(payloads: &Payloads, served: &ServerKeys) -> Comparison {
    let ours = &payloads.device_keys;
    let mut missing = Vec::new();
    let mut warnings = Vec::new();

    let device = served.device.as_ref();
    let known_device = device
        .filter(|device| same_device(device, &payloads.device_keys) && device.check_self_signature().is_ok());
    if known_device.is_none() {
        missing.push(Upload::UploadDeviceKeys);
    }
    if device.is_some_and(|device| !same_device(device, &payloads.device_keys)) {
        warnings.push(Warning {
            code: "DEVICE_KEYS_DIFFER",
            message: format!(
                "the homeserver serves other keys for the device {} of {} than the store has. Usually the store was \
                 lost and its device ID was used again. Other users' clients do not accept new keys for a device \
                 that they know. Give the user a new device ID with a new store, and delete this device",
                ours.device_id, ours.user_id
            ),
        });
    }

    let ours = &payloads.upload_keys;
    let is_vouched = |served: &CrossSigningKey, own: &CrossSigningKey| {
        is_same_key(served, own) && check_signed_by_key(served, &ours.master_key).is_ok()
    };
    let identity_known = served.master_key.as_ref().is_some_and(|key| is_same_key(key.as_ref(), &ours.master_key))
        && served
            .self_signing_key
            .as_ref()
            .is_some_and(|key| is_vouched(key.as_ref(), &ours.self_signing_key))
        // A homeserver serves this key only to its own user, so its absence proves nothing.
        && served
            .user_signing_key
            .as_ref()
            .is_none_or(|key| is_vouched(key.as_ref(), &ours.user_signing_key));
    if !identity_known {
        missing.push(Upload::UploadKeys);
    }

    let signed = known_device.is_some_and(|device| {
        served.self_signing_key.as_ref().is_some_and(|key| key.verify_device_keys(device).is_ok())
    });
    if !(identity_known && signed) {
        missing.push(Upload::UploadSignatures);
    }
    Comparison { missing, warnings }
}

fn same_device(served: &DeviceKeys, ours: &DeviceKeys) -> bool {
    (&served.user_id, &served.device_id, &served.keys) == (&ours.user_id, &ours.device_id, &ours.keys)
}
