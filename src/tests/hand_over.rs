//! The hand-over, to the end. The ghost's own machine takes the store over in this process, as soon as the
//! bootstrap has resolved, and sends a message. The machine of a stranger reads it with no shield.

use matrix_sdk_crypto::{EncryptionSettings, OlmMachine};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{
    api::client::keys::claim_keys::v3::Response as KeysClaimResponse, events::AnyMessageLikeEventContent,
    serde::Raw,
};
use serde_json::json;
use tempfile::TempDir;

use super::stranger::{
    Stranger, ghost_device_id, ghost_id, plain_keys, published_keys, query_keys, raw, room_id, stranger_id,
    upload_keys,
};
use crate::{
    bootstrap::bootstrap,
    request::{Options, Request},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_that_takes_over_writes_without_a_shield() {
    assert_eq!(shield_of_a_message(true).await, "None");
}

/// If the test above passed for every ghost, it would prove nothing.
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
    let stranger = Stranger::new().await;

    upload_keys(&ghost).await;
    query_keys(&ghost, stranger_id(), &stranger.keys()).await;
    stranger.query_ghost(&if published { published_keys(&payloads) } else { plain_keys(&payloads) }).await;
    claim_key(&ghost, &stranger).await;

    let room_keys = ghost
        .share_room_key(room_id(), [stranger_id()].into_iter(), EncryptionSettings::default())
        .await
        .unwrap();
    for room_key in room_keys {
        stranger.receive(&room_key.event_type.to_string(), &room_key.messages).await;
    }

    let content: Raw<AnyMessageLikeEventContent> = raw(&json!({ "msgtype": "m.text", "body": "boo" }));
    let encrypted = ghost.encrypt_room_event_raw(room_id(), "m.room.message", &content).await.unwrap();
    let (text, shield) = stranger.read(&encrypted.content).await;
    assert_eq!(text, "boo");
    shield
}

async fn claim_key(machine: &OlmMachine, stranger: &Stranger) {
    let (id, _) = machine.get_missing_sessions([stranger_id()].into_iter()).await.unwrap().unwrap();
    let one_time_keys = serde_json::from_value(stranger.one_time_key()["one_time_keys"].clone()).unwrap();
    machine.mark_request_as_sent(&id, &KeysClaimResponse::new(one_time_keys)).await.unwrap();
}
