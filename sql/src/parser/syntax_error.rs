//! What syntax errors say.

use sqlparser::tokenizer::Token;

use crate::dialect::{STATEMENT_WORDS, is_keyword, is_reserved};
use crate::error::SqlError;
use crate::span::Span;
use crate::suggest::{self, distance};

/// Alternatives that a message lists.
const EXPECTED_MAX: usize = 5;

/// The token that no rule accepted, and what would have been accepted in its place.
pub(crate) struct Unexpected<'a> {
    pub(crate) token: &'a Token,
    pub(crate) span: Span,
    pub(crate) expected: &'a [&'static str],
    /// A name would have been accepted.
    pub(crate) name_expected: bool,
    /// The word before the token: it may be a misspelt keyword that was taken for a name.
    pub(crate) before: Option<&'a str>,
}

/// A syntax error with its position in front: `line 1:8: Syntax Error`, then the detail.
pub(crate) fn syntax_error(detail: &str, span: Span) -> SqlError {
    SqlError::syntax(format!("line {}: Syntax Error\n{detail}", span.start), span)
}

impl Unexpected<'_> {
    pub(crate) fn into_error(self) -> SqlError {
        let shown = shown(self.token);
        let reserved = match self.token {
            Token::Word(word) if word.quote_style.is_none() => is_reserved(&word.value),
            _ => false,
        };
        let near = format!("Syntax error at or near '{shown}' at line {}", self.span.start);
        let expecting = (!self.expected.is_empty()).then(|| expecting(self.expected));
        if reserved && self.name_expected {
            let detail =
                format!("{near}\n'{shown}' is a reserved keyword and must be escaped to serve as a name");
            return syntax_error(&detail, self.span)
                .with_hint(format!("Write it in back quotes: `{}`.", shown.to_ascii_uppercase()));
        }
        let detail = match (self.expected, expecting) {
            ([closer @ ("')'" | "']'" | "'>'" | "';'" | "END")], _) => {
                format!("missing {closer} at '{shown}'\n{near}")
            }
            (_, Some(expecting)) => format!("{expecting}\n{near}"),
            (_, None) => near,
        };
        let error = syntax_error(&detail, self.span);
        match self.similar_keyword() {
            Some((keyword, written)) => error.with_hint(format!("Did you mean {keyword} for {written}?")),
            None => error,
        }
    }

    /// A keyword that would have been accepted and is spelt like the token, or like the word before it.
    fn similar_keyword(&self) -> Option<(&'static str, String)> {
        let word = match self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.as_str()),
            _ => None,
        };
        [word, self.before].into_iter().flatten().find_map(|written| {
            let keywords = self.expected.iter().copied().filter(|k| is_keyword(k));
            let keyword = suggest::nearest(written, keywords)?;
            (!keyword.eq_ignore_ascii_case(written)).then(|| (keyword, written.to_owned()))
        })
    }
}

fn expecting(expected: &[&'static str]) -> String {
    let listed = expected.iter().take(EXPECTED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if expected.len() > EXPECTED_MAX { ", …" } else { "" };
    format!("Expecting {{{listed}{more}}}")
}

/// The error for a first word that begins no statement.
pub(crate) fn unknown_statement(token: &Token, span: Span) -> SqlError {
    let shown = shown(token);
    let mut detail = format!("Unknown statement '{shown}'");
    if let Some(near) = nearest(&shown, &STATEMENT_WORDS) {
        detail.push_str(&format!("\nDid you mean '{near}'?"));
    }
    syntax_error(&detail, span)
}

/// The token as the user wrote it, shortened when long.
pub(crate) fn shown(token: &Token) -> String {
    let text = match token {
        Token::EOF => "<EOF>".to_owned(),
        Token::SingleQuotedString(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    };
    if text.chars().count() <= 60 {
        return text;
    }
    let mut short: String = text.chars().take(59).collect();
    short.push('…');
    short
}

/// The candidate closest to `word`, if it is close enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let upper = word.to_ascii_uppercase();
    candidates
        .iter()
        .map(|candidate| (distance(&upper, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_silent_when_nothing_is_near() {
        assert_eq!(nearest("selct", &STATEMENT_WORDS), Some("SELECT"));
        assert_eq!(nearest("foobarbaz", &STATEMENT_WORDS), None);
    }
}
