//! Sums of shifted planes: what every convolution and its gradient come down to.
//!
//! ```text
//! y[m, r, c] = β_m + Σ_{q, t} A[m, q, t] · x[q, o₁ + s₁ r + t₁, o₂ + s₂ c + t₂]
//! ```
//!
//! with taps t, strides s and an origin o (minus the padding); x is zero outside
//! its plane. The planes are split into one phase per residue of the tap modulo
//! the stride and copied with their borders; then a tap is a constant offset
//! into that copy, and the sum is a matrix product whose right-hand rows are
//! slices of it:
//!
//! ```text
//! Y[m, n] = Σ_k A[m, k] · S[offset_k + n],   n = r · pitch + c
//! ```
//!
//! Columns with c beyond the output's width are computed and dropped. The product
//! runs over panels of S that stay in the second-level cache, with blocks of
//! rows of A in registers.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a register block.
const ROWS: usize = 8;
/// Vectors of a register block.
const VECTORS: usize = 3;

/// The sum's geometry, for one image.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    /// Planes read, Q.
    pub(crate) channels: usize,
    /// Height and width of a plane that is read.
    pub(crate) input: [usize; 2],
    /// Height and width of a plane that is written.
    pub(crate) output: [usize; 2],
    /// Where the first output looks, without its tap.
    pub(crate) origin: [isize; 2],
    /// Steps from one output to the next.
    pub(crate) stride: [usize; 2],
    /// Offsets of the taps, rows and columns.
    pub(crate) taps: Vec<[usize; 2]>,
}

/// The bordered copy of an image in phases.
pub(crate) struct Phases {
    /// Residues of the taps that occur.
    pub(crate) residues: Vec<[usize; 2]>,
    /// Rows of a phase.
    pub(crate) rows: usize,
    /// Numbers from one row to the next.
    pub(crate) pitch: usize,
}

impl Correlation {
    /// Whether an image is its own only phase.
    fn is_plain(&self) -> bool {
        self.input == self.output
            && self.origin == [0, 0]
            && self.stride == [1, 1]
            && self.taps == [[0, 0]]
    }

    pub(crate) fn phases(&self) -> Phases {
        let mut residues: Vec<[usize; 2]> = Vec::new();
        for tap in &self.taps {
            let residue = [tap[0] % self.stride[0], tap[1] % self.stride[1]];
            if !residues.contains(&residue) {
                residues.push(residue);
            }
        }
        let reach = |axis: usize| {
            let steps = self.taps.iter().map(|tap| tap[axis] / self.stride[axis]);
            steps.max().unwrap_or(0) + self.output[axis]
        };
        Phases {
            residues,
            rows: reach(0),
            pitch: reach(1),
        }
    }

    /// Copies one plane into one phase (zeros beforehand).
    #[inline(always)]
    pub(crate) fn copy_phase(
        &self,
        plane: &[f32],
        residue: [usize; 2],
        pitch: usize,
        phase: &mut [f32],
    ) {
        let [height, width] = self.input;
        let stride = self.stride[1];
        let first = self.origin[1] + residue[1] as isize;
        // The columns j with 0 <= first + stride · j < width.
        let from = (-first).max(0) as usize;
        let begin = from.div_ceil(stride);
        let end = (width as isize - first).max(0) as usize;
        let end = end.div_ceil(stride).min(pitch);
        if begin >= end {
            return;
        }
        let start = (first + (begin * stride) as isize) as usize;
        for (row, out) in phase.chunks_mut(pitch).enumerate() {
            let y = self.origin[0] + (residue[0] + row * self.stride[0]) as isize;
            if y < 0 || y >= height as isize {
                continue;
            }
            let line = &plane[y as usize * width..][start..width];
            let out = &mut out[begin..end];
            if stride == 1 {
                out.copy_from_slice(&line[..out.len()]);
            } else {
                for (out, &x) in out.iter_mut().zip(line.iter().step_by(stride)) {
                    *out = x;
                }
            }
        }
    }

    /// The bordered copy of an image.
    fn gather(&self, image: &[f32], phases: &Phases) -> Vec<f32> {
        let plane = self.input[0] * self.input[1];
        let size = phases.rows * phases.pitch;
        let mut source = vec![0.0; phases.residues.len() * self.channels * size];
        source
            .par_chunks_mut(size.max(1))
            .enumerate()
            .with_min_len(8)
            .for_each(|(i, phase)| {
                let (residue, channel) = (phases.residues[i / self.channels], i % self.channels);
                let plane = &image[channel * plane..][..plane];
                self.copy_phase(plane, residue, phases.pitch, phase);
            });
        source
    }

    /// Where each column of A begins in the copy: channel-major, taps innermost.
    pub(crate) fn offsets(&self, phases: &Phases) -> Vec<usize> {
        let size = phases.rows * phases.pitch;
        let of_tap: Vec<usize> = self
            .taps
            .iter()
            .map(|tap| {
                let residue = [tap[0] % self.stride[0], tap[1] % self.stride[1]];
                let phase = phases.residues.iter().position(|&r| r == residue);
                let shift = tap[0] / self.stride[0] * phases.pitch + tap[1] / self.stride[1];
                phase.unwrap_or(0) * self.channels * size + shift
            })
            .collect();
        (0..self.channels)
            .flat_map(|channel| of_tap.iter().map(move |offset| channel * size + offset))
            .collect()
    }

    /// The sum for a batch: `images` is `[batch, Q, height, width]`, the result
    /// `[batch, rows of A, output height, output width]`.
    pub(crate) fn run(&self, images: &[f32], matrix: &Matrix, bias: Option<&[f32]>) -> Vec<f32> {
        let phases = self.phases();
        let offsets = self.offsets(&phases);
        let image = self.channels * self.input[0] * self.input[1];
        let plane = self.output[0] * self.output[1];
        let batch = images.len() / image.max(1);
        let mut y = vec![0.0; batch * matrix.rows * plane];
        if y.is_empty() {
            return y;
        }
        // Images first; rows of A only where there are fewer images than threads.
        let parts = rayon::current_num_threads().div_ceil(batch);
        let rows = matrix.rows.div_ceil(parts).next_multiple_of(ROWS);
        let arch = Arch::new();
        y.par_chunks_mut(matrix.rows * plane)
            .zip(images.par_chunks(image))
            .for_each(|(y, image)| {
                let copy = (!self.is_plain()).then(|| self.gather(image, &phases));
                let source = copy.as_deref().unwrap_or(image);
                y.par_chunks_mut(rows * plane)
                    .enumerate()
                    .for_each(|(part, y)| {
                        arch.dispatch(Product {
                            matrix,
                            first: part * rows,
                            bias,
                            source,
                            offsets: &offsets,
                            pitch: phases.pitch,
                            output: self.output,
                            y,
                        });
                    });
            });
        y
    }
}

/// The coefficients A, `[rows, columns]`, in blocks of [`ROWS`] rows: block by
/// block, column by column; the last block is filled with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    blocks: Vec<f32>,
}

impl Matrix {
    /// The matrix A[m, q, t] of `rows` rows, with `taps` columns per channel.
    pub(crate) fn new(
        rows: usize,
        channels: usize,
        taps: usize,
        entry: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let columns = channels * taps;
        let mut blocks = vec![0.0; rows.div_ceil(ROWS) * ROWS * columns];
        blocks
            .par_chunks_mut((ROWS * columns).max(1))
            .enumerate()
            .for_each(|(block, entries)| {
                let first = block * ROWS;
                let filled = ROWS.min(rows - first);
                let mut groups = entries.as_chunks_mut::<ROWS>().0.iter_mut();
                for channel in 0..channels {
                    for (tap, group) in groups.by_ref().take(taps).enumerate() {
                        for (i, number) in group[..filled].iter_mut().enumerate() {
                            *number = entry(first + i, channel, tap);
                        }
                    }
                }
            });
        Self {
            rows,
            columns,
            blocks,
        }
    }
}

/// One task: some rows of A times all columns of S.
struct Product<'a> {
    matrix: &'a Matrix,
    /// First row; a multiple of [`ROWS`].
    first: usize,
    bias: Option<&'a [f32]>,
    source: &'a [f32],
    offsets: &'a [usize],
    pitch: usize,
    output: [usize; 2],
    y: &'a mut [f32],
}

/// A run of columns of a panel that lies in one output row.
struct Segment {
    /// Where it begins in the panel.
    from: usize,
    /// Where it begins in the output plane.
    to: usize,
    len: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [height, width] = self.output;
        let plane = height * width;
        let columns = (height - 1) * self.pitch + width;
        let full = VECTORS * S::F32_LANES;
        let mut panel = vec![0.0; self.offsets.len() * full];
        let mut tile = vec![0.0; ROWS * full];
        let mut segments = Vec::new();
        let mut start = 0;
        while start < columns {
            let left = columns - start;
            let vectors = left.div_ceil(S::F32_LANES).min(VECTORS);
            let size = vectors * S::F32_LANES;
            let panel = &mut panel[..self.offsets.len() * size];
            pack(self.source, self.offsets, start, panel, size);
            find_segments(start, left.min(size), self.pitch, width, &mut segments);
            let panel = S::as_simd_f32s(panel).0;
            let tile = &mut tile[..ROWS * size];
            for (block, y) in self.y.chunks_mut(ROWS * plane).enumerate() {
                let row = self.first + block * ROWS;
                let a =
                    &self.matrix.blocks[row * self.matrix.columns..][..ROWS * self.matrix.columns];
                let out = S::as_mut_simd_f32s(tile).0;
                match vectors {
                    1 => multiply::<S, 1>(simd, a, panel, out),
                    2 => multiply::<S, 2>(simd, a, panel, out),
                    _ => multiply::<S, VECTORS>(simd, a, panel, out),
                }
                for (i, (y, tile)) in y.chunks_mut(plane).zip(tile.chunks(size)).enumerate() {
                    let bias = self.bias.map_or(0.0, |bias| bias[row + i]);
                    for segment in &segments {
                        let tile = &tile[segment.from..][..segment.len];
                        let y = &mut y[segment.to..][..segment.len];
                        for (y, &t) in y.iter_mut().zip(tile) {
                            *y = t + bias;
                        }
                    }
                }
            }
            start += size;
        }
    }
}

/// Copies `size` numbers of every row of S, from column `start` on.
#[inline(always)]
fn pack(source: &[f32], offsets: &[usize], start: usize, panel: &mut [f32], size: usize) {
    for (row, &offset) in panel.chunks_exact_mut(size).zip(offsets) {
        let line = &source[(offset + start).min(source.len())..];
        if let Some(line) = line.get(..size) {
            row.copy_from_slice(line);
        } else {
            row[..line.len()].copy_from_slice(line);
            row[line.len()..].fill(0.0);
        }
    }
}

fn find_segments(
    start: usize,
    count: usize,
    pitch: usize,
    width: usize,
    segments: &mut Vec<Segment>,
) {
    segments.clear();
    let mut column = start;
    while column < start + count {
        let (row, x) = (column / pitch, column % pitch);
        let row_end = (row + 1) * pitch;
        if x < width {
            segments.push(Segment {
                from: column - start,
                to: row * width + x,
                len: (width - x).min(start + count - column),
            });
        }
        column = row_end;
    }
}

/// A block of A times a panel: `ROWS` x `V` vectors that stay in registers.
#[inline(always)]
fn multiply<S: Simd, const V: usize>(simd: S, a: &[f32], panel: &[S::f32s], out: &mut [S::f32s]) {
    let mut sums = [[simd.splat_f32s(0.0); V]; ROWS];
    let (a, panel) = (a.as_chunks::<ROWS>().0, panel.as_chunks::<V>().0);
    for (a, s) in a.iter().zip(panel) {
        for i in 0..ROWS {
            let factor = simd.splat_f32s(a[i]);
            for j in 0..V {
                sums[i][j] = simd.mul_add_e_f32s(factor, s[j], sums[i][j]);
            }
        }
    }
    for (out, sums) in out.as_chunks_mut::<V>().0.iter_mut().zip(sums) {
        *out = sums;
    }
}
