//! Images as token sequences and back (MobileViT, Mehta & Rastegari 2022, section 3.1).

use super::value::{Value, misfit};
use crate::RepairError;

/// `[channels, h, w]` to `[patch², patches, channels]`: one sequence per position in a patch. An
/// image whose extents are no multiples of the patch is resized to the next ones.
pub(super) fn unfold(x: &Value, patch: usize, at: &str) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    let grid = Grid::of([height, width], patch);
    let resized = resize(x.clone(), [height, width], grid.size());
    let pixels = grid.pixels();
    let mut tokens = vec![0.0; resized.numbers.len()];
    for (channel, plane) in resized.numbers.chunks_exact(pixels.len()).enumerate() {
        for (token, &pixel) in pixels.iter().enumerate() {
            tokens[token * channels + channel] = plane[pixel];
        }
    }
    Ok(Value::new(
        &[patch * patch, grid.patches(), channels],
        tokens,
    ))
}

/// The inverse of [`unfold`] with the extents of the image `like`.
pub(super) fn fold(x: &Value, like: &Value, patch: usize, at: &str) -> Result<Value, RepairError> {
    let [_, height, width] = like.image(at)?;
    let grid = Grid::of([height, width], patch);
    let [sequences, patches, channels] = x.extents("[sequences, patches, channels]", at)?;
    if [sequences, patches] != [patch * patch, grid.patches()] {
        let expected = format!("[{}, {}, channels]", patch * patch, grid.patches());
        return Err(misfit(at, expected, &x.shape));
    }
    let pixels = grid.pixels();
    let mut planes = vec![0.0; x.numbers.len()];
    for (channel, plane) in planes.chunks_exact_mut(pixels.len()).enumerate() {
        for (token, &pixel) in pixels.iter().enumerate() {
            plane[pixel] = x.numbers[token * channels + channel];
        }
    }
    let [rows, columns] = grid.size();
    let image = Value::new(&[channels, rows, columns], planes);
    Ok(resize(image, grid.size(), [height, width]))
}

/// The patches that cover an image.
struct Grid {
    patch: usize,
    rows: usize,
    columns: usize,
}

impl Grid {
    fn of([height, width]: [usize; 2], patch: usize) -> Self {
        Self {
            patch,
            rows: height.div_ceil(patch),
            columns: width.div_ceil(patch),
        }
    }

    fn patches(&self) -> usize {
        self.rows * self.columns
    }

    /// Height and width of whole patches.
    fn size(&self) -> [usize; 2] {
        [self.rows * self.patch, self.columns * self.patch]
    }

    /// The pixel of every token: position in the patch first, then the patch.
    fn pixels(&self) -> Vec<usize> {
        let [_, width] = self.size();
        let mut pixels = Vec::with_capacity(self.patches() * self.patch * self.patch);
        for position in 0..self.patch * self.patch {
            let (i, j) = (position / self.patch, position % self.patch);
            for patch in 0..self.patches() {
                let (row, column) = (patch / self.columns, patch % self.columns);
                pixels.push((row * self.patch + i) * width + column * self.patch + j);
            }
        }
        pixels
    }
}

/// Bilinear interpolation with half-pixel centres.
fn resize(image: Value, from: [usize; 2], to: [usize; 2]) -> Value {
    if from == to {
        return image;
    }
    let [rows, columns] = [0, 1].map(|axis| neighbours(from[axis], to[axis]));
    let [height, width] = from;
    let mut numbers = Vec::with_capacity(image.shape[0] * to[0] * to[1]);
    for plane in image.numbers.chunks_exact(height * width) {
        for &(above, below, down) in &rows {
            for &(left, right, over) in &columns {
                let between = |row: usize| {
                    let row = &plane[row * width..][..width];
                    row[left] * (1.0 - over) + row[right] * over
                };
                numbers.push(between(above) * (1.0 - down) + between(below) * down);
            }
        }
    }
    Value::new(&[image.shape[0], to[0], to[1]], numbers)
}

/// For every output along an axis the two inputs around its centre and the second one's share.
fn neighbours(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let ratio = from as f64 / to as f64;
    let around = |output: usize| {
        let centre = ((output as f64 + 0.5) * ratio - 0.5).max(0.0);
        let first = (centre as usize).min(from - 1);
        (first, (first + 1).min(from - 1), centre - first as f64)
    };
    (0..to).map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_at_one_position_in_their_patches_form_a_sequence() {
        let x = Value::new(&[1, 2, 4], (0..8).map(f64::from).collect());
        let tokens = unfold(&x, 2, "unfold").unwrap();
        let expected = vec![0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(tokens, Value::new(&[4, 2, 1], expected));
        assert_eq!(fold(&tokens, &x, 2, "fold").unwrap(), x);
    }

    #[test]
    fn channels_stay_together_in_a_token() {
        let x = Value::new(&[2, 2, 2], (0..8).map(f64::from).collect());
        let tokens = unfold(&x, 2, "unfold").unwrap();
        assert_eq!(tokens.shape, [4, 1, 2]);
        assert_eq!(tokens.numbers, [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
        assert_eq!(fold(&tokens, &x, 2, "fold").unwrap(), x);
    }

    #[test]
    fn extents_that_do_not_divide_are_resized_and_come_back() {
        // One row of three pixels becomes two rows of four: centres at -1/8, 5/8, 11/8, 17/8.
        let x = Value::new(&[1, 1, 3], vec![0.0, 8.0, 16.0]);
        let tokens = unfold(&x, 2, "unfold").unwrap();
        assert_eq!(tokens.shape, [4, 2, 1]);
        assert_eq!(tokens.numbers, [0.0, 11.0, 5.0, 16.0, 0.0, 11.0, 5.0, 16.0]);
        // Back to three: centres at 1/6, 3/2, 17/6 of the four.
        let back = fold(&tokens, &x, 2, "fold").unwrap();
        assert_eq!(back.shape, x.shape);
        let expected = [5.0 / 6.0, 8.0, 11.0 + 5.0 * 5.0 / 6.0];
        for (got, expected) in back.numbers.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-13, "{got} {expected}");
        }
    }
}
