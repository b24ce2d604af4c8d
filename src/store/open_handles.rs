//! Finds out who has a store open, without opening it.
//!
//! SQLite cannot tell for this process. POSIX locks belong to the whole process: two copies of SQLite
//! in it (ours and another addon's) do not see each other's locks, and closing a file drops the locks
//! of both (<https://sqlite.org/howtocorrupt.html>, 2.2.1). The operating system lists all handles.
//!
//! On Windows locks belong to the handle. Two copies of SQLite in one process see each other there.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
use std::path::Path;

#[cfg(target_os = "linux")]
use super::files::FileIdentity;
use crate::error::{Error, Result};

/// `STORE_IN_USE` if this process has a handle on any of the store's files.
#[cfg(unix)]
pub fn check_none(folder: &Path) -> Result<()> {
    handles::check(folder, |_, handles| handles == 0)
}

/// `STORE_IN_USE` if this process has more handles on the store's files than the one connection with
/// which we hold it exclusively: one on each file at most, and none on the index of the log.
#[cfg(unix)]
pub fn check_only_ours(folder: &Path) -> Result<()> {
    use super::files::LOG_INDEX;

    handles::check(folder, |suffix, handles| handles <= usize::from(suffix != LOG_INDEX))
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn check_none(_folder: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn check_only_ours(_folder: &Path) -> Result<()> {
    Ok(())
}

/// Which other process has which file open, as far as this one may know.
#[cfg(target_os = "linux")]
pub struct Holders(HashMap<FileIdentity, u32>);

#[cfg(target_os = "linux")]
impl Holders {
    pub fn list() -> Self {
        let mut holders = HashMap::new();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id: Option<u32> = process.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(id) = id.filter(|id| *id != std::process::id()) else { continue };
            let files = handles::list(&process.path().join("fd")).unwrap_or_default();
            holders.extend(files.into_keys().map(|file| (file, id)));
        }
        Self(holders)
    }

    /// The process that has a store open: `process 4711 (python3)`.
    pub fn of(&self, folder: &Path) -> Option<String> {
        let id = handles::files_of(folder).into_iter().find_map(|(_, file)| self.0.get(&file))?;
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        Some(format!("process {id} ({})", name.trim_end()))
    }
}

#[cfg(not(target_os = "linux"))]
pub struct Holders;

#[cfg(not(target_os = "linux"))]
impl Holders {
    pub fn list() -> Self {
        Self
    }

    pub fn of(&self, _folder: &Path) -> Option<String> {
        None
    }
}

#[cfg(unix)]
mod handles {
    use std::{
        collections::HashMap,
        fs, io, iter,
        path::Path,
        sync::{Arc, Mutex, PoisonError},
        time::Instant,
    };

    use super::{Error, Result};
    use crate::store::files::{COMPANIONS, FileIdentity, companion};

    const OF_THIS_PROCESS: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

    type File = (&'static str, FileIdentity);

    /// How many handles there are on each file.
    type Handles = HashMap<FileIdentity, usize>;

    pub fn check(folder: &Path, expected: impl Fn(&str, usize) -> bool) -> Result<()> {
        let files = files_of(folder);
        let handles =
            of_this_process().map_err(|error| Error::io("list the open files of this process", &error))?;
        let count = |file| handles.get(&file).copied().unwrap_or_default();
        if files.into_iter().all(|(suffix, file)| expected(suffix, count(file))) {
            Ok(())
        } else {
            Err(Error::in_use("this process"))
        }
    }

    /// The store's files that exist, each with the suffix of its name.
    pub fn files_of(folder: &Path) -> Vec<File> {
        let suffixes = iter::once("").chain(COMPANIONS);
        suffixes
            .filter_map(|suffix| Some((suffix, FileIdentity::of(&companion(folder, suffix)).ok()?)))
            .collect()
    }

    /// The handles of this process, at a moment after the call of this function. To list them takes as long as there
    /// are many, so all that ask while one list is made share the next one.
    fn of_this_process() -> io::Result<Arc<Handles>> {
        static LISTED: Mutex<Option<(Instant, Arc<Handles>)>> = Mutex::new(None);

        let asked = Instant::now();
        let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*listed {
            Some((begun, handles)) if *begun > asked => Ok(Arc::clone(handles)),
            _ => {
                let begun = Instant::now();
                let handles = Arc::new(list(Path::new(OF_THIS_PROCESS))?);
                *listed = Some((begun, Arc::clone(&handles)));
                Ok(handles)
            }
        }
    }

    /// The handles of a process. Each entry in the list of its handles leads to the open file itself, and looking
    /// at it opens nothing.
    pub fn list(handles: &Path) -> io::Result<Handles> {
        let mut counted = Handles::new();
        for handle in fs::read_dir(handles)?.flatten() {
            let Ok(open) = fs::metadata(handle.path()) else { continue };
            // What is in a store is a file.
            if open.is_file() {
                *counted.entry(FileIdentity::from(&open)).or_default() += 1;
            }
        }
        Ok(counted)
    }
}
