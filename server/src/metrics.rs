//! `/metrics`: counters of broker, engine and process as OpenMetrics text.
//!
//! Names begin with `weir_`, units are base units, counters end with `_total`. `docs/metrics.md` lists them.

pub mod broker;
pub mod clients;
pub mod engine;
pub mod http;
pub mod process;
pub mod query;
pub mod text;

use std::time::Duration;

use crate::audit::AuditCounters;
use crate::context::Context;
use crate::metrics::http::HttpMetrics;
use crate::metrics::text::Page;

/// Counters of a node beside those of its shared parts.
#[derive(Debug)]
pub(crate) struct NodeCounters<'a> {
    pub(crate) http: &'a HttpMetrics,
    /// None: there is no audit.
    pub(crate) audit: Option<&'a AuditCounters>,
    /// Time since the node was started.
    pub(crate) uptime: Duration,
}

/// All metrics of the node.
pub(crate) fn render(context: &Context, counters: &NodeCounters<'_>) -> String {
    let mut page = Page::default();
    page.family("weir_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    query::write(context, &mut page);
    engine::write(context, &mut page);
    broker::write(context, &mut page);
    counters.http.write(&mut page);
    process::write(counters.uptime, &mut page);
    if let Some(audit) = counters.audit {
        page.family("weir_audit_events", "counter", "Access decisions by what became of their records.")
            .sample(&[("outcome", "written")], audit.written())
            .sample(&[("outcome", "dropped")], audit.dropped());
    }
    page.finish()
}
