//! The walk over the graph: one value per node, dropped after its last reader.

use std::collections::BTreeMap;
use std::rc::Rc;

use network::{Graph, Model, Node, NodeId, Op};
use rayon::prelude::*;

use super::value::{Value, misfit};
use super::{convolution, join, linear, norm, patches, pointwise, pool, tokens};
use crate::RepairError;

/// Inputs that are evaluated between two words of progress.
const TOGETHER: usize = 64;

/// A checkpoint's graph with its tensors in f64.
pub struct Evaluator {
    graph: Graph,
    input_shape: Vec<usize>,
    tensors: BTreeMap<String, Vec<f64>>,
    /// For every node the last one that reads it; itself when none does.
    last_readers: Vec<NodeId>,
}

impl Evaluator {
    /// Reads the tensors of every node.
    ///
    /// # Errors
    /// [`RepairError::Network`] when a tensor is missing or misshapen or the architecture unclear.
    pub fn new(checkpoint: &Model) -> Result<Self, RepairError> {
        let graph = checkpoint.graph().clone();
        let mut tensors = BTreeMap::new();
        for spec in graph.parameters() {
            let shape = checkpoint.shape(&spec.name)?;
            if shape != spec.shape {
                let at = format!("tensor `{}`", spec.name);
                return Err(misfit(&at, format!("{:?}", spec.shape), shape));
            }
            let numbers = checkpoint.tensor(&spec.name)?;
            tensors.insert(spec.name, numbers);
        }
        let mut last_readers: Vec<NodeId> = (0..graph.nodes().len()).collect();
        for (id, node) in graph.nodes().iter().enumerate() {
            node.sources
                .iter()
                .for_each(|&source| last_readers[source] = id);
        }
        Ok(Self {
            input_shape: graph.input_shape().to_vec(),
            graph,
            tensors,
            last_readers,
        })
    }

    /// The same network for examples of another shape: images of other extents,
    /// `[channels, h, w]`, token sequences of another length, `[2, tokens]`. Whether the
    /// network can read the shape shows when it is evaluated.
    pub fn with_input_shape(self, shape: &[usize]) -> Self {
        Self {
            input_shape: shape.to_vec(),
            ..self
        }
    }

    /// The outputs for one input, row-major in the evaluator's input shape.
    ///
    /// # Errors
    /// [`RepairError::Shape`] when the input has the wrong size; [`RepairError::Network`] when
    /// a node cannot read it: an image that is too small, a number that is no word.
    pub fn outputs(&self, input: &[f64]) -> Result<Vec<f64>, RepairError> {
        self.check_example(input.len())?;
        let input = Value::new(&self.input_shape, input.to_vec());
        let mut values = vec![Rc::new(input)];
        for (id, node) in self.graph.nodes().iter().enumerate().skip(1) {
            let sources = node.sources.iter();
            let operands = sources.clone().map(|&source| Rc::clone(&values[source]));
            let operands = operands.collect();
            // The last reader owns what it reads and may work in place.
            for &source in sources.filter(|&&source| self.last_readers[source] == id) {
                values[source] = Rc::default();
            }
            values.push(Rc::new(self.apply(node, operands)?));
        }
        let output = values.pop().unwrap_or_default();
        Ok(Rc::unwrap_or_clone(output).numbers)
    }

    /// The outputs for many inputs of `example` numbers each, in their order; the inputs are
    /// evaluated in parallel, each on one thread.
    ///
    /// # Errors
    /// As [`Evaluator::outputs`], for the first input that has one.
    pub fn outputs_of_all(
        &self,
        inputs: &[f32],
        example: usize,
    ) -> Result<Vec<Vec<f64>>, RepairError> {
        self.check_example(example)?;
        if !inputs.len().is_multiple_of(example) {
            return Err(RepairError::Shape {
                what: "numbers in all inputs",
                expected: inputs.len().next_multiple_of(example),
                got: inputs.len(),
            });
        }
        let widened = |input: &[f32]| -> Vec<f64> { input.iter().map(|&x| x.into()).collect() };
        let total = inputs.len() / example;
        let mut all = Vec::with_capacity(total);
        for inputs in inputs.chunks(TOGETHER * example) {
            tracing::debug!(done = all.len(), total, "verification");
            let outputs: Vec<_> = inputs
                .par_chunks_exact(example)
                .map(|input| self.outputs(&widened(input)))
                .collect();
            for outputs in outputs {
                all.push(outputs?);
            }
        }
        Ok(all)
    }

    fn check_example(&self, got: usize) -> Result<(), RepairError> {
        let expected: usize = self.input_shape.iter().product();
        if got == expected && got > 0 {
            return Ok(());
        }
        Err(RepairError::Shape {
            what: "numbers in an input",
            expected,
            got,
        })
    }

    /// The value of a node from those of its sources.
    fn apply(&self, node: &Node, operands: Vec<Rc<Value>>) -> Result<Value, RepairError> {
        let at = node.name.as_str();
        let tensor = |name: &String| self.tensors[name].as_slice();
        let bias = |name: &'_ Option<String>| name.as_ref().map(tensor);
        let one = |operands| -> Result<Value, RepairError> {
            let [x] = exactly(operands, at)?;
            Ok(Rc::unwrap_or_clone(x))
        };
        match &node.op {
            // A graph has one input, its first node.
            Op::Input => Err(misfit(at, "no second input", &[])),
            Op::Linear(op) => {
                let [x] = exactly(operands, at)?;
                linear::linear(op, &x, tensor(&op.weight), bias(&op.bias), at)
            }
            Op::Conv2d(op) => {
                let [x] = exactly(operands, at)?;
                convolution::convolution(op, &x, tensor(&op.weight), bias(&op.bias), at)
            }
            Op::BatchNorm(op) => {
                let tensors = [&op.weight, &op.bias, &op.mean, &op.variance].map(tensor);
                norm::batch_norm(op, one(operands)?, tensors, at)
            }
            Op::LayerNorm(op) => {
                let (weight, bias) = (tensor(&op.weight), tensor(&op.bias));
                norm::layer_norm(op, one(operands)?, weight, bias, at)
            }
            Op::Embedding(op) => {
                let [x] = exactly(operands, at)?;
                tokens::embedding(op, &x, tensor(&op.weight), at)
            }
            Op::Scaling(op) => {
                let (mean, range) = (tensor(&op.mean), tensor(&op.range));
                pointwise::scale_units(op, one(operands)?, mean, range, at)
            }
            Op::Activation(op) => Ok(one(operands)?.map(|z| pointwise::activate(*op, z))),
            Op::Softmax => norm::softmax(one(operands)?, at),
            Op::LogSoftmax => norm::log_softmax(one(operands)?, at),
            Op::Standardise { epsilon } => norm::standardise(one(operands)?, *epsilon, at),
            Op::Mean => {
                let [x] = exactly(operands, at)?;
                norm::mean(&x, at)
            }
            Op::MaxPool(op) => {
                let [x] = exactly(operands, at)?;
                pool::max_pool(op, &x, at)
            }
            Op::AveragePool(op) => {
                let [x] = exactly(operands, at)?;
                pool::average_pool(op, &x, at)
            }
            Op::GlobalAveragePool => {
                let [x] = exactly(operands, at)?;
                pool::global_average(&x, at)
            }
            Op::Concat => join::concat(&operands, at),
            Op::Add => {
                let [a, b] = exactly(operands, at)?;
                pointwise::pairwise(Rc::unwrap_or_clone(a), &b, |a, b| a + b, at)
            }
            Op::Multiply => {
                let [a, b] = exactly(operands, at)?;
                pointwise::pairwise(Rc::unwrap_or_clone(a), &b, |a, b| a * b, at)
            }
            Op::AddConstants(constants) => {
                pointwise::with_constants(constants, one(operands)?, |x, c| x + c, at)
            }
            Op::MultiplyConstants(constants) => {
                pointwise::with_constants(constants, one(operands)?, |x, c| x * c, at)
            }
            Op::Rearrange(op) => pointwise::rearrange(op, one(operands)?, at),
            Op::Slice { start, len } => {
                let [x] = exactly(operands, at)?;
                join::slice(&x, *start, *len, at)
            }
            Op::Scale(factor) => Ok(one(operands)?.map(|x| x * factor)),
            Op::MatMul { transposed } => {
                let [a, b] = exactly(operands, at)?;
                linear::matrix_products(&a, &b, *transposed, at)
            }
            Op::SplitHeads { heads } => {
                let [x] = exactly(operands, at)?;
                tokens::split_heads(&x, *heads, at)
            }
            Op::MergeHeads { heads, sequences } => {
                let [x] = exactly(operands, at)?;
                tokens::merge_heads(&x, *heads, *sequences, at)
            }
            Op::TokenMask => {
                let [x] = exactly(operands, at)?;
                tokens::token_mask(&x, at)
            }
            Op::SelectToken(index) => {
                let [x] = exactly(operands, at)?;
                tokens::select_token(&x, *index, at)
            }
            Op::Unfold { patch } => {
                let [x] = exactly(operands, at)?;
                patches::unfold(&x, *patch, at)
            }
            Op::Fold { patch } => {
                let [tokens, like] = exactly(operands, at)?;
                patches::fold(&tokens, &like, *patch, at)
            }
        }
    }
}

/// The operands of a node that reads `COUNT` values.
fn exactly<const COUNT: usize>(
    operands: Vec<Rc<Value>>,
    at: &str,
) -> Result<[Rc<Value>; COUNT], RepairError> {
    let got = operands.len();
    operands
        .try_into()
        .map_err(|_| misfit(at, format!("{COUNT} operands"), &[got]))
}
