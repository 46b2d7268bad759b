//! A layer as an affine map of feature vectors at positions.
//!
//! Every weight-bearing layer but an embedding is, per example and group γ of outputs,
//!
//! ```text
//! z_{γ,t} = W̃_γ φ_{γ,t},        t = 1 .. T
//! ```
//!
//! | layer | positions t | groups | φ |
//! |---|---|---|---|
//! | linear | tokens (one without) | 1 | `[h_t; 1]` |
//! | convolution | output pixels | its groups | `[window of h at t; 1]` |
//! | batch norm | pixels | channels | `[normalised h_t; 1]` |
//! | layer norm | tokens | features | `[normalised h_t; 1]` |
//!
//! (the 1 only with a bias), so the gradient of a scalar with sensitivity δ to z is
//! `D_γ = Σ_t δ_{γ,t} φ_{γ,t}ᵀ`, and everything behind this file treats all layers alike.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use network::{Conv2d, Layer, LayerKind, Network, Op};

use crate::{Change, RepairError};

/// A layer's affine form.
#[derive(Clone, Debug)]
pub struct Affine {
    layer: Layer,
    form: Form,
    groups: usize,
    width: usize,
}

#[derive(Clone, Debug)]
enum Form {
    Tokens,
    Windows(Conv2d),
    Channels {
        mean: Vec<f64>,
        scale: Vec<f64>,
    },
    Features {
        epsilon: f64,
    },
    /// The bias alone; whether the positions of an output come last.
    Bias {
        channels_first: bool,
    },
}

/// The feature vectors of one example, `groups x positions x width`.
#[derive(Clone, Debug)]
pub struct Features {
    values: Vec<f64>,
    positions: usize,
    width: usize,
}

impl Features {
    /// Features of a single group from `positions x width` numbers.
    pub(crate) fn new(values: Vec<f64>, positions: usize, width: usize) -> Self {
        Self {
            values,
            positions,
            width,
        }
    }

    /// Number of positions T.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Φ of a group, positions x width.
    pub fn group(&self, group: usize) -> MatRef<'_, f64> {
        let size = self.positions * self.width;
        let values = &self.values[group * size..(group + 1) * size];
        MatRef::from_row_major_slice(values, self.positions, self.width)
    }
}

impl Affine {
    /// The affine form of a layer of `network`.
    ///
    /// # Errors
    /// [`RepairError::Unsupported`] for an embedding; [`RepairError::Network`].
    pub fn new(network: &Network, layer: &Layer) -> Result<Self, RepairError> {
        supported(layer)?;
        let node = &network.graph().nodes()[layer.node];
        let (form, groups) = match &node.op {
            Op::Conv2d(conv) => (Form::Windows(conv.clone()), conv.groups),
            Op::BatchNorm(norm) => {
                let scale = network.tensor(&norm.variance)?;
                let scale = scale.iter().map(|v| 1.0 / (v + norm.epsilon).sqrt());
                let form = Form::Channels {
                    mean: network.tensor(&norm.mean)?,
                    scale: scale.collect(),
                };
                (form, layer.outputs)
            }
            Op::LayerNorm(norm) => {
                let epsilon = norm.epsilon;
                (Form::Features { epsilon }, layer.outputs)
            }
            _ => (Form::Tokens, 1),
        };
        let inputs = match &form {
            Form::Windows(conv) => conv.reads(),
            _ => layer.inputs,
        };
        Ok(Self {
            width: inputs + usize::from(layer.bias.is_some()),
            layer: layer.clone(),
            form,
            groups,
        })
    }

    /// The bias of a layer as an affine map: φ is the constant 1. `None` without a bias.
    pub fn bias(layer: &Layer) -> Option<Self> {
        layer.bias.as_ref()?;
        let channels_first = matches!(layer.kind, LayerKind::Conv2d | LayerKind::BatchNorm);
        Some(Self {
            layer: layer.clone(),
            form: Form::Bias { channels_first },
            groups: 1,
            width: 1,
        })
    }

    /// Whether only the bias may change.
    pub fn is_bias(&self) -> bool {
        matches!(self.form, Form::Bias { .. })
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Number of groups; features and outputs of different groups do not mix.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Outputs of one group.
    pub fn group_outputs(&self) -> usize {
        self.layer.outputs / self.groups
    }

    /// Numbers of a feature vector, the constant 1 included.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of parameters, p x width.
    pub fn entries(&self) -> usize {
        self.layer.outputs * self.width
    }

    /// The features of one example from the layer's input; `shape` has no batch.
    ///
    /// # Errors
    /// [`RepairError::Shape`] when the input is no whole number of vectors.
    pub fn features(&self, input: &[f64], shape: &[usize]) -> Result<Features, RepairError> {
        let expected: usize = shape.iter().product();
        if input.len() != expected {
            return Err(RepairError::Shape {
                what: "numbers of a layer's input",
                expected,
                got: input.len(),
            });
        }
        let values = match &self.form {
            Form::Bias { .. } => vec![1.0],
            Form::Tokens => self.tokens(input),
            Form::Windows(conv) => self.windows(conv, input, shape),
            Form::Channels { mean, scale } => {
                let plane = input.len() / self.groups.max(1);
                let normalised = input.iter().enumerate();
                normalised
                    .flat_map(|(at, x)| {
                        let channel = at / plane;
                        [(x - mean[channel]) * scale[channel], 1.0]
                    })
                    .collect()
            }
            Form::Features { epsilon } => self.normalised(input, *epsilon),
        };
        Ok(Features {
            positions: values.len() / (self.groups * self.width).max(1),
            width: self.width,
            values,
        })
    }

    fn tokens(&self, input: &[f64]) -> Vec<f64> {
        let inputs = self.layer.inputs;
        let mut values = Vec::with_capacity(input.len() + input.len() / inputs.max(1));
        for token in input.chunks_exact(inputs.max(1)) {
            values.extend_from_slice(token);
            values.extend(self.layer.bias.is_some().then_some(1.0));
        }
        values
    }

    fn windows(&self, conv: &Conv2d, input: &[f64], shape: &[usize]) -> Vec<f64> {
        let [height, width] = [shape[1], shape[2]];
        let [rows, columns] = conv.output_size([height, width]).unwrap_or_default();
        let channels = conv.inputs / conv.groups;
        let mut values = vec![0.0; self.groups * rows * columns * self.width];
        let mut windows = values.chunks_exact_mut(self.width);
        for group in 0..self.groups {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let Some(window) = windows.next() else { break };
                if let Some(one) = window.get_mut(conv.reads()) {
                    *one = 1.0;
                }
                let mut entries = window.iter_mut();
                for channel in group * channels..(group + 1) * channels {
                    let plane = &input[channel * height * width..(channel + 1) * height * width];
                    for (dy, dx) in
                        (0..conv.kernel[0]).flat_map(|y| (0..conv.kernel[1]).map(move |x| (y, x)))
                    {
                        let Some(entry) = entries.next() else { break };
                        let at = |axis: usize, output: usize, tap: usize| {
                            (output * conv.stride[axis] + tap * conv.dilation[axis])
                                .wrapping_sub(conv.padding[axis])
                        };
                        let (y, x) = (at(0, row, dy), at(1, column, dx));
                        if y < height && x < width {
                            *entry = plane[y * width + x];
                        }
                    }
                }
            }
        }
        values
    }

    fn normalised(&self, input: &[f64], epsilon: f64) -> Vec<f64> {
        let features = self.layer.outputs;
        let tokens = input.len() / features.max(1);
        let mut values = vec![1.0; 2 * input.len()];
        for (t, token) in input.chunks_exact(features.max(1)).enumerate() {
            let mean = token.iter().sum::<f64>() / features as f64;
            let variance = token.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / features as f64;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for (feature, x) in token.iter().enumerate() {
                values[2 * (feature * tokens + t)] = (x - mean) * scale;
            }
        }
        values
    }

    /// δ of a group, group outputs x positions, from one example's sensitivities in the
    /// layout of the layer's output.
    pub fn sensitivity<'a>(&self, delta: &'a [f64], group: usize) -> MatRef<'a, f64> {
        let (p, outputs) = (self.layer.outputs, self.group_outputs());
        let positions = delta.len() / p.max(1);
        match self.form {
            Form::Windows(_)
            | Form::Channels { .. }
            | Form::Bias {
                channels_first: true,
            } => {
                MatRef::from_row_major_slice(delta, p, positions).subrows(group * outputs, outputs)
            }
            Form::Tokens | Form::Features { .. } | Form::Bias { .. } => {
                MatRef::from_row_major_slice(delta, positions, p)
                    .subcols(group * outputs, outputs)
                    .transpose()
            }
        }
    }

    /// The gradient D of a scalar with respect to W̃, p x width, row-major.
    pub fn gradient(&self, delta: &[f64], features: &Features) -> Vec<f64> {
        if self.is_bias() {
            return self.summed(delta);
        }
        let mut gradient = vec![0.0; self.entries()];
        let size = self.group_outputs() * self.width;
        for (group, block) in gradient.chunks_exact_mut(size.max(1)).enumerate() {
            product(block, self.sensitivity(delta, group), features.group(group));
        }
        gradient
    }

    /// Σ_t δ_t, the sensitivity to the bias.
    fn summed(&self, delta: &[f64]) -> Vec<f64> {
        let delta = self.sensitivity(delta, 0);
        (0..delta.nrows())
            .map(|o| delta.row(o).iter().sum())
            .collect()
    }

    /// The change of the layer's tensors that a change of W̃ (p x width, row-major) is.
    pub fn change(&self, matrix: &[f64]) -> Change {
        let mut change = Change::default();
        let rows = matrix.chunks_exact(self.width.max(1));
        if let (Some(bias), true) = (&self.layer.bias, self.is_bias()) {
            change.set(bias, matrix.to_vec());
        } else if let Some(bias) = &self.layer.bias {
            let inputs = self.width - 1;
            change.set(bias, rows.clone().map(|row| row[inputs]).collect());
            let weight = rows.flat_map(|row| row[..inputs].iter().copied());
            change.set(&self.layer.weight, weight.collect());
        } else {
            change.set(&self.layer.weight, matrix.to_vec());
        }
        change
    }

    /// The inverse of [`Affine::change`]; tensors that do not change count as zero.
    pub fn matrix(&self, change: &Change) -> Vec<f64> {
        let inputs = self.width - usize::from(self.layer.bias.is_some());
        let mut matrix = vec![0.0; self.entries()];
        if let Some(weight) = change.get(&self.layer.weight).filter(|_| inputs > 0) {
            for (row, weight) in matrix
                .chunks_exact_mut(self.width)
                .zip(weight.chunks_exact(inputs))
            {
                row[..inputs].copy_from_slice(weight);
            }
        }
        if let Some(bias) = self.layer.bias.as_ref().and_then(|name| change.get(name)) {
            for (row, &bias) in matrix.chunks_exact_mut(self.width).zip(bias) {
                row[inputs] = bias;
            }
        }
        matrix
    }
}

/// `target ← left · right`, row-major; one row is summed plainly, as for norms and
/// depthwise convolutions.
pub(crate) fn product(target: &mut [f64], left: MatRef<'_, f64>, right: MatRef<'_, f64>) {
    let (rows, columns) = (left.nrows(), right.ncols());
    if rows == 1 && columns <= 16 {
        target.fill(0.0);
        for t in 0..right.nrows() {
            let factor = left[(0, t)];
            if factor != 0.0 {
                for (column, entry) in target.iter_mut().enumerate() {
                    *entry += factor * right[(t, column)];
                }
            }
        }
        return;
    }
    matmul(
        MatMut::from_row_major_slice_mut(target, rows, columns),
        Accum::Replace,
        left,
        right,
        1.0,
        Par::Seq,
    );
}

/// Whether a layer can be repaired: all but embeddings.
///
/// # Errors
/// [`RepairError::Unsupported`] names the layer and its kind.
pub fn supported(layer: &Layer) -> Result<(), RepairError> {
    if let Some(reason) = &layer.fixed {
        return Err(RepairError::Fixed {
            layer: layer.name.clone(),
            reason: reason.clone(),
        });
    }
    if layer.kind != LayerKind::Embedding {
        return Ok(());
    }
    Err(RepairError::Unsupported {
        node: layer.name.clone(),
        op: layer.kind.name().to_owned(),
        encoding: "point repair",
    })
}

/// The layers of a network that can be repaired.
pub fn repairable(network: &Network) -> Vec<Layer> {
    let layers = network.layers().iter();
    layers
        .filter(|layer| supported(layer).is_ok())
        .cloned()
        .collect()
}

/// Which entries of W̃ (p x width) are zero in the network; a bias never counts.
///
/// # Errors
/// [`RepairError::Network`].
pub(crate) fn zeros(network: &Network, affine: &Affine) -> Result<Vec<bool>, RepairError> {
    if affine.is_bias() {
        return Ok(vec![false; affine.entries()]);
    }
    let layer = affine.layer();
    let weight = network.tensor(&layer.weight)?;
    let inputs = affine.width() - usize::from(layer.bias.is_some());
    let rows = weight.chunks_exact(inputs.max(1)).flat_map(|row| {
        let bias = layer.bias.is_some().then_some(false);
        row.iter().map(|&w| w == 0.0).chain(bias)
    });
    Ok(rows.collect())
}
