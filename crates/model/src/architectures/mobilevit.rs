//! MobileViT (Mehta & Rastegari 2022, <https://arxiv.org/abs/2110.02178>), XX-Small and its
//! siblings, under timm's names and under transformers'.
//!
//! The stem is followed by five stages of inverted residuals; from the third on a stage ends in a
//! MobileViT block: local convolutions, a transformer over the pixels at one position in their
//! 2x2 patches, and a convolution that fuses its result with the block's input. Widths and depths
//! come from the tensors. timm keeps query, key and value in one matrix, transformers in three.
//!
//! Input: `[batch, 3, 256, 256]` (other extents work) in [0, 1]; timm's weights read RGB,
//! transformers' BGR. Parity: `tests/parity.rs`.

mod config;
mod names;

use crate::architectures::extents;
use crate::graph::NodeId;
use crate::ops::{BatchNorm, Conv2d, LayerNorm, Linear, Op};
use crate::{Activation, Checkpoint, Graph, ModelError};
use config::{Config, Widths};
use names::{Block, Names};

/// Height and width that the published weights are trained for.
const SIZE: usize = 256;
/// ε of the batch norms, and of the layer norms where no configuration says another one.
const EPSILON: f64 = 1e-5;

/// The graph of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] when a tensor is missing or misshapen or the configuration
/// contradicts the architecture.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    let names = Names::of(checkpoint);
    let config = Config::of(checkpoint)?;
    let mut builder = Builder {
        checkpoint,
        names,
        graph: Graph::new(&[3, SIZE, SIZE]),
        config,
        widths: Widths::default(),
        channels: 0,
    };
    let mut last = builder.conv_norm(0, &names.stem(), 2, true)?;
    builder.widths.ends.push(builder.channels);
    for stage in 0.. {
        let blocks = names.blocks(checkpoint, stage);
        if blocks.is_empty() {
            break;
        }
        for (position, block) in blocks.iter().enumerate() {
            // Every stage but the first halves the image in its first block.
            let stride = if stage > 0 && position == 0 { 2 } else { 1 };
            last = match block {
                Block::InvertedResidual(name) => builder.inverted_residual(name, last, stride)?,
                Block::MobileVit(name) => builder.mobilevit_block(name, last)?,
            };
        }
        builder.widths.ends.push(builder.channels);
    }
    last = builder.conv_norm(last, &names.final_convolution(), 1, true)?;
    builder.widths.ends.push(builder.channels);
    last = builder.push("pool", Op::GlobalAveragePool, &[last])?;
    builder.linear(names.head(), last)?;
    builder.widths.check(checkpoint)?;
    let mut graph = builder.graph;
    let counters = checkpoint
        .names()
        .filter(|name| name.ends_with("num_batches_tracked"));
    graph.accompany(counters);
    Ok(graph)
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    names: Names,
    graph: Graph,
    config: Config,
    /// The widths that the tensors have.
    widths: Widths,
    /// Channels of the last convolution.
    channels: usize,
}

impl Builder<'_> {
    /// Expand with a 1x1 convolution, filter each channel, reduce; added to the input where the
    /// extents allow (MobileNetV2's block).
    fn inverted_residual(
        &mut self,
        name: &str,
        x: NodeId,
        stride: usize,
    ) -> Result<NodeId, ModelError> {
        let [expand, filter, reduce] = self.names.inverted_residual(name);
        let [_, inputs, ..] = self.kernel(&expand)?;
        let [outputs, ..] = self.kernel(&reduce)?;
        let [expanded, ..] = self.kernel(&expand)?;
        self.widths.expansions.push([inputs, expanded]);
        let y = self.conv_norm(x, &expand, 1, true)?;
        let y = self.conv_norm(y, &filter, stride, true)?;
        let y = self.conv_norm(y, &reduce, 1, false)?;
        match stride == 1 && inputs == outputs {
            true => self.push(&format!("{name}.sum"), Op::Add, &[x, y]),
            false => Ok(y),
        }
    }

    /// Local representation, transformer over patches, fusion.
    fn mobilevit_block(&mut self, name: &str, x: NodeId) -> Result<NodeId, ModelError> {
        let parts = self.names.mobilevit_block(name);
        let patch = self.config.patch;
        let [_, _, kernel, _] = self.kernel(&parts.local)?;
        self.widths.kernels.push(kernel);
        let local = self.conv_norm(x, &parts.local, 1, true)?;
        let map = self.convolution(local, &parts.enter, 1)?;
        self.widths.hidden.push(self.channels);
        let unfold = Op::Unfold { patch };
        let mut tokens = self.push(&format!("{name}.unfold"), unfold, &[map])?;
        for index in 0.. {
            let block = format!("{}.{index}", parts.transformer);
            let norm = format!("{block}.{}", self.names.first_norm());
            if self.checkpoint.shape(&format!("{norm}.weight")).is_err() {
                break;
            }
            tokens = self.transformer_block(&block, tokens)?;
        }
        let tokens = self.norm(&parts.norm, tokens)?;
        let folded = self.push(&format!("{name}.fold"), Op::Fold { patch }, &[tokens, map])?;
        let global = self.conv_norm(folded, &parts.leave, 1, true)?;
        let both = self.push(&format!("{name}.concat"), Op::Concat, &[x, global])?;
        self.conv_norm(both, &parts.fusion, 1, true)
    }

    /// Attention and two linear layers, each on its normalised input and added to it.
    fn transformer_block(&mut self, name: &str, x: NodeId) -> Result<NodeId, ModelError> {
        let parts = self.names.transformer_block(name);
        let normed = self.norm(&parts.first_norm, x)?;
        let attended = self.attention(name, normed)?;
        let x = self.push(&format!("{name}.attended"), Op::Add, &[x, attended])?;
        let normed = self.norm(&parts.second_norm, x)?;
        let [wide, narrow] = extents(self.checkpoint, &format!("{}.weight", parts.widen))?;
        self.widths.widenings.push([narrow, wide]);
        let hidden = self.linear(&parts.widen, normed)?;
        let silu = Op::Activation(Activation::Silu);
        let hidden = self.push(&format!("{}.silu", parts.widen), silu, &[hidden])?;
        let out = self.linear(&parts.narrow, hidden)?;
        self.push(&format!("{name}.sum"), Op::Add, &[x, out])
    }

    /// `softmax(Q Kᵀ / √d) V` per head, then the output projection.
    fn attention(&mut self, name: &str, x: NodeId) -> Result<NodeId, ModelError> {
        let (heads, parts) = (self.config.heads, self.names.attention(name));
        let [outputs, _] = extents::<2>(self.checkpoint, &format!("{}.weight", parts.output))?;
        if !outputs.is_multiple_of(heads) {
            return Err(ModelError::Architecture {
                origin: self.checkpoint.origin().to_owned(),
                reason: format!(
                    "{heads} attention heads do not divide the width {outputs} of `{name}`"
                ),
            });
        }
        let first = match &parts.input {
            names::Projections::Joint(joint) => joint,
            names::Projections::Separate([first, ..]) => first,
        };
        let bias = self.checkpoint.shape(&format!("{first}.bias")).is_ok();
        self.widths.biases.push(bias);
        let projected: Vec<NodeId> = match &parts.input {
            names::Projections::Joint(joint) => {
                let all = self.linear(joint, x)?;
                let part = |(index, letter)| {
                    let (start, len) = (index * outputs, outputs);
                    self.push(
                        &format!("{joint}.{letter}"),
                        Op::Slice { start, len },
                        &[all],
                    )
                };
                (0..)
                    .zip(["q", "k", "v"])
                    .map(part)
                    .collect::<Result<_, _>>()?
            }
            names::Projections::Separate(three) => three
                .iter()
                .map(|name| self.linear(name, x))
                .collect::<Result<_, _>>()?,
        };
        let mut split = Vec::new();
        for (projection, letter) in projected.into_iter().zip(["q", "k", "v"]) {
            let op = Op::SplitHeads { heads };
            split.push(self.push(&format!("{name}.{letter}_heads"), op, &[projection])?);
        }
        let mut push = |part: &str, op: Op, sources: &[NodeId]| {
            self.graph.push(format!("{name}.{part}"), op, sources)
        };
        let root = 1.0 / ((outputs / heads) as f64).sqrt();
        let q = push("scaled", Op::Scale(root), &[split[0]])?;
        let scores = push("scores", Op::MatMul { transposed: true }, &[q, split[1]])?;
        let weights = push("weights", Op::Softmax, &[scores])?;
        let context = push(
            "context",
            Op::MatMul { transposed: false },
            &[weights, split[2]],
        )?;
        let merge = Op::MergeHeads {
            heads,
            sequences: Some(self.config.patch * self.config.patch),
        };
        let merged = push("merged", merge, &[context])?;
        self.linear(&parts.output, merged)
    }

    /// A convolution without bias, its batch norm and, where asked for, SiLU.
    fn conv_norm(
        &mut self,
        source: NodeId,
        name: &str,
        stride: usize,
        activated: bool,
    ) -> Result<NodeId, ModelError> {
        let (convolution, norm) = self.names.conv_norm(name);
        let y = self.convolution(source, &convolution, stride)?;
        let [channels, ..] = self.kernel(name)?;
        let tensor = |part: &str| format!("{norm}.{part}");
        let batch_norm = BatchNorm {
            weight: tensor("weight"),
            bias: tensor("bias"),
            mean: tensor("running_mean"),
            variance: tensor("running_var"),
            channels,
            epsilon: EPSILON,
        };
        let y = self.push(&norm, Op::BatchNorm(batch_norm), &[y])?;
        match activated {
            true => self.push(
                &format!("{name}.silu"),
                Op::Activation(Activation::Silu),
                &[y],
            ),
            false => Ok(y),
        }
    }

    /// A convolution that keeps the extents at stride 1; one input channel means depthwise.
    fn convolution(
        &mut self,
        source: NodeId,
        name: &str,
        stride: usize,
    ) -> Result<NodeId, ModelError> {
        let weight = format!("{name}.weight");
        let [outputs, reads, kernel, _] = extents(self.checkpoint, &weight)?;
        let groups = if reads == 1 { outputs } else { 1 };
        self.channels = outputs;
        let convolution = Conv2d {
            weight,
            bias: None,
            inputs: reads * groups,
            outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
        };
        self.push(name, Op::Conv2d(convolution), &[source])
    }

    fn kernel(&self, name: &str) -> Result<[usize; 4], ModelError> {
        extents(
            self.checkpoint,
            &format!("{}.weight", self.names.conv_norm(name).0),
        )
    }

    fn linear(&mut self, name: &str, source: NodeId) -> Result<NodeId, ModelError> {
        let weight = format!("{name}.weight");
        let [outputs, inputs] = extents(self.checkpoint, &weight)?;
        let bias = Some(format!("{name}.bias")).filter(|bias| self.checkpoint.shape(bias).is_ok());
        let linear = Linear {
            weight,
            bias,
            inputs,
            outputs,
        };
        self.push(name, Op::Linear(linear), &[source])
    }

    fn norm(&mut self, name: &str, source: NodeId) -> Result<NodeId, ModelError> {
        let weight = format!("{name}.weight");
        let [features] = extents(self.checkpoint, &weight)?;
        let norm = LayerNorm {
            weight,
            bias: format!("{name}.bias"),
            features,
            epsilon: self.config.epsilon,
        };
        self.push(name, Op::LayerNorm(norm), &[source])
    }

    fn push(&mut self, name: &str, op: Op, sources: &[NodeId]) -> Result<NodeId, ModelError> {
        self.graph.push(name, op, sources)
    }
}
