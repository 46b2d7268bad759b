//! Inputs that are almost the same and must get different labels.
//!
//! No network that is smooth on the scale of the data tells such inputs apart, so a repair either
//! fails on them or bends the network sharply between them: usually one of the labels is wrong. Two
//! points x_i, x_j with different labels are near-duplicates when
//!
//! ```text
//! ‖x_i - x_j‖ <= r · median_k d_k,      d_k = min { ‖x_k - x_l‖ : x_l != x_k }
//! ```
//!
//! All distances come from the Gram matrix of the centred inputs,
//! `‖x_i - x_j‖² = ‖x_i‖² + ‖x_j‖² - 2 x_i·x_j`, block by block; the few pairs that are close there are
//! measured again from their differences, which do not cancel. Blocks are computed in parallel and
//! merged in their order.

use data::Dataset;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Share r of the median nearest-neighbour distance below which inputs are near-duplicates.
pub const NEAR: f64 = 1e-3;

/// Points of a block of the Gram matrix.
const POINTS: usize = 256;
/// Numbers of each point that are multiplied at a time.
const NUMBERS: usize = 4096;
/// Squared distances below this share of the squared norms are rounding errors of the Gram matrix.
const ROUNDING: f64 = 1e-12;

/// Two points that should get the same label and do not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearDuplicate {
    /// Index of the earlier point.
    pub first: usize,
    /// Index of the later point.
    pub second: usize,
    /// Euclidean distance of their inputs; 0 for the same input twice.
    pub distance: f64,
}

/// The near-duplicates of a set, and what distances are measured by.
#[derive(Clone, Debug, PartialEq)]
pub struct NearDuplicates {
    /// The pairs, the closest first.
    pub pairs: Vec<NearDuplicate>,
    /// Median distance from an input to the nearest other one; 0 when all inputs are the same.
    pub typical: f64,
}

/// Finds the pairs with different labels whose distance is at most `near`, usually [`NEAR`], times the
/// median nearest-neighbour distance. With `near = 0` only the same input twice is one, which is the
/// rule for inputs whose numbers are no magnitudes, such as tokens.
///
/// Takes n²·d/2 multiplications for n points of d numbers, on all threads, and on each of them
/// memory for a block of 256 x 256 distances, whatever n and d are.
pub fn near_duplicates(set: &Dataset, near: f64) -> NearDuplicates {
    let centred = Centred::new(set);
    let reach = 2.0 * near * centred.norms.iter().fold(0.0, |r: f64, n| r.max(*n)).sqrt();
    let mut nearest = vec![f64::INFINITY; set.len()];
    let mut candidates = Vec::new();
    let starts: Vec<usize> = (0..set.len()).step_by(POINTS).collect();
    for (first, &rows) in starts.iter().enumerate() {
        tracing::debug!(done = rows, total = set.len(), "near-duplicate search");
        let blocks = starts[first..].par_iter();
        let blocks: Vec<Block> = blocks
            .map(|&columns| centred.block(rows, columns, reach))
            .collect();
        for (block, &columns) in blocks.into_iter().zip(&starts[first..]) {
            lower(&mut nearest[rows..], &block.nearest[0]);
            lower(&mut nearest[columns..], &block.nearest[1]);
            candidates.extend(block.candidates);
        }
    }
    let typical = median(nearest).sqrt();
    let mut pairs: Vec<NearDuplicate> = candidates
        .into_iter()
        .map(|(first, second)| NearDuplicate {
            first,
            second,
            distance: distance(set.example(first), set.example(second)),
        })
        .filter(|pair| pair.distance <= near * typical)
        .collect();
    pairs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    NearDuplicates { pairs, typical }
}

/// What a block of the Gram matrix tells.
struct Block {
    /// The least squared distance above rounding of each row's point, and of each column's.
    nearest: [Vec<f64>; 2],
    /// Pairs with different labels that may be close.
    candidates: Vec<(usize, usize)>,
}

/// Lowers the first of `numbers` to `others` where those are smaller.
fn lower(numbers: &mut [f64], others: &[f64]) {
    let pairs = numbers.iter_mut().zip(others);
    pairs.for_each(|(number, other)| *number = number.min(*other));
}

/// The inputs less their mean, which keeps distances and lessens cancellation.
struct Centred<'a> {
    set: &'a Dataset,
    mean: Vec<f64>,
    /// Squared norms.
    norms: Vec<f64>,
}

impl<'a> Centred<'a> {
    fn new(set: &'a Dataset) -> Self {
        let size = set.example_len();
        let mut mean = vec![0.0; size];
        for input in set.inputs.chunks_exact(size.max(1)) {
            for (mean, &x) in mean.iter_mut().zip(input) {
                *mean += f64::from(x) / set.len() as f64;
            }
        }
        let norm = |input: &[f32]| {
            let centred = input.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m);
            centred.map(|x| x * x).sum()
        };
        let norms = set.inputs.chunks_exact(size.max(1)).map(norm).collect();
        Self { set, mean, norms }
    }

    /// The pairs of an earlier point from `rows` on and a later one from `columns` on; candidates
    /// are at most `reach` apart but for rounding.
    fn block(&self, rows: usize, columns: usize, reach: f64) -> Block {
        let gram = self.gram(rows, columns);
        let mut block = Block {
            nearest: [gram.nrows(), gram.ncols()].map(|count| vec![f64::INFINITY; count]),
            candidates: Vec::new(),
        };
        for j in 0..gram.ncols() {
            for i in 0..gram.nrows().min((columns + j).saturating_sub(rows)) {
                let (first, second) = (rows + i, columns + j);
                let norms = self.norms[first] + self.norms[second];
                let squared = norms - 2.0 * gram[(i, j)];
                let floor = ROUNDING * norms;
                if squared > floor {
                    block.nearest[0][i] = block.nearest[0][i].min(squared);
                    block.nearest[1][j] = block.nearest[1][j].min(squared);
                }
                let differ = self.set.labels[first] != self.set.labels[second];
                if differ && squared <= reach * reach + floor {
                    block.candidates.push((first, second));
                }
            }
        }
        block
    }

    /// Inner products of the points from `rows` on with those from `columns` on.
    fn gram(&self, rows: usize, columns: usize) -> Mat<f64> {
        let count = |start: usize| POINTS.min(self.set.len() - start);
        let mut gram = Mat::zeros(count(rows), count(columns));
        for from in (0..self.mean.len()).step_by(NUMBERS) {
            let to = (from + NUMBERS).min(self.mean.len());
            let (left, right) = (self.slab(rows, from, to), self.slab(columns, from, to));
            matmul(
                gram.as_mut(),
                Accum::Add,
                MatRef::from_row_major_slice(&left, count(rows), to - from),
                MatRef::from_row_major_slice(&right, count(columns), to - from).transpose(),
                1.0,
                Par::Seq,
            );
        }
        gram
    }

    /// Numbers `from..to` of the points from `start` on, row-major.
    fn slab(&self, start: usize, from: usize, to: usize) -> Vec<f64> {
        let points = start..(start + POINTS).min(self.set.len());
        points
            .flat_map(|point| {
                let input = self.set.example(point)[from..to].iter();
                let mean = self.mean[from..to].iter();
                input.zip(mean).map(|(&x, m)| f64::from(x) - m)
            })
            .collect()
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let differences = a.iter().zip(b).map(|(&x, &y)| f64::from(x) - f64::from(y));
    differences.map(|d| d * d).sum::<f64>().sqrt()
}

/// The median of the finite numbers, the lower one of two; 0 without any.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.retain(|number| number.is_finite());
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len().saturating_sub(1) / 2;
    numbers.get(middle).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use data::ExampleId;

    use super::*;

    /// Points on a grid of spacing 1 in `size` dimensions, then copies of some with a shift.
    fn set(count: usize, size: usize, copies: &[(usize, f32, usize)]) -> Dataset {
        let mut inputs: Vec<f32> = Vec::new();
        for point in 0..count {
            inputs.extend((0..size).map(|k| ((point * 7 + k * k * 3 + point * k) % 11) as f32));
        }
        let mut labels = vec![0; count];
        for &(original, shift, label) in copies {
            let mut copy = inputs[original * size..][..size].to_vec();
            copy[size - 1] += shift;
            inputs.extend(copy);
            labels.push(label);
        }
        let ids = (0..labels.len() as u32).map(|i| ExampleId::clean("grid", i));
        Dataset::new(vec![size], inputs, labels.clone(), 2, ids.collect()).unwrap()
    }

    fn pairs(found: &NearDuplicates) -> Vec<(usize, usize)> {
        found
            .pairs
            .iter()
            .map(|pair| (pair.first, pair.second))
            .collect()
    }

    /// The rule, from every pair's difference.
    fn direct(set: &Dataset, near: f64) -> NearDuplicates {
        let all = |i: usize| (0..set.len()).map(move |j| (i, j));
        let nearest = (0..set.len()).map(|i| {
            let others = all(i).map(|(i, j)| distance(set.example(i), set.example(j)));
            others.filter(|&d| d > 0.0).fold(f64::INFINITY, f64::min)
        });
        let typical = median(nearest.collect());
        let mut pairs: Vec<NearDuplicate> = (0..set.len())
            .flat_map(all)
            .filter(|&(i, j)| i < j && set.labels[i] != set.labels[j])
            .map(|(first, second)| NearDuplicate {
                first,
                second,
                distance: distance(set.example(first), set.example(second)),
            })
            .filter(|pair| pair.distance <= near * typical)
            .collect();
        pairs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        NearDuplicates { pairs, typical }
    }

    #[test]
    fn pairs_of_different_labels_are_found_and_those_of_one_label_are_not() {
        let set = set(11, 40, &[(3, 1e-3, 1), (5, 1e-3, 0), (8, 0.0, 1)]);
        let found = near_duplicates(&set, NEAR);
        assert_eq!(pairs(&found), [(8, 13), (3, 11)]);
        assert_eq!(found.pairs[0].distance, 0.0);
        assert!((found.pairs[1].distance - 1e-3).abs() < 1e-6);
        assert_eq!(pairs(&near_duplicates(&set, 0.0)), [(8, 13)]);
    }

    #[test]
    fn blocks_agree_with_direct_differences() {
        // More points and more numbers than one block, and far from the origin.
        let mut set = set(300, 4200, &[(7, 1e-3, 1), (290, 2e-3, 1), (299, 5.0, 1)]);
        set.inputs.iter_mut().for_each(|x| *x += 64.0);
        let (found, expected) = (near_duplicates(&set, NEAR), direct(&set, NEAR));
        assert_eq!(pairs(&found), pairs(&expected));
        assert!((found.typical / expected.typical - 1.0).abs() < 1e-6);
    }

    #[test]
    fn sets_of_one_input_or_none_have_no_typical_distance() {
        let one = set(1, 5, &[(0, 0.0, 1)]);
        let found = near_duplicates(&one, NEAR);
        assert_eq!((pairs(&found), found.typical), (vec![(0, 1)], 0.0));
        let none = one.subset(&[]).unwrap();
        assert!(near_duplicates(&none, NEAR).pairs.is_empty());
    }
}
