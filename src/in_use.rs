//! Is a store open somewhere? Asked of the operating system, without opening the store: for this
//! process SQLite cannot tell. POSIX locks belong to the whole process, two copies of SQLite in it
//! (ours and another addon's) do not see each other's, and closing a file drops the locks of both
//! (<https://sqlite.org/howtocorrupt.html>, 2.2.1).
//!
//! Windows' locks belong to the handle: two copies of SQLite in one process see each other there,
//! and there is nothing to ask.

use std::path::Path;

use crate::error::{Error, Result};

/// `STORE_IN_USE` if this process has a handle on any of the store's files.
#[cfg(unix)]
pub fn check_this_process(store: &Path) -> Result<()> {
    let handles = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    match handles::any_on(Path::new(handles), &handles::files_of(store)) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::in_use(store, "this process")),
        Err(error) => Err(Error::io(store, "list the open files of this process", &error)),
    }
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn check_this_process(_store: &Path) -> Result<()> {
    Ok(())
}

/// Another process that has the store open, as far as this one may know: `process 4711 (python3)`.
#[cfg(target_os = "linux")]
pub fn find_other_process(store: &Path) -> Option<String> {
    let files = handles::files_of(store);
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let holds = id != std::process::id() && handles::any_on(&process.path().join("fd"), &files).ok()?;
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("process {id} ({})", name.trim_end()))
    })
}

#[cfg(not(target_os = "linux"))]
pub fn find_other_process(_store: &Path) -> Option<String> {
    None
}

#[cfg(unix)]
mod handles {
    use std::{fs, io, iter, path::Path};

    use crate::folder::{COMPANIONS, DATABASE, FileIdentity};

    pub fn files_of(store: &Path) -> Vec<FileIdentity> {
        iter::once("")
            .chain(COMPANIONS)
            .filter_map(|suffix| FileIdentity::of(&store.join(format!("{DATABASE}{suffix}"))).ok())
            .collect()
    }

    /// Whether a process, whose handles are listed in a folder, has one on any of the files. Each
    /// entry leads to the open file itself: looking at it opens nothing.
    pub fn any_on(handles: &Path, files: &[FileIdentity]) -> io::Result<bool> {
        let mut handles = fs::read_dir(handles)?.flatten();
        Ok(handles.any(|handle| FileIdentity::of(&handle.path()).is_ok_and(|open| files.contains(&open))))
    }
}
