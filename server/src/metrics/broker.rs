//! The broker in figures: partitions, groups, transactions, connections and requests.

use std::collections::BTreeMap;

use weir_broker::api::node::NodeMetrics;
use weir_broker::broker::Broker;
use weir_broker::net::metrics::{LATENCY_BOUNDS_US, NetMetrics};
use weir_broker::protocol::api_key::ApiKey;

use crate::context::Context;
use crate::metrics::clients;
use crate::metrics::text::Page;

const MICROS: f64 = 1e-6;

pub(crate) fn write(context: &Context, page: &mut Page) {
    context.broker().with(|broker| {
        partitions(broker, page);
        coordinators(broker, page);
        connections(broker.net_metrics(), page);
        requests(broker.net_metrics(), page);
        let counters = broker.node().metrics();
        security(counters, page);
        clients::write(broker, page);
        fetch_sessions(broker, page);
        page.family("weir_broker_requests", "counter", "Requests, those of this process among them.")
            .sample(&[], counters.requests.get());
        page.family("weir_broker_appended_bytes", "counter", "Bytes of records that producers appended.")
            .sample(&[], counters.bytes_in.get());
        page.family("weir_broker_fetched_bytes", "counter", "Bytes of records given to consumers.")
            .sample(&[], counters.bytes_out.get());
    });
}

fn partitions(broker: &Broker, page: &mut Page) {
    let figures = broker.partition_figures();
    type Value = fn(&weir_broker::broker::PartitionFigures) -> i64;
    let families: [(&str, &str, Value); 4] = [
        ("weir_partition_log_start_offset", "The first offset that is kept.", |f| f.offsets.log_start),
        ("weir_partition_log_end_offset", "The next offset of the partition.", |f| f.offsets.log_end),
        ("weir_partition_high_watermark", "Consumers can read up to this offset.", |f| {
            f.offsets.high_watermark
        }),
        ("weir_partition_log_bytes", "Bytes of the partition's log.", |f| {
            i64::try_from(f.size_bytes).unwrap_or(i64::MAX)
        }),
    ];
    for (name, help, value) in families {
        let mut family = page.family(name, "gauge", help);
        for figure in &figures {
            let partition = figure.partition.partition.to_string();
            let labels = [("topic", figure.partition.topic.as_ref()), ("partition", partition.as_str())];
            family.sample(&labels, value(figure));
        }
    }
    page.family("weir_partitions", "gauge", "Partitions on this node.").sample(&[], figures.len());
    let offline = broker.offline_partitions();
    let mut family =
        page.family("weir_partition_offline", "gauge", "1 for a partition whose log is damaged.");
    for log in &offline {
        let partition = log.partition.partition.to_string();
        let labels = [("topic", log.partition.topic.as_ref()), ("partition", partition.as_str())];
        family.sample(&labels, 1);
    }
    page.family("weir_partitions_offline", "gauge", "Partitions that are not served.")
        .sample(&[], offline.len());
    let bytes: u64 = figures.iter().map(|f| f.size_bytes).sum();
    page.family("weir_log_bytes", "gauge", "Bytes of all logs.").sample(&[], bytes);
}

fn coordinators(broker: &Broker, page: &mut Page) {
    let mut count = |name: &str, help: &str, states: BTreeMap<&'static str, u64>| {
        let mut family = page.family(name, "gauge", help);
        for (state, count) in states {
            family.sample(&[("state", state)], count);
        }
    };
    count("weir_groups", "Consumer groups by state.", broker.group_states());
    count(
        "weir_transactional_ids",
        "Transactional ids by the state of their transaction.",
        broker.txn_states(),
    );
    let mut lag = page.family("weir_group_lag_records", "gauge", "Records a group has still to commit.");
    for entry in broker.group_lags() {
        let partition = entry.partition.partition.to_string();
        let labels = [
            ("group", entry.group_id.as_str()),
            ("topic", entry.partition.topic.as_ref()),
            ("partition", partition.as_str()),
        ];
        lag.sample(&labels, entry.lag);
    }
}

fn connections(net: &NetMetrics, page: &mut Page) {
    page.family("weir_kafka_connections", "gauge", "Kafka connections open now.")
        .sample(&[], net.connections.get());
    page.family("weir_kafka_connections_accepted", "counter", "Kafka connections accepted.")
        .sample(&[], net.connections_accepted.get());
    page.family(
        "weir_kafka_accepts_failed",
        "counter",
        "Times that no Kafka connection could be accepted, for want of open files mostly.",
    )
    .sample(&[], net.accepts_failed.get());
    let mut closed = page.family(
        "weir_kafka_connections_refused",
        "counter",
        "Kafka connections that the broker closed, by reason.",
    );
    for (reason, counter) in [
        ("too_many", &net.connections_refused),
        ("timed_out", &net.connections_timed_out),
        ("malformed", &net.connections_malformed),
        ("oversize", &net.connections_oversize),
        ("unauthenticated", &net.connections_unauthenticated),
        ("tls_handshake", &net.tls_handshakes_failed),
    ] {
        closed.sample(&[("reason", reason)], counter.get());
    }
    page.family("weir_kafka_received_bytes", "counter", "Bytes read from Kafka connections.")
        .sample(&[], net.bytes_received.get());
    page.family("weir_kafka_sent_bytes", "counter", "Bytes written to Kafka connections.")
        .sample(&[], net.bytes_sent.get());
}

fn fetch_sessions(broker: &Broker, page: &mut Page) {
    let sessions = broker.node().fetch_session_figures();
    page.family("weir_fetch_sessions", "gauge", "Consumers that name only what changes of what they read.")
        .sample(&[], sessions.sessions);
    page.family("weir_fetch_session_partitions", "gauge", "Partitions of all fetch sessions.")
        .sample(&[], sessions.partitions);
    page.family("weir_fetch_session_evictions", "counter", "Fetch sessions that made room for others.")
        .sample(&[], sessions.evictions);
}

/// Who was turned away, and why.
fn security(counters: &NodeMetrics, page: &mut Page) {
    for (name, help, counter) in [
        (
            "weir_kafka_authentications_failed",
            "Clients that did not prove who they are.",
            &counters.authentications_failed,
        ),
        ("weir_kafka_requests_refused", "Requests that no ACL allows.", &counters.requests_refused),
        (
            "weir_kafka_requests_throttled",
            "Requests after which a client was told to pause.",
            &counters.requests_throttled,
        ),
    ] {
        page.family(name, "counter", help).sample(&[], counter.get());
    }
}

/// APIs that were asked for at least once.
fn requests(net: &NetMetrics, page: &mut Page) {
    let asked: Vec<ApiKey> = ApiKey::ALL.iter().copied().filter(|k| net.api(*k).requests.get() > 0).collect();
    type Value = fn(&weir_broker::net::metrics::ApiMetrics) -> u64;
    let families: [(&str, &str, Value); 3] = [
        ("weir_kafka_requests", "Requests over connections, by API.", |m| m.requests.get()),
        ("weir_kafka_request_bytes", "Bytes of requests, by API.", |m| m.bytes_received.get()),
        ("weir_kafka_response_bytes", "Bytes of responses, by API.", |m| m.bytes_sent.get()),
    ];
    for (name, help, value) in families {
        let mut family = page.family(name, "counter", help);
        for api in &asked {
            family.sample(&[("api", api.name())], value(net.api(*api)));
        }
    }
    let bounds = LATENCY_BOUNDS_US.map(|us| us as f64 * MICROS);
    let mut latency = page.family(
        "weir_kafka_request_duration_seconds",
        "histogram",
        "From the last byte of a request to its response, waiting included.",
    );
    for api in asked {
        let histogram = &net.api(api).latency;
        let sum = histogram.sum_us() as f64 * MICROS;
        latency.histogram(&[("api", api.name())], &bounds, &histogram.buckets(), sum);
    }
}
