//! The `Accept` header. Source: RFC 9110, 12.5.1.

use axum::http::header::{ACCEPT, HeaderMap};

/// The weight of a media type that is named by itself; 0 if it is not. Parameters other than `q` are ignored.
pub(crate) fn weight(headers: &HeaderMap, media_type: &str) -> f32 {
    let weights = items(headers).filter(|(name, _)| name.eq_ignore_ascii_case(media_type));
    weights.map(|(_, weight)| weight).fold(0.0, f32::max)
}

/// The media ranges with their weights, in written order.
pub(crate) fn items(headers: &HeaderMap) -> impl Iterator<Item = (&str, f32)> {
    let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
        (name, weight)
    })
}
