//! The broker's topics as statements see them: looked up one by one.

use std::collections::BTreeMap;

use weir_broker::client::admin::TopicDescription;
use weir_sql::catalog::{TopicCatalog, TopicInfo};

use crate::context::Context;
use crate::error::ApiError;

/// The topics of the broker, with the changes of earlier statements of the same batch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeTopics {
    context: Context,
    /// Created, or deleted: None.
    changed: BTreeMap<String, Option<TopicInfo>>,
}

impl NodeTopics {
    pub(crate) fn new(context: &Context) -> NodeTopics {
        NodeTopics { context: context.clone(), changed: BTreeMap::new() }
    }

    pub fn insert(&mut self, name: impl Into<String>, info: TopicInfo) {
        self.changed.insert(name.into(), Some(info));
    }

    pub fn remove(&mut self, name: &str) {
        self.changed.insert(name.to_owned(), None);
    }
}

impl TopicCatalog for NodeTopics {
    fn topic(&self, name: &str) -> Option<TopicInfo> {
        match self.changed.get(name) {
            Some(changed) => *changed,
            None => self.context.broker().topic(name),
        }
    }

    fn is_read_only(&self, name: &str) -> bool {
        self.context.topic_policy().is_read_only(name)
    }

    fn replicas_max(&self) -> Option<u16> {
        Some(1)
    }
}

/// All topics of the broker.
pub(crate) async fn list(context: &Context) -> Result<Vec<TopicDescription>, ApiError> {
    let listed = context.admin().list_topics().await;
    listed.map_err(|e| ApiError::server(format!("topics cannot be listed: {e}")))
}
