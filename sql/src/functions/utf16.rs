//! Lengths and positions of text in UTF-16 units, which is how SQL counts characters.

use std::borrow::Cow;

/// Number of UTF-16 units.
pub(crate) fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// The units `from..to`, both within the text. Half of a surrogate pair becomes the replacement character.
pub(crate) fn slice(text: &str, from: usize, to: usize) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(&text[from..to]);
    }
    let units: Vec<u16> = text.encode_utf16().skip(from).take(to.saturating_sub(from)).collect();
    Cow::Owned(String::from_utf16_lossy(&units))
}
