//! A topology as text, for EXPLAIN.

use std::fmt::{self, Write};

use crate::topology::Topology;
use crate::topology::sub_topology::{Edge, SubTopology, TopicName};

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicName::External(name) | TopicName::Internal(name) => f.write_str(name),
        }
    }
}

/// Lists sub-topologies with their sources, operators, stores and targets, and what leads where.
pub fn describe(topology: &Topology) -> String {
    let mut text = String::from("Topologies:\n");
    for (i, sub) in topology.sub_topologies.iter().enumerate() {
        describe_sub_topology(i, sub, &mut text).expect("a string takes any text");
    }
    text
}

fn describe_sub_topology(index: usize, sub: &SubTopology, out: &mut String) -> fmt::Result {
    writeln!(out, "   Sub-topology: {index}")?;
    for source in &sub.sources {
        writeln!(out, "    Source: (topics: [{}])", source.topic)?;
        writeln!(out, "      --> {}", edge_name(sub, source.edge))?;
    }
    for node in &sub.nodes {
        let targets: Vec<String> = node.outputs.iter().map(|e| edge_name(sub, *e)).collect();
        writeln!(out, "    Processor: {}", node.name)?;
        writeln!(out, "      --> {}", targets.join(", "))?;
    }
    if !sub.stores.is_empty() {
        let stores: Vec<&str> = sub.stores.iter().map(|s| s.name.as_str()).collect();
        writeln!(out, "    Stores: [{}]", stores.join(", "))?;
    }
    for target in &sub.targets {
        match target.topic() {
            Some(topic) => writeln!(out, "    Sink: (topic: {topic})")?,
            None => writeln!(out, "    Sink: (client)")?,
        }
    }
    Ok(())
}

fn edge_name(sub: &SubTopology, edge: Edge) -> String {
    match edge {
        Edge::Node { node, .. } => sub.nodes.get(node).map_or_else(String::new, |n| n.name.clone()),
        Edge::Target(target) => match sub.targets.get(target).map(|t| t.topic()) {
            Some(Some(topic)) => topic.to_string(),
            Some(None) | None => "client".to_owned(),
        },
    }
}
