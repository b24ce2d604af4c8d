//! The host's machine of SDK 0.9, in a process of its own, reads a store that was bootstrapped and works on it.

use std::{
    env::consts::EXE_SUFFIX,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stranger::{
    Stranger, ghost_device_id, ghost_id, plain_keys, published_keys, room_id, stranger_id,
};
use crate::{
    bootstrap::{Outcome, bootstrap},
    identity::Status,
    request::{Options, Request},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/__test__/fixtures/stores");
const HOST_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/__test__/host-machine");

/// The binary of `__test__/host-machine`. It ends with the test.
struct Host {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn start() -> Self {
        let binary = format!("{HOST_FOLDER}/target/debug/host-machine{EXE_SUFFIX}");
        assert!(
            Path::new(&binary).exists(),
            "{binary} is missing. Build it: cd {HOST_FOLDER} && cargo build --locked"
        );
        let mut process = Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    fn ask(&mut self, command: &str, mut parameters: Value) -> Value {
        parameters["command"] = command.into();
        writeln!(self.input.as_mut().unwrap(), "{parameters}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["error"], Value::Null, "{command} failed");
        answer["value"].take()
    }

    fn open(&mut self, store: &Store) -> Value {
        let Store { user_id, device_id, passphrase, .. } = store;
        let parameters = json!({
            "store": store.path(),
            "passphrase": passphrase,
            "user": user_id,
            "device": device_id,
        });
        self.ask("open", parameters)["machine"].take()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The binary ends when its input does.
        self.input = None;
        let _ = self.process.wait();
    }
}

/// An entry of stores.json, or a store that is to be made; and the folder that it is in.
#[derive(Deserialize)]
struct Store {
    #[serde(default)]
    file: Option<String>,
    user_id: String,
    device_id: String,
    passphrase: Option<String>,
    curve25519: Option<String>,
    ed25519: Option<String>,
    master_key: Option<String>,
    #[serde(skip, default = "folder")]
    folder: TempDir,
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

impl Store {
    fn new(passphrase: Option<&str>) -> Self {
        Self {
            file: None,
            user_id: ghost_id().to_string(),
            device_id: ghost_device_id().to_string(),
            passphrase: passphrase.map(str::to_owned),
            curve25519: None,
            ed25519: None,
            master_key: None,
            folder: folder(),
        }
    }

    /// A copy of a store that SDK 0.9 made.
    fn fixture(name: &str) -> Self {
        let list = fs::read(format!("{FIXTURES}/stores.json")).unwrap();
        let list: Vec<Self> = serde_json::from_slice(&list).unwrap();
        let file = format!("sdk-0.9-{name}.sqlite3");
        let store = list.into_iter().find(|store| store.file.as_ref() == Some(&file)).unwrap();
        fs::create_dir(store.path()).unwrap();
        fs::copy(format!("{FIXTURES}/{file}"), store.path().join("matrix-sdk-crypto.sqlite3")).unwrap();
        store
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    async fn bootstrap(&self, reset: bool) -> Outcome {
        let passphrase = self.passphrase.clone().map(Into::into);
        let options = Options { passphrase, reset, ..Options::default() };
        let path = self.path();
        let request = Request::new(&self.user_id, &self.device_id, path.to_str().unwrap(), options);
        bootstrap(request.unwrap()).await.unwrap()
    }
}

/// The host's machine finds the keys of the payloads, and trusts its own device and identity.
fn assert_ready(store: &Store, outcome: &Outcome) {
    let mut host = Host::start();
    let machine = host.open(store);
    let found = host.ask("describe", json!({ "machine": machine }));
    host.ask("close", json!({ "machine": machine }));

    let payloads = &outcome.payloads;
    let keys = json!(payloads.device_keys)["keys"].take();
    let key = |algorithm: &str| keys[format!("{algorithm}:{}", store.device_id)].clone();
    let expected = json!({
        "user": store.user_id,
        "device": store.device_id,
        "curve25519": key("curve25519"),
        "ed25519": key("ed25519"),
        "has_master": true,
        "has_self_signing": true,
        "has_user_signing": true,
        "master_key": master_key(outcome),
        "identity_verified": true,
        "device_cross_signed": true,
        "device_verified": true,
    });
    assert_eq!(found, expected);
    // A new store has no keys in stores.json.
    for (algorithm, known) in [("curve25519", &store.curve25519), ("ed25519", &store.ed25519)] {
        assert!(known.as_ref().is_none_or(|known| key(algorithm) == known.as_str()));
    }
}

fn master_key(outcome: &Outcome) -> String {
    let key = json!(outcome.payloads.upload_keys.master_key);
    let keys = key["keys"].as_object().unwrap();
    keys.values().next().unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_machine_reads_an_existing_store_after_a_bootstrap_and_after_a_reset() {
    for name in ["plain", "encrypted", "no-identity", "used", "stray-cipher", "empty-passphrase"] {
        let store = Store::fixture(name);
        let outcome = store.bootstrap(false).await;
        assert_eq!(outcome.status == Status::Created, store.master_key.is_none(), "{name}");
        let first = master_key(&outcome);
        assert!(store.master_key.as_ref().is_none_or(|known| *known == first), "{name}");
        assert_ready(&store, &outcome);

        let outcome = store.bootstrap(true).await;
        assert_eq!(outcome.status, Status::Created, "{name}");
        assert_ne!(master_key(&outcome), first, "{name}");
        assert_ready(&store, &outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_machine_reads_a_new_store() {
    for passphrase in [None, Some("secret"), Some("")] {
        let store = Store::new(passphrase);
        let outcome = store.bootstrap(false).await;
        assert_eq!(outcome.status, Status::Created);
        assert_ready(&store, &outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_machine_writes_without_a_shield() {
    for store in stores_to_write_from() {
        assert_eq!(shield_of_a_message(&store, true).await, "None");
    }
}

/// If the test above passed for every ghost, it would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_machine_writes_with_a_red_shield_while_the_payloads_are_not_published() {
    for store in stores_to_write_from() {
        let shield = shield_of_a_message(&store, false).await;
        assert!(shield.starts_with("Red"), "{shield}");
    }
}

fn stores_to_write_from() -> [Store; 4] {
    [Store::fixture("plain"), Store::fixture("encrypted"), Store::new(None), Store::new(Some("secret"))]
}

async fn shield_of_a_message(store: &Store, published: bool) -> String {
    let payloads = store.bootstrap(false).await.payloads;
    let stranger = Stranger::new().await;
    stranger.query_ghost(&if published { published_keys(&payloads) } else { plain_keys(&payloads) }).await;

    let mut host = Host::start();
    let machine = host.open(store);
    let users = json!([stranger_id()]);
    let uploaded = host.ask("keysToUpload", json!({ "machine": machine }));
    assert_eq!(uploaded["device_keys"], json!(payloads.device_keys));
    assert_eq!(uploaded["one_time_keys"].as_object().unwrap().len(), 50);
    let query = json!({ "machine": machine, "user": stranger_id(), "answer": stranger.keys() });
    host.ask("receiveKeysQuery", query);
    let claim = json!({ "machine": machine, "users": users, "answer": stranger.one_time_key() });
    assert_ne!(host.ask("claim", claim), Value::Null);

    let share = json!({ "machine": machine, "room": room_id(), "users": users });
    for request in host.ask("shareRoomKey", share).as_array().unwrap() {
        stranger.receive(request["event_type"].as_str().unwrap(), &request["messages"]).await;
    }
    let content = json!({ "msgtype": "m.text", "body": "boo" });
    let message =
        json!({ "machine": machine, "room": room_id(), "type": "m.room.message", "content": content });
    let encrypted = host.ask("encrypt", message);
    host.ask("close", json!({ "machine": machine }));

    let (text, shield) = stranger.read(&encrypted).await;
    assert_eq!(text, "boo");
    shield
}
