//! Every way in which a call can fail, and the code that JavaScript sees for it.

use std::{fmt, io, path::Path};

use rusqlite::ErrorCode as SqliteCode;

/// What went wrong, as far as a program needs to know. A test holds the declared codes against this list.
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
    InvalidRecoveryKey,
    RecoveryKeyMismatch,
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
            Self::InvalidRecoveryKey => "INVALID_RECOVERY_KEY",
            Self::RecoveryKeyMismatch => "RECOVERY_KEY_MISMATCH",
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

/// A failed call: a code for the program, a message for the person.
///
/// The message is one line. It never quotes what is in a store: a decoder's complaint may contain a
/// piece of the private key that it failed to decode. The code that knows which store it is about
/// adds the path once ([`Error::about`]).
#[derive(Debug)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self { code, message: one_line(message.as_ref()) }
    }

    /// Says which store the error is about.
    pub fn about(mut self, store: &Path) -> Self {
        self.message = format!("the store {}: {}", one_line(&shown(store)), self.message);
        self
    }

    /// A bug of this package. `what` must be a text of our own.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::Internal,
            format!("{what}. This is a bug in rust-crypto-helper: please report it"),
        )
    }

    /// The file system refused. `doing` completes "cannot …".
    pub fn io(doing: &str, error: &io::Error) -> Self {
        Self::new(
            ErrorCode::StoreIo,
            format!(
                "cannot {doing}: {error}. Check the folder's permissions, the free space and whether the file system \
                 is writable, then call again"
            ),
        )
    }

    /// The store was moved away or removed before the call wrote to it.
    pub fn gone() -> Self {
        Self::new(
            ErrorCode::StoreIo,
            "it was moved or removed while the call worked on it. The call changed nothing. Call again with the \
             path where it is now",
        )
    }

    /// The store was moved away or removed while the call wrote to it.
    pub fn gone_after_write() -> Self {
        Self::new(
            ErrorCode::StoreIo,
            "it was moved or removed while the call wrote to it. If it was moved, it may hold the new identity. Call \
             again with the path where it is now",
        )
    }

    /// Somebody else has the store open. `who` completes "it is open in …".
    pub fn in_use(who: &str) -> Self {
        Self::new(
            ErrorCode::StoreInUse,
            format!(
                "it is open in {who}. Close it there (an OlmMachine: call close() and wait), or wait longer with the \
                 option busyTimeout. The call changed nothing"
            ),
        )
    }

    /// The database is damaged, or it is no database. `what` completes "it is damaged: …".
    pub fn corrupt(what: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::StoreCorrupt,
            format!(
                "it is damaged: {what}. The call changed nothing. Restore the store from a backup. Only if there is \
                 none, move it away and let a new device be made"
            ),
        )
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        // Never the error's own text as a whole: it may contain the SQL statement.
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                sqlite_failure(failure, message.as_deref().unwrap_or_default())
            }
            rusqlite::Error::SqlInputError { error: failure, msg, .. } => sqlite_failure(failure, &msg),
            // A value of another type than the schema says, or a row that must be there and is not.
            _ => Self::corrupt("its tables do not have the expected content"),
        }
    }
}

fn sqlite_failure(failure: rusqlite::ffi::Error, message: &str) -> Error {
    match failure.code {
        SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked => Error::in_use("another connection"),
        SqliteCode::PermissionDenied
        | SqliteCode::ReadOnly
        | SqliteCode::SystemIoFailure
        | SqliteCode::DiskFull
        | SqliteCode::CannotOpen
        | SqliteCode::FileLockingProtocolFailed
        | SqliteCode::NoLargeFileSupport
        | SqliteCode::AuthorizationForStatementDenied => {
            let operation = operation(failure.extended_code);
            Error::io("read or write the database", &io::Error::other(format!("{message}{operation}")))
        }
        SqliteCode::OutOfMemory | SqliteCode::ApiMisuse | SqliteCode::InternalMalfunction => {
            Error::internal(format_args!("SQLite reported {:?}", failure.code))
        }
        _ => Error::corrupt(clipped(message)),
    }
}

/// SQLite says "disk I/O error" for a dozen operations. The extended code says which.
fn operation(extended_code: i32) -> String {
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

/// A path as a message shows it.
pub fn shown(path: &Path) -> String {
    clipped(&path.display().to_string())
}

/// Shortens untrusted text by cutting its middle.
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

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}
