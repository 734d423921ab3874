//! The mark in a log's folder that says whose log it is. Without it an unmounted disk would look like a new, empty log, and what
//! was acknowledged would be missing in silence.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use proximadb_model::SiteId;
use proximadb_ports::{Fault, PortError, Result};

/// No name of a log's file contains a tilde, so this file shows in no listing.
const MARK: &str = "proximadb~site";

const OP: &str = "site.open";

/// Sees to it that the folder is that of the site's log; one without a mark becomes it where it `may_be_new`.
///
/// # Errors
/// `Unavailable` when it is the folder of another log, or has no mark and should have one.
pub(crate) fn check(folder: &Path, site: SiteId, may_be_new: bool) -> Result<()> {
    let path = folder.join(MARK);
    let wrong = |message: String| Err(PortError::new(Fault::Unavailable, OP, folder.display(), message));
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == site.to_string() => Ok(()),
        Ok(text) => wrong(format!("the log of site {} is here, not that of site {site}", text.trim())),
        Err(e) if e.kind() == io::ErrorKind::NotFound && may_be_new => {
            mark(folder, site).map_err(|e| PortError::new(Fault::Unavailable, OP, path.display(), "cannot be written").with_source(e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => wrong(format!(
            "the log of site {site} should be here and is not; is its disk mounted? Where it is lost for good, a file {MARK} with the \
             text {site} in this folder lets the site go on without it"
        )),
        Err(e) => Err(PortError::new(Fault::Unavailable, OP, path.display(), "cannot be read").with_source(e)),
    }
}

/// Durable before anything is logged: beside under another name first, so that it is whole or not there.
fn mark(folder: &Path, site: SiteId) -> io::Result<()> {
    let beside = folder.join("proximadb~site~new");
    let mut file = File::create(&beside)?;
    writeln!(file, "{site}")?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(MARK))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proximadb_model::Uid;

    #[test]
    fn a_folder_is_marked_once_and_known_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (site, other) = (SiteId(Uid([1; 16])), SiteId(Uid([2; 16])));
        let refused = check(folder.path(), site, false).expect_err("a log is missing");
        assert!(refused.message.contains("is its disk mounted?") && refused.message.contains(&site.to_string()), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "nothing was written");
        check(folder.path(), site, true).expect("new");
        check(folder.path(), site, false).expect("marked");
        assert_eq!(check(folder.path(), other, true).expect_err("another's").fault, Fault::Unavailable);
        // What the message tells an operator to do.
        let lost = tempfile::tempdir().expect("a folder");
        fs::write(lost.path().join(MARK), site.to_string()).expect("written");
        check(lost.path(), site, false).expect("accepted");
    }
}
