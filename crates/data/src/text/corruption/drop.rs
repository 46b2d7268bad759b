//! Drops: words are left out together with the white space before them.
//!
//! Negations stay, since the sentence would mean the opposite without them, and so does punctuation.

use rand_chacha::ChaCha8Rng;

use super::super::words;
use crate::corruption::Severity;

pub(super) const SUMMARY: &str =
    "5, 10, 20, 30, 40 % of the words left out, negations and at least one word kept";

/// A sentence with fewer than two words that may go stays.
pub(super) fn drop(text: &str, severity: Severity, rng: &mut ChaCha8Rng) -> Option<String> {
    let words = words::words(text);
    let droppable: Vec<usize> = (0..words.len())
        .filter(|&i| {
            let word = &text[words[i].clone()];
            word.contains(char::is_alphanumeric) && !words::is_negation(word)
        })
        .collect();
    if droppable.len() < 2 {
        return None;
    }
    let wanted = words::count(severity.of([0.05, 0.1, 0.2, 0.3, 0.4]), droppable.len());
    let order = words::shuffled(droppable.len(), rng);
    let mut dropped = vec![false; words.len()];
    for &word in &order[..wanted] {
        dropped[droppable[word]] = true;
    }

    let mut kept = text[..words[0].start].to_owned();
    let beginning = kept.len();
    for (i, word) in words.iter().enumerate() {
        if dropped[i] {
            continue;
        }
        if kept.len() > beginning {
            kept.push_str(&text[words[i - 1].end..word.start]);
        }
        kept.push_str(&text[word.clone()]);
    }
    kept.push_str(&text[words[words.len() - 1].end..]);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn dropped_words_leave_the_others_in_order_and_negations_in_place() {
        let text = " it is not a good , gripping film . ";
        let severity = Severity::try_from(5).unwrap();
        for seed in 0..100_u64 {
            let mut rng = random::keyed(&[&seed.to_le_bytes()]);
            let kept = drop(text, severity, &mut rng).unwrap();
            let kept_words: Vec<_> = kept.split_whitespace().collect();
            // 40 % of six words, rounded up.
            assert_eq!(kept_words.len(), 9 - 3, "{kept}");
            for stays in ["not", ",", "."] {
                assert!(kept_words.contains(&stays), "{kept}");
            }
            let mut all = text.split_whitespace();
            assert!(
                kept_words
                    .iter()
                    .all(|&word| all.any(|other| other == word))
            );
            assert!(kept.starts_with(' ') && kept.ends_with(" . ") && !kept.contains("  "));
        }
    }

    #[test]
    fn the_only_word_stays() {
        let severity = Severity::try_from(5).unwrap();
        for text in ["", "good", "not good .", " ! "] {
            assert_eq!(
                drop(text, severity, &mut random::keyed(&[])),
                None,
                "{text}"
            );
        }
        assert!(drop("good film", severity, &mut random::keyed(&[])).is_some());
    }
}
