//! A machine's requests to the homeserver, one by one and with their numbers, as the binding gives them out.

use matrix_sdk_crypto::{OlmMachine, types::requests::AnyOutgoingRequest};
use ruma::{
    OwnedUserId, TransactionId,
    api::client::{
        keys::{
            claim_keys::v3::Response as KeysClaimResponse, get_keys::v3::Response as KeysQueryResponse,
            upload_keys::v3::Response as KeysUploadResponse,
        },
        to_device::send_event_to_device::v3::Response as ToDeviceResponse,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    bodies::{answer_from, body_of},
    error::Result,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    KeysUpload,
    KeysQuery,
    KeysClaim,
    ToDevice,
}

pub async fn outgoing(olm: &OlmMachine) -> Result<Value> {
    let mut requests = Vec::new();
    for request in olm.outgoing_requests().await? {
        let (kind, body) = match request.request() {
            AnyOutgoingRequest::KeysUpload(upload) => ("keysUpload", body_of(upload.clone())?),
            AnyOutgoingRequest::KeysQuery(query) => {
                ("keysQuery", json!({ "device_keys": query.device_keys, "timeout": query.timeout }))
            }
            AnyOutgoingRequest::KeysClaim(claim) => ("keysClaim", body_of(claim.clone())?),
            other => return Err(format!("no test needs such a request: {other:?}").into()),
        };
        requests.push(json!({ "id": request.request_id(), "kind": kind, "body": body }));
    }
    Ok(requests.into())
}

pub async fn mark_as_sent(olm: &OlmMachine, id: &TransactionId, kind: Kind, answer: &Value) -> Result<Value> {
    match kind {
        Kind::KeysUpload => olm.mark_request_as_sent(id, &answer_from::<KeysUploadResponse>(answer)?).await?,
        Kind::KeysQuery => olm.mark_request_as_sent(id, &answer_from::<KeysQueryResponse>(answer)?).await?,
        Kind::KeysClaim => olm.mark_request_as_sent(id, &answer_from::<KeysClaimResponse>(answer)?).await?,
        Kind::ToDevice => olm.mark_request_as_sent(id, &answer_from::<ToDeviceResponse>(answer)?).await?,
    }
    Ok(Value::Null)
}

pub async fn missing_sessions(olm: &OlmMachine, users: &[OwnedUserId]) -> Result<Value> {
    let missing = olm.get_missing_sessions(users.iter().map(AsRef::as_ref)).await?;
    let Some((id, request)) = missing else { return Ok(Value::Null) };
    Ok(json!({ "id": id, "kind": "keysClaim", "body": body_of(request)? }))
}
