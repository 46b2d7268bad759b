//! The configuration that lies beside the weights.

use std::path::Path;

use disk::{MOST_SETTINGS, Place};

use super::{is_there, malformed};
use crate::ModelError;

/// Name of the configuration in the transformers and timm conventions.
const CONFIG: &str = "config.json";

/// The configuration of a weight file `a.b.safetensors`: the first of `a.b.config.json`,
/// `a.config.json` and `config.json` in its folder.
pub(super) fn beside(weights: &Path) -> Result<Option<serde_json::Value>, ModelError> {
    let place = Place::beside(weights)?;
    let name = weights.file_name().and_then(|name| name.to_str());
    let mut stem = name.unwrap_or_default();
    while let Some((shorter, _)) = stem.rsplit_once('.') {
        stem = shorter;
        let own = weights.with_file_name(format!("{stem}.{CONFIG}"));
        if is_there(&own) {
            return read(&place, &own).map(Some);
        }
    }
    let shared = weights.with_file_name(CONFIG);
    is_there(&shared).then(|| read(&place, &shared)).transpose()
}

/// Reads a JSON object.
pub(super) fn read(place: &Place, path: &Path) -> Result<serde_json::Value, ModelError> {
    let origin = path.display().to_string();
    let value: serde_json::Value = serde_json::from_slice(&place.read(path, MOST_SETTINGS)?)
        .map_err(|error| malformed("JSON", &origin, error.to_string()))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(malformed("JSON", &origin, "expected an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_configuration_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("a.random.safetensors");
        std::fs::write(&weights, "").unwrap();
        assert_eq!(beside(&weights).unwrap(), None);
        for (name, value) in [
            ("config.json", 1),
            ("a.config.json", 2),
            ("a.random.config.json", 3),
        ] {
            std::fs::write(folder.path().join(name), format!("{{\"dim\": {value}}}")).unwrap();
            assert_eq!(beside(&weights).unwrap().unwrap()["dim"], value, "{name}");
        }
    }

    #[test]
    fn a_configuration_that_is_no_json_object_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        std::fs::write(&weights, "").unwrap();
        for (text, defect) in [("{\"dim\": 3", "line 1"), ("[3]", "expected an object")] {
            std::fs::write(folder.path().join("config.json"), text).unwrap();
            let refusal = beside(&weights).unwrap_err().to_string();
            assert!(
                refusal.contains("config.json") && refusal.contains(defect),
                "{refusal}"
            );
        }
    }
}
