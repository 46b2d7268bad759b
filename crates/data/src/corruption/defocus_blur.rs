//! Defocus blur: the mean over a disk, whose edge is softened by a narrow normal kernel.

use super::blur::{self, Border, Tap};
use super::{Image, Severity};

pub(super) const SUMMARY: &str =
    "a disk of radius 3, 4, 6, 8, 10 pixels with an edge of deviation 0.1, 0.5, 0.5, 0.5, 0.5";

pub(super) fn defocus_blur(image: &Image, severity: Severity) -> Image {
    let (radius, edge) = severity.of([(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)]);
    let disk = disk(radius, edge);
    image.map_planes(|plane| blur::filter(plane, image.width, &disk, Border::Mirror))
}

/// The taps of a disk on a square grid of at least 17 points a side.
fn disk(radius: isize, edge: f64) -> Vec<Tap> {
    let (half, edge_radius) = if radius <= 8 { (8, 1) } else { (radius, 2) };
    let side = 2 * half as usize + 1;
    let offset = |i: usize| ((i / side) as isize - half, (i % side) as isize - half);
    let inside = |i: usize| {
        let (down, right) = offset(i);
        f64::from(u8::from(down * down + right * right <= radius * radius))
    };
    let sharp: Vec<f64> = (0..side * side).map(inside).collect();
    let soft = blur::gaussian(&sharp, side, edge, edge_radius, Border::Mirror);
    let tap = |(i, weight)| {
        let (down, right) = offset(i);
        Tap {
            down,
            right,
            weight,
        }
    };
    let taps = soft.into_iter().enumerate().map(tap);
    blur::normalised(taps.filter(|tap| tap.weight > 0.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_flat_inside_and_as_large_as_its_radius() {
        let disk = disk(3, 0.1);
        let positive = disk.iter().filter(|tap| tap.weight > 1e-9);
        // The lattice points within distance 3 of the origin.
        assert_eq!(positive.count(), 29);
        let centre = disk
            .iter()
            .find(|tap| (tap.down, tap.right) == (0, 0))
            .unwrap();
        assert!((centre.weight - 1.0 / 29.0).abs() < 1e-12);
    }
}
