//! Topics that a group reads: names and patterns, resolved against the existing topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use md5::{Digest, Md5};
use uuid::Uuid;

use super::assignor::{self, Assignor, PartitionSet, Subscriber};
use super::pattern::compile;
use super::state::{ConsumerGroup, ConsumerMember};
use super::topic_visibility::{TopicVisibility, Viewer};
use crate::ids::TopicId;
use crate::metadata::image::{MetadataImage, Topic};

/// The topics of all subscriptions of a group, in one state of the metadata.
#[derive(Debug)]
pub(crate) struct Subscriptions<'a> {
    image: &'a MetadataImage,
    group: &'a ConsumerGroup,
    /// Pattern, and whose rules it is under → the topics it names. Patterns repeat over members.
    by_regex: BTreeMap<(&'a str, Option<&'a str>), Vec<&'a Arc<Topic>>>,
}

impl<'a> Subscriptions<'a> {
    pub(crate) fn resolve(group: &'a ConsumerGroup, image: &'a MetadataImage) -> Self {
        let mut by_regex = BTreeMap::new();
        for member in group.members.values() {
            let (Some(pattern), Some(visibility)) =
                (member.regex.as_deref(), group.visibility.get(&member.member_id))
            else {
                continue;
            };
            let viewer = visibility.viewer();
            by_regex.entry((pattern, viewer.map(Viewer::name))).or_insert_with(|| match compile(pattern) {
                Ok(regex) => image
                    .topics()
                    .filter(|topic| !topic.is_internal() && regex.is_match(&topic.name))
                    .filter(|topic| viewer.is_none_or(|viewer| viewer.may_see(image, &topic.name)))
                    .collect(),
                Err(_) => Vec::new(),
            });
        }
        Self { image, group, by_regex }
    }

    /// The topics a member reads.
    pub(crate) fn of(&self, member: &'a ConsumerMember) -> BTreeMap<Uuid, &'a Topic> {
        let named = member.topics.iter().filter_map(|name| self.image.topic(name));
        let mut topics: BTreeMap<Uuid, &'a Topic> = named.map(|topic| (topic.id.0, topic.as_ref())).collect();
        let Some(pattern) = member.regex.as_deref() else { return topics };
        match self.group.visibility.get(&member.member_id) {
            Some(visibility) => {
                let matched = self.by_regex.get(&(pattern, visibility.viewer().map(Viewer::name)));
                let matched = matched.into_iter().flatten().copied();
                topics.extend(matched.map(|topic| (topic.id.0, topic.as_ref())));
            }
            // Not heard of since the start: what it had it was allowed to.
            None => {
                let target = self.group.targets.get(&member.member_id);
                let had =
                    target.into_iter().flatten().filter_map(|(id, _)| self.image.topic_by_id(TopicId(*id)));
                topics.extend(had.map(|topic| (topic.id.0, topic.as_ref())));
            }
        }
        topics
    }

    /// A number that changes with what patterns name for clients under rules; `None` without any.
    fn visibility_digest(&self) -> Option<i64> {
        let mut hash = Md5::new();
        let mut any = false;
        for ((pattern, viewer), topics) in &self.by_regex {
            let Some(viewer) = viewer else { continue };
            any = true;
            for part in [pattern, viewer] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            topics.iter().for_each(|topic| hash.update(topic.id.0.as_bytes()));
        }
        any.then(|| leading(hash))
    }
}

impl ConsumerGroup {
    /// Notes what the sender may see. Returns whether the group has to assign anew because of it: its sender is not who
    /// it was, or was not known since the start and turns out to see more than it had, in a group that went on without it.
    pub(super) fn note_visibility(
        &mut self,
        member_id: &str,
        viewer: Option<Viewer>,
        image: &MetadataImage,
    ) -> bool {
        let Some(member) = self.members.get(member_id) else { return false };
        let visibility = viewer.map_or(TopicVisibility::Everything, TopicVisibility::Of);
        if member.regex.is_none() {
            self.visibility.insert(member_id.to_owned(), visibility);
            return false;
        }
        let name = |visibility: &TopicVisibility| visibility.viewer().map(|viewer| viewer.name().to_owned());
        if let Some(before) = self.visibility.get(member_id) {
            let changed = name(before) != name(&visibility);
            self.visibility.insert(member_id.to_owned(), visibility);
            return changed;
        }
        let topics = |group: &Self| {
            let member = &group.members[member_id];
            Subscriptions::resolve(group, image).of(member).into_keys().collect::<Vec<_>>()
        };
        let before = topics(self);
        self.visibility.insert(member_id.to_owned(), visibility);
        self.visibility_digest = None;
        self.group_epoch != self.loaded_epoch && before != topics(self)
    }

    /// Compares the subscribed topics with those the group epoch stands for; true when they differ.
    pub(crate) fn refresh_topics(&mut self, image: &Arc<MetadataImage>) -> bool {
        let subscriptions = Subscriptions::resolve(self, image);
        let mut topics = BTreeMap::new();
        for member in self.members.values() {
            topics.extend(subscriptions.of(member));
        }
        let (digest, visibility) = (digest(&topics), subscriptions.visibility_digest());
        self.image_seen = Arc::downgrade(image);
        // Rules can show a topic to a member that others saw before.
        let shown = self.visibility_digest.is_some() && visibility != self.visibility_digest;
        let changed = digest != self.topics_digest || shown;
        (self.topics_digest, self.visibility_digest) = (digest, visibility);
        changed
    }

    /// True when the metadata is not that of the last comparison.
    pub(crate) fn is_image_new(&self, image: &Arc<MetadataImage>) -> bool {
        !Weak::ptr_eq(&self.image_seen, &Arc::downgrade(image))
    }

    /// The targets that follow from members and topics as they are.
    pub(crate) fn compute_targets(&self, image: &MetadataImage) -> BTreeMap<String, PartitionSet> {
        let subscriptions = Subscriptions::resolve(self, image);
        let mut sizes = BTreeMap::new();
        let mut subscribers = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let topics = subscriptions.of(member);
            sizes.extend(topics.iter().map(|(id, topic)| (*id, topic.partitions)));
            subscribers.push(Subscriber {
                member_id: &member.member_id,
                instance_id: member.instance_id.as_deref(),
                topics: topics.into_keys().collect::<BTreeSet<_>>(),
                former: self.targets.get(&member.member_id),
            });
        }
        let assignment = assignor::assign(self.assignor, &subscribers, &sizes);
        subscribers.iter().map(|subscriber| subscriber.member_id.to_owned()).zip(assignment).collect()
    }

    /// The assignor most members ask for; the first of [`Assignor::ALL`] if none asks.
    pub(crate) fn preferred_assignor(&self) -> Assignor {
        let votes = |assignor: &Assignor| {
            let is_for =
                |member: &&ConsumerMember| member.server_assignor.as_deref() == Some(assignor.name());
            self.members.values().filter(is_for).count()
        };
        let most = Assignor::ALL.iter().map(votes).max().unwrap_or(0);
        Assignor::ALL.into_iter().find(|assignor| votes(assignor) == most).unwrap_or(Assignor::Uniform)
    }
}

/// A number that changes with the topics and their sizes; 0 without topics.
fn digest(topics: &BTreeMap<Uuid, &Topic>) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut hash = Md5::new();
    for (id, topic) in topics {
        hash.update(id.as_bytes());
        hash.update(topic.partitions.to_be_bytes());
        hash.update(topic.name.as_bytes());
        hash.update([0]);
    }
    leading(hash)
}

fn leading(hash: Md5) -> i64 {
    let bytes = hash.finalize();
    i64::from_be_bytes(bytes[..8].try_into().expect("a digest has 16 bytes"))
}
