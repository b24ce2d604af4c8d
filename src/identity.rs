//! The cross-signing identity of a store that is open and ours: looked at, made if need be, and
//! given out.

use std::path::Path;

use matrix_sdk_crypto::{
    CrossSigningStatus, DeviceData, OlmMachine,
    store::{
        CryptoStore, CryptoStoreError,
        types::{Changes, DeviceChanges},
    },
    types::DeviceKeys,
};
use matrix_sdk_sqlite::SqliteCryptoStore;

use crate::{
    error::{Error, ErrorCode, Result, shown},
    payloads::{
        CrossSigningKeysUpload, DeviceKeysUpload, Payloads, SignaturesUpload, Status,
        signatures_from_requests,
    },
    request::Request,
};

/// Gives the store an identity if it has none, or a new one if the caller wants that, and says what
/// to upload. Every refusal comes before the first change.
pub async fn bootstrap(store: &SqliteCryptoStore, folder: &Path, request: &Request) -> Result<Payloads> {
    let sdk = |error: CryptoStoreError| Error::sdk(folder, &error);

    check_account(store, folder, request).await?;
    let status = if request.options.reset || !has_identity(store, folder).await? {
        Status::Created
    } else {
        Status::Resumed
    };

    let machine = OlmMachine::with_store(&request.user_id, &request.device_id, store.clone(), None)
        .await
        .map_err(sdk)?;
    let requests = machine.bootstrap_cross_signing(status == Status::Created).await.map_err(sdk)?;

    // Loaded again: before, a new store had none.
    let account = store
        .load_account()
        .await
        .map_err(|error| sdk(error.into()))?
        .ok_or_else(|| Error::internal("the SDK stored no account"))?;
    let upload_signatures = signatures_from_requests(&requests)?;
    let device_keys = with_signatures(account.device_keys(), &upload_signatures);
    record_signed_device(&machine, store, &device_keys).await.map_err(sdk)?;

    Ok(Payloads {
        status,
        // Once the server has them, the OlmMachine that runs the device is the one to upload keys.
        upload_device_keys: (!account.shared()).then_some(DeviceKeysUpload { device_keys }),
        upload_keys: CrossSigningKeysUpload::from_requests(folder, &requests)?,
        upload_signatures,
    })
}

async fn check_account(store: &SqliteCryptoStore, folder: &Path, request: &Request) -> Result<()> {
    let account =
        store.load_account().await.map_err(|error| Error::sdk(folder, &CryptoStoreError::from(error)))?;
    match account {
        Some(account) if account.user_id() != request.user_id || account.device_id() != request.device_id => {
            Err(Error::new(
                ErrorCode::AccountMismatch,
                format!(
                    "the store {} belongs to {} with device {}, not to {} with device {}. Give each device of each \
                     user a store of its own",
                    shown(folder),
                    account.user_id(),
                    account.device_id(),
                    request.user_id,
                    request.device_id
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Asked to resume an identity that lacks a key, the SDK makes a new one without a word.
async fn has_identity(store: &SqliteCryptoStore, folder: &Path) -> Result<bool> {
    let identity =
        store.load_identity().await.map_err(|error| Error::sdk(folder, &CryptoStoreError::from(error)))?;
    let Some(identity) = identity else { return Ok(false) };
    let CrossSigningStatus { has_master, has_self_signing, has_user_signing } = identity.status().await;
    let keys = [
        ("master key", has_master),
        ("self-signing key", has_self_signing),
        ("user-signing key", has_user_signing),
    ];
    let missing: Vec<&str> = keys.iter().filter(|(_, present)| !present).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        Ok(true)
    } else if missing.len() == keys.len() {
        Ok(false)
    } else {
        Err(Error::new(
            ErrorCode::IdentityIncomplete,
            format!(
                "the store {} holds a cross-signing identity without the private {}: it was imported from \
                 elsewhere. Import the rest, or make a new identity with the option reset, after which whoever \
                 verified this user has to do so again",
                shown(folder),
                missing.join(" and ")
            ),
        ))
    }
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

/// The SDK signs the device for the server and leaves its own record of it unsigned until it reads
/// the device back from there. The ghost's own machine should not have to wait for that.
async fn record_signed_device(
    machine: &OlmMachine,
    store: &SqliteCryptoStore,
    device_keys: &DeviceKeys,
) -> std::result::Result<(), CryptoStoreError> {
    let Some(recorded) = machine.get_device(machine.user_id(), machine.device_id(), None).await? else {
        return Ok(());
    };
    if recorded.is_cross_signed_by_owner() {
        return Ok(());
    }
    // The SDK lets nobody change a device's keys. In its stored form they are a field like the
    // others, which hold what is known of the device and must not be lost.
    let stored: &DeviceData = &recorded;
    let mut stored = serde_json::to_value(stored)?;
    stored["device_keys"] = serde_json::to_value(device_keys)?;
    let device: DeviceData = serde_json::from_value(stored)?;

    let changes = Changes {
        devices: DeviceChanges { changed: vec![device], ..Default::default() },
        ..Default::default()
    };
    store.save_changes(changes).await.map_err(CryptoStoreError::from)
}
