//! Queues the calls of this process that are for the same store.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::store::FileIdentity;

/// A queue. A call waits in the queues of its store in this order, so that no two calls wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// The path as it was given. Calls with the same path keep their order: to resolve a path takes different
    /// times. A call leaves this queue when it has its turn in the next one.
    Given(PathBuf),
    /// The path without links and dots. The folder need not exist.
    Resolved(PathBuf),
    /// The folder, which has other paths, too, if it is mounted twice.
    Folder(FileIdentity),
}

type Queues = HashMap<Queue, Arc<AsyncMutex<()>>>;

static QUEUES: LazyLock<Mutex<Queues>> = LazyLock::new(Mutex::default);

/// The right to work on one store. When this is dropped, the next call in the queue gets it.
pub struct Turn {
    queue: Queue,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Waits for the earlier calls in this queue.
pub async fn turn(queue: Queue) -> Turn {
    let line = Arc::clone(queues().entry(queue.clone()).or_default());
    // Before the wait: if nobody waits for this future any more, the queue must leave the map all the same.
    let mut turn = Turn { queue, guard: None };
    turn.guard = Some(line.lock_owned().await);
    turn
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = queues();
        self.guard = None;
        // The last reference is the map's own, so no call is waiting.
        if queues.get(&self.queue).is_some_and(|line| Arc::strong_count(line) == 1) {
            queues.remove(&self.queue);
        }
    }
}

fn queues() -> std::sync::MutexGuard<'static, Queues> {
    // No code that can panic runs under this lock.
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_leave_nothing_behind() {
        let queue = Queue::Given("/a/store".into());
        let first = turn(queue.clone()).await;
        let second = tokio::spawn(turn(queue.clone()));
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        assert!(queues().contains_key(&queue));

        drop(first);
        drop(second.await.unwrap());
        assert!(!queues().contains_key(&queue));
    }

    #[tokio::test]
    async fn a_call_that_gives_up_its_turn_leaves_nothing_behind() {
        let queue = Queue::Given("/another/store".into());
        let first = turn(queue.clone()).await;
        let mut second = Box::pin(turn(queue.clone()));
        assert!(poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await.is_pending());
        drop(first);
        // It has its turn now, and does not know yet.
        drop(second);
        assert!(!queues().contains_key(&queue));
    }
}
