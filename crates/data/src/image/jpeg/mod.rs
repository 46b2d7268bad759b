//! JPEG files to the pixels that libjpeg-turbo makes by default, and Pillow from them.
//!
//! The standard (ITU-T T.81) leaves to decoders how they round the inverse cosine transform, and does
//! not say how components of lower resolution are brought to that of the picture, nor what the colours
//! are. Whoever decodes otherwise sees other pixels, by a few levels in a few percent of the values; a
//! network that is repaired on those is not repaired on these. This decoder is equal bit for bit:
//!
//! ```text
//! bits --Huffman--> coefficients F --F Q, inverse DCT--> samples --interpolation--> Y Cb Cr --> R G B
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`markers`] | segments: quantisers, codes, restart intervals, what says the colours |
//! | [`frame`] | size and components of the picture, headers of scans |
//! | [`bits`], [`huffman`], [`standard`] | entropy coding and the tables that a file may leave out |
//! | [`scan`], [`progressive`] | blocks in their order: sequential coding, progressive coding |
//! | [`inverse_dct`] | libjpeg's accurate integer method |
//! | [`upsample`] | its "fancy" upsampling |
//! | [`color`] | its colour conversion, and Pillow's for CMYK |
//!
//! Read are baseline, extended and progressive pictures of 8-bit samples with Huffman codes, of one,
//! three or four components of any sampling that divides the densest one. Arithmetic coding, lossless
//! and hierarchical pictures, other depths, and heights that follow the first scan are refused by name.
//! Where libjpeg warns and goes on (codes that do not exist, data that end early, restart markers that
//! do not follow each other, scans that contradict each other) the file is refused: what it makes up
//! there is not the picture.

mod bits;
mod color;
mod error;
mod frame;
mod huffman;
mod inverse_dct;
mod markers;
mod progressive;
mod scan;
mod standard;
#[cfg(test)]
mod tests;
mod upsample;

pub(crate) use error::JpegError;

use bits::Bits;
use color::ColorSpace;
use frame::{Frame, Scan};
use huffman::Huffman;
use markers::{Segment, Segments, Tables, code};
use progressive::{Band, Coefficients, ConstantChannel, Constants, FirstBand, Refinement};
use scan::{Plane, Sequential, SequentialChannel, read_blocks};
use upsample::Upsampler;

/// The most scans of a picture. Each brings new bits of a coefficient, so there could be a few thousand;
/// encoders write about ten.
const MAX_SCANS: usize = 500;

/// A decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
    /// `height x width x 3` bytes, row-major, red, green and blue of a pixel beside each other.
    pub(crate) rgb: Vec<u8>,
}

/// Decodes a JPEG of at most `limit` pixels.
///
/// # Errors
/// [`JpegError`]. Memory for the picture is taken only when the file is long enough to hold one of its
/// size.
pub(crate) fn decode(file: &[u8], limit: u64) -> Result<Picture, JpegError> {
    let mut segments = Segments::open(file)?;
    let mut tables = Tables::default();
    let frame = first_frame(&mut segments, &mut tables)?;
    check_size(&frame, file, limit)?;
    let mut decoder = Decoder::new(frame, tables);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            code::EOI => return decoder.picture(),
            code::SOS => {
                let (file, at) = segments.compressed();
                let behind = decoder.read_scan(&segment, Bits::new(file, at))?;
                segments.skip_to(behind);
            }
            code::SOF0..=0xcf if !matches!(segment.marker, code::DHT | code::DAC) => {
                return Err(segment.refused("SOF", "one frame", "another one"));
            }
            _ => decoder.tables.read(&segment)?,
        }
    }
}

/// Rows and columns of a picture, from its header.
///
/// # Errors
/// [`JpegError`] for a header that cannot be read.
pub(crate) fn size(file: &[u8]) -> Result<(usize, usize), JpegError> {
    let frame = first_frame(&mut Segments::open(file)?, &mut Tables::default())?;
    Ok((frame.height, frame.width))
}

/// The frame of a picture, and the tables before it.
fn first_frame(segments: &mut Segments<'_>, tables: &mut Tables) -> Result<Frame, JpegError> {
    loop {
        let segment = segments.next()?;
        match segment.marker {
            code::SOF0..=0xcf if !matches!(segment.marker, code::DHT | code::DAC) => {
                return Frame::read(&segment);
            }
            code::SOS | code::EOI => {
                return Err(segment.refused("SOF", "a frame first", "a scan or the end"));
            }
            _ => tables.read(&segment)?,
        }
    }
}

/// Every block has at least one bit of its own.
fn check_size(frame: &Frame, file: &[u8], limit: u64) -> Result<(), JpegError> {
    let (height, width) = (frame.height as u64, frame.width as u64);
    if !(1..=limit).contains(&(height * width)) {
        return Err(JpegError::Size { height, width });
    }
    if frame.blocks() / 8 > file.len() {
        return Err(JpegError::Truncated);
    }
    Ok(())
}

/// A picture in the making.
struct Decoder {
    frame: Frame,
    tables: Tables,
    scans: usize,
    /// As the segments before the first scan say.
    color: Option<ColorSpace>,
    parts: Vec<Part>,
}

/// What is known of a component.
enum Part {
    Nothing,
    Samples(Plane),
    Coefficients(Box<Coefficients>),
}

impl Decoder {
    fn new(frame: Frame, tables: Tables) -> Self {
        let parts = frame.components.iter().map(|_| Part::Nothing).collect();
        Self {
            frame,
            tables,
            scans: 0,
            color: None,
            parts,
        }
    }

    /// Reads a scan and returns the position behind it.
    fn read_scan(&mut self, segment: &Segment<'_>, mut bits: Bits<'_>) -> Result<usize, JpegError> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(JpegError::Scans { limit: MAX_SCANS });
        }
        if self.color.is_none() {
            self.color = Some(ColorSpace::of(&self.frame, &self.tables)?);
        }
        let scan = Scan::read(segment, &self.frame)?;
        if self.frame.progressive {
            progressive::check(&scan, segment)?;
            self.read_progressive(&scan, segment, &mut bits)?;
        } else {
            self.read_sequential(&scan, segment, &mut bits)?;
        }
        Ok(bits.position())
    }

    /// Whole components. The band that the header names is not looked at, as libjpeg does not.
    fn read_sequential(
        &mut self,
        scan: &Scan,
        segment: &Segment<'_>,
        bits: &mut Bits<'_>,
    ) -> Result<(), JpegError> {
        for channel in &scan.channels {
            for (ac, number) in [(false, channel.dc), (true, channel.ac)] {
                let tables = &mut self.tables;
                let slots = if ac { &mut tables.ac } else { &mut tables.dc };
                if slots[number].is_none() {
                    slots[number] = standard::table(ac, number);
                }
            }
        }
        let mut channels = Vec::new();
        for channel in &scan.channels {
            let component = &self.frame.components[channel.component];
            if !matches!(self.parts[channel.component], Part::Nothing) {
                let expected = "every component in one scan";
                return Err(segment.refused("SOS", expected, "another scan of one"));
            }
            channels.push(SequentialChannel {
                dc: table(&self.tables.dc, channel.dc, segment)?,
                ac: table(&self.tables.ac, channel.ac, segment)?,
                quantisers: table(&self.tables.quantisers, component.quantiser, segment)?,
                plane: Plane::new(component.block_columns, component.block_rows),
                before: 0,
            });
        }
        let mut reader = Sequential { channels };
        let interval = self.tables.restart_interval;
        read_blocks(bits, &self.frame, scan, interval, self.scans, &mut reader)?;
        for (channel, read) in scan.channels.iter().zip(reader.channels) {
            self.parts[channel.component] = Part::Samples(read.plane);
        }
        Ok(())
    }

    /// Some bits of some coefficients.
    fn read_progressive(
        &mut self,
        scan: &Scan,
        segment: &Segment<'_>,
        bits: &mut Bits<'_>,
    ) -> Result<(), JpegError> {
        let mut parts: Vec<Option<&mut Part>> = self.parts.iter_mut().map(Some).collect();
        let mut channels = Vec::new();
        for channel in &scan.channels {
            let component = &self.frame.components[channel.component];
            let Some(part) = parts[channel.component].take() else {
                continue;
            };
            if let Part::Nothing = part {
                let quantisers = table(&self.tables.quantisers, component.quantiser, segment)?;
                let none = Coefficients::new(component, *quantisers);
                *part = Part::Coefficients(Box::new(none));
            }
            let Part::Coefficients(coefficients) = part else {
                continue;
            };
            coefficients.advance(scan, segment)?;
            let code: Option<&Huffman> = match (scan.first, scan.high) {
                (0, 0) => Some(table(&self.tables.dc, channel.dc, segment)?),
                (0, _) => None,
                _ => Some(table(&self.tables.ac, channel.ac, segment)?),
            };
            channels.push(ConstantChannel {
                coefficients,
                code,
                before: 0,
            });
        }
        let (frame, interval, number) = (&self.frame, self.tables.restart_interval, self.scans);
        if scan.first == 0 {
            let mut reader = Constants {
                channels,
                low: scan.low,
            };
            return read_blocks(bits, frame, scan, interval, number, &mut reader);
        }
        let Some(ConstantChannel {
            coefficients,
            code: Some(code),
            ..
        }) = channels.into_iter().next()
        else {
            return Ok(());
        };
        let band = Band {
            coefficients,
            code,
            first: scan.first,
            last: scan.last,
            low: scan.low,
            ended: 0,
        };
        if scan.high == 0 {
            read_blocks(bits, frame, scan, interval, number, &mut FirstBand(band))
        } else {
            read_blocks(bits, frame, scan, interval, number, &mut Refinement(band))
        }
    }

    /// The pixels, when every component is there.
    fn picture(self) -> Result<Picture, JpegError> {
        let Frame { height, width, .. } = self.frame;
        let mut components = Vec::new();
        for (i, part) in self.parts.into_iter().enumerate() {
            let incomplete = |what| JpegError::Incomplete {
                component: i + 1,
                what,
            };
            let plane = match part {
                Part::Nothing => return Err(incomplete("no scan brought it")),
                Part::Samples(plane) => plane,
                Part::Coefficients(coefficients) => match coefficients.incomplete() {
                    Some(what) => return Err(incomplete(what)),
                    None => coefficients.plane(),
                },
            };
            let component = &self.frame.components[i];
            components.push(Upsampler::new(&self.frame, component, plane));
        }
        let color = self.color.ok_or(JpegError::Truncated)?;
        let mut rgb = vec![0; 3 * height * width];
        for (y, pixels) in rgb.chunks_exact_mut(3 * width).enumerate() {
            let rows: Vec<&[u8]> = components.iter_mut().map(|part| part.row(y)).collect();
            color.convert(&rows, pixels);
        }
        Ok(Picture { height, width, rgb })
    }
}

/// Table `number`, which a segment before the scan must have brought.
fn table<'a, T>(
    tables: &'a [Option<T>; 4],
    number: usize,
    segment: &Segment<'_>,
) -> Result<&'a T, JpegError> {
    let table = tables.get(number).and_then(Option::as_ref);
    table.ok_or_else(|| {
        let got = format!("no table {number}");
        segment.refused("SOS", "the tables of its components before it", got)
    })
}
