//! What the caller's own `OlmMachine` finds in a store that was bootstrapped.

use matrix_sdk_crypto::{
    CrossSigningBootstrapRequests, OlmMachine, UserIdentity, types::requests::AnyOutgoingRequest,
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{api::client::keys::upload_keys::v3::Request as KeysUploadRequest, device_id, user_id};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    bootstrap::{Outcome, bootstrap},
    identity::Status,
    request::{Options, Request},
    store::open_handles,
};

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
async fn assert_ready(request: &Request, outcome: &Outcome) {
    let machine = machine(request).await;
    assert!(machine.cross_signing_status().await.is_complete());

    let identity = machine.get_identity(machine.user_id(), None).await.unwrap().unwrap();
    assert!(identity.is_verified());
    let UserIdentity::Own(identity) = identity else { panic!("not the machine's own identity") };
    assert_eq!(
        json(identity.master_key().as_ref())["keys"],
        json(&outcome.payloads.upload_keys.master_key)["keys"]
    );

    let device = machine.get_device(machine.user_id(), machine.device_id(), None).await.unwrap().unwrap();
    assert!(device.is_cross_signed_by_owner());
    assert!(device.is_verified());
    assert!(device.is_locally_trusted());

    let upload = keys_to_upload(&machine).await;
    assert_eq!(upload.one_time_keys.len(), 50, "one-time keys are the machine's to upload");
    assert_eq!(json(&upload.device_keys), json(outcome)["upload_device_keys"]["device_keys"]);
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_is_ready_for_its_machine() {
    let folder = TempDir::new().unwrap();
    let request = request(&folder, Options::default());
    let outcome = bootstrap(request.clone()).await.unwrap();
    assert_eq!(outcome.status, Status::Created);
    assert_ready(&request, &outcome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_encrypted_store_is_ready_for_its_machine() {
    let folder = TempDir::new().unwrap();
    let request = request(&folder, encrypted());
    let outcome = bootstrap(request.clone()).await.unwrap();
    assert_ready(&request, &outcome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_identity_was_replaced_is_ready_for_its_machine() {
    let folder = TempDir::new().unwrap();
    let first = bootstrap(request(&folder, Options::default())).await.unwrap();
    let request = request(&folder, Options { reset: true, ..Options::default() });
    let second = bootstrap(request.clone()).await.unwrap();
    assert_ne!(json(&first.payloads.upload_keys), json(&second.payloads.upload_keys));
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

        let outcome = bootstrap(request.clone()).await.unwrap();
        assert_eq!(outcome.status, Status::Resumed);
        assert_eq!(json(&outcome.payloads.upload_signatures), json(&made.upload_signatures_req.signed_keys));
        let master_key = made.upload_signing_keys_req.master_key.unwrap();
        assert_eq!(json(&outcome.payloads.upload_keys.master_key), json(&master_key));
        assert_ready(&request, &outcome).await;
    }
}

/// Dropping does not close: wait until the file is free, as a caller of the SDK must.
async fn close(machine: OlmMachine, request: &Request) {
    drop(machine);
    while open_handles::check_none(&request.store_path).is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
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
    let outcome = bootstrap(request.clone()).await.unwrap();
    assert_eq!(outcome.status, Status::Created);
    assert_eq!(machine(&request).await.identity_keys(), before);
    assert_ready(&request, &outcome).await;
}
