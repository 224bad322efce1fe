//! Decides which client a request comes from, and whether it may use the endpoint.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::caller::{Audited, Caller};
use crate::auth::credentials::{Credentials, Presented};
use crate::error::{ApiError, ErrorCode};
use crate::http::answer::Node;
use crate::http::api::NodeApi;
use crate::http::body::BodyTimeout;
use crate::http::endpoint::{Admission, Endpoint};
use crate::http::peer::Peer;
use crate::http::quota;

/// Puts the caller into the request's extensions; refuses clients that are unknown or have no right to the endpoint.
pub(crate) async fn admit(State(node): Node, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let endpoint = path.and_then(|path| Endpoint::of(path.as_str()));
    let peer = request.extensions().get::<Peer>().cloned();
    if peer.as_ref().is_some_and(|peer| peer.slot.is_reserve) && !endpoint.is_some_and(Endpoint::is_probe) {
        let message =
            "all connections are busy; those kept in reserve answer /healthcheck and /metrics alone";
        return ApiError::new(ErrorCode::Busy, message).into_response();
    }
    let is_open = endpoint.is_some_and(|e| e.may_be_open() && node.is_open_to_all(e.path()));
    let caller = match Presented::parse(request.headers()) {
        // Its handler asks for no right of the caller.
        _ if is_open => Ok(Caller::internal()),
        Ok(presented) => caller(&node, peer.as_ref(), presented).await,
        Err(error) => Err(error),
    };
    let admitted = caller.and_then(|caller| {
        match endpoint.map(|endpoint| (endpoint.path(), endpoint.admission())) {
            Some((path, Admission::Right(right))) => caller.require(path, &[right], Audited::Denials)?,
            // Paths that are not served need no right.
            Some((_, Admission::Everyone | Admission::ByContent)) | None => {}
        }
        Ok(caller)
    });
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            request.extensions_mut().insert(BodyTimeout(node.request_timeout()));
            // Probes are always answered.
            if endpoint.is_some_and(Endpoint::is_probe) {
                return next.run(request).await;
            }
            quota::run(&node, &caller, request, next).await
        }
        Err(error) => error.into_response(),
    }
}

async fn caller(
    node: &Arc<dyn NodeApi>,
    peer: Option<&Peer>,
    presented: Presented,
) -> Result<Caller, ApiError> {
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address.ip());
    let certified = peer.and_then(|peer| peer.certified.clone());
    node.authenticate(Credentials { presented, certified, address }).await
}
