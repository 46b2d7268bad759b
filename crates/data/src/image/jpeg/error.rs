//! Why a JPEG has no picture.

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum JpegError {
    /// The bytes do not begin as a JPEG does.
    #[error("expected a start-of-image marker (ff d8), got {got}")]
    Start {
        /// The first two bytes.
        got: String,
    },
    /// The bytes end before the picture does.
    #[error("the file ends before its end-of-image marker")]
    Truncated,
    /// A picture of no pixel, or of too many.
    #[error("a picture of {height} x {width} pixels")]
    Size {
        /// Rows.
        height: u64,
        /// Columns.
        width: u64,
    },
    /// A part of the standard that this decoder does not know.
    #[error("{what} is not supported")]
    Unsupported {
        /// The part, with its article or number.
        what: String,
    },
    /// A marker segment says what it may not.
    #[error("{segment} segment at byte {at}: expected {expected}, got {got}")]
    Segment {
        /// Its name in the standard.
        segment: &'static str,
        /// Position of its marker.
        at: usize,
        /// What would do.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// The compressed data of a scan cannot be what an encoder wrote.
    #[error("scan {scan}, unit {unit}: {damage}")]
    Scan {
        /// Number of the scan, from 1.
        scan: usize,
        /// Number of the block or of the group of interleaved blocks, from 0.
        unit: usize,
        /// What is wrong there.
        damage: Damage,
    },
    /// All scans were read and the picture is still not known.
    #[error("component {component}: {what}")]
    Incomplete {
        /// Number of the component, from 1.
        component: usize,
        /// What is missing.
        what: &'static str,
    },
    /// More scans than any encoder writes.
    #[error("more than {limit} scans")]
    Scans {
        /// The most.
        limit: usize,
    },
}

impl JpegError {
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

/// What is wrong with a scan's compressed data.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The next bits are no code of the table.
    #[error("the next bits are no Huffman code of the table")]
    Code,
    /// A coefficient lies past the last one of its block or band.
    #[error("a run of zeros leads past the last coefficient")]
    Run,
    /// A refinement scan brings a coefficient that is not one unit.
    #[error("expected a coefficient of magnitude 1 in a refinement scan, got {bits} bits")]
    Refinement {
        /// Bits of its magnitude.
        bits: u8,
    },
    /// A coefficient does not fit in 16 bits.
    #[error("a coefficient of more than 16 bits")]
    Overflow,
    /// A marker comes before all blocks did.
    #[error("the compressed data end before the picture does")]
    Early,
    /// The file ends before all blocks came.
    #[error("the file ends in the compressed data")]
    EndOfFile,
    /// Restart markers do not follow each other.
    #[error("expected restart marker {expected}, got marker {got:#04x}")]
    Restart {
        /// From 0 to 7.
        expected: u8,
        /// Second byte of the marker that is there.
        got: u8,
    },
}
