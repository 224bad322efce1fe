//! The single-quoted strings of a statement.

/// The strings in order, quotes undoubled. Quotes in comments and quoted names are none.
pub fn quoted(statement: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = statement;
    while let Some(at) = rest.find(['\'', '`', '"', '-', '/']) {
        let after = &rest[at + 1..];
        rest = match rest.as_bytes()[at] {
            b'\'' => take_string(after, &mut strings),
            b'-' if after.starts_with('-') => after.split_once('\n').map_or("", |(_, next)| next),
            b'/' if after.starts_with('*') => after.split_once("*/").map_or("", |(_, next)| next),
            quote @ (b'`' | b'"') => after.split_once(char::from(quote)).map_or("", |(_, next)| next),
            _ => after,
        };
    }
    strings
}

/// Takes the string that begins the text, and gives what follows its closing quote.
fn take_string<'t>(text: &'t str, strings: &mut Vec<String>) -> &'t str {
    let mut string = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('\'') {
        string.push_str(part);
        match after.strip_prefix('\'') {
            Some(next) => {
                string.push('\'');
                rest = next;
            }
            None => {
                strings.push(string);
                return after;
            }
        }
    }
    // An unclosed string goes to the end.
    string.push_str(rest);
    strings.push(string);
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_are_undoubled() {
        assert_eq!(quoted("SET 'a' = 'it''s';"), ["a", "it's"]);
        assert_eq!(quoted("DEFINE x = '''quoted''';"), ["'quoted'"]);
        assert_eq!(quoted("SET 'a' -- it's a comment\n = '';"), ["a", ""]);
        assert_eq!(quoted("/* it's */ RUN SCRIPT `it's` 'open"), ["open"]);
    }
}
