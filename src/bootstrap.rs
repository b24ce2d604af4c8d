//! What happens to a store, in the order in which it happens.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    error::{ErrorCode, Result},
    executor,
    folder::{self, Staging, StoreFolder},
    held::HeldStore,
    identity, inspect,
    payloads::Payloads,
    queue,
    request::Request,
    server_keys::ServerKeys,
    store::{config, create_empty, with_store},
};

/// How often a store that somebody holds is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

pub async fn bootstrap(request: Request) -> Result<Payloads> {
    let request = Arc::new(request);
    let (folder, served) = executor::blocking({
        let request = Arc::clone(&request);
        move || Ok((folder::resolve(&request.store_path)?, request.server_keys()?.map(Arc::new)))
    })
    .await?;

    // Calls for one store wait for each other here, without polling.
    let turn = queue::turn(&folder).await;

    // Others, in other processes or beside our own calls, are waited for only so long, from when the
    // store is first found in use.
    let patience = request.options.busy_timeout;
    let mut deadline = patience.is_zero().then(Instant::now);
    let outcome = loop {
        let last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let (request, served, folder) = (Arc::clone(&request), served.clone(), folder.clone());
        let attempt = move || {
            attempt(&request, served.as_deref(), &folder)
                .map_err(|error| if last { error.naming_holder(&folder) } else { error })
        };
        match executor::blocking(attempt).await {
            Err(error) if error.code == ErrorCode::StoreInUse && !last => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                sleep(POLL_INTERVAL.min(deadline - Instant::now())).await;
            }
            outcome => break outcome,
        }
    };
    drop(turn);
    outcome
}

/// One try, all of it on a thread that may block. Either the store is bootstrapped and closed, or
/// nothing has changed.
fn attempt(request: &Request, served: Option<&ServerKeys>, path: &Path) -> Result<Payloads> {
    let mut folder = StoreFolder::enter(path)?;
    let payloads = if folder.has_database()? {
        bootstrap_existing(&folder, request, served)?
    } else {
        bootstrap_new(&folder, request, served)?
    };
    folder.keep();
    Ok(payloads)
}

fn bootstrap_new(folder: &StoreFolder, request: &Request, served: Option<&ServerKeys>) -> Result<Payloads> {
    let staging = folder.stage()?;
    create_empty(staging.path(), folder.path())?;
    let payloads = bootstrap_in(&staging, request, served)?;
    staging.publish()?;
    Ok(payloads)
}

/// Works on a copy: what the SDK does, in several transactions, comes into the store in one or not
/// at all, and nobody can open the store meanwhile.
fn bootstrap_existing(
    folder: &StoreFolder,
    request: &Request,
    served: Option<&ServerKeys>,
) -> Result<Payloads> {
    let mut held = HeldStore::hold(folder.path())?;
    inspect::inspect(folder.path(), held.database(), request.passphrase())?;

    let staging = folder.stage()?;
    held.copy_to(staging.path())?;
    let before = staging.fingerprint()?;
    let payloads = bootstrap_in(&staging, request, served)?;
    let changed = staging.fingerprint()? != before;
    if changed {
        held.check_place()?;
        held.replace_with(staging.path())?;
    }
    // Before closing: that the log can be put away needs less space than the copy took.
    drop(staging);
    match held.close() {
        // The change is on the disk, in the log, where whoever opens the store next finds it. A
        // rejection would say that nothing has changed, and keep the new identity's payloads back.
        Err(_) if changed => Ok(payloads),
        closed => closed.map(|()| payloads),
    }
}

/// Opens the store that is being built, bootstraps and closes it.
fn bootstrap_in(staging: &Staging, request: &Request, served: Option<&ServerKeys>) -> Result<Payloads> {
    let store = staging.store();
    let payloads = with_store(&config(staging.path(), request.passphrase()), store, async |opened| {
        identity::bootstrap(opened, store, request, served).await
    })?;
    staging.check_whole()?;
    Ok(payloads)
}

#[cfg(test)]
mod tests {
    //! What the caller's own `OlmMachine` finds in a store that was bootstrapped.

    use matrix_sdk_crypto::{
        CrossSigningBootstrapRequests, OlmMachine, UserIdentity, types::requests::AnyOutgoingRequest,
    };
    use matrix_sdk_sqlite::SqliteCryptoStore;
    use ruma::{api::client::keys::upload_keys::v3::Request as KeysUploadRequest, device_id, user_id};
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::{in_use, payloads::Status, request::Options};

    const USER_ID: &str = "@_ghost:example.org";
    const DEVICE_ID: &str = "GHOSTDEVICE";

    fn request(folder: &TempDir, options: Options) -> Request {
        let store = folder.path().join("store");
        Request::new(USER_ID, DEVICE_ID, store.to_str().unwrap(), options).unwrap()
    }

    fn encrypted() -> Options {
        Options { passphrase: Some("secret".to_owned().into()), ..Options::default() }
    }

    async fn machine(request: &Request) -> OlmMachine {
        let store = SqliteCryptoStore::open(&request.store_path, request.passphrase()).await.unwrap();
        OlmMachine::with_store(user_id!("@_ghost:example.org"), device_id!("GHOSTDEVICE"), store, None)
            .await
            .unwrap()
    }

    async fn keys_to_upload(machine: &OlmMachine) -> KeysUploadRequest {
        let requests = machine.outgoing_requests().await.unwrap();
        let upload = requests.iter().find_map(|request| match request.request() {
            AnyOutgoingRequest::KeysUpload(upload) => Some(upload.clone()),
            _ => None,
        });
        upload.expect("the machine has keys to upload")
    }

    /// The promise to the caller, whichever way the store came about.
    async fn assert_ready(request: &Request, payloads: &Payloads) {
        let machine = machine(request).await;
        assert!(machine.cross_signing_status().await.is_complete());

        let identity = machine.get_identity(machine.user_id(), None).await.unwrap().unwrap();
        assert!(identity.is_verified());
        let UserIdentity::Own(identity) = identity else { panic!("not the machine's own identity") };
        assert_eq!(
            json(identity.master_key().as_ref())["keys"],
            json(&payloads.upload_keys.master_key)["keys"]
        );

        let device = machine.get_device(machine.user_id(), machine.device_id(), None).await.unwrap().unwrap();
        assert!(device.is_cross_signed_by_owner());
        assert!(device.is_verified());
        assert!(device.is_locally_trusted());

        let upload = keys_to_upload(&machine).await;
        assert_eq!(upload.one_time_keys.len(), 50, "one-time keys are the machine's to upload");
        assert_eq!(json(&upload.device_keys), json(payloads)["upload_device_keys"]["device_keys"]);
    }

    fn json(value: &impl serde::Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_store_is_ready_for_its_machine() {
        let folder = TempDir::new().unwrap();
        let request = request(&folder, Options::default());
        let payloads = bootstrap(request.clone()).await.unwrap();
        assert_eq!(payloads.status, Status::Created);
        assert_ready(&request, &payloads).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_encrypted_store_is_ready_for_its_machine() {
        let folder = TempDir::new().unwrap();
        let request = request(&folder, encrypted());
        let payloads = bootstrap(request.clone()).await.unwrap();
        assert_ready(&request, &payloads).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_whose_identity_was_replaced_is_ready_for_its_machine() {
        let folder = TempDir::new().unwrap();
        let first = bootstrap(request(&folder, Options::default())).await.unwrap();
        let request = request(&folder, Options { reset: true, ..Options::default() });
        let second = bootstrap(request.clone()).await.unwrap();
        assert_ne!(json(&first.upload_keys), json(&second.upload_keys));
        assert_ready(&request, &second).await;
    }

    /// As the sidecar left it, or any other program that used the SDK alone.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_the_sdk_made_is_resumed_and_ready_for_its_machine() {
        for options in [Options::default(), encrypted()] {
            let folder = TempDir::new().unwrap();
            let request = request(&folder, options);
            let made: CrossSigningBootstrapRequests = {
                let machine = machine(&request).await;
                let made = machine.bootstrap_cross_signing(false).await.unwrap();
                close(machine, &request).await;
                made
            };

            let payloads = bootstrap(request.clone()).await.unwrap();
            assert_eq!(payloads.status, Status::Resumed);
            assert_eq!(json(&payloads.upload_signatures), json(&made.upload_signatures_req.signed_keys));
            let master_key = made.upload_signing_keys_req.master_key.unwrap();
            assert_eq!(json(&payloads.upload_keys.master_key), json(&master_key));
            assert_ready(&request, &payloads).await;
        }
    }

    /// Dropping does not close: wait until the file is free, as a caller of the SDK must.
    async fn close(machine: OlmMachine, request: &Request) {
        drop(machine);
        while in_use::check_this_process(&request.store_path).is_err() {
            sleep(POLL_INTERVAL).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_without_an_identity_keeps_its_keys() {
        let folder = TempDir::new().unwrap();
        let request = request(&folder, Options::default());
        let before = {
            let machine = machine(&request).await;
            let keys = machine.identity_keys();
            close(machine, &request).await;
            keys
        };
        let payloads = bootstrap(request.clone()).await.unwrap();
        assert_eq!(payloads.status, Status::Created);
        assert_eq!(machine(&request).await.identity_keys(), before);
        assert_ready(&request, &payloads).await;
    }

    /// A store from the template is one that the SDK made: the same tables, version and settings.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_from_the_template_is_like_one_of_the_sdk() {
        let describe = |store: &Path| {
            let database = rusqlite::Connection::open(store.join(crate::folder::DATABASE)).unwrap();
            let mut rows = Vec::new();
            for sql in [
                "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
                "SELECT key FROM kv ORDER BY key",
                "SELECT hex(value) FROM kv WHERE key = 'version'",
                "PRAGMA journal_mode",
                "PRAGMA page_size",
                "PRAGMA auto_vacuum",
                "PRAGMA encoding",
                "PRAGMA user_version",
                "PRAGMA application_id",
                "PRAGMA foreign_key_check",
            ] {
                let mut statement = database.prepare(sql).unwrap();
                let columns = statement.column_count();
                let found = statement
                    .query_map((), |row| (0..columns).map(|column| row.get(column)).collect())
                    .unwrap()
                    .collect::<rusqlite::Result<Vec<Vec<rusqlite::types::Value>>>>()
                    .unwrap();
                rows.push((sql, found));
            }
            rows
        };
        let folder = TempDir::new().unwrap();
        let by_sdk =
            Request { store_path: folder.path().join("sdk"), ..request(&folder, Options::default()) };
        let machine = machine(&by_sdk).await;
        machine.bootstrap_cross_signing(false).await.unwrap();
        close(machine, &by_sdk).await;

        for name in ["the first makes the template", "the second starts from it"] {
            let ours = Request { store_path: folder.path().join(name), ..by_sdk.clone() };
            bootstrap(ours.clone()).await.unwrap();
            assert_eq!(describe(&ours.store_path), describe(&by_sdk.store_path));
        }
    }
}
