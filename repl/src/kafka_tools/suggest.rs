//! "Did you mean".

use weir_sql::suggest::distance;

/// Edits at which another name is none that was meant.
const EDITS_MAX: usize = 3;

/// `; did you mean "name"?` for the nearest of the names, nothing if none is near.
pub fn did_you_mean<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let nearest = names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        // A name that goes on where the other ends is what was meant, however long it is.
        .map(|(edits, name)| (if !wrong.is_empty() && name.starts_with(wrong) { 1 } else { edits }, name))
        .filter(|(edits, _)| *edits <= EDITS_MAX.min(wrong.chars().count() / 2))
        .min_by_key(|(edits, _)| *edits);
    nearest.map(|(_, name)| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered() {
        let names = ["listeners", "data-dir", "durability"];
        assert_eq!(did_you_mean("listners", names), "; did you mean \"listeners\"?");
        assert_eq!(did_you_mean("data_dir", names), "; did you mean \"data-dir\"?");
        assert_eq!(did_you_mean("dura", names), "; did you mean \"durability\"?");
        assert_eq!(did_you_mean("zookeeper", names), "");
        assert_eq!(did_you_mean("", names), "");
    }
}
