//! "Did you mean": the nearest of the known words.

/// The candidate nearest to `word`, if at most two edits away; the first of equals.
///
/// `None` where `word` is one of the candidates: then the mistake is another.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIMIT: usize = 2;
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        // Lengths in bytes; a character has at most four.
        if candidate.len().abs_diff(word.len()) > 4 * LIMIT {
            continue;
        }
        let distance = distance(word, candidate);
        if best.map_or(distance <= LIMIT, |(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// As [`nearest`], in any case; the answer is in lower or upper case where `word` is.
#[must_use]
pub fn nearest_in_any_case<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let lower: Vec<(String, &str)> =
        candidates.into_iter().map(|candidate| (candidate.to_lowercase(), candidate)).collect();
    let found = nearest(&word.to_lowercase(), lower.iter().map(|(lower, _)| lower.as_str()))?;
    let original = lower.iter().find(|(lower, _)| lower == found).map(|(_, original)| *original)?;
    Some(if word == word.to_lowercase() {
        found.to_owned()
    } else if word == word.to_uppercase() {
        original.to_uppercase()
    } else {
        original.to_owned()
    })
}

/// Insertions, deletions and substitutions of characters (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substitution = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// ` (did you mean X?)`, or nothing: the tail of an error text.
pub(crate) fn tail(suggestion: Option<&String>) -> String {
    suggestion.map(|word| format!(" (did you mean {word}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let candidates = ["from", "chown", "chmod", "link"];
        for (word, expected) in [
            ("form", Some("from")),
            ("chowm", Some("chown")),
            ("chomd", Some("chown")),
            ("chmdo", Some("chmod")),
            ("lnk", Some("link")),
            ("from", None),
            ("platform", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, candidates), expected, "{word}");
        }
    }

    #[test]
    fn the_case_of_the_word_is_kept() {
        let candidates = ["FROM", "RUN", "WORKDIR"];
        for (word, expected) in [("FRMO", "FROM"), ("frmo", "from"), ("WorkDri", "WORKDIR")] {
            assert_eq!(nearest_in_any_case(word, candidates).as_deref(), Some(expected));
        }
        assert_eq!(nearest_in_any_case("run", candidates), None);
    }
}
