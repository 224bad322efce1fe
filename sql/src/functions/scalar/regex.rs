//! Regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Captures, Regex};

use crate::functions::budget::check_value;
use crate::functions::call::{Call, KernelResult};
use crate::functions::scalar::ScalarFunction;
use crate::functions::scalar::collect::StringLists;
use crate::functions::scalar::java_regex::translate;

const CATEGORY: &str = "REGULAR EXPRESSION";

pub(crate) fn functions() -> Vec<ScalarFunction> {
    let function = |name, overview| ScalarFunction::new(name, CATEGORY, overview);
    vec![
        function("REGEXP_EXTRACT", "The first match of a pattern, or of one of its groups.")
            .with("(STRING, STRING) -> STRING", extract)
            .with("(STRING, STRING, INT) -> STRING", extract),
        function("REGEXP_EXTRACT_ALL", "All matches of a pattern, or of one of its groups.")
            .with("(STRING, STRING) -> ARRAY<STRING>", extract_all)
            .with("(STRING, STRING, INT) -> ARRAY<STRING>", extract_all),
        function("REGEXP_REPLACE", "The text with every match replaced; $1 stands for the first group.")
            .with("(STRING, STRING, STRING) -> STRING", replace),
        function("REGEXP_SPLIT_TO_ARRAY", "The parts of a text between matches.")
            .with("(STRING, STRING) -> ARRAY<STRING>", split),
    ]
}

/// Compiled patterns kept per thread.
const CACHED_PATTERNS_MAX: usize = 64;

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

/// The compiled pattern, from the cache if it was used before. Classes and case are those of java.util.regex.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(regex) = patterns.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = Regex::new(&translate(pattern))
            .map_err(|e| format!("\"{pattern}\" is not a regular expression: {e}"))?;
        if patterns.len() >= CACHED_PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    })
}

/// The group asked for in this row: the whole match if none is. Err(()) if it is NULL.
fn group(call: &Call<'_>, row: usize) -> Option<i32> {
    if call.count() > 2 { call.ints(2).get(row) } else { Some(0) }
}

fn extract(call: &Call<'_>) -> KernelResult {
    let (patterns, texts) = (call.strings(0), call.strings(1));
    call.build_strings(|i| {
        let (Some(pattern), Some(text), Some(group)) = (patterns.get(i), texts.get(i), group(call, i)) else {
            return Ok(None);
        };
        let regex = compile(pattern)?;
        let Ok(group) = usize::try_from(group) else { return Ok(None) };
        Ok(regex.captures(text).and_then(|c| c.get(group)).map(|m| m.as_str()))
    })
}

fn extract_all(call: &Call<'_>) -> KernelResult {
    let (patterns, texts) = (call.strings(0), call.strings(1));
    let mut lists = StringLists::new(call);
    for i in 0..call.rows {
        let (Some(pattern), Some(text), Some(group)) = (patterns.get(i), texts.get(i), group(call, i)) else {
            lists.finish_row(false);
            continue;
        };
        let regex = match compile(pattern) {
            Ok(regex) => regex,
            Err(message) => {
                call.environment.fail(i, &message);
                lists.finish_row(false);
                continue;
            }
        };
        let group = usize::try_from(group).ok().filter(|g| *g < regex.captures_len());
        let Some(group) = group else {
            lists.finish_row(false);
            continue;
        };
        for captures in regex.captures_iter(text) {
            match captures.get(group) {
                Some(found) => lists.push(found.as_str()),
                None => lists.push_null(),
            }
        }
        lists.finish_row(true);
    }
    lists.finish(call.return_type)
}

fn replace(call: &Call<'_>) -> KernelResult {
    let (texts, patterns, replacements) = (call.strings(0), call.strings(1), call.strings(2));
    call.build_strings(|i| {
        let (Some(text), Some(pattern), Some(replacement)) =
            (texts.get(i), patterns.get(i), replacements.get(i))
        else {
            return Ok(None);
        };
        let regex = compile(pattern)?;
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for captures in regex.captures_iter(text) {
            let found = captures.get(0).expect("group 0 is the match");
            out.push_str(&text[from..found.start()]);
            expand(&mut out, replacement, &captures)?;
            check_value(out.len())?;
            from = found.end();
        }
        out.push_str(&text[from..]);
        Ok(Some(out))
    })
}

/// Writes a replacement: `$1` and `${name}` are groups, a backslash takes the next character as it is.
fn expand(out: &mut String, replacement: &str, captures: &Captures<'_>) -> Result<(), String> {
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next().ok_or("the replacement ends in a backslash")?),
            '$' if rest.peek() == Some(&'{') => {
                rest.next();
                let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                let found = captures.name(&name).ok_or_else(|| format!("no group named \"{name}\""))?;
                out.push_str(found.as_str());
            }
            '$' => {
                let first = rest.next().and_then(|c| c.to_digit(10));
                let mut group = first.ok_or("a $ must be followed by a group number")? as usize;
                if group >= captures.len() {
                    return Err(format!("no group {group}"));
                }
                // More digits belong to the number as long as there is such a group.
                while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer >= captures.len() {
                        break;
                    }
                    group = longer;
                    rest.next();
                }
                out.push_str(captures.get(group).map_or("", |m| m.as_str()));
            }
            other => out.push(other),
        }
    }
    Ok(())
}

fn split(call: &Call<'_>) -> KernelResult {
    let (texts, patterns) = (call.strings(0), call.strings(1));
    let mut lists = StringLists::new(call);
    for i in 0..call.rows {
        let (Some(text), Some(pattern)) = (texts.get(i), patterns.get(i)) else {
            lists.finish_row(false);
            continue;
        };
        match compile(pattern) {
            Ok(regex) => {
                let mut parts: Vec<&str> = regex.split(text).collect();
                // An empty match at either end separates nothing.
                if !text.is_empty() && regex.find_at(text, 0).is_some_and(|m| m.is_empty() && m.start() == 0)
                {
                    parts.remove(0);
                    if parts.last() == Some(&"") {
                        parts.pop();
                    }
                }
                lists.append(parts);
            }
            Err(message) => {
                call.environment.fail(i, &message);
                lists.finish_row(false);
            }
        }
    }
    lists.finish(call.return_type)
}
