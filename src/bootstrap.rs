//! What happens to a store, in the order in which it happens.

use std::{path::Path, sync::Arc};

use serde::Serialize;

use crate::{
    error::Result,
    homeserver::{self, Comparison, ServerKeys, Upload, Warning},
    identity::{Bootstrapped, Ghost, Payloads, Status},
    patience::once_free,
    recovery::{self, AccountDataUpload, Escrow, SecretStorage},
    request::Request,
    schedule::{abort::Unfinished, executor::wait, processors::computing},
    store::{self, HeldStore, Staging, StoreFolder},
    turns::turns,
};

/// The result of a call.
#[derive(Serialize)]
pub struct Outcome {
    pub status: Status,
    #[serde(flatten)]
    pub payloads: Payloads,
    /// Only of a call with a recovery key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_account_data: Option<Vec<AccountDataUpload>>,
    /// Only of a call that knows what the homeserver serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Upload>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<Warning>>,
}

/// What the homeserver has of the user, as far as the caller has told.
struct Known {
    served: Option<ServerKeys>,
    storage: Option<SecretStorage>,
}

pub async fn bootstrap(request: Request) -> std::result::Result<Outcome, Unfinished> {
    let mut abort = request.options.abort.clone();
    let request = Arc::new(request);
    let (folder, known, turns) = turns(&mut abort, request.store_path.clone(), {
        let request = Arc::clone(&request);
        move || {
            computing(|| {
                Ok(Arc::new(Known { served: request.server_keys(), storage: request.secret_storage()? }))
            })
        }
    })
    .await?;

    let busy_timeout = request.options.busy_timeout;
    // In a box: it takes memory only when it begins, and thousands of calls wait until then.
    let outcome = Box::pin(once_free(&mut abort, &folder, busy_timeout, {
        let folder = folder.clone();
        move || attempt(&request, &known, &folder)
    }))
    .await;
    drop(turns);
    outcome
}

/// One attempt, on a thread that may block. When it returns, the store is bootstrapped and closed, or
/// nothing has changed.
fn attempt(request: &Request, known: &Known, path: &Path) -> Result<Outcome> {
    let mut folder = StoreFolder::enter(path)?;
    let outcome = if folder.has_database()? {
        bootstrap_existing(folder.path(), request, known)?
    } else {
        bootstrap_new(&folder, request, known)?
    };
    folder.keep();
    Ok(outcome)
}

fn bootstrap_new(folder: &StoreFolder, request: &Request, known: &Known) -> Result<Outcome> {
    let staging = Staging::create(folder)?;
    let (ghost, escrow, database) = computing(|| -> Result<_> {
        let (ghost, escrow) = bootstrap_ghost(None, request, known)?;
        let database = store::create_database(request.passphrase(), &ghost.changes)?;
        Ok((ghost, escrow, database))
    })?;
    staging.publish(&database)?;
    Ok(outcome(ghost, escrow, known.served.as_ref()))
}

fn bootstrap_existing(folder: &Path, request: &Request, known: &Known) -> Result<Outcome> {
    let store = HeldStore::hold(folder)?;
    let (content, ghost, escrow) = computing(|| -> Result<_> {
        let mut content = store.read(request.passphrase())?;
        let (ghost, escrow) = bootstrap_ghost(content.rows.take(), request, known)?;
        Ok((content, ghost, escrow))
    })?;
    store.finish(&content, request.passphrase(), &ghost.changes)?;
    Ok(outcome(ghost, escrow, known.served.as_ref()))
}

/// Every refusal comes before the first change.
fn bootstrap_ghost(
    rows: Option<store::Rows>,
    request: &Request,
    Known { served, storage }: &Known,
) -> Result<(Bootstrapped, Option<Escrow>)> {
    let (user_id, device_id, reset) = (&request.user_id, &request.device_id, request.options.reset);
    let (served, storage) = (served.as_ref(), storage.as_ref());
    let mut ghost = match rows {
        None => Ghost::new(user_id, device_id),
        Some(rows) => wait(Ghost::from_rows(rows, user_id, device_id, reset))?,
    };
    if !reset {
        let mut lack = None;
        if let (None, Some(storage)) = (ghost.identity(), storage) {
            match wait(storage.identity(user_id))? {
                Some(stored) => {
                    let served = recovery::served_identity(&stored.keys.public, served, user_id)?;
                    ghost.adopt(stored, served)?;
                }
                None => lack = Some(storage.lack()),
            }
        }
        ghost.check_complete()?;
        match served {
            Some(served) => {
                homeserver::check_conflict(user_id, ghost.identity(), served, lack.as_deref())?;
            }
            None => ghost.check_not_foreign()?,
        }
    }
    let ghost = wait(ghost.bootstrap(served.and_then(ServerKeys::identity).as_ref()))?;
    let escrow = storage.map(|storage| storage.escrow(&ghost.keys.seeds())).transpose()?;
    Ok((ghost, escrow))
}

fn outcome(ghost: Bootstrapped, escrow: Option<Escrow>, served: Option<&ServerKeys>) -> Outcome {
    let Bootstrapped { mut status, mut payloads, .. } = ghost;
    let is_escrow_missing = escrow.as_ref().is_some_and(|escrow| {
        // A new identity is not in the secret storage, whatever that holds.
        escrow.is_missing.unwrap_or(status == Status::Created)
    });
    let upload_account_data = escrow.map(|escrow| escrow.uploads);
    let Some(served) = served else {
        return Outcome { status, payloads, upload_account_data, missing: None, warnings: None };
    };

    let Comparison { mut missing, warnings } = homeserver::compare(&payloads, served);
    if is_escrow_missing {
        // Before the keys: an identity must not become public before it can be brought back.
        let first = missing.iter().take_while(|upload| **upload == Upload::UploadDeviceKeys).count();
        missing.insert(first, Upload::UploadAccountData);
    }
    if status == Status::Resumed && missing.is_empty() {
        status = Status::Published;
    }
    if missing.contains(&Upload::UploadDeviceKeys) {
        payloads.offer_device_keys();
    }
    Outcome { status, payloads, upload_account_data, missing: Some(missing), warnings: Some(warnings) }
}
