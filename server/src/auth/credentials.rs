//! The credentials that a request carries. Source: RFC 7617, RFC 6750.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_broker::auth::config::Secret;

use crate::error::{ApiError, ErrorCode};

/// Content of the `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    Nothing,
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

/// All that a client shows of itself.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub presented: Presented,
    /// The principal that the client's certificate names.
    pub certified: Option<Arc<str>>,
    pub address: IpAddr,
}

impl Presented {
    /// Errors: the header is malformed, there twice, or of another scheme.
    pub fn parse(headers: &HeaderMap) -> Result<Presented, ApiError> {
        let refused = |reason: &str| ApiError::new(ErrorCode::Unauthenticated, reason);
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Presented::Nothing) };
        if values.next().is_some() {
            return Err(refused("the header Authorization is there more than once"));
        }
        let malformed = || refused("the header Authorization is malformed");
        let (scheme, text) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(malformed)?;
        let text = text.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !text.is_empty() {
            return Ok(Presented::Bearer(Secret::new(text)));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(refused("Authorization is neither Basic nor Bearer"));
        }
        let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, password) = pair.filter(|(user, _)| !user.is_empty()).ok_or_else(malformed)?;
        Ok(Presented::Basic { user: user.to_owned(), password: Secret::new(password) })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_taken_apart_and_secrets_not_shown() {
        let parse = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            Presented::parse(&headers).map_err(|e| e.code)
        };
        let ada = Presented::Basic { user: "ada".to_owned(), password: Secret::new("a:b c") };
        assert_eq!(parse("Basic YWRhOmE6YiBj"), Ok(ada.clone()));
        assert_eq!(parse("basic  YWRhOmE6YiBj "), Ok(ada.clone()));
        assert_eq!(parse("Bearer x.y.z"), Ok(Presented::Bearer(Secret::new("x.y.z"))));
        for refused in ["Basic", "Basic ", "Basic !", "Basic YWRh", "Basic OmE=", "Digest x", "Bearer ", ""] {
            assert_eq!(parse(refused), Err(ErrorCode::Unauthenticated), "{refused}");
        }
        assert_eq!(Presented::parse(&HeaderMap::new()).ok(), Some(Presented::Nothing));
        assert!(!format!("{ada:?}").contains("a:b c"));
    }
}
