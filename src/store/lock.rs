//! The lock that keeps other bootstraps out of a store's folder, and the lock that keeps every other
//! SQLite out of its database. Both end with the process, however that ends.

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

/// Locks the bytes of a database that SQLite locks, before SQLite opens it. `STORE_IN_USE` if somebody
/// has it open.
///
/// SQLite's own locks belong to the process, so another copy of SQLite in this process does not see
/// them. This lock belongs to the open file, and conflicts with the locks of every process, ours too.
/// `None` means that the file system or the system has no such locks.
#[cfg(target_os = "linux")]
pub fn lock_database(database: &Path) -> Result<Option<File>> {
    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
        libc,
    };

    // <https://sqlite.org/src/file/src/os.h>: PENDING_BYTE, and the bytes up to the end of the shared range.
    const FIRST: libc::off_t = 0x4000_0000;
    const LENGTH: libc::off_t = 512;

    let file = File::options()
        .read(true)
        .write(true)
        .open(database)
        .map_err(|error| Error::io("write the database", &error))?;
    #[allow(clippy::cast_possible_truncation)] // the constants are small
    let exclusive = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: FIRST,
        l_len: LENGTH,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&exclusive)) {
        Ok(_) => Ok(Some(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(Error::in_use("another process")),
        Err(_) => Ok(None),
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)]
pub fn lock_database(_database: &Path) -> Result<Option<File>> {
    Ok(None)
}
