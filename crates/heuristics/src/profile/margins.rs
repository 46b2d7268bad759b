//! How right a network is, and how sure.

use data::Dataset;
use network::{LayerKind, Network, NodeId, Value};

use crate::HeuristicError;
use crate::error::check_count;

/// Examples that are differentiated at once.
const CHUNK: usize = 64;

/// The margin of each point, `y_label - max_{c != label} y_c`, from outputs `points x classes`:
/// negative where the network is wrong.
///
/// # Errors
/// [`HeuristicError::Count`] unless there is a row of at least two outputs per label;
/// [`HeuristicError::Label`].
pub fn margins(
    outputs: &[f64],
    classes: usize,
    labels: &[usize],
) -> Result<Vec<f64>, HeuristicError> {
    let rivals = rivals(outputs, classes, labels)?;
    let rows = outputs.chunks_exact(classes);
    let pairs = rows.zip(labels.iter().zip(rivals));
    Ok(pairs
        .map(|(y, (&label, rival))| y[label] - y[rival])
        .collect())
}

/// The largest probability of each point: of outputs `points x classes` their softmax, unless they
/// are probabilities already ([`Network::ends_in_softmax`]).
pub fn confidences(outputs: &[f64], classes: usize, probabilities: bool) -> Vec<f64> {
    let confidence = |y: &[f64]| {
        let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match probabilities {
            true => largest,
            false => 1.0 / y.iter().map(|y| (y - largest).exp()).sum::<f64>(),
        }
    };
    outputs
        .chunks_exact(classes.max(1))
        .map(confidence)
        .collect()
}

/// The distance of each point of `set` to the decision boundary, to first order: the margin over
/// the norm of its gradient with respect to the input (as in DeepFool, Moosavi-Dezfooli, Fawzi &
/// Frossard, CVPR 2016, for one rival class); of a text with respect to the embedded words. It is
/// infinite where the gradient is 0 and the margin is not.
///
/// # Errors
/// As [`margins`]; [`HeuristicError::Network`] when the inputs do not fit.
pub fn geometric_margins(
    network: &Network,
    set: &Dataset,
    outputs: &[f64],
) -> Result<Vec<f64>, HeuristicError> {
    let classes = network.classes();
    let rivals = rivals(outputs, classes, &set.labels)?;
    let margins = margins(outputs, classes, &set.labels)?;
    let node = perturbed(network);
    let mut slopes = Vec::with_capacity(margins.len());
    let pairs: Vec<(usize, usize)> = set.labels.iter().copied().zip(rivals).collect();
    let inputs = set.inputs.chunks(CHUNK * set.example_len().max(1));
    for (inputs, pairs) in inputs.zip(pairs.chunks(CHUNK)) {
        let mut selector = vec![0.0; pairs.len() * classes];
        for (row, &(label, rival)) in selector.chunks_exact_mut(classes).zip(pairs) {
            row[label] = 1.0;
            row[rival] = -1.0;
        }
        let shape = [pairs.len(), classes];
        let selector = Value::from_f64(&selector, &shape, network.device(), network.precision())?;
        let x = network.batch_of(inputs, &set.shape)?;
        let gradient = network.output_gradient(node, x, selector)?.to_vec()?;
        let squared = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
        let rows = gradient.chunks((gradient.len() / pairs.len()).max(1));
        slopes.extend(rows.map(|row| squared(row).sqrt()));
    }
    let distance = |(&margin, &slope): (&f64, &f64)| match margin == 0.0 {
        true => 0.0,
        false => margin / slope,
    };
    Ok(margins.iter().zip(&slopes).map(distance).collect())
}

/// The node whose values are magnitudes: the embedded words of a text, else the input.
fn perturbed(network: &Network) -> NodeId {
    let embedding = |layer: &&network::Layer| layer.kind == LayerKind::Embedding;
    let words = network.layers().iter().find(embedding);
    words.map_or(0, |layer| layer.node)
}

/// The class other than the label with the largest output, the first of equal ones.
fn rivals(outputs: &[f64], classes: usize, labels: &[usize]) -> Result<Vec<usize>, HeuristicError> {
    if classes < 2 {
        check_count("outputs of the network", 2, classes)?;
    }
    check_count(
        "outputs of all points",
        labels.len() * classes,
        outputs.len(),
    )?;
    let rival = |(point, (y, &label)): (usize, (&[f64], &usize))| {
        let others = (0..classes).filter(|&c| c != label);
        let best = others.reduce(|best, c| if y[c] > y[best] { c } else { best });
        best.filter(|_| label < classes)
            .ok_or(HeuristicError::Label {
                point,
                label,
                classes,
            })
    };
    let rows = outputs.chunks_exact(classes).zip(labels);
    rows.enumerate().map(rival).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_measured_against_the_best_other_class() {
        let outputs = [1.0, 4.0, 2.0, 0.0, 3.0, 3.0];
        assert_eq!(margins(&outputs, 3, &[1, 0]).unwrap(), [2.0, -3.0]);
        assert_eq!(margins(&outputs, 3, &[2, 2]).unwrap(), [-2.0, 0.0]);
        let error = margins(&outputs, 3, &[1, 3]).unwrap_err();
        assert!(matches!(
            error,
            HeuristicError::Label {
                point: 1,
                label: 3,
                classes: 3
            }
        ));
        assert!(margins(&outputs, 3, &[1]).is_err() && margins(&[1.0], 1, &[0]).is_err());
    }

    #[test]
    fn confidence_is_the_largest_probability() {
        let found = confidences(&[0.0, 3_f64.ln(), 5.0, 5.0], 2, false);
        assert!((found[0] - 0.75).abs() < 1e-12 && (found[1] - 0.5).abs() < 1e-12);
        assert_eq!(confidences(&[0.9, 0.1], 2, true), [0.9]);
        assert_eq!(confidences(&[1e4, -1e4], 2, false), [1.0]);
    }
}
