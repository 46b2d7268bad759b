//! The extents of every value for inputs of given extents, multiplied with checks, before anything is
//! computed.
//!
//! Libraries of tensors multiply extents unchecked and trust their caller. Extents come from files: of
//! inputs, and of windows, patches and borders. So they are multiplied here first.

use crate::ops::{AveragePool, Conv2d, MaxPool};
use crate::{Graph, Node, Op};

/// The most numbers of one value of one example: 2^26, 256 MiB in 32 bits.
pub const MOST_NUMBERS: usize = 1 << 26;

/// A node whose value would be too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The node.
    pub node: String,
    /// Extents of what it would hold, as far as they can be counted.
    pub shape: Vec<usize>,
}

/// Why the extents of a value are not known.
enum Unknown {
    /// The operands do not fit; who computes the node says so.
    Misfit,
    /// There would be too many numbers.
    TooLarge(Vec<usize>),
}

impl Graph {
    /// Checks that no value of an example of the given extents has more than [`MOST_NUMBERS`] numbers,
    /// with the borders around images and the images that are cut into patches, and returns how many the
    /// largest has. What does not fit is no error here: nodes from there on are not looked at, as they are
    /// not computed either.
    ///
    /// # Errors
    /// [`TooLarge`] for the first node that would.
    pub fn check_sizes(&self, example: &[usize]) -> Result<usize, TooLarge> {
        let too_large = |node: &Node, shape: Vec<usize>| TooLarge {
            node: node.name.clone(),
            shape,
        };
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes().len());
        let largest = |shapes: &[Vec<usize>]| {
            let counts = shapes.iter().map(|shape| shape.iter().product());
            counts.max().unwrap_or(0)
        };
        for node in self.nodes() {
            let sources: Vec<&[usize]> = node.sources.iter().map(|&id| &shapes[id][..]).collect();
            let shape = match node.op {
                Op::Input => counted(example.to_vec()),
                _ => value(&node.op, &sources).and_then(counted),
            };
            match shape {
                Ok(shape) => shapes.push(shape),
                Err(Unknown::Misfit) => return Ok(largest(&shapes)),
                Err(Unknown::TooLarge(shape)) => return Err(too_large(node, shape)),
            }
        }
        Ok(largest(&shapes))
    }
}

/// The shape, if it does not have too many numbers; an extent of zero does not excuse the others.
fn counted(shape: Vec<usize>) -> Result<Vec<usize>, Unknown> {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &extent| count.checked_mul(extent.max(1)));
    match count {
        Some(count) if count <= MOST_NUMBERS => Ok(shape),
        _ => Err(Unknown::TooLarge(shape)),
    }
}

/// The extents of a node's value, without the batch.
fn value(op: &Op, sources: &[&[usize]]) -> Result<Vec<usize>, Unknown> {
    let x = *sources.first().ok_or(Unknown::Misfit)?;
    match op {
        Op::Input
        | Op::BatchNorm(_)
        | Op::LayerNorm(_)
        | Op::Scaling(_)
        | Op::Activation(_)
        | Op::Softmax
        | Op::LogSoftmax
        | Op::Standardise { .. }
        | Op::AddConstants(_)
        | Op::MultiplyConstants(_)
        | Op::Scale(_) => Ok(x.to_vec()),
        Op::Linear(op) => last(x, op.outputs),
        Op::Mean => last(x, 1),
        Op::Slice { len, .. } => last(x, *len),
        Op::Rearrange(op) => Ok(op.shape.clone()),
        Op::Embedding(op) => match x {
            [_, tokens] => Ok(vec![*tokens, op.features]),
            _ => Err(Unknown::Misfit),
        },
        Op::TokenMask => match x {
            [_, tokens] => Ok(vec![1, 1, *tokens]),
            _ => Err(Unknown::Misfit),
        },
        Op::SelectToken(_) => match x {
            [_, features] => Ok(vec![*features]),
            _ => Err(Unknown::Misfit),
        },
        Op::Concat => {
            let first = sources.iter().filter_map(|source| source.first());
            let joined = first.fold(0_usize, |sum, &extent| sum.saturating_add(extent));
            let rest = x.get(1..).ok_or(Unknown::Misfit)?;
            Ok([&[joined], rest].concat())
        }
        Op::Add | Op::Multiply => match sources {
            [a, b] if a.len() == b.len() => Ok(a.iter().zip(*b).map(|(&a, &b)| a.max(b)).collect()),
            _ => Err(Unknown::Misfit),
        },
        Op::MatMul { transposed } => match (sources.first(), sources.get(1)) {
            (Some(&&[stack, rows, _]), Some(&&[_, c, d])) => {
                Ok(vec![stack, rows, if *transposed { c } else { d }])
            }
            _ => Err(Unknown::Misfit),
        },
        Op::SplitHeads { heads } => {
            let heads = *heads;
            match *x {
                [tokens, features] if heads > 0 => Ok(vec![heads, tokens, features / heads]),
                [sequences, tokens, features] if heads > 0 => Ok(vec![
                    sequences.saturating_mul(heads),
                    tokens,
                    features / heads,
                ]),
                _ => Err(Unknown::Misfit),
            }
        }
        Op::MergeHeads { heads, sequences } => match (x, sequences) {
            ([_, tokens, features], None) => Ok(vec![*tokens, features.saturating_mul(*heads)]),
            ([_, tokens, features], Some(sequences)) => {
                Ok(vec![*sequences, *tokens, features.saturating_mul(*heads)])
            }
            _ => Err(Unknown::Misfit),
        },
        Op::GlobalAveragePool => Ok(vec![image(x)?[0]]),
        Op::Conv2d(op) => convolved(op, image(x)?),
        Op::MaxPool(op) => pooled(op, image(x)?),
        Op::AveragePool(op) => averaged(op, image(x)?),
        Op::Unfold { patch } => unfolded(*patch, image(x)?),
        Op::Fold { .. } => {
            let like = image(sources.get(1).ok_or(Unknown::Misfit)?)?;
            let features = *x.last().ok_or(Unknown::Misfit)?;
            Ok(vec![features, like[1], like[2]])
        }
    }
}

/// The same extents but for the last.
fn last(x: &[usize], extent: usize) -> Result<Vec<usize>, Unknown> {
    let (_, rest) = x.split_last().ok_or(Unknown::Misfit)?;
    Ok([rest, &[extent]].concat())
}

fn image(x: &[usize]) -> Result<[usize; 3], Unknown> {
    x.try_into().map_err(|_| Unknown::Misfit)
}

/// Checks an image with a border around it.
fn bordered(
    [channels, height, width]: [usize; 3],
    before: [usize; 2],
    after: [usize; 2],
) -> Result<(), Unknown> {
    let wide = |extent: usize, axis: usize| {
        extent
            .saturating_add(before[axis])
            .saturating_add(after[axis])
    };
    counted(vec![channels, wide(height, 0), wide(width, 1)]).map(|_| ())
}

fn convolved(op: &Conv2d, x: [usize; 3]) -> Result<Vec<usize>, Unknown> {
    bordered(x, op.padding, op.padding)?;
    let [height, width] = op.output_size([x[1], x[2]]).ok_or(Unknown::Misfit)?;
    Ok(vec![op.outputs, height, width])
}

fn pooled(op: &MaxPool, x: [usize; 3]) -> Result<Vec<usize>, Unknown> {
    bordered(x, op.before, op.after)?;
    let [height, width] = op.output_size([x[1], x[2]]).ok_or(Unknown::Misfit)?;
    Ok(vec![x[0], height, width])
}

fn averaged(op: &AveragePool, x: [usize; 3]) -> Result<Vec<usize>, Unknown> {
    let [height, width] = op.output_size([x[1], x[2]]).ok_or(Unknown::Misfit)?;
    Ok(vec![x[0], height, width])
}

/// Patches, of which there are whole ones: the image is made as large.
fn unfolded(patch: usize, [channels, height, width]: [usize; 3]) -> Result<Vec<usize>, Unknown> {
    if patch == 0 {
        return Err(Unknown::Misfit);
    }
    let (rows, columns) = (height.div_ceil(patch), width.div_ceil(patch));
    let whole = [
        channels,
        rows.saturating_mul(patch),
        columns.saturating_mul(patch),
    ];
    counted(whole.to_vec())?;
    let positions = patch.saturating_mul(patch);
    Ok(vec![positions, rows.saturating_mul(columns), channels])
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: MaxPool = MaxPool::square(3, 2, true);

    fn convolution(padding: usize, stride: usize, dilation: usize) -> Op {
        Op::Conv2d(Conv2d {
            weight: "w".to_owned(),
            bias: None,
            inputs: 3,
            outputs: 4,
            kernel: [3; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [dilation; 2],
            groups: 1,
        })
    }

    fn graph(ops: &[Op]) -> Graph {
        let mut graph = Graph::new(&[3, 8, 8]);
        for (id, op) in ops.iter().enumerate() {
            let sources = match op {
                Op::Fold { .. } => vec![id, 0],
                Op::MatMul { .. } => vec![id, id],
                _ => vec![id],
            };
            graph.push(format!("n{id}"), op.clone(), &sources).unwrap();
        }
        graph
    }

    #[test]
    fn extents_that_any_attribute_multiplies_are_bounded() {
        let wide = MaxPool {
            before: [1 << 40, 0],
            kernel: [(1 << 40) + 1, 1],
            ..POOL
        };
        let cases: [(&str, Vec<Op>); 9] = [
            ("patch", vec![Op::Unfold { patch: 1 << 14 }]),
            (
                "patch that wraps",
                vec![Op::Unfold {
                    patch: (1 << 57) + 3,
                }],
            ),
            ("largest patch", vec![Op::Unfold { patch: usize::MAX }]),
            ("padding", vec![convolution(1 << 13, 1, 1)]),
            (
                "padding that few windows see",
                vec![convolution(1 << 14, 1 << 13, 1)],
            ),
            (
                "padding that wraps",
                vec![convolution(usize::MAX / 2, 1, 1)],
            ),
            ("padding of a pool", vec![Op::MaxPool(wide)]),
            (
                "features",
                vec![Op::GlobalAveragePool, linear(1 << 20), linear(1 << 27)],
            ),
            (
                "products",
                vec![
                    Op::Rearrange(crate::Rearrange {
                        shape: vec![1, 1 << 14, 1],
                        reads: 192,
                        sources: None,
                        fill: 0.0,
                    }),
                    Op::MatMul { transposed: true },
                ],
            ),
        ];
        for (what, ops) in cases {
            let refusal = graph(&ops).check_sizes(&[3, 8, 8]).unwrap_err();
            assert_eq!(refusal.node, format!("n{}", ops.len() - 1), "{what}");
        }
    }

    fn linear(outputs: usize) -> Op {
        Op::Linear(crate::Linear {
            weight: "w".to_owned(),
            bias: None,
            inputs: 1,
            outputs,
        })
    }

    #[test]
    fn usual_extents_pass_and_inputs_of_any_others_do_not() {
        let ops = [
            convolution(1, 2, 1),
            Op::MaxPool(POOL),
            Op::Unfold { patch: 2 },
        ];
        let graph = graph(&ops);
        for side in [8, 64, 512] {
            graph.check_sizes(&[3, side, side]).unwrap();
        }
        for side in [1 << 14, 1 << 31, usize::MAX] {
            let refusal = graph.check_sizes(&[3, side, side]).unwrap_err();
            assert_eq!(refusal.node, "input");
        }
        graph.check_sizes(&[3, 0, usize::MAX]).unwrap_err();
        // What does not fit is the business of who computes it.
        for shape in [&[][..], &[3], &[3, 1, 1], &[2, 7]] {
            graph.check_sizes(shape).unwrap();
        }
    }

    #[test]
    fn windows_whose_span_wraps_fit_nowhere() {
        for op in [
            convolution(0, 1, usize::MAX),
            convolution(usize::MAX / 2 - 4, 1, usize::MAX / 2),
        ] {
            let Op::Conv2d(op) = op else { continue };
            assert_eq!(op.output_size([8, 8]), None);
        }
    }
}
