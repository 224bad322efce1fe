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

Made from `tests/cases` by `WEIR_UPDATE_PAGES=1 tests/cargo.sh test --test node_suite feature_page`; the tests fail if it is stale.
`weir test tests/cases` runs the cases without a broker, in every cut of the input into batches and interrupted after every commit.
What differs from ksqlDB is in [ksqldb-differences.md](ksqldb-differences.md). Push and pull queries and the endpoints of the REST API
are proven by `tests/tests/http_*.rs` and `sql_*.rs`; there, formats that need a schema registry are not built yet.
";

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
    write!(page, "\n{total} cases in all.\n")?;
    Ok(page)
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
