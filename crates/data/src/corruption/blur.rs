//! Linear filters: `y[p] = sum_t w_t x[p + t]` for a list of taps `t`.

/// What lies beyond the border of a picture.
#[derive(Clone, Copy)]
pub(super) enum Border {
    /// The pixel at the border.
    Clamp,
    /// The picture mirrored at the centre of its border pixels.
    Mirror,
}

impl Border {
    fn index(self, position: isize, len: usize) -> usize {
        let last = len as isize - 1;
        let inside = match self {
            Self::Clamp => position.clamp(0, last),
            Self::Mirror if last == 0 => 0,
            Self::Mirror => {
                let folded = position.rem_euclid(2 * last);
                folded.min(2 * last - folded)
            }
        };
        inside as usize
    }
}

/// An offset and its weight.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) down: isize,
    pub(super) right: isize,
    pub(super) weight: f64,
}

/// `plane`, of rows of `width`, filtered.
pub(super) fn filter(plane: &[f64], width: usize, taps: &[Tap], border: Border) -> Vec<f64> {
    let height = plane.len() / width;
    let reach = |offset: fn(&Tap) -> isize| {
        let farthest = taps.iter().map(|tap| offset(tap).unsigned_abs()).max();
        farthest.unwrap_or(0)
    };
    let (rows, columns) = (reach(|tap| tap.down), reach(|tap| tap.right));

    // With the border written out, a tap adds whole rows.
    let padded_width = width + 2 * columns;
    let mut padded = Vec::with_capacity((height + 2 * rows) * padded_width);
    for y in 0..height + 2 * rows {
        let row = border.index(y as isize - rows as isize, height) * width;
        let column = |x: usize| border.index(x as isize - columns as isize, width);
        padded.extend((0..padded_width).map(|x| plane[row + column(x)]));
    }
    let mut filtered = vec![0.0; plane.len()];
    for (y, out) in filtered.chunks_exact_mut(width).enumerate() {
        for tap in taps {
            let row = (y + rows).wrapping_add_signed(tap.down);
            let start = row * padded_width + columns.wrapping_add_signed(tap.right);
            for (value, pixel) in out.iter_mut().zip(&padded[start..][..width]) {
                *value += tap.weight * pixel;
            }
        }
    }
    filtered
}

/// Weights scaled to sum 1.
pub(super) fn normalised(mut taps: Vec<Tap>) -> Vec<Tap> {
    let sum: f64 = taps.iter().map(|tap| tap.weight).sum();
    taps.iter_mut().for_each(|tap| tap.weight /= sum);
    taps
}

/// `plane` filtered with a normal kernel of deviation `sigma`, cut off at `radius`.
pub(super) fn gaussian(
    plane: &[f64],
    width: usize,
    sigma: f64,
    radius: isize,
    border: Border,
) -> Vec<f64> {
    let line = |tap: fn(isize, f64) -> Tap| {
        let weight = |i: isize| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp();
        normalised((-radius..=radius).map(|i| tap(i, weight(i))).collect())
    };
    let down = line(|down, weight| Tap {
        down,
        right: 0,
        weight,
    });
    let right = line(|right, weight| Tap {
        down: 0,
        right,
        weight,
    });
    filter(&filter(plane, width, &down, border), width, &right, border)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_clamp_or_mirror_at_any_distance() {
        let indices = |border: Border, len| [-5, -1, 0, 2, 3, 4, 9].map(|i| border.index(i, len));
        assert_eq!(indices(Border::Clamp, 3), [0, 0, 0, 2, 2, 2, 2]);
        assert_eq!(indices(Border::Mirror, 3), [1, 1, 0, 2, 1, 0, 1]);
        assert_eq!(indices(Border::Mirror, 1), [0; 7]);
    }

    #[test]
    fn a_tap_reads_the_pixel_at_its_offset() {
        let plane: Vec<f64> = (0..12).map(f64::from).collect();
        let tap = Tap {
            down: 1,
            right: -2,
            weight: 2.0,
        };
        let filtered = filter(&plane, 4, &[tap], Border::Clamp);
        // Row 0 reads row 1 two columns to the left, twice as bright; the left border repeats.
        assert_eq!(filtered[..4], [8.0, 8.0, 8.0, 10.0]);
        assert_eq!(filtered[8..], [16.0, 16.0, 16.0, 18.0]);
    }

    #[test]
    fn a_normal_kernel_keeps_the_sum_and_has_its_variance() {
        let mut plane = vec![0.0; 41 * 41];
        plane[20 * 41 + 20] = 1.0;
        let blurred = gaussian(&plane, 41, 2.0, 12, Border::Mirror);
        let variance: f64 = (0..41 * 41)
            .map(|i| blurred[i] * ((i % 41) as f64 - 20.0).powi(2))
            .sum();
        assert!((blurred.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Cut off at six deviations and sampled at whole pixels.
        assert!((variance - 4.0).abs() < 1e-6, "{variance}");
    }
}
