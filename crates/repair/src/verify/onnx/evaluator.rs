//! The walk over the nodes: values are dropped after their last reader.

use std::sync::Arc;

use model::onnx::proto::ModelProto;
use prost::Message;
use rayon::prelude::*;

use super::error::OnnxError;
use super::graph::{Graph, Node};
use super::inputs::{OnnxInput, of_example};
use super::operators::Call;
use super::stored::Files;
use super::tensor::{Data, LIMIT, Tensor};
use crate::RepairError;

/// Examples that are evaluated between two words of progress.
const TOGETHER: usize = 64;

/// A network in an ONNX file, evaluated node by node in f64 as the operator specification says.
///
/// Weights are the stored numbers exactly. Arithmetic on floats of every type, and casts between
/// float types, are f64 and not rounded to the type; integers are exact.
pub struct OnnxEvaluator {
    origin: String,
    graph: Graph,
}

impl OnnxEvaluator {
    /// Reads the bytes of a model; `external` reads a file beside it by its path relative to the
    /// model's folder, and `origin` names the model in errors.
    ///
    /// # Errors
    /// [`RepairError::Onnx`] when the bytes are no model of operator set 7 to 21, an operator or
    /// attribute is unknown, a stored tensor is malformed, or a name is read before it is defined.
    pub fn new(
        bytes: &[u8],
        external: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
        origin: &str,
    ) -> Result<Self, RepairError> {
        let read = || {
            let model = ModelProto::decode(bytes)?;
            Graph::read(&model, &mut Files::new(external))
        };
        Ok(Self {
            graph: read().map_err(|error| named(origin, error))?,
            origin: origin.to_owned(),
        })
    }

    /// The graph's inputs for one example of a shape without a batch axis: of the shape that the
    /// one input declares, with a batch of one, or for text from `[2, tokens]` (words, mask) by the
    /// names `input_ids`, `attention_mask` and `token_type_ids` (zeros).
    ///
    /// # Errors
    /// [`RepairError::Onnx`] when the numbers are not as many as the inputs need, or when it is
    /// unclear which input reads them.
    pub fn inputs_of(
        &self,
        shape: &[usize],
        example: &[f64],
    ) -> Result<Vec<OnnxInput>, RepairError> {
        let inputs = of_example(&self.graph.inputs, shape, example);
        inputs.map_err(|error| named(&self.origin, error))
    }

    /// The first output, flattened, for the inputs of the graph in their order.
    ///
    /// # Errors
    /// [`RepairError::Onnx`] when the inputs are not those that the graph declares, when a node
    /// cannot read its operands, or when the output is not of floats.
    pub fn outputs(&self, inputs: &[OnnxInput]) -> Result<Vec<f64>, RepairError> {
        let outputs = self.evaluate(inputs);
        outputs.map_err(|error| named(&self.origin, error))
    }

    /// The outputs for many examples of one shape, one after the other in `examples`, in their
    /// order; they are evaluated in parallel, each on one thread.
    ///
    /// # Errors
    /// As [`OnnxEvaluator::inputs_of`] and [`OnnxEvaluator::outputs`], for the first example that
    /// has one; [`RepairError::Shape`] when the examples do not fill their numbers.
    pub fn outputs_of_all(
        &self,
        examples: &[f32],
        shape: &[usize],
    ) -> Result<Vec<Vec<f64>>, RepairError> {
        let size: usize = shape.iter().product();
        if size == 0 || !examples.len().is_multiple_of(size) {
            return Err(RepairError::Shape {
                what: "numbers in all inputs",
                expected: examples.len().next_multiple_of(size.max(1)),
                got: examples.len(),
            });
        }
        let outputs = |example: &[f32]| {
            let example: Vec<f64> = example.iter().map(|&x| x.into()).collect();
            self.outputs(&self.inputs_of(shape, &example)?)
        };
        let total = examples.len() / size;
        let mut all = Vec::with_capacity(total);
        for examples in examples.chunks(TOGETHER * size) {
            tracing::debug!(done = all.len(), total, "verification");
            let some: Vec<_> = examples.par_chunks_exact(size).map(outputs).collect();
            for outputs in some {
                all.push(outputs?);
            }
        }
        Ok(all)
    }

    fn evaluate(&self, inputs: &[OnnxInput]) -> Result<Vec<f64>, OnnxError> {
        let graph = &self.graph;
        if inputs.len() != graph.inputs.len() {
            let names: Vec<_> = graph
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .collect();
            let got = format!("{} inputs", inputs.len());
            return Err(OnnxError::misfit("graph inputs", format!("{names:?}"), got));
        }
        let mut values = Values {
            slots: graph.slots.clone(),
            made: vec![0; graph.slots.len()],
            alive: 0,
        };
        for (input, given) in graph.inputs.iter().zip(inputs) {
            values.put(input.slot, input.tensor(given)?, "graph inputs")?;
        }
        for node in &graph.nodes {
            values.apply(node, graph.version)?;
        }
        let output = values.slots[graph.output].as_deref();
        match output.map(|output| &*output.data) {
            Some(Data::Floats(numbers)) => Ok(numbers.clone()),
            _ => {
                let got = output.map_or("no value", |output| output.element.name());
                Err(OnnxError::misfit("graph output", "floats", got))
            }
        }
    }
}

fn named(origin: &str, fault: OnnxError) -> RepairError {
    RepairError::Onnx {
        file: origin.to_owned(),
        fault,
    }
}

/// The values that are alive.
struct Values {
    slots: Vec<Option<Arc<Tensor>>>,
    /// The size of each value that was made for this example.
    made: Vec<usize>,
    alive: usize,
}

impl Values {
    /// Applies a node and drops what no later one reads.
    fn apply(&mut self, node: &Node, version: i64) -> Result<(), OnnxError> {
        let operand = |slot: &Option<usize>| slot.and_then(|slot| self.slots[slot].clone());
        let inputs: Vec<_> = node.inputs.iter().map(operand).collect();
        let call = Call {
            at: &node.at,
            version,
            attributes: &node.attributes,
            inputs: &inputs,
            results: node.outputs.len(),
        };
        let mut results = (node.operator.apply)(&call)?.into_iter();
        for slot in &node.outputs {
            match (*slot, results.next()) {
                (Some(slot), Some(result)) => self.put(slot, result, &node.at)?,
                (Some(_), None) => {
                    return Err(call.misfit("outputs that are evaluated", "a further one is read"));
                }
                (None, _) => {}
            }
        }
        for &slot in &node.spent {
            self.slots[slot] = None;
            self.alive -= std::mem::take(&mut self.made[slot]);
        }
        Ok(())
    }

    fn put(&mut self, slot: usize, tensor: Tensor, at: &str) -> Result<(), OnnxError> {
        let size = tensor.len();
        self.alive += size;
        if self.alive > LIMIT {
            let expected = format!("at most {LIMIT} numbers that are alive at once");
            return Err(OnnxError::misfit(at, expected, self.alive.to_string()));
        }
        self.made[slot] = size;
        self.slots[slot] = Some(Arc::new(tensor));
        Ok(())
    }
}
