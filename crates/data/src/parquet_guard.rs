//! A guard around the `parquet` crate, whose decoder of pages asserts what a damaged page can break.

use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;

use ::parquet::errors::ParquetError;

use crate::DataError;

/// What `read` returns; a panic in it says that `path` is damaged.
pub(crate) fn undamaged<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, DataError> + UnwindSafe,
) -> Result<T, DataError> {
    catch_unwind(read).unwrap_or_else(|_| {
        Err(DataError::Parquet {
            path: path.to_owned(),
            source: ParquetError::General("a page is damaged".to_owned()),
        })
    })
}
