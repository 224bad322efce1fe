//! Which versions a broker and this client have in common.

use crate::client::transport::TransportError;
use crate::protocol::api_key::{ApiKey, VersionRange};
use crate::protocol::messages::api_versions::ApiVersionsResponse;
use crate::protocol::request::Request;

/// Feature whose level says how transactions end (KIP-890).
const TRANSACTION_FEATURE: &str = "transaction.version";
/// From this level on, ending a transaction bumps the producer epoch.
const TRANSACTION_EPOCH_BUMP: i16 = 2;

/// What a broker said it speaks.
#[derive(Debug)]
pub(crate) struct BrokerVersions {
    /// Shape: one entry per API, at [`ApiKey::index`].
    ranges: Vec<Option<VersionRange>>,
    transaction_level: i16,
}

impl BrokerVersions {
    pub(crate) fn new(response: &ApiVersionsResponse) -> Self {
        let mut ranges = vec![None; ApiKey::ALL.len()];
        for entry in &response.api_keys {
            if let Some(api_key) = ApiKey::from_code(entry.api_key) {
                let theirs = VersionRange { min: entry.min_version, max: entry.max_version };
                ranges[api_key.index()] = api_key.known_versions().intersection(theirs);
            }
        }
        let level = response.finalized_features.iter().find(|feature| feature.name == TRANSACTION_FEATURE);
        Self { ranges, transaction_level: level.map_or(0, |feature| feature.max_version_level) }
    }

    /// The highest version both sides know that can carry `request`.
    pub(crate) fn choose(&self, request: &Request) -> Result<i16, TransportError> {
        let api = request.api_key();
        let usable = VersionRange { min: 0, max: request.version_max().min(self.feature_max(request)) };
        self.ranges[api.index()]
            .and_then(|common| common.intersection(usable))
            .map(|range| range.max)
            .ok_or(TransportError::UnsupportedVersion { api })
    }

    /// Versions above these mean the newer way of ending transactions, whether or not the cluster has it.
    fn feature_max(&self, request: &Request) -> i16 {
        if self.transaction_level >= TRANSACTION_EPOCH_BUMP {
            return i16::MAX;
        }
        match request {
            Request::EndTxn(_) | Request::TxnOffsetCommit(_) => 4,
            Request::Produce(request) if request.transactional_id.is_some() => 11,
            _ => i16::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BrokerVersions;
    use crate::client::transport::TransportError;
    use crate::protocol::api_key::ApiKey;
    use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse, FinalizedFeatureKey};
    use crate::protocol::messages::end_txn::EndTxnRequest;
    use crate::protocol::messages::metadata::MetadataRequest;
    use crate::protocol::messages::produce::{ProduceRequest, TopicProduceData};
    use crate::protocol::request::Request;

    fn broker(ranges: &[(i16, i16, i16)], transaction_level: i16) -> BrokerVersions {
        let api_keys = ranges.iter().map(|&(api_key, min_version, max_version)| ApiVersion {
            api_key,
            min_version,
            max_version,
        });
        let feature = FinalizedFeatureKey {
            name: "transaction.version".to_owned(),
            max_version_level: transaction_level,
            min_version_level: transaction_level,
        };
        BrokerVersions::new(&ApiVersionsResponse {
            api_keys: api_keys.collect(),
            finalized_features: vec![feature],
            ..ApiVersionsResponse::default()
        })
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let metadata = Request::from(MetadataRequest::default());
        let choose = |min, max| broker(&[(ApiKey::Metadata.code(), min, max)], 0).choose(&metadata);
        assert!(matches!(choose(0, 5), Ok(5)));
        assert!(matches!(choose(0, 99), Ok(13)));
        assert!(matches!(choose(20, 99), Err(TransportError::UnsupportedVersion { api: ApiKey::Metadata })));
        let nothing = broker(&[(999, 0, 1)], 0).choose(&metadata);
        assert!(matches!(nothing, Err(TransportError::UnsupportedVersion { .. })));
    }

    #[test]
    fn topics_without_ids_are_sent_in_a_version_with_names() {
        let topic = TopicProduceData { name: "t".to_owned(), ..TopicProduceData::default() };
        let produce = Request::from(ProduceRequest { topic_data: vec![topic], ..ProduceRequest::default() });
        assert!(matches!(broker(&[(0, 3, 13)], 2).choose(&produce), Ok(12)));
    }

    #[test]
    fn epoch_bumping_versions_need_the_feature() {
        let end = Request::from(EndTxnRequest::default());
        assert!(matches!(broker(&[(ApiKey::EndTxn.code(), 0, 5)], 1).choose(&end), Ok(4)));
        assert!(matches!(broker(&[(ApiKey::EndTxn.code(), 0, 5)], 2).choose(&end), Ok(5)));
    }
}
