//! The metric in which a change is measured, as a change of coordinates.
//!
//! With Cholesky factors A = L_A L_Aᵀ and G = L_G L_Gᵀ (damped), the objective is
//!
//! ```text
//! Δᵀ(A ⊗ G)Δ = ‖X‖²,   X = L_Gᵀ Δ L_A,   gᵀ Δ h̃ = (L_G⁻¹ g)ᵀ X (L_A⁻¹ h̃)
//! ```
//!
//! so whitening the factors of every row turns `guarded` into `l2`, and the
//! solvers know one objective only. Each later bias is measured by its own
//! layer's G.
//!
//! Damping keeps directions that no guard input uses from being free: each
//! factor gets `√ε` times its mean diagonal (Martens & Grosse, ICML 2015,
//! section 6.3, with the mean diagonal in place of the trace norm), so that
//! `A ⊗ G` is damped by about ε of its mean eigenvalue where both vanish.

use faer::linalg::solvers::Llt;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Mat, MatMut, Par, Side};
use network::Layer;
use optim::{Inputs, Shape, Unknown};

use crate::guard::{GuardMoments, LayerMoments};
use crate::suffix::{Sensitivity, Suffix};
use crate::{Change, RepairError};

/// Default damping ε.
pub const DAMPING: f64 = 1e-3;

/// Coordinates in which the objective is the squared Euclidean norm.
#[derive(Clone, Debug)]
pub struct Metric {
    factors: Option<Factors>,
    shape: Shape,
    tails: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Factors {
    inputs: Mat<f64>,
    outputs: Mat<f64>,
    tails: Vec<Mat<f64>>,
}

impl Metric {
    /// The Euclidean metric of a change of `layer` and of the biases of `later`.
    pub fn euclidean(layer: &Layer, later: &[Layer]) -> Self {
        let tails: Vec<usize> = later.iter().map(|layer| layer.outputs).collect();
        Self {
            factors: None,
            shape: Shape {
                outputs: layer.outputs,
                inputs: layer.inputs + 1,
                tail: tails.iter().sum(),
            },
            tails,
        }
    }

    /// The guard metric with damping ε.
    ///
    /// # Errors
    /// [`RepairError::Metric`] when a factor is not positive definite.
    pub fn guarded(
        layer: &Layer,
        later: &[Layer],
        moments: &GuardMoments,
        damping: f64,
    ) -> Result<Self, RepairError> {
        let of = |layer: &Layer| &moments.layers[layer.index];
        let LayerMoments { inputs, outputs } = of(layer);
        let factors = Factors {
            inputs: factor(inputs, damping, "input moment", layer)?,
            outputs: factor(outputs, damping, "Jacobian moment", layer)?,
            tails: later
                .iter()
                .map(|layer| factor(&of(layer).outputs, damping, "Jacobian moment", layer))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            factors: Some(factors),
            ..Self::euclidean(layer, later)
        })
    }

    /// Size of the unknown: p x (m + 1) and the later biases.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// `L_A⁻¹ h̃` for each row of `inputs` (`count x (m + 1)`).
    pub fn whiten_inputs(&self, inputs: &mut [f64]) {
        if let Some(factors) = &self.factors {
            solve_rows(&factors.inputs, inputs);
        }
    }

    /// `L_G⁻¹ g` for each row of `sensitivities` (`count x p`).
    pub fn whiten_sensitivities(&self, sensitivities: &mut [f64]) {
        if let Some(factors) = &self.factors {
            solve_rows(&factors.outputs, sensitivities);
        }
    }

    /// The same for the rows of the concatenated later sensitivities (`count x q`).
    pub fn whiten_tails(&self, tails: &mut [f64]) {
        let Some(factors) = &self.factors else { return };
        if self.shape.tail == 0 {
            return;
        }
        for row in tails.chunks_exact_mut(self.shape.tail) {
            let mut rest = row;
            for factor in &factors.tails {
                let (head, tail) = rest.split_at_mut(factor.nrows());
                solve_rows(factor, head);
                rest = tail;
            }
        }
    }

    /// The factors of a row, in these coordinates.
    pub(crate) fn whiten(&self, sensitivity: &mut Sensitivity) {
        self.whiten_sensitivities(&mut sensitivity.output);
        self.whiten_tails(&mut sensitivity.later);
    }

    /// The inputs h̃ of every point of a suffix, in these coordinates.
    pub(crate) fn inputs(&self, suffix: &Suffix<'_>) -> Inputs {
        let mut whitened = suffix.inputs().to_vec();
        self.whiten_inputs(&mut whitened);
        let mut inputs = Inputs::new(self.shape.inputs);
        for row in whitened.chunks_exact(self.shape.inputs) {
            inputs.push(row.to_vec());
        }
        inputs
    }

    /// The change Δ of which `x` are the coordinates: `Δ = L_G⁻ᵀ X L_A⁻¹`.
    pub fn change(&self, x: &Unknown) -> Change {
        let Shape {
            outputs, inputs, ..
        } = self.shape;
        let mut matrix = x.matrix.clone();
        let mut tail = x.tail.clone();
        if let Some(factors) = &self.factors {
            // L_G⁻ᵀ X, then (· L_A⁻¹): as columns of the transpose, L_A⁻ᵀ (·)ᵀ.
            let mut block = MatMut::from_row_major_slice_mut(&mut matrix, outputs, inputs);
            solve_upper_triangular_in_place(factors.outputs.transpose(), block.as_mut(), Par::Seq);
            solve_upper_triangular_in_place(
                factors.inputs.transpose(),
                block.transpose_mut(),
                Par::Seq,
            );
            let mut rest = tail.as_mut_slice();
            for factor in &factors.tails {
                let (head, next) = rest.split_at_mut(factor.nrows());
                let count = head.len();
                let column = MatMut::from_column_major_slice_mut(head, count, 1);
                solve_upper_triangular_in_place(factor.transpose(), column, Par::Seq);
                rest = next;
            }
        }
        let mut weight = Vec::with_capacity(outputs * (inputs - 1));
        let mut bias = Vec::with_capacity(outputs);
        for row in matrix.chunks_exact(inputs) {
            weight.extend_from_slice(&row[..inputs - 1]);
            bias.push(row[inputs - 1]);
        }
        let mut rest = tail.as_slice();
        let later = self
            .tails
            .iter()
            .map(|&width| {
                let (head, next) = rest.split_at(width);
                rest = next;
                head.to_vec()
            })
            .collect();
        Change {
            weight,
            bias,
            later,
        }
    }
}

/// `rows ← (L⁻¹ rowsᵀ)ᵀ`
fn solve_rows(factor: &Mat<f64>, rows: &mut [f64]) {
    let width = factor.nrows();
    let count = rows.len() / width.max(1);
    let columns = MatMut::from_column_major_slice_mut(rows, width, count);
    solve_lower_triangular_in_place(factor.as_ref(), columns, Par::Seq);
}

fn factor(
    moment: &Mat<f64>,
    damping: f64,
    what: &'static str,
    layer: &Layer,
) -> Result<Mat<f64>, RepairError> {
    let n = moment.nrows();
    let mean = (0..n).map(|i| moment[(i, i)]).sum::<f64>() / n as f64;
    // A layer that no output depends on has G = 0: any change is free, measure it plainly.
    let mean = if mean > 0.0 { mean } else { 1.0 };
    let mut damped = moment.clone();
    for i in 0..n {
        damped[(i, i)] += damping.sqrt() * mean;
    }
    let llt = Llt::new(damped.as_ref(), Side::Lower).map_err(|_| RepairError::Metric {
        what,
        layer: layer.name.clone(),
    })?;
    Ok(llt.L().to_owned())
}
