//! The real server as a process: built, started on free ports, spoken to over HTTP, killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A start that takes longer than this has failed.
const START_MAX: Duration = Duration::from_secs(60);

/// A running `proximadb-server`; killed when dropped.
pub struct Server {
    child: Child,
    agent: ureq::Agent,
    rest: String,
    grpc: String,
    lines: Vec<String>,
    // Read by a thread, so that the server never writes into a closed or full pipe.
    out: Mutex<Receiver<String>>,
}

/// The binary of this tree; `PROXIMADB_BIN` names another.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("PROXIMADB_BIN") {
            return PathBuf::from(path);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(crate::root()).args(["build", "--quiet", "--package", "proximadb-server"]);
        let own = std::env::current_exe().expect("a program has a path");
        let folder = own.parent().expect("target/<profile>[/deps]/<program>");
        let profile = if folder.ends_with("deps") { folder.parent().expect("target/<profile>") } else { folder };
        if profile.ends_with("release") {
            build.arg("--release");
        }
        if let Some(target) = profile.parent() {
            build.arg("--target-dir").arg(target);
        }
        assert!(build.status().expect("cargo runs").success(), "the server does not build");
        profile.join("proximadb-server")
    })
}

/// Reads lines until the pipe closes.
fn read_lines(out: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            // Without a receiver the lines are read all the same, so that the pipe does not fill.
            let Ok(line) = line else { return };
            let _ = sender.send(line);
        }
    });
    receiver
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
        let mut command = Self::command(&[], data_dir);
        command.args(arguments);
        Self::run(command, START_MAX)
    }

    /// Runs the binary as a tool, until it ends by itself.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn tool(arguments: &[&str]) -> std::process::Output {
        Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// The command that starts a server, behind another program that runs it where one is given.
    pub fn command(wrapper: &[&str], data_dir: &Path) -> Command {
        let mut command = match wrapper {
            [] => Command::new(binary()),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                command
            }
        };
        command
            .arg("--data-dir")
            .arg(data_dir)
            .env("PROXIMADB_SERVER__REST_LISTEN", "127.0.0.1:0")
            .env("PROXIMADB_SERVER__GRPC_LISTEN", "127.0.0.1:0")
            .env("PROXIMADB_LOG__FILTER", "warn")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of [`Server::command`] and waits until it serves, for so long at most.
    ///
    /// # Errors
    /// Its lines, when it ends before it serves or takes too long; then it is killed.
    pub fn run(mut command: Command, wait: Duration) -> Result<Self, Vec<String>> {
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| vec![format!("it cannot be run: {e}")])?;
        let out = read_lines(child.stdout.take().expect("piped"));
        let mut lines = Vec::new();
        loop {
            let line = match out.recv_timeout(wait) {
                Ok(line) => line,
                Err(why) => {
                    if why == RecvTimeoutError::Timeout {
                        lines.push(format!("(nothing more for {} s)", wait.as_secs()));
                        // It may have ended already.
                        let _ = child.kill();
                    }
                    let ended = child.wait();
                    lines.push(format!("({ended:?})"));
                    return Err(lines);
                }
            };
            lines.push(line.clone());
            let Some(addresses) = line.strip_prefix("REST on ") else { continue };
            let (rest, grpc) = addresses.split_once(", gRPC on ").expect("both addresses");
            let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
            return Ok(Self { child, agent, rest: rest.to_owned(), grpc: format!("http://{grpc}"), lines, out: Mutex::new(out) });
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
        let out = self.out.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut read = Vec::new();
        loop {
            let Ok(line) = out.recv_timeout(START_MAX) else { panic!("the server ended; it printed {read:?}") };
            read.push(line.clone());
            if line.contains(part) {
                return read;
            }
        }
    }

    /// The address of gRPC, as a URL.
    pub fn grpc(&self) -> String {
        self.grpc.clone()
    }

    /// The address of REST, as a URL.
    pub fn rest(&self) -> String {
        self.rest.clone()
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
        send(&self.agent, &self.rest, method, path, text, headers)
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

    /// Waits until it has ended by itself, for so long at most; `None` when it goes on.
    pub fn wait_ended(&mut self, wait: Duration) -> Option<ExitStatus> {
        let out = self.out.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The pipe closes with the process.
        loop {
            match out.recv_timeout(wait) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return self.child.try_wait().ok().flatten(),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().ok(),
            }
        }
    }
}

/// Sends a request and reads the whole answer.
pub(crate) fn send(
    agent: &ureq::Agent,
    root: &str,
    method: &str,
    path: &str,
    text: &str,
    headers: &[(&str, &str)],
) -> Result<(u16, Value), String> {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{root}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(text.to_owned()).map_err(|e| e.to_string())?;
    let mut response = agent.run(request).map_err(|e| e.to_string())?;
    let body = response.body_mut().read_to_string().map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
