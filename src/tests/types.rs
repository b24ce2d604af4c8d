//! The declared types are what the functions return: no field more, and no field less.

use serde_json::json;

use crate::{
    bootstrap::bootstrap,
    error::ErrorCode,
    homeserver::{ServerKeys, verdict},
    javascript::types::{
        BootstrapErrorCode, BootstrapStatus, CrossSigningBootstrap, UnverifiedDevice, VerifiedDevice,
    },
    request::{Options, Request},
};

const USER_ID: &str = "@_ghost:example.org";
const DEVICE_ID: &str = "GHOSTDEVICE";

fn declared<T: serde::de::DeserializeOwned>(returned: &impl serde::Serialize) -> T {
    serde_json::from_value(json!(returned)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_returned() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let call = async |answer: Option<serde_json::Value>| {
        let options = Options { server_keys: answer.map(|answer| answer.to_string()), ..Options::default() };
        bootstrap(Request::new(USER_ID, DEVICE_ID, store.to_str().unwrap(), options).unwrap()).await.unwrap()
    };
    let created = call(None).await;
    assert_eq!(declared::<CrossSigningBootstrap>(&created).status, BootstrapStatus::Created);

    let keys = json!(created);
    let served = |device: &serde_json::Value| {
        json!({
            "device_keys": { USER_ID: { DEVICE_ID: device } },
            "master_keys": { USER_ID: keys["upload_keys"]["master_key"] },
            "self_signing_keys": { USER_ID: keys["upload_keys"]["self_signing_key"] },
            "user_signing_keys": { USER_ID: keys["upload_keys"]["user_signing_key"] },
        })
    };
    let published = served(&keys["upload_device_keys"]["device_keys"]);
    assert_eq!(
        declared::<CrossSigningBootstrap>(&call(Some(published.clone())).await).status,
        BootstrapStatus::Published
    );

    let mut other = keys["upload_device_keys"]["device_keys"].clone();
    other["keys"] = json!({ "ed25519:GHOSTDEVICE": keys["upload_keys"]["master_key"]["keys"].as_object().unwrap().values().next() });
    let warned = declared::<CrossSigningBootstrap>(&call(Some(served(&other))).await);
    assert_eq!(warned.status, BootstrapStatus::Resumed);
    assert_eq!((warned.missing.unwrap().len(), warned.warnings.unwrap().len()), (2, 1));

    let (user, device) = (ruma::user_id!("@_ghost:example.org"), ruma::device_id!("GHOSTDEVICE"));
    let judge = |answer: &serde_json::Value| {
        verdict(user, device, &ServerKeys::parse(&answer.to_string(), user, device).unwrap())
    };
    declared::<VerifiedDevice>(&judge(&published));
    declared::<UnverifiedDevice>(&judge(&json!({ "device_keys": { USER_ID: {} } })));
}

/// A new code does not compile before it is declared.
#[test]
fn every_error_code_is_declared() {
    use ErrorCode as Code;
    for code in [
        Code::InvalidArgument,
        Code::InvalidUserId,
        Code::InvalidDeviceId,
        Code::InvalidStorePath,
        Code::AccountMismatch,
        Code::StoreInUse,
        Code::StorePassphrase,
        Code::StoreCorrupt,
        Code::StoreVersion,
        Code::IdentityIncomplete,
        Code::IdentityConflict,
        Code::StoreIo,
        Code::Internal,
    ] {
        match declared::<BootstrapErrorCode>(&code.as_str()) {
            BootstrapErrorCode::InvalidArgument => assert_eq!(code, Code::InvalidArgument),
            BootstrapErrorCode::InvalidUserId => assert_eq!(code, Code::InvalidUserId),
            BootstrapErrorCode::InvalidDeviceId => assert_eq!(code, Code::InvalidDeviceId),
            BootstrapErrorCode::InvalidStorePath => assert_eq!(code, Code::InvalidStorePath),
            BootstrapErrorCode::AccountMismatch => assert_eq!(code, Code::AccountMismatch),
            BootstrapErrorCode::StoreInUse => assert_eq!(code, Code::StoreInUse),
            BootstrapErrorCode::StorePassphrase => assert_eq!(code, Code::StorePassphrase),
            BootstrapErrorCode::StoreCorrupt => assert_eq!(code, Code::StoreCorrupt),
            BootstrapErrorCode::StoreVersion => assert_eq!(code, Code::StoreVersion),
            BootstrapErrorCode::IdentityIncomplete => assert_eq!(code, Code::IdentityIncomplete),
            BootstrapErrorCode::IdentityConflict => assert_eq!(code, Code::IdentityConflict),
            BootstrapErrorCode::StoreIo => assert_eq!(code, Code::StoreIo),
            BootstrapErrorCode::Internal => assert_eq!(code, Code::Internal),
        }
    }
}
