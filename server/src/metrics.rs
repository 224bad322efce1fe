//! `/metrics`: counters of broker and engine as OpenMetrics text.

use std::fmt::Write;

use weir_engine::query::status::QueryStatus;

use crate::node::Node;

/// A counter of a query: name, help, value.
type QueryCounter = (&'static str, &'static str, fn(&QueryStatus) -> u64);

const QUERY_COUNTERS: [QueryCounter; 8] = [
    ("rows_in", "Rows read by the query.", |q| q.metrics.rows_in),
    ("bytes_in", "Bytes read by the query.", |q| q.metrics.bytes_in),
    ("records_out", "Records written by the query.", |q| q.metrics.records_out),
    ("commits", "Transactions committed by the query.", |q| q.metrics.commits),
    ("commit_microseconds", "Time spent committing, from flush to acknowledged.", |q| {
        q.metrics.commit_micros
    }),
    ("row_errors", "Rows reported to the processing log.", |q| q.metrics.row_errors),
    ("late_rows", "Rows dropped because their windows were closed.", |q| q.metrics.late_rows),
    ("restarts", "Times the query was started again after a failure.", |q| q.metrics.restarts),
];

/// All metrics of the node.
pub fn render(node: &Node) -> String {
    let mut out = String::new();
    queries(node, &mut out);
    node.render_broker_metrics(&mut out);
    out.push_str("# EOF\n");
    out
}

fn queries(node: &Node, out: &mut String) {
    let queries = node.engine().queries();
    for (name, help, value) in QUERY_COUNTERS {
        family(out, &format!("weir_query_{name}"), "counter", help);
        for query in &queries {
            let _ = writeln!(
                out,
                "weir_query_{name}_total{{query=\"{}\"}} {}",
                escape(&query.query_id),
                value(query)
            );
        }
    }
    family(out, "weir_query_state", "gauge", "1 for the state the query is in.");
    for query in &queries {
        let _ = writeln!(
            out,
            "weir_query_state{{query=\"{}\",state=\"{}\"}} 1",
            escape(&query.query_id),
            query.state.name()
        );
    }
    family(out, "weir_query_lag", "gauge", "Records that the query has still to read.");
    for query in &queries {
        let lag: i64 = query.tasks.iter().flat_map(|t| &t.inputs).filter_map(|i| i.lag).sum();
        let _ = writeln!(out, "weir_query_lag{{query=\"{}\"}} {lag}", escape(&query.query_id));
    }
}

/// The head of a metric family.
pub(crate) fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}");
}

/// A label's value.
pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Node {
    fn render_broker_metrics(&self, out: &mut String) {
        family(out, "weir_partition_log_end_offset", "gauge", "The next offset of the partition.");
        let figures = self.broker_figures();
        for figure in &figures {
            let _ = writeln!(
                out,
                "weir_partition_log_end_offset{{topic=\"{}\",partition=\"{}\"}} {}",
                escape(&figure.partition.topic),
                figure.partition.partition,
                figure.offsets.log_end
            );
        }
        family(out, "weir_partitions", "gauge", "Partitions on this node.");
        let _ = writeln!(out, "weir_partitions {}", figures.len());
        family(out, "weir_partition_offline", "gauge", "1 for a partition whose log is damaged.");
        let offline = self.offline_partitions();
        for log in &offline {
            let (topic, partition) = (escape(&log.partition.topic), log.partition.partition);
            let _ = writeln!(out, "weir_partition_offline{{topic=\"{topic}\",partition=\"{partition}\"}} 1");
        }
        family(out, "weir_partitions_offline", "gauge", "Partitions that are not served.");
        let _ = writeln!(out, "weir_partitions_offline {}", offline.len());
    }
}
