//! Converts between ruma's requests and responses and the JSON of their bodies, as the binding does.

use http::Response;
use ruma::{
    api::{IncomingResponse, MatrixVersion, OutgoingRequest, SendAccessToken},
    serde::Raw,
};
use serde_json::{Value, value::to_raw_value};

use crate::error::Result;

pub fn body_of(request: impl OutgoingRequest) -> Result<Value> {
    let token = SendAccessToken::IfRequired("unused");
    let request =
        request.try_into_http_request::<Vec<u8>>("http://localhost", token, &[MatrixVersion::V1_1])?;
    Ok(serde_json::from_slice(request.body())?)
}

pub fn answer_from<T>(body: &Value) -> Result<T>
where
    T: IncomingResponse<EndpointError: Send + Sync + 'static>,
{
    Ok(T::try_from_http_response(Response::new(serde_json::to_vec(body)?))?)
}

pub fn raw<T>(value: &Value) -> Result<Raw<T>> {
    Ok(Raw::from_json(to_raw_value(value)?))
}
