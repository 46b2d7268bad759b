//! The graph: named nodes in topological order.

use std::collections::BTreeSet;

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
    companions: BTreeSet<String>,
}

/// A tensor that a graph needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// The checkpoint's name.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Whether training changes it; stored moments and units are given.
    pub trained: bool,
}

/// How a weight-bearing layer uses its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// `[p, m]` times the features.
    Linear,
    /// `[p, m / groups, k, k]` at every position of an image.
    Conv2d,
    /// One gain per channel of an image.
    BatchNorm,
    /// One gain per feature.
    LayerNorm,
    /// One row per word or position.
    Embedding,
}

impl LayerKind {
    /// The usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Conv2d => "conv2d",
            Self::BatchNorm => "batch_norm",
            Self::LayerNorm => "layer_norm",
            Self::Embedding => "embedding",
        }
    }
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
    /// How it uses its weight.
    pub kind: LayerKind,
    /// Name of the weight tensor.
    pub weight: String,
    /// Name of the bias tensor.
    pub bias: Option<String>,
    /// Numbers that an output reads, m: features in; in a convolution its channels times the
    /// window; 1 in a normalisation; words or positions of a table.
    pub inputs: usize,
    /// Features or channels out, p.
    pub outputs: usize,
}

impl Graph {
    /// A graph that holds its input only; `input_shape` is one example's usual shape: images may
    /// have other extents, token sequences other lengths.
    pub fn new(input_shape: &[usize]) -> Self {
        Self {
            nodes: vec![Node {
                name: "input".into(),
                op: Op::Input,
                sources: Vec::new(),
            }],
            input_shape: input_shape.to_vec(),
            companions: BTreeSet::new(),
        }
    }

    /// Allows tensors in the checkpoint that no node reads.
    pub fn accompany<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.companions.extend(names.into_iter().map(str::to_owned));
    }

    /// The tensors that may be in the checkpoint and that no node reads.
    pub fn companions(&self) -> &BTreeSet<String> {
        &self.companions
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

    /// The usual shape of one example.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The output node.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Every tensor that the graph needs.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        self.nodes
            .iter()
            .flat_map(|node| node.op.parameters())
            .collect()
    }

    /// The weight-bearing layers in topological order.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Some((kind, weight, bias, inputs, outputs)) = node.op.layer() {
                layers.push(Layer {
                    index: layers.len(),
                    node: id,
                    name: node.name.clone(),
                    kind,
                    weight,
                    bias,
                    inputs,
                    outputs,
                });
            }
        }
        layers
    }

    /// Whether an output depends on one channel of the layer's output alone, that of its own
    /// number: no node behind the layer that depends on it mixes channels.
    pub fn is_channelwise_behind(&self, layer: &Layer) -> bool {
        let mut reached = BTreeSet::from([layer.node]);
        for (id, node) in self.nodes.iter().enumerate().skip(layer.node + 1) {
            if node.sources.iter().any(|source| reached.contains(source)) {
                if !node.op.is_channelwise() {
                    return false;
                }
                reached.insert(id);
            }
        }
        true
    }

    /// For every node the last one that reads it; itself when none does.
    pub(crate) fn last_readers(&self) -> Vec<NodeId> {
        let mut last: Vec<NodeId> = (0..self.nodes.len()).collect();
        for (id, node) in self.nodes.iter().enumerate() {
            for &source in &node.sources {
                last[source] = id;
            }
        }
        last
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
