//! Which parquet files are the shards of one split: `train-00000-of-00002.parquet` and the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disk::Place;

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
        for other in files(folder).unwrap_or_default().0 {
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
    let mut passed_over = PassedOver::default();
    let (mut found, mut others) = files(folder)?;
    if found.is_empty() && data.is_dir() {
        let (inside, beside) = files(&data)?;
        found = inside;
        others.retain(|path| *path != data);
        others.extend(beside);
    }
    if found.is_empty() {
        return Ok(None);
    }
    one_split(folder, &found)?;
    let place = Place::of_folder(folder)?;
    for path in &found {
        place.find(path)?;
    }
    for path in others {
        passed_over.add("files beside the shards", || path.display().to_string());
    }
    Ok(Some(Shards {
        files: found,
        passed_over,
    }))
}

/// Checks that files are all shards of one split.
fn one_split(folder: &Path, files: &[PathBuf]) -> Result<(), DataError> {
    let mut splits: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
    for path in files {
        let name = file::name(path);
        let (stem, number, count) = shard(&name).unwrap_or((name, 0, 1));
        splits.entry(stem).or_default().push((number, count));
    }
    if splits.len() > 1 {
        let names: Vec<&str> = splits.keys().take(3).map(String::as_str).collect();
        let expected = "the shards of one split; name the file to read instead";
        let got = format!("{} splits: {}", splits.len(), names.join(", "));
        return Err(wrong(folder, "parquet files", expected, got));
    }
    for (split, mut numbers) in splits {
        numbers.sort_unstable();
        let count = numbers.first().map_or(0, |(_, count)| *count);
        let whole = (0..count).map(|number| (number, count));
        if !numbers.iter().copied().eq(whole) {
            let expected = format!("{count} shards of {split}");
            let numbers: Vec<String> = numbers.iter().map(|pair| pair.0.to_string()).collect();
            let got = format!("the numbers {}", numbers.join(", "));
            return Err(wrong(folder, "parquet files", expected, got));
        }
    }
    Ok(())
}

/// The parquet files in a folder, in the order of their names, and what else lies there.
fn files(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let paths = crate::image::listing::sorted_entries(folder)?;
    let parquet = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "parquet") && path.is_file()
    };
    Ok(paths.into_iter().partition(parquet))
}

/// The split, number and count of `train-00000-of-00002.parquet`.
fn shard(name: &str) -> Option<(String, u32, u32)> {
    let (rest, count) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    let (split, number) = rest.rsplit_once('-')?;
    // Some hubs append a checksum to the count.
    let count = count.split('-').next()?;
    Some((split.to_owned(), number.parse().ok()?, count.parse().ok()?))
}
