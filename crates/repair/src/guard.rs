//! Second moments over the guard set, for all layers in one pass.
//!
//! For a layer with input h̃ = [h; 1] and output z,
//!
//! ```text
//! A = E[h̃ h̃ᵀ],      G = E[Σ_c δ_c δ_cᵀ],   δ_c = ∂y_c/∂z
//! ```
//!
//! so that a change Δ of W̃ = [W b] changes the outputs by E‖Δy‖² ≈ Δᵀ(A ⊗ G)Δ
//! to first order, if inputs and Jacobians are taken as independent (the
//! Kronecker approximation of Martens & Grosse, ICML 2015).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use network::{Network, Value};

use crate::{RepairError, supported};

/// The moments of one layer.
#[derive(Clone, Debug)]
pub struct LayerMoments {
    /// A, (m + 1) x (m + 1).
    pub inputs: Mat<f64>,
    /// G, p x p.
    pub outputs: Mat<f64>,
}

/// The moments of all layers, in layer order.
#[derive(Clone, Debug)]
pub struct GuardMoments {
    /// One entry per weight-bearing layer.
    pub layers: Vec<LayerMoments>,
    /// Number of guard inputs.
    pub inputs: usize,
}

/// Guard inputs that are pushed through the network at once.
const CHUNK: usize = 512;

impl GuardMoments {
    /// Streams the guard inputs (`n x example`, row-major) through the network.
    ///
    /// # Errors
    /// [`RepairError::NoGuard`] when there are none; [`RepairError::Unsupported`] for a layer
    /// whose kind has no moments; [`RepairError::Network`].
    pub fn collect(network: &Network, inputs: &[f32]) -> Result<Self, RepairError> {
        let example: usize = network.graph().input_shape().iter().product();
        let count = inputs.len() / example.max(1);
        if count == 0 {
            return Err(RepairError::NoGuard);
        }
        network.layers().iter().try_for_each(supported)?;
        let zero = |n: usize| Mat::<f64>::zeros(n, n);
        let mut layers: Vec<LayerMoments> = network
            .layers()
            .iter()
            .map(|layer| LayerMoments {
                inputs: zero(layer.inputs + 1),
                outputs: zero(layer.outputs),
            })
            .collect();
        for chunk in inputs.chunks(CHUNK * example) {
            let x = network.batch(chunk)?;
            let batch = x.batch();
            let (traces, outputs) = network.activations(x.clone())?;
            let classes = outputs.shape()[1];
            for (moments, trace) in layers.iter_mut().zip(&traces) {
                let h = with_one(&trace.input.to_vec()?, batch);
                accumulate(&mut moments.inputs, &h, batch, 1.0 / count as f64);
            }
            for class in 0..classes {
                let mut selector = vec![0.0; batch * classes];
                selector
                    .iter_mut()
                    .skip(class)
                    .step_by(classes)
                    .for_each(|s| *s = 1.0);
                let selector = Value::from_f64(
                    &selector,
                    &[batch, classes],
                    network.device(),
                    network.precision(),
                )?;
                for (moments, delta) in layers
                    .iter_mut()
                    .zip(network.sensitivities(x.clone(), selector)?)
                {
                    accumulate(
                        &mut moments.outputs,
                        &delta.to_vec()?,
                        batch,
                        1.0 / count as f64,
                    );
                }
            }
        }
        Ok(Self {
            layers,
            inputs: count,
        })
    }
}

/// Appends the constant feature that carries the bias: rows `[h; 1]`.
pub(crate) fn with_one(rows: &[f64], count: usize) -> Vec<f64> {
    let width = rows.len() / count.max(1);
    let mut extended = Vec::with_capacity(rows.len() + count);
    for row in rows.chunks_exact(width.max(1)) {
        extended.extend_from_slice(row);
        extended.push(1.0);
    }
    extended
}

/// `moment += scale · rowsᵀ rows`
fn accumulate(moment: &mut Mat<f64>, rows: &[f64], count: usize, scale: f64) {
    let width = moment.nrows();
    let rows = MatRef::from_row_major_slice(rows, count, width);
    matmul(
        moment.as_mut(),
        Accum::Add,
        rows.transpose(),
        rows,
        scale,
        Par::Seq,
    );
}
