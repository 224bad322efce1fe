//! Continuation marks: `   -> ` before the later lines of a statement, where the prompt stands before the first.
//!
//! The editor has one prompt and lays out the text as it is. A line that Enter opens therefore begins with filler
//! characters, as many as the prompt has columns, and the mark is drawn over them. Fillers never leave the editor.

use rustyline::{
    CharSearch, Cmd, ConditionalEventHandler, EditMode, Event, EventContext, InputMode, Movement, RepeatCount,
};

use crate::input::helper::{Readiness, readiness};

/// As wide as the prompt `weir> `.
pub const MARK: &str = "   -> ";
/// A private-use character, one column wide, that no statement contains.
const FILLER: char = '\u{10fffd}';

/// A line end and the fillers of the line after it.
fn opening() -> String {
    std::iter::once('\n').chain(MARK.chars().map(|_| FILLER)).collect()
}

/// The text without fillers. Where text was typed between them, a blank separates it.
pub fn without_fillers(text: &str) -> String {
    let line = |line: &str| {
        let parts: Vec<&str> = line.split(FILLER).filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    };
    if !text.contains(FILLER) {
        return text.to_owned();
    }
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The text with blanks for fillers. Every other character keeps its byte offset.
pub fn blanks_for_fillers(text: &str) -> String {
    text.replace(FILLER, &" ".repeat(FILLER.len_utf8()))
}

/// The text with marks drawn over the fillers, as wide as before.
pub fn draw(text: &str) -> String {
    text.replace(&opening(), &format!("\n{MARK}")).replace(FILLER, " ")
}

/// Enter: opens a marked line where the statement goes on.
#[derive(Debug)]
pub struct Enter;

impl ConditionalEventHandler for Enter {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let is_command_mode = context.mode() == EditMode::Vi && context.input_mode() == InputMode::Command;
        let goes_on = readiness(&without_fillers(context.line())) == Readiness::GoesOn;
        (goes_on && !is_command_mode).then(|| Cmd::Insert(1, opening()))
    }
}

/// Backspace: a mark goes as a whole, with the line end before it.
#[derive(Debug)]
pub struct Backspace;

impl ConditionalEventHandler for Backspace {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let is_at_mark = context.line()[..context.pos()].ends_with(&opening());
        // A number of characters would be replaced by the repeat count of the key.
        is_at_mark.then_some(Cmd::Kill(Movement::ViCharSearch(1, CharSearch::Backward('\n'))))
    }
}

/// Home and Ctrl-A: to the first character after the mark.
#[derive(Debug)]
pub struct Home;

impl ConditionalEventHandler for Home {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let before = &context.line()[..context.pos()];
        let (_, line) = before.rsplit_once('\n')?;
        let typed = line.trim_start_matches(FILLER);
        let has_mark = line.len() - typed.len() == MARK.chars().count() * FILLER.len_utf8();
        let to_mark = Cmd::Move(Movement::ViCharSearch(1, CharSearch::BackwardAfter(FILLER)));
        has_mark.then_some(if typed.is_empty() { Cmd::Noop } else { to_mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_drawn_and_never_leave_the_editor() {
        let typed = format!("SELECT 'a{0}b'{0}FROM x", opening());
        assert_eq!(draw(&typed), "SELECT 'a\n   -> b'\n   -> FROM x");
        assert_eq!(without_fillers(&typed), "SELECT 'a\nb'\nFROM x");
        let blanked = blanks_for_fillers(&typed);
        assert_eq!((blanked.len(), blanked.find("FROM")), (typed.len(), typed.find("FROM")));
        assert!(!blanked.contains(FILLER));
    }

    #[test]
    fn text_typed_between_fillers_stays_apart() {
        let typed = format!("SELECT{}", opening()).replacen(FILLER, "a\u{10fffd}", 1) + "b";
        assert_eq!(without_fillers(&typed), "SELECT\na b");
        assert_eq!(draw(&typed).lines().last(), Some("a      b"));
    }
}
