//! `proximadb-server`: reads the settings, puts the adapters together, serves until it is told to stop.

mod arguments;
mod check_plugin;
mod clock;
mod connections;
mod executor;
mod log_mark;
mod memory;
mod places;
mod plugins;
mod precedence;
mod registry;
mod sample;
mod telemetry;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use proximadb_config::Settings;
use proximadb_engine::Engine;
use proximadb_grpc::{GrpcServer, GrpcSettings};
use proximadb_ports::{Clock, Database, Entropy};
use proximadb_rest::{RestServer, RestSettings};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::clock::{SystemClock, SystemEntropy};
use crate::connections::{Bounds, Lanes};
use crate::executor::ServerExecutor;
use crate::memory::Budget;
use crate::plugins::Plugins;
use crate::registry::Surroundings;
use crate::telemetry::PrometheusTelemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "proximadb-server: {}", proximadb_ports::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let Some(file) = &arguments.check_plugin {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        return check_plugin::check(file, &arguments.plugin_settings, arguments.plugin_dimension, &clock);
    }
    let mut settings = Settings::load(arguments.config.as_deref(), std::env::vars_os())?;
    if let Some(data_dir) = &arguments.data_dir {
        settings.data_dir.clone_from(data_dir);
    }
    let cwd = std::env::current_dir()?;
    let sites = settings.sites(&cwd)?;
    if arguments.check_config {
        say(&format!("the settings are valid; they describe {} site(s):", sites.len()));
        for site in sites {
            say(&format!("  {}: storage {}, log {}", site.instance, site.storage_url, site.wal_url));
        }
        return Ok(());
    }
    let filter = EnvFilter::try_new(&settings.log.filter)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(settings, &cwd, arguments.sample));
    // What still runs waits for a disk that hangs; everything acknowledged is on the disks.
    runtime.shutdown_background();
    ended
}

async fn serve(settings: Settings, cwd: &Path, with_sample: bool) -> Result<(), Box<dyn Error>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = if settings.compute.threads == 0 { cores } else { settings.compute.threads as usize };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let around = Surroundings {
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        executor: ServerExecutor::start(Handle::current(), threads)?,
        telemetry: Arc::new(PrometheusTelemetry::new()),
    };
    if settings.storage.wal_config.wal_urls.is_empty() && settings.storage.storage_layout.base_paths.is_empty() {
        std::fs::create_dir_all(cwd.join(&settings.data_dir))?;
    }
    say(&format!("proximadb-server {}", env!("CARGO_PKG_VERSION")));
    // The addresses first: a second server on the same machine should fail before it looks at any disk.
    let rest = listen(settings.server.rest_listen).await?;
    let grpc = listen(settings.server.grpc_listen).await?;
    let server = settings.server.clone();
    let plugins = Arc::new(Plugins::load(&settings, cwd, &clock).await);
    let memory = Budget::of_setting(settings.memory.budget_bytes);
    say(&memory.told());
    let parts = registry::parts(settings, cwd, around, plugins, memory)?;
    let engine = Engine::open(parts).await;
    report(&*engine).await;
    let database: Arc<dyn Database> = Arc::clone(&engine) as Arc<dyn Database>;
    while !database.health().await.ready {
        // A disk that is slow to answer is waited for; anything else is for whoever started the server to put right.
        if !database.sites().await.iter().any(|site| site.state == "does not answer") {
            return Err("no site can be used; see above".into());
        }
        clock.sleep(std::time::Duration::from_millis(200)).await;
    }
    // From here on somebody may tell it to stop.
    let mut told = Told::listen()?;
    say(&format!("REST on http://{}, gRPC on {}", rest.local_addr()?, grpc.local_addr()?));
    let (stop, stopping) = watch::channel(false);
    let lanes = Arc::new(Lanes::start(server.connection_threads(cores))?);
    let bounds = Bounds { connections_max: server.connections_max as usize, drain: server.drain() };
    let request_id_prefix = format!("{:08x}", entropy.bits() as u32);
    let rest_settings = RestSettings { request_id_prefix: request_id_prefix.clone(), ..RestSettings::default() };
    let grpc_settings = GrpcSettings { request_id_prefix, reflection: server.reflection, ..GrpcSettings::default() };
    let rest_server = RestServer::new(Arc::clone(&database), rest_settings);
    let grpc_server = GrpcServer::new(Arc::clone(&database), &grpc_settings).map_err(|e| -> Box<dyn Error> { e })?;
    let until = stopping.clone();
    let rest = connections::serve(rest, Arc::clone(&lanes), bounds, stopping.clone(), move |stream| {
        rest_server.clone().connection(stream, stopped(until.clone()))
    });
    let until = stopping.clone();
    let grpc = connections::serve(grpc, Arc::clone(&lanes), bounds, stopping, move |stream| {
        grpc_server.clone().connection(stream, stopped(until.clone()), Handle::current())
    });
    let (rest, grpc) = (tokio::spawn(rest), tokio::spawn(grpc));
    if with_sample {
        sample::load(&*database, server.rest_listen).await?;
    }
    told.wait().await;
    say("stopping: requests under way may finish");
    stop.send_replace(true);
    rest.await?;
    grpc.await?;
    engine.shut_down().await;
    // Not before: what the engine began for a request may still go on there.
    drop(lanes);
    say("stopped");
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a reason to stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Box<dyn Error>> {
    TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}").into())
}

async fn report(database: &dyn Database) {
    for site in database.sites().await {
        let found = site.recovered;
        let what = format!(
            "{} shards, {} segments, {} rows, {} operations from the log, in {} ms",
            found.shards, found.segments, found.rows, found.replayed, found.millis
        );
        say(&format!("site {} {}: {}", site.instance, site.location, if site.state == "ok" { what } else { site.state }));
    }
    if database.sites().await.iter().any(|site| site.id.is_some() && site.mirror.is_none() && site.kind != "object_store") {
        say("everything is kept on one disk; what is on a disk that is lost is lost");
    }
    for problem in database.health().await.problems {
        say(&format!("problem: {problem}"));
    }
}

/// The signals that tell the server to stop.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A line for whoever started the server.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason to stop serving.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
