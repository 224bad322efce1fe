//! Differences between expected and actual lines.

/// Pairs of places whose lines are the same: a longest common subsequence.
fn common(expected: &[&str], actual: &[String], same: impl Fn(&str, &str) -> bool) -> Vec<(usize, usize)> {
    let (rows, columns) = (expected.len(), actual.len());
    let mut lengths = vec![vec![0_usize; columns + 1]; rows + 1];
    for e in (0..rows).rev() {
        for a in (0..columns).rev() {
            lengths[e][a] = match same(expected[e], &actual[a]) {
                true => lengths[e + 1][a + 1] + 1,
                false => lengths[e + 1][a].max(lengths[e][a + 1]),
            };
        }
    }
    let (mut e, mut a, mut pairs) = (0, 0, Vec::new());
    while e < rows && a < columns {
        if same(expected[e], &actual[a]) {
            pairs.push((e, a));
            (e, a) = (e + 1, a + 1);
        } else if lengths[e + 1][a] >= lengths[e][a + 1] {
            e += 1;
        } else {
            a += 1;
        }
    }
    pairs
}

/// All lines, those of one side alone marked with `-` or `+`.
pub fn shown(expected: &[&str], actual: &[String], same: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let (mut e, mut a, mut out) = (0, 0, Vec::new());
    let pairs = common(expected, actual, same);
    for (next_e, next_a) in pairs.into_iter().chain([(expected.len(), actual.len())]) {
        out.extend(expected[e..next_e].iter().map(|line| format!("- {line}")));
        out.extend(actual[a..next_a].iter().map(|line| format!("+ {line}")));
        out.extend(expected.get(next_e).map(|line| format!("  {line}")));
        (e, a) = (next_e + 1, next_a + 1);
    }
    out
}

/// The actual lines as a body: lines that are the same stay as they are written, comments keep
/// their neighbours.
pub fn merged(raw: &[&str], actual: &[String], same: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let is_comment = super::form::is_comment;
    let places: Vec<usize> = (0..raw.len()).filter(|line| !is_comment(raw[*line])).collect();
    let expected: Vec<&str> = places.iter().map(|line| raw[*line]).collect();
    let (mut r, mut a, mut out) = (0, 0, Vec::new());
    let pairs = common(&expected, actual, same);
    let ends = pairs.into_iter().map(|(e, a)| (places[e], a)).chain([(raw.len(), actual.len())]);
    for (next_r, next_a) in ends {
        out.extend(raw[r..next_r].iter().filter(|line| is_comment(line)).map(|line| (*line).to_owned()));
        out.extend(actual[a..next_a].iter().cloned());
        out.extend(raw.get(next_r).map(|line| (*line).to_owned()));
        (r, a) = (next_r + 1, next_a + 1);
    }
    out
}
