//! What a repair did, and which points asked for it.
//!
//! ```text
//! points     y_i                  the dual price of point i
//! units      ‖Δ_u‖, ‖Δ_u‖/‖W_u‖   over the weights and the bias of output u of a layer
//! inputs     ‖Δ_c‖, ‖Δ_c‖/‖W_c‖   over the weights that read input channel c
//! answers    right before, right after, gained, lost    per class of a labelled set
//! ```
//!
//! The change is that of the weights as saved. Of points and units the smallest set is named that
//! holds [`SHARE`] of all prices, or of the squared change: the change is theirs.

use std::collections::BTreeMap;

use network::{Checkpoint, Layer, Model, Network, Op};
use serde::Serialize;

use crate::{Change, Repair, RepairError};

/// Share of the whole that a smallest set holds.
pub const SHARE: f64 = 0.8;

/// What a repair did to the weights, and which points asked for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribution {
    /// Dual price of each point; see [`Repair::prices`].
    pub prices: Vec<f64>,
    /// The fewest points with [`SHARE`] of all prices, the dearest first.
    pub causes: Vec<usize>,
    /// The layers that changed, in topological order.
    pub layers: Vec<LayerChange>,
}

/// The change of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerChange {
    /// Name of the layer.
    pub layer: String,
    /// Of its weights and bias together.
    pub whole: Size,
    /// Per unit, or output channel, the weights that it is computed with and its bias.
    pub units: Vec<Size>,
    /// Per input channel the weights that read it; of a norm layer, its gain.
    pub inputs: Vec<Size>,
    /// The fewest units with [`SHARE`] of the squared change, the most changed first.
    pub moved: Vec<usize>,
}

/// The size of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Size {
    /// ‖Δ‖
    pub norm: f64,
    /// ‖Δ‖ / ‖W‖; `None` where the weights are zero.
    pub relative: Option<f64>,
}

/// How answers on a labelled set changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answers {
    /// The classes that the set has, ascending.
    pub classes: Vec<ClassAnswers>,
    /// The pairs of different answers, the most frequent first.
    pub flips: Vec<Flip>,
}

/// The answers to the examples of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClassAnswers {
    /// The class.
    pub class: usize,
    /// Its examples.
    pub examples: usize,
    /// Those that are right before the repair.
    pub right_before: usize,
    /// And after it.
    pub right_after: usize,
    /// Those that become right.
    pub gained: usize,
    /// Those that become wrong.
    pub lost: usize,
}

/// Examples whose answer changed from one class to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The answer before.
    pub from: usize,
    /// The answer after.
    pub to: usize,
    /// How many examples.
    pub count: usize,
}

impl Attribution {
    /// Of a repair of `network`, which was loaded from `original`.
    ///
    /// # Errors
    /// [`RepairError::Network`] when the repaired file is not the original with other numbers;
    /// [`RepairError::Shape`] when a layer's tensors are not of its size.
    pub fn new(repair: &Repair, original: &Model, network: &Network) -> Result<Self, RepairError> {
        let change = Change::between(original, &repair.checkpoint)?;
        let of_layer = |layer: &Layer| {
            let groups = match &network.graph().nodes()[layer.node].op {
                Op::Conv2d(conv) => conv.groups,
                _ => 1,
            };
            LayerChange::new(layer, groups, &change, original.checkpoint()).transpose()
        };
        let layers = network.layers().iter().filter_map(of_layer);
        Ok(Self {
            causes: smallest_share(&repair.prices, SHARE),
            prices: repair.prices.clone(),
            layers: layers.collect::<Result<_, _>>()?,
        })
    }
}

impl LayerChange {
    /// Of a layer whose outputs are split in `groups`; `None` when none of its tensors changed.
    fn new(
        layer: &Layer,
        groups: usize,
        change: &Change,
        original: &Checkpoint,
    ) -> Result<Option<Self>, RepairError> {
        let names = [Some(&layer.weight), layer.bias.as_ref()];
        let mut names = names.into_iter().flatten();
        if names.clone().all(|name| change.get(name).is_none()) {
            return Ok(None);
        }
        // A weight is outputs x inputs of a group x window; a gain is one number per output.
        let (channels, window) = match original.shape(&layer.weight)? {
            [_, reads, window @ ..] => (reads * groups, window.iter().product()),
            _ => (layer.outputs, 1),
        };
        let mut sums = Sums {
            whole: Squares::default(),
            units: vec![Squares::default(); layer.outputs],
            inputs: vec![Squares::default(); channels],
        };
        names.try_for_each(|name| {
            let numbers = original.tensor(name)?;
            let unchanged = vec![0.0; numbers.len()];
            let changes = change.get(name).unwrap_or(&unchanged);
            let fits = numbers.len().is_multiple_of(layer.outputs.max(1));
            if changes.len() != numbers.len() || !fits {
                return Err(RepairError::Shape {
                    what: "numbers in a tensor of a layer",
                    expected: numbers.len(),
                    got: changes.len(),
                });
            }
            let row = numbers.len() / layer.outputs.max(1);
            for (at, pair) in changes.iter().zip(&numbers).enumerate() {
                let unit = at / row;
                let input = match original.shape(name)? {
                    // Units of one group read the same channels.
                    [_, reads, ..] => {
                        Some(unit * groups / layer.outputs * reads + at % row / window)
                    }
                    // A gain scales its own channel.
                    _ => (*name == layer.weight).then_some(unit),
                };
                sums.add(unit, input, pair);
            }
            Ok(())
        })?;
        let squares: Vec<f64> = sums.units.iter().map(|unit| unit.change).collect();
        Ok(Some(Self {
            layer: layer.name.clone(),
            whole: sums.whole.size(),
            moved: smallest_share(&squares, SHARE),
            units: sums.units.iter().map(Squares::size).collect(),
            inputs: sums.inputs.iter().map(Squares::size).collect(),
        }))
    }
}

/// The squares of a layer, split in two ways.
struct Sums {
    whole: Squares,
    units: Vec<Squares>,
    inputs: Vec<Squares>,
}

impl Sums {
    fn add(&mut self, unit: usize, input: Option<usize>, (&change, &weight): (&f64, &f64)) {
        let unit = self.units.get_mut(unit);
        let input = input.and_then(|input| self.inputs.get_mut(input));
        for squares in [Some(&mut self.whole), unit, input].into_iter().flatten() {
            squares.change += change * change;
            squares.weight += weight * weight;
        }
    }
}

/// Sums of squares of changes and of weights.
#[derive(Clone, Copy, Default)]
struct Squares {
    change: f64,
    weight: f64,
}

impl Squares {
    fn size(&self) -> Size {
        Size {
            norm: self.change.sqrt(),
            relative: (self.weight > 0.0).then(|| self.change.sqrt() / self.weight.sqrt()),
        }
    }
}

impl Answers {
    /// From the labels of a set and the classes that the network gives before and after.
    ///
    /// # Errors
    /// [`RepairError::Shape`] when the lists differ in length.
    pub fn new(labels: &[usize], before: &[usize], after: &[usize]) -> Result<Self, RepairError> {
        for answers in [before, after] {
            if answers.len() != labels.len() {
                return Err(RepairError::Shape {
                    what: "answers to labelled examples",
                    expected: labels.len(),
                    got: answers.len(),
                });
            }
        }
        let mut classes: BTreeMap<usize, ClassAnswers> = BTreeMap::new();
        let mut flips: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (&class, (&from, &to)) in labels.iter().zip(before.iter().zip(after)) {
            let answers = classes.entry(class).or_insert(ClassAnswers {
                class,
                examples: 0,
                right_before: 0,
                right_after: 0,
                gained: 0,
                lost: 0,
            });
            let [was, is] = [from, to].map(|answer| answer == class);
            answers.examples += 1;
            answers.right_before += usize::from(was);
            answers.right_after += usize::from(is);
            answers.gained += usize::from(is && !was);
            answers.lost += usize::from(was && !is);
            if from != to {
                *flips.entry((from, to)).or_default() += 1;
            }
        }
        let flips = flips.into_iter();
        let mut flips: Vec<Flip> = flips
            .map(|((from, to), count)| Flip { from, to, count })
            .collect();
        flips.sort_by_key(|flip| std::cmp::Reverse(flip.count));
        Ok(Self {
            classes: classes.into_values().collect(),
            flips,
        })
    }
}

/// The fewest positions whose numbers, none of them negative, sum to a share of all, the largest
/// first; none when all are zero.
pub fn smallest_share(numbers: &[f64], share: f64) -> Vec<usize> {
    let total: f64 = numbers.iter().sum();
    let mut order: Vec<usize> = (0..numbers.len()).filter(|&i| numbers[i] > 0.0).collect();
    order.sort_by(|&i, &j| numbers[j].total_cmp(&numbers[i]));
    let mut sum = 0.0;
    let within = order.into_iter().take_while(|&i| {
        let enough = sum >= share * total;
        sum += numbers[i];
        !enough
    });
    within.collect()
}

#[cfg(test)]
mod tests {
    use network::{Activation, Dtype, LayerKind, StoredTensor, mlp};
    use proptest::prelude::*;

    use super::*;

    fn size(norm: f64, relative: f64) -> Size {
        let relative = Some(relative);
        Size { norm, relative }
    }

    fn stored(name: &str, shape: &[usize], numbers: &[f64]) -> StoredTensor {
        StoredTensor {
            name: name.to_owned(),
            dtype: Dtype::F64,
            shape: shape.to_vec(),
            bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    fn checkpoint(tensors: &[StoredTensor]) -> Checkpoint {
        Checkpoint::from_tensors(tensors, &BTreeMap::new(), "test").unwrap()
    }

    fn layer(kind: LayerKind, inputs: usize, outputs: usize) -> Layer {
        Layer {
            index: 0,
            node: 1,
            name: "layer".into(),
            kind,
            weight: "weight".into(),
            bias: Some("bias".into()),
            inputs,
            outputs,
            fixed: None,
        }
    }

    #[test]
    fn the_fewest_positions_hold_the_share() {
        assert_eq!(smallest_share(&[0.1, 5.0, 0.0, 3.0], SHARE), [1, 3]);
        assert_eq!(smallest_share(&[0.0, 9.0, 0.0, 1.0], SHARE), [1]);
        assert_eq!(smallest_share(&[0.0; 4], SHARE), [0; 0]);
        assert_eq!(smallest_share(&[], SHARE), [0; 0]);
        assert_eq!(smallest_share(&[1.0; 10], SHARE).len(), 8);
    }

    #[test]
    fn a_linear_layer_is_split_into_units_and_inputs() {
        let weight = [3.0, 4.0, 0.0, 0.0];
        let original = checkpoint(&[
            stored("weight", &[2, 2], &weight),
            stored("bias", &[2], &[12.0, 0.0]),
        ]);
        let mut change = Change::default();
        change.set("weight", vec![0.0, 4.0, 1.0, 0.0]);
        change.set("bias", vec![3.0, 0.0]);
        let linear = layer(LayerKind::Linear, 2, 2);
        let found = LayerChange::new(&linear, 1, &change, &original)
            .unwrap()
            .unwrap();
        assert_eq!(found.whole, size(26f64.sqrt(), 26f64.sqrt() / 13.0));
        let zero = Size {
            norm: 1.0,
            relative: None,
        };
        assert_eq!(found.units, [size(5.0, 5.0 / 13.0), zero]);
        assert_eq!(found.inputs, [size(1.0, 1.0 / 3.0), size(4.0, 1.0)]);
        assert_eq!(found.moved, [0]);

        let none = LayerChange::new(&linear, 1, &Change::default(), &original);
        assert_eq!(none.unwrap(), None);
        change.set("bias", vec![3.0]);
        let misfit = LayerChange::new(&linear, 1, &change, &original).unwrap_err();
        assert!(matches!(misfit, RepairError::Shape { .. }), "{misfit}");
    }

    #[test]
    fn the_groups_of_a_convolution_read_their_own_channels() {
        // Two groups of one output, each of two input channels and a kernel of one by two.
        let original = checkpoint(&[
            stored("weight", &[2, 2, 1, 2], &[1.0; 8]),
            stored("bias", &[2], &[0.0; 2]),
        ]);
        let mut change = Change::default();
        change.set("weight", vec![0.0, 0.0, 3.0, 4.0, 1.0, 0.0, 0.0, 0.0]);
        let grouped = layer(LayerKind::Conv2d, 4, 2);
        let found = LayerChange::new(&grouped, 2, &change, &original)
            .unwrap()
            .unwrap();
        let norms = |sizes: &[Size]| sizes.iter().map(|size| size.norm).collect::<Vec<_>>();
        assert_eq!(norms(&found.units), [5.0, 1.0]);
        assert_eq!(norms(&found.inputs), [0.0, 5.0, 1.0, 0.0]);
        assert_eq!(found.moved, [0]);
    }

    #[test]
    fn the_gain_of_a_norm_counts_as_its_own_input() {
        let original = checkpoint(&[
            stored("weight", &[2], &[2.0, 2.0]),
            stored("bias", &[2], &[0.0; 2]),
        ]);
        let mut change = Change::default();
        change.set("weight", vec![0.0, 1.0]);
        change.set("bias", vec![0.5, 0.0]);
        let norm = layer(LayerKind::LayerNorm, 2, 2);
        let found = LayerChange::new(&norm, 1, &change, &original)
            .unwrap()
            .unwrap();
        assert_eq!(found.units, [size(0.5, 0.25), size(1.0, 0.5)]);
        assert_eq!(found.inputs, [size(0.0, 0.0), size(1.0, 0.5)]);
    }

    #[test]
    fn only_the_layers_that_changed_as_saved_are_attributed() {
        let original = mlp::random(&[2, 3, 2], Activation::Relu, 1).unwrap();
        let name = "2.bias".to_owned();
        let bias = original.tensor(&name).unwrap();
        let moved = BTreeMap::from([(name, vec![bias[0] + 1.0, bias[1]])]);
        let repair = Repair {
            checkpoint: original.with_tensors(&moved).unwrap(),
            change: Change::default(),
            least_slack: 0.0,
            efficacy: 100.0,
            prices: vec![1.0, 0.0, 9.0],
            report: crate::Report::default(),
        };
        let device = network::DeviceChoice::Flex.open().unwrap();
        let precision = network::Precision::F64;
        let network = network::Network::load(&original, &device, precision).unwrap();
        let found = Attribution::new(&repair, &original, &network).unwrap();
        assert_eq!(found.causes, [2]);
        let [only] = found.layers.as_slice() else {
            panic!("{:?}", found.layers)
        };
        assert_eq!((only.layer.as_str(), &only.moved), ("2", &vec![0]));
        assert!((only.whole.norm - 1.0).abs() < 1e-6);
        assert_eq!(only.inputs[0].norm, 0.0);
    }

    #[test]
    fn classes_gain_and_lose_and_answers_flip() {
        let labels = [0, 0, 0, 2, 2, 2];
        let before = [0, 0, 1, 2, 0, 0];
        let after = [0, 1, 0, 2, 2, 2];
        let found = Answers::new(&labels, &before, &after).unwrap();
        let class = |class, right_before, right_after, gained, lost| ClassAnswers {
            class,
            examples: 3,
            right_before,
            right_after,
            gained,
            lost,
        };
        assert_eq!(found.classes, [class(0, 2, 2, 1, 1), class(2, 1, 3, 2, 0)]);
        let flip = |from, to, count| Flip { from, to, count };
        assert_eq!(found.flips, [flip(0, 2, 2), flip(0, 1, 1), flip(1, 0, 1)]);
        assert!(Answers::new(&labels, &before, &after[1..]).is_err());
    }

    proptest! {
        #[test]
        fn units_and_inputs_hold_the_squares_of_the_whole(
            weight in prop::collection::vec(-2.0..2.0f64, 12),
            change in prop::collection::vec(-2.0..2.0f64, 12),
        ) {
            let bias = stored("bias", &[3], &[0.0; 3]);
            let original = checkpoint(&[stored("weight", &[3, 4], &weight), bias]);
            let mut moved = Change::default();
            moved.set("weight", change);
            let linear = layer(LayerKind::Linear, 4, 3);
            let found = LayerChange::new(&linear, 1, &moved, &original).unwrap().unwrap();
            let squares = |sizes: &[Size]| sizes.iter().map(|s| s.norm * s.norm).sum::<f64>();
            let whole = found.whole.norm * found.whole.norm;
            prop_assert!((squares(&found.units) - whole).abs() < 1e-9);
            prop_assert!((squares(&found.inputs) - whole).abs() < 1e-9);
            let part = found.moved.iter().map(|&unit| found.units[unit].norm.powi(2));
            prop_assert!(part.sum::<f64>() >= SHARE * whole - 1e-9);
        }
    }
}
