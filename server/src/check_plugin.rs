//! `--check-plugin`: whether a component is a plugin that can be relied on, and what it costs. Serves nothing, writes nothing.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proximadb_axis::BuiltinMetric;
use proximadb_config::PluginLimits;
use proximadb_model::MetricKind;
use proximadb_plugins::{Check, Interruption, PluginHost, PluginOptions, check_assigner, check_metric};
use proximadb_ports::{Clock, Metric, chain};

use crate::plugins::options_of;
use crate::say;

/// The name under which it is checked.
const NAME: &str = "checked";
/// Vectors that are scored in one call; those of a search.
const ROWS: usize = 128;
/// Blocks of [`ROWS`] vectors, so many that the vectors do not fit into a processor's caches.
const BYTES: usize = 256 << 20;
/// Time that a metric is measured for at least.
const MEASURED: Duration = Duration::from_millis(500);

/// Checks the component in a file and says what was found.
///
/// # Errors
/// The file cannot be read or is no plugin; the plugin fails a check.
pub(crate) fn check(file: &Path, settings: &str, dimension: usize, clock: &Arc<dyn Clock>) -> Result<(), Box<dyn Error>> {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(settings)
        .map_err(|e| format!("--plugin-settings must be a JSON object: {e}"))?;
    let bytes = std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let standard = options_of(&PluginLimits::default());
    // A busy machine is no reason to fail a check; what a call may cost is printed.
    let patient = match standard.interruption {
        Interruption::Time { tick, .. } => Interruption::Time { tick, call_max: Duration::from_secs(5) },
        fuel @ Interruption::Fuel { .. } => fuel,
    };
    // Whoever brings a large one may, and is told what to allow it.
    let component_bytes_max = standard.component_bytes_max.max(bytes.len());
    let host = PluginHost::new(PluginOptions { interruption: patient, component_bytes_max, ..standard }, Arc::clone(clock))?;
    let metric = match host.load_metric_plugin(NAME, &bytes, None, settings, None) {
        Ok(plugin) => plugin,
        Err(no_metric) => {
            let assigner = match host.load_assigner(NAME, &bytes, None, settings) {
                Ok(assigner) => assigner,
                Err(no_assigner) => {
                    return Err(format!("it is no metric: {}\nand no assigner: {}", chain(&no_metric), chain(&no_assigner)).into());
                }
            };
            say(&format!("an assigner of {} bytes", bytes.len()));
            judge(&check_assigner(&*assigner))?;
            return say_entry("assigner", file, bytes.len(), assigner.sha256(), settings);
        }
    };
    let sized = metric.for_dimension(dimension).map_err(|e| {
        let hint = "--plugin-settings is what the plugin is told, --plugin-dimension how many components its vectors have";
        format!("{}; {hint}", chain(&e))
    })?;
    let said = sized.descriptor();
    say(&format!("a metric of {} bytes: {} {}", bytes.len(), sized.guest_name(), sized.guest_version()));
    say(&format!("  a {}, {}", said.score_kind.as_str(), if said.symmetric { "symmetric" } else { "not symmetric" }));
    judge(&check_metric(&*sized, dimension))?;
    let kernel = BuiltinMetric::new(MetricKind::Cosine).ok_or("cosine is built in")?;
    let block = vectors(dimension);
    let (plugin, native) = (nanos(&*sized, dimension, &block, &**clock)?, nanos(&kernel, dimension, &block, &**clock)?);
    say(&format!("cost of a distance of {dimension} components, in blocks of {ROWS}, vectors out of RAM:"));
    say(&format!("  plugin {plugin:.0} ns, the kernel of cosine {native:.0} ns, that is {:.1} times as much", plugin / native));
    say_entry("metric", file, bytes.len(), metric.sha256(), settings)
}

/// Says how each check went; an error when one failed.
fn judge(checks: &[Check]) -> Result<(), Box<dyn Error>> {
    for check in checks {
        match &check.failure {
            None => say(&format!("  ok      {}", check.what)),
            Some(failure) => say(&format!("  FAILED  {}: {failure}", check.what)),
        }
    }
    let failed = checks.iter().filter(|check| check.failure.is_some()).count();
    if failed > 0 { Err(format!("{failed} of {} checks failed", checks.len()).into()) } else { Ok(()) }
}

/// Says what belongs into the configuration.
fn say_entry(kind: &str, file: &Path, bytes: usize, sha256: &[u8; 32], settings: &str) -> Result<(), Box<dyn Error>> {
    let mut digest = String::new();
    for byte in sha256 {
        write!(digest, "{byte:02x}")?;
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| proximadb_model::is_plugin_name(stem));
    say(&format!("for the configuration:\n[plugins.{}]\nkind = {kind:?}\npath = {:?}", stem.unwrap_or(NAME), file.display().to_string()));
    say(&format!("sha256 = {digest:?}"));
    if bytes as u64 > PluginLimits::default().component_bytes_max {
        say(&format!("limits = {{ component_bytes_max = {bytes} }}"));
    }
    if settings != "{}" {
        say("settings = what was given here, as a table of TOML");
    }
    Ok(())
}

/// Vectors that differ, without any randomness.
fn vectors(dimension: usize) -> Vec<f32> {
    let block = dimension * ROWS;
    let components = (BYTES / size_of::<f32>() / block).max(1) * block;
    let mut state = 1u32;
    let component = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..components).map(component).collect()
}

fn nanos(metric: &dyn Metric, dimension: usize, vectors: &[f32], clock: &dyn Clock) -> Result<f64, Box<dyn Error>> {
    let query = vectors.get(..dimension).ok_or("there is a vector")?;
    let mut scorer = metric.prepare(query)?;
    let mut keys = [0.0; ROWS];
    let (mut rows, began) = (0u64, clock.monotonic());
    loop {
        for block in vectors.chunks_exact(dimension * ROWS) {
            scorer.keys(block, &mut keys)?;
            rows += ROWS as u64;
            let took = clock.monotonic().saturating_sub(began);
            if took >= MEASURED {
                return Ok(took.as_nanos() as f64 / rows as f64);
            }
        }
    }
}
