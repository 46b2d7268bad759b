//! MNIST, and other sets of 28 x 28 grey images with ten classes in its format.
//!
//! The database is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges: LeCun, Bottou, Bengio &
//! Haffner, "Gradient-based learning applied to document recognition", Proceedings of the IEEE, 1998.

use std::path::Path;

use crate::DataError;
use crate::dataset::{CLEAN, Dataset, ExampleId};
use crate::idx;

/// Rows, and columns, of an image.
pub const SIDE: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// Digits.
pub const CLASSES: usize = 10;

/// What the images of a file are, for their identities.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The collection, e.g. `mnist-test`.
    pub source: &'a str,
    /// Position of the file's first image in the collection.
    pub first_index: u32,
    /// [`CLEAN`], or what was done to the images.
    pub variant: &'a str,
}

impl<'a> From<&'a str> for Origin<'a> {
    /// Clean images, the first of them at index 0 of `source`.
    fn from(source: &'a str) -> Self {
        Self {
            source,
            first_index: 0,
            variant: CLEAN,
        }
    }
}

/// Loads images and labels, pixels divided by 255, examples of shape `[784]`.
///
/// # Errors
/// Those of [`idx::read`]; [`DataError::IdxShape`] for images that are not 28 x 28,
/// [`DataError::LabelCount`] when the files disagree, [`DataError::Label`] for a label above 9.
pub fn load<'a>(
    images: &Path,
    labels: &Path,
    origin: impl Into<Origin<'a>>,
) -> Result<Dataset, DataError> {
    let pixels = idx::read(images, 3)?;
    let classes = idx::read(labels, 1)?;
    if pixels.shape[1..] != [SIDE, SIDE] {
        return Err(DataError::IdxShape {
            path: images.to_owned(),
            expected: format!("n x {SIDE} x {SIDE}"),
            got: pixels.shape,
        });
    }
    if pixels.shape[0] != classes.shape[0] {
        return Err(DataError::LabelCount {
            images: images.to_owned(),
            labels: labels.to_owned(),
            expected: pixels.shape[0],
            got: classes.shape[0],
        });
    }
    Dataset::new(
        vec![PIXELS],
        pixels
            .values
            .iter()
            .map(|&pixel| f32::from(pixel) / 255.0)
            .collect(),
        classes
            .values
            .iter()
            .map(|&label| usize::from(label))
            .collect(),
        CLASSES,
        identities(images, origin.into(), pixels.shape[0])?,
    )
}

fn identities(path: &Path, origin: Origin<'_>, count: usize) -> Result<Vec<ExampleId>, DataError> {
    let first_index = origin.first_index;
    let end = u32::try_from(count)
        .ok()
        .and_then(|count| first_index.checked_add(count))
        .ok_or_else(|| DataError::IndexOverflow {
            path: path.to_owned(),
            first_index,
            count,
        })?;
    // One allocation of each text serves all identities.
    let id = ExampleId {
        source: origin.source.into(),
        index: first_index,
        variant: origin.variant.into(),
    };
    Ok((first_index..end)
        .map(|index| ExampleId {
            index,
            ..id.clone()
        })
        .collect())
}

/// The 10,000 test images, source `mnist-test`, from a folder that holds
/// `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`.
///
/// # Errors
/// Those of [`load`].
pub fn load_test(folder: &Path) -> Result<Dataset, DataError> {
    let file = |name| folder.join(name);
    load(
        &file("t10k-images-idx3-ubyte.gz"),
        &file("t10k-labels-idx1-ubyte.gz"),
        "mnist-test",
    )
}

/// The last 10,000 training images, source `mnist-train`, indices 50,000 to 59,999, from a folder
/// that holds `train-50000-59999-images-idx3-ubyte.gz` and its labels.
///
/// # Errors
/// Those of [`load`].
pub fn load_held_out(folder: &Path) -> Result<Dataset, DataError> {
    let file = |name| folder.join(name);
    load(
        &file("train-50000-59999-images-idx3-ubyte.gz"),
        &file("train-50000-59999-labels-idx1-ubyte.gz"),
        Origin {
            first_index: 50_000,
            ..Origin::from("mnist-train")
        },
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::idx::Idx;

    struct Files {
        _folder: tempfile::TempDir,
        images: PathBuf,
        labels: PathBuf,
    }

    fn files(side: usize, pixels: u8, labels: &[u8], images: usize) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            images: folder.path().join("images"),
            labels: folder.path().join("labels"),
            _folder: folder,
        };
        let values = vec![pixels; images * side * side];
        idx::write(
            &files.images,
            &Idx {
                shape: vec![images, side, side],
                values,
            },
        )
        .unwrap();
        let labels = Idx {
            shape: vec![labels.len()],
            values: labels.to_vec(),
        };
        idx::write(&files.labels, &labels).unwrap();
        files
    }

    #[test]
    fn pixels_are_divided_by_255() {
        let files = files(28, 51, &[3, 9], 2);
        let dataset = load(&files.images, &files.labels, "drawn").unwrap();
        assert_eq!(
            (dataset.len(), dataset.shape.as_slice()),
            (2, [784].as_slice())
        );
        assert!(dataset.inputs.iter().all(|&pixel| pixel == 51.0 / 255.0));
        assert_eq!(dataset.labels, [3, 9]);
        assert_eq!(dataset.ids[1], ExampleId::clean("drawn", 1));
    }

    #[test]
    fn an_origin_sets_the_identities() {
        let files = files(28, 0, &[1, 2], 2);
        let origin = Origin {
            source: "s",
            first_index: 50_000,
            variant: "fog",
        };
        let dataset = load(&files.images, &files.labels, origin).unwrap();
        assert_eq!(dataset.ids[1].to_string(), "s[50001] fog");
        let origin = Origin {
            first_index: u32::MAX,
            ..origin
        };
        let result = load(&files.images, &files.labels, origin);
        assert!(matches!(
            result,
            Err(DataError::IndexOverflow { count: 2, .. })
        ));
    }

    #[test]
    fn mismatched_files_are_refused() {
        let short = files(28, 0, &[1], 2);
        let result = load(&short.images, &short.labels, "drawn");
        assert!(matches!(
            result,
            Err(DataError::LabelCount {
                expected: 2,
                got: 1,
                ..
            })
        ));

        let small = files(27, 0, &[1], 1);
        let result = load(&small.images, &small.labels, "drawn");
        assert!(matches!(result, Err(DataError::IdxShape { .. })));

        let eleven = files(28, 0, &[1, 10], 2);
        let result = load(&eleven.images, &eleven.labels, "drawn");
        assert!(matches!(
            result,
            Err(DataError::Label {
                label: 10,
                classes: 10,
                ..
            })
        ));

        let swapped = files(28, 0, &[1], 1);
        let result = load(&swapped.labels, &swapped.images, "drawn");
        assert!(matches!(
            result,
            Err(DataError::IdxHeader {
                expected: 3,
                got: 1,
                ..
            })
        ));
    }
}
