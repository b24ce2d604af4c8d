//! Finds out who has a store open, without opening it.
//!
//! SQLite cannot tell for this process. POSIX locks belong to the whole process: two copies of SQLite
//! in it (ours and another addon's) do not see each other's locks, and closing a file drops the locks
//! of both (<https://sqlite.org/howtocorrupt.html>, 2.2.1). The operating system lists all handles.
//!
//! On Windows locks belong to the handle. Two copies of SQLite in one process see each other there.

use std::path::Path;

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

/// Another process that has the store open, as far as this one may know: `process 4711 (python3)`.
#[cfg(target_os = "linux")]
pub fn other_process(folder: &Path) -> Option<String> {
    let files = handles::files_of(folder);
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let handles = process.path().join("fd");
        let holds =
            id != std::process::id() && handles::count(&handles, &files).ok()?.iter().any(|&open| open > 0);
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("process {id} ({})", name.trim_end()))
    })
}

#[cfg(not(target_os = "linux"))]
pub fn other_process(_folder: &Path) -> Option<String> {
    None
}

#[cfg(unix)]
mod handles {
    use std::{fs, io, iter, path::Path};

    use super::{Error, Result};
    use crate::store::files::{COMPANIONS, FileIdentity, companion};

    const OF_THIS_PROCESS: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

    type File = (&'static str, FileIdentity);

    pub fn check(folder: &Path, expected: impl Fn(&str, usize) -> bool) -> Result<()> {
        let files = files_of(folder);
        let handles = count(Path::new(OF_THIS_PROCESS), &files)
            .map_err(|error| Error::io("list the open files of this process", &error))?;
        if files.iter().zip(handles).all(|(&(suffix, _), handles)| expected(suffix, handles)) {
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

    /// How many handles a process has on each of the files. Each entry in the list of its handles
    /// leads to the open file itself, and looking at it opens nothing.
    pub fn count(handles: &Path, files: &[File]) -> io::Result<Vec<usize>> {
        let mut counted = vec![0; files.len()];
        for handle in fs::read_dir(handles)?.flatten() {
            let Ok(open) = FileIdentity::of(&handle.path()) else { continue };
            if let Some(index) = files.iter().position(|&(_, file)| file == open) {
                counted[index] += 1;
            }
        }
        Ok(counted)
    }
}
