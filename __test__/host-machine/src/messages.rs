//! Room keys and messages, out and in.

use std::collections::BTreeMap;

use matrix_sdk_crypto::{
    DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement,
};
use ruma::{
    OneTimeKeyAlgorithm, OwnedUserId, RoomId,
    api::client::{sync::sync_events::DeviceLists, to_device::send_event_to_device::v3::Response},
};
use serde_json::{Value, json};

use crate::{bodies::raw, error::Result};

pub async fn share_room_key(olm: &OlmMachine, room: &RoomId, users: &[OwnedUserId]) -> Result<Value> {
    let users = users.iter().map(AsRef::as_ref);
    let requests = olm.share_room_key(room, users, EncryptionSettings::default()).await?;
    for request in &requests {
        olm.mark_request_as_sent(&request.txn_id, &Response::new()).await?;
    }
    Ok(requests
        .iter()
        .map(|request| {
            json!({
                "event_type": request.event_type,
                "txn_id": request.txn_id,
                "messages": request.messages,
            })
        })
        .collect())
}

pub async fn encrypt(olm: &OlmMachine, room: &RoomId, event_type: &str, content: &Value) -> Result<Value> {
    let encrypted = olm.encrypt_room_event_raw(room, event_type, &raw(content)?).await?;
    Ok(serde_json::to_value(encrypted)?)
}

pub async fn receive(
    olm: &OlmMachine,
    events: &[Value],
    one_time_key_counts: &BTreeMap<String, u32>,
) -> Result<Value> {
    let one_time_key_counts = one_time_key_counts
        .iter()
        .map(|(algorithm, count)| (OneTimeKeyAlgorithm::from(algorithm.as_str()), (*count).into()))
        .collect();
    let changes = EncryptionSyncChanges {
        to_device_events: events.iter().map(raw).collect::<Result<_>>()?,
        changed_devices: &DeviceLists::new(),
        one_time_keys_counts: &one_time_key_counts,
        unused_fallback_keys: None,
        next_batch_token: None,
    };
    let (events, _) = olm.receive_sync_changes(changes).await?;
    Ok(serde_json::to_value(events)?)
}

pub async fn decrypt(olm: &OlmMachine, room: &RoomId, event: &Value) -> Result<Value> {
    let settings = DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted };
    let decrypted = olm.decrypt_room_event(&raw(event)?, room, &settings).await?;
    let event: Value = decrypted.event.deserialize_as()?;
    let shield = decrypted.encryption_info.verification_state.to_shield_state_lax();
    Ok(json!({
        "type": event["type"],
        "content": event["content"],
        "shield": format!("{shield:?}"),
    }))
}
