//! Memory in proportion to the file: what is counted before it is made.
//!
//! The structures into which a message is parsed are larger than the message: a node without a name takes
//! two bytes of a file and hundreds in memory. Names for one tensor, and maps over values, cost a few bytes
//! of a file and as much memory as the tensor or the value each.

use safetensors::Dtype;

use super::lower::{Built, Lowering};
use super::patch::Field;
use super::values::{Data, Reason, Value};
use crate::Op;

/// Bytes that the parameters of a file may have together, as a multiple of the file's size with the files
/// beside it.
const MAX_EXPANSION: usize = 8;

/// Numbers that nodes may copy or hold for an example, besides as many as the file has bytes.
pub(super) const MOST_WORK: usize = 1 << 28;

/// Constants that may be folded, besides as many as the file has bytes.
pub(super) const MOST_FOLDED: usize = 1 << 25;

/// The most messages and texts in a file: nodes, attributes, tensors, names.
const MOST_PARTS: usize = 1 << 21;

/// The most of them that are nodes, attributes, tensors or inputs.
const MOST_MESSAGES: usize = 1 << 18;

/// Which fields of a message hold messages.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Other,
}

impl Message {
    /// The kind of the message in a field; none for other fields.
    fn of(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Model, 8 | 14 | 25) => Some(Self::Other),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) => Some(Self::Tensor),
            (Self::Graph, 11 | 12 | 15) => Some(Self::Other),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Tensor, 13) => Some(Self::Other),
            // Types of inputs: a few messages, one in the other.
            (Self::Other, _) => Some(Self::Other),
            _ => None,
        }
    }
}

/// Counts the messages and texts of a file before it is parsed.
///
/// # Errors
/// A sentence when there are too many.
pub(super) fn check_parts(bytes: &[u8]) -> Result<(), Reason> {
    let (mut parts, mut messages) = (0_usize, 0_usize);
    let mut open = vec![(Message::Model, bytes)];
    while let Some((message, mut rest)) = open.pop() {
        while !rest.is_empty() {
            // What cannot be read here is the parser's to refuse, or a text.
            let Some((field, after)) = Field::read(rest) else {
                break;
            };
            rest = after;
            if !field.is_delimited() {
                continue;
            }
            parts += 1;
            let inside = message.of(field.number);
            messages += usize::from(inside.is_some() && !matches!(message, Message::Other));
            if parts > MOST_PARTS || messages > MOST_MESSAGES {
                return Err(format!(
                    "it has more than {MOST_MESSAGES} nodes, attributes and tensors, or {MOST_PARTS} names"
                ));
            }
            open.extend(inside.map(|inside| (inside, field.content())));
        }
    }
    Ok(())
}

impl Value {
    /// Numbers that the value itself holds in memory.
    fn held(&self) -> usize {
        match self {
            Self::Live(live) => live.view.as_ref().map_or(0, |view| view.len()),
            Self::Constant(constant) => match &constant.data {
                Data::Stored { order, .. } => order.as_ref().map_or(0, |order| order.len()),
                Data::Floats(numbers) => 2 * numbers.len(),
                Data::Integers(numbers, _) => 2 * numbers.len(),
            },
            Self::Opaque(..) => 0,
        }
    }
}

impl Built {
    /// Numbers that the node holds in memory.
    fn held(&self) -> usize {
        match &self.op {
            Op::Rearrange(op) => op.sources.as_ref().map_or(0, |sources| sources.len()),
            _ => 0,
        }
    }
}

impl Lowering<'_> {
    /// Takes what a node's results hold, and the nodes that were made for them, from what may be held.
    pub(super) fn charge_results(&mut self, results: &[Value], first: usize) -> Result<(), Reason> {
        let of_values: usize = results.iter().map(Value::held).sum();
        let made = self.built.iter().skip(first);
        let of_nodes: usize = made.map(Built::held).sum();
        self.charge(of_values.saturating_add(of_nodes))
    }

    /// Takes the bytes of a parameter from what the parameters may have together.
    ///
    /// # Errors
    /// A sentence that names the first parameter that is too much.
    pub(super) fn take(&mut self, name: &str, shape: &[usize], dtype: Dtype) -> Result<(), Reason> {
        let numbers = shape.iter().product::<usize>();
        let bytes = numbers.saturating_mul(dtype.bitsize() / 8);
        self.taken = self.taken.saturating_add(bytes);
        let file = self.length.saturating_add(self.store.side().length());
        if self.taken <= file.saturating_mul(MAX_EXPANSION) {
            return Ok(());
        }
        Err(format!(
            "brings the tensors, with `{name}` of shape {shape:?}, to more than {MAX_EXPANSION} times the file"
        ))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
    use super::*;

    fn model(node: NodeProto, nodes: usize) -> Vec<u8> {
        let graph = GraphProto {
            node: vec![node; nodes],
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    #[test]
    fn parts_are_counted_wherever_they_lie() {
        let names = |count| NodeProto {
            input: vec![String::new(); count],
            ..NodeProto::default()
        };
        let attributes = |count| NodeProto {
            attribute: vec![AttributeProto::default(); count],
            ..NodeProto::default()
        };
        let texts = |count| AttributeProto {
            strings: vec![Vec::new(); count],
            ..AttributeProto::default()
        };
        let in_attribute = |count| NodeProto {
            attribute: vec![texts(count)],
            ..NodeProto::default()
        };
        check_parts(&model(names(1000), 1000)).unwrap();
        check_parts(&model(attributes(100), 1000)).unwrap();
        for (what, bytes) in [
            ("nodes", model(NodeProto::default(), MOST_MESSAGES + 1)),
            ("attributes", model(attributes(MOST_MESSAGES + 1), 1)),
            ("attributes of nodes", model(attributes(1 << 10), 1 << 9)),
            ("names", model(names(MOST_PARTS + 1), 1)),
            ("texts", model(in_attribute(MOST_PARTS + 1), 1)),
        ] {
            let refusal = check_parts(&bytes).unwrap_err();
            assert!(refusal.contains("more than"), "{what}: {refusal}");
        }
    }
}
