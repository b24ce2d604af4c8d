//! The bodies of the three requests that a caller sends. The SDK's own types serialise to exactly what
//! the homeserver gets, so that nothing that a signature covers is lost.

use std::collections::BTreeMap;

use matrix_sdk_crypto::{SignatureError, types::DeviceKeys};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;

use crate::keys::PublicIdentity;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Restored,
    Resumed,
    Published,
}

#[derive(Serialize)]
pub struct Payloads {
    /// Absent when the server has the device keys, by what the store records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_device_keys: Option<DeviceKeysUpload>,
    pub upload_keys: PublicIdentity,
    pub upload_signatures: SignaturesUpload,
    /// The device with every signature that it has now, whether it must be uploaded or not.
    #[serde(skip)]
    pub device_keys: DeviceKeys,
}

#[derive(Serialize)]
pub struct DeviceKeysUpload {
    pub device_keys: DeviceKeys,
}

/// What the SDK's request holds under `signed_keys`. With that name around it, a homeserver answers
/// 200 and stores nothing.
pub type SignaturesUpload = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, DeviceKeys>>;

impl Payloads {
    /// `device_keys` carry the signature of the device and that of the self-signing key, `cross_signed`
    /// only the latter.
    pub fn new(
        upload_keys: PublicIdentity,
        device_keys: DeviceKeys,
        cross_signed: DeviceKeys,
        is_shared: bool,
    ) -> Self {
        let (user, device) = (device_keys.user_id.clone(), device_keys.device_id.clone());
        Self {
            // Once the server has them, the OlmMachine that runs the device is the one to upload keys.
            upload_device_keys: (!is_shared).then(|| DeviceKeysUpload { device_keys: device_keys.clone() }),
            upload_keys,
            upload_signatures: BTreeMap::from([(user, BTreeMap::from([(device, cross_signed)]))]),
            device_keys,
        }
    }

    /// Adds the device keys. The store's record that the server has them is not always right: a device
    /// can be deleted.
    pub fn offer_device_keys(&mut self) {
        self.upload_device_keys = Some(DeviceKeysUpload { device_keys: self.device_keys.clone() });
    }

    /// Checks every signature that is handed out, with the keys that are handed out. The master key of an
    /// imported identity has the signature of another device, which nothing here could check.
    pub fn check(&self) -> Result<(), SignatureError> {
        self.upload_keys.check_signatures()?;
        self.device_keys.check_self_signature()?;
        match self.device_keys.has_signed(&self.upload_keys.master_key) {
            Err(SignatureError::NoSignatureFound) => {}
            checked => checked?,
        }
        self.upload_keys.check_device(&self.device_keys)?;
        let mut signed = self.upload_signatures.values().flat_map(BTreeMap::values);
        signed.try_for_each(|device| self.upload_keys.check_device(device))
    }
}
