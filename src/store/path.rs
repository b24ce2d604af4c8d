//! The one absolute spelling of a store's folder.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::files::FileIdentity;
use crate::error::{Error, ErrorCode, Result};

/// The folder of a store, whatever its path.
pub struct Resolved {
    pub path: PathBuf,
    /// `None` if it does not exist yet, or if the system does not tell.
    pub identity: Option<FileIdentity>,
}

/// Finds the folder. It need not exist.
pub fn resolve(store: &Path) -> Result<Resolved> {
    let path = without_links(store)?;
    let identity = if cfg!(unix) { FileIdentity::of(&path).ok() } else { None };
    Ok(Resolved { path, identity })
}

/// Resolves links and dots.
fn without_links(store: &Path) -> Result<PathBuf> {
    let mut existing = store;
    let mut missing = Vec::new();
    let mut resolved = loop {
        // To resolve the links takes a system call for each part of the path, so it comes when there is something.
        match fs::metadata(existing).and_then(|_| fs::canonicalize(existing)) {
            Ok(real) => break real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut parts = existing.components();
                let (Some(last), parent) = (parts.next_back(), parts.as_path()) else {
                    return Err(Error::io("find the folder", &error));
                };
                missing.push(last);
                existing = parent;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(not_a_folder()),
            Err(error) => return Err(Error::io("find the folder", &error)),
        }
    };
    for part in missing.into_iter().rev() {
        match part {
            // A missing part is no link, so ".." only shortens the path.
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    Ok(resolved)
}

pub fn not_a_folder() -> Error {
    Error::new(
        ErrorCode::InvalidStorePath,
        "something other than a folder has this name. Choose another path, or move it away",
    )
}
