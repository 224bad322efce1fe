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

use crate::metrics::text::Page;
use crate::node::Node;

/// All metrics of the node.
pub fn render(node: &Node) -> String {
    let mut page = Page::default();
    page.family("weir_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    query::write(node, &mut page);
    engine::write(node, &mut page);
    broker::write(node, &mut page);
    node.http_metrics().write(&mut page);
    process::write(node, &mut page);
    if let Some(audit) = node.audit() {
        audit.write(&mut page);
    }
    page.finish()
}
