//! The frame and its scans (T.81, A.1, A.2, B.2.2 and B.2.3).
//!
//! A component that is sampled `H x V` times where the densest one is sampled `Hmax x Vmax` times has
//!
//! ```text
//! width  = ceil(X H / Hmax),   height = ceil(Y V / Vmax)
//! ```
//!
//! samples for a picture of `X x Y` pixels, in blocks of 8 x 8. In a scan of several components blocks
//! come in units (MCU) of `H x V` of each; in a scan of one component a unit is one block.

use super::error::JpegError;
use super::markers::{Segment, code, unknown};

/// Side of a block.
pub(super) const SIDE: usize = 8;
/// The most blocks of a unit (B.2.3).
const UNIT_BLOCKS: usize = 10;

/// A colour component of the frame.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples in a row of a unit, `H`.
    pub(super) across: usize,
    /// Rows of a unit, `V`.
    pub(super) down: usize,
    /// Number of its quantisation table.
    pub(super) quantiser: usize,
    /// Columns of samples.
    pub(super) width: usize,
    /// Rows of samples.
    pub(super) height: usize,
    /// Columns of blocks, filled up to whole units.
    pub(super) block_columns: usize,
    /// Rows of blocks, filled up to whole units.
    pub(super) block_rows: usize,
}

/// Size and components of the picture.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) height: usize,
    pub(super) width: usize,
    /// `Hmax` and `Vmax`.
    pub(super) densest: (usize, usize),
    pub(super) unit_columns: usize,
    pub(super) unit_rows: usize,
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// B.2.2; `segment` is `SOF0`, `SOF1`, `SOF2`, or a frame of another process, which is refused.
    pub(super) fn read(segment: &Segment<'_>) -> Result<Self, JpegError> {
        if !(code::SOF0..=code::SOF2).contains(&segment.marker) {
            return Err(JpegError::unsupported(unknown(segment.marker)));
        }
        let body = segment.body;
        let Some((&[precision, y, y_low, x, x_low, count], rest)) = body.split_first_chunk::<6>()
        else {
            return Err(segment.refused("SOF", "6 bytes or more", body.len()));
        };
        let height = usize::from(u16::from_be_bytes([y, y_low]));
        let width = usize::from(u16::from_be_bytes([x, x_low]));
        if rest.len() != 3 * usize::from(count) {
            return Err(segment.refused("SOF", "3 bytes for each component", rest.len()));
        }
        if precision != 8 {
            return Err(JpegError::unsupported(format!("{precision}-bit samples")));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(JpegError::unsupported(format!(
                "a picture of {count} components"
            )));
        }
        if height == 0 && width > 0 {
            return Err(JpegError::unsupported(
                "a height that is given after the first scan (DNL)",
            ));
        }
        let mut components = Vec::new();
        for spec in rest.chunks_exact(3) {
            components.push(Component::read(segment, spec)?);
        }
        let mut frame = Self {
            progressive: segment.marker == code::SOF2,
            height,
            width,
            densest: (0, 0),
            unit_columns: 0,
            unit_rows: 0,
            components,
        };
        frame.lay_out()?;
        Ok(frame)
    }

    /// Sizes of the components.
    fn lay_out(&mut self) -> Result<(), JpegError> {
        let across = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        let down = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        self.densest = (across, down);
        self.unit_columns = self.width.div_ceil(SIDE * across);
        self.unit_rows = self.height.div_ceil(SIDE * down);
        for component in &mut self.components {
            if !across.is_multiple_of(component.across) || !down.is_multiple_of(component.down) {
                return Err(JpegError::unsupported(format!(
                    "sampling {} x {} beside {across} x {down}",
                    component.across, component.down
                )));
            }
            component.width = (self.width * component.across).div_ceil(across);
            component.height = (self.height * component.down).div_ceil(down);
            component.block_columns = self.unit_columns * component.across;
            component.block_rows = self.unit_rows * component.down;
        }
        Ok(())
    }

    /// Blocks that hold samples of the picture.
    pub(super) fn blocks(&self) -> usize {
        let blocks = |c: &Component| c.width.div_ceil(SIDE) * c.height.div_ceil(SIDE);
        self.components.iter().map(blocks).sum()
    }
}

impl Component {
    fn read(segment: &Segment<'_>, spec: &[u8]) -> Result<Self, JpegError> {
        let (across, down) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
            let got = format!("{across} x {down}");
            return Err(segment.refused("SOF", "sampling factors from 1 to 4", got));
        }
        let quantiser = usize::from(spec[2]);
        if quantiser > 3 {
            return Err(segment.refused("SOF", "quantisation table 0 to 3", quantiser));
        }
        Ok(Self {
            id: spec[0],
            across,
            down,
            quantiser,
            width: 0,
            height: 0,
            block_columns: 0,
            block_rows: 0,
        })
    }
}

/// A component in a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    /// Its position in the frame.
    pub(super) component: usize,
    /// Numbers of its Huffman tables.
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// What a scan holds.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) channels: Vec<Channel>,
    /// First and last coefficient, in the order of the file.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Bit at which an earlier scan of the same coefficients ended; 0 when there was none.
    pub(super) high: u8,
    /// Lowest bit of the coefficients that the scan brings.
    pub(super) low: u8,
}

impl Scan {
    /// B.2.3.
    pub(super) fn read(segment: &Segment<'_>, frame: &Frame) -> Result<Self, JpegError> {
        let refused = |expected, got: String| segment.refused("SOS", expected, got);
        let body = segment.body;
        let count = usize::from(body.first().copied().unwrap_or(0));
        if !(1..=4).contains(&count) {
            return Err(refused("1 to 4 components", count.to_string()));
        }
        if body.len() != 4 + 2 * count {
            let got = body.len().to_string();
            return Err(refused("2 bytes for each component and 4 more", got));
        }
        let (specs, rest) = body[1..].split_at(2 * count);
        let mut channels: Vec<Channel> = Vec::new();
        for spec in specs.chunks_exact(2) {
            let unused = |i: &usize| channels.iter().all(|channel| channel.component != *i);
            let component = (0..frame.components.len())
                .filter(unused)
                .find(|&i| frame.components[i].id == spec[0])
                .ok_or_else(|| refused("a component of the frame", spec[0].to_string()))?;
            let (dc, ac) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            if dc.max(ac) > 3 {
                return Err(refused("Huffman tables 0 to 3", dc.max(ac).to_string()));
            }
            channels.push(Channel { component, dc, ac });
        }
        let blocks: usize = channels
            .iter()
            .map(|channel| &frame.components[channel.component])
            .map(|component| component.across * component.down)
            .sum();
        if count > 1 && blocks > UNIT_BLOCKS {
            return Err(refused("at most 10 blocks in a unit", blocks.to_string()));
        }
        Ok(Self {
            channels,
            first: rest[0].into(),
            last: rest[1].into(),
            high: rest[2] >> 4,
            low: rest[2] & 15,
        })
    }
}
