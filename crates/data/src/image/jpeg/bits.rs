//! The bits of a scan: entropy-coded segments (T.81, B.1.1.5).
//!
//! Bytes are read from the most significant bit on. A byte `ff` is followed by a stuffed `00`; an `ff`
//! followed by anything else is a marker, at which the segment ends. Further `ff` between the two are
//! fill and are skipped, as libjpeg skips them.

use super::error::Damage;

/// Reads bits up to the next marker.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    /// Position of the first byte that is not in the buffer; never behind a marker.
    at: usize,
    /// Bits to come, from the most significant on; zeros behind the last of `count`.
    buffer: u64,
    count: u32,
    /// Whether more bits were consumed than there are.
    overrun: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(file: &'a [u8], at: usize) -> Self {
        Self {
            file,
            at,
            buffer: 0,
            count: 0,
            overrun: false,
        }
    }

    /// Position from which the next marker is to be searched.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Makes at least 32 bits available, or all that are left before the marker.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.count < 32 {
            self.fill();
        }
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(&[a, b, c, d]) = self.file.get(self.at..self.at + 4)
            && [a, b, c, d].iter().all(|&byte| byte != 0xff)
        {
            let word = u32::from_be_bytes([a, b, c, d]);
            self.buffer |= u64::from(word) << (32 - self.count);
            self.count += 32;
            self.at += 4;
            return;
        }
        self.fill_bytewise();
    }

    #[cold]
    fn fill_bytewise(&mut self) {
        while self.count <= 56 {
            let Some(byte) = self.next_byte() else {
                return;
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.file.get(self.at)?;
        if byte != 0xff {
            self.at += 1;
            return Some(byte);
        }
        let mut next = self.at + 1;
        while self.file.get(next) == Some(&0xff) {
            next += 1;
        }
        if self.file.get(next) != Some(&0) {
            return None;
        }
        self.at = next + 1;
        Some(byte)
    }

    /// The next `count` bits, 1 to 32, zeros behind the last one; they stay.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Drops `count` bits, at most 31.
    #[inline(always)]
    pub(super) fn consume(&mut self, count: u32) {
        self.overrun |= count > self.count;
        self.buffer <<= count;
        self.count = self.count.saturating_sub(count);
    }

    /// The next `count` bits, 0 to 16, as a number.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        self.refill();
        let value = self.peek(count) as u32;
        self.consume(count);
        value
    }

    /// A coefficient of `size` bits, 0 to 15 (T.81, F.2.2.1, `EXTEND`): the upper half of the numbers
    /// of that many bits stands for themselves, the lower half for `-2^size + 1` and up.
    #[inline]
    pub(super) fn signed(&mut self, size: u32) -> i32 {
        extend(self.take(size), size)
    }

    /// An error if more bits were consumed than there are.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Damage> {
        if self.overrun {
            return Err(self.exhausted());
        }
        Ok(())
    }

    #[cold]
    fn exhausted(&self) -> Damage {
        match self.marker() {
            Some(_) => Damage::Early,
            None => Damage::EndOfFile,
        }
    }

    /// Second byte of the next marker and the position behind it.
    fn marker(&self) -> Option<(u8, usize)> {
        let rest = self.file.get(self.at..)?;
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        let offset = rest.windows(2).position(is_marker)?;
        Some((rest[offset + 1], self.at + offset + 2))
    }

    /// Steps over restart marker `expected`, 0 to 7. Bytes before it are skipped, as libjpeg skips them.
    pub(super) fn restart(&mut self, expected: u8) -> Result<(), Damage> {
        let (marker, behind) = self.marker().ok_or(Damage::EndOfFile)?;
        if marker != 0xd0 + expected {
            return Err(Damage::Restart {
                expected,
                got: marker,
            });
        }
        *self = Self::new(self.file, behind);
        Ok(())
    }
}

/// See [`Bits::signed`].
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let bits = bits as i32;
    if size > 0 && bits < 1 << (size - 1) {
        bits - (1 << size) + 1
    } else {
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_bytes_are_data_and_markers_end_them() {
        let file = [0x12, 0xff, 0x00, 0x34, 0xff, 0xff, 0x00, 0xab, 0xff, 0xd9];
        let mut bits = Bits::new(&file, 0);
        let read: Vec<u32> = (0..5).map(|_| bits.take(8)).collect();
        assert_eq!(read, [0x12, 0xff, 0x34, 0xff, 0xab]);
        assert_eq!(bits.check(), Ok(()));
        assert_eq!(bits.take(3), 0);
        assert_eq!(bits.check(), Err(Damage::Early));
        let mut cut = Bits::new(&file[..4], 3);
        cut.take(9);
        assert_eq!(cut.check(), Err(Damage::EndOfFile));
    }

    #[test]
    fn restart_markers_come_in_turn() {
        let file = [0x80, 0xff, 0xd0, 0x40, 0x00, 0xff, 0xd2, 0xff, 0xd9];
        let mut bits = Bits::new(&file, 0);
        assert_eq!(bits.take(1), 1);
        bits.restart(0).unwrap();
        assert_eq!(bits.take(2), 1);
        let got = 0xd2;
        assert_eq!(bits.restart(1), Err(Damage::Restart { expected: 1, got }));
        bits.restart(2).unwrap();
        assert_eq!(bits.position(), 7);
        assert_eq!(Bits::new(&file[..2], 0).restart(0), Err(Damage::EndOfFile));
    }

    #[test]
    fn magnitudes_have_signs() {
        let of =
            |size: u32| -> Vec<i32> { (0..1 << size).map(|bits| extend(bits, size)).collect() };
        assert_eq!(of(0), [0]);
        assert_eq!(of(1), [-1, 1]);
        assert_eq!(of(3), [-7, -6, -5, -4, 4, 5, 6, 7]);
    }
}
