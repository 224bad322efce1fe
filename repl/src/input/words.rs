//! The words of a statement.

/// The words of a statement outside strings, quoted names and comments.
pub fn code_words(statement: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let skip_to = |end: &str| rest[1..].find(end).map_or(rest.len(), |at| at + 1 + end.len());
        let length = match first {
            '\'' | '"' | '`' => skip_to(&first.to_string()),
            '-' if rest.starts_with("--") => skip_to("\n"),
            '/' if rest.starts_with("/*") => skip_to("*/"),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                words.push(&rest[..length]);
                length
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_names_and_comments_are_no_words() {
        assert_eq!(code_words("a.b='c' -- d"), ["a", "b"]);
        assert_eq!(code_words("SELECT 'it''s', `x`, \"y\" /* z */ FROM é"), ["SELECT", "FROM", "é"]);
        assert_eq!(code_words("'open"), [""; 0]);
    }
}
