//! The files that belong to the project: those that git tracks or would track. Reads them; judges nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One file of the tree.
#[derive(Clone, Debug)]
pub struct TreeFile {
    /// Its path from the root, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its text; `None` for what is not UTF-8.
    pub text: Option<String>,
}

impl TreeFile {
    /// Whether its name ends so.
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Every file that git tracks, or would after `git add`, in the order of their paths.
///
/// # Errors
/// Git cannot be run, or this is no clone.
pub fn tree_files() -> io::Result<Vec<TreeFile>> {
    let root = root();
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(arguments).current_dir(&root).output()?;
    if !listed.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&listed.stderr).into_owned()));
    }
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|path| !path.is_empty()) {
        // A file that is deleted but not yet from the index is not there.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        files.push(TreeFile { path: path.to_owned(), bytes: bytes.len() as u64, text: String::from_utf8(bytes).ok() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
