//! Typos: a letter of a word becomes one of its neighbours on a QWERTY keyboard, case kept.

use rand_chacha::ChaCha8Rng;

use super::super::words;
use crate::corruption::Severity;
use crate::random;

pub(super) const SUMMARY: &str =
    "a letter replaced by a keyboard neighbour in 10, 20, 30, 45, 60 % of the words";

/// Words without an ASCII letter stay.
pub(super) fn typo(text: &str, severity: Severity, rng: &mut ChaCha8Rng) -> Option<String> {
    let places: Vec<Vec<usize>> = words::words(text)
        .into_iter()
        .map(|word| {
            word.filter(|&at| text.as_bytes()[at].is_ascii_alphabetic())
                .collect::<Vec<_>>()
        })
        .filter(|places| !places.is_empty())
        .collect();
    let wanted = words::count(severity.of([0.1, 0.2, 0.3, 0.45, 0.6]), places.len());
    let order = words::shuffled(places.len(), rng);
    let mut changes: Vec<_> = order[..wanted]
        .iter()
        .map(|&word| {
            let at = pick(&places[word], rng);
            let letter = text.as_bytes()[at];
            let neighbour = pick(neighbours(letter.to_ascii_lowercase()), rng);
            let typed = if letter.is_ascii_uppercase() {
                neighbour.to_ascii_uppercase()
            } else {
                neighbour
            };
            (at..at + 1, char::from(typed).to_string())
        })
        .collect();
    changes.sort_unstable_by_key(|(place, _)| place.start);
    (!changes.is_empty()).then(|| words::replace(text, &changes))
}

fn pick<T: Copy>(from: &[T], rng: &mut ChaCha8Rng) -> T {
    from[random::below(rng, from.len() as u64) as usize]
}

/// The letters whose keys touch that of a lower-case letter.
fn neighbours(letter: u8) -> &'static [u8] {
    match letter {
        b'a' => b"qwsz",
        b'b' => b"vghn",
        b'c' => b"xdfv",
        b'd' => b"serfcx",
        b'e' => b"wrsd",
        b'f' => b"drtgvc",
        b'g' => b"ftyhbv",
        b'h' => b"gyujnb",
        b'i' => b"uojk",
        b'j' => b"huikmn",
        b'k' => b"jiolm",
        b'l' => b"kop",
        b'm' => b"njk",
        b'n' => b"bhjm",
        b'o' => b"ipkl",
        b'p' => b"ol",
        b'q' => b"wa",
        b'r' => b"etdf",
        b's' => b"awedxz",
        b't' => b"ryfg",
        b'u' => b"yihj",
        b'v' => b"cfgb",
        b'w' => b"qeas",
        b'x' => b"zsdc",
        b'y' => b"tugh",
        _ => b"asx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_mutual() {
        for letter in b'a'..=b'z' {
            for &neighbour in neighbours(letter) {
                assert_ne!(neighbour, letter);
                assert!(
                    neighbours(neighbour).contains(&letter),
                    "{} {}",
                    char::from(letter),
                    char::from(neighbour)
                );
            }
        }
    }

    #[test]
    fn one_letter_of_each_chosen_word_moves_to_a_neighbour() {
        let text = "A Gripping , intelligent thriller caf\u{e9} .";
        let severity = Severity::try_from(5).unwrap();
        for seed in 0..50_u64 {
            let mut rng = random::keyed(&[&seed.to_le_bytes()]);
            let typed = typo(text, severity, &mut rng).unwrap();
            let changed: Vec<_> = text
                .chars()
                .zip(typed.chars())
                .filter(|(from, to)| from != to)
                .collect();
            // 60 % of the five words with letters.
            assert_eq!((typed.len(), changed.len()), (text.len(), 3), "{typed}");
            for (from, to) in changed {
                assert_eq!(from.is_uppercase(), to.is_uppercase());
                let lower = |c: char| c.to_ascii_lowercase() as u8;
                assert!(neighbours(lower(from)).contains(&lower(to)), "{from} {to}");
            }
        }
        assert_eq!(typo("12 ! \u{e9}", severity, &mut random::keyed(&[])), None);
    }
}
