//! DistilBERT for sequence classification (Sanh et al. 2019, <https://arxiv.org/abs/1910.01108>)
//! under transformers' names.
//!
//! Depth, widths, vocabulary, positions and classes come from the tensors; the number of heads
//! and the activation, which no tensor shows, from `config.json`. Post-norm transformer blocks;
//! the classifier reads the first token.
//!
//! Input: `[batch, 2, tokens]`, word numbers and mask ([`crate::ops::embedding`]). Parity:
//! `tests/parity.rs`.

use crate::architectures::configured::Configured;
use crate::architectures::extents;
use crate::graph::NodeId;
use crate::ops::embedding::{Embedding, Key, TOKEN_PLANES};
use crate::ops::{LayerNorm, Linear, Op};
use crate::{Activation, Checkpoint, Graph, ModelError};

/// ε of every layer norm; the architecture has no option for it.
const EPSILON: f64 = 1e-12;

/// The graph of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] when a tensor is missing or misshapen, when there is no
/// configuration, or when it contradicts the tensors.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    let embeddings = "distilbert.embeddings";
    let words = format!("{embeddings}.word_embeddings");
    let positions = format!("{embeddings}.position_embeddings");
    let [vocabulary, dim] = extents(checkpoint, &format!("{words}.weight"))?;
    let [longest, _] = extents::<2>(checkpoint, &format!("{positions}.weight"))?;
    let depth = depth(checkpoint);
    let config = Configured(checkpoint);
    config.one_of("model_type", &["distilbert"])?;
    let first = block_name(0);
    let [hidden, _] = extents::<2>(checkpoint, &format!("{first}.ffn.lin1.weight"))?;
    for (key, value) in [
        ("dim", dim),
        ("vocab_size", vocabulary),
        ("max_position_embeddings", longest),
        ("n_layers", depth),
        ("hidden_dim", hidden),
    ] {
        config.agree(key, value)?;
    }
    let heads = heads(checkpoint, dim)?;
    let activation = activation(checkpoint)?;

    let mut builder = Builder {
        checkpoint,
        graph: Graph::new(&[TOKEN_PLANES, longest]),
        dim,
        heads,
        activation,
    };
    let mut table = |name: String, key, rows| {
        let weight = format!("{name}.weight");
        let embedding = Embedding {
            weight,
            key,
            rows,
            features: dim,
        };
        builder.graph.push(name, Op::Embedding(embedding), &[0])
    };
    let word = table(words, Key::Word, vocabulary)?;
    let position = table(positions, Key::Position, longest)?;
    let mask = builder.graph.push("mask", Op::TokenMask, &[0])?;
    let sum = builder.add(&format!("{embeddings}.sum"), word, position)?;
    let mut last = builder.norm(&format!("{embeddings}.LayerNorm"), sum)?;
    for index in 0..depth {
        last = builder.transformer_block(&block_name(index), last, mask)?;
    }
    let pooled = builder.graph.push("pooled", Op::SelectToken(0), &[last])?;
    let hidden = builder.linear("pre_classifier", pooled)?;
    let relu = Op::Activation(Activation::Relu);
    let hidden = builder.graph.push("pre_classifier.relu", relu, &[hidden])?;
    builder.linear("classifier", hidden)?;
    let mut graph = builder.graph;
    // Older exports store the numbers 0, 1, 2, ... as a buffer.
    let stored = checkpoint
        .names()
        .filter(|name| name.ends_with("position_ids"));
    graph.accompany(stored);
    Ok(graph)
}

fn block_name(index: usize) -> String {
    format!("distilbert.transformer.layer.{index}")
}

/// Number of transformer blocks.
fn depth(checkpoint: &Checkpoint) -> usize {
    (0..)
        .take_while(|&index| {
            let name = format!("{}.attention.q_lin.weight", block_name(index));
            checkpoint.shape(&name).is_ok()
        })
        .count()
}

fn heads(checkpoint: &Checkpoint, dim: usize) -> Result<usize, ModelError> {
    let unclear = |reason: String| ModelError::Architecture {
        origin: checkpoint.origin().to_owned(),
        reason,
    };
    match Configured(checkpoint).whole("n_heads")? {
        Some(heads) if dim.is_multiple_of(heads) => Ok(heads),
        Some(heads) => Err(unclear(format!(
            "config `n_heads` is {heads}, which does not divide the width {dim}"
        ))),
        None => Err(unclear(
            "the number of attention heads is in no tensor: expected `n_heads` in a config.json \
             beside the weights"
                .to_owned(),
        )),
    }
}

fn activation(checkpoint: &Checkpoint) -> Result<Activation, ModelError> {
    match Configured(checkpoint).one_of("activation", &["gelu", "relu"])? {
        Some("relu") => Ok(Activation::Relu),
        _ => Ok(Activation::Gelu),
    }
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    graph: Graph,
    dim: usize,
    heads: usize,
    activation: Activation,
}

impl Builder<'_> {
    /// Attention and two linear layers, each added to its input and normalised after.
    fn transformer_block(
        &mut self,
        name: &str,
        x: NodeId,
        mask: NodeId,
    ) -> Result<NodeId, ModelError> {
        let attended = self.attention(&format!("{name}.attention"), x, mask)?;
        let sum = self.add(&format!("{name}.attention.sum"), attended, x)?;
        let x = self.norm(&format!("{name}.sa_layer_norm"), sum)?;
        let hidden = self.linear(&format!("{name}.ffn.lin1"), x)?;
        let activation = Op::Activation(self.activation);
        let hidden = self
            .graph
            .push(format!("{name}.ffn.activation"), activation, &[hidden])?;
        let out = self.linear(&format!("{name}.ffn.lin2"), hidden)?;
        let sum = self.add(&format!("{name}.ffn.sum"), out, x)?;
        self.norm(&format!("{name}.output_layer_norm"), sum)
    }

    /// `softmax(Q Kᵀ / √d + mask) V` per head, then the output projection.
    fn attention(&mut self, name: &str, x: NodeId, mask: NodeId) -> Result<NodeId, ModelError> {
        let heads = self.heads;
        let mut head = |part: &str| {
            let projected = self.linear(&format!("{name}.{part}_lin"), x)?;
            let split = Op::SplitHeads { heads };
            self.graph
                .push(format!("{name}.{part}_heads"), split, &[projected])
        };
        let (q, k, v) = (head("q")?, head("k")?, head("v")?);
        let mut push = |part: &str, op: Op, sources: &[NodeId]| {
            self.graph.push(format!("{name}.{part}"), op, sources)
        };
        let root = 1.0 / ((self.dim / heads) as f64).sqrt();
        let q = push("scaled", Op::Scale(root), &[q])?;
        let scores = push("scores", Op::MatMul { transposed: true }, &[q, k])?;
        let masked = push("masked", Op::Add, &[scores, mask])?;
        let weights = push("weights", Op::Softmax, &[masked])?;
        let context = push("context", Op::MatMul { transposed: false }, &[weights, v])?;
        let merge = Op::MergeHeads {
            heads,
            sequences: None,
        };
        let merged = push("merged", merge, &[context])?;
        self.linear(&format!("{name}.out_lin"), merged)
    }

    fn linear(&mut self, name: &str, source: NodeId) -> Result<NodeId, ModelError> {
        let weight = format!("{name}.weight");
        let [outputs, inputs] = extents(self.checkpoint, &weight)?;
        let linear = Linear {
            weight,
            bias: Some(format!("{name}.bias")),
            inputs,
            outputs,
        };
        self.graph.push(name, Op::Linear(linear), &[source])
    }

    fn norm(&mut self, name: &str, source: NodeId) -> Result<NodeId, ModelError> {
        let norm = LayerNorm {
            weight: format!("{name}.weight"),
            bias: format!("{name}.bias"),
            features: self.dim,
            epsilon: EPSILON,
        };
        self.graph.push(name, Op::LayerNorm(norm), &[source])
    }

    fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> Result<NodeId, ModelError> {
        self.graph.push(name, Op::Add, &[a, b])
    }
}
