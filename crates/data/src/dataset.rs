//! Labelled examples with identities.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DataError;

/// The variant of an example that nothing was done to.
pub const CLEAN: &str = "clean";

/// The label of an example whose right answer is not known.
///
/// Whoever compares answers with labels leaves such examples out, or refuses them with
/// [`Dataset::require_labels`]; agreement of two networks and the divergence of their outputs need no
/// labels. No class has this number: a network with several labels per input, whose answer is a sum of
/// powers of two, has at most 63 outputs.
pub const UNLABELLED: usize = usize::MAX;

/// Which input this is: an underlying image and what was done to it.
///
/// Two examples are the same *input* when all three parts agree, and show the same *image* when
/// `source` and `index` do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExampleId {
    /// The collection the image comes from, e.g. `mnist-test`.
    #[serde(with = "text")]
    pub source: Arc<str>,
    /// Position of the image in that collection, from 0.
    pub index: u32,
    /// [`CLEAN`], or what was done to the image, e.g. `fog:5:0` for fog at severity 5, seed 0.
    #[serde(with = "text")]
    pub variant: Arc<str>,
}

impl ExampleId {
    /// The identity of an image that nothing was done to.
    pub fn clean(source: impl Into<Arc<str>>, index: u32) -> Self {
        Self {
            source: source.into(),
            index,
            variant: CLEAN.into(),
        }
    }

    /// The underlying image, without what was done to it.
    pub fn image(&self) -> (&str, u32) {
        (&self.source, self.index)
    }
}

impl fmt::Display for ExampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] {}", self.source, self.index, self.variant)
    }
}

/// Labelled examples of one shape, with identities.
///
/// The fields are public so that a caller can read them without copies; [`Dataset::new`] and
/// [`Dataset::validate`] check that they agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Shape of one example, e.g. `[784]`.
    pub shape: Vec<usize>,
    /// `len x product(shape)` values, row-major: one example after the other.
    pub inputs: Vec<f32>,
    /// The right class of each example, below `classes`; [`UNLABELLED`] where it is not known.
    pub labels: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Identity of each example.
    pub ids: Vec<ExampleId>,
}

impl Dataset {
    /// A validated dataset.
    ///
    /// # Errors
    /// Those of [`Dataset::validate`].
    pub fn new(
        shape: Vec<usize>,
        inputs: Vec<f32>,
        labels: Vec<usize>,
        classes: usize,
        ids: Vec<ExampleId>,
    ) -> Result<Self, DataError> {
        let dataset = Self {
            shape,
            inputs,
            labels,
            classes,
            ids,
        };
        dataset.validate()?;
        Ok(dataset)
    }

    /// Checks that counts agree, that every value is finite and that every label is a class or
    /// [`UNLABELLED`].
    ///
    /// # Errors
    /// [`DataError::Count`] when `inputs`, `labels` and `ids` describe different numbers of examples,
    /// [`DataError::NotFinite`] and [`DataError::Label`] name the first bad example,
    /// [`DataError::SizeOverflow`] when the shape's product does not fit in memory.
    pub fn validate(&self) -> Result<(), DataError> {
        let size = size_of_shape(&self.shape)?;
        let values =
            size.checked_mul(self.labels.len())
                .ok_or_else(|| DataError::SizeOverflow {
                    shape: self.shape.clone(),
                })?;
        expect_count("ids", self.labels.len(), self.ids.len())?;
        expect_count("input values", values, self.inputs.len())?;
        for (i, (label, id)) in self.labels.iter().zip(&self.ids).enumerate() {
            let input = &self.inputs[i * size..][..size];
            if let Some(position) = input.iter().position(|value| !value.is_finite()) {
                return Err(DataError::NotFinite {
                    example: id.clone(),
                    position,
                    value: input[position],
                });
            }
            if *label >= self.classes && *label != UNLABELLED {
                return Err(DataError::Label {
                    example: id.clone(),
                    label: *label,
                    classes: self.classes,
                });
            }
        }
        Ok(())
    }

    /// Whether the right class of example `i` is known.
    pub fn is_labelled(&self, i: usize) -> bool {
        self.labels.get(i).is_some_and(|&label| label != UNLABELLED)
    }

    /// Checks that the right class of every example is known.
    ///
    /// # Errors
    /// [`DataError::Unlabelled`] names the first example of which it is not.
    pub fn require_labels(&self) -> Result<(), DataError> {
        match (0..self.len()).find(|&i| !self.is_labelled(i)) {
            None => Ok(()),
            Some(i) => Err(DataError::Unlabelled {
                example: self.ids[i].clone(),
            }),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of values of one example: the product of `shape`.
    pub fn example_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values of example `i`, `example_len` of them.
    ///
    /// # Panics
    /// When `i >= len`, as slice indexing does.
    pub fn example(&self, i: usize) -> &[f32] {
        let size = self.example_len();
        &self.inputs[i * size..][..size]
    }

    /// The examples at `indices`, in that order; repeated indices repeat the example.
    ///
    /// # Errors
    /// [`DataError::Index`] when an index is not below `len`.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(DataError::Index {
                index,
                len: self.len(),
            });
        }
        Ok(Self {
            shape: self.shape.clone(),
            inputs: indices
                .iter()
                .flat_map(|&i| self.example(i))
                .copied()
                .collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes,
            ids: indices.iter().map(|&i| self.ids[i].clone()).collect(),
        })
    }

    /// The examples of `parts`, one part after the other.
    ///
    /// # Errors
    /// [`DataError::NoParts`] without parts, [`DataError::Shape`] and [`DataError::Classes`] when a
    /// part differs from the first.
    pub fn concat(parts: &[&Self]) -> Result<Self, DataError> {
        let (first, rest) = parts.split_first().ok_or(DataError::NoParts)?;
        let mut whole = (*first).clone();
        for (part, dataset) in (1..).zip(rest) {
            if dataset.shape != whole.shape {
                let (expected, got) = (whole.shape, dataset.shape.clone());
                return Err(DataError::Shape {
                    part,
                    expected,
                    got,
                });
            }
            if dataset.classes != whole.classes {
                let (expected, got) = (whole.classes, dataset.classes);
                return Err(DataError::Classes {
                    part,
                    expected,
                    got,
                });
            }
            whole.inputs.extend_from_slice(&dataset.inputs);
            whole.labels.extend_from_slice(&dataset.labels);
            whole.ids.extend_from_slice(&dataset.ids);
        }
        Ok(whole)
    }
}

fn size_of_shape(shape: &[usize]) -> Result<usize, DataError> {
    shape
        .iter()
        .try_fold(1_usize, |size, &dim| size.checked_mul(dim))
        .ok_or_else(|| DataError::SizeOverflow {
            shape: shape.to_vec(),
        })
}

fn expect_count(what: &'static str, expected: usize, got: usize) -> Result<(), DataError> {
    if expected == got {
        Ok(())
    } else {
        Err(DataError::Count {
            what,
            expected,
            got,
        })
    }
}

/// Shared strings as plain text, without serde's `rc` feature.
mod text {
    use super::{Arc, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Dataset {
        let ids = (0..3).map(|i| ExampleId::clean("toy", i)).collect();
        Dataset::new(
            vec![2],
            vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            vec![0, 1, 2],
            3,
            ids,
        )
        .unwrap()
    }

    #[test]
    fn subset_follows_the_order_of_its_indices() {
        let subset = three().subset(&[2, 0]).unwrap();
        assert_eq!(subset.inputs, [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(subset.labels, [2, 0]);
        assert_eq!(subset.ids[0].index, 2);
        assert_eq!(subset.example(1), [0.0, 1.0]);
        assert!(matches!(
            three().subset(&[3]),
            Err(DataError::Index { index: 3, len: 3 })
        ));
    }

    #[test]
    fn concat_refuses_another_shape_and_other_classes() {
        let whole = Dataset::concat(&[&three(), &three()]).unwrap();
        assert_eq!(whole.len(), 6);
        assert_eq!(whole.example(5), [4.0, 5.0]);
        whole.validate().unwrap();

        let reshaped = Dataset {
            shape: vec![2, 1],
            ..three()
        };
        assert!(matches!(
            Dataset::concat(&[&three(), &reshaped]),
            Err(DataError::Shape { part: 1, .. })
        ));
        let wider = Dataset {
            classes: 4,
            ..three()
        };
        assert!(matches!(
            Dataset::concat(&[&three(), &wider]),
            Err(DataError::Classes {
                expected: 3,
                got: 4,
                ..
            })
        ));
        assert!(matches!(Dataset::concat(&[]), Err(DataError::NoParts)));
    }

    #[test]
    fn validation_names_the_example_and_the_position() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut dataset = three();
            dataset.inputs[3] = bad;
            let message = dataset.validate().unwrap_err().to_string();
            assert!(
                message.contains("toy[1] clean") && message.contains("position 1"),
                "{message}"
            );
        }
        let mut dataset = three();
        dataset.labels[2] = 3;
        let message = dataset.validate().unwrap_err().to_string();
        assert_eq!(
            message,
            "label of toy[2] clean: expected a class below 3, got 3"
        );
    }

    #[test]
    fn examples_without_a_label_are_valid_and_refused_where_labels_are_needed() {
        let mut dataset = three();
        dataset.require_labels().unwrap();
        dataset.labels[1] = UNLABELLED;
        dataset.validate().unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|i| dataset.is_labelled(i)),
            [true, false, true, false]
        );
        assert_eq!(
            dataset.require_labels().unwrap_err().to_string(),
            "label of toy[1] clean: expected a class, got none"
        );
        // The largest class of any network is still another number.
        dataset.classes = usize::MAX;
        dataset.labels[1] = usize::MAX - 1;
        assert!(dataset.is_labelled(1));
    }

    #[test]
    fn validation_refuses_counts_that_disagree() {
        let mut missing_id = three();
        missing_id.ids.pop();
        assert!(matches!(
            missing_id.validate(),
            Err(DataError::Count { what: "ids", .. })
        ));
        let mut missing_value = three();
        missing_value.inputs.pop();
        assert!(matches!(
            missing_value.validate(),
            Err(DataError::Count {
                what: "input values",
                expected: 6,
                got: 5
            })
        ));
        let huge = Dataset {
            shape: vec![usize::MAX, 2],
            ..three()
        };
        assert!(matches!(
            huge.validate(),
            Err(DataError::SizeOverflow { .. })
        ));
    }

    #[test]
    fn identities_are_plain_text_in_json() {
        let id = ExampleId::clean("toy", 4);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#"{"source":"toy","index":4,"variant":"clean"}"#);
        assert_eq!(serde_json::from_str::<ExampleId>(&json).unwrap(), id);
    }
}
