//! Every way in which a call can fail, and the code that JavaScript sees for it.

use std::{error::Error as StdError, fmt, io, path::Path};

use rusqlite::ErrorCode as SqliteCode;

use crate::in_use::find_other_process;

/// What went wrong, as far as a program needs to know. The only list of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidArgument,
    InvalidUserId,
    InvalidDeviceId,
    InvalidStorePath,
    AccountMismatch,
    StoreInUse,
    StorePassphrase,
    StoreCorrupt,
    StoreVersion,
    IdentityIncomplete,
    IdentityConflict,
    StoreIo,
    Internal,
}

impl ErrorCode {
    /// The `code` property of the JavaScript error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::InvalidUserId => "INVALID_USER_ID",
            Self::InvalidDeviceId => "INVALID_DEVICE_ID",
            Self::InvalidStorePath => "INVALID_STORE_PATH",
            Self::AccountMismatch => "ACCOUNT_MISMATCH",
            Self::StoreInUse => "STORE_IN_USE",
            Self::StorePassphrase => "STORE_PASSPHRASE",
            Self::StoreCorrupt => "STORE_CORRUPT",
            Self::StoreVersion => "STORE_VERSION",
            Self::IdentityIncomplete => "IDENTITY_INCOMPLETE",
            Self::IdentityConflict => "IDENTITY_CONFLICT",
            Self::StoreIo => "STORE_IO",
            Self::Internal => "INTERNAL",
        }
    }
}

impl AsRef<str> for ErrorCode {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// A failed call: the code for the program, the message for the person who reads it at night.
///
/// Messages name the store and never quote what is in it: a decoder's complaint may carry a piece
/// of the private key that it failed to decode.
#[derive(Debug)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A bug of ours. `what` must be a text of our own.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::Internal,
            format!("{what}. This is a bug in rust-crypto-helper: please report it"),
        )
    }

    /// The file system refused to do something with the store.
    pub fn io(store: &Path, doing: &str, error: &io::Error) -> Self {
        Self::new(
            ErrorCode::StoreIo,
            format!(
                "cannot {doing} for the store {}: {error}. Check the folder's permissions, the free space and \
                 whether the file system is writable, then call again",
                shown(store)
            ),
        )
    }

    /// The store's folder is not where it was when the call began.
    pub fn gone(store: &Path) -> Self {
        Self::new(
            ErrorCode::StoreIo,
            format!(
                "the store {} was moved or removed while a call worked on it. Nothing in it has changed; call again \
                 with the place where it is",
                shown(store)
            ),
        )
    }

    /// Somebody else has the store open. `who` completes "… is open in".
    pub fn in_use(store: &Path, who: &str) -> Self {
        Self::new(
            ErrorCode::StoreInUse,
            format!(
                "the store {} is open in {who}. Close it there (an OlmMachine: call close() and wait), or wait \
                 longer with the option busyTimeout; nothing in the store was touched",
                shown(store)
            ),
        )
    }

    /// With the name of the process that has the store open, if that can be found out. Takes a while.
    pub fn naming_holder(mut self, store: &Path) -> Self {
        if self.code == ErrorCode::StoreInUse
            && let Some(process) = find_other_process(store)
        {
            self.message = format!("{}. It is {process}", self.message);
        }
        self
    }

    /// The database is damaged or is none. `what` completes "the store … is damaged:".
    pub fn corrupt(store: &Path, what: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::StoreCorrupt,
            format!(
                "the store {} is damaged: {what}. Restore it from a backup; only when there is none, move it away \
                 and let a new device be made",
                shown(store)
            ),
        )
    }

    pub fn sqlite(store: &Path, error: &rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => Self::sqlite_failure(store, *failure, error),
            // A value of another type than the schema has, or a row that must be there and is not.
            _ => Self::corrupt(store, "its tables do not have the expected content"),
        }
    }

    fn sqlite_failure(store: &Path, failure: rusqlite::ffi::Error, message: &dyn fmt::Display) -> Self {
        match failure.code {
            SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked => {
                Self::in_use(store, "another connection")
            }
            SqliteCode::PermissionDenied
            | SqliteCode::ReadOnly
            | SqliteCode::SystemIoFailure
            | SqliteCode::DiskFull
            | SqliteCode::CannotOpen
            | SqliteCode::FileLockingProtocolFailed
            | SqliteCode::NoLargeFileSupport
            | SqliteCode::AuthorizationForStatementDenied => {
                let reason = system_reason(failure.extended_code);
                Self::io(store, "read or write the database", &io::Error::other(format!("{message}{reason}")))
            }
            SqliteCode::OutOfMemory | SqliteCode::ApiMisuse | SqliteCode::InternalMalfunction => {
                Self::internal(format_args!("SQLite reported {:?}", failure.code))
            }
            _ => Self::corrupt(store, message),
        }
    }

    /// An error of the Matrix SDK, by what is underneath it.
    pub fn sdk(store: &Path, error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(error) = inner.downcast_ref::<rusqlite::Error>() {
                return Self::sqlite(store, error);
            }
            // The SDK's transparent errors skip rusqlite's own and lead straight to what is below it.
            if let Some(failure) = inner.downcast_ref::<rusqlite::ffi::Error>() {
                return Self::sqlite_failure(store, *failure, error);
            }
            // Without a code of the system it is a decoder's, which ran out of what it reads.
            if let Some(error) = inner.downcast_ref::<io::Error>().filter(|e| e.raw_os_error().is_some()) {
                return Self::io(store, "open the database", error);
            }
            cause = inner.source();
        }
        Self::corrupt(store, "the account or the identity in it cannot be decoded")
    }
}

/// A path as a message has it.
pub fn shown(path: &Path) -> String {
    clipped(&path.display().to_string())
}

/// A text of whoever, for a message: a very long one loses its middle, not the message its end.
pub fn clipped(text: &str) -> String {
    const LONGEST: usize = 300;

    let length = text.chars().count();
    if length <= LONGEST {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST / 2).collect();
    let end: String = text.chars().skip(length - LONGEST / 2).collect();
    format!("{start}...{end}")
}

/// SQLite says "disk I/O error" for a dozen operations: the extended code tells which.
fn system_reason(extended_code: i32) -> String {
    use rusqlite::ffi;
    let operation = match extended_code {
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => "reading",
        ffi::SQLITE_IOERR_WRITE => "writing",
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => "syncing",
        ffi::SQLITE_IOERR_TRUNCATE => "truncating",
        ffi::SQLITE_IOERR_FSTAT => "looking at the file",
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_UNLOCK | ffi::SQLITE_IOERR_RDLOCK => "locking",
        ffi::SQLITE_IOERR_DELETE => "deleting the log",
        ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP => {
            "mapping the log's index"
        }
        _ => return String::new(),
    };
    format!(" while {operation}")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl StdError for Error {}
