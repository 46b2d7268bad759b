use proptest::prelude::*;

use super::super::tests::reviews;
use super::super::{Target, words};
use super::*;

const SEEDED: [TextCorruption; 3] = [
    TextCorruption::Typo,
    TextCorruption::Swap,
    TextCorruption::Drop,
];

fn severity(severity: u8) -> Severity {
    severity.try_into().unwrap()
}

fn films() -> TextDataset {
    reviews(&[
        ("a gripping , intelligent thriller that is never dull .", 1),
        ("the plot is paper-thin and the jokes fall flat", 0),
        ("it 's a charming and often affecting journey .", 1),
        ("", 0),
    ])
}

#[test]
fn a_text_is_corrupted_alone_as_in_its_set() {
    for corruption in SEEDED {
        let all = corruption.corrupt(&films(), severity(3), 7, None).unwrap();
        assert_eq!(all.changed.len(), 3, "{corruption}");
        assert_eq!(all.unchanged, [films().examples[3].id.clone()]);
        for (i, changed) in all.changed.examples.iter().enumerate() {
            let alone = films().subset(&[i]).unwrap();
            let alone = corruption.corrupt(&alone, severity(3), 7, None).unwrap();
            assert_eq!(alone.changed.examples[0], *changed);
        }
    }
}

#[test]
fn a_corrupted_text_keeps_its_origin_and_its_target() {
    for corruption in SEEDED {
        let clean = films();
        let corrupted = corruption.corrupt(&clean, severity(2), 7, None).unwrap();
        for (before, after) in clean.examples.iter().zip(&corrupted.changed.examples) {
            assert_eq!(after.id.image(), before.id.image());
            assert_eq!(*after.id.variant, format!("{corruption}:2:7"));
            assert_eq!(after.target, before.target);
            assert_ne!(after.first, before.first);
        }
        let again = corruption.corrupt(&corrupted.changed, severity(2), 7, None);
        assert!(matches!(again, Err(DataError::NotClean { .. })));
    }
}

#[test]
fn seeds_and_indices_give_other_corruptions() {
    let text = "unflinchingly bleak and desperate , paper-thin and remarkably unimaginative";
    let twice = reviews(&[(text, 0), (text, 0)]);
    for corruption in SEEDED {
        let with = |seed| corruption.corrupt(&twice, severity(3), seed, None).unwrap();
        let (one, other) = (with(0).changed, with(1).changed);
        assert_ne!(
            one.examples[0].first, other.examples[0].first,
            "{corruption}"
        );
        assert_ne!(one.examples[0].first, one.examples[1].first, "{corruption}");
    }
}

#[test]
fn a_severity_changes_the_words_of_the_one_below_and_others() {
    let text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
    let changed_words = |corruption: TextCorruption, level| {
        let texts = corruption.corrupt(&reviews(&[(text, 0)]), severity(level), 3, None);
        let corrupted = texts.unwrap().changed.examples[0].first.clone();
        let kept: Vec<_> = corrupted.split(' ').collect();
        let gone = text.split(' ').filter(|word| !kept.contains(word));
        gone.map(str::to_owned).collect::<Vec<_>>()
    };
    for corruption in [TextCorruption::Typo, TextCorruption::Drop] {
        for level in 1..5 {
            let (weak, strong) = (
                changed_words(corruption, level),
                changed_words(corruption, level + 1),
            );
            assert!(weak.len() < strong.len(), "{corruption} {level}");
            assert!(weak.iter().all(|word| strong.contains(word)));
        }
    }
}

#[test]
fn both_sentences_of_a_pair_are_corrupted_independently() {
    let mut pair = reviews(&[("the plot is paper-thin", 0)]);
    pair.examples[0].second = Some("the plot is paper-thin".to_owned());
    let changed = TextCorruption::Typo
        .corrupt(&pair, severity(5), 0, None)
        .unwrap()
        .changed;
    let (first, second) = changed.examples[0].sentences();
    assert_ne!(first, pair.examples[0].first);
    assert_ne!(second.unwrap(), pair.examples[0].first);
    assert_ne!(first, second.unwrap());
}

#[test]
fn negation_reverses_sentiment_and_leaves_other_targets_unknown() {
    let negate = |texts: &TextDataset| {
        let negated = TextCorruption::Negation.corrupt(texts, severity(4), 9, None);
        negated.unwrap()
    };
    let clean = reviews(&[
        ("it 's a charming journey .", 1),
        ("the jokes never fall flat", 1),
        ("this is n't a film that lasts", 0),
        ("a thriller that is never dull .", 1),
        ("the plot is paper-thin and the jokes fall flat", 0),
        ("it is long but it is good", 1),
        ("a journey", 1),
    ]);
    let negated = negate(&clean);
    let outcomes: Vec<_> = negated
        .changed
        .examples
        .iter()
        .map(|example| (&*example.first, example.target))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("it 's not a charming journey .", Target::Class(0)),
            ("the jokes fall flat", Target::Class(0)),
            ("this is a film that lasts", Target::Class(1)),
            ("a thriller that is dull .", Target::Unknown),
            (
                "the plot is not paper-thin and the jokes fall flat",
                Target::Unknown
            ),
            ("it is not long but it is good", Target::Unknown),
        ]
    );
    assert_eq!(&*negated.changed.examples[0].id.variant, "negation");
    assert_eq!(negated.unchanged, [clean.examples[6].id.clone()]);
    assert_eq!(negated.changed.known().len(), 3);

    let mut inference = films();
    inference.classes = vec!["entailment".into(), "not_entailment".into()];
    inference.examples[0].second = Some("the film is good".to_owned());
    let negated = negate(&inference);
    let pair = &negated.changed.examples[0];
    assert_eq!(pair.first, inference.examples[0].first);
    assert_eq!(pair.second.as_deref(), Some("the film is not good"));
    assert_eq!(pair.target, Target::Unknown);
}

#[test]
fn the_registry_reads_its_own_names() {
    for corruption in TextCorruption::ALL {
        assert_eq!(
            corruption.name().parse::<TextCorruption>().unwrap(),
            corruption
        );
        assert!(!corruption.summary().is_empty());
    }
    assert_eq!(
        "blur".parse::<TextCorruption>().unwrap_err().to_string(),
        "unknown corruption \"blur\": expected one of typo, swap, drop, negation, substitution"
    );
    let unguided = TextCorruption::Substitution.corrupt(&films(), severity(1), 0, None);
    assert!(matches!(unguided, Err(DataError::NoGuide { .. })));
}

proptest! {
    #[test]
    fn any_text_is_corrupted_or_left(text in ".{0,60}", level in 1_u8..6, seed: u64) {
        let clean = reviews(&[(&text, 1)]);
        for corruption in SEEDED.into_iter().chain([TextCorruption::Negation]) {
            let corrupted = corruption.corrupt(&clean, severity(level), seed, None).unwrap();
            let (changed, unchanged) = (&corrupted.changed.examples, &corrupted.unchanged);
            prop_assert_eq!(changed.len() + unchanged.len(), 1);
            prop_assert!(changed.iter().all(|example| example.first != text));
        }
    }

    #[test]
    fn negating_english_like_text_never_fails(
        picked in proptest::collection::vec(0_usize..12, 0..8),
    ) {
        let parts = [
            "isn't", "n\u{2019}t", "not", "never", "cannot", "'s", "it", "has", "a", "NO", "\u{e9},", "ca",
        ];
        let text = picked.iter().map(|&i| parts[i]).collect::<Vec<_>>().join(" ");
        if let Some(negated) = negation::negate(&text) {
            prop_assert_ne!(&negated, &text);
        }
        prop_assert!(words::words(&text).len() == picked.len());
    }
}
