//! The declared types are what the functions return: no field more, and no field less.

use serde_json::json;

use crate::{
    bootstrap::bootstrap,
    error::ErrorCode,
    homeserver::{Answer, Record, ServerKeys, verdict},
    inspection::inspect,
    javascript::types::{
        BootstrapErrorCode, BootstrapStatus, BootstrapWarningCode, CrossSigningBootstrap, StoreIdentity,
        StoreInfo, UnverifiedDevice, VerifiedDevice,
    },
    request::{DEFAULT_BUSY_TIMEOUT, Inspection, Options, Request},
};

const USER_ID: &str = "@_ghost:example.org";

fn declared<T: serde::de::DeserializeOwned>(returned: &impl serde::Serialize) -> T {
    serde_json::from_value(json!(returned)).unwrap()
}

fn record(value: &serde_json::Value) -> Option<Record> {
    (!value.is_null()).then(|| Record { value: value.clone(), defect: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_returned() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let (user, device) = (ruma::user_id!("@_ghost:example.org"), ruma::device_id!("GHOSTDEVICE"));
    let call = async |server_keys: Option<Answer>| {
        let options = Options { server_keys, ..Options::default() };
        let request = Request::new(user.as_str(), device.as_str(), store.to_str().unwrap(), options);
        bootstrap(request.unwrap()).await.unwrap()
    };
    let created = call(None).await;
    assert_eq!(declared::<CrossSigningBootstrap>(&created).status, BootstrapStatus::Created);

    let inspection = Inspection::new(store.to_str().unwrap(), None, DEFAULT_BUSY_TIMEOUT).unwrap();
    let info = declared::<StoreInfo>(&inspect(inspection).await.unwrap());
    assert_eq!((info.identity, info.device_signed), (StoreIdentity::Complete, true));

    let keys = json!(created);
    let served = |device: &serde_json::Value| Answer {
        device: record(device),
        master_key: record(&keys["upload_keys"]["master_key"]),
        self_signing_key: record(&keys["upload_keys"]["self_signing_key"]),
        user_signing_key: record(&keys["upload_keys"]["user_signing_key"]),
    };
    let own = &keys["upload_device_keys"]["device_keys"];
    let published = declared::<CrossSigningBootstrap>(&call(Some(served(own))).await);
    assert_eq!(published.status, BootstrapStatus::Published);

    let mut other = own.clone();
    other["keys"]["ed25519:GHOSTDEVICE"] =
        json!(keys["upload_keys"]["master_key"]["keys"].as_object().unwrap().values().next());
    let mut stale = own.clone();
    for (id, signature) in stale["signatures"][USER_ID].as_object_mut().unwrap() {
        if id != "ed25519:GHOSTDEVICE" {
            *signature = json!("A".repeat(86));
        }
    }
    for (device, code) in [
        (&other, BootstrapWarningCode::DeviceKeysDiffer),
        (&json!({}), BootstrapWarningCode::DeviceKeysInvalid),
        (&stale, BootstrapWarningCode::StaleSignature),
    ] {
        let warned = declared::<CrossSigningBootstrap>(&call(Some(served(device))).await);
        assert_eq!(warned.status, BootstrapStatus::Resumed);
        let warnings = warned.warnings.unwrap();
        assert_eq!(warnings.into_iter().map(|warning| warning.code).collect::<Vec<_>>(), [code]);
    }

    let judge = |answer: &Answer| verdict(user, device, &ServerKeys::parse(answer, user, device));
    declared::<VerifiedDevice>(&judge(&served(own)));
    declared::<UnverifiedDevice>(&judge(&Answer::default()));
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
        Code::InvalidRecoveryKey,
        Code::RecoveryKeyMismatch,
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
            BootstrapErrorCode::InvalidRecoveryKey => assert_eq!(code, Code::InvalidRecoveryKey),
            BootstrapErrorCode::RecoveryKeyMismatch => assert_eq!(code, Code::RecoveryKeyMismatch),
            BootstrapErrorCode::StoreIo => assert_eq!(code, Code::StoreIo),
            BootstrapErrorCode::Internal => assert_eq!(code, Code::Internal),
        }
    }
}
