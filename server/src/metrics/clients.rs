//! What Kafka clients push about themselves (KIP-714): the latest values of each client that is still there.

use std::collections::BTreeMap;

use weir_broker::broker::Broker;
use weir_broker::telemetry::otlp::Number;
use weir_broker::telemetry::series::SeriesKey;

use crate::metrics::text::Page;

/// Labels of ours; an attribute of the same name gets [`PREFIX`].
const OWN_LABELS: [&str; 6] =
    ["client_instance_id", "client_id", "metric", "software_name", "software_version", "address"];
const PREFIX: &str = "attribute_";

/// One client, taken out of the table so that the page is written without holding it.
struct Client {
    instance_id: String,
    client_id: String,
    about: Vec<(String, String)>,
    series: BTreeMap<SeriesKey, Number>,
}

pub(crate) fn write(broker: &Broker, page: &mut Page) {
    let (mut clients, mut instances) = (Vec::new(), 0_usize);
    broker.node().visit_telemetry(|instance_id, instance| {
        instances += 1;
        // Most clients ask, whether or not there is a subscription for them.
        if instance.series.is_empty() {
            return;
        }
        let client = &instance.client;
        let mut about = vec![
            ("software_name".to_owned(), client.software_name.to_string()),
            ("software_version".to_owned(), client.software_version.to_string()),
            ("address".to_owned(), client.address.clone()),
        ];
        about.extend(instance.resource.iter().map(|(name, value)| (label_name(name), value.clone())));
        clients.push(Client {
            instance_id: instance_id.to_string(),
            client_id: client.client_id.to_string(),
            about: distinct(about),
            series: instance.series.clone(),
        });
    });
    counts(broker, instances, page);
    let mut family = page.family("weir_client_info", "gauge", "A client that pushes its metrics.");
    for client in &clients {
        family.sample(&labels(client, None, &client.about), 1);
    }
    let help = "The latest value of a metric that a client pushed.";
    let mut family = page.family("weir_client_metric", "unknown", help);
    for client in &clients {
        for (key, value) in &client.series {
            let attributes = key.attributes.iter().map(|(name, value)| (label_name(name), value.clone()));
            family.sample(&labels(client, Some(&key.metric), &distinct(attributes.collect())), value);
        }
    }
}

fn counts(broker: &Broker, instances: usize, page: &mut Page) {
    let counts = broker.node().telemetry().counts();
    page.family("weir_client_telemetry_instances", "gauge", "Clients that asked what to push.")
        .sample(&[], instances);
    let mut requests =
        page.family("weir_client_telemetry_pushes", "counter", "Pushes of client metrics, by outcome.");
    for (outcome, count) in [
        ("accepted", counts.accepted),
        ("throttled", counts.throttled),
        ("refused", counts.refused),
        ("malformed", counts.malformed),
    ] {
        requests.sample(&[("outcome", outcome)], count);
    }
    let help = "Values that clients pushed and for which there was no room.";
    page.family("weir_client_telemetry_series_dropped", "counter", help).sample(&[], counts.dropped);
}

fn labels<'a>(
    client: &'a Client,
    metric: Option<&'a str>,
    others: &'a [(String, String)],
) -> Vec<(&'a str, &'a str)> {
    let own = [("client_instance_id", client.instance_id.as_str()), ("client_id", client.client_id.as_str())];
    let metric = metric.map(|metric| ("metric", metric));
    let others = others.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.into_iter().chain(metric).chain(others).collect()
}

/// An attribute's name as OpenMetrics has names, and none of ours.
fn label_name(attribute: &str) -> String {
    let fitting = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = attribute.chars().map(fitting).collect();
    let is_taken = OWN_LABELS.contains(&name.as_str());
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "le";
    if is_taken || !begins_well { format!("{PREFIX}{name}") } else { name }
}

/// A sample has each label once: the first stays.
fn distinct(mut labels: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    labels.retain(|(name, _)| seen.insert(name.clone()));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_labels() {
        for (attribute, expected) in [
            ("topic", "topic"),
            ("node.id", "node_id"),
            ("client_id", "attribute_client_id"),
            ("0", "attribute_0"),
            ("", "attribute_"),
            ("größe", "gr__e"),
            ("le", "attribute_le"),
        ] {
            assert_eq!(label_name(attribute), expected);
        }
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let once = distinct(vec![pair("a", "1"), pair("b", "2"), pair("a", "3")]);
        assert_eq!(once, [pair("a", "1"), pair("b", "2")]);
    }
}
