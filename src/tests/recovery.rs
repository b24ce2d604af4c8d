//! Recovery beside the SDK's own: each reads what the other has escrowed. And what is left in memory.

use matrix_sdk_crypto::{
    OlmMachine,
    secret_storage::{AesHmacSha2EncryptedData, SecretStorageKey},
    store::types::CrossSigningKeyExport,
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{
    api::client::keys::get_keys::v3::Response as KeysQueryResponse,
    device_id,
    events::{
        EventContentFromType, secret::request::SecretName, secret_storage::key::SecretStorageKeyEventContent,
    },
    user_id,
};
use serde_json::{Value, json, value::to_raw_value};
use tempfile::TempDir;

use crate::{
    bootstrap::{Outcome, bootstrap},
    homeserver::{Answer, Record},
    identity::Status,
    javascript::types::{BootstrapStatus, CrossSigningBootstrap},
    recovery::{AccountData, Recovery, RecoveryKey},
    request::{Options, Request},
};

const USER_ID: &str = "@_ghost:example.org";
const SECRETS: [&str; 3] =
    ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing"];

fn request(folder: &TempDir, options: Options) -> Request {
    let store = folder.path().join("store");
    Request::new(USER_ID, "GHOSTDEVICE", store.to_str().unwrap(), options).unwrap()
}

fn recovery(key: &str, account_data: &Value) -> Recovery {
    let mut read = AccountData::default();
    for (event_type, content) in account_data.as_object().unwrap() {
        read.insert(event_type, content.clone()).unwrap();
    }
    Recovery { key: RecoveryKey::parse(key).unwrap(), account_data: Some(read) }
}

fn put(outcome: &Outcome) -> Value {
    let uploads = outcome.upload_account_data.as_ref().unwrap();
    uploads.iter().map(|upload| (upload.event_type.clone(), json!(upload.content))).collect()
}

/// What a homeserver answers about the ghost after an upload of the keys of an identity.
fn served(keys: &Value) -> Answer {
    let record = |name: &str| Some(Record { value: keys[name].clone(), defect: None });
    Answer {
        device: None,
        master_key: record("master_key"),
        self_signing_key: record("self_signing_key"),
        user_signing_key: record("user_signing_key"),
    }
}

async fn query_own(machine: &OlmMachine, keys: &Value) {
    let mut response = KeysQueryResponse::new();
    let of_user = |name: &str| serde_json::from_value(json!({ USER_ID: keys[name] })).unwrap();
    response.device_keys = serde_json::from_value(json!({ USER_ID: {} })).unwrap();
    response.master_keys = of_user("master_key");
    response.self_signing_keys = of_user("self_signing_key");
    response.user_signing_keys =
        serde_json::from_value(json!({ USER_ID: keys["user_signing_key"] })).unwrap();
    machine.update_tracked_users([machine.user_id()]).await.unwrap();
    let (id, _) = machine.query_keys_for_users([machine.user_id()]);
    machine.mark_request_as_sent(&id, &response).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_imports_what_we_escrow() {
    let folder = TempDir::new().unwrap();
    let text = RecoveryKey::create().unwrap().to_text().unwrap();
    let options = Options { recovery: Some(recovery(&text, &json!({}))), ..Options::default() };
    let made = bootstrap(request(&folder, options)).await.unwrap();
    let declared: CrossSigningBootstrap = serde_json::from_value(json!(made)).unwrap();
    assert_eq!(declared.status, BootstrapStatus::Created);

    let account_data = put(&made);
    let id = account_data["m.secret_storage.default_key"]["key"].as_str().unwrap();
    let event_type = format!("m.secret_storage.key.{id}");
    let description = to_raw_value(&account_data[&event_type]).unwrap();
    let description = SecretStorageKeyEventContent::from_parts(&event_type, &description).unwrap();
    let key = SecretStorageKey::from_account_data(&text, description).unwrap();
    let [master_key, self_signing_key, user_signing_key] = SECRETS.map(|name| {
        let data: AesHmacSha2EncryptedData =
            serde_json::from_value(account_data[name]["encrypted"][id].clone()).unwrap();
        Some(String::from_utf8(key.decrypt(&data, &SecretName::from(name)).unwrap()).unwrap())
    });

    let machine = OlmMachine::new(user_id!("@_ghost:example.org"), device_id!("OTHERDEVICE")).await;
    query_own(&machine, &json!(made.payloads.upload_keys)).await;
    let export = CrossSigningKeyExport { master_key, self_signing_key, user_signing_key };
    assert!(machine.import_cross_signing_keys(export).await.unwrap().is_complete());
    let identity = machine.get_identity(machine.user_id(), None).await.unwrap().unwrap();
    assert!(identity.is_verified());
}

#[tokio::test(flavor = "multi_thread")]
async fn we_restore_what_the_sdk_has_escrowed() {
    let theirs = OlmMachine::new(user_id!("@_ghost:example.org"), device_id!("OTHERDEVICE")).await;
    let made = theirs.bootstrap_cross_signing(false).await.unwrap().upload_signing_keys_req;
    let keys = json!({
        "master_key": made.master_key,
        "self_signing_key": made.self_signing_key,
        "user_signing_key": made.user_signing_key,
    });
    let export = theirs.export_cross_signing_keys().await.unwrap().unwrap();

    for key in [SecretStorageKey::new(), SecretStorageKey::new_from_passphrase("a passphrase")] {
        let id = key.key_id();
        let mut account_data = json!({ "m.secret_storage.default_key": { "key": id } });
        account_data[key.event_type().to_string()] = json!(key.event_content());
        for (name, seed) in
            SECRETS.iter().zip([&export.master_key, &export.self_signing_key, &export.user_signing_key])
        {
            let seed = seed.clone().unwrap().into_bytes();
            account_data[*name] = json!({ "encrypted": { id: key.encrypt(seed, &SecretName::from(*name)) } });
        }

        for passphrase in [None, Some("secret".to_owned().into())] {
            let folder = TempDir::new().unwrap();
            let options = Options {
                passphrase,
                server_keys: Some(served(&keys)),
                recovery: Some(recovery(&key.to_base58(), &account_data)),
                ..Options::default()
            };
            let request = request(&folder, options);
            let restored = bootstrap(request.clone()).await.unwrap();
            assert_eq!(restored.status, Status::Restored);
            assert_eq!(json!(restored.missing), json!(["upload_device_keys", "upload_signatures"]));
            assert_eq!(json!(restored.payloads.upload_keys), keys);
            assert_eq!(put(&restored), account_data);
            let declared: CrossSigningBootstrap = serde_json::from_value(json!(restored)).unwrap();
            assert_eq!(declared.status, BootstrapStatus::Restored);

            // The ghost's own machine takes the store over.
            let store = SqliteCryptoStore::open(&request.store_path, request.passphrase()).await.unwrap();
            let user = user_id!("@_ghost:example.org");
            let machine = OlmMachine::with_store(user, device_id!("GHOSTDEVICE"), store, None).await.unwrap();
            assert!(machine.cross_signing_status().await.is_complete());
            query_own(&machine, &keys).await;
            assert!(machine.cross_signing_status().await.is_complete());
            assert!(machine.get_identity(user, None).await.unwrap().unwrap().is_verified());
            let device = machine.get_device(user, machine.device_id(), None).await.unwrap().unwrap();
            assert!(device.is_cross_signed_by_owner() && device.is_verified());
        }
    }
}

/// All that the process can write to is searched, so also memory that was freed: the SDK and JSON leave
/// copies there. The texts that are searched for are masked, so that they do not find themselves.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn recovery_keys_and_seeds_are_wiped_from_memory() {
    use std::os::unix::fs::FileExt;

    const MASK: u8 = 0x80;
    let mask = |text: &str| text.bytes().map(|byte| byte ^ MASK).collect::<Vec<u8>>();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let count = |masked: &[u8]| {
        // The allocator writes to the first bytes of what is freed.
        let tail = &masked[20..];
        let mut found = 0;
        for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            if !rest.starts_with("rw") || end - start > 256 * 1024 * 1024 {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                for byte in &mut bytes {
                    *byte ^= MASK;
                }
                found += bytes.windows(tail.len()).filter(|window| *window == tail).count();
            }
        }
        found
    };

    let key = {
        let text = RecoveryKey::create().unwrap().to_base58().unwrap();
        let masked = mask(&text);
        assert!(count(&masked) > 0, "the search finds nothing");
        masked
    };
    let seed = {
        let text: String = key.iter().map(|byte| char::from(byte ^ MASK)).collect();
        let folder = TempDir::new().unwrap();
        let options = |data| Options { recovery: Some(recovery(&text, &data)), ..Options::default() };
        let made = bootstrap(request(&folder, options(json!({})))).await.unwrap();
        let account_data = put(&made);
        let other = TempDir::new().unwrap();
        let restored = bootstrap(request(&other, options(account_data.clone()))).await.unwrap();
        assert_eq!(restored.status, Status::Restored);
        // A call that fails wipes, too.
        let wrong = json!({ "m.secret_storage.default_key": { "key": "other" } });
        assert!(bootstrap(request(&other, options(wrong))).await.is_err());

        let storage = recovery(&text, &account_data).open(user_id!("@_ghost:example.org")).unwrap();
        let stored = storage.identity(user_id!("@_ghost:example.org")).await.unwrap().unwrap();
        mask(&stored.keys.seeds().master.to_base64())
    };
    assert_eq!((count(&key), count(&seed)), (0, 0));
}
