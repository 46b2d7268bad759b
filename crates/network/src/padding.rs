//! Token sequences without the padding that they need not have.
//!
//! A set of sentences is padded to its longest one, `[ids; mask]` of two times that length. Most
//! batches of it are shorter, and a network's time grows with the length; its outputs do not
//! depend on padding, which attention masks.

use std::borrow::Cow;

use crate::Network;

/// The positions of the examples (`n x shape`), short sequences first; in their order where they
/// are no sequences.
pub fn by_length(inputs: &[f32], shape: &[usize]) -> Vec<usize> {
    let example = shape.iter().product::<usize>().max(1);
    let mut order: Vec<usize> = (0..inputs.len() / example).collect();
    if let [2, length] = *shape {
        let used = |&i: &usize| tokens(&inputs[i * example..(i + 1) * example], length);
        order.sort_by_cached_key(used);
    }
    order
}

/// Some examples, cut to the longest of them, and the shape that they then have.
pub fn gathered<'a>(
    inputs: &'a [f32],
    shape: &[usize],
    chosen: &[usize],
) -> (Cow<'a, [f32]>, Vec<usize>) {
    let example = shape.iter().product::<usize>().max(1);
    let of = |&i: &usize| &inputs[i * example..(i + 1) * example];
    if let [2, length] = *shape {
        let longest = chosen.iter().map(|i| tokens(of(i), length)).max();
        let longest = longest.unwrap_or(length).max(1);
        let rows = chosen
            .iter()
            .flat_map(|i| of(i).chunks_exact(length.max(1)));
        let numbers = rows.flat_map(|row| row[..longest].iter().copied());
        return (Cow::Owned(numbers.collect()), vec![2, longest]);
    }
    whole(inputs, shape, chosen)
}

/// Some examples as they are.
fn whole<'a>(inputs: &'a [f32], shape: &[usize], chosen: &[usize]) -> (Cow<'a, [f32]>, Vec<usize>) {
    let example = shape.iter().product::<usize>().max(1);
    let of = |&i: &usize| &inputs[i * example..(i + 1) * example];
    let consecutive = chosen.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let numbers = match (chosen.first(), consecutive) {
        (Some(&first), true) => {
            Cow::Borrowed(&inputs[first * example..(first + chosen.len()) * example])
        }
        _ => Cow::Owned(chosen.iter().flat_map(of).copied().collect()),
    };
    (numbers, shape.to_vec())
}

impl Network {
    /// As [`by_length`]; in their order where the network reads sequences of one length only.
    pub fn by_length(&self, inputs: &[f32], shape: &[usize]) -> Vec<usize> {
        match self.graph().has_fixed_input() {
            true => (0..inputs.len() / shape.iter().product::<usize>().max(1)).collect(),
            false => by_length(inputs, shape),
        }
    }

    /// As [`gathered`]; whole where the network reads sequences of one length only.
    pub fn gathered<'a>(
        &self,
        inputs: &'a [f32],
        shape: &[usize],
        chosen: &[usize],
    ) -> (Cow<'a, [f32]>, Vec<usize>) {
        match self.graph().has_fixed_input() {
            true => whole(inputs, shape, chosen),
            false => gathered(inputs, shape, chosen),
        }
    }
}

/// Tokens of a sequence up to the last one that its mask keeps.
fn tokens(example: &[f32], length: usize) -> usize {
    let mask = &example[length.min(example.len())..];
    mask.iter()
        .rposition(|&kept| kept != 0.0)
        .map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_sorted_by_their_tokens_and_cut_to_the_longest() {
        // Three tokens, one, two; ids, then mask.
        let inputs = [
            5., 6., 7., 1., 1., 1., //
            8., 0., 0., 1., 0., 0., //
            3., 4., 0., 1., 1., 0.,
        ];
        let order = by_length(&inputs, &[2, 3]);
        assert_eq!(order, [1, 2, 0]);
        let (numbers, shape) = gathered(&inputs, &[2, 3], &order[..2]);
        assert_eq!(shape, [2, 2]);
        assert_eq!(*numbers, [8., 0., 1., 0., 3., 4., 1., 1.]);
    }

    #[test]
    fn images_keep_their_order_and_their_memory() {
        let inputs = [1.0; 12];
        let order = by_length(&inputs, &[1, 2, 2]);
        assert_eq!(order, [0, 1, 2]);
        let (numbers, shape) = gathered(&inputs, &[1, 2, 2], &order[1..]);
        assert!(matches!(numbers, Cow::Borrowed(slice) if slice.len() == 8));
        assert_eq!(shape, [1, 2, 2]);
    }
}
