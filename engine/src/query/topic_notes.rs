//! The topics that a query used when it committed, noted with its offsets (the `metadata` of an offset commit).
//!
//! An offset means nothing in another topic of the same name, and state means nothing without the changelog it was logged to. So
//! the note of a source names what its rows are written to by ids, and all sources of the query: the offsets of a
//! topic are deleted with it, so only the notes of other topics show that it was deleted.
//!
//! ```text
//! note  = "1" *( " " hash "=" id ":" partitions )
//! hash  = FNV-1a of the topic's name, 16 hexadecimal digits
//! id    = the topic's id, 32 hexadecimal digits
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_broker::ids::TopicId;

use crate::runtime::error::TopicChange;
use crate::task::processor::SubTopologySpec;

const VERSION: &str = "1";

/// The topics of a query as they were when it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryTopics {
    pub(crate) partitions: BTreeMap<Arc<str>, i32>,
    /// Topics that the query does not make in the process.
    pub(crate) ids: BTreeMap<Arc<str>, TopicId>,
}

impl QueryTopics {
    /// [`TopicId::NONE`] if the topic is not known, or its broker knows no ids.
    pub(crate) fn id(&self, topic: &str) -> TopicId {
        self.ids.get(topic).copied().unwrap_or(TopicId::NONE)
    }

    /// Topics that have changed since a note was written. Topics that the note does not name have not.
    pub(crate) fn changes_since(&self, note: &str) -> Vec<(Arc<str>, TopicChange)> {
        let mut entries = note.split(' ');
        if entries.next() != Some(VERSION) {
            return Vec::new();
        }
        let noted: BTreeMap<&str, &str> = entries.filter_map(|entry| entry.split_once('=')).collect();
        let change = |(topic, id): (&Arc<str>, &TopicId)| {
            let (noted_id, count) = noted.get(hash(topic).as_str())?.split_once(':')?;
            let (before, now) = (count.parse().ok()?, self.partitions.get(topic).copied()?);
            let change = if noted_id != hex(*id) {
                TopicChange::Recreated
            } else if before < now {
                TopicChange::PartitionsAdded { before, now }
            } else {
                return None;
            };
            Some((topic.clone(), change))
        };
        self.ids.iter().filter(|(_, id)| **id != TopicId::NONE).filter_map(change).collect()
    }

    /// By source topic: the note that goes with its offsets.
    pub(crate) fn notes(&self, specs: &[SubTopologySpec]) -> BTreeMap<Arc<str>, String> {
        let mut noted: BTreeMap<Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
        let all_sources: Vec<&Arc<str>> =
            specs.iter().flat_map(|spec| &spec.sources).map(|source| &source.topic).collect();
        for spec in specs {
            let sources = spec.sources.iter().map(|s| &s.topic);
            let used: Vec<&Arc<str>> = all_sources
                .iter()
                .copied()
                .chain(spec.targets.iter().map(|t| &t.topic))
                .chain(spec.changelogs.iter().map(|c| &c.topic))
                .collect();
            for source in sources {
                noted.entry(source.clone()).or_default().extend(&used);
            }
        }
        let note = |mut topics: Vec<&Arc<str>>| {
            topics.sort_unstable();
            topics.dedup();
            let mut note = VERSION.to_owned();
            for topic in topics {
                let (id, partitions) = (self.id(topic), self.partitions.get(topic).copied().unwrap_or(0));
                if id != TopicId::NONE {
                    note.push_str(&format!(" {}={}:{partitions}", hash(topic), hex(id)));
                }
            }
            note
        };
        noted.into_iter().map(|(source, topics)| (source, note(topics))).collect()
    }
}

fn hex(id: TopicId) -> String {
    id.0.simple().to_string()
}

fn hash(name: &str) -> String {
    let fnv =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{fnv:016x}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::task::processor::{SourceTopic, TargetTopic};

    fn topics(source: TopicId, sink: TopicId, partitions: i32) -> QueryTopics {
        QueryTopics {
            partitions: [("s".into(), partitions), ("t".into(), 1)].into(),
            ids: [("s".into(), source), ("t".into(), sink)].into(),
        }
    }

    #[test]
    fn a_note_shows_which_topics_are_others() {
        let [a, b, c] = [1, 2, 3].map(|id| TopicId(Uuid::from_u128(id)));
        let spec = SubTopologySpec {
            sources: vec![SourceTopic { topic: "s".into(), table: false, internal: false }],
            targets: vec![TargetTopic { topic: "t".into(), internal: false }],
            ..SubTopologySpec::default()
        };
        let before = topics(a, b, 2);
        let note = before.notes(&[spec])["s"].clone();
        assert_eq!(before.changes_since(&note), []);
        assert_eq!(topics(a, c, 2).changes_since(&note), [("t".into(), TopicChange::Recreated)]);
        let added = TopicChange::PartitionsAdded { before: 2, now: 5 };
        assert_eq!(topics(a, b, 5).changes_since(&note), [("s".into(), added)]);
        for unknown in ["", "1", "2 x=y:1", "1 garbage", "1 =:", "1 x=y"] {
            assert_eq!(before.changes_since(unknown), [], "{unknown}");
        }
    }
}
