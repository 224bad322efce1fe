//! HTTP requests in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::metrics::text::Page;

/// Upper bounds of the buckets. Units: s.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Requests by path pattern.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    routes: Mutex<BTreeMap<String, Route>>,
}

#[derive(Debug, Default)]
struct Route {
    statuses: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl HttpMetrics {
    /// Counts an answer. `path` is the pattern of a route, so that there are few. `elapsed`: until the answer's head.
    pub fn record(&self, path: &str, status: u16, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let mut routes = self.routes.lock();
        if !routes.contains_key(path) {
            routes.insert(path.to_owned(), Route::default());
        }
        if let Some(route) = routes.get_mut(path) {
            *route.statuses.entry(status).or_default() += 1;
            route.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
            route.sum += seconds;
        }
    }

    pub(crate) fn write(&self, page: &mut Page) {
        let routes = self.routes.lock();
        let mut requests = page.family("weir_http_requests", "counter", "HTTP requests by path and status.");
        for (path, route) in routes.iter() {
            for (status, count) in &route.statuses {
                requests.sample(&[("path", path), ("status", &status.to_string())], count);
            }
        }
        let mut duration = page.family(
            "weir_http_request_duration_seconds",
            "histogram",
            "From the request to the head of its answer.",
        );
        for (path, route) in routes.iter() {
            duration.histogram(&[("path", path)], &BOUNDS, &route.buckets, route.sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_path_and_status() {
        let metrics = HttpMetrics::default();
        metrics.record("/query", 200, Duration::from_millis(3));
        metrics.record("/query", 400, Duration::from_secs(60));
        let mut page = Page::default();
        metrics.write(&mut page);
        let text = page.finish();
        assert!(text.contains("weir_http_requests_total{path=\"/query\",status=\"400\"} 1"), "{text}");
        assert!(text.contains("weir_http_request_duration_seconds_bucket{path=\"/query\",le=\"0.005\"} 1"));
        assert!(text.contains("weir_http_request_duration_seconds_bucket{path=\"/query\",le=\"+Inf\"} 2"));
    }
}
