//! The turn of a call at its store.

use std::path::PathBuf;

use crate::{
    error::Result,
    schedule::{
        abort::{Abort, Unfinished},
        executor::blocking,
        queue::{self, Queue, Turn},
    },
    store::{self, Resolved},
};

/// The right to work on a store. When this is dropped, the next call for the store gets it.
pub struct Turns {
    _mounted: Option<Turn>,
    _resolved: Turn,
}

/// Finds the folder of a store, and waits for the earlier calls for it, without polling. `prepare` runs before the
/// last waits, on a thread that may block.
pub async fn turns<P: Send + 'static>(
    abort: &mut Abort,
    store_path: PathBuf,
    prepare: impl FnOnce() -> Result<P> + Send + 'static,
) -> std::result::Result<(PathBuf, P, Turns), Unfinished> {
    let given = abort.unless(queue::turn(Queue::Given(store_path.clone()))).await?;
    let (Resolved { path: folder, identity }, prepared) = blocking(abort, move || {
        let resolved = store::resolve(&store_path).map_err(|error| error.about(&store_path))?;
        Ok((resolved, prepare()?))
    })
    .await??;
    let resolved = abort.unless(queue::turn(Queue::Resolved(folder.clone()))).await?;
    drop(given);
    let mounted = match identity {
        Some(identity) => Some(abort.unless(queue::turn(Queue::Folder(identity))).await?),
        None => None,
    };
    Ok((folder, prepared, Turns { _mounted: mounted, _resolved: resolved }))
}
