//! Prometheus' text format 0.0.4, read strictly: what its parser and `promtool check metrics` complain about is an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];
/// Names of units that are not base units, as parts of metric names.
const OTHER_UNITS: [&str; 14] = [
    "ms",
    "milliseconds",
    "us",
    "microseconds",
    "ns",
    "minutes",
    "hours",
    "days",
    "kb",
    "kilobytes",
    "mb",
    "megabytes",
    "bits",
    "percent",
];

/// A family of samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    /// By their name and labels.
    samples: BTreeMap<String, f64>,
}

/// Checks a page, line by line. Returns the names of its families.
pub fn check(page: &str) -> Result<BTreeSet<String>> {
    ensure!(page.ends_with('\n'), "the last line does not end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    for line in page.lines() {
        let checked = if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("no kind")?;
            name.clone_into(&mut current);
            declare(&mut families, name, kind)
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').context("no text")?;
            let is_new = helped.insert(name.to_owned());
            if is_new && !text.trim().is_empty() {
                Ok(())
            } else {
                Err(anyhow::anyhow!("no help, or a second one"))
            }
        } else if line.starts_with('#') || line.trim().is_empty() {
            Err(anyhow::anyhow!("neither a sample nor about one"))
        } else {
            families.get_mut(&current).context("no family").and_then(|family| sample(family, &current, line))
        };
        checked.with_context(|| line.to_owned())?;
    }
    for (name, family) in &families {
        ensure!(helped.contains(name), "{name} has no help");
        check_histogram(name, family)?;
    }
    Ok(families.into_keys().collect())
}

fn declare(families: &mut BTreeMap<String, Family>, name: &str, kind: &str) -> Result<()> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()), "no name");
    ensure!(KINDS.contains(&kind), "unknown metric type \"{kind}\"");
    ensure!(
        (kind == "counter") == name.ends_with("_total"),
        "counters end with _total, and nothing else does"
    );
    ensure!(!OTHER_UNITS.iter().any(|unit| name.split('_').any(|part| part == *unit)), "no base unit");
    let is_reserved = ["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
    ensure!(!is_reserved, "the suffix belongs to histograms");
    let family = Family { kind: kind.to_owned(), samples: BTreeMap::new() };
    ensure!(families.insert(name.to_owned(), family).is_none(), "declared twice");
    Ok(())
}

fn sample(family: &mut Family, name: &str, line: &str) -> Result<()> {
    let (series, value) = line.rsplit_once(' ').context("no value")?;
    let value: f64 = value.parse().context("no number")?;
    let (found, labels) = series.split_once('{').unwrap_or((series, "}"));
    let suffix = found.strip_prefix(name).context("of another family")?;
    let is_histogram = family.kind == "histogram";
    let fits = if is_histogram { ["_bucket", "_sum", "_count"].contains(&suffix) } else { suffix.is_empty() };
    ensure!(fits, "the suffix does not fit");
    let mut labels = read_labels(labels.strip_suffix('}').context("no end")?)?;
    labels.sort();
    ensure!(labels.windows(2).all(|pair| pair[0].0 != pair[1].0), "a label twice");
    ensure!((suffix == "_bucket") == labels.iter().any(|(label, _)| label == "le"), "le is for buckets");
    let key = format!("{suffix} {labels:?}");
    ensure!(family.samples.insert(key, value).is_none(), "a series twice");
    Ok(())
}

/// `name="value",…`
fn read_labels(mut text: &str) -> Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").context("no value of a label")?;
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_name = name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
        ensure!(is_name, "no label: {name}");
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next().context("a value has no end")? {
                (at, '"') => break at,
                (_, '\\') => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    other => bail!("unknown escape {other:?}"),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
        text = match text.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            _ if text.is_empty() => text,
            _ => bail!("no comma between labels"),
        };
    }
    Ok(labels)
}

/// Every histogram has a last bucket that counts what its count counts.
fn check_histogram(name: &str, family: &Family) -> Result<()> {
    let of = |wanted: &'static str| {
        family.samples.iter().filter(move |(key, _)| key.starts_with(wanted)).map(|(_, value)| *value)
    };
    let last: f64 = family.samples.iter().filter(|(key, _)| key.contains("\"+Inf\"")).map(|(_, v)| *v).sum();
    ensure!(last == of("_count ").sum::<f64>(), "{name}: the last buckets do not count all");
    ensure!(of("_count ").count() == of("_sum ").count(), "{name}: a sum is missing");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# TYPE a_total counter\n# HELP a_total Things.\na_total{x=\"1,\\\"\\\\\\n\",y=\"\"} 3\na_total 1e3\n\
        # TYPE b_seconds histogram\n# HELP b_seconds Times.\nb_seconds_bucket{le=\"1\"} 1\n\
        b_seconds_bucket{le=\"+Inf\"} 2\nb_seconds_sum 4.5\nb_seconds_count 2\n";

    #[test]
    fn pages_are_read_strictly() {
        assert_eq!(check(GOOD).expect("valid").len(), 2);
        for (from, to) in [
            ("counter", "unknown"),
            ("# HELP a_total Things.\n", ""),
            ("Things.", " "),
            ("a_total", "a"),
            ("a_total", "a_ms_total"),
            ("a_total 1e3", "a_total x"),
            ("a_total 1e3", "b_total 1"),
            ("a_total 1e3", "a_total{y=\"\",x=\"1,\\\"\\\\\\n\"} 1"),
            ("a_total 1e3", "a_total{x=\"1\",x=\"2\"} 1"),
            ("a_total 1e3", "a_total{x=\"1\\q\"} 1"),
            ("a_total 1e3", "a_total{x=\"1\"y=\"2\"} 1"),
            ("a_total 1e3", "a_total{x=\"1} 1"),
            ("a_total 1e3", "a_total{1=\"1\"} 1"),
            ("a_total 1e3", "# EOF"),
            ("+Inf", "2"),
            ("b_seconds_count 2", "b_seconds_count 3"),
            ("b_seconds_sum 4.5\n", ""),
            ("# TYPE b_seconds", "# TYPE b_seconds_count"),
            ("_count 2\n", "_count 2"),
        ] {
            let page = GOOD.replace(from, to);
            assert_ne!(page, GOOD, "{from}");
            assert!(check(&page).is_err(), "{from} -> {to}");
        }
    }
}
