//! Source files as the rules see them: product code only.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A source file of a crate.
pub(super) struct SourceFile {
    /// Relative to the root of the workspace.
    pub(super) name: String,
    pub(super) text: String,
    /// The text with comments, the contents of strings and test code blanked out; lines keep their numbers.
    pub(super) code: String,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the workspace")
        .to_path_buf()
}

/// The source files below a folder of the workspace, in order of their names.
pub(super) fn sources(folder: &str) -> Vec<SourceFile> {
    WalkDir::new(root().join(folder))
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.path().extension().is_some_and(|x| x == "rs"))
        .map(|e| {
            let name = e.path().strip_prefix(root()).expect("below the root").display().to_string();
            let text = fs::read_to_string(e.path()).expect("source files are readable");
            let code = product_code(&text);
            SourceFile { name, text, code }
        })
        .collect()
}

/// The same without files that hold tests only.
pub(super) fn product_sources(folder: &str) -> Vec<SourceFile> {
    let is_test = |name: &str| name.ends_with("tests.rs") || name.contains("/tests/");
    sources(&format!("{folder}/src")).into_iter().filter(|file| !is_test(&file.name)).collect()
}

pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn product_code(text: &str) -> String {
    without_tests(&without_comments(text))
}

/// Blanks out comments and the contents of strings and character literals.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let rest = &chars[at..];
        let end = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest, 1),
            ['r', '"', ..] | ['r', '#', ..] if !chars[..at].last().is_some_and(|c| is_word(*c)) => {
                raw_string(rest)
            }
            ['\'', '\\', ..] => rest.iter().skip(3).position(|c| *c == '\'').map_or(1, |p| p + 4),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        match end {
            0 => {
                out.push(chars[at]);
                at += 1;
            }
            end => {
                out.extend(rest[..end].iter().map(|c| blank(*c)));
                at += end;
            }
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string whose contents begin at `at`.
fn string(rest: &[char], mut at: usize) -> usize {
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string; 0 if it is none.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let closes = |at: &usize| {
        rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (hashes + 2..rest.len()).find(closes).map_or(rest.len(), |at| at + 1 + hashes)
}

/// Blanks out items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    while let Some(at) = out.find(ATTRIBUTE) {
        let item = at + ATTRIBUTE.len();
        let end = item + item_length(&out[item..]);
        let blanked: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blanked);
    }
    out
}

/// The length of the item, statement or field that the code begins with.
fn item_length(code: &str) -> usize {
    const ITEMS: [&str; 14] = [
        "fn",
        "mod",
        "use",
        "impl",
        "struct",
        "enum",
        "const",
        "static",
        "type",
        "trait",
        "extern",
        "async",
        "macro_rules",
        "unsafe",
    ];
    let words = code.split(|c: char| !is_word(c)).filter(|w| !w.is_empty());
    let first = words.into_iter().find(|w| !["pub", "crate", "super", "in"].contains(w)).unwrap_or_default();
    let (is_item, is_use) = (ITEMS.contains(&first), first == "use");
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' if depth == 0 => return at,
            '}' => {
                depth -= 1;
                if depth == 0 && !is_use {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && !is_item => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The length of a block that the code begins with.
fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The functions of blanked-out code: name and number of lines.
pub(super) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        let Some(end) = code[at..].find(['{', ';']).filter(|end| code.as_bytes()[at + *end] == b'{') else {
            continue;
        };
        let function = &code[at..];
        let length = end + block_length(&function[end..]);
        if !name.is_empty() {
            found.push((name, function[..length].lines().count()));
        }
    }
    found
}

#[test]
fn product_code_has_no_comments_strings_or_tests() {
    let text = "fn a() -> char { '\"' } // x\n#[cfg(test)]\nuse b::{c, d};\n#[cfg(test)]\n#[derive(X)]\nmod tests { fn t() {} }\nconst S: &str = r#\"fn \"no\" \"#;\nstruct P {\n    #[cfg(test)]\n    hidden: Vec<u8>,\n    shown: &'static str,\n}\n/* fn e() {} */ fn f() { \"}\" }\n";
    let code = product_code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    for gone in ["x", "b::", "tests", "no", "hidden", "fn e"] {
        assert!(!code.contains(gone), "{gone} in\n{code}");
    }
    for kept in ["fn a()", "const S", "shown: &'static str", "fn f()"] {
        assert!(code.contains(kept), "no {kept} in\n{code}");
    }
    let names: Vec<String> = functions(&code).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "f"]);
}
