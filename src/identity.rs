//! The cross-signing identity of a store that is open and ours: looked at, made if need be, and
//! given out.

use std::path::Path;

use matrix_sdk_crypto::{
    Account, CrossSigningStatus, DeviceData, LocalTrust, OlmMachine, OwnUserIdentityData,
    store::{
        CryptoStore, CryptoStoreError,
        types::{Changes, DeviceChanges, IdentityChanges, PendingChanges},
    },
    types::DeviceKeys,
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use serde_json::json;

use crate::{
    error::{Error, ErrorCode, Result, shown},
    payloads::{Payloads, Status},
    publication,
    request::Request,
    server_keys::ServerKeys,
};

const NOTHING_TO_MIGRATE: &str = "HAS_MIGRATED_VERIFICATION_LATCH";

/// Gives the store an identity if it has none, or a new one if the caller wants that, and says what
/// to upload. Every refusal comes before the first change.
pub async fn bootstrap(
    store: &SqliteCryptoStore,
    folder: &Path,
    request: &Request,
    served: Option<&ServerKeys>,
) -> Result<Payloads> {
    let account = store.load_account().await.map_err(|error| sdk(folder, error))?;
    let master_key = match &account {
        None => None,
        Some(account) => {
            check_account(account, folder, request)?;
            if request.options.reset { None } else { load_master_key(store, folder).await? }
        }
    };
    if let Some(served) = served.filter(|_| !request.options.reset) {
        check_conflict(folder, request, master_key.as_deref(), served)?;
    }

    let payloads = match account {
        None => create(store, folder, request).await?,
        Some(account) => {
            let status = if master_key.is_some() { Status::Resumed } else { Status::Created };
            resume(store, folder, request, &account, status).await?
        }
    };
    Ok(match served {
        None => payloads,
        Some(served) => {
            let publication = publication::compare(request, &payloads, served);
            payloads.compared(publication)
        }
    })
}

/// A server identity that is not the store's is the one that everybody trusts.
fn check_conflict(folder: &Path, request: &Request, ours: Option<&str>, served: &ServerKeys) -> Result<()> {
    let Some(theirs) = &served.master_key else { return Ok(()) };
    let theirs = theirs.get_first_key().map(|key| key.to_base64());
    if ours.is_some() && ours == theirs.as_deref() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::IdentityConflict,
        format!(
            "the homeserver has the identity with the master key {} for {}, the store {} has {}. Bring back the store \
             that belongs to that identity; only if it is lost, replace the identity with the option reset, after \
             which whoever verified this user has to do so again",
            theirs.as_deref().unwrap_or("(of an unknown kind)"),
            request.user_id,
            shown(folder),
            ours.map_or_else(|| "none".to_owned(), |key| format!("the one with {key}")),
        ),
    ))
}

/// Makes account, device and identity, and stores them when they are complete. An `OlmMachine` would
/// do the same, but read the account back several times and sign one-time keys for an upload that is
/// not ours: most of the cryptography of a bootstrap.
async fn create(store: &SqliteCryptoStore, folder: &Path, request: &Request) -> Result<Payloads> {
    let account = Account::with_device_id(&request.user_id, &request.device_id);
    let (private_identity, keys, signatures) = account.bootstrap_cross_signing().await;
    let payloads = Payloads::new(folder, Status::Created, &account, &keys, &signatures)?;

    let identity = own_identity(request, &payloads)?;
    let device = DeviceData::new(payloads.device_keys.clone(), LocalTrust::Verified);
    let changes = Changes {
        private_identity: Some(private_identity),
        identities: IdentityChanges { new: vec![identity.into()], ..Default::default() },
        devices: DeviceChanges { new: vec![device], ..Default::default() },
        ..Default::default()
    };
    store.save_changes(changes).await.map_err(|error| sdk(folder, error))?;
    store
        .save_pending_changes(PendingChanges { account: Some(account) })
        .await
        .map_err(|error| sdk(folder, error))?;
    // The SDK's mark that there is nothing from older versions to make up for.
    store.set_custom_value(NOTHING_TO_MIGRATE, vec![0]).await.map_err(|error| sdk(folder, error))?;
    Ok(payloads)
}

/// The SDK makes the public half of an identity for nobody else. In its stored form it is the three
/// keys and what is thought of them.
fn own_identity(request: &Request, payloads: &Payloads) -> Result<OwnUserIdentityData> {
    let mut stored = json!(payloads.upload_keys);
    stored["user_id"] = json!(request.user_id);
    stored["verified"] = json!("Verified");
    serde_json::from_value(stored).map_err(|_| Error::internal("the SDK does not know its own identity"))
}

/// For a store that has a device already: what else it holds, it keeps.
async fn resume(
    store: &SqliteCryptoStore,
    folder: &Path,
    request: &Request,
    account: &Account,
    status: Status,
) -> Result<Payloads> {
    let machine = OlmMachine::with_store(&request.user_id, &request.device_id, store.clone(), None)
        .await
        .map_err(|error| sdk(folder, error))?;
    let requests = machine
        .bootstrap_cross_signing(status == Status::Created)
        .await
        .map_err(|error| sdk(folder, error))?;
    let payloads = Payloads::new(
        folder,
        status,
        account,
        &requests.upload_signing_keys_req,
        &requests.upload_signatures_req,
    )?;
    record_signed_device(&machine, store, &payloads.device_keys).await.map_err(|error| sdk(folder, error))?;
    Ok(payloads)
}

fn sdk(folder: &Path, error: impl Into<CryptoStoreError>) -> Error {
    Error::sdk(folder, &error.into())
}

fn check_account(account: &Account, folder: &Path, request: &Request) -> Result<()> {
    if account.user_id() == request.user_id && account.device_id() == request.device_id {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::AccountMismatch,
        format!(
            "the store {} belongs to {} with device {}, not to {} with device {}. Give each device of each user a \
             store of its own",
            shown(folder),
            account.user_id(),
            account.device_id(),
            request.user_id,
            request.device_id
        ),
    ))
}

/// The public master key of the store's identity, if it has one, in unpadded base64. Asked to resume
/// an identity that lacks a private key, the SDK makes a new one without a word.
async fn load_master_key(store: &SqliteCryptoStore, folder: &Path) -> Result<Option<String>> {
    let identity = store.load_identity().await.map_err(|error| sdk(folder, error))?;
    let Some(identity) = identity else { return Ok(None) };
    let CrossSigningStatus { has_master, has_self_signing, has_user_signing } = identity.status().await;
    let keys = [
        ("master key", has_master),
        ("self-signing key", has_self_signing),
        ("user-signing key", has_user_signing),
    ];
    let missing: Vec<&str> = keys.iter().filter(|(_, present)| !present).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        let master_key = identity.master_public_key().await.and_then(|key| key.get_first_key());
        let master_key =
            master_key.ok_or_else(|| Error::corrupt(folder, "its master key is of an unknown kind"))?;
        Ok(Some(master_key.to_base64()))
    } else if missing.len() == keys.len() {
        Ok(None)
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
