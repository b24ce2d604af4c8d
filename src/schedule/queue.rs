//! Queues the calls of this process that are for the same store.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Stores = HashMap<PathBuf, Arc<AsyncMutex<()>>>;

static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);

/// The right to work on one store. When this is dropped, the next call in the queue gets it.
pub struct Turn {
    store: PathBuf,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Waits for the earlier calls for this store.
pub async fn turn(store: &Path) -> Turn {
    let line = Arc::clone(stores().entry(store.to_owned()).or_default());
    // Before the wait: if nobody waits for this future any more, the store must leave the map all the same.
    let mut turn = Turn { store: store.to_owned(), guard: None };
    turn.guard = Some(line.lock_owned().await);
    turn
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut stores = stores();
        self.guard = None;
        // The last reference is the map's own, so no call is waiting.
        if stores.get(&self.store).is_some_and(|line| Arc::strong_count(line) == 1) {
            stores.remove(&self.store);
        }
    }
}

fn stores() -> std::sync::MutexGuard<'static, Stores> {
    // No code that can panic runs under this lock.
    STORES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_leave_nothing_behind() {
        let store = Path::new("/a/store");
        let first = turn(store).await;
        let second = tokio::spawn(turn(store));
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        assert!(stores().contains_key(store));

        drop(first);
        drop(second.await.unwrap());
        assert!(!stores().contains_key(store));
    }

    #[tokio::test]
    async fn a_call_that_gives_up_its_turn_leaves_nothing_behind() {
        let store = Path::new("/another/store");
        let first = turn(store).await;
        let mut second = Box::pin(turn(store));
        assert!(
            std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await.is_pending()
        );
        drop(first);
        // It has its turn now, and does not know yet.
        drop(second);
        assert!(!stores().contains_key(store));
    }
}
