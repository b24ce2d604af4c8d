//! The exchange of keys with the homeserver.

use std::collections::BTreeMap;

use matrix_sdk_crypto::{
    OlmMachine,
    store::CrossSigningKeyExport,
    types::requests::{AnyOutgoingRequest, OutgoingRequest},
};
use ruma::{
    OwnedUserId, UserId,
    api::client::keys::{
        claim_keys::v3::Response as KeysClaimResponse, get_keys::v3::Response as KeysQueryResponse,
        upload_keys::v3::Response as KeysUploadResponse,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    bodies::{answer_from, body_of},
    error::Result,
};

/// The seeds of the three private keys, in unpadded base64.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names of the SDK")]
pub struct Seeds {
    master_key: Option<String>,
    self_signing_key: Option<String>,
    user_signing_key: Option<String>,
}

pub async fn to_upload(olm: &OlmMachine, one_time_key_counts: &BTreeMap<String, u32>) -> Result<Value> {
    for request in olm.outgoing_requests().await? {
        if let AnyOutgoingRequest::KeysUpload(upload) = request.request() {
            let answer: KeysUploadResponse =
                answer_from(&json!({ "one_time_key_counts": one_time_key_counts }))?;
            olm.mark_request_as_sent(request.request_id(), &answer).await?;
            return body_of(upload.clone());
        }
    }
    Ok(Value::Null)
}

pub async fn bootstrap(olm: &OlmMachine, reset: bool) -> Result<Value> {
    let requests = olm.bootstrap_cross_signing(reset).await?;
    let upload_device_keys = match requests.upload_keys_req.as_ref().map(OutgoingRequest::request) {
        Some(AnyOutgoingRequest::KeysUpload(upload)) => Some(body_of(upload.clone())?),
        _ => None,
    };
    let keys = requests.upload_signing_keys_req;
    Ok(json!({
        "upload_device_keys": upload_device_keys,
        "upload_keys": {
            "master_key": keys.master_key,
            "self_signing_key": keys.self_signing_key,
            "user_signing_key": keys.user_signing_key,
        },
        "upload_signatures": body_of(requests.upload_signatures_req)?,
    }))
}

pub async fn receive_query(olm: &OlmMachine, user: &UserId, answer: &Value) -> Result<Value> {
    let answer: KeysQueryResponse = answer_from(answer)?;
    olm.update_tracked_users([user]).await?;
    let (id, _) = olm.query_keys_for_users([user]);
    olm.mark_request_as_sent(&id, &answer).await?;
    Ok(Value::Null)
}

pub async fn export(olm: &OlmMachine) -> Result<Value> {
    let Some(export) = olm.export_cross_signing_keys().await? else { return Ok(Value::Null) };
    Ok(serde_json::to_value(Seeds {
        master_key: export.master_key.clone(),
        self_signing_key: export.self_signing_key.clone(),
        user_signing_key: export.user_signing_key.clone(),
    })?)
}

/// The binding's `importSecretsFromSecretStorage` ends in this.
pub async fn import(olm: &OlmMachine, seeds: Seeds) -> Result<Value> {
    let Seeds { master_key, self_signing_key, user_signing_key } = seeds;
    let export = CrossSigningKeyExport { master_key, self_signing_key, user_signing_key };
    let status = olm.import_cross_signing_keys(export).await?;
    Ok(json!({
        "has_master": status.has_master,
        "has_self_signing": status.has_self_signing,
        "has_user_signing": status.has_user_signing,
    }))
}

pub async fn claim(olm: &OlmMachine, users: &[OwnedUserId], answer: Option<&Value>) -> Result<Value> {
    let missing = olm.get_missing_sessions(users.iter().map(AsRef::as_ref)).await?;
    let Some((id, request)) = missing else { return Ok(Value::Null) };
    if let Some(answer) = answer {
        let answer: KeysClaimResponse = answer_from(answer)?;
        olm.mark_request_as_sent(&id, &answer).await?;
    }
    body_of(request)
}
