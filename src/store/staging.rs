//! A new store is built where nobody else looks for it. It gets its name when it is whole and synced.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use tempfile::TempPath;

use super::{
    files::{DATABASE, FileIdentity, STAGING, create_private_file, create_private_folder, open_folder},
    folder::StoreFolder,
};
use crate::error::{Error, Result};

/// A private folder inside the store's folder, so on the same file system. When this is dropped, the
/// folder goes.
pub struct Staging<'a> {
    path: PathBuf,
    folder: &'a StoreFolder,
    /// Open, so that no other folder can get the same identity.
    created: Option<(File, FileIdentity)>,
}

impl<'a> Staging<'a> {
    /// For a folder without leftovers of an interrupted call.
    pub fn create(folder: &'a StoreFolder) -> Result<Self> {
        let path = folder.path().join(STAGING);
        let refused = |error: io::Error| Error::io("make a folder to build it in", &error);
        create_private_folder(&path).map_err(refused)?;
        let created = open_folder(&path).map_err(refused)?;
        Ok(Self { path, folder, created })
    }

    /// Puts a finished database in its place. It appears whole, from one moment to the next.
    pub fn publish(self, database: &[u8]) -> Result<()> {
        let staged = self.path.join(DATABASE);
        let file = create_private_file(&staged, database)
            .map_err(|error| Error::io("write the database", &error))?;
        file.sync_all().map_err(|error| Error::io("sync the database", &error))?;
        drop(file);

        self.folder.remove_orphans()?;
        let place = self.folder.path().join(DATABASE);
        TempPath::try_from_path(staged)
            .map_err(|error| Error::io("name the database", &error))?
            .persist_noclobber(&place)
            .map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => Error::in_use("another program, which has just made it"),
                _ if self.is_moved() => Error::gone(),
                _ => Error::io("put the database in its place", &refused.error),
            })?;

        self.folder.sync().map_err(|error| {
            // Nobody has been told of this store: no store is better than one that may vanish.
            let _ = fs::remove_file(&place);
            Error::io("sync the folder", &error)
        })?;
        if self.folder.is_in_place() { Ok(()) } else { Err(Error::gone_after_write()) }
    }

    fn is_moved(&self) -> bool {
        let found = FileIdentity::of(&self.path).ok();
        self.created.as_ref().is_some_and(|(_, created)| found.as_ref() != Some(created))
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // If removing fails, the next call cleans up.
        if !self.is_moved() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
