//! Sentences and sentence pairs with targets and identities.

use super::tokenize::Tokenizer;
use crate::DataError;
use crate::dataset::{Dataset, ExampleId};

/// What a network has to answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// A position in [`TextDataset::classes`].
    Class(usize),
    /// A number, e.g. a similarity from 0 to 5.
    Score(f32),
    /// Not published, or not determined by what was done to the text.
    Unknown,
}

impl Target {
    fn describe(self) -> String {
        match self {
            Self::Class(class) => format!("class {class}"),
            Self::Score(score) => format!("score {score}"),
            Self::Unknown => "none".to_owned(),
        }
    }
}

/// One sentence, or a pair of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TextExample {
    /// The sentence; of a pair the first one, e.g. premise or question.
    pub first: String,
    /// The second sentence of a pair.
    pub second: Option<String>,
    /// What a network has to answer.
    pub target: Target,
    /// Which text this is and what was done to it.
    pub id: ExampleId,
}

impl TextExample {
    /// The sentences, as [`Tokenizer::encode`] takes them.
    pub fn sentences(&self) -> (&str, Option<&str>) {
        (&self.first, self.second.as_deref())
    }
}

/// Texts with targets of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextDataset {
    /// The texts.
    pub examples: Vec<TextExample>,
    /// Names of the classes, in the order of their numbers; empty when targets are scores.
    pub classes: Vec<String>,
}

impl TextDataset {
    /// A validated dataset.
    ///
    /// # Errors
    /// Those of [`TextDataset::validate`].
    pub fn new(examples: Vec<TextExample>, classes: Vec<String>) -> Result<Self, DataError> {
        let dataset = Self { examples, classes };
        dataset.validate()?;
        Ok(dataset)
    }

    /// Checks that every target is one of the classes, or a finite score when there are none.
    ///
    /// # Errors
    /// [`DataError::Label`] for a class beyond the named ones, [`DataError::Target`] for a target of the
    /// other kind or a score that is not finite; both name the first bad example.
    pub fn validate(&self) -> Result<(), DataError> {
        for example in &self.examples {
            match example.target {
                Target::Unknown => {}
                Target::Class(label) if label >= self.classes.len() => {
                    return Err(DataError::Label {
                        example: example.id.clone(),
                        label,
                        classes: self.classes.len(),
                    });
                }
                Target::Class(_) => {}
                Target::Score(score) if self.classes.is_empty() && score.is_finite() => {}
                Target::Score(_) if self.classes.is_empty() => {
                    return Err(unexpected(example, "a finite score"));
                }
                Target::Score(_) => return Err(unexpected(example, "a class")),
            }
        }
        Ok(())
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The sentences of every example, as [`Tokenizer::encode`] takes them.
    pub fn sentences(&self) -> Vec<(&str, Option<&str>)> {
        self.examples.iter().map(TextExample::sentences).collect()
    }

    /// The right class of every example.
    ///
    /// # Errors
    /// [`DataError::Target`] for the first example whose target is not a class.
    pub fn labels(&self) -> Result<Vec<usize>, DataError> {
        self.examples.iter().map(class_of).collect()
    }

    /// The right score of every example.
    ///
    /// # Errors
    /// [`DataError::Target`] for the first example whose target is not a score.
    pub fn scores(&self) -> Result<Vec<f32>, DataError> {
        let score = |example: &TextExample| match example.target {
            Target::Score(score) => Ok(score),
            _ => Err(unexpected(example, "a score")),
        };
        self.examples.iter().map(score).collect()
    }

    /// The examples at `indices`, in that order; repeated indices repeat the example.
    ///
    /// # Errors
    /// [`DataError::Index`] when an index is not below `len`.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        let example = |&index: &usize| {
            self.examples.get(index).cloned().ok_or(DataError::Index {
                index,
                len: self.len(),
            })
        };
        Ok(Self {
            examples: indices.iter().map(example).collect::<Result<_, _>>()?,
            classes: self.classes.clone(),
        })
    }

    /// The examples whose target is known.
    pub fn known(&self) -> Self {
        let known = self.examples.iter();
        let known = known.filter(|example| example.target != Target::Unknown);
        Self {
            examples: known.cloned().collect(),
            classes: self.classes.clone(),
        }
    }

    /// The examples of `parts`, one part after the other.
    ///
    /// # Errors
    /// [`DataError::NoParts`] without parts, [`DataError::UnknownClass`] when a part does not name the
    /// first one's classes in the same order.
    pub fn concat(parts: &[&Self]) -> Result<Self, DataError> {
        let (first, rest) = parts.split_first().ok_or(DataError::NoParts)?;
        let mut whole = (*first).clone();
        for part in rest {
            if part.classes != whole.classes {
                return Err(DataError::UnknownClass {
                    class: part.classes.join(", "),
                    known: whole.classes.join(", "),
                });
            }
            whole.examples.extend_from_slice(&part.examples);
        }
        Ok(whole)
    }

    /// The same texts with classes numbered as a network numbers them, e.g. in its configuration's
    /// `id2label`; names are compared without regard to case, `-` and `_`.
    ///
    /// # Errors
    /// [`DataError::UnknownClass`] for a class of this dataset that `names` lacks.
    pub fn with_classes(&self, names: &[String]) -> Result<Self, DataError> {
        let number = |class: &String| {
            names
                .iter()
                .position(|name| plain(name) == plain(class))
                .ok_or_else(|| DataError::UnknownClass {
                    class: class.clone(),
                    known: names.join(", "),
                })
        };
        let numbers = self
            .classes
            .iter()
            .map(number)
            .collect::<Result<Vec<_>, _>>()?;
        let mut renumbered = self.clone();
        for example in &mut renumbered.examples {
            if let Target::Class(class) = example.target {
                example.target = numbers.get(class).map_or_else(
                    || Err(unexpected(example, "one of the dataset's classes")),
                    |&number| Ok(Target::Class(number)),
                )?;
            }
        }
        renumbered.classes = names.to_vec();
        Ok(renumbered)
    }

    /// Token ids and attention mask of every example as values of shape `[2, length]`, `length` being
    /// that of the longest one; classes, labels and identities stay.
    ///
    /// The result is a [`Dataset`] like one of images, so samples, subsets and
    /// [`Splits`](crate::Splits) work on it.
    ///
    /// # Errors
    /// [`DataError::Target`] when a target is not a class, and those of [`Tokenizer::encode`].
    pub fn encode(&self, tokenizer: &Tokenizer) -> Result<Dataset, DataError> {
        let labels = self.labels()?;
        let (inputs, [_, planes, length]) = tokenizer.encode(&self.sentences())?.to_input();
        Dataset::new(
            vec![planes, length],
            inputs,
            labels,
            self.classes.len(),
            self.examples
                .iter()
                .map(|example| example.id.clone())
                .collect(),
        )
    }
}

/// The class an example has to get.
pub(super) fn class_of(example: &TextExample) -> Result<usize, DataError> {
    match example.target {
        Target::Class(class) => Ok(class),
        _ => Err(unexpected(example, "a class")),
    }
}

fn unexpected(example: &TextExample, expected: &str) -> DataError {
    DataError::Target {
        example: example.id.clone(),
        expected: expected.to_owned(),
        got: example.target.describe(),
    }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reviews() -> TextDataset {
        let example = |(index, (text, class)): (u32, (&str, usize))| TextExample {
            first: text.to_owned(),
            second: None,
            target: Target::Class(class),
            id: ExampleId::clean("reviews", index),
        };
        let texts = [("dull", 0), ("bright", 1), ("long", 0)];
        TextDataset::new(
            (0..).zip(texts).map(example).collect(),
            vec!["negative".into(), "positive".into()],
        )
        .unwrap()
    }

    #[test]
    fn subset_follows_its_indices_and_concat_refuses_other_classes() {
        let subset = reviews().subset(&[2, 1]).unwrap();
        assert_eq!(subset.sentences(), [("long", None), ("bright", None)]);
        assert_eq!(subset.labels().unwrap(), [0, 1]);
        assert_eq!(subset.examples[0].id.index, 2);
        assert!(matches!(
            reviews().subset(&[3]),
            Err(DataError::Index { index: 3, len: 3 })
        ));
        assert_eq!(
            TextDataset::concat(&[&reviews(), &subset]).unwrap().len(),
            5
        );
        let mut reordered = reviews();
        reordered.classes.reverse();
        assert!(matches!(
            TextDataset::concat(&[&reviews(), &reordered]),
            Err(DataError::UnknownClass { .. })
        ));
        assert!(matches!(TextDataset::concat(&[]), Err(DataError::NoParts)));
    }

    #[test]
    fn classes_are_renumbered_by_name() {
        let network = ["POSITIVE".to_owned(), "NEGATIVE".to_owned()];
        let renumbered = reviews().with_classes(&network).unwrap();
        assert_eq!(renumbered.labels().unwrap(), [1, 0, 1]);
        assert_eq!(renumbered.classes, network);
        let error = reviews().with_classes(&["LABEL_0".into(), "positive".into()]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "class \"negative\": expected one of LABEL_0, positive"
        );
    }

    #[test]
    fn targets_of_the_wrong_kind_are_named() {
        let mut dataset = reviews();
        dataset.examples[1].target = Target::Class(2);
        assert!(matches!(
            dataset.validate(),
            Err(DataError::Label {
                label: 2,
                classes: 2,
                ..
            })
        ));
        dataset.examples[1].target = Target::Score(1.5);
        assert_eq!(
            dataset.validate().unwrap_err().to_string(),
            "target of reviews[1] clean: expected a class, got score 1.5"
        );
        dataset.examples[1].target = Target::Unknown;
        dataset.validate().unwrap();
        assert_eq!(
            dataset.labels().unwrap_err().to_string(),
            "target of reviews[1] clean: expected a class, got none"
        );
        assert!(matches!(dataset.scores(), Err(DataError::Target { .. })));
        let known = dataset.known();
        assert_eq!(known.sentences(), [("dull", None), ("long", None)]);
        assert_eq!(known.labels().unwrap(), [0, 0]);

        let mut scored = reviews();
        scored.classes.clear();
        assert!(scored.validate().is_err());
        for example in &mut scored.examples {
            example.target = Target::Score(2.5);
        }
        scored.validate().unwrap();
        assert_eq!(scored.scores().unwrap(), [2.5; 3]);
        scored.examples[0].target = Target::Score(f32::NAN);
        assert!(scored.validate().is_err());
    }
}
