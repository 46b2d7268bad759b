//! A layer's outputs at the repair points, and what can be read off them.
//!
//! Outputs are streamed through the network in batches. What is kept of them is a sum over all
//! positions (tokens that are no padding, pixels) and, per point, their mean over the positions,
//! so that memory does not grow with the size of images.

use std::borrow::Cow;

use network::{Layer, LayerKind, Network, Value};

use crate::HeuristicError;
use crate::similarity::{cosine, linear_cka, mean_pairwise_cosine, mean_within_class_cosine, norm};
use crate::statistics::Counterpart;

/// Numbers of inputs that are pushed through a network at once; its layers hold many more.
const NUMBERS: usize = 1 << 20;
/// The most inputs that are, and the most token sequences: their batches are cut to the longest.
const INPUTS: usize = 128;
const SEQUENCES: usize = 8;

/// Inputs in batches that fit in memory, in their order, each with its shape.
pub(crate) fn batches<'a>(
    network: &'a Network,
    inputs: &'a [f32],
    shape: &'a [usize],
) -> impl Iterator<Item = (Cow<'a, [f32]>, Vec<usize>)> {
    let example = shape.iter().product::<usize>().max(1);
    let size = match shape {
        [2, _] => SEQUENCES,
        _ => (NUMBERS / example).clamp(1, INPUTS),
    };
    let count = inputs.len() / example;
    (0..count).step_by(size).map(move |first| {
        let chosen: Vec<usize> = (first..(first + size).min(count)).collect();
        network.gathered(inputs, shape, &chosen)
    })
}

/// Whether an output has its units before its positions, as images, or behind them, as tokens and
/// the patches of images.
#[derive(Clone, Copy)]
enum Order {
    UnitsFirst,
    UnitsLast,
}

/// The outputs a of one layer at some points.
#[derive(Clone, Debug, Default)]
pub(crate) struct Representation {
    /// Means over the positions, points x width, row-major.
    rows: Vec<f64>,
    width: usize,
    units: Units,
}

/// Running sums over points and positions.
#[derive(Clone, Debug, Default)]
struct Units {
    count: usize,
    absolute: f64,
    /// Per unit: the first value, and the sums of the differences to it and of their squares.
    shift: Vec<f64>,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Units {
    fn add(&mut self, vector: &[f64]) {
        if self.shift.is_empty() {
            self.shift = vector.to_vec();
            self.sum = vec![0.0; vector.len()];
            self.squares = vec![0.0; vector.len()];
        }
        self.count += 1;
        for (unit, &a) in vector.iter().enumerate() {
            let moved = a - self.shift[unit];
            self.absolute += a.abs();
            self.sum[unit] += moved;
            self.squares[unit] += moved * moved;
        }
    }
}

/// The outputs of some layers at `inputs` (`n x shape`, row-major).
pub(crate) fn represent(
    network: &Network,
    layers: &[Layer],
    inputs: &[f32],
    shape: &[usize],
) -> Result<Vec<Representation>, HeuristicError> {
    if !inputs
        .len()
        .is_multiple_of(shape.iter().product::<usize>().max(1))
    {
        // The network says what it expects.
        network.batch_of(inputs, shape)?;
    }
    let mut found = vec![Representation::default(); layers.len()];
    for (batch, shape) in batches(network, inputs, shape) {
        let (traces, _) = network.activations(network.batch_of(&batch, &shape)?)?;
        for (representation, layer) in found.iter_mut().zip(layers) {
            representation.add(layer, &traces[layer.index].output, &batch, &shape)?;
        }
    }
    Ok(found)
}

impl Representation {
    /// Adds the layer's outputs at a batch of inputs.
    fn add(
        &mut self,
        layer: &Layer,
        output: &Value,
        inputs: &[f32],
        shape: &[usize],
    ) -> Result<(), HeuristicError> {
        let numbers = output.to_vec()?;
        let example: usize = output.shape()[1..].iter().product();
        let order = match layer.kind {
            LayerKind::Conv2d | LayerKind::BatchNorm => Order::UnitsFirst,
            _ => Order::UnitsLast,
        };
        let inputs = inputs.chunks_exact(shape.iter().product::<usize>().max(1));
        for (numbers, input) in numbers.chunks_exact(example.max(1)).zip(inputs) {
            self.add_example(numbers, layer.outputs, order, padding(input, shape));
        }
        Ok(())
    }

    /// Adds one point, its units at every position; `mask` is zero at padding.
    fn add_example(&mut self, numbers: &[f64], width: usize, order: Order, mask: Option<&[f32]>) {
        let positions = numbers.len() / width.max(1);
        let mask = mask.filter(|mask| mask.len() == positions);
        let mut mean = vec![0.0; width];
        let mut vector = vec![0.0; width];
        let mut count = 0usize;
        for t in 0..positions {
            if mask.is_some_and(|mask| mask[t] == 0.0) {
                continue;
            }
            for (unit, a) in vector.iter_mut().enumerate() {
                *a = match order {
                    Order::UnitsFirst => numbers[unit * positions + t],
                    Order::UnitsLast => numbers[t * width + unit],
                };
            }
            self.units.add(&vector);
            mean.iter_mut().zip(&vector).for_each(|(sum, a)| *sum += a);
            count += 1;
        }
        mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        self.width = width;
        self.rows.extend(mean);
    }

    /// The means over the positions, points x width.
    pub(crate) fn into_rows(self) -> Vec<f64> {
        self.rows
    }

    fn points(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// E|a| over points, positions and units.
    pub(crate) fn magnitude(&self) -> f64 {
        self.units.absolute / (self.units.count * self.width).max(1) as f64
    }

    /// Variance over points and positions, averaged over units.
    pub(crate) fn variance(&self) -> f64 {
        let count = self.units.count.max(1) as f64;
        let pairs = self.units.sum.iter().zip(&self.units.squares);
        let variances = pairs.map(|(sum, squares)| squares / count - (sum / count).powi(2));
        variances.sum::<f64>().max(0.0) / self.width.max(1) as f64
    }

    /// Mean cosine over pairs of points.
    pub(crate) fn cosine_similarity(&self) -> Option<f64> {
        mean_pairwise_cosine(&self.rows, self.width)
    }

    /// Mean cosine over pairs of points with one label.
    pub(crate) fn within_class_similarity(&self, labels: &[usize]) -> Option<f64> {
        mean_within_class_cosine(&self.rows, self.width, labels)
    }

    /// Linear CKA with the one-hot labels.
    pub(crate) fn label_cka(&self, labels: &[usize], classes: usize) -> Option<f64> {
        let mut one_hot = vec![0.0; self.points() * classes];
        labels
            .iter()
            .enumerate()
            .for_each(|(i, &label)| one_hot[i * classes + label] = 1.0);
        linear_cka(&self.rows, &one_hot, self.points())
    }

    /// How far this representation is from that of the clean counterparts.
    pub(crate) fn distance_from(&self, clean: &Self) -> Counterpart {
        let width = self.width.max(1);
        let pairs = || {
            self.rows
                .chunks_exact(width)
                .zip(clean.rows.chunks_exact(width))
        };
        let mean = |sum: f64| sum / self.points() as f64;
        let relative = |(a, b): (&[f64], &[f64])| {
            let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            norm(&difference) / norm(b).max(f64::MIN_POSITIVE)
        };
        Counterpart {
            relative_distance: mean(pairs().map(relative).sum()),
            cosine_distance: mean(pairs().map(|(a, b)| 1.0 - cosine(a, b)).sum()),
            cka_distance: linear_cka(&self.rows, &clean.rows, self.points()).map(|cka| 1.0 - cka),
        }
    }
}

/// The mask of a token sequence `[ids; mask]`, one at each token that is no padding.
fn padding<'a>(input: &'a [f32], shape: &[usize]) -> Option<&'a [f32]> {
    match shape {
        [2, length] => input.get(*length..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_counts_neither_for_the_mean_nor_for_the_sums() {
        let mut tokens = Representation::default();
        tokens.add_example(
            &[1.0, 5.0, 3.0, 7.0, 100.0, 100.0],
            2,
            Order::UnitsLast,
            Some(&[1., 1., 0.]),
        );
        assert_eq!(tokens.rows, [2.0, 6.0]);
        assert_eq!((tokens.magnitude(), tokens.variance()), (4.0, 1.0));
    }

    #[test]
    fn pixels_are_positions_and_channels_are_units() {
        let mut image = Representation::default();
        image.add_example(&[1.0, 3.0, -2.0, -2.0], 2, Order::UnitsFirst, None);
        assert_eq!(image.rows, [2.0, -2.0]);
        assert_eq!((image.magnitude(), image.variance()), (2.0, 0.5));
    }
}
