//! The blocks of a scan in their order, and sequential coding (T.81, F.2).
//!
//! A block is the difference of its constant coefficient (DC) to that of the component's block before,
//! and its other coefficients (AC) as runs of zeros:
//!
//! ```text
//! block = size(d), d, { run zeros & size(F), F }, end of block;    DC = DC before + d
//! ```

use super::bits::Bits;
use super::error::{Damage, JpegError};
use super::frame::{Frame, SIDE, Scan};
use super::huffman::Huffman;
use super::inverse_dct::inverse_dct;
use super::markers::ZIGZAG;

/// 64 values of a block, row by row.
pub(super) type Block = [i16; SIDE * SIDE];

/// Where a block lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Position of its component among the scan's.
    pub(super) channel: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// Reads the blocks of one kind of scan.
pub(super) trait BlockReader {
    /// Reads the block at `place`.
    fn read(&mut self, bits: &mut Bits<'_>, place: Place) -> Result<(), Damage>;

    /// Forgets what earlier blocks leave for later ones.
    fn restart(&mut self);
}

/// Reads all blocks of `scan`, which is the `number`th from 1, in the order of A.2.
pub(super) fn read_blocks(
    bits: &mut Bits<'_>,
    frame: &Frame,
    scan: &Scan,
    interval: usize,
    number: usize,
    reader: &mut impl BlockReader,
) -> Result<(), JpegError> {
    let units = Units::of(frame, scan);
    for unit in 0..units.columns * units.rows {
        let mut one = || {
            if interval > 0 && unit > 0 && unit.is_multiple_of(interval) {
                bits.restart(((unit / interval - 1) % 8) as u8)?;
                reader.restart();
            }
            units.read(unit, bits, reader)?;
            bits.check()
        };
        one().map_err(|damage| match damage {
            Damage::EndOfFile => JpegError::Truncated,
            damage => JpegError::Scan {
                scan: number,
                unit,
                damage,
            },
        })?;
    }
    Ok(())
}

/// How blocks are grouped: in a scan of one component one by one, leaving out those that only fill up
/// units of several components.
struct Units {
    columns: usize,
    rows: usize,
    /// For every channel, blocks across and down.
    sizes: Vec<(usize, usize)>,
}

impl Units {
    fn of(frame: &Frame, scan: &Scan) -> Self {
        if let [only] = scan.channels[..] {
            let component = &frame.components[only.component];
            return Self {
                columns: component.width.div_ceil(SIDE),
                rows: component.height.div_ceil(SIDE),
                sizes: vec![(1, 1)],
            };
        }
        let size = |channel: &super::frame::Channel| {
            let component = &frame.components[channel.component];
            (component.across, component.down)
        };
        Self {
            columns: frame.unit_columns,
            rows: frame.unit_rows,
            sizes: scan.channels.iter().map(size).collect(),
        }
    }

    #[inline]
    fn read(
        &self,
        unit: usize,
        bits: &mut Bits<'_>,
        reader: &mut impl BlockReader,
    ) -> Result<(), Damage> {
        let (top, left) = (unit / self.columns, unit % self.columns);
        for (channel, &(across, down)) in self.sizes.iter().enumerate() {
            for row in top * down..(top + 1) * down {
                for column in left * across..(left + 1) * across {
                    let place = Place {
                        channel,
                        row,
                        column,
                    };
                    reader.read(bits, place)?;
                }
            }
        }
        Ok(())
    }
}

/// The samples of a component, in whole blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Plane {
    /// Samples from a row to the next.
    pub(super) stride: usize,
    pub(super) samples: Vec<u8>,
}

impl Plane {
    /// Of `columns x rows` blocks.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            stride: columns * SIDE,
            samples: vec![0; columns * SIDE * rows * SIDE],
        }
    }

    /// Row `y`, its first `width` samples.
    pub(super) fn row(&self, y: usize, width: usize) -> &[u8] {
        &self.samples[y * self.stride..][..width]
    }

    /// Fills a block from its dequantised coefficients.
    #[inline]
    pub(super) fn fill(&mut self, row: usize, column: usize, block: &Block) {
        let first = (row * self.stride + column) * SIDE;
        inverse_dct(block, &mut self.samples[first..], self.stride);
    }
}

/// What a sequential scan needs of a component.
pub(super) struct SequentialChannel<'a> {
    pub(super) dc: &'a Huffman,
    pub(super) ac: &'a Huffman,
    /// In the order of the file.
    pub(super) quantisers: &'a [u16; 64],
    pub(super) plane: Plane,
    /// The constant coefficient of the block before.
    pub(super) before: i32,
}

/// Reads whole blocks and transforms them at once.
pub(super) struct Sequential<'a> {
    pub(super) channels: Vec<SequentialChannel<'a>>,
}

impl BlockReader for Sequential<'_> {
    #[inline]
    fn read(&mut self, bits: &mut Bits<'_>, place: Place) -> Result<(), Damage> {
        let channel = &mut self.channels[place.channel];
        let mut block = [0; SIDE * SIDE];
        let quantisers = channel.quantisers;
        let (_, difference) = channel.dc.read(bits)?;
        channel.before += difference;
        let constant = i16::try_from(channel.before).map_err(|_| Damage::Overflow)?;
        block[0] = dequantised(constant, quantisers[0]);
        let mut k = 1;
        while k < SIDE * SIDE {
            let (symbol, value) = channel.ac.read(bits)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            if size > 0 {
                k += run;
                let position = *ZIGZAG.get(k).ok_or(Damage::Run)?;
                block[usize::from(position)] = dequantised(value as i16, quantisers[k]);
                k += 1;
            } else if run == 15 {
                k += 16;
            } else {
                break;
            }
        }
        channel.plane.fill(place.row, place.column, &block);
        Ok(())
    }

    fn restart(&mut self) {
        for channel in &mut self.channels {
            channel.before = 0;
        }
    }
}

/// 16 bits of the product, as libjpeg-turbo's vector instructions keep them.
#[inline(always)]
pub(super) fn dequantised(coefficient: i16, quantiser: u16) -> i16 {
    coefficient.wrapping_mul(quantiser as i16)
}
