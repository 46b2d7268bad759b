//! The network behind the start layer, at the repair points.
//!
//! The prefix is computed once; every later evaluation starts from the layer's
//! inputs h_i and its outputs z_i = W h_i + b.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use network::{Cut, Layer, LayerKind, Mode, Network, NodeId, Pattern, Target, Value};

use crate::guard::with_one;
use crate::{Change, RepairError};

/// Rows whose sensitivities are computed in one backward pass.
const CHUNK: usize = 2048;

/// A start layer, the points at its input, and the network behind it.
#[derive(Clone, Debug)]
pub struct Suffix<'a> {
    network: &'a Network,
    layer: Layer,
    later: Vec<Layer>,
    cut: Cut,
    /// h̃_i = [h_i; 1], points x (m + 1).
    inputs: Vec<f64>,
    /// z_i at the original weights, points x p.
    outputs: Vec<f64>,
    points: usize,
}

/// Sensitivities of one scalar: to the start layer's output and to each later bias.
#[derive(Clone, Debug)]
pub struct Sensitivity {
    /// g, p numbers.
    pub output: Vec<f64>,
    /// g_q of the later biases, concatenated.
    pub later: Vec<f64>,
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
    /// Runs the prefix on the points (`points x example`, row-major). With
    /// `later_biases` the biases of the layers behind may change too.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn new(
        network: &'a Network,
        layer: &Layer,
        points: &[f32],
        later_biases: bool,
    ) -> Result<Self, RepairError> {
        let cut = network.run_until(layer, network.batch(points)?)?;
        let count = cut.input.batch();
        let inputs = with_one(&cut.input.to_vec()?, count);
        let later = if later_biases {
            network.layers()[layer.index + 1..].to_vec()
        } else {
            Vec::new()
        };
        later
            .iter()
            .try_for_each(|layer| linear_bias(layer).map(drop))?;
        let weight = network.tensor(&layer.weight)?;
        let bias = network.tensor(linear_bias(layer)?)?;
        let mut suffix = Self {
            network,
            layer: layer.clone(),
            later,
            cut,
            outputs: Vec::new(),
            inputs,
            points: count,
        };
        suffix.outputs = suffix.affine(&weight, &bias);
        Ok(suffix)
    }

    /// The start layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The later layers whose biases may change.
    pub fn later(&self) -> &[Layer] {
        &self.later
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// h̃_i = [h_i; 1], points x (m + 1), row-major.
    pub fn inputs(&self) -> &[f64] {
        &self.inputs
    }

    /// The start layer's outputs at the original weights, points x p.
    pub fn layer_outputs(&self) -> &[f64] {
        &self.outputs
    }

    /// The values of `wanted` nodes after a change (`None`: the original), each
    /// `points x width`, row-major.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn evaluate(
        &self,
        change: Option<&Change>,
        mode: Mode<'_>,
        wanted: &[NodeId],
    ) -> Result<BTreeMap<NodeId, Vec<f64>>, RepairError> {
        let z = self.changed_outputs(change);
        let offsets = self.offsets(change)?;
        let mut found = BTreeMap::new();
        let behind: Vec<NodeId> = wanted
            .iter()
            .copied()
            .filter(|&id| id != self.layer.node)
            .collect();
        if !behind.is_empty() {
            let z = self.value(&z, self.points)?;
            for (id, value) in self
                .network
                .resume_with(&self.cut, z, &offsets, mode, &behind)?
            {
                found.insert(id, value.to_vec()?);
            }
        }
        if wanted.contains(&self.layer.node) {
            found.insert(self.layer.node, z);
        }
        Ok(found)
    }

    /// The outputs y after a change, points x classes.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn outputs(
        &self,
        change: Option<&Change>,
        mode: Mode<'_>,
    ) -> Result<Vec<f64>, RepairError> {
        let output = self.network.graph().output();
        Ok(self
            .evaluate(change, mode, &[output])?
            .remove(&output)
            .unwrap_or_default())
    }

    /// The activation pattern at the original weights.
    ///
    /// # Errors
    /// [`network::NetworkError::NoLinearPiece`] when an activation has none.
    pub fn pattern(&self) -> Result<Pattern, RepairError> {
        Ok(self
            .network
            .pattern(&self.cut, self.value(&self.outputs, self.points)?)?)
    }

    /// The sensitivities of the targets at a change, in their order.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn sensitivities(
        &self,
        change: Option<&Change>,
        targets: &[PointTarget],
        pattern: Option<&Pattern>,
    ) -> Result<Vec<Sensitivity>, RepairError> {
        let p = self.layer.outputs;
        let z = self.changed_outputs(change);
        let probed: Vec<NodeId> = self.later.iter().map(|layer| layer.node).collect();
        let offsets = self.offsets(change)?;
        let mut found = Vec::with_capacity(targets.len());
        for chunk in targets.chunks(CHUNK) {
            let rows: Vec<usize> = chunk.iter().map(|target| target.point).collect();
            let z: Vec<f64> = rows
                .iter()
                .flat_map(|&i| z[i * p..(i + 1) * p].iter().copied())
                .collect();
            let wanted: Vec<Target> = chunk.iter().map(|target| target.target.clone()).collect();
            let chosen = pattern.map(|pattern| pattern.select(&rows));
            let mode = chosen.as_ref().map_or(Mode::Free, Mode::Frozen);
            let (output, later) = self.network.sensitivities_behind(
                &self.cut.select(&rows),
                self.value(&z, rows.len())?,
                &offsets,
                &wanted,
                &probed,
                mode,
            )?;
            let output = output.to_vec()?;
            let later = probed
                .iter()
                .map(|id| later[id].to_vec())
                .collect::<Result<Vec<_>, _>>()?;
            for r in 0..rows.len() {
                let later = later.iter().zip(&self.later);
                found.push(Sensitivity {
                    output: output[r * p..(r + 1) * p].to_vec(),
                    later: later
                        .flat_map(|(g, l)| g[r * l.outputs..(r + 1) * l.outputs].iter().copied())
                        .collect(),
                });
            }
        }
        Ok(found)
    }

    fn value(&self, z: &[f64], rows: usize) -> Result<Value, RepairError> {
        let shape = [rows, self.layer.outputs];
        Ok(Value::from_f64(
            z,
            &shape,
            self.network.device(),
            self.network.precision(),
        )?)
    }

    fn offsets(&self, change: Option<&Change>) -> Result<BTreeMap<NodeId, Value>, RepairError> {
        let Some(change) = change else {
            return Ok(BTreeMap::new());
        };
        let mut offsets = BTreeMap::new();
        for (layer, offset) in self.later.iter().zip(&change.later) {
            let (device, precision) = (self.network.device(), self.network.precision());
            offsets.insert(
                layer.node,
                Value::from_f64(offset, &[layer.outputs], device, precision)?,
            );
        }
        Ok(offsets)
    }

    /// z + ΔW h + Δb, points x p.
    fn changed_outputs(&self, change: Option<&Change>) -> Vec<f64> {
        let mut z = self.outputs.clone();
        if let Some(change) = change {
            let moved = self.affine(&change.weight, &change.bias);
            z.iter_mut().zip(moved).for_each(|(z, d)| *z += d);
        }
        z
    }

    /// W h_i + b for every point, points x p.
    fn affine(&self, weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let (p, m) = (self.layer.outputs, self.layer.inputs);
        let mut z: Vec<f64> = bias.iter().copied().cycle().take(self.points * p).collect();
        matmul(
            MatMut::from_row_major_slice_mut(&mut z, self.points, p),
            Accum::Add,
            MatRef::from_row_major_slice(&self.inputs, self.points, m + 1).subcols(0, m),
            MatRef::from_row_major_slice(weight, p, m).transpose(),
            1.0,
            Par::Seq,
        );
        z
    }
}

/// Whether a layer can be repaired: linear layers with a bias can.
///
/// # Errors
/// [`RepairError::Unsupported`] names the layer and its kind.
pub fn supported(layer: &Layer) -> Result<(), RepairError> {
    linear_bias(layer).map(drop)
}

/// The bias of a linear layer, the only kind that this encoding edits.
fn linear_bias(layer: &Layer) -> Result<&str, RepairError> {
    match (layer.kind, &layer.bias) {
        (LayerKind::Linear, Some(bias)) => Ok(bias),
        (kind, bias) => Err(RepairError::Unsupported {
            node: layer.name.clone(),
            op: match bias {
                Some(_) => kind.name().to_owned(),
                None => format!("{} without bias", kind.name()),
            },
            encoding: "point repair",
        }),
    }
}
