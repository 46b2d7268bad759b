//! A safetensors file with the tensors `inputs` and `labels`.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{Intake, LabelledSet, Reader, identities, io_error, numbered, rows, wrong};
use crate::{DataError, Dataset};

/// `inputs` of `f32` are what the network takes; those of `u8` are pictures, `[n, rows, columns]` or
/// `[n, channels, rows, columns]`.
pub(super) fn read(reader: &Reader<'_>, path: &Path) -> Result<LabelledSet, DataError> {
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|source| DataError::Batch {
        path: path.to_owned(),
        source,
    })?;
    let tensor = |name: &str| {
        tensors.tensor(name).map_err(|_| {
            let mut names = tensors.names();
            names.sort_unstable();
            let got = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            wrong(path, "tensors", format!("one called `{name}`"), got)
        })
    };
    let (inputs, labels) = (tensor("inputs")?, tensor("labels")?);
    let Some((&available, shape)) = inputs.shape().split_first() else {
        return Err(wrong(path, "shape of `inputs`", "[n, ..]", "[]"));
    };
    if labels.shape() != [available] {
        let got = format!("{:?}", labels.shape());
        return Err(wrong(
            path,
            "shape of `labels`",
            format!("[{available}]"),
            got,
        ));
    }
    let chosen = reader.chosen(available);
    let pictures = inputs.dtype() == Dtype::U8;
    let size = shape.iter().product();
    let numbers: Vec<f32> = match inputs.dtype() {
        Dtype::U8 => rows(inputs.data(), size, &chosen)
            .map(|&level| f32::from(level) / 255.0)
            .collect(),
        Dtype::F32 => {
            let (chunks, _) = inputs.data().as_chunks::<4>();
            rows(chunks, size, &chosen)
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect()
        }
        other => {
            let got = format!("{other:?}");
            return Err(wrong(path, "type of `inputs`", "F32 or U8", got));
        }
    };
    let dataset = Dataset::new(
        shape.to_vec(),
        numbers,
        classes(path, &labels, &chosen)?,
        reader.classes,
        identities(path, &chosen)?,
    )?;
    Ok(LabelledSet {
        dataset: if pictures {
            reader.pictures(path, dataset)?
        } else {
            as_taken(reader, path, dataset)?
        },
        names: numbered(path, &chosen),
        available,
    })
}

/// The integers at `positions` of a tensor of labels.
fn classes(
    path: &Path,
    labels: &TensorView<'_>,
    positions: &[usize],
) -> Result<Vec<usize>, DataError> {
    let dtype = labels.dtype();
    let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64);
    let unsigned = matches!(dtype, Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64);
    if !signed && !unsigned {
        return Err(wrong(
            path,
            "type of `labels`",
            "integers",
            format!("{dtype:?}"),
        ));
    }
    let size = dtype.bitsize() / 8;
    let class = |&row: &usize| {
        let bytes = &labels.data()[row * size..(row + 1) * size];
        let negative = signed && bytes.last().is_some_and(|&high| high >= 0x80);
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(wide))
            .ok()
            .filter(|_| !negative)
            .ok_or_else(|| {
                let got = format!("another one in row {row}");
                wrong(path, "values of `labels`", "numbers of classes", got)
            })
    };
    positions.iter().map(class).collect()
}

/// Inputs that need no preparation, their shape checked.
fn as_taken(reader: &Reader<'_>, path: &Path, mut dataset: Dataset) -> Result<Dataset, DataError> {
    let expected = match (reader.intake, &dataset.shape[..]) {
        (Intake::Vector { features }, _) if dataset.example_len() == *features => {
            dataset.shape = vec![*features];
            return Ok(dataset);
        }
        (Intake::Images(_), [3, _, _]) | (Intake::Tokens(_), [2, _]) => return Ok(dataset),
        (Intake::Vector { features }, _) => format!("[n, {features}]"),
        (Intake::Images(_), _) => "[n, 3, rows, columns]".to_owned(),
        (Intake::Tokens(_), _) => "[n, 2, tokens]".to_owned(),
    };
    let got = format!(
        "[n, {}]",
        dataset
            .shape
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    Err(wrong(path, "shape of `inputs` in F32", expected, got))
}
