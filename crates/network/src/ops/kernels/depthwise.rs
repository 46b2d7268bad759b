//! Depthwise sums of shifted planes: one filter per channel.
//!
//! ```text
//! y[q, r, c] = β_q + Σ_t A[q, t] · x[q, o₁ + s₁ r + t₁, o₂ + s₂ c + t₂]
//! ```

use rayon::prelude::*;

use super::correlate::Correlation;
use super::vector_math::widest;

impl Correlation {
    /// The sum for a batch `[batch, channels, height, width]`, with `filters`
    /// `[channels, taps]`; as many planes come out as go in.
    pub(crate) fn run_depthwise(
        &self,
        images: &[f32],
        filters: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let phases = self.phases();
        let single = Self {
            channels: 1,
            ..self.clone()
        };
        let offsets = single.offsets(&phases);
        let size = phases.rows * phases.pitch;
        let taps = self.taps.len();
        let plane = self.input[0] * self.input[1];
        let [height, width] = self.output;
        let planes = images.len() / plane.max(1);
        let mut y = vec![0.0; planes * height * width];
        if y.is_empty() {
            return y;
        }

        y.par_chunks_mut(height * width)
            .zip(images.par_chunks(plane))
            .enumerate()
            .with_min_len(4)
            .for_each_init(
                || vec![0.0; phases.residues.len() * size],
                |source, (i, (y, image))| {
                    let channel = i % self.channels;
                    // Borders stay zero: every plane covers the same entries.
                    for (&residue, phase) in phases.residues.iter().zip(source.chunks_mut(size)) {
                        self.copy_phase(image, residue, phases.pitch, phase);
                    }
                    let filter = &filters[channel * taps..][..taps];
                    let bias = bias.map_or(0.0, |bias| bias[channel]);
                    widest(
                        #[inline(always)]
                        || add_taps(source, &offsets, filter, bias, phases.pitch, width, y),
                    );
                },
            );
        y
    }
}

#[inline(always)]
fn add_taps(
    source: &[f32],
    offsets: &[usize],
    filter: &[f32],
    bias: f32,
    pitch: usize,
    width: usize,
    y: &mut [f32],
) {
    let (triples, rest) = offsets.as_chunks::<3>();
    let (factors, last) = filter.as_chunks::<3>();
    for (row, y) in y.chunks_exact_mut(width).enumerate() {
        let line = |offset: usize| &source[offset + row * pitch..][..width];
        y.fill(bias);
        for (&[o0, o1, o2], &[f0, f1, f2]) in triples.iter().zip(factors) {
            let lines = line(o0).iter().zip(line(o1)).zip(line(o2));
            for (y, ((&x0, &x1), &x2)) in y.iter_mut().zip(lines) {
                *y += f0 * x0 + f1 * x1 + f2 * x2;
            }
        }
        for (&offset, &factor) in rest.iter().zip(last) {
            for (y, &x) in y.iter_mut().zip(line(offset)) {
                *y += factor * x;
            }
        }
    }
}
