//! Coordinates for a change, adapted to the objective and to the repair points.
//!
//! For each group of an edited layer with metric A ⊗ G, A = L_A L_Aᵀ, G = L_G L_Gᵀ, let the
//! whitened features of all repair points be the rows of H = S Uᵀ (thin, up to a rotation). A
//! row of the linearised problem is a combination of them, so solutions have the form
//!
//! ```text
//! Δ = L_G⁻ᵀ X Bᵀ,     B = L_A⁻ᵀ U,     ‖Δ‖² in the metric = ‖X‖²
//! gradient D          has the coordinates  L_G⁻¹ D B
//! Σ ‖Δ φ‖² over the repair features = Σ_j s_j² ‖X_j‖² in the metric of G
//! ```
//!
//! Norms are kept, and a trust term on the movement at the repair points is diagonal.

mod basis;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use self::basis::{Basis, Gathered};
use crate::affine::{Affine, Features, product};
use crate::metric::Block;
use crate::{Change, RepairError};

/// The coordinates of one edited layer.
#[derive(Clone, Debug)]
pub(crate) struct Coordinates {
    affine: Affine,
    metric: Block,
    groups: Vec<Basis>,
    /// Entries of W̃ that must not change, if any (p x width).
    fixed: Option<Vec<bool>>,
}

impl Coordinates {
    /// The coordinates of a layer, given its features at each of `points` repair points.
    /// `complete` keeps directions that no feature uses yet.
    ///
    /// # Errors
    /// [`RepairError::Metric`] when eigenvalues do not converge.
    pub(crate) fn new(
        affine: &Affine,
        metric: &Block,
        points: usize,
        features: impl Fn(usize) -> Result<Features, RepairError> + Sync,
        complete: bool,
    ) -> Result<Self, RepairError> {
        let gathered = Gathered::collect(affine, metric, points, features)?;
        let groups = (0..affine.groups())
            .into_par_iter()
            .map(|group| gathered.basis(affine, metric, group, complete))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            affine: affine.clone(),
            metric: metric.clone(),
            groups,
            fixed: None,
        })
    }

    /// Coordinates in which every entry of W̃ is one, scaled by a diagonal metric; entries
    /// marked in `fixed` (p x width) do not change.
    pub(crate) fn entrywise(affine: &Affine, metric: &Block, fixed: Vec<bool>) -> Self {
        Self {
            fixed: Some(fixed),
            ..Self::whitened(affine, metric)
        }
    }

    /// Coordinates X = L_Gᵀ Δ L_A, not adapted to any points.
    pub(crate) fn whitened(affine: &Affine, metric: &Block) -> Self {
        let width = affine.width();
        let basis = |group| Basis {
            matrix: metric.basis(group, Mat::identity(width, width)),
            squares: vec![1.0; width],
        };
        Self {
            groups: (0..affine.groups()).map(basis).collect(),
            affine: affine.clone(),
            metric: metric.clone(),
            fixed: None,
        }
    }

    pub(crate) fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Number of coordinates.
    pub(crate) fn len(&self) -> usize {
        let p = self.affine.group_outputs();
        self.groups
            .iter()
            .map(|basis| p * basis.squares.len())
            .sum()
    }

    /// Coordinates of one output of a single group.
    pub(crate) fn rank(&self) -> usize {
        self.groups.first().map_or(0, |basis| basis.squares.len())
    }

    /// τ_j = ρ s_j² / σ² of every coordinate, σ² the mean of s².
    pub(crate) fn trust(&self, weight: f64) -> Vec<f64> {
        let squares = || self.groups.iter().flat_map(|basis| &basis.squares);
        let mean = squares().sum::<f64>() / squares().count().max(1) as f64;
        let mean = if mean > 0.0 { mean } else { 1.0 };
        let p = self.affine.group_outputs();
        let of_group = |basis: &Basis| -> Vec<f64> {
            let row = basis.squares.iter().map(|square| weight * square / mean);
            let row: Vec<f64> = row.collect();
            row.repeat(p)
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// The coordinates Bᵀφ of the features of a single group, positions x rank.
    pub(crate) fn of_features(&self, features: &Features) -> Vec<f64> {
        let rows = features.group(0);
        let mut values = vec![0.0; rows.nrows() * self.rank()];
        product(&mut values, rows, self.groups[0].matrix.as_ref());
        values
    }

    /// The coordinates `L_G⁻¹ δ` of the sensitivity of a single group at a single position.
    pub(crate) fn of_sensitivity(&self, delta: &[f64]) -> Vec<f64> {
        let mut whitened = delta.to_vec();
        self.metric.whiten_sensitivities(0, &mut whitened);
        whitened
    }

    /// Brings the features of one point into the form that makes its gradients cheapest.
    pub(crate) fn prepare(&self, features: Features) -> Prepared {
        let single = self.affine.groups() == 1 && self.fixed.is_none();
        if single && features.positions() < self.affine.group_outputs() {
            let positions = features.positions();
            let values = self.of_features(&features);
            return Prepared::Projected(Features::new(values, positions, self.rank()));
        }
        Prepared::Plain(features)
    }

    /// The coordinates `L_G⁻¹ D B` of a gradient `D = Σ_t δ_t φ_tᵀ`, group after group,
    /// row-major.
    pub(crate) fn of_gradient(&self, delta: &[f64], features: &Prepared) -> Vec<f64> {
        let p = self.affine.group_outputs();
        let mut found = vec![0.0; self.len()];
        let mut rest = found.as_mut_slice();
        let gradient = match features {
            Prepared::Projected(_) => None,
            Prepared::Plain(features) => Some(self.free_gradient(delta, features)),
        };
        let width = self.affine.width();
        for (group, basis) in self.groups.iter().enumerate() {
            let rank = basis.squares.len();
            let (head, tail) = rest.split_at_mut(p * rank);
            rest = tail;
            match (features, &gradient) {
                (Prepared::Projected(features), _) => {
                    product(
                        head,
                        self.affine.sensitivity(delta, group),
                        features.group(group),
                    );
                }
                (_, Some(gradient)) => {
                    let block = &gradient[group * p * width..(group + 1) * p * width];
                    let rows = MatRef::from_row_major_slice(block, p, width);
                    product(head, rows, basis.matrix.as_ref());
                }
                _ => {}
            }
            self.metric
                .whiten_rows(group, MatMut::from_row_major_slice_mut(head, p, rank));
        }
        found
    }

    fn free_gradient(&self, delta: &[f64], features: &Features) -> Vec<f64> {
        let mut gradient = self.affine.gradient(delta, features);
        self.clear_fixed(&mut gradient);
        gradient
    }

    fn clear_fixed(&self, matrix: &mut [f64]) {
        for (entry, &fixed) in matrix.iter_mut().zip(self.fixed.iter().flatten()) {
            if fixed {
                *entry = 0.0;
            }
        }
    }

    /// As [`Coordinates::of_gradient`] where only some outputs have a sensitivity and G is
    /// diagonal: the coordinates of those outputs, one list of `rank` each.
    pub(crate) fn of_outputs(
        &self,
        delta: &[f64],
        features: &Prepared,
        outputs: &[usize],
    ) -> Vec<Vec<f64>> {
        let delta = self.affine.sensitivity(delta, 0);
        let row = |&output: &usize| {
            let delta = delta.subrows(output, 1);
            let mut values = vec![0.0; self.rank()];
            match features {
                Prepared::Projected(features) => product(&mut values, delta, features.group(0)),
                Prepared::Plain(features) => {
                    let mut sum = vec![0.0; self.affine.width()];
                    product(&mut sum, delta, features.group(0));
                    let first = output * sum.len();
                    for (entry, &fixed) in
                        sum.iter_mut().zip(self.fixed.iter().flatten().skip(first))
                    {
                        if fixed {
                            *entry = 0.0;
                        }
                    }
                    let sum = MatRef::from_row_major_slice(&sum, 1, sum.len());
                    product(&mut values, sum, self.groups[0].matrix.as_ref());
                }
            }
            let mut one = vec![0.0; self.affine.group_outputs()];
            one[output] = 1.0;
            self.metric.whiten_sensitivities(0, &mut one);
            values.iter_mut().for_each(|value| *value *= one[output]);
            values
        };
        outputs.iter().map(row).collect()
    }

    /// The coordinates of the sensitivity of a bias.
    pub(crate) fn of_bias(&self, delta: &[f64]) -> Vec<f64> {
        let constant = Features::new(vec![1.0], 1, 1);
        self.of_gradient(delta, &Prepared::Plain(constant))
    }

    /// A gradient of a single group as few outer products `g hᵀ`: the factors h (count x rank)
    /// and g (count x outputs), one pair per position or per output with a sensitivity,
    /// whichever are fewer.
    pub(crate) fn outer_products(&self, delta: &[f64], features: &Features) -> [Vec<f64>; 2] {
        let delta = self.affine.sensitivity(delta, 0);
        let p = delta.nrows();
        let outputs: Vec<usize> = (0..p)
            .filter(|&o| delta.row(o).iter().any(|&g| g != 0.0))
            .collect();
        let positions: Vec<usize> = (0..delta.ncols())
            .filter(|&t| delta.col(t).iter().any(|&g| g != 0.0))
            .collect();
        let (mut h, mut g) = (Vec::new(), Vec::new());
        if positions.len() <= outputs.len() {
            for &t in &positions {
                h.extend(features.group(0).row(t).iter());
                g.extend(delta.col(t).iter());
            }
        } else {
            for &o in &outputs {
                let mut sum = vec![0.0; self.affine.width()];
                product(&mut sum, delta.subrows(o, 1), features.group(0));
                h.extend(sum);
                g.extend((0..p).map(|other| f64::from(u8::from(other == o))));
            }
        }
        if g.is_empty() {
            // A row that does not depend on the layer: one position, at which nothing is asked.
            h.resize(self.affine.width(), 0.0);
            g.resize(p, 0.0);
        }
        let count = g.len() / p.max(1);
        let h = self.of_features(&Features::new(h, count, self.affine.width()));
        self.metric.whiten_sensitivities(0, &mut g);
        [h, g]
    }

    /// Whether [`Coordinates::of_outputs`] may be used.
    pub(crate) fn separates_outputs(&self) -> bool {
        self.affine.groups() == 1 && self.metric.separates_outputs()
    }

    /// Δ = L_G⁻ᵀ X Bᵀ as a change of tensors.
    pub(crate) fn change(&self, coordinates: &[f64]) -> Change {
        let (p, width) = (self.affine.group_outputs(), self.affine.width());
        let mut matrix = vec![0.0; self.affine.entries()];
        let mut rest = coordinates;
        for (group, basis) in self.groups.iter().enumerate() {
            let rank = basis.squares.len();
            let (head, tail) = rest.split_at(p * rank);
            rest = tail;
            let block = &mut matrix[group * p * width..(group + 1) * p * width];
            let mut rows = MatMut::from_row_major_slice_mut(block, p, width);
            matmul(
                rows.as_mut(),
                Accum::Replace,
                MatRef::from_row_major_slice(head, p, rank),
                basis.matrix.transpose(),
                1.0,
                Par::rayon(0),
            );
            self.metric.unwhiten_rows(group, rows);
        }
        self.clear_fixed(&mut matrix);
        self.affine.change(&matrix)
    }

    /// The Euclidean norm squared of the gradient whose whitened coordinates are `x`.
    pub(crate) fn gradient_squared(&self, x: &[f64]) -> f64 {
        let (p, width) = (self.affine.group_outputs(), self.affine.width());
        let groups = x.chunks_exact((p * width).max(1)).enumerate();
        let square = |(group, entries): (usize, &[f64])| {
            let rows = MatRef::from_row_major_slice(entries, p, width);
            self.metric.gradient(group, rows).norm_l2().powi(2)
        };
        groups.map(square).sum()
    }

    /// X of a change: exact for what these coordinates produced, else the nearest.
    pub(crate) fn of_change(&self, change: &Change) -> Vec<f64> {
        let (p, width) = (self.affine.group_outputs(), self.affine.width());
        let matrix = self.affine.matrix(change);
        let mut found = Vec::with_capacity(self.len());
        for (group, basis) in self.groups.iter().enumerate() {
            let block = &matrix[group * p * width..(group + 1) * p * width];
            let delta = MatRef::from_row_major_slice(block, p, width).to_owned();
            // X = L_Gᵀ Δ L_A U, and L_A U = A B because B = L_A⁻ᵀ U.
            let whitened = self.metric.coordinates(group, delta);
            let directions = self.metric.directions(group, &basis.matrix);
            let coordinates = whitened * directions;
            for row in coordinates.row_iter() {
                found.extend(row.iter());
            }
        }
        found
    }
}

/// The features of one point, ready for gradients.
pub(crate) enum Prepared {
    /// φ.
    Plain(Features),
    /// Bᵀφ, of a single group.
    Projected(Features),
}

impl Prepared {
    /// Bᵀφ where there is one position only: a gradient is then its outer product with δ.
    pub(crate) fn single(&self) -> Option<Vec<f64>> {
        match self {
            Self::Projected(features) if features.positions() == 1 => {
                Some(features.group(0).row(0).iter().copied().collect())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::GuardMoments;
    use crate::metric::Metric;
    use network::{Activation, DeviceChoice, Network, Precision, mlp};

    /// A fixed sequence without structure.
    fn wave(count: usize, phase: f64) -> Vec<f64> {
        (0..count)
            .map(|i| ((phase + i as f64) * 0.913).sin())
            .collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    /// The first layer of a small network, its guard moments and features at three points of
    /// four positions each.
    fn fixture() -> (Affine, GuardMoments, Vec<Features>) {
        let checkpoint = mlp::random(&[5, 7, 4], Activation::Relu, 3).unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let guard: Vec<f32> = wave(200, 0.3).iter().map(|&x| x as f32).collect();
        let layer = &network.layers()[0];
        let layers = std::slice::from_ref(layer);
        let moments = GuardMoments::collect(&network, &guard, &[5], layers).unwrap();
        let affine = Affine::new(&network, layer).unwrap();
        let point = |i: usize| affine.features(&wave(20, 7.0 * i as f64), &[4, 5]).unwrap();
        let features = (0..3).map(point).collect();
        (affine, moments, features)
    }

    /// A moment with the damping 0.1 of both factors.
    fn damped(moment: &Mat<f64>) -> Mat<f64> {
        let n = moment.nrows();
        let mean = (0..n).map(|i| moment[(i, i)]).sum::<f64>() / n as f64;
        let damping = 0.1_f64.sqrt() * mean;
        Mat::from_fn(n, n, |i, j| {
            moment[(i, j)] + if i == j { damping } else { 0.0 }
        })
    }

    fn of_points(affine: &Affine, metric: &Metric, features: &[Features]) -> Coordinates {
        let point = |point: usize| Ok(features[point].clone());
        Coordinates::new(affine, &metric.blocks()[0], features.len(), point, false).unwrap()
    }

    #[test]
    fn rows_and_changes_have_the_inner_products_of_the_tensors() {
        let (affine, moments, features) = fixture();
        let metric = Metric::guarded(std::slice::from_ref(&affine), &moments, 0.1).unwrap();
        let coordinates = of_points(&affine, &metric, &features);
        let x = wave(coordinates.len(), 0.5);
        let change = coordinates.change(&x);
        let delta = wave(28, 1.5);
        let plain = dot(
            &affine.gradient(&delta, &features[1]),
            &affine.matrix(&change),
        );
        let prepared = [
            Prepared::Plain(features[1].clone()),
            coordinates.prepare(features[1].clone()),
        ];
        assert!(matches!(prepared[1], Prepared::Projected(_)));
        for prepared in prepared {
            let row = coordinates.of_gradient(&delta, &prepared);
            assert!((dot(&row, &x) - plain).abs() < 1e-10 * (1.0 + plain.abs()));
        }
        // The outer products make up the same row.
        let whitened = Coordinates::whitened(&affine, &metric.blocks()[0]);
        let [h, g] = whitened.outer_products(&delta, &features[1]);
        let free = whitened.of_change(&change);
        let (width, p) = (affine.width(), affine.group_outputs());
        let pairs = h.chunks(width).zip(g.chunks(p));
        let sum: f64 = pairs
            .map(|(h, g)| {
                let rows = free.chunks(width).zip(g);
                rows.map(|(row, g)| g * dot(row, h)).sum::<f64>()
            })
            .sum();
        assert!((sum - plain).abs() < 1e-10 * (1.0 + plain.abs()));
    }

    #[test]
    fn movement_at_the_points_is_diagonal_however_many_chunks_they_make() {
        let (affine, moments, few) = fixture();
        let metric = Metric::guarded(std::slice::from_ref(&affine), &moments, 0.1).unwrap();
        // One list that fits in rows, and one of several chunks.
        let single = affine.features(&wave(5, 0.0), &[1, 5]).unwrap();
        let many = few
            .iter()
            .cycle()
            .take(4 * basis::LEAST_CHUNK + 3)
            .cloned()
            .collect();
        for features in [vec![single], many] {
            let coordinates = of_points(&affine, &metric, &features);
            let x = wave(coordinates.len(), 0.7);
            let squares = &coordinates.groups[0].squares;
            let weighted = x
                .chunks(squares.len())
                .flatten()
                .zip(squares.iter().cycle());
            let expected: f64 = weighted.map(|(x, square)| square * x * x).sum();
            // φᵀ Δᵀ G Δ φ, from the change itself.
            let (p, width) = (affine.group_outputs(), affine.width());
            let matrix = affine.matrix(&coordinates.change(&x));
            let delta = MatRef::from_row_major_slice(&matrix, p, width);
            let outputs = damped(&moments.layer(affine.layer()).unwrap().groups[0].outputs);
            let of_point = |features: &Features| -> f64 {
                let moved = features.group(0) * delta.transpose();
                let weighed = &moved * &outputs;
                let rows = moved.row_iter().zip(weighed.row_iter());
                rows.map(|(a, b)| a * b.transpose()).sum()
            };
            let found: f64 = features.iter().map(of_point).sum();
            assert!(
                (found - expected).abs() < 1e-9 * expected,
                "{found}, {expected}"
            );
        }
    }

    #[test]
    fn the_norm_is_the_damped_guard_metric_and_coordinates_come_back() {
        let (affine, moments, features) = fixture();
        let metric = Metric::guarded(std::slice::from_ref(&affine), &moments, 0.1).unwrap();
        let coordinates = of_points(&affine, &metric, &features);
        let x = wave(coordinates.len(), 2.5);
        let change = coordinates.change(&x);
        let back = coordinates.of_change(&change);
        assert!(x.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-9));
        let group = &moments.layer(affine.layer()).unwrap().groups[0];
        let (p, width) = (affine.group_outputs(), affine.width());
        let matrix = affine.matrix(&change);
        let delta = MatRef::from_row_major_slice(&matrix, p, width);
        let moved = damped(&group.outputs) * delta * damped(&group.inputs);
        let square: f64 = (0..p)
            .flat_map(|o| (0..width).map(move |j| (o, j)))
            .map(|(o, j)| delta[(o, j)] * moved[(o, j)])
            .sum();
        assert!((square - dot(&x, &x)).abs() < 1e-9 * square);
    }

    #[test]
    fn fixed_entries_do_not_move() {
        let (affine, moments, features) = fixture();
        let metric = Metric::guarded(std::slice::from_ref(&affine), &moments, 0.1).unwrap();
        let fixed: Vec<bool> = (0..affine.entries()).map(|i| i % 3 == 0).collect();
        let metric = metric.diagonal();
        let coordinates = Coordinates::entrywise(&affine, &metric.blocks()[0], fixed.clone());
        let x = wave(coordinates.len(), 0.1);
        let matrix = affine.matrix(&coordinates.change(&x));
        let moves = matrix.iter().zip(&fixed);
        assert!(moves.clone().all(|(d, &fixed)| !fixed || *d == 0.0));
        let delta = wave(28, 1.5);
        let prepared = coordinates.prepare(features[0].clone());
        let row = coordinates.of_gradient(&delta, &prepared);
        let plain = dot(&affine.gradient(&delta, &features[0]), &matrix);
        assert!((dot(&row, &x) - plain).abs() < 1e-10 * (1.0 + plain.abs()));
    }
}
