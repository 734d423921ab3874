//! The real server as a process: built, started on free ports, spoken to over HTTP, killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A running `proximadb-server`; killed when dropped.
pub struct Server {
    child: Child,
    agent: ureq::Agent,
    rest: String,
    grpc: String,
    lines: Vec<String>,
    // Held so that the server never writes into a closed pipe.
    out: BufReader<ChildStdout>,
}

/// The binary of this tree; `PROXIMADB_BIN` names another.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("PROXIMADB_BIN") {
            return PathBuf::from(path);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(crate::root()).args(["build", "--quiet", "--package", "proximadb-server"]);
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the server does not build");
        profile.join("proximadb-server")
    })
}

impl Server {
    /// Starts a server on a data folder and waits until it serves.
    ///
    /// # Panics
    /// When it ends before it serves.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::try_start(data_dir, arguments).expect("the server serves")
    }

    /// As [`Server::start`], but gives what it printed when it ends before it serves.
    ///
    /// # Errors
    /// Its lines.
    pub fn try_start(data_dir: &Path, arguments: &[&str]) -> Result<Self, Vec<String>> {
        let mut child = Command::new(binary())
            .arg("--data-dir")
            .arg(data_dir)
            .args(arguments)
            .env("PROXIMADB_SERVER__REST_LISTEN", "127.0.0.1:0")
            .env("PROXIMADB_SERVER__GRPC_LISTEN", "127.0.0.1:0")
            .env("PROXIMADB_LOG__FILTER", "warn")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).expect("readable") == 0 {
                let _ = child.wait();
                return Err(lines);
            }
            lines.push(line.trim_end().to_owned());
            let Some(addresses) = line.trim_end().strip_prefix("REST on ") else { continue };
            let (rest, grpc) = addresses.split_once(", gRPC on ").expect("both addresses");
            let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
            return Ok(Self { child, agent, rest: rest.to_owned(), grpc: format!("http://{grpc}"), lines, out });
        }
    }

    /// What it printed until it served.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads further lines until one holds `part`.
    ///
    /// # Panics
    /// When the server ends first.
    pub fn wait_for_line(&mut self, part: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).expect("readable") > 0, "the server ended; it printed {read:?}");
            read.push(line.trim_end().to_owned());
            if line.contains(part) {
                return read;
            }
        }
    }

    /// The address of gRPC, as a URL.
    pub fn grpc(&self) -> String {
        self.grpc.clone()
    }

    /// Sends a request with a JSON body, or none for null; gives status and body.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_call(method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// As [`Server::call`], for servers that may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.try_raw(method, path, &text, &[("content-type", "application/json")])
    }

    /// Sends any text with any headers.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_raw(&self, method: &str, path: &str, text: &str, headers: &[(&str, &str)]) -> Result<(u16, Value), String> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.rest));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(text.to_owned()).map_err(|e| e.to_string())?;
        let mut response = self.agent.run(request).map_err(|e| e.to_string())?;
        let body = response.body_mut().read_to_string().map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Asks it to stop, and waits.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
