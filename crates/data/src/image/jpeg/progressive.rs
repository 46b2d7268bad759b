//! Progressive coding (T.81, annex G): coefficients come in bands, and their bits from the highest on.
//!
//! A scan brings coefficients `first..=last` down to bit `low`. The first scan of a band has their
//! magnitudes without the lower bits, later ones add one bit each:
//!
//! ```text
//! F = sign 2^low |F_high| ,   then   F += sign 2^(high - 1) bit,  low = high - 1
//! ```
//!
//! Constant coefficients have scans of their own, which may interleave components. The other bands
//! belong to one component, and a block that ends may say for how many blocks the band has ended.

use super::bits::Bits;
use super::error::{Damage, JpegError};
use super::frame::{Component, SIDE, Scan};
use super::huffman::Huffman;
use super::markers::{Segment, ZIGZAG};
use super::scan::{Block, BlockReader, Place, Plane, dequantised};

/// The coefficients of a component.
pub(super) struct Coefficients {
    columns: usize,
    blocks: Vec<Block>,
    /// In the order of the file, as they were at the component's first scan.
    quantisers: [u16; 64],
    /// By coefficient, in the order of the file: the lowest bit that came.
    known: [Option<u8>; 64],
}

impl Coefficients {
    pub(super) fn new(component: &Component, quantisers: [u16; 64]) -> Self {
        let count = component.block_columns * component.block_rows;
        Self {
            columns: component.block_columns,
            blocks: vec![[0; SIDE * SIDE]; count],
            quantisers,
            known: [None; 64],
        }
    }

    fn at(&mut self, place: Place) -> &mut Block {
        &mut self.blocks[place.row * self.columns + place.column]
    }

    /// Marks what `scan` brings, which must be what is due (G.1.1.1).
    pub(super) fn advance(&mut self, scan: &Scan, segment: &Segment<'_>) -> Result<(), JpegError> {
        let due = (scan.high > 0).then_some(scan.high);
        for (k, known) in (scan.first..).zip(&mut self.known[scan.first..=scan.last]) {
            if *known != due {
                let bits = |known: Option<u8>| match known {
                    Some(bit) => format!("known down to bit {bit}"),
                    None => "not known yet".to_owned(),
                };
                let got = format!("{} where it is {}", bits(due), bits(*known));
                let expected = "the coefficient's next bits";
                return Err(segment.refused("SOS", expected, format!("coefficient {k} as {got}")));
            }
            *known = Some(scan.low);
        }
        Ok(())
    }

    /// Why the component cannot be shown.
    ///
    /// libjpeg makes up low frequencies from neighbouring blocks when some of the first ten coefficients
    /// miss bits; a dataset must not. Others that never came are zeros, for libjpeg too.
    pub(super) fn incomplete(&self) -> Option<&'static str> {
        if self.known[0].is_none() {
            return Some("no scan brought its constant coefficients");
        }
        let partial = self.known[1..10].iter().any(|&known| known != Some(0));
        partial.then_some("scans with bits of its first ten coefficients are missing")
    }

    /// The samples.
    pub(super) fn plane(&self) -> Plane {
        let mut natural = [0; SIDE * SIDE];
        for (&position, &quantiser) in ZIGZAG.iter().zip(&self.quantisers) {
            natural[usize::from(position)] = quantiser;
        }
        let mut plane = Plane::new(self.columns, self.blocks.len() / self.columns.max(1));
        for (i, block) in self.blocks.iter().enumerate() {
            let block = std::array::from_fn(|k| dequantised(block[k], natural[k]));
            plane.fill(i / self.columns, i % self.columns, &block);
        }
        plane
    }
}

/// Refuses scans that annex G does not know.
pub(super) fn check(scan: &Scan, segment: &Segment<'_>) -> Result<(), JpegError> {
    let Scan { first, last, .. } = *scan;
    let band = format!("{first} to {last} of {} components", scan.channels.len());
    if first > last || last > 63 || (first == 0 && last > 0) {
        let expected = "coefficient 0 alone, or a band from 1 to 63";
        return Err(segment.refused("SOS", expected, band));
    }
    if first > 0 && scan.channels.len() > 1 {
        return Err(segment.refused("SOS", "one component for a band", band));
    }
    if scan.low > 13 || (scan.high > 0 && scan.high != scan.low + 1) {
        let got = format!("bits {} to {}", scan.high, scan.low);
        return Err(segment.refused("SOS", "one bit more, or bits down to at most 13", got));
    }
    Ok(())
}

/// A component's part in a scan of constant coefficients.
pub(super) struct ConstantChannel<'a> {
    pub(super) coefficients: &'a mut Coefficients,
    /// Not needed by a scan that refines.
    pub(super) code: Option<&'a Huffman>,
    /// The constant coefficient of the block before.
    pub(super) before: i32,
}

/// Constant coefficients, for the first time (G.1.2.1) or one bit more.
pub(super) struct Constants<'a> {
    pub(super) channels: Vec<ConstantChannel<'a>>,
    pub(super) low: u8,
}

impl BlockReader for Constants<'_> {
    fn read(&mut self, bits: &mut Bits<'_>, place: Place) -> Result<(), Damage> {
        let channel = &mut self.channels[place.channel];
        let constant = &mut channel.coefficients.at(place)[0];
        match channel.code {
            Some(code) => {
                channel.before += code.read(bits)?.1;
                *constant = shifted(channel.before, self.low)?;
            }
            None => *constant |= (bits.take(1) as i16) << self.low,
        }
        Ok(())
    }

    fn restart(&mut self) {
        for channel in &mut self.channels {
            channel.before = 0;
        }
    }
}

/// A band of one component.
pub(super) struct Band<'a> {
    pub(super) coefficients: &'a mut Coefficients,
    pub(super) code: &'a Huffman,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u8,
    /// Blocks to come in which the band has ended.
    pub(super) ended: u32,
}

impl Band<'_> {
    /// The number of blocks of which this is the first that end here, from the symbol's run.
    fn ending(run: u8, bits: &mut Bits<'_>) -> u32 {
        (1 << run) + bits.take(run.into())
    }
}

/// A band for the first time (G.1.2.2).
pub(super) struct FirstBand<'a>(pub(super) Band<'a>);

impl BlockReader for FirstBand<'_> {
    fn read(&mut self, bits: &mut Bits<'_>, place: Place) -> Result<(), Damage> {
        let band = &mut self.0;
        if band.ended > 0 {
            band.ended -= 1;
            return Ok(());
        }
        let block = band.coefficients.at(place);
        let mut k = band.first;
        while k <= band.last {
            let (symbol, value) = band.code.read(bits)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size > 0 {
                k += usize::from(run);
                if k > band.last {
                    return Err(Damage::Run);
                }
                block[usize::from(ZIGZAG[k])] = shifted(value, band.low)?;
                k += 1;
            } else if run == 15 {
                k += 16;
            } else {
                band.ended = Band::ending(run, bits) - 1;
                break;
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.0.ended = 0;
    }
}

/// One bit more of a band (G.1.2.3).
///
/// A run counts coefficients that are still zero. Between them, those that are not have a correction
/// bit each.
pub(super) struct Refinement<'a>(pub(super) Band<'a>);

impl BlockReader for Refinement<'_> {
    fn read(&mut self, bits: &mut Bits<'_>, place: Place) -> Result<(), Damage> {
        let band = &mut self.0;
        let block = band.coefficients.at(place);
        let one = 1_i16 << band.low;
        let mut k = band.first;
        if band.ended == 0 {
            while k <= band.last {
                let (symbol, value) = band.code.read(bits)?;
                let (run, size) = (symbol >> 4, symbol & 15);
                if size > 1 {
                    return Err(Damage::Refinement { bits: size });
                }
                if size == 0 && run < 15 {
                    band.ended = Band::ending(run, bits);
                    break;
                }
                k = skip_zeros(bits, block, k..band.last + 1, run, one);
                if size == 1 {
                    let position = ZIGZAG.get(k).filter(|_| k <= band.last);
                    let position = *position.ok_or(Damage::Run)?;
                    block[usize::from(position)] = value as i16 * one;
                }
                k += 1;
            }
        }
        if band.ended > 0 {
            skip_zeros(bits, block, k..band.last + 1, u8::MAX, one);
            band.ended -= 1;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.0.ended = 0;
    }
}

/// Corrects coefficients up to the zero after `run` zeros and returns its position, or the end of
/// `range` when there is none.
fn skip_zeros(
    bits: &mut Bits<'_>,
    block: &mut Block,
    range: std::ops::Range<usize>,
    mut run: u8,
    one: i16,
) -> usize {
    let end = range.end;
    for k in range {
        let coefficient = &mut block[usize::from(ZIGZAG[k])];
        if *coefficient == 0 {
            if run == 0 {
                return k;
            }
            run -= 1;
        } else if bits.take(1) == 1 && *coefficient & one == 0 {
            *coefficient = coefficient.saturating_add(one * coefficient.signum());
        }
    }
    end
}

/// `value 2^low`, if it has 16 bits.
fn shifted(value: i32, low: u8) -> Result<i16, Damage> {
    i16::try_from(value << low).map_err(|_| Damage::Overflow)
}
