//! Files of offsets: a line each, `topic,partition,offset`, with the group in front if there are several.

use weir_broker::ids::{Offset, TopicPartition};

/// An offset that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetLine {
    /// None: whichever group is meant.
    pub group: Option<String>,
    pub partition: TopicPartition,
    pub offset: Offset,
}

/// Reads lines with commas, as Kafka's own tool exports them, or blanks, as rpk reads them. Empty lines and those with # in
/// front are passed over, and so is a header. Errors: number and fault of a line.
pub fn parse_offsets(text: &str) -> Result<Vec<OffsetLine>, (usize, String)> {
    let mut offsets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = match line.contains(',') {
            true => line.split(',').map(|field| field.trim().trim_matches('"')).collect(),
            false => line.split_whitespace().collect(),
        };
        let is_header =
            offsets.is_empty() && fields.last().is_some_and(|field| field.eq_ignore_ascii_case("offset"));
        if is_header {
            continue;
        }
        let parsed = match fields.as_slice() {
            [topic, partition, offset] => parse_line(None, topic, partition, offset),
            [group, topic, partition, offset] => parse_line(Some(group), topic, partition, offset),
            _ => Err("it is neither TOPIC,PARTITION,OFFSET nor GROUP,TOPIC,PARTITION,OFFSET".to_owned()),
        };
        offsets.push(parsed.map_err(|message| (index + 1, message))?);
    }
    Ok(offsets)
}

fn parse_line(group: Option<&str>, topic: &str, partition: &str, offset: &str) -> Result<OffsetLine, String> {
    let index = partition.parse::<i32>().ok().filter(|index| *index >= 0);
    let index = index.ok_or_else(|| format!("\"{partition}\" is no partition"))?;
    let offset = offset
        .parse::<Offset>()
        .ok()
        .filter(|offset| *offset >= 0)
        .ok_or_else(|| format!("\"{offset}\" is no offset"))?;
    Ok(OffsetLine { group: group.map(str::to_owned), partition: TopicPartition::new(topic, index), offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_kafka_and_rpk() {
        let text = "# saved\ntopic,partition,offset\na,0,10\n\nb 1 20\ng,a,2,30\n\"c\",3,\"4\"\n";
        let lines = parse_offsets(text).expect("valid");
        let shown: Vec<String> = lines
            .iter()
            .map(|l| format!("{} {} {}", l.group.as_deref().unwrap_or("-"), l.partition, l.offset))
            .collect();
        assert_eq!(shown, ["- a-0 10", "- b-1 20", "g a-2 30", "- c-3 4"]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, number) in
            [("a,0", 1), ("a,0,1\na,x,1", 2), ("a,0,-5", 1), ("a,-1,5", 1), ("a,b,c,d,e", 1)]
        {
            assert_eq!(parse_offsets(text).expect_err(text).0, number, "{text}");
        }
    }
}
