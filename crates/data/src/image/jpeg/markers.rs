//! Marker segments (T.81, annex B) and the tables that they bring.
//!
//! ```text
//! SOI, { tables, APPn, COM }, SOF, { tables, SOS, compressed data, { RSTn, compressed data } }, EOI
//! segment = ff, marker, length (2 bytes, itself included), body
//! ```

use super::error::JpegError;
use super::huffman::Huffman;

/// Second bytes of markers.
pub(super) mod code {
    pub(in super::super) const SOF0: u8 = 0xc0;
    pub(in super::super) const SOF2: u8 = 0xc2;
    pub(in super::super) const DHT: u8 = 0xc4;
    pub(in super::super) const DAC: u8 = 0xcc;
    pub(in super::super) const SOI: u8 = 0xd8;
    pub(in super::super) const EOI: u8 = 0xd9;
    pub(in super::super) const SOS: u8 = 0xda;
    pub(in super::super) const DQT: u8 = 0xdb;
    pub(in super::super) const DNL: u8 = 0xdc;
    pub(in super::super) const DRI: u8 = 0xdd;
    pub(in super::super) const APP0: u8 = 0xe0;
    pub(in super::super) const APP14: u8 = 0xee;
    pub(in super::super) const APP15: u8 = 0xef;
    pub(in super::super) const COM: u8 = 0xfe;
}

/// Position in a block, row by row, of the coefficients in the order of the file.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A marker and what belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// Position of the marker.
    pub(super) at: usize,
    pub(super) body: &'a [u8],
}

impl Segment<'_> {
    pub(super) fn refused(
        &self,
        segment: &'static str,
        expected: &'static str,
        got: impl ToString,
    ) -> JpegError {
        JpegError::Segment {
            segment,
            at: self.at,
            expected,
            got: got.to_string(),
        }
    }
}

/// Walks from segment to segment.
pub(super) struct Segments<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Begins behind the start-of-image marker.
    pub(super) fn open(file: &'a [u8]) -> Result<Self, JpegError> {
        match file {
            [0xff, code::SOI, ..] => Ok(Self { file, at: 2 }),
            [] | [0xff] => Err(JpegError::Truncated),
            [first, rest @ ..] => Err(JpegError::Start {
                got: match rest.first() {
                    Some(second) => format!("{first:02x} {second:02x}"),
                    None => format!("{first:02x}"),
                },
            }),
        }
    }

    /// The bytes of the file, and the position behind the last segment.
    pub(super) fn compressed(&self) -> (&'a [u8], usize) {
        (self.file, self.at)
    }

    /// Goes on at `at`.
    pub(super) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The next segment; `EOI` has an empty body.
    ///
    /// Stray bytes before a marker, and markers without a segment, are skipped, as libjpeg skips them.
    pub(super) fn next(&mut self) -> Result<Segment<'a>, JpegError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let is_marker =
            |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7 | 1);
        let offset = rest.windows(2).position(is_marker);
        let offset = offset.ok_or(JpegError::Truncated)?;
        let (at, marker) = (self.at + offset, rest[offset + 1]);
        let mut segment = Segment {
            marker,
            at,
            body: &[],
        };
        self.at = at + 2;
        match marker {
            code::EOI => return Ok(segment),
            code::SOI => {
                return Err(segment.refused("SOI", "one picture", "a second start of image"));
            }
            _ => {}
        }
        let Some(&[high, low]) = self.file.get(self.at..self.at + 2) else {
            return Err(JpegError::Truncated);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(segment.refused("marker", "a length of 2 or more", length));
        }
        let body = self.file.get(self.at + 2..self.at + length);
        segment.body = body.ok_or(JpegError::Truncated)?;
        self.at += length;
        Ok(segment)
    }
}

/// What the segments before a scan set for it.
#[derive(Default)]
pub(super) struct Tables {
    /// Quantisers, in the order of [`ZIGZAG`].
    pub(super) quantisers: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    /// Interleaved groups of blocks between restart markers; none when 0.
    pub(super) restart_interval: usize,
    /// Whether a JFIF segment says that three components are Y, Cb and Cr.
    pub(super) jfif: bool,
    /// The colour transform of Adobe's segment.
    pub(super) adobe_transform: Option<u8>,
}

impl Tables {
    /// Takes in a segment that is no frame, no scan and no end.
    pub(super) fn read(&mut self, segment: &Segment<'_>) -> Result<(), JpegError> {
        match segment.marker {
            code::DQT => self.read_quantisers(segment),
            code::DHT => self.read_codes(segment),
            code::DRI => self.read_restart_interval(segment),
            code::APP0..=code::APP15 | code::COM | code::DAC | code::DNL => {
                self.read_application(segment);
                Ok(())
            }
            marker => Err(JpegError::unsupported(unknown(marker))),
        }
    }

    /// B.2.4.1.
    fn read_quantisers(&mut self, segment: &Segment<'_>) -> Result<(), JpegError> {
        let refused = |expected, got: usize| segment.refused("DQT", expected, got);
        let mut body = segment.body;
        while let Some((&head, rest)) = body.split_first() {
            let (wide, number) = (head >> 4 != 0, usize::from(head & 15));
            let bytes = if wide { 128 } else { 64 };
            let slot = self.quantisers.get_mut(number);
            let slot = slot.ok_or_else(|| refused("table 0 to 3", number))?;
            let Some((values, rest)) = rest.split_at_checked(bytes) else {
                return Err(refused("64 quantisers", rest.len()));
            };
            let table: [u16; 64] = std::array::from_fn(|k| match wide {
                true => u16::from_be_bytes([values[2 * k], values[2 * k + 1]]),
                false => u16::from(values[k]),
            });
            if let Some(k) = table.iter().position(|&quantiser| quantiser == 0) {
                let got = format!("0 at position {k}");
                return Err(segment.refused("DQT", "quantisers above 0", got));
            }
            *slot = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// B.2.4.2.
    fn read_codes(&mut self, segment: &Segment<'_>) -> Result<(), JpegError> {
        let refused = |expected, got: usize| segment.refused("DHT", expected, got);
        let mut body = segment.body;
        while let Some((&head, rest)) = body.split_first() {
            let (class, number) = (head >> 4, usize::from(head & 15));
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return Err(refused("16 numbers of codes", rest.len()));
            };
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            if total > 256 {
                return Err(refused("at most 256 codes", total));
            }
            let Some((symbols, rest)) = rest.split_at_checked(total) else {
                return Err(refused("a symbol for every code", rest.len()));
            };
            let slots = match class {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(refused("class 0 or 1", class.into())),
            };
            let slot = slots.get_mut(number);
            let slot = slot.ok_or_else(|| refused("table 0 to 3", number))?;
            if let Some(&size) = symbols.iter().find(|&&symbol| class == 0 && symbol > 15) {
                return Err(refused("DC differences of at most 15 bits", size.into()));
            }
            let code = Huffman::new(counts, symbols);
            *slot = Some(code.ok_or_else(|| {
                let got = format!("{counts:?}");
                segment.refused("DHT", "numbers of codes that fit their lengths", got)
            })?);
            body = rest;
        }
        Ok(())
    }

    /// B.2.4.4.
    fn read_restart_interval(&mut self, segment: &Segment<'_>) -> Result<(), JpegError> {
        let &[high, low] = segment.body else {
            return Err(segment.refused("DRI", "2 bytes", segment.body.len()));
        };
        self.restart_interval = u16::from_be_bytes([high, low]).into();
        Ok(())
    }

    /// JFIF 1.02, and Adobe's technical note 5116.
    fn read_application(&mut self, segment: &Segment<'_>) {
        match (segment.marker, segment.body) {
            (code::APP0, body) if body.len() >= 14 && body.starts_with(b"JFIF\0") => {
                self.jfif = true;
            }
            (code::APP14, body) if body.len() >= 12 && body.starts_with(b"Adobe") => {
                self.adobe_transform = Some(body[11]);
            }
            _ => {}
        }
    }
}

/// What a marker that is not understood stands for.
pub(super) fn unknown(marker: u8) -> String {
    let process = match marker {
        0xc3 => "lossless coding",
        0xc5..=0xc7 | 0xde | 0xdf => "hierarchical coding",
        0xc9..=0xca => "arithmetic coding",
        0xcb | 0xcd..=0xcf => "arithmetic coding of lossless or hierarchical pictures",
        0xf7 | 0xf8 => "JPEG-LS",
        _ => return format!("marker {marker:#04x}"),
    };
    format!("{process} (marker {marker:#04x})")
}
