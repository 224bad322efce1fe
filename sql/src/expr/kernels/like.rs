//! LIKE: `%` stands for any run of characters, `_` for one, neither for a line terminator.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LikePattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    One,
    Run,
}

impl LikePattern {
    /// Errors: a pattern that ends in the escape character.
    pub(crate) fn new(pattern: &str, escape: Option<char>) -> Result<LikePattern, String> {
        let mut parts = Vec::new();
        let mut rest = pattern.chars();
        while let Some(c) = rest.next() {
            if Some(c) == escape {
                let next = rest
                    .next()
                    .ok_or_else(|| format!("LIKE pattern \"{pattern}\" ends in its escape character"))?;
                parts.push(Part::Character(next));
            } else {
                match c {
                    '%' if parts.last() == Some(&Part::Run) => {}
                    '%' => parts.push(Part::Run),
                    '_' => parts.push(Part::One),
                    _ => parts.push(Part::Character(c)),
                }
            }
        }
        Ok(LikePattern { parts })
    }

    /// True if the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        // Where to go on when a run has to take one character more.
        let mut retry: Option<(usize, usize)> = None;
        let (mut part, mut at) = (0, 0);
        loop {
            let next = text[at..].chars().next();
            let step = match (self.parts.get(part), next) {
                (Some(Part::Run), _) => {
                    retry = Some((part, at));
                    part += 1;
                    continue;
                }
                (None, None) => return true,
                (Some(Part::Character(c)), Some(n)) => *c == n,
                (Some(Part::One), Some(n)) => !is_line_terminator(n),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if step {
                part += 1;
                at += next.map_or(0, char::len_utf8);
                continue;
            }
            let Some((run, from)) = retry else { return false };
            match text[from..].chars().next() {
                Some(n) if !is_line_terminator(n) => {
                    retry = Some((run, from + n.len_utf8()));
                    part = run + 1;
                    at = from + n.len_utf8();
                }
                _ => return false,
            }
        }
    }
}

fn is_line_terminator(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        let check = |text: &str, pattern: &str, expected: bool| {
            let compiled = LikePattern::new(pattern, Some('!')).expect("valid");
            assert_eq!(compiled.matches(text), expected, "{text} LIKE {pattern}");
        };
        check("one_two", "%two", true);
        check("one_two", "%wo%", true);
        check("two-X", "%two", false);
        check("abc", "a_c", true);
        check("abc", "a!_c", false);
        check("a_c", "a!_c", true);
        check("", "%", true);
        check("", "_", false);
        check("aab", "%a%b", true);
        check("xayb", "%a_b%", true);
        check("a\nb", "a%b", false);
        check("100%", "100!%", true);
        assert!(LikePattern::new("x!", Some('!')).is_err());
    }
}
