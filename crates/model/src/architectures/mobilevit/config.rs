//! What a configuration says of a MobileViT, against what its tensors say.

use crate::architectures::configured::Configured;
use crate::{Checkpoint, ModelError};

/// Height and width of a patch, in every size of the architecture.
const PATCH: usize = 2;
/// The largest patch that is read: an image is resized to a multiple of it.
const MOST_PATCH: usize = 64;
/// Attention heads, in every size of the architecture.
const HEADS: usize = 4;
/// The largest ε that is one.
const MOST_EPSILON: f64 = 0.1;
/// The largest ratio of two widths.
const MOST_RATIO: f64 = 1024.0;
/// Pixels of the input to one of the last feature map, along an axis: five halvings.
const OUTPUT_STRIDE: usize = 32;
/// Widths between the layers of a residual are multiples of this.
const WIDTH_STEP: usize = 8;

/// What no tensor says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    /// Attention heads.
    pub(super) heads: usize,
    /// Height and width of a patch.
    pub(super) patch: usize,
    /// ε of the layer norms.
    pub(super) epsilon: f64,
}

impl Config {
    /// Reads it, and refuses what this architecture does not compute.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = Configured(checkpoint);
        config.one_of("model_type", &["mobilevit"])?;
        // The two names of one function.
        config.one_of("hidden_act", &["silu", "swish"])?;
        config.one_of("global_pool", &["avg"])?;
        if let Some(stride) = config.whole("output_stride")?
            && stride != OUTPUT_STRIDE
        {
            let reason = format!(" is {stride}, expected {OUTPUT_STRIDE}: others dilate windows");
            return Err(config.refuse("output_stride", &reason));
        }
        // Images of other extents are read, too; patches resize them.
        config.extents("image_size")?;
        let patch = config.whole("patch_size")?.unwrap_or(PATCH);
        if patch > MOST_PATCH {
            let reason = format!(" is {patch}, expected at most {MOST_PATCH}");
            return Err(config.refuse("patch_size", &reason));
        }
        Ok(Self {
            heads: config.whole("num_attention_heads")?.unwrap_or(HEADS),
            patch,
            epsilon: config
                .positive("layer_norm_eps", MOST_EPSILON)?
                .unwrap_or(super::EPSILON),
        })
    }
}

/// What the tensors say, in the order of the network.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths {
    /// Channels behind the stem, behind every stage and behind the last convolution.
    pub(super) ends: Vec<usize>,
    /// Features of each transformer.
    pub(super) hidden: Vec<usize>,
    /// Kernels of the local convolutions.
    pub(super) kernels: Vec<usize>,
    /// Channels in and between of every inverted residual.
    pub(super) expansions: Vec<[usize; 2]>,
    /// Features in and between of every pair of linear layers.
    pub(super) widenings: Vec<[usize; 2]>,
    /// Whether each projection of queries has a bias.
    pub(super) biases: Vec<bool>,
}

impl Widths {
    /// Checks that the configuration, where it says something, says the same.
    pub(super) fn check(&self, checkpoint: &Checkpoint) -> Result<(), ModelError> {
        let config = Configured(checkpoint);
        config.agree("num_channels", 3)?;
        for (key, tensors) in [
            ("neck_hidden_sizes", &self.ends),
            ("hidden_sizes", &self.hidden),
        ] {
            match config.wholes(key)? {
                Some(stated) if stated != *tensors => {
                    return Err(config.contradicts(key, stated, tensors));
                }
                _ => {}
            }
        }
        for &kernel in &self.kernels {
            config.agree("conv_kernel_size", kernel)?;
        }
        if let Some(stated) = config.flag("qkv_bias")?
            && let Some(&bias) = self.biases.iter().find(|&&bias| bias != stated)
        {
            return Err(config.contradicts("qkv_bias", stated, bias));
        }
        let of = |ratio: f64, width: usize| ratio * width as f64;
        if let Some(ratio) = config.positive("mlp_ratio", MOST_RATIO)?
            && let Some(&[features, between]) = self
                .widenings
                .iter()
                .find(|[features, between]| of(ratio, *features) as usize != *between)
        {
            let tensors = between as f64 / features as f64;
            return Err(config.contradicts("mlp_ratio", ratio, tensors));
        }
        if let Some(ratio) = config.positive("expand_ratio", MOST_RATIO)?
            && let Some(&[channels, between]) =
                self.expansions.iter().find(|[channels, between]| {
                    stepped(of(ratio, *channels).round_ties_even()) != *between
                })
        {
            let tensors = between as f64 / channels as f64;
            return Err(config.contradicts("expand_ratio", ratio, tensors));
        }
        Ok(())
    }
}

/// The multiple of [`WIDTH_STEP`] that stands for a width: the nearest one, unless it is more than a tenth
/// less.
fn stepped(width: f64) -> usize {
    let step = WIDTH_STEP as f64;
    let nearest = (((width + step / 2.0) / step).floor() * step).max(step);
    let taken = match nearest < 0.9 * width {
        true => nearest + step,
        false => nearest,
    };
    taken as usize
}
