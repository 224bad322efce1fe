//! Comparison of rejections by their cause. The wording may differ; the cause must be recognisable.

use std::collections::BTreeSet;

/// Parts in ten of the expected words that a message of another wording must hold.
const SHARED_TENTHS: usize = 7;

/// True if `actual` gives the cause that `expected` gives: the same words in a row, or seven in ten of them. Quotes,
/// punctuation, places, links and the statement's text do not count.
pub fn matches(expected: &str, actual: &str) -> bool {
    let wanted = words(&cause(expected));
    let ours = words(actual);
    if wanted.is_empty() {
        return false;
    }
    if ours.windows(wanted.len()).any(|run| run == wanted) {
        return true;
    }
    let known: BTreeSet<&String> = ours.iter().collect();
    let distinct: BTreeSet<&String> = wanted.iter().collect();
    let shared = distinct.iter().filter(|word| known.contains(*word)).count();
    distinct.len() >= 3 && shared * 10 >= distinct.len() * SHARED_TENTHS
}

/// Lower-case words.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// The part of a message that says why: without places, links, examples, schemas and statement text.
fn cause(message: &str) -> String {
    let end = ["See https", "(see https", "\nStatement:", "\nExample valid"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    let lines: Vec<&str> = message[..end]
        .lines()
        .filter(|line| !["Hint:", "schema:", "Either add"].iter().any(|start| line.starts_with(start)))
        .collect();
    let text = lines.join("\n");
    let text = ["Failed to prepare statement: ", "Exception while preparing statement: "]
        .iter()
        .fold(text, |text, prefix| text.replace(prefix, ""));
    without_place(&text)
}

/// Drops "Line: 3, Col: 38: " and " at line 1:8".
fn without_place(text: &str) -> String {
    let text = match text.strip_prefix("Line: ").and_then(|rest| rest.splitn(3, ": ").nth(2)) {
        Some(rest) => rest,
        None => text,
    };
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_counts_and_not_the_wording() {
        let expected = "Line: 3, Col: 38: Column 'F0' is ambiguous. Could be I1.F0 or I2.F0.";
        assert!(matches(expected, "column `F0` is ambiguous: could be I1.F0 or I2.F0"));
        assert!(!matches(expected, "column F0 cannot be resolved"));
        assert!(matches(
            "Map keys are not supported. See https://x for more.",
            "map keys are not supported here"
        ));
        assert!(!matches("Syntax Error", "column X is unknown"));
        assert!(!matches("", "anything"));
    }
}
