//! Elements that indices pick, and elements that indices replace.

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Tensor, of_any_kind, strides};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Gather", 2, 2, &["axis"], gather),
    Operator::new("GatherElements", 2, 2, &["axis"], gather_elements).since(11),
    Operator::new("GatherND", 2, 2, &[], gather_blocks)
        .since(11)
        .until(11),
    Operator::new("GatherND", 2, 2, &["batch_dims"], gather_blocks).since(12),
    Operator::new("ScatterND", 3, 3, &[], scatter_blocks)
        .since(11)
        .until(15),
    Operator::new("ScatterND", 3, 3, &["reduction"], scatter_blocks).since(16),
];

/// The place of an index on an axis, counted from either end.
fn place(call: &Call<'_>, index: i64, extent: usize) -> Result<usize, OnnxError> {
    let from_start = if index < 0 {
        index.saturating_add(extent as i64)
    } else {
        index
    };
    match usize::try_from(from_start) {
        Ok(place) if place < extent => Ok(place),
        _ => Err(call.misfit(format!("indices of {extent} elements"), index.to_string())),
    }
}

/// Blocks of an axis, in the shape of the indices at the place of that axis.
fn gather(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.axis(call.int_attribute("axis", 0)?, x.shape.len())?;
    let extent = x.shape[axis];
    let places = call
        .ints_of(indices)?
        .iter()
        .map(|&index| place(call, index, extent));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let (before, after) = (&x.shape[..axis], &x.shape[axis + 1..]);
    let shape = [before, &indices.shape, after].concat();
    let total = call.elements(&shape)?;
    let size: usize = after.iter().product();
    let outer: usize = before.iter().product();
    let blocks =
        (0..outer).flat_map(|block| places.iter().map(move |place| block * extent + place));
    let starts: Vec<usize> = if total == 0 {
        Vec::new()
    } else {
        blocks.map(|b| b * size).collect()
    };
    let data = of_any_kind!(&*x.data, numbers => picked(numbers, &starts, size));
    Ok(vec![Tensor::new(shape, x.element, data)])
}

/// Blocks of a size that begin at some places.
fn picked<T: Copy>(numbers: &[T], starts: &[usize], size: usize) -> Vec<T> {
    let mut all = Vec::with_capacity(starts.len() * size);
    starts
        .iter()
        .for_each(|&start| all.extend_from_slice(&numbers[start..start + size]));
    all
}

/// For every index the element at its own place, but for the axis, on which the index is the place.
fn gather_elements(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.axis(call.int_attribute("axis", 0)?, x.shape.len())?;
    let fits = |(place, (index, x)): (usize, (&usize, &usize))| place == axis || index <= x;
    let same_rank = indices.shape.len() == x.shape.len();
    if !same_rank || !indices.shape.iter().zip(&x.shape).enumerate().all(fits) {
        let expected = format!("indices inside {:?} but for axis {axis}", x.shape);
        return Err(call.misshapen(expected, &indices.shape));
    }
    let (from, own) = (strides(&x.shape), strides(&indices.shape));
    let mut starts = Vec::with_capacity(indices.len());
    for (position, &index) in call.ints_of(indices)?.iter().enumerate() {
        let mut start = place(call, index, x.shape[axis])? * from[axis].unsigned_abs();
        for other in (0..x.shape.len()).filter(|&other| other != axis) {
            let place = position / own[other].unsigned_abs() % indices.shape[other];
            start += place * from[other].unsigned_abs();
        }
        starts.push(start);
    }
    let data = of_any_kind!(&*x.data, numbers => picked(numbers, &starts, 1));
    Ok(vec![Tensor::new(indices.shape.clone(), x.element, data)])
}

/// Where the blocks that rows of indices name begin in a value, and their size. The indices name
/// places on the axes from `batch` on; each batch has its own rows.
fn block_starts(
    call: &Call<'_>,
    x: &Tensor,
    indices: &Tensor,
    batch: usize,
) -> Result<(Vec<usize>, Vec<usize>), OnnxError> {
    let (rank, width) = (x.shape.len(), indices.shape.last().copied());
    let fits = |width: &usize| {
        *width > 0
            && batch < indices.shape.len()
            && batch + width <= rank
            && indices.shape[..batch] == x.shape[..batch]
    };
    let Some(width) = width.filter(fits) else {
        let expected = format!("indices into {:?} with {batch} batch axes", x.shape);
        return Err(call.misshapen(expected, &indices.shape));
    };
    let strides = strides(&x.shape);
    let rows: usize = indices.shape[..indices.shape.len() - 1].iter().product();
    let batches: usize = x.shape[..batch].iter().product();
    let batch_size: usize = x.shape[batch..].iter().product();
    let numbers = call.ints_of(indices)?;
    let mut starts = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut start = row / (rows / batches) * batch_size;
        for (axis, &index) in (batch..).zip(&numbers[row * width..][..width]) {
            start += place(call, index, x.shape[axis])? * strides[axis].unsigned_abs();
        }
        starts.push(start);
    }
    Ok((starts, x.shape[batch + width..].to_vec()))
}

/// Blocks that rows of indices name.
fn gather_blocks(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let batch = call.extent(call.int_attribute("batch_dims", 0)?)?;
    let (starts, block) = block_starts(call, x, indices, batch)?;
    let rows = &indices.shape[..indices.shape.len() - 1];
    let shape = [rows, &block].concat();
    let total = call.elements(&shape)?;
    let size = if starts.is_empty() {
        0
    } else {
        total / starts.len()
    };
    let data = of_any_kind!(&*x.data, numbers => picked(numbers, &starts, size));
    Ok(vec![Tensor::new(shape, x.element, data)])
}

/// The value with the blocks that rows of indices name replaced by updates, later ones last.
fn scatter_blocks(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let reduction = call.text_attribute("reduction", "none")?;
    if reduction != "none" {
        return Err(call.misfit("`reduction` of none", reduction));
    }
    call.check_same_type(x, updates)?;
    let (starts, block) = block_starts(call, x, indices, 0)?;
    let expected = [&indices.shape[..indices.shape.len() - 1], &block].concat();
    if updates.shape != expected {
        return Err(call.misshapen(format!("updates of {expected:?}"), &updates.shape));
    }
    let size: usize = block.iter().product();
    let data = match (&*x.data, &*updates.data) {
        (Data::Floats(x), Data::Floats(u)) => Data::Floats(replaced(x, u, &starts, size)),
        (Data::Ints(x), Data::Ints(u)) => Data::Ints(replaced(x, u, &starts, size)),
        (Data::Bools(x), Data::Bools(u)) => Data::Bools(replaced(x, u, &starts, size)),
        _ => return Err(call.misfit("updates of the same type", updates.element.name())),
    };
    Ok(vec![Tensor::new(x.shape.clone(), x.element, data)])
}

fn replaced<T: Copy>(numbers: &[T], updates: &[T], starts: &[usize], size: usize) -> Vec<T> {
    let mut numbers = numbers.to_vec();
    for (update, &start) in updates.chunks_exact(size.max(1)).zip(starts) {
        numbers[start..start + size].copy_from_slice(update);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, int, one, refused};

    fn along(axis: i64) -> [(&'static str, Attribute); 1] {
        [("axis", Attribute::Int(axis))]
    }

    #[test]
    fn indices_of_any_rank_pick_blocks() {
        let x = float(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let y = one("Gather", 13, &[], &[&x, &int(&[1, 2], &[2, -3])]);
        assert_eq!(y, float(&[1, 2, 2], &[4.0, 5.0, 0.0, 1.0]));
        let column = one("Gather", 13, &along(1), &[&x, &int(&[], &[-1])]);
        assert_eq!(column, float(&[3], &[1.0, 3.0, 5.0]));
        assert_eq!(
            one("Gather", 13, &along(1), &[&x, &int(&[0], &[])]).shape,
            [3, 0]
        );
        for index in [3, -4, i64::MIN] {
            let error = refused("Gather", 13, &[], &[&x, &int(&[1], &[index])]);
            assert!(error.contains("indices of 3 elements"), "{error}");
        }
        assert!(refused("Gather", 13, &[], &[&x, &x]).contains("int32 or int64"));
        assert!(
            refused("Gather", 13, &[], &[&float(&[], &[1.0]), &int(&[], &[0])]).contains("axis")
        );
    }

    #[test]
    fn indices_pick_single_elements() {
        let x = float(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let y = one(
            "GatherElements",
            13,
            &along(1),
            &[&x, &int(&[2, 2], &[2, 0, -1, -2])],
        );
        assert_eq!(y, float(&[2, 2], &[2.0, 0.0, 5.0, 4.0]));
        let y = one("GatherElements", 13, &[], &[&x, &int(&[1, 3], &[1, 0, 1])]);
        assert_eq!(y, float(&[1, 3], &[3.0, 1.0, 5.0]));
        let wide = int(&[1, 4], &[0; 4]);
        assert!(refused("GatherElements", 13, &[], &[&x, &wide]).contains("but for axis 0"));
    }

    #[test]
    fn rows_of_indices_pick_blocks_of_each_batch() {
        let x = float(&[2, 2, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let y = one("GatherND", 12, &[], &[&x, &int(&[2, 2], &[0, 1, 1, 0])]);
        assert_eq!(y, float(&[2, 2], &[2.0, 3.0, 4.0, 5.0]));
        let whole = one("GatherND", 12, &[], &[&x, &int(&[1, 1, 3], &[1, -1, 0])]);
        assert_eq!(whole, float(&[1, 1], &[6.0]));
        let batched = [("batch_dims", Attribute::Int(1))];
        let y = one("GatherND", 12, &batched, &[&x, &int(&[2, 1], &[1, 0])]);
        assert_eq!(y, float(&[2, 2], &[2.0, 3.0, 4.0, 5.0]));
        let other = int(&[3, 1], &[0; 3]);
        assert!(refused("GatherND", 12, &batched, &[&x, &other]).contains("1 batch axes"));
        let deep = int(&[1, 4], &[0; 4]);
        assert!(refused("GatherND", 12, &[], &[&x, &deep]).contains("indices into"));
        let all = [("batch_dims", Attribute::Int(2))];
        assert!(refused("GatherND", 12, &all, &[&x, &int(&[2, 2], &[0; 4])]).contains("2 batch"));
    }

    #[test]
    fn blocks_are_replaced_in_order() {
        let x = int(&[3, 2], &[0, 1, 2, 3, 4, 5]);
        let rows = int(&[2, 1], &[2, 2]);
        let updates = int(&[2, 2], &[7, 8, 9, 10]);
        assert_eq!(
            one("ScatterND", 11, &[], &[&x, &rows, &updates]),
            int(&[3, 2], &[0, 1, 2, 3, 9, 10])
        );
        let add = [("reduction", Attribute::Text("add".into()))];
        assert!(refused("ScatterND", 16, &add, &[&x, &rows, &updates]).contains("got add"));
        let short = int(&[2], &[7, 8]);
        assert!(refused("ScatterND", 11, &[], &[&x, &rows, &short]).contains("updates of [2, 2]"));
        let beyond = int(&[2, 1], &[0, 3]);
        assert!(refused("ScatterND", 11, &[], &[&x, &beyond, &updates]).contains("of 3 elements"));
    }
}
