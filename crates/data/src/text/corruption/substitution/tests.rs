use super::super::super::tests::{assets, reviews, tokenizer};
use super::super::TextCorruption;
use super::*;

/// A network whose loss is linear in the embeddings, so that the first order is exact: position i
/// weighs `scale_i` times `direction`, with the opposite sign for class 0.
struct Linear {
    direction: Vec<f32>,
    calls: usize,
}

fn scale(position: usize) -> f32 {
    1.0 + 0.1 * position as f32
}

impl EmbeddingGradient for Linear {
    fn embedding_gradient(
        &mut self,
        batch: &TokenBatch,
        labels: &[usize],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
        self.calls += 1;
        assert_eq!((batch.batch, labels.len()), (1, 1));
        let sign = if labels[0] == 1 { 1.0 } else { -1.0 };
        let weight = |position| {
            self.direction
                .iter()
                .map(move |d| sign * scale(position) * d)
        };
        Ok((0..batch.length).flat_map(weight).collect())
    }
}

/// Embeddings of the small vocabulary in which `good`, `great`, `bad` and `dull` point one way.
fn embeddings(tokenizer: &Tokenizer) -> Vec<f32> {
    let row = |id: usize| match tokenizer.token(id as u32).unwrap().as_str() {
        "good" => [1.0, 0.1],
        "great" => [2.0, 0.3],
        "bad" => [1.0, -0.6],
        "dull" => [1.5, -0.4],
        "film" => [0.1, 1.0],
        "plot" => [0.4, 3.0],
        "not" | "never" => [90.0, 9.0],
        "[unused0]" | "[MASK]" | "##ly" | "." => [80.0, 8.0],
        _ => [-1.0, 0.5],
    };
    (0..tokenizer.vocabulary_len()).flat_map(row).collect()
}

fn linear() -> Linear {
    Linear {
        direction: vec![1.0, 0.25],
        calls: 0,
    }
}

fn substitute(text: &str, class: usize, severity: u8) -> (Option<String>, usize) {
    let (tokenizer, mut network) = (tokenizer(16), linear());
    let values = embeddings(&tokenizer);
    let mut guide = Guide::new("linear", &tokenizer, &values, 2, &mut network).unwrap();
    let texts = TextCorruption::Substitution
        .corrupt(
            &reviews(&[(text, class)]),
            severity.try_into().unwrap(),
            0,
            Some(&mut guide),
        )
        .unwrap();
    let changed = texts.changed.examples.first();
    if let Some(changed) = changed {
        let variant = format!("substitution:{severity}:linear");
        assert_eq!(*changed.id.variant, variant);
        assert_eq!(changed.target, crate::text::Target::Class(class));
    }
    (changed.map(|changed| changed.first.clone()), network.calls)
}

#[test]
fn the_substitution_raises_the_loss_most_among_all_allowed_ones() {
    let tokenizer = tokenizer(16);
    let values = embeddings(&tokenizer);
    let (words, row) = (tokenizer.whole_words(), |id: u32| {
        &values[id as usize * 2..][..2]
    });
    for class in [0, 1] {
        let text = "the good film is a dull plot .";
        let sign = if class == 1 { 1.0 } else { -1.0 };
        let loss = |text: &str| -> f32 {
            let ids = tokenizer.encode(&[(text, None)]).unwrap().ids;
            let terms = ids.iter().enumerate();
            terms
                .map(|(i, &id)| sign * scale(i) * dot(row(id), &[1.0, 0.25]))
                .sum()
        };
        // Every exchange of one of the four content words, by its real loss.
        let mut best = (loss(text), None);
        for old in ["good", "film", "dull", "plot"] {
            let old_row = row(tokenizer.token_id(old).unwrap());
            for (id, new) in &words {
                let cosine = dot(old_row, row(*id))
                    / (dot(old_row, old_row) * dot(row(*id), row(*id))).sqrt();
                let changed = text.replace(old, new);
                if cosine >= MIN_COSINE && !words::is_negation(new) && loss(&changed) > best.0 {
                    best = (loss(&changed), Some(changed));
                }
            }
        }
        assert!(best.1.is_some());
        assert_eq!(substitute(text, class, 1).0, best.1, "class {class}");
    }
}

#[test]
fn function_words_negations_contractions_and_pieces_stay() {
    // Every embedding but those of the six content words is far from the candidates, so what is left
    // to change here are words that must not change.
    for text in [
        "the", "is not a", "isn't", "never .", "goodly", "films", "", "quux",
    ] {
        assert_eq!(substitute(text, 1, 5).0, None, "{text}");
    }
}

#[test]
fn as_many_words_change_as_the_severity_says_with_a_gradient_each() {
    let text = "Good film , good plot , good";
    let (one, calls) = substitute(text, 1, 1);
    assert_eq!(
        (one.as_deref(), calls),
        (Some("Good film , good plot , great"), 1)
    );
    let (three, calls) = substitute(text, 1, 3);
    assert_eq!(
        (three.as_deref(), calls),
        (Some("great film , great plot , great"), 3)
    );
    let (five, calls) = substitute(text, 1, 5);
    // After `film` became `plot` no exchange raises the loss: the fifth gradient says so.
    assert_eq!(
        (five.as_deref(), calls),
        (Some("great plot , great plot , great"), 5)
    );
}

#[test]
fn the_cosine_bounds_how_far_a_word_goes() {
    let (tokenizer, mut network) = (tokenizer(16), linear());
    let values = embeddings(&tokenizer);
    let mut guide = Guide::new("linear", &tokenizer, &values, 2, &mut network).unwrap();
    let film = &reviews(&[("film", 1)]).examples[0];
    let one = Severity::try_from(1).unwrap();
    let near = guide.substitute(film, one).unwrap().unwrap();
    assert_eq!(near.first, "plot");
    guide.min_cosine = -1.0;
    let far = guide.substitute(film, one).unwrap().unwrap();
    assert_eq!(far.first, "great");
}

#[test]
fn gradients_and_embeddings_of_the_wrong_size_are_refused() {
    struct Answers(Result<Vec<f32>, String>);
    impl EmbeddingGradient for Answers {
        fn embedding_gradient(
            &mut self,
            _: &TokenBatch,
            _: &[usize],
        ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
            Ok(self.0.clone()?)
        }
    }
    let tokenizer = tokenizer(16);
    let values = embeddings(&tokenizer);
    for (answer, expected) in [
        (Ok(vec![0.0; 5]), "expected 6 values, got 5"),
        (
            Ok(vec![f32::NAN; 6]),
            "value 0: expected a finite one, got NaN",
        ),
        (Err("no memory".to_owned()), "no memory"),
    ] {
        let mut network = Answers(answer);
        let mut guide = Guide::new("n", &tokenizer, &values, 2, &mut network).unwrap();
        let good = &reviews(&[("good", 1)]).examples[0];
        let error = guide.substitute(good, Severity::try_from(1).unwrap());
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "embedding gradient of reviews[0] clean");
        assert_eq!(error.source().unwrap().to_string(), expected);
    }
    for (values, dim) in [(&values[..46], 2), (&values[..], 0), (&values[..], 47)] {
        let mut network = linear();
        let guide = Guide::new("n", &tokenizer, values, dim, &mut network);
        assert!(matches!(guide.err(), Some(DataError::Count { .. })));
    }
}

#[test]
fn real_embeddings_give_neighbouring_words_of_the_same_length_in_tokens() {
    let Some(folder) = assets("distilbert_minilm_sst2") else {
        return;
    };
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = weights
        .tensor("distilbert.embeddings.word_embeddings.weight")
        .unwrap();
    let dim = tensor.shape()[1];
    let values: Vec<f32> = tensor
        .data()
        .chunks_exact(2)
        .map(|bytes| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32())
        .collect();
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let id = |word| tokenizer.token_id(word).unwrap() as usize;
    // A loss that falls with "good" and rises with "bad".
    let direction = (0..dim).map(|k| values[id("bad") * dim + k] - values[id("good") * dim + k]);
    let mut network = Linear {
        direction: direction.collect(),
        calls: 0,
    };
    let text = "a great movie with a terrible plot and unforgettable actors";
    let clean = &reviews(&[(text, 1)]).examples[0];
    let mut guide = Guide::new("minilm", &tokenizer, &values, dim, &mut network).unwrap();
    let changed = guide
        .substitute(clean, Severity::try_from(3).unwrap())
        .unwrap()
        .unwrap();
    eprintln!("{}", changed.first);
    let (before, after) = (
        tokenizer.align((text, None)).unwrap(),
        tokenizer.align(changed.sentences()).unwrap(),
    );
    assert_eq!(before.len(), after.len());
    let row = |id: u32| &values[id as usize * dim..][..dim];
    let mut exchanged = 0;
    for (old, new) in before
        .iter()
        .zip(&after)
        .filter(|(old, new)| old.id != new.id)
    {
        let cosine = dot(row(old.id), row(new.id))
            / (dot(row(old.id), row(old.id)) * dot(row(new.id), row(new.id))).sqrt();
        assert!(cosine > MIN_COSINE - 1e-4, "{cosine}");
        let word = tokenizer.token(new.id).unwrap();
        assert!(word.chars().all(char::is_alphabetic), "{word}");
        exchanged += 1;
    }
    assert_eq!(exchanged, 3);
}
