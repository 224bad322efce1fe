//! The endpoints: path, and the right that a client needs before its request is read. An endpoint without a row does
//! not compile.

use weir_broker::auth::acl::Operation;

use crate::auth::caller::Right;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Root,
    Info,
    Healthcheck,
    Healthz,
    Readyz,
    Live,
    Ready,
    Metrics,
    Statuses,
    Status,
    IsValidProperty,
    Metadata,
    MetadataId,
    Ksql,
    Terminate,
    WsQuery,
    Query,
    QueryStream,
    CloseQuery,
    InsertsStream,
}

/// The check before a request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Any client that is let in at all.
    Everyone,
    Right(Right),
    /// The rights follow from the content of the request; the node checks them.
    ByContent,
}

impl Endpoint {
    pub const ALL: [Endpoint; 20] = [
        Endpoint::Root,
        Endpoint::Info,
        Endpoint::Healthcheck,
        Endpoint::Healthz,
        Endpoint::Readyz,
        Endpoint::Live,
        Endpoint::Ready,
        Endpoint::Metrics,
        Endpoint::Statuses,
        Endpoint::Status,
        Endpoint::IsValidProperty,
        Endpoint::Metadata,
        Endpoint::MetadataId,
        Endpoint::Ksql,
        Endpoint::Terminate,
        Endpoint::WsQuery,
        Endpoint::Query,
        Endpoint::QueryStream,
        Endpoint::CloseQuery,
        Endpoint::InsertsStream,
    ];

    /// The path as the router's pattern.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Root => "/",
            Endpoint::Info => "/info",
            Endpoint::Healthcheck => "/healthcheck",
            Endpoint::Healthz => "/healthz",
            Endpoint::Readyz => "/readyz",
            Endpoint::Live => "/chc/live",
            Endpoint::Ready => "/chc/ready",
            Endpoint::Metrics => "/metrics",
            Endpoint::Statuses => "/status",
            Endpoint::Status => "/status/{kind}/{entity}/{action}",
            Endpoint::IsValidProperty => "/is_valid_property/{name}",
            Endpoint::Metadata => "/v1/metadata",
            Endpoint::MetadataId => "/v1/metadata/id",
            Endpoint::Ksql => "/ksql",
            Endpoint::Terminate => "/ksql/terminate",
            Endpoint::WsQuery => "/ws/query",
            Endpoint::Query => "/query",
            Endpoint::QueryStream => "/query-stream",
            Endpoint::CloseQuery => "/close-query",
            Endpoint::InsertsStream => "/inserts-stream",
        }
    }

    /// The endpoint of a router's pattern.
    pub fn of(path: &str) -> Option<Endpoint> {
        Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    pub fn admission(self) -> Admission {
        match self {
            Endpoint::Root
            | Endpoint::Info
            | Endpoint::Healthcheck
            | Endpoint::Healthz
            | Endpoint::Readyz
            | Endpoint::Live
            | Endpoint::Ready
            | Endpoint::IsValidProperty
            | Endpoint::Metadata
            | Endpoint::MetadataId => Admission::Everyone,
            Endpoint::Metrics | Endpoint::Statuses => Admission::Right(Right::cluster(Operation::Describe)),
            Endpoint::Status
            | Endpoint::Ksql
            | Endpoint::WsQuery
            | Endpoint::Query
            | Endpoint::QueryStream
            | Endpoint::CloseQuery
            | Endpoint::InsertsStream => Admission::ByContent,
            Endpoint::Terminate => Admission::Right(Right::cluster(Operation::Alter)),
        }
    }

    /// True if the configuration may open the endpoint to clients without credentials: it shows no data and changes
    /// nothing.
    pub fn may_be_open(self) -> bool {
        self.is_probe() || matches!(self, Endpoint::Root | Endpoint::Info)
    }

    /// Answered also while every other connection is busy.
    pub fn is_probe(self) -> bool {
        match self {
            Endpoint::Healthcheck
            | Endpoint::Healthz
            | Endpoint::Readyz
            | Endpoint::Live
            | Endpoint::Ready
            | Endpoint::Metrics => true,
            Endpoint::Root
            | Endpoint::Info
            | Endpoint::Statuses
            | Endpoint::Status
            | Endpoint::IsValidProperty
            | Endpoint::Metadata
            | Endpoint::MetadataId
            | Endpoint::Ksql
            | Endpoint::Terminate
            | Endpoint::WsQuery
            | Endpoint::Query
            | Endpoint::QueryStream
            | Endpoint::CloseQuery
            | Endpoint::InsertsStream => false,
        }
    }
}
