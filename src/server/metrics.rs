//! Counters in Prometheus' text format.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Upper bounds of the histogram of answer times, in seconds.
const BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    resource: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    resource: &'static str,
}

/// What the server has done.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Resource, Histogram, fn() -> Histogram>,
    /// Requests that are being answered.
    pub running: Gauge,
    /// Open connections.
    pub connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("om");
        let requests = Family::default();
        let seconds: Family<Resource, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BOUNDS));
        let running = Gauge::default();
        let connections = Gauge::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_answer",
            "Time from the request's head to its answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("http_running", "Requests being answered", running.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        Metrics {
            registry,
            requests,
            seconds,
            running,
            connections,
        }
    }
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, resource: &'static str, method: &str, status: u16, took: Duration) {
        let methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"];
        let method = methods.into_iter().find(|known| *known == method);
        let labels = Labels {
            resource,
            method: method.unwrap_or("OTHER"),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&Resource { resource })
            .observe(took.as_secs_f64());
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
