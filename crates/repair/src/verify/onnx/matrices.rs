//! Products of matrices.

use faer::{MatMut, MatRef};

use super::super::value::add_product;
use super::arithmetic::expanded;
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Tensor, broadcast, repeating_strides, view};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Gemm", 3, 3, GEMM, gemm).until(10),
    Operator::new("Gemm", 2, 3, GEMM, gemm).since(11),
    Operator::new("MatMul", 2, 2, &[], matmul),
];

const GEMM: &[&str] = &["alpha", "beta", "transA", "transB"];

/// A matrix, or its transpose, in row-major numbers.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    numbers: &'a [f64],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The stored matrix of a rank-two operand.
    fn operand(
        call: &Call<'a>,
        index: usize,
        transposed: bool,
    ) -> Result<(Self, &'a Tensor), OnnxError> {
        let (tensor, numbers) = call.floats(index)?;
        let &[rows, columns] = tensor.shape.as_slice() else {
            return Err(call.misshapen("[rows, columns]", &tensor.shape));
        };
        let matrix = Self {
            numbers,
            rows,
            columns,
            transposed,
        };
        Ok((matrix, tensor))
    }

    /// Rows and columns of what is meant.
    fn extents(&self) -> [usize; 2] {
        match self.transposed {
            true => [self.columns, self.rows],
            false => [self.rows, self.columns],
        }
    }

    fn view(&self) -> MatRef<'a, f64> {
        let stored = MatRef::from_row_major_slice(self.numbers, self.rows, self.columns);
        if self.transposed {
            stored.transpose()
        } else {
            stored
        }
    }

    /// `self · right`, row-major.
    fn times(&self, right: &Self) -> Vec<f64> {
        let ([rows, inner], [_, columns]) = (self.extents(), right.extents());
        let mut product = vec![0.0; rows * columns];
        if rows * inner * columns > 0 {
            let sums = MatMut::from_row_major_slice_mut(&mut product, rows, columns);
            add_product(sums, self.view(), right.view());
        }
        product
    }
}

/// `α A B + β C`, A and B perhaps transposed, C broadcast to the product.
fn gemm(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (a, first) = Matrix::operand(call, 0, call.flag("transA", false)?)?;
    let (b, second) = Matrix::operand(call, 1, call.flag("transB", false)?)?;
    call.check_same_type(first, second)?;
    let ([rows, inner], [other, columns]) = (a.extents(), b.extents());
    if inner != other {
        let expected = format!("a right factor of {inner} rows");
        return Err(call.misfit(expected, format!("{other} rows")));
    }
    let shape = [rows, columns];
    call.elements(&shape)?;
    let alpha = call.float_attribute("alpha", 1.0)?;
    let beta = call.float_attribute("beta", 1.0)?;
    let mut y = a.times(&b);
    if alpha != 1.0 {
        y.iter_mut().for_each(|y| *y *= alpha);
    }
    if let Some(c) = call.optional(2) {
        call.check_same_type(first, c)?;
        let c = expanded(call, c, &shape)?;
        let pairs = y.iter_mut().zip(call.floats_of(&c)?);
        pairs.for_each(|(y, c)| *y += beta * c);
    }
    Ok(vec![Tensor::floats(&shape, first.element, y)])
}

/// Products of the matrices in the last two axes, the axes before them broadcast; a vector is a
/// row on the left, a column on the right, and the result lacks that axis.
fn matmul(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let ((a, left), (b, right)) = (call.floats(0)?, call.floats(1)?);
    call.check_same_type(a, b)?;
    let ([.., _], [.., _]) = (a.shape.as_slice(), b.shape.as_slice()) else {
        return Err(call.misfit("factors of rank one or more", "a scalar"));
    };
    let (row, column) = (a.shape.len() == 1, b.shape.len() == 1);
    let a_shape = if row {
        [&[1], &a.shape[..]].concat()
    } else {
        a.shape.clone()
    };
    let b_shape = if column {
        [&b.shape[..], &[1]].concat()
    } else {
        b.shape.clone()
    };
    let (a_batch, [rows, inner]) = split_matrix(&a_shape);
    let (b_batch, [other, columns]) = split_matrix(&b_shape);
    let batch = broadcast(a_batch, b_batch).filter(|_| inner == other);
    let Some(batch) = batch else {
        let expected = format!("a right factor for shape {:?}", a.shape);
        return Err(call.misshapen(expected, &b.shape));
    };
    let mut shape = [&batch[..], &[rows, columns]].concat();
    call.elements(&shape)?;
    let left = Factors::new(left, a_batch, [rows, inner]);
    let right = Factors::new(right, b_batch, [inner, columns]);
    let y = products(&left, &right, &batch);
    if column {
        shape.pop();
    }
    if row {
        shape.remove(batch.len());
    }
    Ok(vec![Tensor::floats(&shape, a.element, y)])
}

/// The axes before the last two, and these.
fn split_matrix(shape: &[usize]) -> (&[usize], [usize; 2]) {
    match shape {
        [batch @ .., rows, columns] => (batch, [*rows, *columns]),
        _ => (shape, [1, 1]),
    }
}

/// Matrices one after the other.
struct Factors<'a> {
    numbers: &'a [f64],
    batch: &'a [usize],
    extents: [usize; 2],
}

impl<'a> Factors<'a> {
    fn new(numbers: &'a [f64], batch: &'a [usize], extents: [usize; 2]) -> Self {
        Self {
            numbers,
            batch,
            extents,
        }
    }

    /// As many of the matrices as there are rows in `rows`, from the one with a number on.
    fn matrix(&self, number: usize, rows: usize) -> Matrix<'a> {
        let [own, columns] = self.extents;
        Matrix {
            numbers: &self.numbers[number * own * columns..][..rows * columns],
            rows,
            columns,
            transposed: false,
        }
    }

    /// Which of the matrices stands at each place of a batch that theirs broadcasts to.
    fn places(&self, batch: &[usize]) -> Vec<usize> {
        let all: Vec<usize> = (0..self.batch.iter().product()).collect();
        let strides = repeating_strides(self.batch, batch).unwrap_or_default();
        view(&all, batch, 0, &strides)
    }
}

fn products(left: &Factors<'_>, right: &Factors<'_>, batch: &[usize]) -> Vec<f64> {
    let ([rows, inner], [_, columns]) = (left.extents, right.extents);
    let count: usize = batch.iter().product();
    if count * rows * columns == 0 || inner == 0 {
        return vec![0.0; count * rows * columns];
    }
    // One matrix on the right: the rows of all matrices on the left are one matrix.
    if right.batch.iter().product::<usize>() == 1 && left.batch.iter().product::<usize>() == count {
        return left.matrix(0, count * rows).times(&right.matrix(0, inner));
    }
    let places = left.places(batch).into_iter().zip(right.places(batch));
    let product = |(a, b)| left.matrix(a, rows).times(&right.matrix(b, inner));
    places.flat_map(product).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{arbitrary, assert_near, float, floats, int, one, refused};
    use super::*;

    #[test]
    fn gemm_scales_transposes_and_broadcasts() {
        let a = float(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let b = float(&[1, 3], &[1.0, 0.5, -1.0]);
        let c = float(&[2, 1], &[10.0, 20.0]);
        let attributes = [
            ("alpha", Attribute::Float(2.0)),
            ("beta", Attribute::Float(0.5)),
            ("transA", Attribute::Int(1)),
            ("transB", Attribute::Int(1)),
        ];
        // Rows of Aᵀ: 1 2 3 and 4 5 6; their products with Bᵀ: -1 and 0.5.
        assert_eq!(
            one("Gemm", 13, &attributes, &[&a, &b, &c]),
            float(&[2, 1], &[-2.0 + 5.0, 1.0 + 10.0])
        );
        let scalar = float(&[], &[1.0]);
        let row = float(&[1, 3], &[1.0, 1.0, 1.0]);
        assert_eq!(
            one("Gemm", 7, &[], &[&row, &a, &scalar]),
            float(&[1, 2], &[7.0, 16.0])
        );
        assert!(
            refused("Gemm", 11, &[], &[&a, &a]).contains("a right factor of 2 rows, got 3 rows")
        );
        let tall = float(&[3, 1], &[0.0; 3]);
        assert!(refused("Gemm", 11, &[], &[&row, &a, &tall]).contains("broadcasts to [1, 2]"));
        assert!(refused("Gemm", 11, &[], &[&int(&[1, 1], &[1]), &a]).contains("floats"));
    }

    /// The definition for operands of rank four.
    fn by_definition(a: &Tensor, b: &Tensor, batch: [usize; 2]) -> Vec<f64> {
        let (Some(left), Some(right)) = (numbers(a), numbers(b)) else {
            return Vec::new();
        };
        let ([rows, inner], columns) = ([a.shape[2], a.shape[3]], b.shape[3]);
        let matrix =
            |x: &Tensor, i: usize, j: usize| (i % x.shape[0]) * x.shape[1] + j % x.shape[1];
        let mut y = Vec::new();
        for (i, j) in (0..batch[0]).flat_map(|i| (0..batch[1]).map(move |j| (i, j))) {
            let (p, q) = (
                matrix(a, i, j) * rows * inner,
                matrix(b, i, j) * inner * columns,
            );
            for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let term = |k| left[p + r * inner + k] * right[q + k * columns + c];
                y.push((0..inner).map(term).sum());
            }
        }
        y
    }

    fn numbers(x: &Tensor) -> Option<&[f64]> {
        match &*x.data {
            super::super::tensor::Data::Floats(numbers) => Some(numbers),
            _ => None,
        }
    }

    #[test]
    fn batches_of_matrices_broadcast() {
        for (a, b, batch) in [
            ([2, 3, 4, 5], [2, 3, 5, 2], [2, 3]),
            ([2, 1, 4, 5], [1, 3, 5, 2], [2, 3]),
            ([1, 1, 4, 5], [2, 3, 5, 2], [2, 3]),
            ([2, 3, 4, 5], [1, 1, 5, 2], [2, 3]),
        ] {
            let (a, b) = (arbitrary(&a), arbitrary(&b));
            let y = one("MatMul", 13, &[], &[&a, &b]);
            assert_eq!(y.shape, [batch[0], batch[1], 4, 2]);
            let expected = by_definition(&a, &b, batch);
            assert_near(numbers(&y).unwrap(), &expected, 1e-14);
        }
        // Ranks differ.
        let (a, b) = (arbitrary(&[2, 3, 4, 5]), arbitrary(&[5, 2]));
        let same = one("MatMul", 13, &[], &[&a, &b.reshaped(&[1, 1, 5, 2])]);
        assert_eq!(one("MatMul", 13, &[], &[&a, &b]), same);
    }

    #[test]
    fn vectors_are_rows_on_the_left_and_columns_on_the_right() {
        let v = float(&[2], &[1.0, 10.0]);
        let m = float(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(one("MatMul", 9, &[], &[&v, &v]), float(&[], &[101.0]));
        assert_eq!(
            one("MatMul", 9, &[], &[&v, &m]),
            float(&[1, 2], &[31.0, 42.0])
        );
        assert_eq!(
            one("MatMul", 9, &[], &[&m, &v]),
            float(&[1, 2], &[21.0, 43.0])
        );
        let scalar = float(&[], &[1.0]);
        assert!(refused("MatMul", 9, &[], &[&v, &scalar]).contains("a scalar"));
        assert!(
            refused("MatMul", 9, &[], &[&m, &float(&[3], &[0.0; 3])]).contains("got shape [3]")
        );
        let two = float(&[2, 1, 2], &[0.0; 4]);
        let three = float(&[3, 2, 1], &[0.0; 6]);
        assert!(refused("MatMul", 9, &[], &[&two, &three]).contains("a right factor for"));
    }

    #[test]
    fn empty_sums_are_zero_and_empty_batches_are_empty() {
        let (a, b) = (float(&[2, 0], &[]), float(&[0, 3], &[]));
        assert_eq!(floats("MatMul", 9, &[], &[&a, &b]), [0.0; 6]);
        let none = float(&[0, 1, 3], &[]);
        let m = float(&[3, 2], &[0.0; 6]);
        assert_eq!(one("MatMul", 9, &[], &[&none, &m]).shape, [0, 1, 2]);
    }

    #[test]
    fn a_weight_of_zero_does_not_hide_an_overflow() {
        let x = float(&[1, 2], &[f64::INFINITY, 1.0]);
        let w = float(&[2, 2], &[0.0, 1.0, 1.0, 0.0]);
        let y = floats("MatMul", 9, &[], &[&x, &w]);
        assert!(y[0].is_nan() && y[1] == f64::INFINITY, "{y:?}");
    }
}
