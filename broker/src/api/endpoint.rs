//! Metadata answers carry the address of the listener that the client has connected to (KIP-103).

use crate::net::session::Endpoint;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Does the answer say where brokers are?
pub(crate) fn names_brokers(request: &Request) -> bool {
    matches!(request, Request::Metadata(_) | Request::DescribeCluster(_) | Request::FindCoordinator(_))
}

/// Puts the listener's address into an answer that says where the broker is.
pub(crate) fn localize(response: &mut Response, endpoint: &Endpoint) {
    let (host, port) = (&endpoint.host, i32::from(endpoint.port));
    match response {
        Response::Metadata(response) => {
            for broker in &mut response.brokers {
                (broker.host, broker.port) = (host.clone(), port);
            }
        }
        Response::DescribeCluster(response) => {
            for broker in &mut response.brokers {
                (broker.host, broker.port) = (host.clone(), port);
            }
        }
        Response::FindCoordinator(response) => {
            if response.port >= 0 && !response.host.is_empty() {
                (response.host, response.port) = (host.clone(), port);
            }
            for coordinator in response.coordinators.iter_mut().filter(|found| found.node_id >= 0) {
                (coordinator.host, coordinator.port) = (host.clone(), port);
            }
        }
        _ => {}
    }
}
