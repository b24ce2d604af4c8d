//! Somebody to whom a ghost writes: a machine of this package's own SDK, which judges what it gets.

use std::collections::BTreeMap;

use matrix_sdk_crypto::{
    DecryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement,
    types::requests::AnyOutgoingRequest,
};
use ruma::{
    DeviceId, RoomId, UserId,
    api::client::{
        keys::{
            get_keys::v3::Response as KeysQueryResponse,
            upload_keys::v3::{Request as KeysUploadRequest, Response as KeysUploadResponse},
        },
        sync::sync_events::DeviceLists,
    },
    device_id, room_id,
    serde::Raw,
    user_id,
};
use serde::Serialize;
use serde_json::{Value, json, value::to_raw_value};

use crate::identity::Payloads;

pub fn ghost_id() -> &'static UserId {
    user_id!("@_ghost:example.org")
}

pub fn ghost_device_id() -> &'static DeviceId {
    device_id!("GHOSTDEVICE")
}

pub fn stranger_id() -> &'static UserId {
    user_id!("@stranger:example.org")
}

/// Where the ghost and the stranger meet.
pub fn room_id() -> &'static RoomId {
    room_id!("!room:example.org")
}

pub struct Stranger {
    machine: OlmMachine,
    uploaded: KeysUploadRequest,
}

impl Stranger {
    pub async fn new() -> Self {
        let machine = OlmMachine::new(stranger_id(), device_id!("STRANGERDEVICE")).await;
        let uploaded = upload_keys(&machine).await;
        Self { machine, uploaded }
    }

    /// What a homeserver answers to a query for the stranger's keys.
    pub fn keys(&self) -> Value {
        json!({ "device_keys": { stranger_id(): { self.machine.device_id(): self.uploaded.device_keys } } })
    }

    /// What a homeserver answers to a claim of one of the stranger's one-time keys.
    pub fn one_time_key(&self) -> Value {
        let (id, key) = self.uploaded.one_time_keys.iter().next().unwrap();
        json!({ "one_time_keys": { stranger_id(): { self.machine.device_id(): { id.as_str(): key } } } })
    }

    pub async fn query_ghost(&self, answer: &Value) {
        query_keys(&self.machine, ghost_id(), answer).await;
    }

    /// Takes the messages of a to-device request of the ghost.
    pub async fn receive(&self, event_type: &str, messages: &impl Serialize) {
        let messages: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_value(json!(messages)).unwrap();
        let to_device_events = messages
            .values()
            .flat_map(BTreeMap::values)
            .map(|content| raw(&json!({ "type": event_type, "sender": ghost_id(), "content": content })))
            .collect();
        let changes = EncryptionSyncChanges {
            to_device_events,
            changed_devices: &DeviceLists::new(),
            one_time_keys_counts: &BTreeMap::new(),
            unused_fallback_keys: None,
            next_batch_token: None,
        };
        self.machine.receive_sync_changes(changes, &settings()).await.unwrap();
    }

    /// Decrypts a message of the ghost. Returns its text and the shield that a client shows beside it.
    pub async fn read(&self, encrypted: &impl Serialize) -> (String, String) {
        let event = json!({
            "type": "m.room.encrypted",
            "event_id": "$event:example.org",
            "sender": ghost_id(),
            "origin_server_ts": 0,
            "content": encrypted,
        });
        let decrypted = self.machine.decrypt_room_event(&raw(&event), room_id(), &settings()).await.unwrap();
        let event: Value = decrypted.event.deserialize_as().unwrap();
        let shield = decrypted.encryption_info.verification_state.to_shield_state_lax();
        (event["content"]["body"].as_str().unwrap().to_owned(), format!("{shield:?}"))
    }
}

/// What a homeserver answers to a query for the ghost's keys, once the three payloads have been uploaded.
pub fn published_keys(payloads: &Payloads) -> Value {
    json!({
        "device_keys": { ghost_id(): { ghost_device_id(): payloads.device_keys } },
        "master_keys": { ghost_id(): payloads.upload_keys.master_key },
        "self_signing_keys": { ghost_id(): payloads.upload_keys.self_signing_key },
    })
}

/// What it answers when nothing but the device has been uploaded.
pub fn plain_keys(payloads: &Payloads) -> Value {
    json!({ "device_keys": published_keys(payloads)["device_keys"] })
}

pub async fn upload_keys(machine: &OlmMachine) -> KeysUploadRequest {
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

pub async fn query_keys(machine: &OlmMachine, user: &UserId, answer: &Value) {
    let mut response = KeysQueryResponse::new();
    response.device_keys = serde_json::from_value(answer["device_keys"].clone()).unwrap();
    response.master_keys = serde_json::from_value(answer["master_keys"].clone()).unwrap_or_default();
    response.self_signing_keys =
        serde_json::from_value(answer["self_signing_keys"].clone()).unwrap_or_default();

    machine.update_tracked_users([user]).await.unwrap();
    let (id, _) = machine.query_keys_for_users([user]);
    machine.mark_request_as_sent(&id, &response).await.unwrap();
}

pub fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(to_raw_value(value).unwrap())
}

fn settings() -> DecryptionSettings {
    DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted }
}
