//! The topics that a query used when it committed, noted with its offsets (the `metadata` of an offset commit).
//!
//! An offset means nothing in another topic of the same name, and state means nothing without the changelog it was
//! logged to. So the note of a source names what its rows are written to by ids, and all sources of the query.
//!
//! The offsets of a topic are deleted with it, so only the notes of other topics show that it was deleted. What a query
//! writes is noted like what it reads, without a position: the changelog or sink of a query whose only source is
//! another one shows it. Notes are kept by the broker, not with local state, which may be removed at any time; and a
//! query without state has none.
//!
//! ```text
//! note  = "1" *( " " hash "=" id ":" partitions )
//! hash  = FNV-1a of the topic's name, 16 hexadecimal digits
//! id    = the topic's id, 32 hexadecimal digits
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_broker::ids::{TopicId, TopicPartition};

use crate::error::query::TopicChange;
use crate::task::processor::SubTopologySpec;

const VERSION: &str = "1";

/// The limit of brokers (`offset.metadata.max.bytes`). Sources are noted first; topics beyond the limit are not noted.
const NOTE_BYTES_MAX: usize = 4_096;

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

    /// By topic that the query reads or writes: the note that goes with its offsets.
    pub(crate) fn notes(&self, specs: &[SubTopologySpec]) -> BTreeMap<Arc<str>, String> {
        let mut noted: BTreeMap<Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
        let all_sources: Vec<&Arc<str>> =
            specs.iter().flat_map(|spec| &spec.sources).map(|source| &source.topic).collect();
        for spec in specs {
            let written =
                || spec.targets.iter().map(|t| &t.topic).chain(spec.changelogs.iter().map(|c| &c.topic));
            let used: Vec<&Arc<str>> = all_sources.iter().copied().chain(written()).collect();
            for topic in spec.sources.iter().map(|s| &s.topic).chain(written()) {
                noted.entry(topic.clone()).or_default().extend(&used);
            }
        }
        noted.into_iter().map(|(topic, used)| (topic, self.note(&used))).collect()
    }

    fn note(&self, topics: &[&Arc<str>]) -> String {
        let mut noted = BTreeSet::new();
        let mut note = VERSION.to_owned();
        for topic in topics.iter().filter(|topic| noted.insert(**topic)) {
            let (id, partitions) = (self.id(topic), self.partitions.get(*topic).copied().unwrap_or(0));
            let entry = format!(" {}={}:{partitions}", hash(topic), hex(id));
            if id != TopicId::NONE && note.len() + entry.len() <= NOTE_BYTES_MAX {
                note.push_str(&entry);
            }
        }
        note
    }

    /// A partition of each topic that the query writes and does not read: their notes go with no position.
    pub(crate) fn written_only(&self, specs: &[SubTopologySpec]) -> Vec<TopicPartition> {
        let read: BTreeSet<&Arc<str>> =
            specs.iter().flat_map(|spec| &spec.sources).map(|source| &source.topic).collect();
        let written = self.notes(specs).into_keys().filter(|topic| !read.contains(topic));
        written.map(|topic| TopicPartition::new(topic, 0)).collect()
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
    use crate::state::backend::StoreId;
    use crate::task::processor::{ChangelogTopic, SourceTopic, TargetTopic};

    fn topics(source: TopicId, sink: TopicId, partitions: i32) -> QueryTopics {
        QueryTopics {
            partitions: [("s".into(), partitions), ("t".into(), 1)].into(),
            ids: [("s".into(), source), ("t".into(), sink)].into(),
        }
    }

    fn with_changelog(mut topics: QueryTopics, id: TopicId) -> QueryTopics {
        topics.partitions.insert("c".into(), 1);
        topics.ids.insert("c".into(), id);
        topics
    }

    #[test]
    fn a_note_shows_which_topics_are_others() {
        let [a, b, c] = [1, 2, 3].map(|id| TopicId(Uuid::from_u128(id)));
        let spec = SubTopologySpec {
            sources: vec![SourceTopic { topic: "s".into(), table: false, internal: false }],
            targets: vec![TargetTopic { topic: "t".into(), internal: false }],
            changelogs: vec![ChangelogTopic { store: StoreId(0), topic: "c".into() }],
            ..SubTopologySpec::default()
        };
        let logged = with_changelog(topics(a, b, 2), a).notes(std::slice::from_ref(&spec))["s"].clone();
        let other = with_changelog(topics(a, b, 2), c);
        assert_eq!(other.changes_since(&logged), [("c".into(), TopicChange::Recreated)]);
        let before = topics(a, b, 2);
        let written = ["c", "t"].map(|topic| TopicPartition::new(topic, 0));
        assert_eq!(before.written_only(std::slice::from_ref(&spec)), written);
        let notes = before.notes(&[spec]);
        let note = notes["s"].clone();
        assert_eq!(topics(c, b, 2).changes_since(&notes["t"]), [("s".into(), TopicChange::Recreated)]);
        assert_eq!(before.changes_since(&note), []);
        assert_eq!(topics(a, c, 2).changes_since(&note), [("t".into(), TopicChange::Recreated)]);
        let added = TopicChange::PartitionsAdded { before: 2, now: 5 };
        assert_eq!(topics(a, b, 5).changes_since(&note), [("s".into(), added)]);
        for unknown in ["", "1", "2 x=y:1", "1 garbage", "1 =:", "1 x=y"] {
            assert_eq!(before.changes_since(unknown), [], "{unknown}");
        }
    }

    #[test]
    fn a_note_about_many_topics_is_no_longer_than_brokers_take() {
        let names: Vec<Arc<str>> = (0..200).map(|i| format!("topic{i}").into()).collect();
        let id = TopicId(Uuid::from_u128(7));
        let topics = QueryTopics {
            partitions: names.iter().map(|name| (name.clone(), 100_000)).collect(),
            ids: names.iter().map(|name| (name.clone(), id)).collect(),
        };
        let source = |topic: &Arc<str>| SourceTopic { topic: topic.clone(), table: false, internal: false };
        let spec =
            SubTopologySpec { sources: names.iter().map(source).collect(), ..SubTopologySpec::default() };
        let note = topics.notes(&[spec])["topic0"].clone();
        assert!(note.len() <= NOTE_BYTES_MAX && note.len() > NOTE_BYTES_MAX - 100, "{}", note.len());
        assert_eq!(topics.changes_since(&note), []);
    }
}
