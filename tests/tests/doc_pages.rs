//! The pages for readers: their links lead somewhere, and docs/internals.md agrees with the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};

const INTERNALS: &str = "docs/internals.md";
/// Folders without pages.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests lie in the workspace")
}

/// All Markdown files of the repository.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let is_skipped = |entry: &DirEntry| SKIPPED.iter().any(|name| entry.file_name() == *name);
    let mut pages = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(|entry| !is_skipped(entry)) {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "md") {
            pages.push(entry.into_path());
        }
    }
    Ok(pages)
}

/// The lines of a page that are not code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of the links of a line: `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The anchors of a page's headings, as GitHub and most renderers make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_between_pages_lead_somewhere() -> Result<()> {
    let root = root()?;
    let (mut checked, mut broken) = (0, Vec::new());
    for path in pages(root)? {
        let page = fs::read_to_string(&path)?;
        let folder = path.parent().context("a page lies in a folder")?;
        for target in prose(&page).flat_map(links).filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { path.clone() } else { folder.join(file) };
            let has_anchor = || anchors(&fs::read_to_string(&linked).unwrap_or_default()).contains(anchor);
            if !linked.exists() || (!anchor.is_empty() && !has_anchor()) {
                broken.push(format!("{}: {target}", path.display()));
            }
            checked += 1;
        }
    }
    ensure!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    ensure!(checked > 50, "only {checked} links were found");
    Ok(())
}

/// The stations of a section of docs/internals.md: functions, and the file that they are in.
fn stations(section: &str) -> Result<Vec<(Vec<&str>, &str)>> {
    let is_station =
        |line: &&str| line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit);
    let mut stations = Vec::new();
    for line in section.lines().filter(is_station) {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let [_, _, functions, file] = cells[..] else { anyhow::bail!("not a station: {line}") };
        let functions = functions.split(", ").map(|name| name.trim_matches('`')).collect();
        stations.push((functions, file.trim_matches('`')));
    }
    Ok(stations)
}

#[test]
fn the_walks_through_the_tree_name_what_is_there() -> Result<()> {
    let root = root()?;
    let page = fs::read_to_string(root.join(INTERNALS))?;
    let mut walks = 0;
    for section in page.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let stations = stations(section)?;
        let files: BTreeSet<&str> = stations.iter().map(|(_, file)| *file).collect();
        let counts = format!("{} stations, {} files", stations.len(), files.len());
        ensure!(title.ends_with(&counts), "{INTERNALS}: \"{title}\" has {counts}");
        for (functions, file) in &stations {
            let source =
                fs::read_to_string(root.join(file)).with_context(|| format!("{INTERNALS} names {file}"))?;
            for name in functions {
                let is_there = ["(", "<"].iter().any(|next| source.contains(&format!("fn {name}{next}")));
                ensure!(is_there, "{INTERNALS}: {file} has no function {name}");
            }
        }
        walks += 1;
    }
    ensure!(walks == 3, "{INTERNALS} has {walks} walks");
    Ok(())
}
