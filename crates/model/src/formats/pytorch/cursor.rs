//! Bytes that are read from the front, none of them twice.

/// What is left of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> Cursor<'p> {
    /// At the first of some bytes.
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that are read already.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn rest(&self) -> &'p [u8] {
        &self.bytes[self.at..]
    }

    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'p [u8], String> {
        let rest = self.rest();
        let taken = rest
            .get(..count)
            .ok_or_else(|| format!("{count} bytes are announced, {} are left", rest.len()))?;
        self.at += count;
        Ok(taken)
    }

    /// The next bytes, of a number known beforehand.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        <[u8; N]>::try_from(taken).map_err(|_| "the bytes end".to_owned())
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A little-endian number of at most eight bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, String> {
        let taken = self.take(bytes)?;
        let digits = taken.iter().rev();
        Ok(digits.fold(0u64, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A little-endian length.
    pub(super) fn length(&mut self, bytes: usize) -> Result<usize, String> {
        let length = self.number(bytes)?;
        usize::try_from(length).map_err(|_| format!("{length} bytes are announced"))
    }

    /// The bytes up to the next line feed, which is left out.
    pub(super) fn line(&mut self) -> Result<&'p [u8], String> {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or("a line does not end")?;
        self.at += end + 1;
        let line = &rest[..end];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// A line of UTF-8.
    pub(super) fn text_line(&mut self) -> Result<&'p str, String> {
        std::str::from_utf8(self.line()?).map_err(|_| "a line is no UTF-8".to_owned())
    }
}
