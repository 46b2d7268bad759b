//! Huffman codes (T.81, annex C and F.2.2).
//!
//! A table lists how many codes of each length 1 to 16 there are and what they stand for, in the order
//! of the codes. Codes of one length are consecutive numbers, the first being twice the number after
//! the last shorter one:
//!
//! ```text
//! first(l + 1) = 2 (first(l) + count(l)),   first(1) = 0,
//! code c of length l is symbol  offset(l) + c - first(l)
//! ```
//!
//! No code is all ones, so `first(l) + count(l) < 2^l` for every length. A symbol's lower four bits are
//! the number of bits of the coefficient that follows the code; both are looked up together where they
//! have at most ten bits.

use super::bits::{Bits, extend};
use super::error::Damage;

/// Bits that are looked up together.
const LOOKUP: u32 = 10;
/// In an entry: the coefficient is not included.
const BARE: u32 = 0x80;

/// A code as a decoder uses it.
#[derive(Clone)]
pub(super) struct Huffman {
    /// By the next bits: coefficient (16 bits), symbol (8), `BARE` (1), bits to consume (7), which are 0
    /// where the code is longer.
    entries: Vec<u32>,
    /// By length: the first code that is longer, as a number of 16 bits.
    bounds: [u32; 17],
    /// By length: position of the symbol of code 0, which may be virtual.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// A code of `counts[l - 1]` codes of length `l` for `symbols`, as many as the counts say. `None`
    /// when there are more codes of a length than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            entries: vec![0; 1 << LOOKUP],
            bounds: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_owned(),
        };
        let (mut code, mut position) = (0_u32, 0_usize);
        for length in 1..=16 {
            table.offsets[length] = position as i32 - code as i32;
            for _ in 0..counts[length - 1] {
                // The last code of a length would be all ones.
                if code + 1 >= 1 << length {
                    return None;
                }
                let symbol = *symbols.get(position)?;
                table.enter(code, length as u32, symbol);
                code += 1;
                position += 1;
            }
            table.bounds[length] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// All entries that begin with a code.
    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        let Some(free) = LOOKUP.checked_sub(length) else {
            return;
        };
        let size = u32::from(symbol & 15);
        let first = (code << free) as usize;
        for (follow, entry) in self.entries[first..].iter_mut().take(1 << free).enumerate() {
            let symbol = u32::from(symbol) << 8;
            *entry = match free.checked_sub(size) {
                Some(behind) => {
                    let value = extend(follow as u32 >> behind, size);
                    (value as u32) << 16 | symbol | (length + size)
                }
                None => symbol | BARE | length,
            };
        }
    }

    /// The next symbol and the coefficient behind it, whose size is the symbol's lower four bits.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Result<(u8, i32), Damage> {
        bits.refill();
        let entry = self.entries[bits.peek(LOOKUP)];
        let (symbol, length) = ((entry >> 8) as u8, entry & 0x7f);
        if length == 0 {
            return self.read_long(bits);
        }
        bits.consume(length);
        let value = if entry & BARE == 0 {
            entry as i32 >> 16
        } else {
            bits.signed(u32::from(symbol & 15))
        };
        Ok((symbol, value))
    }

    #[cold]
    fn read_long(&self, bits: &mut Bits<'_>) -> Result<(u8, i32), Damage> {
        let next = bits.peek(16) as u32;
        let mut longer = LOOKUP as usize + 1..=16;
        let length = longer
            .find(|&length| next < self.bounds[length])
            .ok_or(Damage::Code)?;
        let position = self.offsets[length] + (next >> (16 - length)) as i32;
        let symbol = usize::try_from(position)
            .ok()
            .and_then(|position| self.symbols.get(position))
            .ok_or(Damage::Code)?;
        bits.consume(length as u32);
        Ok((*symbol, bits.signed(u32::from(symbol & 15))))
    }
}
