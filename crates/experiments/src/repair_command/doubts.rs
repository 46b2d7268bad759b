//! Whether the labels of a clean set are those that the network means.
//!
//! A network that is no better than a guess on clean inputs, or whose answers another reading of the labels
//! explains far better, is asked to answer what it was not trained for: a repair would teach it the misreading.

use data::Dataset;
use data::labelled::{Explanation, OtherReading, explain_labels};

use super::arguments::SourceArguments;
use super::sets::PointSet;
use super::subject::Subject;
use crate::error::{ExperimentError, Result, prepare};

/// Examples with a label below which an accuracy says nothing.
const FEWEST: usize = 30;

/// The least share of right answers on transposed pictures that explains labels, and how much more it must be
/// than on the pictures as they are.
const TRANSPOSED: f64 = 0.5;
const FAR: f64 = 0.25;

/// Stops with what fits better, unless labels are to be trusted.
///
/// # Errors
/// [`ExperimentError::Usage`] for labels that another reading explains far better, and for an accuracy at
/// or below that of a guess.
pub(crate) fn check(set: &PointSet, subject: &Subject, arguments: &SourceArguments) -> Result<()> {
    if arguments.trust_labels {
        return Ok(());
    }
    let what = || set.path.display().to_string();
    let dataset = &set.set.dataset;
    let classes = subject.network.classes();
    let outputs = repair::outputs(&subject.network, &dataset.inputs, &dataset.shape);
    let outputs = outputs.map_err(prepare(what))?;
    let rows: Vec<Vec<f64>> = outputs
        .chunks(classes.max(1))
        .map(<[f64]>::to_vec)
        .collect();
    let labelled = set.labelled();
    let right = labelled - set.wrong(&set.before);
    let accuracy = right as f64 / labelled.max(1) as f64;
    let doubt = |problem: String| {
        Err(ExperimentError::Usage {
            problem: format!(
                "{}: the network gets {right} of {labelled} labelled inputs right{problem}; go on with \
                 --trust-labels",
                set.path.display()
            ),
        })
    };
    if let Some(found) = explain_labels(&dataset.labels, &rows, &set.before, classes) {
        return doubt(format!(", but {}", sentence(&found, subject)));
    }
    let guess = 1.0 / classes.max(1) as f64;
    if labelled < FEWEST || accuracy > guess {
        return Ok(());
    }
    if let Some(transposed) = transposed(dataset) {
        let answers = repair::classify(&subject.network, &transposed, &dataset.shape);
        let wrong = set.wrong(&answers.map_err(prepare(what))?);
        let other = (labelled - wrong) as f64 / labelled as f64;
        if other >= TRANSPOSED && other - accuracy >= FAR {
            let right = labelled - wrong;
            return doubt(format!(
                ", but {right} when rows and columns of the pictures are exchanged"
            ));
        }
    }
    doubt(format!(
        ", no more than a guess among {classes} answers: labels, preprocessing, activation or --answer are \
         other than the network's"
    ))
}

/// The reading that fits better.
fn sentence(found: &Explanation, subject: &Subject) -> String {
    let right = (found.other * found.examples as f64).round();
    let reading = match &found.reading {
        OtherReading::OppositeRule => {
            "if its answer is at the other end of its outputs (--answer)".to_owned()
        }
        OtherReading::Offset(offset) => format!("if every label k means class k {offset:+}"),
        OtherReading::Permutation(classes) => {
            let moved = classes
                .iter()
                .enumerate()
                .filter(|(label, class)| label != *class);
            let moved = moved.take(5).map(|(label, &class)| {
                format!("{} means {}", subject.class(label), subject.class(class))
            });
            format!("if {}", moved.collect::<Vec<_>>().join(", "))
        }
    };
    format!("would get {right} right {reading}")
}

/// Square pictures with rows and columns exchanged; `None` for other inputs.
fn transposed(set: &Dataset) -> Option<Vec<f32>> {
    let (planes, side) = match set.shape[..] {
        [features] => (1, features.isqrt()),
        [planes, rows, columns] if rows == columns => (planes, rows),
        _ => return None,
    };
    if side < 2 || planes * side * side != set.example_len() {
        return None;
    }
    let plane = side * side;
    let pixel = |at: usize| {
        let (start, at) = (at / plane * plane, at % plane);
        set.inputs[start + at % side * side + at / side]
    };
    Some((0..set.inputs.len()).map(pixel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::ExampleId;

    #[test]
    fn every_plane_of_a_square_picture_is_transposed() {
        let numbers: Vec<f32> = (0..16_u8).map(f32::from).collect();
        let set = |shape: &[usize]| {
            let examples = numbers.len() / shape.iter().product::<usize>();
            let ids = (0..examples as u32)
                .map(|i| ExampleId::clean("drawn", i))
                .collect();
            Dataset::new(shape.to_vec(), numbers.clone(), vec![0; examples], 2, ids).unwrap()
        };
        let two = [
            0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.,
        ];
        assert_eq!(transposed(&set(&[2, 2, 2])).unwrap(), two);
        assert_eq!(transposed(&set(&[4])).unwrap(), two);
        assert_eq!(transposed(&set(&[8])), None);
        assert_eq!(transposed(&set(&[2, 4, 2])), None);
    }
}
