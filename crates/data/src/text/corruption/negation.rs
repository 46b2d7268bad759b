//! Negation: an English sentence is turned around at one word, the first to which a rule applies.
//!
//! 1. A negation goes. `not` after an auxiliary: *is not good* becomes *is good*; a contraction, in one
//!    word or two: *isn't*, *is n't*, *can't*, *won't*, *cannot* become *is*, *is*, *can*, *will*, *can*;
//!    `never` anywhere; `no` after *have* or *be* becomes *some*.
//! 2. Otherwise `not` comes after the first auxiliary: forms of *be*, modals, *'re*, *'m*, *'ll*, *'ve*,
//!    *'d*, and *'s* after a pronoun, in one word or two (*it's* becomes *it's not*), and *have* and
//!    *do*, except that before an article, another determiner or *to* these two are main verbs: *has a
//!    plot* becomes *does not have a plot*.
//! 3. Otherwise the first verb form of a short list, of which none is a participle too, gets *do*:
//!    *makes sense* becomes *does not make sense*, *went* becomes *did not go*.
//!
//! Other sentences stay, and so do questions and those with another negation, which a second one would
//! not turn around: *contains no jokes*, *it ain't pretty and it is long*.
//!
//! Sentiment turns with the sentence where it has one clause that says it: `negative` and `positive` are
//! exchanged when the changed word comes before any word that opens another clause (*that*, *who*, *when*,
//! ...), no word weighs two clauses against each other (*but*, *although*, *and*, ...) or singles out a
//! part (*only*, ...), and neither writer nor reader is the subject. That is a rule of thumb, not a
//! parse: some exchanged targets are wrong. In other sentences, in pairs, for other classes and for
//! scores no rule determines the target, and it becomes unknown.

use std::ops::Range;

use super::super::dataset::{Target, TextExample};
use super::super::words::{self, is_apostrophe, plain};

pub(super) const SUMMARY: &str =
    "a negation removed, or inserted at an auxiliary or verb; no severity";

/// Auxiliaries after which `not` stands whatever follows.
const AUXILIARIES: [&str; 14] = [
    "is", "are", "am", "was", "were", "can", "could", "will", "would", "shall", "should", "may",
    "might", "must",
];
/// Auxiliaries that are main verbs before a determiner, with the negated form of the main verb.
const AUXILIARIES_OR_VERBS: [(&str, &str); 6] = [
    ("has", "does not have"),
    ("have", "do not have"),
    ("had", "did not have"),
    ("does", "does not do"),
    ("do", "do not do"),
    ("did", "did not do"),
];
/// Words after which *'s* is a form of *be* or *have*, not a possessive.
const PRONOUNS: [&str; 12] = [
    "it",
    "he",
    "she",
    "that",
    "this",
    "there",
    "here",
    "what",
    "who",
    "where",
    "how",
    "everything",
];
/// Words before which *have* and *do* are main verbs: determiners, and *to* for *have to*.
const DETERMINERS: [&str; 34] = [
    "to", "a", "an", "the", "some", "any", "all", "both", "every", "each", "its", "his", "her",
    "their", "my", "your", "our", "this", "that", "these", "those", "one", "two", "three", "much",
    "many", "more", "most", "few", "little", "enough", "plenty", "lots", "such",
];
/// Third-person and past forms that are not participles too, with `does`/`did` and the base.
const VERBS: [(&str, &str, &str); 41] = [
    ("makes", "does", "make"),
    ("gets", "does", "get"),
    ("goes", "does", "go"),
    ("takes", "does", "take"),
    ("gives", "does", "give"),
    ("seems", "does", "seem"),
    ("feels", "does", "feel"),
    ("proves", "does", "prove"),
    ("becomes", "does", "become"),
    ("comes", "does", "come"),
    ("knows", "does", "know"),
    ("keeps", "does", "keep"),
    ("tells", "does", "tell"),
    ("says", "does", "say"),
    ("wants", "does", "want"),
    ("manages", "does", "manage"),
    ("succeeds", "does", "succeed"),
    ("fails", "does", "fail"),
    ("delivers", "does", "deliver"),
    ("captures", "does", "capture"),
    ("brings", "does", "bring"),
    ("provides", "does", "provide"),
    ("deserves", "does", "deserve"),
    ("suffers", "does", "suffer"),
    ("relies", "does", "rely"),
    ("achieves", "does", "achieve"),
    ("contains", "does", "contain"),
    ("believes", "does", "believe"),
    ("lacks", "does", "lack"),
    ("includes", "does", "include"),
    ("went", "did", "go"),
    ("came", "did", "come"),
    ("took", "did", "take"),
    ("gave", "did", "give"),
    ("knew", "did", "know"),
    ("became", "did", "become"),
    ("saw", "did", "see"),
    ("wrote", "did", "write"),
    ("began", "did", "begin"),
    ("grew", "did", "grow"),
    ("fell", "did", "fall"),
];

/// Words with which the verdict stays open: they weigh clauses against each other, single out a part, or
/// make the writer or the reader the subject.
const WEIGHING: [&str; 29] = [
    "but", "yet", "though", "although", "while", "whereas", "however", "except", "despite", "if",
    "unless", "instead", "rather", "still", "or", "and", "than", "only", "just", "also", "even",
    "i", "me", "my", "you", "your", "we", "our", "they",
];
/// Words that open a clause, so that a negation after them concerns that clause alone.
const OPENING: [&str; 18] = [
    "that", "which", "who", "whose", "whom", "what", "when", "where", "how", "why", "as",
    "because", "since", "before", "after", "until", "to", "whether",
];

/// The sentence turned around; none when no rule applies.
///
/// ```
/// use data::text::corruption::negation::negate;
///
/// let negate = |text| negate(text).unwrap();
/// assert_eq!(negate("it 's a charming journey ."), "it 's not a charming journey .");
/// assert_eq!(negate("The plot isn't bad."), "The plot is bad.");
/// assert_eq!(negate("a film that has a plot"), "a film that does not have a plot");
/// ```
pub fn negate(text: &str) -> Option<String> {
    let change = Sentence::of(text).change()?;
    Some(words::replace(text, &[change]))
}

/// The example with its last sentence turned around and the target that it then has.
pub(super) fn negate_example(example: &TextExample, classes: &[String]) -> Option<TextExample> {
    let text = example.second.as_ref().unwrap_or(&example.first);
    let sentence = Sentence::of(text);
    let change = sentence.change()?;
    let single = example.second.is_none() && sentence.is_verdict(&change.0);
    let mut negated = example.clone();
    negated.target = match example.target {
        Target::Class(class) if single => opposite(class, classes),
        _ => Target::Unknown,
    };
    *negated.second.as_mut().unwrap_or(&mut negated.first) = words::replace(text, &[change]);
    Some(negated)
}

fn opposite(class: usize, classes: &[String]) -> Target {
    let position = |wanted: &str| {
        classes
            .iter()
            .position(|class| class.eq_ignore_ascii_case(wanted))
    };
    match (position("negative"), position("positive")) {
        (Some(negative), Some(positive)) if class == negative => Target::Class(positive),
        (Some(negative), Some(positive)) if class == positive => Target::Class(negative),
        _ => Target::Unknown,
    }
}

/// A change of the text: the bytes that go and what comes.
type Change = (Range<usize>, String);

struct Sentence<'a> {
    text: &'a str,
    /// Bytes of each word without punctuation around it, and the word in lower case.
    words: Vec<(Range<usize>, String)>,
}

impl<'a> Sentence<'a> {
    fn of(text: &'a str) -> Self {
        let core = |word: Range<usize>| {
            let inside = |c: char| c.is_alphanumeric() || is_apostrophe(c);
            let written = &text[word.clone()];
            let start = word.start + written.find(inside)?;
            let trimmed = text[start..word.end].trim_end_matches(|c| !inside(c));
            Some((start..start + trimmed.len(), plain(trimmed)))
        };
        let words = words::words(text).into_iter().filter_map(core).collect();
        Self { text, words }
    }

    fn word(&self, i: usize) -> &str {
        self.words.get(i).map_or("", |(_, word)| word)
    }

    /// The change that turns the sentence around.
    fn change(&self) -> Option<Change> {
        let insertion = || {
            let negated = self.words.iter().any(|(_, word)| words::is_negation(word));
            let question = self.text.contains('?');
            if negated || question {
                return None;
            }
            self.insertion().or_else(|| self.support())
        };
        self.removal().or_else(insertion)
    }

    /// Whether a change at `place` negates the only clause that says what the sentence finds.
    fn is_verdict(&self, place: &Range<usize>) -> bool {
        self.words.iter().all(|(at, word)| {
            let opens = at.start < place.start && OPENING.contains(&word.as_str());
            !opens && !WEIGHING.contains(&word.as_str())
        })
    }

    /// Rule 1.
    fn removal(&self) -> Option<Change> {
        (0..self.words.len()).find_map(|i| self.remove_at(i))
    }

    fn remove_at(&self, i: usize) -> Option<Change> {
        let (place, word) = &self.words[i];
        let before = i.checked_sub(1).filter(|&before| self.adjacent(before));
        match (word.as_str(), before) {
            ("not", Some(before)) if self.is_auxiliary(before) => {
                Some((self.words[before].0.end..place.end, String::new()))
            }
            ("never", Some(before)) => Some((self.words[before].0.end..place.end, String::new())),
            ("never", None) if self.adjacent(i) => {
                Some((place.start..self.words[i + 1].0.start, String::new()))
            }
            ("no", Some(before)) if self.can_have(before) => {
                Some((place.clone(), "some".to_owned()))
            }
            ("n't", Some(before)) => {
                let previous = &self.words[before].0;
                let (kept, ending) = affirmed(&self.text[previous.clone()])?;
                Some((previous.start + kept..place.end, ending.to_owned()))
            }
            ("cannot", _) => Some((place.start + "can".len()..place.end, String::new())),
            (word, _) if word.ends_with("n't") => {
                // What precedes n, an apostrophe of either width, and t.
                let written = &self.text[place.clone()];
                let (stem, _) = written.char_indices().rev().nth(2)?;
                let (kept, ending) = affirmed(&written[..stem])?;
                Some((place.start + kept..place.end, ending.to_owned()))
            }
            _ => None,
        }
    }

    /// Rule 2.
    fn insertion(&self) -> Option<Change> {
        (0..self.words.len()).find_map(|i| {
            let place = &self.words[i].0;
            if let Some(negated) = self.main_verb(i) {
                return Some((place.clone(), negated.to_owned()));
            }
            let change = (place.end..place.end, " not".to_owned());
            self.is_auxiliary(i).then_some(change)
        })
    }

    /// Rule 3.
    fn support(&self) -> Option<Change> {
        self.words.iter().find_map(|(place, word)| {
            let (_, auxiliary, base) = VERBS.iter().find(|(form, _, _)| form == word)?;
            Some((place.clone(), format!("{auxiliary} not {base}")))
        })
    }

    /// Whether nothing but white space stands between word `i` and the next one.
    fn adjacent(&self, i: usize) -> bool {
        self.words.get(i + 1).is_some_and(|(next, _)| {
            let gap = &self.text[self.words[i].0.end..next.start];
            gap.trim().is_empty()
        })
    }

    /// Whether `not` can stand after word `i`.
    fn is_auxiliary(&self, i: usize) -> bool {
        let word = self.word(i);
        let (host, clitic) = match word.find('\'') {
            Some(0) => (i.checked_sub(1).map_or("", |host| self.word(host)), word),
            Some(at) => (&word[..at], &word[at..]),
            None => ("", ""),
        };
        let is_clitic = match clitic {
            "'s" => PRONOUNS.contains(&host),
            "'re" | "'m" | "'ll" | "'ve" | "'d" => !host.is_empty(),
            _ => false,
        };
        let is_verb = AUXILIARIES_OR_VERBS.iter().any(|(form, _)| *form == word);
        is_clitic || AUXILIARIES.contains(&word) || (is_verb && self.main_verb(i).is_none())
    }

    /// Whether word `i` is a form of *have* or *be*.
    fn can_have(&self, i: usize) -> bool {
        ["has", "have", "had", "is", "are", "was", "were"].contains(&self.word(i))
    }

    /// The negated form of *have* or *do* where they are the main verb.
    fn main_verb(&self, i: usize) -> Option<&'static str> {
        let (_, negated) = AUXILIARIES_OR_VERBS
            .iter()
            .find(|(form, _)| *form == self.word(i))?;
        DETERMINERS.contains(&self.word(i + 1)).then_some(*negated)
    }
}

/// The auxiliary of a contraction with *n't* from what precedes *n't*: how many of its bytes stay, and
/// what follows them.
fn affirmed(stem: &str) -> Option<(usize, &'static str)> {
    // ca(n't), wo(n't) and sha(n't) lose letters; the others are the auxiliary itself.
    match stem.to_lowercase().as_str() {
        "ca" => Some((stem.len(), "n")),
        "wo" => Some((1, "ill")),
        "sha" => Some((stem.len(), "ll")),
        "" | "ai" => None,
        _ => Some((stem.len(), "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negations_are_removed() {
        for (text, expected) in [
            ("the film is not good .", "the film is good ."),
            ("the film isn't good.", "the film is good."),
            ("it does n't work", "it does work"),
            ("you ca n't stop watching", "you can stop watching"),
            ("it won't last", "it will last"),
            ("It WON\u{2019}T last", "It Will last"),
            ("we sha n't see", "we shall see"),
            ("that can\u{2019}t be", "that can be"),
            ("this cannot be", "this can be"),
            ("it 's not a film", "it 's a film"),
            ("it never fails", "it fails"),
            ("never dull", "dull"),
            ("(it isn't, really)", "(it is, really)"),
            ("it has no plot", "it has some plot"),
            ("there is no plot", "there is some plot"),
        ] {
            assert_eq!(negate(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn not_comes_after_the_first_auxiliary() {
        for (text, expected) in [
            (
                "the acting is superb and was long",
                "the acting is not superb and was long",
            ),
            ("it 's a charming journey", "it 's not a charming journey"),
            ("It's charming.", "It's not charming."),
            ("the film 's plot will do", "the film 's plot will not do"),
            ("they 're great", "they 're not great"),
            ("this has been fun", "this has not been fun"),
            ("it has the nerve", "it does not have the nerve"),
            ("it has to end", "it does not have to end"),
            ("it did its job", "it did not do its job"),
            ("could, perhaps, work", "could not, perhaps, work"),
            (
                "it was , surprisingly , long",
                "it was not , surprisingly , long",
            ),
        ] {
            assert_eq!(negate(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn verbs_without_an_auxiliary_get_one() {
        for (text, expected) in [
            ("the plot makes sense .", "the plot does not make sense ."),
            ("it went well", "it did not go well"),
        ] {
            assert_eq!(negate(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn sentences_that_no_rule_turns_around_stay() {
        for text in [
            "the film contains no good jokes",
            "it ai n't pretty and it is long",
            "neither is good",
            "is it good ?",
            "",
            "a gripping thriller .",
            "not bad",
            "n't",
            "never",
            "\u{1f600}",
        ] {
            assert_eq!(negate(text), None, "{text}");
        }
    }

    #[test]
    fn negating_twice_gives_the_sentence_back_where_not_was_inserted() {
        for text in [
            "the acting is superb .",
            "it 's a charming journey",
            "it has been fun",
        ] {
            let twice = negate(&negate(text).unwrap()).unwrap();
            assert_eq!(twice, text);
        }
    }

    #[test]
    fn the_lists_hold_no_word_twice() {
        let forms = VERBS.iter().map(|(form, _, _)| *form);
        let all: Vec<_> = forms
            .chain(AUXILIARIES)
            .chain(AUXILIARIES_OR_VERBS.map(|(form, _)| form))
            .collect();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
