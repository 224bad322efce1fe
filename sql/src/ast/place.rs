//! Where a node stood in the text.

use std::hash::{Hash, Hasher};

use crate::span::Span;

/// The span of a node. All places compare equal, so that `==` on nodes compares their meaning alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub Span);

impl Place {
    pub fn span(self) -> Span {
        self.0
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl From<Span> for Place {
    fn from(span: Span) -> Place {
        Place(span)
    }
}

impl From<Place> for Span {
    fn from(place: Place) -> Span {
        place.0
    }
}
