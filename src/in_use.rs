//! Is a store open somewhere in this process? SQLite cannot tell: POSIX locks belong to the whole
//! process, two copies of SQLite in it (ours and another addon's) do not see each other's, and
//! closing a file drops the locks of both (<https://sqlite.org/howtocorrupt.html>, 2.2.1). So this
//! must be asked before the database is opened, and without opening it.

use std::path::Path;

use crate::error::Result;

/// `STORE_IN_USE` if this process has a handle on any of the store's files.
#[cfg(unix)]
pub fn check_this_process(store: &Path) -> Result<()> {
    use std::{fs, os::unix::fs::MetadataExt};

    use crate::{
        error::Error,
        folder::{COMPANIONS, DATABASE},
    };

    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let files: Vec<(u64, u64)> = std::iter::once("")
        .chain(COMPANIONS)
        .filter_map(|suffix| identity(&store.join(format!("{DATABASE}{suffix}"))).ok())
        .collect();

    // Each entry leads to the open file itself: looking at it is fstat(2), and opens nothing.
    let handles = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let handles = fs::read_dir(handles)
        .map_err(|error| Error::io(store, "list the open files of this process", &error))?;
    for handle in handles.flatten() {
        if identity(&handle.path()).is_ok_and(|open| files.contains(&open)) {
            return Err(Error::in_use(store, "this process"));
        }
    }
    Ok(())
}

/// Windows' locks belong to the handle: two copies of SQLite in one process see each other there.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn check_this_process(_store: &Path) -> Result<()> {
    Ok(())
}
