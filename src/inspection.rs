//! What a store holds, without a change to it.

use std::{path::Path, sync::Arc};

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;

use crate::{
    error::Result,
    identity::{Extent, Ghost, Summary},
    patience::once_free,
    request::Inspection,
    schedule::{abort::Unfinished, executor::wait, processors::computing},
    store::{self, Seen},
    turns::turns,
};

/// The result of a look at a store.
#[derive(Serialize)]
pub struct Inspected {
    #[serde(flatten)]
    owner: Option<Owner>,
    schema: u8,
    encrypted: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stray_cipher: bool,
    #[serde(flatten)]
    ghost: Summary,
}

#[derive(Serialize)]
struct Owner {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
}

pub async fn inspect(inspection: Inspection) -> std::result::Result<Inspected, Unfinished> {
    let mut abort = inspection.abort.clone();
    let inspection = Arc::new(inspection);
    // As a bootstrap does, so that the calls for one store keep their order.
    let (folder, (), turns) = turns(&mut abort, inspection.store_path.clone(), || Ok(())).await?;
    let busy_timeout = inspection.busy_timeout;
    let outcome = once_free(&mut abort, &folder, busy_timeout, {
        let folder = folder.clone();
        move || {
            computing(|| look(&folder, inspection.passphrase.as_ref().map(|passphrase| passphrase.as_str())))
        }
    })
    .await;
    drop(turns);
    outcome
}

/// On a thread that may block.
fn look(folder: &Path, passphrase: Option<&str>) -> Result<Inspected> {
    let Seen { rows, schema, is_encrypted: encrypted, has_stray_cipher: stray_cipher } =
        store::look(folder, passphrase)?;
    let Some(rows) = rows else {
        let (identity, master_key) = (Extent::None, None);
        let ghost = Summary { identity, master_key, device_signed: false, device_keys_uploaded: false };
        return Ok(Inspected { owner: None, schema, encrypted, stray_cipher, ghost });
    };
    let (user_id, device_id) = (rows.account.user_id().to_owned(), rows.account.device_id().to_owned());
    let ghost = wait(Ghost::from_rows(rows, &user_id, &device_id, false))?.summary()?;
    Ok(Inspected { owner: Some(Owner { user_id, device_id }), schema, encrypted, stray_cipher, ghost })
}
