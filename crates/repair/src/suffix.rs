//! The network from the first edited layer on, at the repair points.
//!
//! The prefix is computed once; every later evaluation resumes from its values with the edited
//! tensors in place.

use std::collections::BTreeMap;
use std::ops::Range;

use network::{Cut, Dtype, Layer, Mode, Model, Network, NodeId, Pattern, Surrogate, Target, Value};

use crate::affine::{Affine, Features};
use crate::{Change, RepairError, RepairSet};

/// The edited layers, the points at the first one's input, and the network behind it.
#[derive(Clone, Debug)]
pub struct Suffix<'a> {
    network: &'a Network,
    layers: Vec<Affine>,
    cut: Cut,
    points: usize,
    /// Halves are evaluated as they are saved: their rounding is as large as a change.
    rounding: Option<&'a Model>,
}

/// The network after a change, at the first edited layer.
#[derive(Clone, Debug)]
pub struct State {
    network: Network,
    /// The first edited layer's outputs.
    z: Value,
}

impl State {
    /// The network with the change in place.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// A scalar of one point whose sensitivity is asked for.
#[derive(Clone, Debug)]
pub struct PointTarget {
    /// The point.
    pub point: usize,
    /// The scalar.
    pub target: Target,
}

impl<'a> Suffix<'a> {
    /// Runs the prefix of `layers` on the points of `set`. With `later_biases` the biases of
    /// all other layers behind the first may change too.
    ///
    /// # Errors
    /// [`RepairError::Option`] without layers; [`RepairError::Unsupported`];
    /// [`RepairError::Network`].
    pub fn new(
        network: &'a Network,
        layers: &[Layer],
        set: &RepairSet,
        later_biases: bool,
    ) -> Result<Self, RepairError> {
        let mut chosen: Vec<&Layer> = layers.iter().collect();
        chosen.sort_by_key(|layer| layer.index);
        chosen.dedup_by_key(|layer| layer.index);
        let first = *chosen.first().ok_or_else(|| RepairError::Option {
            option: "layers",
            expected: "at least one".into(),
            got: "none".into(),
        })?;
        let mut affine = chosen
            .iter()
            .map(|layer| Affine::new(network, layer))
            .collect::<Result<Vec<_>, _>>()?;
        if later_biases {
            let behind = network.layers()[first.index + 1..].iter();
            let others = behind.filter(|layer| !chosen.contains(layer));
            affine.extend(others.filter_map(Affine::bias));
        }
        let x = network.batch_of(&set.inputs, &set.shape)?;
        Ok(Self {
            network,
            layers: affine,
            cut: network.run_until(first, x)?,
            points: set.len(),
            rounding: None,
        })
    }

    /// Evaluates tensors that `checkpoint` stores in 16 bits as they are saved there.
    pub fn rounded_as(mut self, checkpoint: &'a Model) -> Self {
        self.rounding = Some(checkpoint);
        self
    }

    /// The edited layers in topological order, then those whose bias alone may change.
    pub fn layers(&self) -> &[Affine] {
        &self.layers
    }

    /// The start layer.
    pub fn layer(&self) -> &Layer {
        self.layers[0].layer()
    }

    /// The original network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Whether each point has one feature vector at the start layer, and nothing but biases
    /// changes behind it: rows are then outer products.
    pub fn has_single_positions(&self) -> bool {
        let shape = self.cut.input.shape();
        let vector = shape.len() == 2 || shape[1..shape.len() - 1].iter().all(|&n| n == 1);
        let [first, rest @ ..] = self.layers.as_slice() else {
            return false;
        };
        let linear = first.layer().kind == network::LayerKind::Linear;
        linear && vector && rest.iter().all(Affine::is_bias)
    }

    /// The network after a change (`None`: the original).
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn at(&self, change: Option<&Change>) -> Result<State, RepairError> {
        let network = match change {
            None => self.network.clone(),
            Some(change) => self.changed(change)?,
        };
        Ok(State {
            z: network.layer_output(&self.cut)?,
            network,
        })
    }

    fn changed(&self, change: &Change) -> Result<Network, RepairError> {
        let mut tensors = BTreeMap::new();
        for (name, change) in change.tensors() {
            let mut numbers = self.network.tensor(name)?;
            numbers.iter_mut().zip(change).for_each(|(x, d)| *x += d);
            if let Some(checkpoint) = self.rounding
                && matches!(checkpoint.dtype(name)?, Dtype::F16 | Dtype::BF16)
            {
                checkpoint.round(name, &mut numbers)?;
            }
            tensors.insert(name.to_owned(), numbers);
        }
        Ok(self.network.with_tensors(&tensors)?)
    }

    /// The values of `wanted` nodes at a range of points (`None`: all), each
    /// `points x width`, row-major.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn evaluate(
        &self,
        state: &State,
        points: Option<Range<usize>>,
        mode: Mode<'_>,
        wanted: &[NodeId],
    ) -> Result<BTreeMap<NodeId, Vec<f64>>, RepairError> {
        let (cut, z) = match points {
            None => (self.cut.clone(), state.z.clone()),
            Some(points) => {
                let points: Vec<usize> = points.collect();
                (self.cut.select(&points), state.z.select(&points))
            }
        };
        let start = self.layer().node;
        let mut behind = wanted.to_vec();
        behind.retain(|&id| id != start);
        let mut found = BTreeMap::new();
        if !behind.is_empty() {
            let offsets = BTreeMap::new();
            let values = state
                .network
                .resume_with(&cut, z.clone(), &offsets, mode, &behind)?;
            for (id, value) in values {
                found.insert(id, value.to_vec()?);
            }
        }
        if wanted.contains(&start) {
            found.insert(start, z.to_vec()?);
        }
        Ok(found)
    }

    /// The outputs y, points x classes.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn outputs(&self, state: &State, mode: Mode<'_>) -> Result<Vec<f64>, RepairError> {
        let output = self.network.graph().output();
        if let Mode::Free = mode {
            return Ok(state.network.resume(&self.cut)?.to_vec()?);
        }
        let mut values = self.evaluate(state, None, mode, &[output])?;
        Ok(values.remove(&output).unwrap_or_default())
    }

    /// The activation pattern at a state.
    ///
    /// # Errors
    /// [`network::NetworkError::NoLinearPiece`] when an activation has none.
    pub fn pattern(&self, state: &State) -> Result<Pattern, RepairError> {
        Ok(state.network.pattern(&self.cut, state.z.clone())?)
    }

    /// The features of every edited layer at one point.
    ///
    /// # Errors
    /// [`RepairError::Network`] and [`RepairError::Shape`].
    pub fn features(&self, state: &State, point: usize) -> Result<Vec<Features>, RepairError> {
        let cut = self.cut.select(&[point]);
        let of = |affine: &Affine, h: &Value| affine.features(&h.to_vec()?, &h.shape()[1..]);
        let mut features = vec![of(&self.layers[0], &cut.input)?];
        let rest = &self.layers[1..];
        let edited: Vec<Layer> = rest
            .iter()
            .filter(|affine| !affine.is_bias())
            .map(|affine| affine.layer().clone())
            .collect();
        if !edited.is_empty() {
            let z = state.z.select(&[point]);
            let inputs = state.network.inputs_behind(&cut, z, &edited)?;
            for (affine, h) in rest.iter().zip(inputs) {
                features.push(of(affine, &h)?);
            }
        }
        // What is left are biases, whose features are constant.
        for affine in &self.layers[features.len()..] {
            features.push(affine.features(&[], &[0])?);
        }
        Ok(features)
    }

    /// The sensitivities δ of the targets to the outputs of every edited layer, in the layout
    /// of those outputs: one list per target, in their order.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn sensitivities(
        &self,
        state: &State,
        targets: &[PointTarget],
        pattern: Option<&Pattern>,
    ) -> Result<Vec<Vec<Vec<f64>>>, RepairError> {
        let rows: Vec<usize> = targets.iter().map(|target| target.point).collect();
        let chosen = pattern.map(|pattern| pattern.select(&rows));
        let mode = chosen.as_ref().map_or(Mode::Free, Mode::Frozen);
        self.differentiate(state, &rows, targets, mode)
    }

    /// The lower bounds that stand in for dead outputs `(point, output)`; `None` for an output
    /// that has a gradient.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub(crate) fn dead_outputs(
        &self,
        state: &State,
        outputs: &[(usize, usize)],
    ) -> Result<Vec<Option<Surrogate>>, RepairError> {
        let offsets = BTreeMap::new();
        let z = state.z.clone();
        Ok(state
            .network
            .dead_outputs(&self.cut, z, &offsets, outputs)?)
    }

    /// As [`Suffix::sensitivities`], with surrogates for some rows' outputs.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub(crate) fn woken_sensitivities(
        &self,
        state: &State,
        targets: &[PointTarget],
        surrogates: &[Option<Surrogate>],
    ) -> Result<Vec<Vec<Vec<f64>>>, RepairError> {
        let rows: Vec<usize> = targets.iter().map(|target| target.point).collect();
        let mode = match surrogates.iter().any(Option::is_some) {
            true => Mode::Woken(surrogates),
            false => Mode::Free,
        };
        self.differentiate(state, &rows, targets, mode)
    }

    fn differentiate(
        &self,
        state: &State,
        rows: &[usize],
        targets: &[PointTarget],
        mode: Mode<'_>,
    ) -> Result<Vec<Vec<Vec<f64>>>, RepairError> {
        let probed: Vec<NodeId> = self.layers[1..]
            .iter()
            .map(|affine| affine.layer().node)
            .collect();
        let wanted: Vec<Target> = targets.iter().map(|target| target.target.clone()).collect();
        let (first, later) = state.network.sensitivities_behind(
            &self.cut.select(rows),
            state.z.select(rows),
            &BTreeMap::new(),
            &wanted,
            &probed,
            mode,
        )?;
        let mut columns = vec![first.to_vec()?];
        for node in &probed {
            columns.push(later[node].to_vec()?);
        }
        let split = |r: usize| {
            let of = |column: &Vec<f64>| {
                let size = column.len() / rows.len();
                column[r * size..(r + 1) * size].to_vec()
            };
            columns.iter().map(of).collect()
        };
        Ok((0..rows.len()).map(split).collect())
    }

    /// Numbers that one target's sensitivities have over all edited layers.
    pub fn sensitivity_numbers(&self, state: &State) -> usize {
        let z = state.z.shape();
        // Later layers are rarely larger than the first.
        z[1..].iter().product::<usize>() * self.layers.len()
    }
}
