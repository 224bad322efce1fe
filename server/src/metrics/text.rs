//! OpenMetrics text.

use std::fmt::{Display, Write};

/// Metric families one after another.
#[derive(Debug, Default)]
pub struct Page {
    out: String,
}

/// A family whose samples are being written.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut Page,
    name: String,
    suffix: &'static str,
}

impl Page {
    /// Begins a family. Samples of a counter get `_total`, which `name` is without.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.out, "# TYPE {name} {kind}\n# HELP {name} {help}");
        let suffix = if kind == "counter" { "_total" } else { "" };
        Family { page: self, name: name.to_owned(), suffix }
    }

    pub fn finish(mut self) -> String {
        self.out.push_str("# EOF\n");
        self.out
    }
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let suffix = self.suffix;
        self.sample_named(suffix, labels, value)
    }

    /// `bounds[i]` is the upper bound of `buckets[i]`, which counts what is not above it and above the one before; one more
    /// bucket counts what is above all. Units: s.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], sum: f64) {
        let mut count = 0;
        let texts: Vec<String> = bounds.iter().map(f64::to_string).collect();
        let bounds = texts.iter().map(String::as_str).chain(["+Inf"]);
        for (bound, in_bucket) in bounds.zip(buckets) {
            count += in_bucket;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound)]).collect();
            self.sample_named("_bucket", &labels, count);
        }
        self.sample_named("_sum", labels, sum);
        self.sample_named("_count", labels, count);
    }

    fn sample_named(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let out = &mut self.page.out;
        let _ = write!(out, "{}{suffix}", self.name);
        for (place, (name, text)) in labels.iter().enumerate() {
            let separator = if place == 0 { '{' } else { ',' };
            let _ = write!(out, "{separator}{name}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(out, "{close} {value}");
        self
    }
}

/// A page in the text format 0.0.4, which has other names for the kinds and names counters with their suffix.
pub fn plain(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut is_counter = false;
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            is_counter = kind == "counter";
            let kind = match kind {
                "unknown" => "untyped",
                "info" | "stateset" => "gauge",
                other => other,
            };
            let suffix = if is_counter { "_total" } else { "" };
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if is_counter { "_total" } else { "" };
            let _ = writeln!(out, "# HELP {name}{suffix} {help}");
        } else if !line.starts_with('#') {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// A label's value.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_names_counters_with_their_suffix() {
        let mut page = Page::default();
        page.family("weir_x", "counter", "Things.").sample(&[("a", "1")], 3);
        page.family("weir_y", "unknown", "Other things.").sample(&[], 1.5);
        assert_eq!(
            plain(&page.finish()),
            "# TYPE weir_x_total counter\n# HELP weir_x_total Things.\nweir_x_total{a=\"1\"} 3\n\
             # TYPE weir_y untyped\n# HELP weir_y Other things.\nweir_y 1.5\n"
        );
    }

    #[test]
    fn families_are_open_metrics() {
        let mut page = Page::default();
        page.family("weir_x", "counter", "Things.").sample(&[("a", "1\"\n"), ("b", "2")], 3);
        page.family("weir_y_seconds", "histogram", "Times.").histogram(&[], &[0.5, 1.0], &[1, 0, 2], 4.5);
        assert_eq!(
            page.finish(),
            "# TYPE weir_x counter\n# HELP weir_x Things.\nweir_x_total{a=\"1\\\"\\n\",b=\"2\"} 3\n\
             # TYPE weir_y_seconds histogram\n# HELP weir_y_seconds Times.\n\
             weir_y_seconds_bucket{le=\"0.5\"} 1\nweir_y_seconds_bucket{le=\"1\"} 1\n\
             weir_y_seconds_bucket{le=\"+Inf\"} 3\nweir_y_seconds_sum 4.5\nweir_y_seconds_count 3\n# EOF\n"
        );
    }
}
