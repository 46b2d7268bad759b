//! Swaps: two different adjacent letters inside a word change places; its first and last letter stay.

use rand_chacha::ChaCha8Rng;

use super::super::words;
use crate::corruption::Severity;
use crate::random;

pub(super) const SUMMARY: &str =
    "two adjacent inner letters exchanged in 10, 20, 30, 45, 60 % of the words";

/// Words without two different adjacent inner letters stay, so those of fewer than four letters do.
pub(super) fn swap(text: &str, severity: Severity, rng: &mut ChaCha8Rng) -> Option<String> {
    let pairs: Vec<_> = words::words(text)
        .into_iter()
        .map(|word| inner_pairs(text, word))
        .filter(|pairs| !pairs.is_empty())
        .collect();
    let wanted = words::count(severity.of([0.1, 0.2, 0.3, 0.45, 0.6]), pairs.len());
    let order = words::shuffled(pairs.len(), rng);
    let mut changes: Vec<_> = order[..wanted]
        .iter()
        .map(|&word| {
            let pair = random::below(rng, pairs[word].len() as u64) as usize;
            let (at, [left, right]) = pairs[word][pair];
            let place = at..at + left.len_utf8() + right.len_utf8();
            (place, String::from_iter([right, left]))
        })
        .collect();
    changes.sort_unstable_by_key(|(place, _)| place.start);
    (!changes.is_empty()).then(|| words::replace(text, &changes))
}

/// Where the pairs begin, and their letters.
fn inner_pairs(text: &str, word: std::ops::Range<usize>) -> Vec<(usize, [char; 2])> {
    let letters: Vec<(usize, char)> = text[word.clone()]
        .char_indices()
        .filter(|(_, character)| character.is_alphabetic())
        .map(|(at, character)| (word.start + at, character))
        .collect();
    let inner = letters
        .get(1..letters.len().saturating_sub(1))
        .unwrap_or(&[]);
    inner
        .windows(2)
        .filter(|pair| pair[0].0 + pair[0].1.len_utf8() == pair[1].0 && pair[0].1 != pair[1].1)
        .map(|pair| (pair[0].0, [pair[0].1, pair[1].1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_letters_change_places_and_outer_ones_stay() {
        let severity = Severity::try_from(1).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50_u64 {
            let mut rng = random::keyed(&[&seed.to_le_bytes()]);
            seen.insert(swap("(plain)", severity, &mut rng).unwrap());
        }
        // The first and last letter are p and n; l and a, a and i can change places.
        let expected = ["(palin)", "(plian)"].map(str::to_owned);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn words_without_two_different_inner_letters_stay() {
        let severity = Severity::try_from(5).unwrap();
        for text in ["the cat sat", "noon feed", "it's I'm", "", "12345"] {
            let swapped = swap(text, severity, &mut random::keyed(&[]));
            assert_eq!(swapped, None, "{text}");
        }
        let swapped = swap("\u{e9}l\u{e8}ve", severity, &mut random::keyed(&[])).unwrap();
        assert!(["\u{e9}\u{e8}lve", "\u{e9}lv\u{e8}e"].contains(&&*swapped));
    }
}
