//! Lets as many calls compute at once as there are processors. The other calls that are at work wait for the disk.

use std::{
    sync::{Condvar, LazyLock, Mutex, PoisonError},
    thread::available_parallelism,
};

static PROCESSORS: LazyLock<Processors> =
    LazyLock::new(|| Processors::new(available_parallelism().map_or(1, usize::from)));

struct Processors {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A processor that a call has. When this is dropped, another call gets it.
struct Taken<'a>(&'a Processors);

impl Processors {
    fn new(free: usize) -> Self {
        Self { free: Mutex::new(free), given_back: Condvar::new() }
    }

    // No code that can panic runs under this lock.
    fn take(&self) -> Taken<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Taken(self)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}

/// Runs `work`, which computes and does not wait for the disk, as soon as a processor is free. Call this only on a
/// thread that may block.
pub fn computing<T>(work: impl FnOnce() -> T) -> T {
    let _taken = PROCESSORS.take();
    work()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn no_more_compute_than_there_are_processors() {
        let processors = Processors::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _taken = processors.take();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
    }

    #[test]
    fn a_panic_gives_the_processor_back() {
        let processors = Processors::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _taken = processors.take();
            panic!("expected by the test");
        }));
        assert!(panicked.is_err());
        drop(processors.take());
    }
}
