//! The tokens of a text with a place among them, and the small rules every statement uses.

use std::ops::Range;

use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::ast::ident::Ident;
use crate::dialect::{KsqlDialect, is_reserved};
use crate::error::{Result, SqlError};
use crate::parser::syntax_error::{Unexpected, syntax_error};
use crate::parser::{NESTING_MAX, ParseConfig, TEXT_BYTES_MAX};
use crate::span::{Location, Span};

static DIALECT: KsqlDialect = KsqlDialect;

/// What one level of nesting costs of [`DEPTH_MAX`]; one operator in a chain costs 1.
pub(super) const NESTING_COST: u32 = 4;
/// Bounds the depth of expression trees: nesting and chains of operators together.
pub(super) const DEPTH_MAX: u32 = NESTING_MAX * NESTING_COST;

/// A name was acceptable; see [`Unexpected::name_expected`].
const NAME: &str = "identifier";

/// Invariant: the last token is EOF and is never passed; tokens hold no blanks and no comments.
pub(super) struct Cursor<'t> {
    parser: Parser<'static>,
    text: &'t str,
    /// Byte ranges in `text`, one per token.
    ranges: Vec<Range<usize>>,
    /// Index of the next token.
    position: usize,
    /// What was tried and not found at `position`.
    expected: Vec<&'static str>,
    depth: u32,
    config: ParseConfig,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str, config: ParseConfig) -> Result<Cursor<'t>> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SqlError::syntax(
                format!("the text has {} bytes, at most {TEXT_BYTES_MAX} are accepted", text.len()),
                Span::default(),
            ));
        }
        let (tokens, ranges) = tokenize(text)?;
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        Ok(Cursor { parser, text, ranges, position: 0, expected: Vec::new(), depth: 0, config })
    }

    pub(super) fn config(&self) -> ParseConfig {
        self.config
    }

    pub(super) fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    pub(super) fn peek_nth(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    /// The span of the next token.
    pub(super) fn span(&self) -> Span {
        convert(self.parser.peek_token_ref().span)
    }

    /// From `start` to the last token taken.
    pub(super) fn span_since(&self, start: Span) -> Span {
        if self.position == 0 {
            return start;
        }
        start.union(convert(self.parser.token_at(self.position - 1).span))
    }

    /// The index of the next token, for [`Cursor::slice_since`] and [`Cursor::rewind`].
    pub(super) fn mark(&self) -> usize {
        self.position
    }

    /// The source text and span from token `mark` to the last token taken.
    pub(super) fn slice_since(&self, mark: usize) -> (&'t str, Span) {
        debug_assert!(mark < self.position);
        let last = self.position - 1;
        let range = self.ranges[mark].start..self.ranges[last].end;
        let span = convert(self.parser.token_at(mark).span);
        (&self.text[range], span.union(convert(self.parser.token_at(last).span)))
    }

    /// Goes back to a mark.
    pub(super) fn rewind(&mut self, mark: usize) {
        while self.position > mark {
            self.parser.prev_token();
            self.position -= 1;
        }
        self.expected.clear();
    }

    pub(super) fn at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    /// Takes the next token; EOF stays.
    pub(super) fn advance(&mut self) {
        if !self.at_end() {
            self.parser.advance_token();
            self.position += 1;
            self.expected.clear();
        }
    }

    /// The next token as an unquoted word.
    pub(super) fn word(&self, n: usize) -> Option<&Word> {
        match self.peek_nth(n) {
            Token::Word(word) if word.quote_style.is_none() => Some(word),
            _ => None,
        }
    }

    /// True if the n-th next token is the keyword, unquoted.
    pub(super) fn is_keyword(&self, n: usize, keyword: &str) -> bool {
        self.word(n).is_some_and(|word| word.value.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn eat_keyword(&mut self, keyword: &'static str) -> bool {
        let found = self.is_keyword(0, keyword);
        if found {
            self.advance();
        } else {
            self.note_expected(keyword);
        }
        found
    }

    /// Takes both keywords or none.
    pub(super) fn eat_keywords(&mut self, first: &'static str, second: &'static str) -> bool {
        let found = self.is_keyword(0, first) && self.is_keyword(1, second);
        if found {
            self.advance();
            self.advance();
        } else {
            self.note_expected(first);
        }
        found
    }

    pub(super) fn expect_keyword(&mut self, keyword: &'static str) -> Result<()> {
        if self.eat_keyword(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        } else {
            self.note_expected(punctuation(token));
        }
        found
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes a closer; when it is missing the message names it alone.
    pub(super) fn expect_closer(&mut self, token: &Token) -> Result<()> {
        if self.peek() != token {
            self.expected.clear();
        }
        self.expect(token)
    }

    pub(super) fn eat_semicolon(&mut self) -> bool {
        self.eat(&Token::SemiColon)
    }

    pub(super) fn expect_semicolon(&mut self) -> Result<()> {
        if self.at_end() { self.expect_closer(&Token::SemiColon) } else { self.expect(&Token::SemiColon) }
    }

    pub(super) fn expect_end(&mut self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// `item, item, …`, at least one.
    pub(super) fn comma_separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// True if the n-th next token can be a name.
    pub(super) fn is_name(&self, n: usize) -> bool {
        match self.peek_nth(n) {
            Token::Word(word) => word.quote_style.is_some() || is_name_word(&word.value),
            _ => false,
        }
    }

    /// A name, upper-cased unless quoted.
    pub(super) fn name(&mut self) -> Result<Ident> {
        self.name_as(str::to_ascii_uppercase)
    }

    /// A name, case as typed.
    pub(super) fn name_as_typed(&mut self) -> Result<Ident> {
        self.name_as(str::to_owned)
    }

    fn name_as(&mut self, unquoted: fn(&str) -> String) -> Result<Ident> {
        if !self.is_name(0) {
            self.note_expected(NAME);
            return Err(self.unexpected());
        }
        let span = self.span();
        let name = match self.peek() {
            Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
            Token::Word(word) => unquoted(&word.value),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(Ident::new(name, span))
    }

    /// The name of a stream or table: letters, digits, `_` and `-`.
    pub(super) fn source_name(&mut self) -> Result<Ident> {
        let ident = self.name()?;
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if ident.name.is_empty() || !ident.name.chars().all(valid) {
            let at = ident.span().start;
            return Err(SqlError::syntax(
                format!(
                    "Line: {}, Col: {}: Source names may only contain letters, digits, '_' and '-'. Got: '{}'",
                    at.line, at.column, ident.name
                ),
                ident.span(),
            ));
        }
        Ok(ident)
    }

    pub(super) fn string(&mut self) -> Result<String> {
        let Token::SingleQuotedString(text) = self.peek() else {
            self.note_expected("STRING");
            return Err(self.unexpected());
        };
        let text = text.clone();
        self.advance();
        Ok(text)
    }

    /// A name as typed, or a string: topics and subjects.
    pub(super) fn name_or_string(&mut self) -> Result<Ident> {
        let span = self.span();
        match self.peek() {
            Token::SingleQuotedString(_) => Ok(Ident::new(self.string()?, span)),
            _ => {
                self.note_expected("STRING");
                self.name_as_typed()
            }
        }
    }

    /// Digits, as a number from 0 to 2^63-1.
    pub(super) fn unsigned(&mut self) -> Result<i64> {
        let span = self.span();
        let Token::Number(digits, _) = self.peek() else {
            self.note_expected("INTEGER_VALUE");
            return Err(self.unexpected());
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.note_expected("INTEGER_VALUE");
            return Err(self.unexpected());
        }
        let value = digits
            .parse::<i64>()
            .map_err(|_| syntax_error(&format!("Invalid numeric literal: {digits}"), span))?;
        self.advance();
        Ok(value)
    }

    /// The unquoted word taken last, if no other token was.
    fn word_before(&self) -> Option<&str> {
        match &self.parser.token_at(self.position.checked_sub(1)?).token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// Runs a rule one level deeper.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.deepen(NESTING_COST)?;
        let result = rule(self);
        self.depth -= NESTING_COST;
        result
    }

    /// Adds to the depth of the tree being built; undone with [`Cursor::restore_depth`].
    pub(super) fn deepen(&mut self, cost: u32) -> Result<()> {
        if self.depth + cost > DEPTH_MAX {
            return Err(SqlError::syntax(
                format!(
                    "line {}: the statement nests too deeply, at most {NESTING_MAX} levels are accepted",
                    self.span().start
                ),
                self.span(),
            ));
        }
        self.depth += cost;
        Ok(())
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn restore_depth(&mut self, depth: u32) {
        self.depth = depth;
    }

    /// Remembers for the error message what would have been accepted here.
    pub(super) fn note_expected(&mut self, what: &'static str) {
        if !self.expected.contains(&what) {
            self.expected.push(what);
        }
    }

    /// Forgets alternatives that would only distract.
    pub(super) fn clear_expected(&mut self) {
        self.expected.clear();
    }

    /// The error for the next token.
    pub(super) fn unexpected(&self) -> SqlError {
        if let Some(refusal) = self.unsupported_clause(true) {
            return refusal;
        }
        if *self.peek() == Token::DoubleColon {
            return self.cast_operator();
        }
        Unexpected {
            before: self.word_before(),
            token: self.peek(),
            span: self.span(),
            expected: &self.expected,
            name_expected: self.expected.contains(&NAME),
        }
        .into_error()
    }
}

/// An unquoted word that may be a name. Words with a point come from numbers such as `1.5x`.
fn is_name_word(word: &str) -> bool {
    !word.contains('.') && !is_reserved(word)
}

fn convert(span: sqlparser::tokenizer::Span) -> Span {
    let location = |l: sqlparser::tokenizer::Location| Location {
        line: u32::try_from(l.line).unwrap_or(u32::MAX),
        column: u32::try_from(l.column).unwrap_or(u32::MAX),
    };
    Span { start: location(span.start), end: location(span.end) }
}

fn punctuation(token: &Token) -> &'static str {
    match token {
        Token::LParen => "'('",
        Token::RParen => "')'",
        Token::LBracket => "'['",
        Token::RBracket => "']'",
        Token::Lt => "'<'",
        Token::Gt => "'>'",
        Token::Comma => "','",
        Token::SemiColon => "';'",
        Token::Eq => "'='",
        Token::Assignment => "':='",
        Token::RArrow => "'=>'",
        Token::Mul => "'*'",
        _ => "punctuation",
    }
}

/// Tokens without blanks and comments, EOF last, each with its byte range.
fn tokenize(text: &str) -> Result<(Vec<TokenWithSpan>, Vec<Range<usize>>)> {
    let mut raw = Vec::new();
    if let Err(error) = Tokenizer::new(&DIALECT, text).tokenize_with_location_into_buf(&mut raw) {
        let span = convert(error.location.span_to(error.location));
        return Err(syntax_error(&error.message, span));
    }
    let mut tokens = Vec::with_capacity(raw.len() + 1);
    let mut ranges = Vec::with_capacity(raw.len() + 1);
    let mut walk = Walk::new(text);
    for TokenWithSpan { token, span } in raw {
        let start = walk.offset_of(span.start);
        let end = walk.offset_of(span.end);
        match token {
            Token::Whitespace(_) => {}
            Token::ShiftRight => {
                // The two closers of ARRAY<ARRAY<INT>>.
                let middle = sqlparser::tokenizer::Location::new(span.start.line, span.start.column + 1);
                tokens.push(TokenWithSpan::new(Token::Gt, span.start.span_to(middle)));
                ranges.push(start..start + 1);
                tokens.push(TokenWithSpan::new(Token::Gt, middle.span_to(span.end)));
                ranges.push(start + 1..end);
            }
            Token::HexStringLiteral(_) if text[start..end].starts_with('0') => {
                // 0x1F is a name that begins with a digit.
                tokens.push(TokenWithSpan::new(Token::make_word(&text[start..end], None), span));
                ranges.push(start..end);
            }
            token => {
                tokens.push(TokenWithSpan::new(token, span));
                ranges.push(start..end);
            }
        }
    }
    let end = walk.end();
    tokens.push(TokenWithSpan::new(Token::EOF, end.span_to(end)));
    ranges.push(text.len()..text.len());
    Ok((tokens, ranges))
}

/// Maps the tokenizer's places to byte offsets, going forward only.
struct Walk<'t> {
    chars: std::str::Chars<'t>,
    text: &'t str,
    line: u64,
    column: u64,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Walk<'t> {
        Walk { chars: text.chars(), text, line: 1, column: 1 }
    }

    fn offset(&self) -> usize {
        self.text.len() - self.chars.as_str().len()
    }

    fn step(&mut self) -> bool {
        match self.chars.next() {
            Some('\n') => {
                self.line += 1;
                self.column = 1;
                true
            }
            Some(_) => {
                self.column += 1;
                true
            }
            None => false,
        }
    }

    fn offset_of(&mut self, location: sqlparser::tokenizer::Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) && self.step() {}
        self.offset()
    }

    fn end(&mut self) -> sqlparser::tokenizer::Location {
        while self.step() {}
        sqlparser::tokenizer::Location::new(self.line, self.column)
    }
}
