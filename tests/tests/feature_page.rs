//! docs/ksqldb-features.md, made from the cases in `tests/cases`: `WEIR_UPDATE_PAGES=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

const PAGE: &str = "docs/ksqldb-features.md";
const HEAD: &str = "\
# Features of ksqlDB's language, and the cases that prove them

Made from `tests/cases` by `WEIR_UPDATE_PAGES=1 tests/cargo.sh test --test node_suite feature_page`;
the tests fail if it is stale. `weir test tests/cases` runs the cases without a broker, in every cut
of the input into batches and interrupted after every commit.
[ksqldb-differences.md](ksqldb-differences.md) lists the differences from ksqlDB. Formats that need
a schema registry (Avro, Protobuf, JSON Schema) are not built yet.
";
/// The head of the section on suites that run a node.
const NODE_HEAD: &str = "
## Queries and the REST API

Suites that run a node and talk to it as clients do. `tests/cargo.sh test --test node_suite FILE`
runs one of them.

| subject | file |
|---|---|
";
/// How the names of these suites begin.
const NODE_SUITES: [&str; 3] = ["http_", "sql_", "query_"];

/// The marks at the beginning of a line that begin a case, by the ending of its file.
const MARKS: [(&str, &str); 2] = [("case", "=== "), ("sql", "--@test")];

fn page(root: &Path) -> Result<String> {
    let mut folders: BTreeMap<String, Vec<(PathBuf, usize)>> = BTreeMap::new();
    for entry in WalkDir::new(root.join("tests/cases")).sort_by_file_name() {
        let entry = entry?;
        let ending = entry.path().extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let Some((_, mark)) = MARKS.iter().find(|(of, _)| *of == ending) else { continue };
        let is_setup = |line: &str| line.trim_end() == "=== setup";
        let text = fs::read_to_string(entry.path())?;
        let cases = text.lines().filter(|line| line.starts_with(mark) && !is_setup(line)).count();
        let file = entry.path().strip_prefix(root)?.to_path_buf();
        let folder = file.parent().and_then(Path::file_name).context("a case lies in a folder")?;
        let folder = folder.to_string_lossy().into_owned();
        folders
            .entry(if folder == "cases" { "combined".to_owned() } else { folder })
            .or_default()
            .push((file, cases));
    }
    let total: usize = folders.values().flatten().map(|(_, cases)| cases).sum();
    let mut page = HEAD.to_owned();
    for (folder, files) in &folders {
        let cases: usize = files.iter().map(|(_, cases)| cases).sum();
        write!(page, "\n## {folder}: {cases} cases\n\n| feature | cases | file |\n|---|---|---|\n")?;
        for (file, cases) in files {
            let feature = file.file_stem().context("a file has a name")?.to_string_lossy().replace('_', " ");
            writeln!(page, "| {feature} | {cases} | `{}` |", file.display())?;
        }
    }
    write!(page, "\n{total} cases in all.\n{NODE_HEAD}{}", node_suites(root)?)?;
    Ok(page)
}

/// A row for each suite of `NODE_SUITES`: the subject is the first line of its documentation.
fn node_suites(root: &Path) -> Result<String> {
    let mut rows = String::new();
    for entry in WalkDir::new(root.join("tests/tests")).max_depth(1).sort_by_file_name() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if !NODE_SUITES.iter().any(|start| name.starts_with(start)) || !name.ends_with(".rs") {
            continue;
        }
        let source = fs::read_to_string(entry.path())?;
        let doc = source.lines().take_while(|line| line.starts_with("//! "));
        let doc: Vec<&str> = doc.map(|line| line.trim_start_matches("//! ")).collect();
        let doc = doc.join(" ");
        let subject = doc.split_once(". ").map_or(doc.as_str(), |(first, _)| first).trim_end_matches('.');
        ensure!(!subject.is_empty(), "{name} says nothing about itself");
        writeln!(rows, "| {subject} | `tests/tests/{name}` |")?;
    }
    Ok(rows)
}

#[test]
fn the_page_of_features_names_every_case_file() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests lie in the workspace")?;
    let (path, wanted) = (root.join(PAGE), page(root)?);
    if std::env::var_os("WEIR_UPDATE_PAGES").is_some() {
        fs::write(&path, &wanted)?;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    ensure!(found == wanted, "{PAGE} is stale; WEIR_UPDATE_PAGES=1 makes it anew. It should be:\n{wanted}");
    Ok(())
}
