//! What the addon is measured against: the SDK used the plain way, one process per ghost, and, with
//! `--memory`, the SDK without a store.

use std::{env, error::Error, path::Path, time::Instant};

use matrix_sdk_crypto::{CrossSigningBootstrapRequests, OlmMachine};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{DeviceId, UserId, device_id, user_id};
use serde_json::{Value, json};
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = Builder::new_multi_thread().enable_time().build()?;
    match arguments[..] {
        ["--memory", count] => println!("{}", runtime.block_on(in_memory(count.parse()?))?),
        [user, device, store] => {
            let user = UserId::parse(user)?;
            println!("{}", runtime.block_on(in_store(&user, device.into(), store.as_ref()))?);
        }
        _ => return Err("usage: sidecar (<user_id> <device_id> <store_path> | --memory <count>)".into()),
    }
    Ok(())
}

async fn in_store(user: &UserId, device: &DeviceId, path: &Path) -> Result<Value> {
    let store = SqliteCryptoStore::open(path, None).await?;
    let machine = OlmMachine::with_store(user, device, store, None).await?;
    Ok(payloads(&machine.bootstrap_cross_signing(false).await?))
}

/// Milliseconds per ghost.
async fn in_memory(count: u32) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..count {
        let machine = OlmMachine::new(user_id!("@_ghost:example.org"), device_id!("GHOSTDEVICE")).await;
        payloads(&machine.bootstrap_cross_signing(false).await?);
    }
    Ok(start.elapsed().as_secs_f64() * 1000.0 / f64::from(count))
}

fn payloads(requests: &CrossSigningBootstrapRequests) -> Value {
    let keys = &requests.upload_signing_keys_req;
    json!({
        "upload_keys": {
            "master_key": keys.master_key,
            "self_signing_key": keys.self_signing_key,
            "user_signing_key": keys.user_signing_key,
        },
        "upload_signatures": requests.upload_signatures_req.signed_keys,
    })
}
