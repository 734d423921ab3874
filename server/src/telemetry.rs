//! Counters, gauges and histograms kept in memory and rendered for Prometheus.

use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use proximadb_ports::{Label, Telemetry};

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Series of this process.
pub(crate) struct PrometheusTelemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl PrometheusTelemetry {
    pub(crate) fn new() -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder, handle })
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
}
