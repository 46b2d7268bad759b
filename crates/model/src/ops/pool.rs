//! Pooling of images.

/// The largest number of each window; pairs are those of height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Rows above and columns left of the image over which a window may reach; they hold no numbers.
    pub before: [usize; 2],
    /// Rows below and columns right of it.
    pub after: [usize; 2],
    /// Whether a window that leaves the image at its end counts (PyTorch's `ceil_mode`).
    pub ceil: bool,
}

/// The mean of each window that lies in the image; pairs are those of height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
}

impl AveragePool {
    /// Height and width of the output for images of the given height and width; `None` for
    /// images smaller than a window.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let extent = |axis: usize| {
            let room = input[axis].checked_sub(self.kernel[axis])?;
            room.checked_div(self.stride[axis])?.checked_add(1)
        };
        Some([extent(0)?, extent(1)?])
    }
}

impl MaxPool {
    /// Square windows without padding.
    pub const fn square(kernel: usize, stride: usize, ceil: bool) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            before: [0; 2],
            after: [0; 2],
            ceil,
        }
    }

    /// Height and width of the output for images of the given height and width; `None` for
    /// images smaller than a window.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let extent = |axis: usize| {
            let (stride, before) = (self.stride[axis], self.before[axis]);
            let inside = input[axis].checked_add(before)?;
            let padded = inside.checked_add(self.after[axis])?;
            let room = padded.checked_sub(self.kernel[axis])?;
            let whole = room.checked_div(stride)?.checked_add(1)?;
            if !self.ceil || room.is_multiple_of(stride) {
                return Some(whole);
            }
            let windows = whole.checked_add(1)?;
            // A window that would start behind the image holds nothing and does not count.
            let inside = whole.checked_mul(stride)? < inside;
            Some(if inside { windows } else { windows - 1 })
        };
        Some([extent(0)?, extent(1)?])
    }

    /// The positions (`row · width + column`, ascending) of a plane of height and width `input`
    /// over which the window of an output position is taken; none outside the output.
    pub fn window_members(
        &self,
        position: usize,
        input: [usize; 2],
    ) -> impl Iterator<Item = usize> + use<> {
        let [rows, columns] = self.output_size(input).unwrap_or_default();
        // A window may begin before the plane or end behind it; what lies there is no member.
        let reach = |index: usize, axis: usize| {
            let first = index * self.stride[axis];
            let end = (first + self.kernel[axis]).saturating_sub(self.before[axis]);
            first.saturating_sub(self.before[axis])..end.min(input[axis])
        };
        let (down, across) = match position < rows * columns {
            true => (reach(position / columns, 0), reach(position % columns, 1)),
            false => (0..0, 0..0),
        };
        let width = input[1];
        down.flat_map(move |row| across.clone().map(move |column| row * width + column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE_BY_TWO: MaxPool = MaxPool::square(3, 2, true);

    fn members(pool: MaxPool, position: usize, input: [usize; 2]) -> Vec<usize> {
        pool.window_members(position, input).collect()
    }

    #[test]
    fn a_window_lists_the_positions_it_covers() {
        // A plane of 5 x 6: windows begin in rows 0 and 2, in columns 0, 2 and, cut off, 4.
        let input = [5, 6];
        assert_eq!(THREE_BY_TWO.output_size(input), Some([2, 3]));
        assert_eq!(
            members(THREE_BY_TWO, 0, input),
            [0, 1, 2, 6, 7, 8, 12, 13, 14]
        );
        assert_eq!(members(THREE_BY_TWO, 2, input), [4, 5, 10, 11, 16, 17]);
        assert_eq!(
            members(THREE_BY_TWO, 4, input),
            [14, 15, 16, 20, 21, 22, 26, 27, 28]
        );
        assert!(members(THREE_BY_TWO, 6, input).is_empty());
        let floor = MaxPool {
            ceil: false,
            ..THREE_BY_TWO
        };
        assert_eq!(floor.output_size(input), Some([2, 2]));
        assert_eq!(members(floor, 2, input)[0], 12);
        assert_eq!(floor.output_size([2, 6]), None);
    }

    #[test]
    fn a_border_shifts_the_windows_and_holds_no_members() {
        let pool = MaxPool {
            before: [1, 0],
            after: [0, 2],
            ..MaxPool::square(3, 2, false)
        };
        // Rows begin at -1 and 1, columns at 0, 2 and 4 of 5 + 2.
        assert_eq!(pool.output_size([4, 5]), Some([2, 3]));
        assert_eq!(members(pool, 0, [4, 5]), [0, 1, 2, 5, 6, 7]);
        assert_eq!(members(pool, 2, [4, 5]), [4, 9]);
        assert_eq!(members(pool, 5, [4, 5]), [9, 14, 19]);
    }
}
