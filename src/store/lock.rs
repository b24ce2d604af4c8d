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

/// The bytes of a database that SQLite locks, by offset and length: `PENDING_BYTE`, and the shared range.
/// <https://sqlite.org/src/file/src/os.h>
#[cfg(target_os = "linux")]
const PENDING: (i64, i64) = (0x4000_0000, 1);
#[cfg(target_os = "linux")]
const SHARED: (i64, i64) = (0x4000_0002, 510);
#[cfg(target_os = "linux")]
const ALL: (i64, i64) = (0x4000_0000, 512);

/// The byte of the index of a log that is locked during a checkpoint: `WAL_CKPT_LOCK`.
/// <https://sqlite.org/walformat.html>
#[cfg(target_os = "linux")]
const CHECKPOINT: (i64, i64) = (121, 1);

/// Locks the bytes of a database that SQLite locks, before SQLite opens it. `STORE_IN_USE` if somebody
/// has it open.
///
/// SQLite's own locks belong to the process, so another copy of SQLite in this process does not see
/// them. This lock belongs to the open file, and conflicts with the locks of every process, ours too.
/// `None` means that the file system or the system has no such locks.
#[cfg(target_os = "linux")]
pub fn lock_database(database: &Path) -> Result<Option<File>> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(database)
        .map_err(|error| Error::io("write the database", &error))?;
    Ok(lock_bytes(&file, Kind::Exclusive, ALL)?.then_some(file))
}

/// Keeps a database as it is while it is read, as far as that does not stop a process that has it open.
/// `STORE_IN_USE` if somebody keeps it from being read.
///
/// Nobody can remove the log, or copy it into the database. Nobody can open the database either: if
/// something in this process opened it, it would lose its locks when we close the file.
///
/// `None` means that the file system or the system has no such locks.
#[cfg(target_os = "linux")]
pub fn lock_for_reading(database: &Path, log_index: &Path) -> Result<Option<(File, Option<File>)>> {
    let refused = |error| Error::io("read the database", &error);
    let (file, is_writable) = match File::options().read(true).write(true).open(database) {
        Ok(file) => (file, true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            (File::open(database).map_err(refused)?, false)
        }
        Err(error) => return Err(refused(error)),
    };
    // The system locks a file exclusively only for who may write to it.
    if is_writable && !lock_bytes(&file, Kind::Exclusive, PENDING)? {
        return Ok(None);
    }
    if !lock_bytes(&file, Kind::Shared, SHARED)? {
        return Ok(None);
    }
    let index = match File::open(log_index) {
        Ok(index) => Some(index),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("read the index of the log", &error)),
    };
    match &index {
        Some(index) if !lock_bytes(index, Kind::Shared, CHECKPOINT)? => Ok(None),
        _ => Ok(Some((file, index))),
    }
}

#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
enum Kind {
    Shared,
    Exclusive,
}

/// `STORE_IN_USE` if somebody else has a lock there. `false` if there are no such locks.
#[cfg(target_os = "linux")]
fn lock_bytes(file: &File, kind: Kind, (first, length): (i64, i64)) -> Result<bool> {
    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
        libc,
    };

    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
    };
    #[allow(clippy::cast_possible_truncation)] // the constants are small
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: first as libc::off_t,
        l_len: length as libc::off_t,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(Error::in_use("another process")),
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)]
pub fn lock_database(_database: &Path) -> Result<Option<File>> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)]
pub fn lock_for_reading(_database: &Path, _log_index: &Path) -> Result<Option<(File, Option<File>)>> {
    Ok(None)
}
