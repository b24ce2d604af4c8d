//! What happens to a store, in the order in which it happens.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, ErrorCode, Result},
    homeserver::{self, Comparison, ServerKeys, Upload, Warning},
    identity::{Bootstrapped, Ghost, Payloads, Status},
    request::Request,
    schedule::{
        executor::{blocking, wait},
        queue,
    },
    store::{self, HeldStore, Staging, StoreFolder, open_handles},
};

/// How often a store that somebody holds is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The result of a call.
#[derive(Serialize)]
pub struct Outcome {
    pub status: Status,
    #[serde(flatten)]
    pub payloads: Payloads,
    /// Only of a call that knows what the homeserver serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Upload>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<Warning>>,
}

pub async fn bootstrap(request: Request) -> Result<Outcome> {
    let request = Arc::new(request);
    // Calls for one store wait for each other here, without polling. Those with the same path keep their
    // order. To resolve a path takes different times, so it must not decide about the order.
    let turn = queue::turn(&request.store_path).await;
    let (folder, served) = blocking({
        let request = Arc::clone(&request);
        move || {
            let folder =
                store::resolve(&request.store_path).map_err(|error| error.about(&request.store_path))?;
            Ok((folder, request.server_keys().map(Arc::new)))
        }
    })
    .await?;

    // The store may have other paths, too.
    let turn = (if folder == request.store_path { None } else { Some(queue::turn(&folder).await) }, turn);

    // Others, in other processes or beside our own calls, are waited for from when the store is first
    // found in use.
    let patience = request.options.busy_timeout;
    let mut deadline = patience.is_zero().then(Instant::now);
    let outcome = loop {
        let is_last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let (request, served, folder) = (Arc::clone(&request), served.clone(), folder.clone());
        let attempt = move || {
            attempt(&request, served.as_deref(), &folder)
                .map_err(|error| if is_last { naming_holder(error, &folder) } else { error })
                .map_err(|error| error.about(&folder))
        };
        match blocking(attempt).await {
            Err(error) if error.code == ErrorCode::StoreInUse && !is_last => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                sleep(POLL_INTERVAL.min(deadline - Instant::now())).await;
            }
            outcome => break outcome,
        }
    };
    drop(turn);
    outcome
}

/// One attempt, on a thread that may block. When it returns, the store is bootstrapped and closed, or
/// nothing has changed.
fn attempt(request: &Request, served: Option<&ServerKeys>, path: &Path) -> Result<Outcome> {
    let mut folder = StoreFolder::enter(path)?;
    let outcome = if folder.has_database()? {
        bootstrap_existing(folder.path(), request, served)?
    } else {
        bootstrap_new(&folder, request, served)?
    };
    folder.keep();
    Ok(outcome)
}

fn bootstrap_new(folder: &StoreFolder, request: &Request, served: Option<&ServerKeys>) -> Result<Outcome> {
    let staging = Staging::create(folder)?;
    let ghost = bootstrap_ghost(None, request, served)?;
    staging.publish(&store::create_database(request.passphrase(), &ghost.changes)?)?;
    Ok(outcome(ghost, served))
}

fn bootstrap_existing(folder: &Path, request: &Request, served: Option<&ServerKeys>) -> Result<Outcome> {
    let store = HeldStore::hold(folder)?;
    let mut content = store.read(request.passphrase())?;
    let ghost = bootstrap_ghost(content.rows.take(), request, served)?;
    store.finish(&content, request.passphrase(), &ghost.changes)?;
    Ok(outcome(ghost, served))
}

/// Every refusal comes before the first change.
fn bootstrap_ghost(
    rows: Option<store::Rows>,
    request: &Request,
    served: Option<&ServerKeys>,
) -> Result<Bootstrapped> {
    let (user_id, device_id, reset) = (&request.user_id, &request.device_id, request.options.reset);
    let ghost = match rows {
        None => Ghost::new(user_id, device_id),
        Some(rows) => wait(Ghost::from_rows(rows, user_id, device_id, reset))?,
    };
    if !reset {
        match served {
            Some(served) => homeserver::check_conflict(user_id, ghost.identity(), served)?,
            None => ghost.check_not_foreign()?,
        }
    }
    wait(ghost.bootstrap(served.and_then(ServerKeys::identity).as_ref()))
}

fn outcome(ghost: Bootstrapped, served: Option<&ServerKeys>) -> Outcome {
    let Bootstrapped { mut status, mut payloads, .. } = ghost;
    let Some(served) = served else { return Outcome { status, payloads, missing: None, warnings: None } };

    let Comparison { missing, warnings } = homeserver::compare(&payloads, served);
    if status == Status::Resumed && missing.is_empty() {
        status = Status::Published;
    }
    if missing.contains(&Upload::UploadDeviceKeys) {
        payloads.offer_device_keys();
    }
    Outcome { status, payloads, missing: Some(missing), warnings: Some(warnings) }
}

/// Finding the process that has the store open takes a while, so only the last attempt does it.
fn naming_holder(mut error: Error, folder: &Path) -> Error {
    if error.code == ErrorCode::StoreInUse
        && let Some(process) = open_handles::other_process(folder)
    {
        error.message = format!("{}. It is {process}", error.message);
    }
    error
}
