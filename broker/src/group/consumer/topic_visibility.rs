//! Which topics a member may see: its pattern names no others.
//!
//! Rules change while members live, so what is kept is not topics but whose rules they are. It is not stored: after a start
//! a member is known by what it had until its next heartbeat.

use std::fmt;
use std::sync::Arc;

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

/// Topics that a member may see.
#[derive(Debug, Clone)]
pub(crate) enum TopicVisibility {
    Everything,
    Of(Viewer),
}

impl TopicVisibility {
    /// The principal whose rules apply; `None` for unrestricted members.
    pub(super) fn viewer(&self) -> Option<&Viewer> {
        match self {
            Self::Everything => None,
            Self::Of(viewer) => Some(viewer),
        }
    }
}
