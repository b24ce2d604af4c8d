//! The hand-over, to the end: the ghost's own machine takes the store over in this process, as soon
//! as the bootstrap has resolved, and sends a message; a stranger's machine reads it with no shield.

use std::collections::BTreeMap;

use matrix_sdk_crypto::{
    DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement,
    types::requests::{AnyOutgoingRequest, ToDeviceRequest},
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{
    DeviceId, UserId,
    api::client::{
        keys::{
            claim_keys::v3::Response as KeysClaimResponse,
            get_keys::v3::Response as KeysQueryResponse,
            upload_keys::v3::{Request as KeysUploadRequest, Response as KeysUploadResponse},
        },
        sync::sync_events::DeviceLists,
    },
    device_id,
    events::AnyMessageLikeEventContent,
    room_id,
    serde::Raw,
    user_id,
};
use serde_json::{Value, json, value::to_raw_value};
use tempfile::TempDir;

use crate::{
    bootstrap::bootstrap,
    identity::Payloads,
    request::{Options, Request},
};

fn ghost_id() -> &'static UserId {
    user_id!("@_ghost:example.org")
}

fn ghost_device_id() -> &'static DeviceId {
    device_id!("GHOSTDEVICE")
}

fn stranger_id() -> &'static UserId {
    user_id!("@stranger:example.org")
}

fn stranger_device_id() -> &'static DeviceId {
    device_id!("STRANGERDEVICE")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_that_takes_over_writes_without_a_shield() {
    assert_eq!(shield_of_a_message(true).await, "None");
}

/// What the test above would say of any ghost, it would not be worth having.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_payloads_at_the_homeserver_there_is_a_red_shield() {
    assert!(shield_of_a_message(false).await.starts_with("Red"));
}

async fn shield_of_a_message(published: bool) -> String {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let request = Request::new(
        ghost_id().as_str(),
        ghost_device_id().as_str(),
        store.to_str().unwrap(),
        Options::default(),
    )
    .unwrap();
    let payloads = bootstrap(request).await.unwrap().payloads;

    let store = SqliteCryptoStore::open(&store, None).await.unwrap();
    let ghost = OlmMachine::with_store(ghost_id(), ghost_device_id(), store, None).await.unwrap();
    assert!(ghost.cross_signing_status().await.is_complete());
    let stranger = OlmMachine::new(stranger_id(), stranger_device_id()).await;

    upload_keys(&ghost).await;
    let strangers_keys = upload_keys(&stranger).await;
    query_keys(&ghost, stranger_id(), &keys_of(stranger_id(), stranger_device_id(), &strangers_keys)).await;
    query_keys(
        &stranger,
        ghost_id(),
        &if published { published_keys(&payloads) } else { plain_keys(&payloads) },
    )
    .await;
    claim_key(&ghost, &strangers_keys).await;

    let room = room_id!("!room:example.org");
    let room_keys =
        ghost.share_room_key(room, [stranger_id()].into_iter(), EncryptionSettings::default()).await.unwrap();
    for room_key in room_keys {
        deliver(&stranger, &room_key).await;
    }

    let content: Raw<AnyMessageLikeEventContent> = raw(&json!({ "msgtype": "m.text", "body": "boo" }));
    let encrypted = ghost.encrypt_room_event_raw(room, "m.room.message", &content).await.unwrap();
    let event = json!({
        "type": "m.room.encrypted",
        "event_id": "$event:example.org",
        "sender": ghost_id(),
        "origin_server_ts": 0,
        "content": encrypted.content,
    });
    let decrypted = stranger.decrypt_room_event(&raw(&event), room, &settings()).await.unwrap();
    assert_eq!(decrypted.event.deserialize_as::<Value>().unwrap()["content"]["body"], "boo");
    format!("{:?}", decrypted.encryption_info.verification_state.to_shield_state_lax())
}

fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(to_raw_value(value).unwrap())
}

fn settings() -> DecryptionSettings {
    DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted }
}

async fn upload_keys(machine: &OlmMachine) -> KeysUploadRequest {
    let requests = machine.outgoing_requests().await.unwrap();
    let (id, upload) = requests
        .iter()
        .find_map(|request| match request.request() {
            AnyOutgoingRequest::KeysUpload(upload) => Some((request.request_id(), upload.clone())),
            _ => None,
        })
        .unwrap();
    machine.mark_request_as_sent(id, &KeysUploadResponse::new(BTreeMap::new())).await.unwrap();
    upload
}

/// What a homeserver answers to a query for the ghost, once the three payloads have been uploaded.
fn published_keys(payloads: &Payloads) -> Value {
    json!({
        "device_keys": { ghost_id(): { ghost_device_id(): payloads.upload_device_keys.as_ref().unwrap().device_keys } },
        "master_keys": { ghost_id(): payloads.upload_keys.master_key },
        "self_signing_keys": { ghost_id(): payloads.upload_keys.self_signing_key },
    })
}

fn plain_keys(payloads: &Payloads) -> Value {
    json!({ "device_keys": published_keys(payloads)["device_keys"] })
}

fn keys_of(user: &UserId, device: &DeviceId, upload: &KeysUploadRequest) -> Value {
    json!({ "device_keys": { user: { device: upload.device_keys } } })
}

async fn query_keys(machine: &OlmMachine, user: &UserId, answer: &Value) {
    let mut response = KeysQueryResponse::new();
    response.device_keys = serde_json::from_value(answer["device_keys"].clone()).unwrap();
    response.master_keys = serde_json::from_value(answer["master_keys"].clone()).unwrap_or_default();
    response.self_signing_keys =
        serde_json::from_value(answer["self_signing_keys"].clone()).unwrap_or_default();

    machine.update_tracked_users([user]).await.unwrap();
    let (id, _) = machine.query_keys_for_users([user]);
    machine.mark_request_as_sent(&id, &response).await.unwrap();
}

async fn claim_key(machine: &OlmMachine, theirs: &KeysUploadRequest) {
    let (id, _) = machine.get_missing_sessions([stranger_id()].into_iter()).await.unwrap().unwrap();
    let one_time_key = theirs.one_time_keys.iter().next().map(|(id, key)| (id.clone(), key.clone())).unwrap();
    let claimed = BTreeMap::from([(
        stranger_id().to_owned(),
        BTreeMap::from([(stranger_device_id().to_owned(), BTreeMap::from([one_time_key]))]),
    )]);
    machine.mark_request_as_sent(&id, &KeysClaimResponse::new(claimed)).await.unwrap();
}

async fn deliver(machine: &OlmMachine, request: &ToDeviceRequest) {
    let to_device_events = request
        .messages
        .values()
        .flat_map(BTreeMap::values)
        .map(|content| raw(&json!({ "type": request.event_type, "sender": ghost_id(), "content": content })))
        .collect();
    let changes = EncryptionSyncChanges {
        to_device_events,
        changed_devices: &DeviceLists::new(),
        one_time_keys_counts: &BTreeMap::new(),
        unused_fallback_keys: None,
        next_batch_token: None,
    };
    machine.receive_sync_changes(changes, &settings()).await.unwrap();
}
