//! A server's configuration with plugins in it: components written to a folder, each under a name with its digest.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::Server;

/// A folder with components, a configuration that names them, and the data of the server that runs on it.
pub struct PluginStand {
    folder: TempDir,
    head: String,
    entries: Vec<(String, String)>,
}

impl PluginStand {
    /// Without plugins yet; `head` stands in the configuration before them.
    ///
    /// # Panics
    /// When no folder can be made.
    pub fn new(head: &str) -> Self {
        Self { folder: TempDir::new().expect("a folder"), head: head.to_owned(), entries: Vec::new() }
    }

    /// Another beginning of the configuration.
    pub fn set_head(&mut self, head: &str) {
        self.head = head.to_owned();
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a component, in place of one of this name, and gives its entry in the configuration with `more` lines.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn put(&mut self, name: &str, kind: &str, bytes: &[u8], more: &str) {
        let sha256 = sha256(bytes);
        self.put_with_digest(name, kind, bytes, &sha256, more);
    }

    /// As [`PluginStand::put`], with a digest that may be another's.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn put_with_digest(&mut self, name: &str, kind: &str, bytes: &[u8], sha256: &str, more: &str) {
        let path = self.folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bytes).expect("writable");
        let entry = format!("[plugins.{name}]\nkind = {kind:?}\npath = {:?}\nsha256 = {sha256:?}\n{more}\n", path.display().to_string());
        self.entries.retain(|(there, _)| there != name);
        self.entries.push((name.to_owned(), entry));
    }

    /// Takes a plugin out of the configuration.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(there, _)| there != name);
    }

    fn config(&self) -> PathBuf {
        let path = self.folder.path().join("server.toml");
        let entries: String = self.entries.iter().map(|(_, entry)| format!("\n{entry}")).collect();
        std::fs::write(&path, format!("{}\n{entries}", self.head)).expect("writable");
        path
    }

    /// Starts a server on the configuration as it is now.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start(&self) -> Server {
        let config = self.config().display().to_string();
        Server::start(&self.folder.path().join("data"), &["--config", &config])
    }
}

/// The sha256 of bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
