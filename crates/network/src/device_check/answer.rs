//! What a device makes of a question.

use std::collections::BTreeSet;
use std::fmt;

use burn::tensor::Device;

use super::question::{OperatorShape, Question};
use crate::forward::Mode;
use crate::value::with_value;
use crate::{Graph, Network, NetworkError, Pattern, Precision, Value};

/// The one node of an operator's network.
const NODE: usize = 1;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The outputs.
    Outputs,
    /// The outputs of a run that is differentiated, which has other kernels.
    Tracked,
    /// The gradient with respect to an operand.
    Operand(usize),
    /// The gradient with respect to a tensor.
    Tensor(String),
}

impl Part {
    pub(super) fn is_forward(&self) -> bool {
        matches!(self, Self::Outputs | Self::Tracked)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outputs => f.write_str("outputs"),
            Self::Tracked => f.write_str("outputs of a differentiated run"),
            Self::Operand(position) => write!(f, "gradient of operand {position}"),
            Self::Tensor(name) => write!(f, "gradient of `{name}`"),
        }
    }
}

/// All numbers, part by part.
pub(super) type Answer = Vec<(Part, Vec<f64>)>;

/// Something that computes.
pub(super) trait Answers {
    /// Its answer to a question.
    ///
    /// # Errors
    /// [`NetworkError`] where it cannot compute.
    fn answer(&self, question: &Question<'_>, precision: Precision)
    -> Result<Answer, NetworkError>;
}

impl Answers for Device {
    fn answer(
        &self,
        question: &Question<'_>,
        precision: Precision,
    ) -> Result<Answer, NetworkError> {
        match question {
            Question::Operator(operator) => alone(operator, self, precision),
            Question::Network {
                graph,
                checkpoint,
                shape,
                input,
            } => {
                let graph = Graph::clone(graph);
                let network = Network::of_graph(graph, checkpoint, self, precision)?;
                let x = Value::from_numbers(input.draw(shape, 0), shape, self, precision)?;
                Ok(vec![(Part::Outputs, network.forward(x)?.to_vec()?)])
            }
        }
    }
}

/// An operator's outputs, and the gradients of a weighted sum of them with respect to its operands
/// and its trained tensors.
fn alone(
    operator: &OperatorShape,
    device: &Device,
    precision: Precision,
) -> Result<Answer, NetworkError> {
    let network = operator.network(device, precision)?;
    let pattern = match operator.frozen {
        true => Some(frozen(&network, operator, device, precision)?),
        false => None,
    };
    let mode = pattern.as_ref().map_or(Mode::Free, Mode::Frozen);

    // Operands that nothing else holds: an operator may then work in place, as in a network.
    let operands = operator.operands(device, precision)?.into_iter();
    let outputs = network.apply(NODE, operands.map(|(value, _)| value).collect(), mode)?;
    let shape = outputs.shape();
    let mut answer = vec![(Part::Outputs, outputs.to_vec()?)];

    let operands = operator.operands(device, precision)?.into_iter();
    let leaf = |(value, differentiated): (Value, bool)| match differentiated {
        true => (value.leaf(), true),
        false => (value, false),
    };
    let operands: Vec<(Value, bool)> = operands.map(leaf).collect();
    let specs = network.graph().parameters();
    let trained: BTreeSet<usize> = (0..specs.len()).filter(|&i| specs[i].trained).collect();
    let network = network.with_leaves(&trained);
    let values = operands.iter().map(|(value, _)| value.clone()).collect();
    let outputs = network.apply(NODE, values, mode)?;
    answer.push((Part::Tracked, outputs.to_vec()?));

    let selected = outputs.mul(operator.selector(&shape, device, precision)?, "outputs")?;
    let sum = with_value!(selected, t => t.sum());
    if !sum.is_tracked() {
        return Ok(answer);
    }
    let gradients = sum.backward();
    for (position, (leaf, differentiated)) in operands.iter().enumerate() {
        if *differentiated {
            let gradient = leaf.gradient(&gradients);
            let gradient = gradient.unwrap_or_else(|| leaf.zeros_like());
            answer.push((Part::Operand(position), gradient.to_vec()?));
        }
    }
    let tensors = network.leaf_gradients(&gradients, &trained)?;
    for (&position, gradient) in trained.iter().zip(tensors) {
        answer.push((Part::Tensor(specs[position].name.clone()), gradient));
    }
    Ok(answer)
}

/// The linear piece of the operator at its operand.
fn frozen(
    network: &Network,
    operator: &OperatorShape,
    device: &Device,
    precision: Precision,
) -> Result<Pattern, NetworkError> {
    let mut pattern = Pattern::default();
    for (operand, _) in operator.operands(device, precision)? {
        pattern.freeze(NODE, &network.graph().nodes()[NODE], &operand, 0)?;
    }
    Ok(pattern)
}
