//! The arguments of a call. They are checked before the call touches anything.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorCode, Result, clipped},
    homeserver::{Answer, ServerKeys},
    recovery::{Recovery, SecretStorage},
    schedule::abort::Abort,
};

/// How long a call waits for a store that somebody else has open. The caller may choose another time.
pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The arguments of one call. They are copies: nothing in them points into JavaScript's memory.
#[derive(Clone)]
pub struct Request {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    /// Absolute. A relative path was resolved against the working directory at the time of the call.
    pub store_path: PathBuf,
    pub options: Options,
}

/// The arguments of a look at a store.
pub struct Inspection {
    /// Absolute, as in [`Request`].
    pub store_path: PathBuf,
    pub passphrase: Option<Zeroizing<String>>,
    pub busy_timeout: Duration,
    pub abort: Abort,
}

impl Inspection {
    pub fn new(
        store_path: &str,
        passphrase: Option<Zeroizing<String>>,
        busy_timeout: Duration,
    ) -> Result<Self> {
        let store_path = parse_store_path(store_path)?;
        Ok(Self { store_path, passphrase, busy_timeout, abort: Abort::default() })
    }
}

#[derive(Clone)]
pub struct Options {
    pub passphrase: Option<Zeroizing<String>>,
    pub reset: bool,
    pub busy_timeout: Duration,
    /// What the answer to a `keys/query` says about the user and the device.
    pub server_keys: Option<Answer>,
    pub recovery: Option<Recovery>,
    pub abort: Abort,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            passphrase: None,
            reset: false,
            busy_timeout: DEFAULT_BUSY_TIMEOUT,
            server_keys: None,
            recovery: None,
            abort: Abort::default(),
        }
    }
}

impl Request {
    pub fn new(user_id: &str, device_id: &str, store_path: &str, options: Options) -> Result<Self> {
        Ok(Self {
            user_id: parse_user_id(user_id)?,
            device_id: parse_device_id(device_id)?,
            store_path: parse_store_path(store_path)?,
            options,
        })
    }

    /// Must not run on the JavaScript thread: many keys take long.
    pub fn server_keys(&self) -> Option<ServerKeys> {
        let answer = self.options.server_keys.as_ref()?;
        Some(ServerKeys::parse(answer, &self.user_id, &self.device_id))
    }

    pub fn secret_storage(&self) -> Result<Option<SecretStorage>> {
        self.options.recovery.as_ref().map(|recovery| recovery.open(&self.user_id)).transpose()
    }

    pub fn passphrase(&self) -> Option<&str> {
        self.options.passphrase.as_ref().map(|passphrase| passphrase.as_str())
    }
}

pub fn parse_user_id(user_id: &str) -> Result<OwnedUserId> {
    let invalid = || {
        Error::new(
            ErrorCode::InvalidUserId,
            format!(
                "{:?} is not a Matrix user ID: write it in full, as in @_ghost:example.org",
                clipped(user_id)
            ),
        )
    };
    let parsed = UserId::parse(user_id).map_err(|_| invalid())?;
    // The grammar of historical user IDs allows these. No homeserver has such a user.
    if parsed.localpart().is_empty() || user_id.chars().any(char::is_control) {
        return Err(invalid());
    }
    Ok(parsed)
}

pub fn parse_device_id(device_id: &str) -> Result<OwnedDeviceId> {
    if device_id.is_empty() || device_id.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorCode::InvalidDeviceId,
            format!(
                "{:?} is not a device ID: it must not be empty nor hold control characters",
                clipped(device_id)
            ),
        ));
    }
    Ok(device_id.into())
}

fn parse_store_path(store_path: &str) -> Result<PathBuf> {
    let invalid = |why: &str| {
        Error::new(
            ErrorCode::InvalidStorePath,
            format!(
                "{:?} is not a store path: {why}. Give the folder that OlmMachine.initialize takes",
                clipped(store_path)
            ),
        )
    };
    if store_path.is_empty() {
        return Err(invalid("it is empty"));
    }
    if store_path.contains('\0') {
        return Err(invalid("it holds a NUL character"));
    }
    std::path::absolute(Path::new(store_path)).map_err(|error| Error::io("find the current folder", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(user_id: &str, device_id: &str, store_path: &str) -> Option<ErrorCode> {
        Request::new(user_id, device_id, store_path, Options::default()).err().map(|error| error.code)
    }

    /// Reads freed memory by way of the kernel. Without wiping, all but the first bytes would still be there.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_passphrase_is_wiped_from_memory() {
        use std::os::unix::fs::FileExt;

        let passphrase = "correct horse battery staple ".repeat(8);
        let options = Options { passphrase: Some(passphrase.clone().into()), ..Options::default() };
        let request = Request::new("@ghost:example.org", "DEVICE", "store", options).unwrap();
        let address = request.passphrase().unwrap().as_ptr() as u64;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let read = || {
            let mut bytes = vec![0; passphrase.len()];
            memory.read_exact_at(&mut bytes, address).map(|()| String::from_utf8_lossy(&bytes).into_owned())
        };
        assert_eq!(read().unwrap(), passphrase);
        drop(request);
        // The allocator may have given the page back.
        assert!(read().map_or(true, |left| !left.contains("horse")));
    }

    #[test]
    fn ids_and_paths_are_checked() {
        assert_eq!(code("@ghost:example.org", "DEVICE", "store"), None);
        for user_id in
            ["", "ghost", "@ghost", "@:example.org", "ghost:example.org", "@ghost:", "@g\u{1}:example.org"]
        {
            assert_eq!(code(user_id, "DEVICE", "store"), Some(ErrorCode::InvalidUserId), "{user_id:?}");
        }
        for device_id in ["", "A\nB", "\u{7f}"] {
            assert_eq!(code("@ghost:example.org", device_id, "store"), Some(ErrorCode::InvalidDeviceId));
        }
        for path in ["", "a\0b"] {
            assert_eq!(code("@ghost:example.org", "DEVICE", path), Some(ErrorCode::InvalidStorePath));
        }
    }
}
