//! docs/persisted-formats.md says what the code says.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const PAGE: &str = "docs/persisted-formats.md";

/// How the heads of the tables begin.
const HEADS: [&str; 2] = ["| file |", "| in |"];

/// A format that the page describes.
struct Row<'a> {
    mark: &'a str,
    code: &'a str,
    /// A file or a folder.
    tests: &'a str,
}

/// Errors: a row that names no mark, no code or no tests.
fn rows(page: &str) -> Result<Vec<Row<'_>>> {
    let is_row = |line: &&str| line.starts_with("| ") && !HEADS.iter().any(|head| line.starts_with(head));
    let mut rows = Vec::new();
    for line in page.lines().filter(is_row) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, mark, code, tests] = cells[..] else { bail!("{PAGE} has a row of another form: {line}") };
        let (code, tests) = (code.trim_matches('`'), tests.trim_matches('`'));
        ensure!(!mark.is_empty() && !code.is_empty() && !tests.is_empty(), "{PAGE}: a cell is empty: {line}");
        rows.push(Row { mark, code, tests });
    }
    Ok(rows)
}

/// The value of a constant of a source file, as it is written there.
fn constant<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let is_named =
        |line: &&str| line.split_once(':').is_some_and(|(head, _)| head.ends_with(&format!("const {name}")));
    let line = source.lines().find(is_named)?;
    Some(line.split_once(" = ")?.1.trim_end_matches(';'))
}

#[test]
fn the_page_on_persisted_formats_says_what_the_code_says() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests lie in the workspace")?;
    let page = fs::read_to_string(root.join(PAGE))?;
    let mut checked = 0;
    for Row { mark, code, tests } in rows(&page)? {
        let source = fs::read_to_string(root.join(code)).with_context(|| format!("{PAGE} names {code}"))?;
        ensure!(root.join(tests).exists(), "{PAGE} names {tests}, which is not there");
        let Some((name, value)) = mark.trim_matches('`').split_once(" = ") else { continue };
        let found = constant(&source, name).with_context(|| format!("{code} has no constant {name}"))?;
        ensure!(found == value, "{PAGE} says {name} = {value}, {code} says {found}");
        checked += 1;
    }
    ensure!(checked >= 20, "only {checked} marks were found in {PAGE}");
    Ok(())
}
