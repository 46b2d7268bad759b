//! What a layer makes of each input, in one vector.

use network::{Layer, LayerKind, LayerTrace, Network};

use crate::HeuristicError;
use crate::profile::Points;

/// The outputs of a layer, averaged over positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// `points x width`, row-major.
    pub rows: Vec<f64>,
    /// The layer's features or channels.
    pub width: usize,
}

impl Pooled {
    /// The rows as points.
    ///
    /// # Errors
    /// As [`Points::new`].
    pub fn points(&self) -> Result<Points<'_>, HeuristicError> {
        Points::new(&self.rows, self.width)
    }
}

/// The mean over positions (pixels, patches, tokens that are no padding) of every layer's outputs
/// for each of `inputs` (`n x shape`, row-major), in layer order. `batch` inputs are pushed through
/// the network at a time; nothing else than their activations and the means is held.
///
/// # Errors
/// [`HeuristicError::Network`] when the inputs do not fit.
pub fn pooled(
    network: &Network,
    inputs: &[f32],
    shape: &[usize],
    batch: usize,
) -> Result<Vec<Pooled>, HeuristicError> {
    let layers = network.layers();
    let mut pooled: Vec<Pooled> = layers
        .iter()
        .map(|layer| Pooled {
            rows: Vec::new(),
            width: layer.outputs,
        })
        .collect();
    let reads_text = layers
        .iter()
        .any(|layer| layer.kind == LayerKind::Embedding);
    let example = shape.iter().product::<usize>().max(1);
    for inputs in inputs.chunks(batch.max(1) * example) {
        let x = network.batch_of(inputs, shape)?;
        let masks: Option<Vec<&[f32]>> = reads_text.then(|| {
            let examples = inputs.chunks_exact(example);
            examples.map(|input| &input[example / 2..]).collect()
        });
        let (traces, _) = network.activations(x)?;
        for ((pooled, layer), trace) in pooled.iter_mut().zip(layers).zip(traces) {
            let means = means(layer, &trace, masks.as_deref())?;
            pooled.rows.extend(means);
        }
    }
    Ok(pooled)
}

/// The mean over positions of one layer's outputs, `batch x width`; `masks` has one number per
/// token of each example.
fn means(
    layer: &Layer,
    trace: &LayerTrace,
    masks: Option<&[&[f32]]>,
) -> Result<Vec<f64>, HeuristicError> {
    let (values, shape) = (trace.output.to_vec()?, trace.output.shape());
    let width = layer.outputs.max(1);
    let channels_first = matches!(layer.kind, LayerKind::Conv2d | LayerKind::BatchNorm);
    let positions = shape[1..].iter().product::<usize>() / width;
    let mut means = Vec::with_capacity(shape[0] * width);
    for (i, example) in values.chunks_exact((positions * width).max(1)).enumerate() {
        if channels_first {
            let planes = example.chunks_exact(positions.max(1));
            means.extend(planes.map(|plane| plane.iter().sum::<f64>() / positions as f64));
            continue;
        }
        let mask = masks.and_then(|masks| masks.get(i));
        // The first token alone is read behind the last block: no mask applies there.
        let mask = mask.filter(|mask| shape.len() == 3 && mask.len() == positions);
        let mut sum = vec![0.0; width];
        let mut counted = 0_usize;
        for (t, token) in example.chunks_exact(width).enumerate() {
            if mask.is_none_or(|mask| mask[t] != 0.0) {
                counted += 1;
                sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
        }
        means.extend(sum.iter().map(|sum| sum / counted.max(1) as f64));
    }
    Ok(means)
}
