//! Counting what happens. Adapters decide where the numbers go.

/// A name and a value that tell series of one metric apart; values come from small fixed sets, never from users.
pub type Label = (&'static str, &'static str);

/// Counters, gauges and histograms.
///
/// Guarantees:
/// - G1 no call blocks or fails;
/// - G2 counts add up over all threads.
pub trait Telemetry: Send + Sync + 'static {
    /// Adds to a counter.
    fn count(&self, name: &'static str, labels: &[Label], by: u64);

    /// Sets a gauge.
    fn gauge(&self, name: &'static str, labels: &[Label], value: f64);

    /// Adds a value, in seconds or bytes as the name says, to a histogram.
    fn observe(&self, name: &'static str, labels: &[Label], value: f64);

    /// All series in the Prometheus text format, version 0.0.4.
    fn render(&self) -> String;
}
