//! The weights of a folder, in one file or in shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use disk::{Place, is_plain_name};

use super::{
    Opened, StoredTensor, config, is_there, malformed, of_pytorch, pytorch, read, read_shard,
};
use crate::{Checkpoint, ModelError};

/// Names that the hub's conventions give to weights, in order of preference.
const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// End of the name of a file that lists shards.
const INDEX: &str = ".index.json";

/// Extensions of weight files with any name.
const EXTENSIONS: [&str; 6] = ["safetensors", "bin", "pt", "pth", "onnx", "nnet"];

/// Reads the weights of `folder`.
pub(crate) fn open_folder(
    folder: &Path,
    key: Option<&str>,
    tokens: Option<usize>,
) -> Result<Opened, ModelError> {
    let path = weights_of(folder)?;
    let place = Place::of_folder(folder)?;
    disk::open(&place.find(&path)?)?;
    if !path.display().to_string().ends_with(INDEX) {
        return read(&path, key, tokens);
    }
    let checkpoint = Opened::Tensors(read_shards(&place, &path)?);
    let config = folder.join("config.json");
    Ok(if is_there(&config) {
        checkpoint.with_config(config::read(&place, &config)?)
    } else {
        checkpoint
    })
}

/// The file with a conventional name, else the only weight file.
fn weights_of(folder: &Path) -> Result<PathBuf, ModelError> {
    if let Some(path) = NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| is_there(path))
    {
        return Ok(path);
    }
    let io = |source| ModelError::Io {
        action: "read",
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    let reason = match &found[..] {
        [path] => return Ok(path.clone()),
        [] => format!(
            "expected {} or one file that ends in {}, got none",
            NAMES.join(", "),
            EXTENSIONS.join(", ")
        ),
        several => {
            let names = several.iter().filter_map(|path| path.file_name());
            let names: Vec<_> = names.map(|name| name.display().to_string()).collect();
            format!(
                "expected {} or one weight file, got {}",
                NAMES.join(", "),
                names.join(", ")
            )
        }
    };
    Err(ModelError::Folder {
        folder: folder.to_owned(),
        reason,
    })
}

/// One checkpoint of the shards that an index lists (`weight_map`: tensor to file name).
fn read_shards(place: &Place, index: &Path) -> Result<Checkpoint, ModelError> {
    let origin = index.display().to_string();
    let refused = |reason: String| malformed("JSON", &origin, reason);
    let listed = config::read(place, index)?;
    let listed = listed.get("weight_map").and_then(|map| map.as_object());
    let listed =
        listed.ok_or_else(|| refused("expected an object under `weight_map`".to_owned()))?;
    let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tensor, file) in listed {
        let file = file.as_str().filter(|file| is_plain_name(file));
        let file =
            file.ok_or_else(|| refused(format!("tensor `{tensor}` is in no file of the folder")))?;
        shards.entry(file).or_default().insert(tensor);
    }
    let mut tensors = Vec::new();
    let mut metadata = BTreeMap::new();
    let mut notes = Vec::new();
    let mut is_pickled = false;
    for (file, names) in shards {
        let (shard, pickled) = read_shard(place, &index.with_file_name(file))?;
        is_pickled |= pickled;
        notes.extend_from_slice(shard.notes());
        let held: BTreeSet<&str> = shard.names().collect();
        if let Some(name) = names.symmetric_difference(&held).next() {
            let place = if held.contains(name) {
                "holds"
            } else {
                "lacks"
            };
            return Err(refused(format!(
                "`{file}` {place} tensor `{name}`, the index says otherwise"
            )));
        }
        for name in held {
            tensors.push(StoredTensor {
                name: name.to_owned(),
                dtype: shard.dtype(name)?,
                shape: shard.shape(name)?.to_vec(),
                bytes: shard.raw(name)?.to_vec(),
            });
        }
        metadata.extend(shard.metadata().clone());
    }
    if !is_pickled {
        return Checkpoint::from_tensors(&tensors, &metadata, &origin);
    }
    let contents = pytorch::Contents {
        tensors,
        forward: None,
        notes,
    };
    // Shards keep no order of all tensors.
    of_pytorch(contents, Vec::new(), &origin)
}
