//! The picture in ARCHITECTURE.md, checked: crate and module edges, file sizes, banned words and calls.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Lines a source file may have. Files near it do two jobs.
const FILE_LINES_MAX: usize = 1_000;

/// Which internal crates a crate may depend on.
const CRATE_EDGES: [(&str, &[&str]); 6] = [
    ("broker", &[]),
    ("sql", &[]),
    ("engine", &["weir-broker", "weir-sql"]),
    ("server", &["weir-broker", "weir-sql", "weir-engine"]),
    ("repl", &["weir-broker", "weir-sql", "weir-engine", "weir-server"]),
    ("tests", &["weir-broker", "weir-sql", "weir-engine", "weir-server"]),
];

/// Words that must not stand in a crate's sources, each with the crate it is foreign to.
const FOREIGN: [(&str, &[&str]); 3] = [
    ("sql/src", &["tokio::", "rocksdb::", "std::fs", "std::net", "SystemTime::now", "Instant::now"]),
    ("broker/src", &["arrow::", "datafusion", "axum::", "weir_sql"]),
    ("engine/src", &["axum::", "rustyline"]),
];

/// Calls and words banned everywhere outside tests.
const BANNED: [&str; 8] = [
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "FIXME",
    "lazy_static",
    "thread::sleep",
    // These panic when the output is closed or full: render::line does not, nor does tracing.
    "println!(",
    "print!(",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the workspace")
        .to_path_buf()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    WalkDir::new(root().join(folder))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.path().extension().is_some_and(|x| x == "rs"))
        .map(|e| {
            let name = e.path().strip_prefix(root()).expect("below the root").display().to_string();
            (name, fs::read_to_string(e.path()).expect("source files are readable"))
        })
        .collect()
}

/// The part of a file before its unit tests.
fn product_code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn crates_depend_only_downwards() {
    for (folder, allowed) in CRATE_EDGES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
        for line in manifest.lines() {
            let Some(name) = line.split(['.', ' ', '=']).next().filter(|n| n.starts_with("weir-")) else {
                continue;
            };
            assert!(allowed.contains(&name), "{folder} must not depend on {name}");
        }
    }
}

/// The layers of a crate as ARCHITECTURE.md's table shows them: module paths with the number of their layer.
fn layers(crate_name: &str) -> Vec<(String, usize)> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page");
    let row = page
        .lines()
        .find(|l| l.starts_with(&format!("| `{crate_name}` |")) && l.contains(" · "))
        .unwrap_or_else(|| panic!("ARCHITECTURE.md shows no layers of {crate_name}"));
    let cell = row.trim_end_matches('|').rsplit('|').next().expect("a last cell");
    let modules = |(at, layer): (usize, &str)| {
        let names = layer.trim().trim_matches('`').to_owned();
        names.split(' ').map(|n| (n.to_owned(), at)).collect::<Vec<_>>()
    };
    cell.split('·').enumerate().flat_map(modules).collect()
}

/// The layer of a module path such as `runtime::error`; the longest name that fits counts.
fn layer_of(layers: &[(String, usize)], path: &str) -> Option<usize> {
    let fits = |name: &str| path == name || path.starts_with(&format!("{name}::"));
    layers.iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len()).map(|(_, layer)| *layer)
}

/// `crate::a::b` in code, as `a::b`, also out of `use crate::{a::b, c}`.
fn internal_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let rest = &code[at + "crate::".len()..];
        let heads = match rest.strip_prefix('{').and_then(|r| r.split_once("};")) {
            Some((group, _)) => group.split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        let path = |head: &str| {
            head.chars()
                .take_while(|c| is_word(*c) || *c == ':')
                .collect::<String>()
                .trim_matches(':')
                .to_owned()
        };
        paths.extend(heads.into_iter().map(path).filter(|p| !p.is_empty()));
    }
    paths
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn modules_use_only_their_own_layer_and_lower_ones() {
    let mut wrong = Vec::new();
    for (folder, _) in CRATE_EDGES.iter().filter(|(f, _)| *f != "tests") {
        let layers = layers(folder);
        for (name, text) in sources(&format!("{folder}/src")) {
            let module =
                name.trim_start_matches(&format!("{folder}/src/")).trim_end_matches(".rs").replace('/', "::");
            if ["lib", "main"].contains(&module.as_str()) || module.contains("tests") {
                continue;
            }
            let Some(own) = layer_of(&layers, &module) else {
                wrong.push(format!("{name}: in no layer of ARCHITECTURE.md"));
                continue;
            };
            let code: String =
                product_code(&text).lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            for path in internal_paths(&code) {
                if layer_of(&layers, &path).is_some_and(|used| used > own) {
                    wrong.push(format!("{name}: uses {path} of a higher layer"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "module edges:\n{}", wrong.join("\n"));
}

#[test]
fn files_do_one_job() {
    let mut long = Vec::new();
    for (folder, _) in CRATE_EDGES {
        for (name, text) in sources(folder) {
            assert!(!name.ends_with("/mod.rs"), "{name}: use foo.rs beside foo/");
            let lines = text.lines().count();
            if lines > FILE_LINES_MAX {
                long.push(format!("{name}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "over {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn layers_do_not_know_what_is_above_them() {
    let mut found = Vec::new();
    for (folder, words) in FOREIGN {
        for (name, text) in sources(folder) {
            let code = product_code(&text);
            found.extend(words.iter().filter(|w| code.contains(**w)).map(|w| format!("{name}: {w}")));
        }
    }
    assert!(found.is_empty(), "foreign words:\n{}", found.join("\n"));
}

#[test]
fn banned_calls_are_absent() {
    let mut found = Vec::new();
    for (folder, _) in CRATE_EDGES.iter().filter(|(f, _)| *f != "tests") {
        for (name, text) in
            sources(&format!("{folder}/src")).into_iter().filter(|(n, _)| !n.ends_with("tests.rs"))
        {
            let code = product_code(&text);
            found.extend(BANNED.iter().filter(|w| code.contains(**w)).map(|w| format!("{name}: {w}")));
        }
    }
    assert!(found.is_empty(), "banned:\n{}", found.join("\n"));
}

#[test]
fn unsafe_is_forbidden_in_every_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for (folder, _) in CRATE_EDGES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder} must take the workspace's lints");
    }
}
