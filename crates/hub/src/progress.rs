//! How a download reports on itself.

use std::time::Duration;

/// Listens to a download. Every method does nothing unless it is implemented.
pub trait Progress {
    /// A transfer begins: file name, its size in bytes if known, and bytes that are there already.
    fn begin(&mut self, _file: &str, _size: Option<u64>, _have: u64) {}

    /// Bytes of the file that are there now; falls back when a server makes the file start again.
    fn at(&mut self, _bytes: u64) {}

    /// An attempt failed for `_reason`; the next one starts after `_pause`.
    fn retry(&mut self, _reason: &str, _attempt: u32, _pause: Duration) {}

    /// The transfer ended, well or not.
    fn end(&mut self) {}
}

/// Reports nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
