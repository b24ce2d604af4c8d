//! The bodies of the three requests that a caller sends. They serialise to exactly what the
//! homeserver gets; the SDK's own types do it, so that nothing a signature covers is lost.

use std::{collections::BTreeMap, path::Path};

use matrix_sdk_crypto::{
    Account,
    types::{CrossSigningKey, DeviceKeys, requests::UploadSigningKeysRequest},
};
use ruma::{
    OwnedDeviceId, OwnedUserId, api::client::keys::upload_signatures::v3::Request as UploadSignaturesRequest,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result, shown},
    publication::{Publication, Upload, Warning},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Resumed,
    Published,
}

#[derive(Serialize)]
pub struct Payloads {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_device_keys: Option<DeviceKeysUpload>,
    pub upload_keys: CrossSigningKeysUpload,
    pub upload_signatures: SignaturesUpload,
    /// Only of a call that knows what the server has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Upload>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<Warning>>,
    /// The device with every signature that it has now, whether it must be uploaded or not.
    #[serde(skip)]
    pub device_keys: DeviceKeys,
}

#[derive(Serialize)]
pub struct DeviceKeysUpload {
    pub device_keys: DeviceKeys,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the specification's
pub struct CrossSigningKeysUpload {
    pub master_key: CrossSigningKey,
    pub self_signing_key: CrossSigningKey,
    pub user_signing_key: CrossSigningKey,
}

/// What the SDK's request holds under `signed_keys`. With that name around it, a homeserver answers
/// 200 and stores nothing.
pub type SignaturesUpload = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, DeviceKeys>>;

impl Payloads {
    pub fn new(
        store: &Path,
        status: Status,
        account: &Account,
        keys: &UploadSigningKeysRequest,
        signatures: &UploadSignaturesRequest,
    ) -> Result<Self> {
        let upload_signatures = inner_map(signatures)?;
        let device_keys = with_signatures(account.device_keys(), &upload_signatures);
        Ok(Self {
            status,
            // Once the server has them, the OlmMachine that runs the device is the one to upload keys.
            upload_device_keys: (!account.shared())
                .then(|| DeviceKeysUpload { device_keys: device_keys.clone() }),
            upload_keys: CrossSigningKeysUpload::new(store, keys)?,
            upload_signatures,
            missing: None,
            warnings: None,
            device_keys,
        })
    }

    /// With what a comparison with the server has found.
    pub fn compared(mut self, Publication { missing, warnings }: Publication) -> Self {
        if self.status == Status::Resumed && missing.is_empty() {
            self.status = Status::Published;
        }
        // The store's record that the server has them is not always right: a device can be deleted.
        if missing.contains(&Upload::UploadDeviceKeys) {
            self.upload_device_keys = Some(DeviceKeysUpload { device_keys: self.device_keys.clone() });
        }
        self.missing = Some(missing);
        self.warnings = Some(warnings);
        self
    }
}

impl CrossSigningKeysUpload {
    fn new(store: &Path, request: &UploadSigningKeysRequest) -> Result<Self> {
        let keys = request.clone();
        match (keys.master_key, keys.self_signing_key, keys.user_signing_key) {
            (Some(master_key), Some(self_signing_key), Some(user_signing_key)) => {
                Ok(Self { master_key, self_signing_key, user_signing_key })
            }
            _ => Err(Error::internal(format_args!(
                "the SDK made an incomplete identity for the store {}",
                shown(store)
            ))),
        }
    }
}

fn inner_map(request: &UploadSignaturesRequest) -> Result<SignaturesUpload> {
    serde_json::to_value(&request.signed_keys)
        .and_then(SignaturesUpload::deserialize)
        .map_err(|_| Error::internal("the SDK's signatures have an unknown shape"))
}

fn with_signatures(mut device_keys: DeviceKeys, signatures: &SignaturesUpload) -> DeviceKeys {
    let signed = signatures.get(&device_keys.user_id).and_then(|devices| devices.get(&device_keys.device_id));
    for (signer, keys) in signed.into_iter().flat_map(|signed| signed.signatures.clone()) {
        for (key_id, signature) in keys {
            if let Some(signature) = signature.ok().and_then(|signature| signature.ed25519()) {
                device_keys.signatures.add_signature(signer.clone(), key_id, signature);
            }
        }
    }
    device_keys
}
