//! The server's metrics, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::watch::{Counters, Counts};

/// The upper bounds of the duration buckets, in microseconds.
const BUCKETS: [u64; 8] = [100, 500, 1_000, 5_000, 20_000, 100_000, 1_000_000, 10_000_000];

/// The requests of one route with one status.
#[derive(Debug, Default, Clone)]
struct RequestCounter {
    count: u64,
    micros: u64,
    buckets: [u64; BUCKETS.len()],
}

/// The metrics since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    served: Mutex<BTreeMap<(String, &'static str, u16), RequestCounter>>,
    batches: AtomicU64,
    commits: AtomicU64,
    connections: AtomicU64,
    evicted: AtomicU64,
    /// The counters of the watcher in this process.
    pub deliveries: Arc<Counters>,
}

impl Metrics {
    /// Counts a response.
    pub fn served(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = served.entry((route.to_owned(), method, status)).or_default();
        entry.count += 1;
        entry.micros = entry.micros.saturating_add(micros);
        for (bucket, end) in entry.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(micros <= end);
        }
    }

    /// Counts a batch of commits.
    pub fn batch(&self, commits: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commits.fetch_add(commits as u64, Ordering::Relaxed);
    }

    /// Counts an accepted connection.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts connections that were closed while they waited for a request, to make room for others.
    pub fn evicted(&self, connections: usize) {
        self.evicted.fetch_add(connections as u64, Ordering::Relaxed);
    }

    /// Returns all metrics as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut counter = |name: &str, about: &str, value: &AtomicU64| {
            let value = value.load(Ordering::Relaxed);
            let _ = write!(out, "# HELP {name} {about}\n# TYPE {name} counter\n{name} {value}\n");
        };
        counter("greenroom_commits_total", "Commits made by this server.", &self.commits);
        counter("greenroom_batches_total", "Batches of these commits.", &self.batches);
        counter("greenroom_connections_total", "Connections accepted.", &self.connections);
        let about = "Connections without a request that were closed to make room for others.";
        counter("greenroom_connections_evicted_total", about, &self.evicted);
        deliveries(&mut out, &self.deliveries.now());
        out.push_str("# HELP greenroom_http_request_duration_seconds Duration of requests.\n");
        out.push_str("# TYPE greenroom_http_request_duration_seconds histogram\n");
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((route, method, status), of) in served {
            let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            let name = "greenroom_http_request_duration_seconds";
            for (count, end) in of.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {count}", seconds(end));
            }
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", of.count);
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", seconds(of.micros));
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", of.count);
        }
        out
    }
}

/// Writes the metrics of deliveries.
fn deliveries(out: &mut String, counts: &Counts) {
    let Counts { delivered, failed, dead, violations, pending, oldest, behind } = *counts;
    for (name, kind, about, value) in [
        ("deliveries_total", "counter", "Deliveries that arrived.", delivered),
        ("delivery_failures_total", "counter", "Attempts to deliver that failed.", failed),
        ("dead_letters_total", "counter", "Deliveries that were given up.", dead),
        ("rule_violations_total", "counter", "Steps that no gate has judged and that break a rule.", violations),
        ("deliveries_pending", "gauge", "Pending deliveries.", pending),
        (
            "delivery_oldest_timestamp_seconds",
            "gauge",
            "Commit time of the oldest pending delivery; 0 if none is pending.",
            oldest / 1000,
        ),
        ("delivery_commits_behind", "gauge", "Commits that some channel has not processed yet.", behind),
    ] {
        let _ =
            write!(out, "# HELP greenroom_{name} {about}\n# TYPE greenroom_{name} {kind}\ngreenroom_{name} {value}\n");
    }
}

/// Converts microseconds to seconds.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_buckets() {
        let metrics = Metrics::default();
        metrics.served("/health", "GET", 200, Duration::from_micros(300));
        metrics.served("/health", "GET", 200, Duration::from_millis(30));
        let text = metrics.text();
        let labels = "method=\"GET\",route=\"/health\",status=\"200\"";
        for line in [
            format!("greenroom_http_request_duration_seconds_bucket{{{labels},le=\"0.000100\"}} 0"),
            format!("greenroom_http_request_duration_seconds_bucket{{{labels},le=\"0.000500\"}} 1"),
            format!("greenroom_http_request_duration_seconds_bucket{{{labels},le=\"0.100000\"}} 2"),
            format!("greenroom_http_request_duration_seconds_sum{{{labels}}} 0.030300"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
