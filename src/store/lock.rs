//! The lock that keeps bootstraps of other processes out of a store's folder. It ends with the
//! process, however that ends.

use std::{fs::File, io, path::Path};

use crate::error::{Error, Result};

/// `STORE_IN_USE` if another bootstrap has the lock.
///
/// The lock is on the folder itself, so no lock file is ever left in it. `None` means that the file
/// system has no locks for folders (NFS).
#[cfg(unix)]
pub fn lock(folder: &Path) -> Result<Option<File>> {
    use std::fs::TryLockError;

    use super::files::FileIdentity;

    let refused = |error: io::Error| match error.kind() {
        // Another call made the folder and removed it again. That is like a lock that it still holds.
        io::ErrorKind::NotFound => busy(),
        _ => Error::io("open the folder", &error),
    };
    let open = File::open(folder).map_err(refused)?;
    match open.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(_)) => return Ok(None),
    }
    let locked = FileIdentity::from(&open.metadata().map_err(refused)?);
    if FileIdentity::of(folder).map_err(refused)? == locked { Ok(Some(open)) } else { Err(busy()) }
}

/// Windows locks no folders. The lock is a file that only one process can open, and that Windows
/// removes when the process closes it or dies.
#[cfg(windows)]
pub fn lock(folder: &Path) -> Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    // While the last holder's file is being deleted.
    const ERROR_ACCESS_DENIED: i32 = 5;

    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .share_mode(0)
        .custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
        .open(folder.join(".rust-crypto-helper-lock"))
        .map(Some)
        .map_err(|error| match (error.raw_os_error(), error.kind()) {
            (Some(ERROR_SHARING_VIOLATION | ERROR_ACCESS_DENIED), _) | (_, io::ErrorKind::NotFound) => busy(),
            _ => Error::io("lock the folder", &error),
        })
}

fn busy() -> Error {
    Error::in_use("another bootstrap, of another process")
}
