//! `kafka-get-offsets`.

use clap::Parser;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::offsets::parse_time;
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, TopicPattern, matching_topics};

/// Print the offsets of partitions, as kafka-get-offsets.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-get-offsets", version, infer_long_args = true)]
pub struct GetOffsetsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// Topics, by an expression that fits whole names
    #[arg(long)]
    topic: Option<String>,
    /// Only these partitions
    #[arg(long, value_delimiter = ',', conflicts_with = "topic_partitions")]
    partitions: Vec<i32>,
    /// TOPIC:PARTITION, TOPIC:FROM-TO (without TO), TOPIC:FROM-, with commas
    #[arg(long, value_delimiter = ',', conflicts_with = "topic")]
    topic_partitions: Vec<String>,
    /// latest or -1, earliest or -2, max-timestamp or -3, or a time in milliseconds
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    time: String,
    #[arg(long)]
    exclude_internal_topics: bool,
}

impl Ignored for GetOffsetsArgs {}

/// `TOPIC[:FROM[-TO]]`, where `TO` is left out and every part but the topic may be missing.
struct PartitionRule {
    topic: TopicPattern,
    from: i32,
    until: Option<i32>,
}

impl PartitionRule {
    fn parse(text: &str) -> Result<PartitionRule> {
        let wrong =
            || ToolError::Usage(format!("\"{text}\" is neither TOPIC, TOPIC:PARTITION nor TOPIC:FROM-TO"));
        let number = |text: &str| text.parse::<i32>().map_err(|_| wrong());
        let (topic, rest) = text.split_once(':').unwrap_or((text, ""));
        let topic = TopicPattern::parse(if topic.is_empty() { ".*" } else { topic })?;
        let (from, until) = match rest.split_once('-') {
            None if rest.is_empty() => (0, None),
            None => (number(rest)?, Some(number(rest)?.saturating_add(1))),
            Some((from, until)) => (
                if from.is_empty() { 0 } else { number(from)? },
                if until.is_empty() { None } else { Some(number(until)?) },
            ),
        };
        Ok(PartitionRule { topic, from, until })
    }

    fn fits(&self, topic: &str, partition: i32) -> bool {
        self.topic.fits(topic) && partition >= self.from && self.until.is_none_or(|until| partition < until)
    }
}

pub async fn run(args: GetOffsetsArgs) -> Result<()> {
    let spec = match args.time.as_str() {
        "latest" | "-1" => OffsetSpec::Latest,
        "earliest" | "-2" | "earliest-local" | "-4" => OffsetSpec::Earliest,
        "max-timestamp" | "-3" => OffsetSpec::MaxTimestamp,
        text => OffsetSpec::Timestamp(parse_time(text).map_err(ToolError::Usage)?),
    };
    let rules: Vec<PartitionRule> =
        args.topic_partitions.iter().map(|text| PartitionRule::parse(text)).collect::<Result<_>>()?;
    let connection = args.bootstrap.open(&[]).await?;
    let mut wanted = Vec::new();
    for topic in matching_topics(&connection, args.topic.as_deref()).await? {
        if args.exclude_internal_topics && topic.internal {
            continue;
        }
        for partition in 0..topic.partitions {
            let is_wanted = (args.partitions.is_empty() || args.partitions.contains(&partition))
                && (rules.is_empty() || rules.iter().any(|rule| rule.fits(&topic.name, partition)));
            if is_wanted {
                wanted.push((TopicPartition::new(topic.name.as_str(), partition), spec));
            }
        }
    }
    if wanted.is_empty() {
        let message = "could not match any topic-partitions with the specified filters".to_owned();
        return Err(ToolError::Input { place: "kafka-get-offsets".to_owned(), message });
    }
    let listed = connection.admin.list_offsets(&wanted, Isolation::ReadUncommitted).await?;
    for ((partition, _), listed) in wanted.iter().zip(listed) {
        let offset = listed.offset.map(|offset| offset.to_string()).unwrap_or_default();
        line(&format!("{}:{}:{offset}", partition.topic, partition.partition));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_given_by_ranges() {
        let fits = |rule: &str, topic: &str, partition| {
            PartitionRule::parse(rule).expect("valid").fits(topic, partition)
        };
        assert!(fits("a", "a", 7) && !fits("a", "b", 7));
        assert!(fits("a:2", "a", 2) && !fits("a:2", "a", 3));
        assert!(fits("a:1-3", "a", 2) && !fits("a:1-3", "a", 3));
        assert!(fits("a:1-", "a", 9) && fits("a:-2", "a", 0) && fits(":4", "x", 4));
        assert!(PartitionRule::parse("a:x").is_err());
    }
}
