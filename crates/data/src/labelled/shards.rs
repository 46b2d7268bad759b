//! Which parquet files are the shards of one split: `train-00000-of-00002.parquet` and the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::PassedOver;
use crate::error::wrong;
use crate::{DataError, file};

/// The files of one split, and what lies beside them.
pub(super) struct Shards {
    pub(super) files: Vec<PathBuf>,
    pub(super) passed_over: PassedOver,
}

/// One file; other shards of its split are passed over.
pub(super) fn alone(path: &Path) -> Shards {
    let mut passed_over = PassedOver::default();
    if let Some((stem, _, _)) = shard(&file::name(path)) {
        let folder = path.parent().unwrap_or(Path::new("."));
        for other in files(folder).unwrap_or_default() {
            let same = shard(&file::name(&other)).is_some_and(|(name, _, _)| name == stem);
            if same && file::name(&other) != file::name(path) {
                let reason = "other shards of the split";
                passed_over.add(reason, || other.display().to_string());
            }
        }
    }
    Shards {
        files: vec![path.to_owned()],
        passed_over,
    }
}

/// The shards in a folder, or in `data` in it; none for a folder without parquet files.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::Labelled`] for more than one split and for a missing shard.
pub(super) fn in_folder(folder: &Path) -> Result<Option<Shards>, DataError> {
    let data = folder.join("data");
    let mut found = files(folder)?;
    if found.is_empty() && data.is_dir() {
        found = files(&data)?;
    }
    let mut splits: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
    for path in &found {
        let name = file::name(path);
        let (stem, number, count) = shard(&name).unwrap_or((name, 0, 1));
        splits.entry(stem).or_default().push((number, count));
    }
    let mut splits = splits.into_iter();
    let (split, mut numbers) = match (splits.next(), splits.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only,
        (Some((first, _)), Some((second, _))) => {
            let more = if splits.next().is_some() {
                " and more"
            } else {
                ""
            };
            let expected = "the shards of one split; name the file to read instead";
            let got = format!("{first}, {second}{more}");
            return Err(wrong(folder, "parquet files", expected, got));
        }
    };
    numbers.sort_unstable();
    let count = numbers.first().map_or(0, |(_, count)| *count);
    let whole = numbers
        .iter()
        .copied()
        .eq((0..count).map(|number| (number, count)));
    if !whole {
        let expected = format!("{count} shards of {split}");
        let numbers: Vec<String> = numbers
            .iter()
            .map(|(number, _)| number.to_string())
            .collect();
        let got = format!("the numbers {}", numbers.join(", "));
        return Err(wrong(folder, "parquet files", expected, got));
    }
    Ok(Some(Shards {
        files: found,
        passed_over: PassedOver::default(),
    }))
}

/// The parquet files in a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = crate::image::listing::sorted_entries(folder)?;
    paths.retain(|path| {
        let parquet = path.extension().is_some_and(|ending| ending == "parquet");
        parquet && path.is_file()
    });
    Ok(paths)
}

/// The split, number and count of `train-00000-of-00002.parquet`.
fn shard(name: &str) -> Option<(String, u32, u32)> {
    let (rest, count) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    let (split, number) = rest.rsplit_once('-')?;
    // Some hubs append a checksum to the count.
    let count = count.split('-').next()?;
    Some((split.to_owned(), number.parse().ok()?, count.parse().ok()?))
}
