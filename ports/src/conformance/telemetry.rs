//! The suite of [`Telemetry`]: counts are looked at as a scraper sees them, in the rendered text.

use crate::telemetry::Telemetry;

/// Runs every property. The names it counts begin with `conformance_`.
///
/// # Panics
/// Where the adapter breaks a guarantee.
pub fn run(telemetry: &dyn Telemetry) {
    g1_no_call_fails(telemetry);
    g2_counts_add_up(telemetry);
}

/// The value of the series of this name whose text has all these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|l| line.contains(l));
    text.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

/// G1: odd values and labels are taken, and what is rendered is lines of a name, labels and a number.
///
/// # Panics
/// Where it does not hold.
pub fn g1_no_call_fails(telemetry: &dyn Telemetry) {
    telemetry.count("conformance_odd", &[("kind", "quote\"back\\slash\nline")], u64::from(u32::MAX));
    telemetry.gauge("conformance_gauge", &[], f64::NAN);
    telemetry.gauge("conformance_gauge", &[], -1.5);
    telemetry.observe("conformance_seconds", &[("op", "put")], f64::INFINITY);
    telemetry.observe("conformance_seconds", &[("op", "put")], 0.0);
    let text = telemetry.render();
    assert_eq!(value(&text, "conformance_gauge", &[]), Some(-1.5), "{text}");
    assert_eq!(value(&text, "conformance_seconds_count", &["op=\"put\""]), Some(2.0), "{text}");
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let number = line.rsplit(' ').next().unwrap_or_default();
        assert!(number.parse::<f64>().is_ok(), "{line}");
    }
}

/// G2: what many threads count is in the sum, by series.
///
/// # Panics
/// Where it does not hold.
pub fn g2_counts_add_up(telemetry: &dyn Telemetry) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let label = if thread % 2 == 0 { "even" } else { "odd" };
                (0..1_000).for_each(|_| telemetry.count("conformance_counts", &[("thread", label)], 3));
            });
        }
    });
    let text = telemetry.render();
    for label in ["thread=\"even\"", "thread=\"odd\""] {
        assert_eq!(value(&text, "conformance_counts", &[label]), Some(12_000.0), "{text}");
    }
}
