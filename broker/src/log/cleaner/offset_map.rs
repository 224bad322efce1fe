//! The last offset of each key, in bounded memory.

use hashbrown::HashMap;
use md5::{Digest, Md5};

use crate::ids::Offset;

/// Memory per key, growth of the table included.
const ENTRY_BYTES: usize = 64;

/// Maps keys to offsets. Keys are kept as 128-bit digests: two keys with the same digest would be taken for one.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    entries: HashMap<[u8; 16], Offset>,
    entries_max: usize,
}

impl OffsetMap {
    /// A map of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        OffsetMap { entries: HashMap::new(), entries_max: (bytes_max / ENTRY_BYTES).max(1) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `count` more keys fit.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.entries.len() + count <= self.entries_max
    }

    /// Notes that `key` is at `offset`, above all offsets before.
    pub(crate) fn insert(&mut self, key: &[u8], offset: Offset) {
        self.entries.insert(digest(key), offset);
    }

    /// The last offset of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        self.entries.get(&digest(key)).copied()
    }
}

fn digest(key: &[u8]) -> [u8; 16] {
    Md5::digest(key).into()
}
