//! The two namings of MobileViT checkpoints: timm's and transformers'.

use crate::Checkpoint;

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// `stages.2.1.conv_kxk.conv.weight`
    Timm,
    /// `mobilevit.encoder.layer.2.conv_kxk.convolution.weight`
    Transformers,
}

/// A block of a stage and its name.
pub(super) enum Block {
    InvertedResidual(String),
    MobileVit(String),
}

/// The parts of a MobileViT block.
pub(super) struct MobileVitParts {
    pub(super) local: String,
    pub(super) enter: String,
    pub(super) transformer: String,
    pub(super) norm: String,
    pub(super) leave: String,
    pub(super) fusion: String,
}

/// The parts of a transformer block.
pub(super) struct TransformerParts {
    pub(super) first_norm: String,
    pub(super) second_norm: String,
    pub(super) widen: String,
    pub(super) narrow: String,
}

/// How queries, keys and values are projected.
pub(super) enum Projections {
    Joint(String),
    Separate([String; 3]),
}

/// The parts of an attention.
pub(super) struct AttentionParts {
    pub(super) input: Projections,
    pub(super) output: String,
}

impl Names {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        match checkpoint.shape("stem.conv.weight") {
            Ok(_) => Self::Timm,
            Err(_) => Self::Transformers,
        }
    }

    fn pick(self, timm: &str, transformers: &str) -> String {
        match self {
            Self::Timm => timm.to_owned(),
            Self::Transformers => transformers.to_owned(),
        }
    }

    pub(super) fn stem(self) -> String {
        self.pick("stem", "mobilevit.conv_stem")
    }

    pub(super) fn final_convolution(self) -> String {
        self.pick("final_conv", "mobilevit.conv_1x1_exp")
    }

    pub(super) fn head(self) -> &'static str {
        match self {
            Self::Timm => "head.fc",
            Self::Transformers => "classifier",
        }
    }

    /// The blocks of a stage, as far as the checkpoint has them.
    pub(super) fn blocks(self, checkpoint: &Checkpoint, stage: usize) -> Vec<Block> {
        let has = |tensor: String| checkpoint.shape(&tensor).is_ok();
        let residual = |name: &str| {
            let [expand, ..] = self.inverted_residual(name);
            has(format!("{}.weight", self.conv_norm(&expand).0))
        };
        let mobilevit = |name: &str| {
            let local = self.mobilevit_block(name).local;
            has(format!("{}.weight", self.conv_norm(&local).0))
        };
        let numbered = |prefix: String| {
            (0..)
                .map(move |index| format!("{prefix}.{index}"))
                .map_while(|name| match () {
                    () if residual(&name) => Some(Block::InvertedResidual(name)),
                    () if mobilevit(&name) => Some(Block::MobileVit(name)),
                    () => None,
                })
                .collect()
        };
        match self {
            Self::Timm => numbered(format!("stages.{stage}")),
            Self::Transformers => {
                // A stage with a transformer holds its inverted residual as a downsampling layer.
                let name = format!("mobilevit.encoder.layer.{stage}");
                let first = format!("{name}.downsampling_layer");
                match residual(&first) && mobilevit(&name) {
                    true => vec![Block::InvertedResidual(first), Block::MobileVit(name)],
                    false => numbered(format!("{name}.layer")),
                }
            }
        }
    }

    /// Expanding, depthwise and reducing convolution.
    pub(super) fn inverted_residual(self, name: &str) -> [String; 3] {
        match self {
            Self::Timm => ["conv1_1x1", "conv2_kxk", "conv3_1x1"],
            Self::Transformers => ["expand_1x1", "conv_3x3", "reduce_1x1"],
        }
        .map(|part| format!("{name}.{part}"))
    }

    pub(super) fn mobilevit_block(self, name: &str) -> MobileVitParts {
        let part = |timm, transformers| format!("{name}.{}", self.pick(timm, transformers));
        MobileVitParts {
            local: part("conv_kxk", "conv_kxk"),
            enter: part("conv_1x1", "conv_1x1.convolution"),
            transformer: part("transformer", "transformer.layer"),
            norm: part("norm", "layernorm"),
            leave: part("conv_proj", "conv_projection"),
            fusion: part("conv_fusion", "fusion"),
        }
    }

    /// The norm in front of an attention, below its block.
    pub(super) fn first_norm(self) -> &'static str {
        match self {
            Self::Timm => "norm1",
            Self::Transformers => "layernorm_before",
        }
    }

    pub(super) fn transformer_block(self, name: &str) -> TransformerParts {
        let part = |timm, transformers| format!("{name}.{}", self.pick(timm, transformers));
        TransformerParts {
            first_norm: format!("{name}.{}", self.first_norm()),
            second_norm: part("norm2", "layernorm_after"),
            widen: part("mlp.fc1", "intermediate.dense"),
            narrow: part("mlp.fc2", "output.dense"),
        }
    }

    pub(super) fn attention(self, name: &str) -> AttentionParts {
        match self {
            Self::Timm => AttentionParts {
                input: Projections::Joint(format!("{name}.attn.qkv")),
                output: format!("{name}.attn.proj"),
            },
            Self::Transformers => AttentionParts {
                input: Projections::Separate(
                    ["query", "key", "value"]
                        .map(|part| format!("{name}.attention.attention.{part}")),
                ),
                output: format!("{name}.attention.output.dense"),
            },
        }
    }

    /// The convolution and the batch norm of a pair.
    pub(super) fn conv_norm(self, name: &str) -> (String, String) {
        match self {
            Self::Timm => (format!("{name}.conv"), format!("{name}.bn")),
            Self::Transformers => (
                format!("{name}.convolution"),
                format!("{name}.normalization"),
            ),
        }
    }
}
