//! Patterns of subscriptions: regular expressions over whole topic names.

use regex::{Regex, RegexBuilder};

use crate::metadata::image::is_internal;

/// Bytes a compiled pattern may take, and the cache it may fill while matching.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Limit of the nesting of a pattern.
const REGEX_NEST_MAX: u32 = 64;

/// Compiles a pattern for whole topic names. Matching takes time linear in the name.
///
/// Errors: what is wrong with the pattern, in a sentence.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    // Checked by itself first, so that a stray parenthesis cannot undo the anchors.
    let checked = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_NEST_MAX)
            .build()
            .map_err(|error| error.to_string())
    };
    checked(pattern)?;
    checked(&format!("^(?:{pattern})$"))
}

/// Does the pattern name this topic? A pattern that does not compile names none.
#[must_use]
pub fn matches(pattern: &str, topic: &str) -> bool {
    !is_internal(topic) && compile(pattern).is_ok_and(|regex| regex.is_match(topic))
}

#[cfg(test)]
mod tests {
    use super::{compile, matches};

    #[test]
    fn patterns_name_whole_topics_and_no_internal_ones() {
        assert!(matches("orders.*", "orders-eu"));
        assert!(!matches("orders", "orders-eu"));
        assert!(matches("^(a|b)$", "b"));
        assert!(matches("a|b", "b"));
        assert!(!matches("a|b", "ab"));
        assert!(!matches(".*", "__consumer_offsets"));
    }

    #[test]
    fn hostile_patterns_are_refused() {
        for pattern in ["(", ")", "a)(b", "a{1000}{1000}{1000}", &"(".repeat(1_000), "\\p{Nope}", "(?=x)"] {
            assert!(compile(pattern).is_err(), "{pattern}");
            assert!(!matches(pattern, "a"));
        }
    }
}
