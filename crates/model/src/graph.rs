//! The graph: named nodes in topological order.

use std::collections::{BTreeMap, BTreeSet};

use crate::ops::Op;
use crate::{Checkpoint, ModelError};

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
    /// Why tensors must not be edited although a layer holds them.
    fixed: BTreeMap<String, String>,
    /// Numbers in the output of an example, where the last layer does not tell.
    classes: Option<usize>,
    /// Whether inputs of other extents cannot be read.
    fixed_input: bool,
}

/// Whether a layer can be edited, and how far a repair of it is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Editing {
    /// Everything behind it is piecewise linear: repairs with a frozen pattern are exact.
    Exactly,
    /// A smooth operator lies behind it: it is repaired by linearising in turns.
    Sequentially,
    /// Nothing edits it, for this reason.
    Never(String),
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
    /// Why nothing may edit it, where nothing may.
    pub fixed: Option<String>,
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
            fixed: BTreeMap::new(),
            classes: None,
            fixed_input: false,
        }
    }

    /// Says that nothing may edit a tensor, and why: what it is used for besides is not in the graph.
    pub fn fix(&mut self, tensor: impl Into<String>, reason: impl Into<String>) {
        self.fixed.entry(tensor.into()).or_insert(reason.into());
    }

    /// Says that inputs have the extents of [`Graph::input_shape`] and no others.
    pub fn fix_input(&mut self) {
        self.fixed_input = true;
    }

    /// Whether inputs have the extents of [`Graph::input_shape`] and no others.
    pub fn has_fixed_input(&self) -> bool {
        self.fixed_input
    }

    /// Says how many outputs the network has, where it is not as many as its last layer.
    pub fn set_classes(&mut self, classes: usize) {
        self.classes = Some(classes);
    }

    /// The number of outputs: that of [`Graph::set_classes`], else what the last layer gives.
    pub fn classes(&self) -> usize {
        let last = || self.layers().last().map_or(0, |layer| layer.outputs);
        self.classes.unwrap_or_else(last)
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
    /// [`ModelError::Unknown`] when a source does not precede it.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        sources: &[NodeId],
    ) -> Result<NodeId, ModelError> {
        let id = self.nodes.len();
        if let Some(source) = sources.iter().find(|&&source| source >= id) {
            return Err(ModelError::Unknown {
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

    /// Every tensor that the graph needs, once.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut seen = BTreeSet::new();
        let all = self.nodes.iter().flat_map(|node| node.op.parameters());
        all.filter(|spec| seen.insert(spec.name.clone())).collect()
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
                    fixed: None,
                });
            }
        }
        let readers = self.readers();
        for layer in &mut layers {
            let tensors = [Some(&layer.weight), layer.bias.as_ref()];
            layer.fixed = tensors.into_iter().flatten().find_map(|tensor| {
                if let Some(reason) = self.fixed.get(tensor) {
                    return Some(reason.clone());
                }
                let readers = readers
                    .get(tensor.as_str())
                    .filter(|nodes| nodes.len() > 1)?;
                let nodes = readers.join(", ");
                Some(format!(
                    "tensor `{tensor}` belongs to several nodes: {nodes}"
                ))
            });
        }
        layers
    }

    /// The names of the nodes that read each tensor.
    fn readers(&self) -> BTreeMap<String, Vec<&str>> {
        let mut readers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for node in &self.nodes {
            for parameter in node.op.parameters() {
                let nodes = readers.entry(parameter.name).or_default();
                nodes.push(&node.name);
            }
        }
        readers
    }

    /// Whether a layer can be edited, and how far a repair of it is exact.
    pub fn editing(&self, layer: &Layer) -> Editing {
        if let Some(reason) = &layer.fixed {
            return Editing::Never(reason.clone());
        }
        if layer.kind == LayerKind::Embedding {
            return Editing::Never("rows of an embedding are not edited".to_owned());
        }
        match self.all_behind(layer, Op::is_piecewise_linear) {
            true => Editing::Exactly,
            false => Editing::Sequentially,
        }
    }

    /// Whether an output depends on one channel of the layer's output alone, that of its own
    /// number: no node behind the layer that depends on it mixes channels.
    pub fn is_channelwise_behind(&self, layer: &Layer) -> bool {
        self.all_behind(layer, Op::is_channelwise)
    }

    /// Whether all nodes that depend on the layer's output have a property.
    fn all_behind(&self, layer: &Layer, holds: impl Fn(&Op) -> bool) -> bool {
        let mut reached = BTreeSet::from([layer.node]);
        for (id, node) in self.nodes.iter().enumerate().skip(layer.node + 1) {
            if node.sources.iter().any(|source| reached.contains(source)) {
                if !holds(&node.op) {
                    return false;
                }
                reached.insert(id);
            }
        }
        true
    }

    /// For every node the last one that reads it; itself when none does.
    pub fn last_readers(&self) -> Vec<NodeId> {
        let mut last: Vec<NodeId> = (0..self.nodes.len()).collect();
        for (id, node) in self.nodes.iter().enumerate() {
            for &source in &node.sources {
                last[source] = id;
            }
        }
        last
    }

    /// The nodes in front of `node` whose values are read at or after it.
    pub fn frontier(&self, node: NodeId) -> Vec<NodeId> {
        let mut live: Vec<NodeId> = self.nodes[node..]
            .iter()
            .flat_map(|n| n.sources.iter().copied())
            .filter(|&source| source < node)
            .collect();
        live.sort_unstable();
        live.dedup();
        live
    }

    /// Checks that a checkpoint holds the tensors of the graph and no others.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] names every tensor that is missing, unused or misshapen.
    pub fn check_tensors(&self, checkpoint: &Checkpoint) -> Result<(), ModelError> {
        let specs = self.parameters();
        let mut complaints = Vec::new();
        for spec in &specs {
            match checkpoint.shape(&spec.name) {
                Err(_) => complaints.push(format!(
                    "missing tensor `{}` of shape {:?}",
                    spec.name, spec.shape
                )),
                Ok(got) if got != spec.shape => complaints.push(format!(
                    "tensor `{}`: expected shape {:?}, got {got:?}",
                    spec.name, spec.shape
                )),
                Ok(_) => {}
            }
        }
        for name in checkpoint.names() {
            if !specs.iter().any(|spec| spec.name == name) && !self.companions().contains(name) {
                complaints.push(format!("unused tensor `{name}`"));
            }
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(ModelError::Mismatch {
                origin: checkpoint.origin().to_owned(),
                complaints,
            })
        }
    }
}
