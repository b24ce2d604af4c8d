//! The commands and their answers.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
};

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedTransactionId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    describe::describe,
    error::{Result, panic_text, text},
    keys::{self, Seeds},
    machine::Machine,
    machines, messages,
    requests::{self, Kind},
};

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", deny_unknown_fields)]
enum Command {
    /// `OlmMachine.initialize`. Without a store the machine lives in memory. Answers `{ machine }`, the number
    /// that all other commands take.
    Open { store: Option<PathBuf>, passphrase: Option<String>, user: OwnedUserId, device: OwnedDeviceId },
    /// Answers the machine's keys, and what it thinks of its own identity and device: see `describe.rs`.
    Describe { machine: usize },
    /// Answers the body of `keys/upload` that is due, or null, and marks it as sent.
    KeysToUpload {
        machine: usize,
        #[serde(default)]
        one_time_key_counts: BTreeMap<String, u32>,
    },
    /// Answers the bodies of the three requests, named as in this package's own result. Marks none as sent.
    Bootstrap { machine: usize, reset: bool },
    /// Feeds the answer to a `keys/query` about this user.
    ReceiveKeysQuery { machine: usize, user: OwnedUserId, answer: Value },
    /// Answers the seeds of the private keys, `{ master_key, self_signing_key, user_signing_key }`, or null if the
    /// machine has none.
    ExportCrossSigning { machine: usize },
    /// Imports such seeds, and answers which keys the machine then has. Without a `receiveKeysQuery` about its
    /// own user before, the SDK imports nothing.
    ImportCrossSigning { machine: usize, keys: Seeds },
    /// Answers the body of `keys/claim` for those devices of these users without a session, or null if there
    /// are none. If `answer` is given, also feeds it as the homeserver's answer to that request.
    Claim { machine: usize, users: Vec<OwnedUserId>, answer: Option<Value> },
    /// Answers the to-device requests, `{ event_type, txn_id, messages }`, and marks them as sent.
    ShareRoomKey { machine: usize, room: OwnedRoomId, users: Vec<OwnedUserId> },
    /// Answers the content of the `m.room.encrypted` event.
    Encrypt { machine: usize, room: OwnedRoomId, r#type: String, content: Value },
    /// Feeds to-device events of a sync, and answers them decrypted.
    ReceiveToDevice {
        machine: usize,
        events: Vec<Value>,
        #[serde(default)]
        one_time_key_counts: BTreeMap<String, u32>,
    },
    /// Answers `{ type, content, shield }` of an `m.room.encrypted` event.
    Decrypt { machine: usize, room: OwnedRoomId, event: Value },
    /// Answers the requests that are due, `{ id, kind, body }`.
    OutgoingRequests { machine: usize },
    /// Feeds the homeserver's answer to such a request.
    MarkRequestAsSent { machine: usize, request: OwnedTransactionId, kind: Kind, answer: Value },
    /// Makes these users' devices known: the next requests ask for them.
    UpdateTrackedUsers { machine: usize, users: Vec<OwnedUserId> },
    /// Answers the request for those devices of these users without a session, or null if there are none.
    MissingSessions { machine: usize, users: Vec<OwnedUserId> },
    /// Answers null when the store is closed.
    Close { machine: usize },
}

/// `{ id, value }` or `{ id, error }`, as one line.
#[must_use]
pub fn answer(line: &[u8]) -> String {
    let mut id = Value::Null;
    // The SDK panics when its caller breaks a rule, for example by encrypting before sharing a room key.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut request: Value = serde_json::from_slice(line)?;
        id = request.as_object_mut().and_then(|request| request.remove("id")).unwrap_or_default();
        execute(serde_json::from_value(request)?)
    }));
    match outcome {
        Ok(Ok(value)) => json!({ "id": id, "value": value }),
        Ok(Err(error)) => json!({ "id": id, "error": text(&*error) }),
        Err(payload) => json!({ "id": id, "error": panic_text(&*payload) }),
    }
    .to_string()
}

fn execute(command: Command) -> Result<Value> {
    match command {
        Command::Open { store, passphrase, user, device } => {
            let machine = Machine::open(store, passphrase.as_deref(), &user, &device)?;
            Ok(json!({ "machine": machines::add(machine) }))
        }
        Command::Describe { machine } => machines::run(machine, describe),
        Command::KeysToUpload { machine, one_time_key_counts } => {
            machines::run(machine, async |olm| keys::to_upload(olm, &one_time_key_counts).await)
        }
        Command::Bootstrap { machine, reset } => {
            machines::run(machine, async |olm| keys::bootstrap(olm, reset).await)
        }
        Command::ReceiveKeysQuery { machine, user, answer } => {
            machines::run(machine, async |olm| keys::receive_query(olm, &user, &answer).await)
        }
        Command::ExportCrossSigning { machine } => machines::run(machine, keys::export),
        Command::ImportCrossSigning { machine, keys } => {
            machines::run(machine, async |olm| keys::import(olm, keys).await)
        }
        Command::Claim { machine, users, answer } => {
            machines::run(machine, async |olm| keys::claim(olm, &users, answer.as_ref()).await)
        }
        Command::ShareRoomKey { machine, room, users } => {
            machines::run(machine, async |olm| messages::share_room_key(olm, &room, &users).await)
        }
        Command::Encrypt { machine, room, r#type, content } => {
            machines::run(machine, async |olm| messages::encrypt(olm, &room, &r#type, &content).await)
        }
        Command::ReceiveToDevice { machine, events, one_time_key_counts } => {
            machines::run(machine, async |olm| messages::receive(olm, &events, &one_time_key_counts).await)
        }
        Command::Decrypt { machine, room, event } => {
            machines::run(machine, async |olm| messages::decrypt(olm, &room, &event).await)
        }
        Command::OutgoingRequests { machine } => machines::run(machine, requests::outgoing),
        Command::MarkRequestAsSent { machine, request, kind, answer } => {
            machines::run(machine, async |olm| requests::mark_as_sent(olm, &request, kind, &answer).await)
        }
        Command::UpdateTrackedUsers { machine, users } => machines::run(machine, async |olm| {
            olm.update_tracked_users(users.iter().map(AsRef::as_ref)).await?;
            Ok(Value::Null)
        }),
        Command::MissingSessions { machine, users } => {
            machines::run(machine, async |olm| requests::missing_sessions(olm, &users).await)
        }
        Command::Close { machine } => machines::close(machine).map(|()| Value::Null),
    }
}
