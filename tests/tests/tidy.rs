//! The picture in ARCHITECTURE.md, checked: edges of crates and modules, import cycles, sizes, clocks, files and threads.
//!
//! Exceptions stand in `tidy/exceptions.rs`. They may only become fewer: a number that is too high fails as one that is too low.

#[path = "tidy/exceptions.rs"]
mod exceptions;
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use exceptions::{CYCLES, LONG_FUNCTIONS, OUTSIDE_ENV, UNUSED_DEPENDENCIES};
use source::{SourceFile, functions, is_word, product_sources, root, sources};

/// Lines a source file may have. Files near it do two jobs.
const FILE_LINES_MAX: usize = 1_000;
/// Lines a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// Which internal crates a crate may depend on.
const CRATE_EDGES: [(&str, &[&str]); 6] = [
    ("broker", &[]),
    ("sql", &[]),
    ("engine", &["weir-broker", "weir-sql"]),
    ("server", &["weir-broker", "weir-sql", "weir-engine"]),
    ("repl", &["weir-broker", "weir-sql", "weir-engine", "weir-server"]),
    ("tests", &["weir-broker", "weir-sql", "weir-engine", "weir-server"]),
];

/// The crates that make up the product.
const CRATES: [&str; 5] = ["broker", "sql", "engine", "server", "repl"];

/// Words that must not stand in a crate's sources, each with the crate it is foreign to.
const FOREIGN: [(&str, &[&str]); 3] = [
    ("sql", &["tokio::", "rocksdb::", "std::fs", "std::net", "SystemTime::now", "Instant::now"]),
    ("broker", &["arrow::", "datafusion", "axum::", "weir_sql"]),
    ("engine", &["axum::", "rustyline"]),
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

/// What belongs to `broker::env`, so that tests can replace it, with the crates in which that is asked for.
const ENV_ONLY: [(&str, &[&str]); 6] = [
    ("Instant::now", &["broker", "sql", "engine", "server"]),
    ("SystemTime::now", &["broker", "sql", "engine", "server"]),
    ("fs::", &["broker", "sql", "engine", "server"]),
    ("tokio::spawn", &["broker", "sql", "engine", "server"]),
    ("thread::Builder", &["broker", "sql", "engine", "server"]),
    ("unbounded", &["broker", "sql", "engine", "server", "repl"]),
];

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

#[test]
fn the_page_names_files_that_are_there() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page");
    let files: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".rs")).collect();
    let is_path = |file: &&&str| file.contains("/src/") || file.contains("/tests/");
    let missing: Vec<&&str> =
        files.iter().filter(is_path).filter(|file| !root().join(file).exists()).collect();
    assert!(
        files.len() > 40 && missing.is_empty(),
        "ARCHITECTURE.md names files that are not there: {missing:?}"
    );
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

/// The layer of a module path such as `runtime::storage`; the longest name that fits counts.
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

/// The module of a source file, such as `runtime::storage`.
fn module_of(folder: &str, file: &SourceFile) -> String {
    file.name.trim_start_matches(&format!("{folder}/src/")).trim_end_matches(".rs").replace('/', "::")
}

#[test]
fn modules_use_only_their_own_layer_and_lower_ones() {
    let mut wrong = Vec::new();
    for folder in CRATES {
        let layers = layers(folder);
        for file in product_sources(folder) {
            let module = module_of(folder, &file);
            if ["lib", "main"].contains(&module.as_str()) || module.contains("tests") {
                continue;
            }
            let Some(own) = layer_of(&layers, &module) else {
                wrong.push(format!("{}: in no layer of ARCHITECTURE.md", file.name));
                continue;
            };
            for path in internal_paths(&file.code) {
                if layer_of(&layers, &path).is_some_and(|used| used > own) {
                    wrong.push(format!("{}: uses {path} of a higher layer", file.name));
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
        for SourceFile { name, text, .. } in sources(folder) {
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
        for file in product_sources(folder) {
            let foreign = words.iter().filter(|w| file.code.contains(**w));
            found.extend(foreign.map(|w| format!("{}: {w}", file.name)));
        }
    }
    assert!(found.is_empty(), "foreign words:\n{}", found.join("\n"));
}

#[test]
fn banned_calls_are_absent() {
    let mut found = Vec::new();
    for file in CRATES.into_iter().flat_map(product_sources) {
        found
            .extend(BANNED.iter().filter(|w| file.code.contains(**w)).map(|w| format!("{}: {w}", file.name)));
    }
    assert!(found.is_empty(), "banned:\n{}", found.join("\n"));
}

/// Compares what was found with the exceptions: neither may have anything that the other has not.
fn compare(rule: &str, found: &BTreeMap<String, usize>, exceptions: &[(&str, usize)]) {
    let allowed: BTreeMap<String, usize> = exceptions.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
    let names: BTreeSet<&String> = found.keys().chain(allowed.keys()).collect();
    let mut wrong = Vec::new();
    for name in names {
        let (is, may) = (found.get(name).copied().unwrap_or(0), allowed.get(name).copied().unwrap_or(0));
        if is > may {
            wrong.push(format!("    (\"{name}\", {is}),  // too many: {may} allowed"));
        } else if is < may {
            wrong.push(format!(
                "    (\"{name}\", {is}),  // fewer than the exception says: lower it from {may}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn time_files_threads_and_unbounded_channels_stay_in_env() {
    let mut found = BTreeMap::new();
    for (word, crates) in ENV_ONLY {
        for file in crates.iter().flat_map(|folder| product_sources(folder)) {
            if file.name.starts_with("broker/src/env") {
                continue;
            }
            let uses =
                file.code.match_indices(word).filter(|(at, _)| !file.code[..*at].ends_with(is_word)).count();
            if uses > 0 {
                found.insert(format!("{}: {word}", file.name), uses);
            }
        }
    }
    compare("outside broker::env", &found, OUTSIDE_ENV);
}

#[test]
fn functions_fit_a_screen() {
    let mut found = BTreeMap::new();
    for file in CRATES.into_iter().flat_map(product_sources) {
        for (name, lines) in functions(&file.code) {
            if lines > FUNCTION_LINES_MAX {
                let longest = found.entry(format!("{}: {name}", file.name)).or_insert(0);
                *longest = lines.max(*longest);
            }
        }
    }
    compare(&format!("functions over {FUNCTION_LINES_MAX} lines"), &found, LONG_FUNCTIONS);
}

/// Modules that reach each other through their imports.
fn cycles(folder: &str) -> Vec<BTreeSet<String>> {
    let files = product_sources(folder);
    let modules: BTreeSet<String> = files.iter().map(|file| module_of(folder, file)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let own = module_of(folder, file);
        for path in internal_paths(&file.code) {
            // The longest module that the path begins with.
            let parts: Vec<&str> = path.split("::").collect();
            let used = (1..=parts.len()).rev().map(|n| parts[..n].join("::")).find(|m| modules.contains(m));
            // A module and its own children count as one place.
            let related = |used: &String| {
                used.starts_with(&format!("{own}::")) || own.starts_with(&format!("{used}::"))
            };
            if let Some(used) = used.filter(|used| *used != own && !related(used)) {
                edges.entry(own.clone()).or_default().insert(used);
            }
        }
    }
    let reaches = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = edges.get(from).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module.clone()) {
                next.extend(edges.get(module).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|m| (m, reaches(m))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, to) in &reached {
        if to.contains(*module) && !found.iter().any(|cycle| cycle.contains(*module)) {
            let back = |other: &&String| reached.get(other).is_some_and(|r| r.contains(*module));
            found.push(to.iter().filter(back).cloned().collect());
        }
    }
    found
}

#[test]
fn imports_have_no_cycles() {
    let mut found = BTreeMap::new();
    for folder in CRATES {
        for cycle in cycles(folder) {
            let first = cycle.first().cloned().unwrap_or_default();
            found.insert(format!("{folder}::{first}"), cycle.len());
        }
    }
    compare("import cycles, by their first module, with their sizes", &found, CYCLES);
}

#[test]
fn dependencies_are_used() {
    let mut found = BTreeMap::new();
    for (folder, _) in CRATE_EDGES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let code: String = sources(folder).into_iter().map(|file| file.text).collect();
        for section in ["dependencies", "dev-dependencies"] {
            for name in
                manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys())
            {
                // The library of this package has another name.
                let library = if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
                if !code.contains(&library) {
                    found.insert(format!("{folder}: {name}"), 1);
                }
            }
        }
    }
    compare("dependencies that no source names", &found, UNUSED_DEPENDENCIES);
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
