//! Counters, gauges and histograms, each in memory of a fixed size however often it is counted, and written out for Prometheus.
//! Whoever counts adds to atomics; nothing waits to be collected, so that a server that nobody scrapes keeps no more than one that is.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proximadb_model::limits::SERIES_MAX;
use proximadb_ports::{Label, Telemetry};

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Upper bounds of the buckets of everything else, which is bytes: powers of four from 1 KiB to 1 GiB.
const BYTES: [f64; 11] =
    [1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0, 268_435_456.0, 1_073_741_824.0];

/// The series of one name, told apart by their labels.
type Family = Vec<(Vec<Label>, Arc<Series>)>;

/// Series of this process. They come into being when they are first counted and stay.
pub(crate) struct PrometheusTelemetry {
    families: ArcSwap<BTreeMap<&'static str, Family>>,
    /// Held while a series comes into being.
    growth: Mutex<()>,
}

enum Series {
    Counter(AtomicU64),
    /// The bits of an `f64`.
    Gauge(AtomicU64),
    Histogram(Histogram),
}

struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond the last.
    buckets: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    fn new(name: &str) -> Self {
        let bounds: &[f64] = if name.ends_with("_seconds") { &SECONDS } else { &BYTES };
        Self { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// A value that is no finite number counts as one beyond the last bound, and leaves the sum as it is.
    fn observe(&self, value: f64) {
        let bucket = if value.is_nan() { self.bounds.len() } else { self.bounds.partition_point(|bound| *bound < value) };
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if value.is_finite() {
            let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
            // It always gives a value, so that this cannot fail.
            let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }
}

impl PrometheusTelemetry {
    pub(crate) fn new() -> Self {
        Self { families: ArcSwap::default(), growth: Mutex::new(()) }
    }

    /// Runs `count` with a series, which is made where it is not there; beyond [`SERIES_MAX`] none are.
    fn with(&self, name: &'static str, labels: &[Label], make: fn(&str) -> Series, count: impl Fn(&Series)) {
        if let Some(series) = find(&self.families.load(), name, labels) {
            return count(series);
        }
        let _turn = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let families = self.families.load_full();
        match find(&families, name, labels) {
            Some(series) => count(series),
            None if families.values().map(Vec::len).sum::<usize>() < SERIES_MAX => {
                let series = Arc::new(make(name));
                count(&series);
                let mut families = BTreeMap::clone(&families);
                families.entry(name).or_default().push((labels.to_vec(), series));
                self.families.store(Arc::new(families));
            }
            None => tracing::error!(name, "there are too many series, and this one is not counted"),
        }
    }
}

fn find<'a>(families: &'a BTreeMap<&'static str, Family>, name: &str, labels: &[Label]) -> Option<&'a Series> {
    families.get(name)?.iter().find(|(known, _)| known == labels).map(|(_, series)| &**series)
}

impl Telemetry for PrometheusTelemetry {
    fn count(&self, name: &'static str, labels: &[Label], by: u64) {
        let make = |_: &str| Series::Counter(AtomicU64::new(0));
        self.with(name, labels, make, |series| match series {
            Series::Counter(count) => drop(count.fetch_add(by, Ordering::Relaxed)),
            _ => of_two_kinds(name),
        });
    }

    fn gauge(&self, name: &'static str, labels: &[Label], value: f64) {
        let make = |_: &str| Series::Gauge(AtomicU64::new(0));
        self.with(name, labels, make, |series| match series {
            Series::Gauge(bits) => bits.store(value.to_bits(), Ordering::Relaxed),
            _ => of_two_kinds(name),
        });
    }

    fn observe(&self, name: &'static str, labels: &[Label], value: f64) {
        let make = |name: &str| Series::Histogram(Histogram::new(name));
        self.with(name, labels, make, |series| match series {
            Series::Histogram(histogram) => histogram.observe(value),
            _ => of_two_kinds(name),
        });
    }

    fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in self.families.load().iter() {
            for (i, (labels, series)) in family.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = series.render(&mut out, name, labels, i == 0);
            }
        }
        out
    }
}

fn of_two_kinds(name: &str) {
    tracing::error!(name, "one name is counted as two kinds of series");
}

impl Series {
    fn render(&self, out: &mut String, name: &str, labels: &[Label], first: bool) -> fmt::Result {
        let kind = match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        };
        if first {
            writeln!(out, "# TYPE {name} {kind}")?;
        }
        match self {
            Self::Counter(count) => writeln!(out, "{name}{} {}", Labels(labels, None), count.load(Ordering::Relaxed)),
            Self::Gauge(bits) => writeln!(out, "{name}{} {}", Labels(labels, None), Number(f64::from_bits(bits.load(Ordering::Relaxed)))),
            Self::Histogram(histogram) => {
                let mut count = 0;
                for (place, bucket) in histogram.buckets.iter().enumerate() {
                    count += bucket.load(Ordering::Relaxed);
                    let bound = histogram.bounds.get(place).copied().unwrap_or(f64::INFINITY);
                    writeln!(out, "{name}_bucket{} {count}", Labels(labels, Some(bound)))?;
                }
                let sum = f64::from_bits(histogram.sum.load(Ordering::Relaxed));
                writeln!(out, "{name}_sum{} {}\n{name}_count{} {count}", Labels(labels, None), Number(sum), Labels(labels, None))
            }
        }
    }
}

/// Labels as Prometheus writes them, and the bound of a bucket behind them.
struct Labels<'a>(&'a [Label], Option<f64>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() && self.1.is_none() {
            return Ok(());
        }
        let mut before = '{';
        for (name, value) in self.0 {
            write!(f, "{before}{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))?;
            before = ',';
        }
        if let Some(bound) = self.1 {
            write!(f, "{before}le=\"{}\"", Number(bound))?;
        }
        f.write_char('}')
    }
}

/// A number as Prometheus writes it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promises_of_its_port() {
        proximadb_ports::conformance::telemetry::run(&PrometheusTelemetry::new());
    }

    #[test]
    fn is_written_as_prometheus_reads_it() {
        let telemetry = PrometheusTelemetry::new();
        telemetry.count("b_total", &[("kind", "a\"b\\c\nd"), ("op", "put")], 2);
        telemetry.count("b_total", &[], 3);
        telemetry.gauge("a", &[], f64::NEG_INFINITY);
        for value in [0.0001, 0.0002, 20.0, f64::NAN] {
            telemetry.observe("c_seconds", &[("op", "get")], value);
        }
        telemetry.observe("d_bytes", &[], 5e9);
        let text = telemetry.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "# TYPE a gauge",
                "a -Inf",
                "# TYPE b_total counter",
                "b_total{kind=\"a\\\"b\\\\c\\nd\",op=\"put\"} 2",
                "b_total 3",
                "# TYPE c_seconds histogram",
            ]
        );
        assert_eq!(lines[6], "c_seconds_bucket{op=\"get\",le=\"0.0001\"} 1");
        assert_eq!(lines[7], "c_seconds_bucket{op=\"get\",le=\"0.00025\"} 2");
        assert_eq!(lines[19], "c_seconds_bucket{op=\"get\",le=\"10\"} 2");
        assert_eq!(lines[20], "c_seconds_bucket{op=\"get\",le=\"+Inf\"} 4");
        assert_eq!(lines[21..23], ["c_seconds_sum{op=\"get\"} 20.0003", "c_seconds_count{op=\"get\"} 4"]);
        assert!(text.contains("d_bytes_bucket{le=\"1073741824\"} 0\nd_bytes_bucket{le=\"+Inf\"} 1\nd_bytes_sum 5000000000\n"), "{text}");
    }

    #[test]
    fn a_name_that_is_two_kinds_or_one_series_too_many_is_not_counted() {
        let telemetry = PrometheusTelemetry::new();
        telemetry.count("x", &[], 1);
        telemetry.gauge("x", &[], 7.0);
        assert_eq!(telemetry.render(), "# TYPE x counter\nx 1\n");
        let values: Vec<&'static str> = (0..=SERIES_MAX).map(|i| &*i.to_string().leak()).collect();
        for value in values {
            telemetry.count("y", &[("value", value)], 1);
        }
        assert_eq!(telemetry.render().lines().count(), 2 + SERIES_MAX);
    }

    /// Nobody scrapes here: what was observed may not wait in memory for it. In a process of its own, since other tests take memory too.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_observed_takes_no_memory() {
        const ALONE: &str = "PROXIMADB_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().expect("the tests"));
            alone.args(["--exact", "telemetry::tests::what_is_observed_takes_no_memory", "--nocapture"]).env(ALONE, "1");
            let ran = alone.output().expect("the tests again");
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
            return;
        }
        let resident = || -> u64 {
            let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
            pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4_096
        };
        let telemetry = PrometheusTelemetry::new();
        let observed = 3_000_000;
        let before = resident();
        for i in 0..observed {
            telemetry.observe("proximadb_search_seconds", &[], f64::from(i % 1_000) * 1e-5);
        }
        let grown = resident().saturating_sub(before);
        assert!(telemetry.render().contains(&format!("proximadb_search_seconds_count {observed}\n")));
        // A list of what was observed would take 24 MB at the least.
        assert!(grown < 16 << 20, "{grown} bytes");
    }
}
