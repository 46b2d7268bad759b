//! An IDX file of grey pictures and the one of their labels.

use std::path::{Path, PathBuf};

use super::{LabelledSet, Reader, identities, numbered, rows, wrong};
use crate::{DataError, Dataset, idx};

/// Pictures of any size, pixels divided by 255.
pub(super) fn read(
    reader: &Reader<'_>,
    images: &Path,
    labels: Option<&Path>,
) -> Result<LabelledSet, DataError> {
    let labels = labels.map_or_else(|| labels_beside(images), |labels| Ok(labels.to_owned()))?;
    let pixels = idx::read(images, 3)?;
    let classes = idx::read(&labels, 1)?;
    let available = pixels.shape[0];
    if available != classes.shape[0] {
        return Err(DataError::LabelCount {
            images: images.to_owned(),
            labels,
            expected: available,
            got: classes.shape[0],
        });
    }
    let chosen = reader.chosen(available);
    let shape = pixels.shape[1..].to_vec();
    let size = shape.iter().product();
    let pictures = Dataset::new(
        shape,
        rows(&pixels.values, size, &chosen)
            .map(|&level| f32::from(level) / 255.0)
            .collect(),
        rows(&classes.values, 1, &chosen)
            .map(|&label| usize::from(label))
            .collect(),
        reader.classes,
        identities(images, &chosen)?,
    )?;
    Ok(LabelledSet {
        dataset: reader.pictures(images, pictures)?,
        names: numbered(images, &chosen),
        available,
    })
}

/// `t10k-labels-idx1-ubyte.gz` for `t10k-images-idx3-ubyte.gz`, whether compressed or not.
fn labels_beside(images: &Path) -> Result<PathBuf, DataError> {
    let name = images
        .file_name()
        .map_or_else(String::new, |name| name.display().to_string());
    let renamed = name.replace("images", "labels").replace("idx3", "idx1");
    if renamed == name {
        let expected = "`images` or `idx3` in its name, or the file of its labels";
        return Err(wrong(images, "labels of an IDX file", expected, "neither"));
    }
    let other = match renamed.strip_suffix(".gz") {
        Some(plain) => plain.to_owned(),
        None => format!("{renamed}.gz"),
    };
    let expected = format!("{renamed} or {other} beside it");
    [renamed, other]
        .iter()
        .map(|name| images.with_file_name(name))
        .find(|path| path.is_file())
        .ok_or_else(|| wrong(images, "labels of an IDX file", expected, "neither"))
}
