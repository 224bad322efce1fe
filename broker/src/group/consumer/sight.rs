//! Which topics a member may see: its pattern names no others.
//!
//! Rules change while members live, so what is kept is not topics but whose rules they are. It is not stored: after a start
//! a member is known by what it had until its next heartbeat.

use std::fmt;
use std::sync::Arc;

use super::heartbeat::HeartbeatRequest;
use super::state::ConsumerGroup;
use super::subscription::Subscriptions;
use crate::metadata::image::MetadataImage;

type MaySee = dyn Fn(&MetadataImage, &str) -> bool + Send + Sync;

/// A client that rules restrict.
#[derive(Clone)]
pub struct Viewer {
    /// The same for clients that the same rules are for.
    name: Arc<str>,
    may_see: Arc<MaySee>,
}

impl Viewer {
    /// A client whose rights are those of `name`, and the question whether it may see a topic.
    pub fn new(name: &str, may_see: impl Fn(&MetadataImage, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), may_see: Arc::new(may_see) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn may_see(&self, image: &MetadataImage, topic: &str) -> bool {
        (self.may_see)(image, topic)
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Viewer").field(&self.name).finish()
    }
}

/// What a member may see.
#[derive(Debug, Clone)]
pub(crate) enum Sight {
    Everything,
    Of(Viewer),
}

impl Sight {
    /// Whose rules they are; `None` for members that nobody restricts.
    pub(super) fn viewer(&self) -> Option<&Viewer> {
        match self {
            Self::Everything => None,
            Self::Of(viewer) => Some(viewer),
        }
    }
}

impl ConsumerGroup {
    /// Notes what the sender may see. Returns whether the group has to assign anew because of it: its sender is not who
    /// it was, or was not known since the start and turns out to see more than it had, in a group that went on without it.
    pub(super) fn look(&mut self, request: &HeartbeatRequest, image: &MetadataImage) -> bool {
        let Some(member) = self.members.get(&request.member_id) else { return false };
        let sight = request.viewer.clone().map_or(Sight::Everything, Sight::Of);
        if member.regex.is_none() {
            self.sights.insert(request.member_id.clone(), sight);
            return false;
        }
        let name = |sight: &Sight| sight.viewer().map(|viewer| viewer.name.clone());
        if let Some(before) = self.sights.get(&request.member_id) {
            let changed = name(before) != name(&sight);
            self.sights.insert(request.member_id.clone(), sight);
            return changed;
        }
        let topics = |group: &Self| {
            let member = &group.members[&request.member_id];
            Subscriptions::resolve(group, image).of(member).into_keys().collect::<Vec<_>>()
        };
        let before = topics(self);
        self.sights.insert(request.member_id.clone(), sight);
        self.sights_digest = None;
        self.group_epoch != self.loaded_epoch && before != topics(self)
    }
}
