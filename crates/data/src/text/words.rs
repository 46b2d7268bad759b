//! Words of a sentence, for corruptions that change words.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;

use crate::random;

/// The bytes of every run of characters without white space.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices() {
        match (character.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(begin)) => {
                words.push(begin..at);
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|begin| begin..text.len()));
    words
}

/// A word in lower case, without punctuation around it and with a straight apostrophe.
pub(super) fn plain(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric() && !is_apostrophe(c))
        .to_lowercase()
        .replace('\u{2019}', "'")
}

pub(super) fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '\u{2019}')
}

/// Whether a word carries a negation, so that leaving it out turns the sentence around.
pub(super) fn is_negation(word: &str) -> bool {
    let word = plain(word);
    let negations = [
        "not", "no", "never", "none", "nothing", "nobody", "nowhere", "neither", "nor", "without",
        "hardly", "barely", "scarcely", "cannot",
    ];
    word.ends_with("n't") || negations.contains(&word.as_str())
}

/// Replaces bytes of a text; the places are in ascending order and do not overlap.
pub(super) fn replace(text: &str, changes: &[(Range<usize>, String)]) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut copied = 0;
    for (place, replacement) in changes {
        changed.push_str(&text[copied..place.start]);
        changed.push_str(replacement);
        copied = place.end;
    }
    changed.push_str(&text[copied..]);
    changed
}

/// How many of `eligible` words a share of them is: rounded up, at least one where there is one.
pub(super) fn count(share: f64, eligible: usize) -> usize {
    ((share * eligible as f64).ceil() as usize).clamp(eligible.min(1), eligible)
}

/// The numbers below `n` in random order. Its beginnings are samples that nest.
pub(super) fn shuffled(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in 0..n {
        order.swap(i, i + random::below(rng, (n - i) as u64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_white_space_separates() {
        let text = "  it 's\u{00a0}a\tgood, \u{1f600} one\n";
        let found: Vec<_> = words(text).into_iter().map(|word| &text[word]).collect();
        assert_eq!(found, ["it", "'s", "a", "good,", "\u{1f600}", "one"]);
        assert!(words("").is_empty() && words(" \n ").is_empty());
    }

    #[test]
    fn negations_are_recognised_with_punctuation_and_case() {
        for word in ["Not", "isn't,", "n't", "can\u{2019}t", "never.", "cannot"] {
            assert!(is_negation(word), "{word}");
        }
        for word in ["note", "knot", "ant", "now", ""] {
            assert!(!is_negation(word), "{word}");
        }
    }

    #[test]
    fn shares_round_up_and_leave_none_without_words() {
        assert_eq!([count(0.1, 0), count(0.1, 1), count(0.1, 11)], [0, 1, 2]);
        assert_eq!(count(2.0, 3), 3);
    }
}
