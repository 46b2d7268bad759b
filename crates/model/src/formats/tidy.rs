//! Names of tensors that wrappers and pruning changed.

use std::collections::BTreeMap;

use super::{StoredTensor, decode, encode};
use crate::Note;

/// What wrappers put in front of every name: `DataParallel`, `torch.compile`, a class that holds the network.
const WRAPPERS: [&str; 6] = [
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "_forward_module.",
];

/// Counter that `AveragedModel` keeps beside the network.
const AVERAGED: &str = "n_averaged";

/// Ends of the names that pruning gives to a tensor and to its mask.
const ORIGINAL: &str = "_orig";
const MASK: &str = "_mask";

/// Undoes pruning and wrappers; returns the prefix that was taken from every name.
///
/// Fails, by name, for a mask that does not fit its tensor.
pub(super) fn tidy(
    tensors: &mut Vec<StoredTensor>,
    notes: &mut Vec<Note>,
) -> Result<String, String> {
    apply_masks(tensors, notes)?;
    let counters = tensors.len();
    if tensors
        .iter()
        .any(|tensor| tensor.name.starts_with(WRAPPERS[0]))
    {
        tensors.retain(|tensor| tensor.name != AVERAGED);
    }
    if tensors.len() < counters {
        notes.push(Note::Read(format!("the counter `{AVERAGED}` is not read")));
    }
    let mut stripped = String::new();
    while let Some(prefix) = common(tensors) {
        for tensor in tensors.iter_mut() {
            tensor.name.drain(..prefix.len());
        }
        stripped.push_str(prefix);
    }
    if !stripped.is_empty() {
        notes.push(Note::Read(format!(
            "`{stripped}` is taken from the front of every name"
        )));
    }
    Ok(stripped)
}

/// The wrapper that all names start with.
fn common(tensors: &[StoredTensor]) -> Option<&'static str> {
    let wraps = |prefix: &&str| {
        let is_longer = |tensor: &StoredTensor| {
            let rest = tensor.name.strip_prefix(*prefix);
            rest.is_some_and(|rest| !rest.is_empty())
        };
        !tensors.is_empty() && tensors.iter().all(is_longer)
    };
    WRAPPERS.iter().copied().find(wraps)
}

/// `weight = weight_orig · weight_mask`, elementwise, which is exact: a mask holds zeros and ones.
fn apply_masks(tensors: &mut Vec<StoredTensor>, notes: &mut Vec<Note>) -> Result<(), String> {
    let places: BTreeMap<String, usize> = tensors
        .iter()
        .enumerate()
        .map(|(place, tensor)| (tensor.name.clone(), place))
        .collect();
    let mut masks = Vec::new();
    for place in 0..tensors.len() {
        let Some(name) = tensors[place].name.strip_suffix(ORIGINAL) else {
            continue;
        };
        let name = name.to_owned();
        let Some(&mask) = places.get(&format!("{name}{MASK}")) else {
            continue;
        };
        if places.contains_key(&name) {
            return Err(format!("tensor `{name}` is there pruned and unpruned"));
        }
        tensors[place].bytes = masked(&tensors[place], &tensors[mask])?;
        tensors[place].name = name;
        masks.push(mask);
    }
    if masks.is_empty() {
        return Ok(());
    }
    let count = masks.len();
    let mut place = 0;
    tensors.retain(|_| {
        place += 1;
        !masks.contains(&(place - 1))
    });
    notes.push(Note::Read(format!(
        "{count} pruned {} times {} mask",
        if count == 1 {
            "tensor is"
        } else {
            "tensors are"
        },
        if count == 1 { "its" } else { "their" },
    )));
    Ok(())
}

fn masked(tensor: &StoredTensor, mask: &StoredTensor) -> Result<Vec<u8>, String> {
    let refused = |reason: String| format!("tensor `{}` {reason}", mask.name);
    if mask.shape != tensor.shape {
        return Err(refused(format!(
            "has shape {:?}, `{}` has {:?}",
            mask.shape, tensor.name, tensor.shape
        )));
    }
    let factors = match decode(&mask.bytes, mask.dtype) {
        Some(factors) => factors,
        None if mask.dtype == super::Dtype::BOOL => {
            mask.bytes.iter().map(|&byte| f64::from(byte)).collect()
        }
        None => return Err(refused(format!("has dtype {:?}", mask.dtype))),
    };
    if let Some(other) = factors
        .iter()
        .find(|&&factor| factor != 0.0 && factor != 1.0)
    {
        return Err(refused(format!("holds {other}, expected zeros and ones")));
    }
    let numbers = decode(&tensor.bytes, tensor.dtype);
    let product = numbers.and_then(|numbers| {
        let products: Vec<f64> = numbers.iter().zip(&factors).map(|(x, m)| x * m).collect();
        encode(&products, tensor.dtype)
    });
    product.ok_or_else(|| refused(format!("is for a tensor of dtype {:?}", tensor.dtype)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    fn tensor(name: &str, numbers: &[f32]) -> StoredTensor {
        StoredTensor {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: vec![numbers.len()],
            bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    fn tidied(mut tensors: Vec<StoredTensor>) -> Result<(Vec<String>, String, Vec<Note>), String> {
        let mut notes = Vec::new();
        let prefix = tidy(&mut tensors, &mut notes)?;
        let names = tensors.into_iter().map(|tensor| tensor.name).collect();
        Ok((names, prefix, notes))
    }

    #[test]
    fn wrappers_around_every_name_are_taken_away_and_said() {
        for (given, names, prefix) in [
            (["module.0.w", "module.2.w"], ["0.w", "2.w"], "module."),
            (["_orig_mod.a", "_orig_mod.b"], ["a", "b"], "_orig_mod."),
            (
                ["module.model.a", "module.model.b"],
                ["a", "b"],
                "module.model.",
            ),
            (["model.a", "head.b"], ["model.a", "head.b"], ""),
            (["encoder.a", "encoder.b"], ["encoder.a", "encoder.b"], ""),
            (["model.", "model.b"], ["model.", "model.b"], ""),
            (["module.a", "n_averaged"], ["a", ""], "module."),
        ] {
            let tensors = given.map(|name| tensor(name, &[1.0])).to_vec();
            let (got, stripped, notes) = tidied(tensors).unwrap();
            let expected: Vec<_> = names.iter().filter(|name| !name.is_empty()).collect();
            assert_eq!(got.iter().collect::<Vec<_>>(), expected);
            assert_eq!(stripped, prefix);
            let said = notes.iter().any(|note| note.text().contains(prefix));
            assert!(prefix.is_empty() == notes.is_empty() && (prefix.is_empty() || said));
        }
    }

    #[test]
    fn pruned_weights_are_times_their_masks_bit_for_bit() {
        let mut tensors = vec![
            tensor("a.weight_orig", &[0.1, -0.2, 3e38]),
            tensor("a.bias", &[1.0]),
            tensor("a.weight_mask", &[1.0, 0.0, 1.0]),
        ];
        let mut notes = Vec::new();
        tidy(&mut tensors, &mut notes).unwrap();
        assert_eq!(tensors[0], tensor("a.weight", &[0.1, -0.0, 3e38]));
        assert_eq!(tensors.len(), 2);
        assert_eq!(notes[0].text(), "1 pruned tensor is times its mask");
    }

    #[test]
    fn masks_that_do_not_fit_are_refused_by_name() {
        let refusals = [
            (tensor("w_mask", &[1.0]), "[1]"),
            (tensor("w_mask", &[1.0, 0.5]), "0.5"),
            (tensor("w_mask", &[1.0, f32::NAN]), "NaN"),
        ];
        for (mask, words) in refusals {
            let refusal = tidied(vec![tensor("w_orig", &[1.0, 2.0]), mask]).unwrap_err();
            assert!(
                refusal.contains("`w_mask`") && refusal.contains(words),
                "{refusal}"
            );
        }
        let twice = ["w_orig", "w_mask", "w"].map(|name| tensor(name, &[1.0]));
        assert!(
            tidied(twice.to_vec())
                .unwrap_err()
                .contains("pruned and unpruned")
        );
        // A mask without its tensor is a tensor like any other.
        let alone = tidied(vec![tensor("w_mask", &[1.0])]).unwrap();
        assert_eq!(alone.0, ["w_mask"]);
    }
}
