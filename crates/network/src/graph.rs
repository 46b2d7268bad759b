//! The graph: named nodes in topological order.

use crate::NetworkError;
use crate::ops::Op;

/// Position of a node in its graph; 0 is the network's input.
pub type NodeId = usize;

/// One operation and where its operands come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The checkpoint's prefix for nodes with tensors.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads; each precedes it.
    pub sources: Vec<NodeId>,
}

/// A directed acyclic graph of nodes; the last one is the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    input_shape: Vec<usize>,
}

/// A tensor that a graph needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// The checkpoint's name.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
}

/// A weight-bearing layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Position among the weight-bearing layers, from 0.
    pub index: usize,
    /// Its node.
    pub node: NodeId,
    /// The checkpoint's prefix.
    pub name: String,
    /// Name of the weight tensor.
    pub weight: String,
    /// Name of the bias tensor.
    pub bias: String,
    /// Features in, m.
    pub inputs: usize,
    /// Features out, p.
    pub outputs: usize,
}

impl Graph {
    /// A graph that holds its input only; `input_shape` is one example's.
    pub fn new(input_shape: &[usize]) -> Self {
        Self {
            nodes: vec![Node {
                name: "input".into(),
                op: Op::Input,
                sources: Vec::new(),
            }],
            input_shape: input_shape.to_vec(),
        }
    }

    /// Appends a node and returns its position.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] when a source does not precede it.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        sources: &[NodeId],
    ) -> Result<NodeId, NetworkError> {
        let id = self.nodes.len();
        if let Some(source) = sources.iter().find(|&&source| source >= id) {
            return Err(NetworkError::Unknown {
                kind: "source node",
                name: source.to_string(),
                known: self.nodes.iter().map(|node| node.name.clone()).collect(),
            });
        }
        self.nodes.push(Node {
            name: name.into(),
            op,
            sources: sources.to_vec(),
        });
        Ok(id)
    }

    /// The nodes in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The shape of one example.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The output node.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Every tensor that the graph needs.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut specs = Vec::new();
        for node in &self.nodes {
            if let Op::Linear(linear) = &node.op {
                specs.push(ParameterSpec {
                    name: linear.weight.clone(),
                    shape: vec![linear.outputs, linear.inputs],
                });
                specs.push(ParameterSpec {
                    name: linear.bias.clone(),
                    shape: vec![linear.outputs],
                });
            }
        }
        specs
    }

    /// The weight-bearing layers in topological order.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Op::Linear(linear) = &node.op {
                layers.push(Layer {
                    index: layers.len(),
                    node: id,
                    name: node.name.clone(),
                    weight: linear.weight.clone(),
                    bias: linear.bias.clone(),
                    inputs: linear.inputs,
                    outputs: linear.outputs,
                });
            }
        }
        layers
    }

    /// The nodes in front of `node` whose values are read at or after it.
    pub(crate) fn frontier(&self, node: NodeId) -> Vec<NodeId> {
        let mut live: Vec<NodeId> = self.nodes[node..]
            .iter()
            .flat_map(|n| n.sources.iter().copied())
            .filter(|&source| source < node)
            .collect();
        live.sort_unstable();
        live.dedup();
        live
    }
}
