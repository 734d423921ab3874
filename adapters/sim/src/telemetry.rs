//! Counts kept in memory, for tests to look at. Sends nothing anywhere.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proximadb_ports::{Label, Telemetry};

/// Remembers every series; shared as an `Arc`.
#[derive(Default)]
pub struct SimTelemetry {
    series: Mutex<BTreeMap<(&'static str, String), Series>>,
}

#[derive(Clone, Copy)]
enum Series {
    Counter(u64),
    Gauge(f64),
    Histogram { count: u64, sum: f64 },
}

impl SimTelemetry {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &str, labels: &[Label]) -> Option<Series> {
        let labels = text(labels);
        self.series().iter().find(|((n, l), _)| *n == name && *l == labels).map(|(_, s)| *s)
    }

    /// The sum of a counter over all its labels; 0 where it was never counted.
    pub fn total(&self, name: &str) -> u64 {
        self.series().iter().filter(|((n, _), _)| *n == name).map(|(_, s)| if let Series::Counter(c) = s { *c } else { 0 }).sum()
    }

    /// A counter with exactly these labels.
    pub fn counter(&self, name: &str, labels: &[Label]) -> u64 {
        if let Some(Series::Counter(count)) = self.get(name, labels) { count } else { 0 }
    }

    /// A gauge with exactly these labels, where it was set.
    pub fn gauge_value(&self, name: &str, labels: &[Label]) -> Option<f64> {
        if let Some(Series::Gauge(value)) = self.get(name, labels) { Some(value) } else { None }
    }

    /// How many values a histogram with exactly these labels has seen.
    pub fn observations(&self, name: &str, labels: &[Label]) -> u64 {
        if let Some(Series::Histogram { count, .. }) = self.get(name, labels) { count } else { 0 }
    }
}

/// Labels in the order of their names, as Prometheus writes them.
fn text(labels: &[Label]) -> String {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let mut out = String::new();
    for (name, value) in sorted {
        let comma = if out.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{name}=\"{value}\"");
    }
    if out.is_empty() { out } else { format!("{{{out}}}") }
}

impl Telemetry for SimTelemetry {
    fn count(&self, name: &'static str, labels: &[Label], by: u64) {
        let mut series = self.series();
        if let Series::Counter(count) = series.entry((name, text(labels))).or_insert(Series::Counter(0)) {
            *count = count.saturating_add(by);
        }
    }

    fn gauge(&self, name: &'static str, labels: &[Label], value: f64) {
        self.series().insert((name, text(labels)), Series::Gauge(value));
    }

    fn observe(&self, name: &'static str, labels: &[Label], value: f64) {
        let mut series = self.series();
        if let Series::Histogram { count, sum } = series.entry((name, text(labels))).or_insert(Series::Histogram { count: 0, sum: 0.0 }) {
            *count += 1;
            *sum += value;
        }
    }

    fn render(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        for ((name, labels), series) in self.series().iter() {
            let kind = match series {
                Series::Counter(_) => "counter",
                Series::Gauge(_) => "gauge",
                Series::Histogram { .. } => "summary",
            };
            if last != *name {
                let _ = writeln!(out, "# TYPE {name} {kind}");
                last = name;
            }
            let _ = match series {
                Series::Counter(count) => writeln!(out, "{name}{labels} {count}"),
                Series::Gauge(value) => writeln!(out, "{name}{labels} {value}"),
                Series::Histogram { count, sum } => writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}"),
            };
        }
        out
    }
}
