//! Counters, gauges and histograms kept in memory and rendered for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use proximadb_ports::{Label, Telemetry};

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Observations after which they are added to their buckets. Until then each is kept by itself, and nobody may ever ask for them.
const OBSERVATIONS_KEPT_MAX: u64 = 4_096;

/// Series of this process.
pub(crate) struct PrometheusTelemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    observations: AtomicU64,
}

impl PrometheusTelemetry {
    pub(crate) fn new() -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder, handle, observations: AtomicU64::new(0) })
    }
}

impl Telemetry for PrometheusTelemetry {
    fn count(&self, name: &'static str, labels: &[Label], by: u64) {
        with_local_recorder(&self.recorder, || counter!(name, labels).increment(by));
    }

    fn gauge(&self, name: &'static str, labels: &[Label], value: f64) {
        with_local_recorder(&self.recorder, || gauge!(name, labels).set(value));
    }

    fn observe(&self, name: &'static str, labels: &[Label], value: f64) {
        with_local_recorder(&self.recorder, || histogram!(name, labels).record(value));
        if self.observations.fetch_add(1, Ordering::Relaxed) % OBSERVATIONS_KEPT_MAX == OBSERVATIONS_KEPT_MAX - 1 {
            self.handle.run_upkeep();
        }
    }

    fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promises_of_its_port() {
        proximadb_ports::conformance::telemetry::run(&PrometheusTelemetry::new().expect("buckets are valid"));
    }

    fn resident_bytes() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4_096
    }

    #[test]
    fn observations_that_nobody_asks_for_take_no_memory() {
        let telemetry = PrometheusTelemetry::new().expect("buckets are valid");
        let observe = |times: u64| (0..times).for_each(|_| telemetry.observe("x_seconds", &[], 0.01));
        observe(10_000);
        let before = resident_bytes();
        observe(3_000_000);
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "3,000,000 observations left {grown} bytes; each by itself they would take 24 MB");
        assert!(telemetry.render().contains("x_seconds_count 3010000"), "and all are counted");
    }
}
