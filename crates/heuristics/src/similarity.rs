//! How alike vectors, and sets of vectors, are.

use std::collections::BTreeSet;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Spread, relative to the size of the vectors, below which a set does not vary.
const SPREAD_FLOOR: f64 = 1e-14;

/// Linear CKA of two sets of representations of the same `count` inputs
/// (Kornblith, Norouzi, Lee & Hinton, ICML 2019, section 3):
/// `‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)` with centred columns, from the Gram matrices.
/// `None` when one of the sets does not vary.
pub(crate) fn linear_cka(x: &[f64], y: &[f64], count: usize) -> Option<f64> {
    let (kx, ky) = (centred_gram(x, count)?, centred_gram(y, count)?);
    Some(dot(&kx, &ky) / (norm(&kx) * norm(&ky)))
}

/// Mean cosine over pairs of different rows, `(‖Σ a/‖a‖‖² - n) / (n² - n)`;
/// `None` for fewer than two rows. A zero row has cosine 0 with every other.
pub(crate) fn mean_pairwise_cosine(rows: &[f64], width: usize) -> Option<f64> {
    let count = rows.len() / width;
    if count < 2 {
        return None;
    }
    let mut sum = vec![0.0; width];
    let mut directions = 0;
    for row in rows.chunks_exact(width) {
        let length = norm(row);
        if length > 0.0 {
            directions += 1;
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, a)| *sum += a / length);
        }
    }
    Some((dot(&sum, &sum) - f64::from(directions)) / (count * (count - 1)) as f64)
}

/// Mean cosine over pairs of different rows with one label; `None` when no label is shared.
pub(crate) fn mean_within_class_cosine(
    rows: &[f64],
    width: usize,
    labels: &[usize],
) -> Option<f64> {
    let (mut sum, mut pairs) = (0.0, 0usize);
    for class in labels.iter().copied().collect::<BTreeSet<_>>() {
        let members = rows.chunks_exact(width.max(1)).zip(labels);
        let members: Vec<f64> = members
            .filter(|&(_, &label)| label == class)
            .flat_map(|(row, _)| row.iter().copied())
            .collect();
        let count = members.len() / width.max(1);
        if let Some(mean) = mean_pairwise_cosine(&members, width) {
            let of_class = count * (count - 1);
            sum += mean * of_class as f64;
            pairs += of_class;
        }
    }
    (pairs > 0).then(|| sum / pairs as f64)
}

/// Cosine of the angle; 1 for equal vectors, zero ones too, and 0 if only one is zero.
pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    if a == b {
        return 1.0;
    }
    let lengths = norm(a) * norm(b);
    if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        0.0
    }
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `X Xᵀ` of the rows less their mean, `count x count`; `None` when they are all equal.
fn centred_gram(x: &[f64], count: usize) -> Option<Vec<f64>> {
    let width = x.len() / count;
    let mut centred = x.to_vec();
    for u in 0..width {
        let mean = (0..count).map(|i| x[i * width + u]).sum::<f64>() / count as f64;
        (0..count).for_each(|i| centred[i * width + u] -= mean);
    }
    if norm(&centred) <= SPREAD_FLOOR * norm(x) {
        return None;
    }
    let rows = MatRef::from_row_major_slice(&centred, count, width);
    let mut gram = vec![0.0; count * count];
    let target = MatMut::from_row_major_slice_mut(&mut gram, count, count);
    matmul(
        target,
        Accum::Replace,
        rows,
        rows.transpose(),
        1.0,
        Par::Seq,
    );
    Some(gram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cka_is_one_for_rotated_and_scaled_copies_and_zero_for_orthogonal_structure() {
        // Four points in the plane; the copy is rotated by a quarter turn, doubled and moved.
        let x = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0];
        let y = [5.0, 2.0, 3.0, 0.0, 5.0, -2.0, 7.0, 0.0];
        assert!((linear_cka(&x, &y, 4).unwrap() - 1.0).abs() < 1e-12);
        let (a, b) = ([1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]);
        assert!(linear_cka(&a, &b, 4).unwrap().abs() < 1e-12);
    }

    #[test]
    fn cka_of_a_set_that_does_not_vary_is_undefined() {
        assert_eq!(linear_cka(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0], 3), None);
        assert_eq!(linear_cka(&[1.0, 2.0, 3.0], &[0.0; 3], 3), None);
        assert_eq!(linear_cka(&[4.0], &[4.0], 1), None);
    }

    #[test]
    fn mean_cosine_of_a_known_triple() {
        // cos = 0, 1/√2, 1/√2 over the three pairs.
        let rows = [1.0, 0.0, 0.0, 3.0, 2.0, 2.0];
        assert!((mean_pairwise_cosine(&rows, 2).unwrap() - 2.0 / 3.0 / 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_zero_vector_is_like_no_other_but_like_itself() {
        // cos = 0, 0, 1 over the three pairs.
        let rows = [0.0, 0.0, 1.0, 0.0, 2.0, 0.0];
        assert!((mean_pairwise_cosine(&rows, 2).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(mean_pairwise_cosine(&[1.0, 0.0], 2), None);
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn only_pairs_of_one_label_count_within_classes() {
        // Class 0: cos = 0; class 1: two equal rows; class 2 has a single row.
        let rows = [1.0, 0.0, 0.0, 3.0, 2.0, 2.0, 1.0, 1.0, 5.0, 0.0];
        let mean = mean_within_class_cosine(&rows, 2, &[0, 0, 1, 1, 2]);
        assert!((mean.unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(mean_within_class_cosine(&rows[..4], 2, &[0, 1]), None);
    }
}
