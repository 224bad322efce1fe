//! Suggestions for misspelt names: the known name that differs least from the one that was written.

/// Characters of a name that are compared; longer names are cut.
const COMPARED_MAX: usize = 64;

/// The candidate that differs least from `name`, if it is close. Case does not count.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    // A name of one letter is one edit away from every other.
    let limit = (length / 3).clamp(1, 3).min(length.saturating_sub(1));
    let upper = name.to_uppercase();
    candidates
        .map(|candidate| (distance(&upper, &candidate.to_uppercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "Did you mean X?" for the nearest candidate.
pub fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|known| format!("Did you mean {known}?"))
}

/// Edits between two words: insertions, deletions, substitutions and swaps of neighbouring characters
/// (the optimal string alignment distance).
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(COMPARED_MAX).collect();
    let b: Vec<char> = b.chars().take(COMPARED_MAX).collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitute = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitute.min(above[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (a, b, edits) in [
            ("", "AB", 2),
            ("SELEC", "SELECT", 1),
            ("KITTEN", "SITTING", 3),
            ("A", "A", 0),
            ("PIRCE", "PRICE", 1),
            ("CA", "ABC", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn nearest_finds_transposed_letters_and_ignores_what_is_far() {
        let known = ["PRICE", "CURRENCY", "M"];
        assert_eq!(nearest("pirce", known.into_iter()), Some("PRICE"));
        assert_eq!(nearest("currencies", known.into_iter()), Some("CURRENCY"));
        assert_eq!(nearest("y", known.into_iter()), None);
        assert_eq!(nearest("quantity", known.into_iter()), None);
        assert_eq!(nearest("", known.into_iter()), None);
    }
}
