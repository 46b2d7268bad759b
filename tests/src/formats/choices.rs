//! Structure from bytes: a fuzzer changes bytes, and each byte is a choice of a generator.

use serde_json::{Value, json};

/// Integers at which code that counts, multiplies or allocates goes wrong.
pub(super) const INTEGERS: [i64; 36] = [
    1,
    2,
    3,
    4,
    0,
    5,
    6,
    7,
    8,
    9,
    12,
    16,
    17,
    -1,
    -2,
    64,
    100,
    255,
    256,
    257,
    1000,
    4096,
    32_768,
    65_535,
    65_536,
    16_777_217,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 53) + 1,
    (1 << 57) + 3,
    1 << 62,
    i64::MAX,
    i64::MIN,
    -(1 << 31),
];

/// Floats that are no ordinary numbers, and some that are.
pub(super) const FLOATS: [f64; 12] = [
    1.0, 0.5, 0.0, -0.0, -1.0, 1e-5, 1e-12, 1e30, 1e300, 1e-300, 5e-324, 255.0,
];

/// Bytes that are read one after the other, each as a choice; after the last one every choice is the first.
pub(super) struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether all bytes are read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        byte
    }

    /// A number below `count`, which is at most 256 and not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    pub(super) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// True in one of `times` cases.
    pub(super) fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(super) fn integer(&mut self) -> i64 {
        self.one_of(&INTEGERS)
    }

    /// A few integers, most often as many as `usual`.
    pub(super) fn integers(&mut self, usual: usize) -> Vec<i64> {
        let count = match self.byte() {
            0..200 => usual,
            other => usize::from(other) % 6,
        };
        (0..count).map(|_| self.integer()).collect()
    }

    /// A JSON value, not deeper than `depth` levels.
    pub(super) fn json(&mut self, words: &[&str], depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 | 1 => json!(self.integer()),
            2 => json!(self.one_of(&FLOATS)),
            3 => json!(self.one_of(words)),
            4 => json!(self.rarely(2)),
            5 => match self.below(4) {
                0 => Value::Null,
                1 => json!(u64::MAX),
                2 => json!("\u{1b}]0;x\u{7}"),
                _ => json!(self.integer().to_string()),
            },
            6 => json!(self.integers(2)),
            7 => (0..self.below(4))
                .map(|_| self.json(words, depth - 1))
                .collect(),
            _ => (0..self.below(4))
                .map(|_| (self.one_of(words).to_owned(), self.json(words, depth - 1)))
                .collect(),
        }
    }

    /// A JSON object with some of the keys.
    pub(super) fn object(&mut self, keys: &[&str], words: &[&str]) -> Value {
        let mut object = serde_json::Map::new();
        for _ in 0..self.below(8) {
            let key = self.one_of(keys).to_owned();
            object.insert(key, self.json(words, 3));
        }
        Value::Object(object)
    }
}
