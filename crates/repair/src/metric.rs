//! The metric in which a change is measured, as a change of coordinates.
//!
//! With Cholesky factors A = L_A L_Aᵀ and G = L_G L_Gᵀ (damped) of each group of each edited
//! layer, the objective is
//!
//! ```text
//! Δᵀ(A ⊗ G)Δ = ‖X‖²,   X = L_Gᵀ Δ L_A,   ⟨δ φᵀ, Δ⟩ = (L_G⁻¹ δ)ᵀ X (L_A⁻¹ φ)
//! ```
//!
//! so whitening the factors of every row turns `guarded` into `l2`, and the solvers know one
//! objective only. Several layers are measured by the sum.
//!
//! Damping keeps directions that no guard input uses from being free: each factor gets `√ε`
//! times its mean diagonal (Martens & Grosse, ICML 2015, section 6.3, with the mean diagonal in
//! place of the trace norm), so that `A ⊗ G` is damped by about ε of its mean eigenvalue where
//! both vanish.

use faer::linalg::solvers::Llt;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Mat, MatMut, MatRef, Par, Side};
use network::Layer;

use crate::affine::Affine;
use crate::guard::GuardMoments;
use crate::{Change, RepairError};

/// Default damping ε.
pub const DAMPING: f64 = 1e-3;

/// Coordinates in which the objective is the squared Euclidean norm.
#[derive(Clone, Debug)]
pub struct Metric {
    blocks: Vec<Block>,
}

/// The metric of one edited layer.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// L_A and L_G per group; `None` for the Euclidean metric.
    factors: Option<Vec<[Mat<f64>; 2]>>,
}

impl Metric {
    /// The Euclidean metric of changes of some layers.
    pub fn euclidean(layers: &[Affine]) -> Self {
        let blocks = layers.iter().map(|_| Block { factors: None });
        Self {
            blocks: blocks.collect(),
        }
    }

    /// The guard metric with damping ε.
    ///
    /// # Errors
    /// [`RepairError::Metric`] when a factor is not positive definite;
    /// [`RepairError::Option`] for a layer without moments.
    pub fn guarded(
        layers: &[Affine],
        moments: &GuardMoments,
        damping: f64,
    ) -> Result<Self, RepairError> {
        let blocks = layers
            .iter()
            .map(|affine| Block::guarded(affine, moments, damping))
            .collect::<Result<_, _>>()?;
        Ok(Self { blocks })
    }

    /// One block per layer.
    pub(crate) fn of_blocks(blocks: Vec<Block>) -> Self {
        Self { blocks }
    }

    /// ½‖Δ‖² of a change of these layers.
    pub(crate) fn half_square(&self, layers: &[Affine], change: &Change) -> f64 {
        let parts = layers.iter().zip(&self.blocks);
        let square = |(affine, block): (&Affine, &Block)| -> f64 {
            let (p, width) = (affine.group_outputs(), affine.width());
            let matrix = affine.matrix(change);
            let groups = matrix.chunks_exact((p * width).max(1)).enumerate();
            let of_group = |(group, entries): (usize, &[f64])| {
                let delta = MatRef::from_row_major_slice(entries, p, width).to_owned();
                block.coordinates(group, delta).norm_l2().powi(2)
            };
            groups.map(of_group).sum()
        };
        0.5 * parts.map(square).sum::<f64>()
    }

    /// The metric of each layer, in the order given.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The same with diagonal factors only, in which single entries of the weights are
    /// coordinates.
    pub(crate) fn diagonal(&self) -> Self {
        let diagonal = |factor: &Mat<f64>| {
            // The diagonal of L Lᵀ is that of the moment.
            let n = factor.nrows();
            let mut lower = Mat::zeros(n, n);
            for i in 0..n {
                lower[(i, i)] = factor.row(i).norm_l2();
            }
            lower
        };
        let blocks = self.blocks.iter().map(|block| Block {
            factors: block.factors.as_ref().map(|factors| {
                let pairs = factors.iter();
                pairs
                    .map(|pair| [diagonal(&pair[0]), diagonal(&pair[1])])
                    .collect()
            }),
        });
        Self {
            blocks: blocks.collect(),
        }
    }
}

impl Block {
    /// The metric with factors L_A D and L_G E for diagonal D and E, given per group.
    pub(crate) fn scaled(&self, diagonals: &[[Vec<f64>; 2]]) -> Self {
        let scaled = |factor: Option<&Mat<f64>>, scales: &[f64]| {
            let n = scales.len();
            Mat::from_fn(n, n, |i, j| match factor {
                Some(factor) => factor[(i, j)] * scales[j],
                None if i == j => scales[i],
                None => 0.0,
            })
        };
        let groups = diagonals
            .iter()
            .enumerate()
            .map(|(group, [inputs, outputs])| {
                let own = self.factors.as_ref().map(|factors| &factors[group]);
                [
                    scaled(own.map(|own| &own[0]), inputs),
                    scaled(own.map(|own| &own[1]), outputs),
                ]
            });
        Self {
            factors: Some(groups.collect()),
        }
    }

    fn guarded(affine: &Affine, moments: &GuardMoments, damping: f64) -> Result<Self, RepairError> {
        let layer = affine.layer();
        let found = moments.layer(layer)?;
        let factors = if affine.is_bias() {
            // The moments of the whole layer's outputs, over all its groups.
            let mut outputs = Mat::zeros(layer.outputs, layer.outputs);
            let mut first = 0;
            for group in &found.groups {
                let n = group.outputs.nrows();
                outputs
                    .submatrix_mut(first, first, n, n)
                    .copy_from(&group.outputs);
                first += n;
            }
            vec![[
                Mat::identity(1, 1),
                factor(&outputs, damping, "Jacobian moment", layer)?,
            ]]
        } else {
            let fits = found.groups.len() == affine.groups()
                && found.groups.iter().all(|group| {
                    group.inputs.nrows() == affine.width()
                        && group.outputs.nrows() == affine.group_outputs()
                });
            if !fits {
                return Err(RepairError::Option {
                    option: "guard",
                    expected: "moments of the network to repair".into(),
                    got: "moments of another network".into(),
                });
            }
            found
                .groups
                .iter()
                .map(|group| {
                    Ok([
                        factor(&group.inputs, damping, "input moment", layer)?,
                        factor(&group.outputs, damping, "Jacobian moment", layer)?,
                    ])
                })
                .collect::<Result<_, RepairError>>()?
        };
        Ok(Self {
            factors: Some(factors),
        })
    }

    /// `L_A⁻¹ φ` for each row of `features`, count x width.
    pub(crate) fn whiten_inputs(&self, group: usize, features: &mut [f64]) {
        if let Some(factors) = &self.factors {
            solve_rows(&factors[group][0], features);
        }
    }

    /// `L_G⁻¹ δ` for each row of `sensitivities`, count x outputs of the group.
    pub(crate) fn whiten_sensitivities(&self, group: usize, sensitivities: &mut [f64]) {
        if let Some(factors) = &self.factors {
            solve_rows(&factors[group][1], sensitivities);
        }
    }

    /// `L_A⁻ᵀ U` for U with `width` rows.
    pub(crate) fn basis(&self, group: usize, mut directions: Mat<f64>) -> Mat<f64> {
        if let Some(factors) = &self.factors {
            let lower = &factors[group][0];
            solve_upper_triangular_in_place(lower.transpose(), directions.as_mut(), Par::rayon(0));
        }
        directions
    }

    /// `L_G⁻¹ D` for D with as many rows as the group has outputs.
    pub(crate) fn whiten_rows(&self, group: usize, mut gradient: MatMut<'_, f64>) {
        if let Some(factors) = &self.factors {
            let lower = factors[group][1].as_ref();
            solve_lower_triangular_in_place(lower, gradient.as_mut(), Par::Seq);
        }
    }

    /// `L_G⁻ᵀ X` for X with as many rows as the group has outputs.
    pub(crate) fn unwhiten_rows(&self, group: usize, mut matrix: MatMut<'_, f64>) {
        if let Some(factors) = &self.factors {
            let lower = &factors[group][1];
            solve_upper_triangular_in_place(lower.transpose(), matrix.as_mut(), Par::Seq);
        }
    }

    /// `L_Gᵀ Δ L_A` for a group's Δ, outputs x width.
    pub(crate) fn coordinates(&self, group: usize, delta: Mat<f64>) -> Mat<f64> {
        match &self.factors {
            None => delta,
            Some(factors) => {
                let [inputs, outputs] = &factors[group];
                outputs.transpose() * delta * inputs
            }
        }
    }

    /// `L_G X L_Aᵀ` for a group's X, outputs x width: the gradient whose coordinates are X.
    pub(crate) fn gradient(&self, group: usize, coordinates: MatRef<'_, f64>) -> Mat<f64> {
        match &self.factors {
            None => coordinates.to_owned(),
            Some(factors) => {
                let [inputs, outputs] = &factors[group];
                outputs * coordinates * inputs.transpose()
            }
        }
    }

    /// `U = L_Aᵀ B`, the inverse of [`Block::basis`].
    pub(crate) fn directions(&self, group: usize, basis: &Mat<f64>) -> Mat<f64> {
        match &self.factors {
            None => basis.clone(),
            Some(factors) => factors[group][0].transpose() * basis,
        }
    }

    /// Whether G is diagonal, so that whitening keeps an output's row by itself.
    pub(crate) fn separates_outputs(&self) -> bool {
        let diagonal = |lower: &Mat<f64>| {
            (0..lower.ncols()).all(|c| lower.col(c).iter().skip(c + 1).all(|&entry| entry == 0.0))
        };
        let factors = self.factors.iter().flatten();
        factors.map(|pair| &pair[1]).all(diagonal)
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
