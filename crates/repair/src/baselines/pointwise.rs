//! A layer that applies one matrix at every position: a linear layer, at every token if there are
//! tokens, or a 1x1 convolution at every pixel.
//!
//! ```text
//! z_{i,t} = W̃ h̃_{i,t},     W̃ = [W b],     h̃ = [h; 1]
//! ```

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use network::{Layer, LayerKind, Model, Network, Op, Value};

use crate::RepairError;

/// The layer, and how its positions lie in memory.
#[derive(Clone, Debug)]
pub(super) struct Pointwise {
    layer: Layer,
    /// Channels come before positions.
    image: bool,
}

impl Pointwise {
    /// # Errors
    /// [`RepairError::Unsupported`] for a layer that reads more than one position, or that only
    /// scales.
    pub(super) fn new(network: &Network, layer: &Layer) -> Result<Self, RepairError> {
        let image = match &network.graph().nodes()[layer.node].op {
            Op::Linear(_) => false,
            Op::Conv2d(op)
                if [op.kernel, op.stride, op.dilation] == [[1; 2]; 3]
                    && op.groups == 1
                    && op.padding == [0; 2] =>
            {
                true
            }
            op => {
                return Err(RepairError::Unsupported {
                    node: layer.name.clone(),
                    op: match layer.kind {
                        LayerKind::Conv2d => "conv2d of more than one pixel or group".to_owned(),
                        _ => op.name().to_owned(),
                    },
                    encoding: "pointwise",
                });
            }
        };
        Ok(Self {
            layer: layer.clone(),
            image,
        })
    }

    pub(super) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Numbers of h̃.
    pub(super) fn width(&self) -> usize {
        self.layer.inputs + usize::from(self.layer.bias.is_some())
    }

    /// h̃ of every example and position, row-major, from the layer's input.
    pub(super) fn inputs(&self, h: &Value) -> Result<Vec<f64>, RepairError> {
        let numbers = h.to_vec()?;
        let m = self.layer.inputs;
        let rows = numbers.len() / m.max(1);
        let mut inputs = Vec::with_capacity(rows * self.width());
        let example = rows / h.batch().max(1);
        for row in 0..rows {
            let (i, t) = (row / example, row % example);
            match self.image {
                true => inputs.extend((0..m).map(|c| numbers[(i * m + c) * example + t])),
                false => inputs.extend_from_slice(&numbers[row * m..(row + 1) * m]),
            }
            if self.layer.bias.is_some() {
                inputs.push(1.0);
            }
        }
        Ok(inputs)
    }

    /// W̃ of a network, row-major.
    pub(super) fn matrix(&self, network: &Network) -> Result<Vec<f64>, RepairError> {
        let weight = network.tensor(&self.layer.weight)?;
        let Some(bias) = &self.layer.bias else {
            return Ok(weight);
        };
        let rows = weight.chunks_exact(self.layer.inputs.max(1));
        let rows = rows.zip(network.tensor(bias)?);
        Ok(rows
            .flat_map(|(row, b)| row.iter().copied().chain([b]))
            .collect())
    }

    /// The layer's output z for inputs h̃, shaped as that of an input like `h`.
    pub(super) fn outputs(
        &self,
        network: &Network,
        matrix: &[f64],
        inputs: &[f64],
        h: &Value,
    ) -> Result<Value, RepairError> {
        let (p, width) = (self.layer.outputs, self.width());
        let rows = inputs.len() / width.max(1);
        let mut z = vec![0.0; rows * p];
        matmul(
            MatMut::from_row_major_slice_mut(&mut z, rows, p),
            Accum::Replace,
            MatRef::from_row_major_slice(inputs, rows, width),
            MatRef::from_row_major_slice(matrix, p, width).transpose(),
            1.0,
            Par::Seq,
        );
        let mut shape = h.shape();
        if self.image {
            z = transposed(&z, shape[0], rows / shape[0].max(1), p);
            shape[1] = p;
        } else if let Some(features) = shape.last_mut() {
            *features = p;
        }
        let (device, precision) = (network.device(), network.precision());
        Ok(Value::from_f64(&z, &shape, device, precision)?)
    }

    /// A sensitivity to the layer's output, `[rows, ..]`, as positions x p for each row.
    pub(super) fn sensitivities(&self, delta: &Value) -> Result<Vec<Vec<f64>>, RepairError> {
        let (rows, p) = (delta.batch(), self.layer.outputs);
        let mut numbers = delta.to_vec()?;
        let example = numbers.len() / rows.max(1);
        if self.image {
            numbers = transposed(&numbers, rows, p, example / p.max(1));
        }
        let rows = numbers.chunks_exact(example.max(1));
        Ok(rows.map(<[f64]>::to_vec).collect())
    }

    /// The layer's tensors after adding `delta` to W̃: stored number plus change.
    pub(super) fn edited(
        &self,
        checkpoint: &Model,
        delta: &[f64],
    ) -> Result<BTreeMap<String, Vec<f64>>, RepairError> {
        let (m, width) = (self.layer.inputs, self.width());
        let mut weight = checkpoint.tensor(&self.layer.weight)?;
        let rows = weight.chunks_exact_mut(m.max(1));
        for (row, delta) in rows.zip(delta.chunks_exact(width.max(1))) {
            row.iter_mut().zip(delta).for_each(|(w, d)| *w += d);
        }
        let mut tensors = BTreeMap::from([(self.layer.weight.clone(), weight)]);
        if let Some(name) = &self.layer.bias {
            let mut bias = checkpoint.tensor(name)?;
            let rows = delta.chunks_exact(width.max(1));
            bias.iter_mut().zip(rows).for_each(|(b, row)| *b += row[m]);
            tensors.insert(name.clone(), bias);
        }
        Ok(tensors)
    }
}

/// Each of `count` matrices `rows x columns` transposed.
fn transposed(numbers: &[f64], count: usize, rows: usize, columns: usize) -> Vec<f64> {
    let mut turned = Vec::with_capacity(numbers.len());
    for i in 0..count {
        let matrix = &numbers[i * rows * columns..(i + 1) * rows * columns];
        for c in 0..columns {
            turned.extend((0..rows).map(|r| matrix[r * columns + c]));
        }
    }
    turned
}
