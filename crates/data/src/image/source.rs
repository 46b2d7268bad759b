//! Collections of encoded pictures, decoded batch by batch.

use rayon::prelude::*;

use super::decode;
use super::preprocess::Preprocessing;
use crate::{DataError, Dataset, ExampleId};

/// The number of pictures that [`load`] holds in encoded form at a time.
const LOAD_BATCH: usize = 16;

/// A labelled collection of encoded pictures.
///
/// Opening one reads names and labels; pictures are read when they are asked for.
pub trait ImageSource: Sync {
    /// The `source` of the identities, e.g. `imagenet-val`.
    fn name(&self) -> &str;

    /// The class of each picture, in the order of their indices.
    fn labels(&self) -> &[usize];

    /// Number of classes; every label is below it.
    fn classes(&self) -> usize;

    /// The encoded pictures at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] for an index that there is not, and those of the files.
    fn encoded(&self, indices: &[usize]) -> Result<Vec<Encoded>, DataError>;

    /// Number of pictures.
    fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is no picture.
    fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }
}

/// The bytes of a JPEG or PNG file.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// What errors call it: a path, or a file and row.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How far pictures are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Resized and cropped RGB pixels in [0, 1], which corruptions take.
    Pixels,
    /// Normalised inputs of the network.
    Inputs,
}

/// How many of the pictures that were asked for are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Pictures loaded.
    pub done: usize,
    /// Pictures asked for.
    pub total: usize,
}

/// The pictures at `indices` as one dataset, examples of shape `[3, rows, columns]`; `progress` is told
/// after each batch.
///
/// # Errors
/// Those of [`Batches`], and those of [`Dataset::validate`].
pub fn load(
    source: &dyn ImageSource,
    indices: &[usize],
    preprocessing: &Preprocessing,
    stage: Stage,
    progress: &mut dyn FnMut(Progress),
) -> Result<Dataset, DataError> {
    let mut whole: Option<Dataset> = None;
    for batch in batches(source, indices, preprocessing, stage, LOAD_BATCH) {
        let batch = batch?;
        let done = batch.len() + whole.as_ref().map_or(0, Dataset::len);
        match &mut whole {
            None => whole = Some(batch),
            Some(whole) => append(whole, batch)?,
        }
        let total = indices.len();
        progress(Progress { done, total });
    }
    match whole {
        Some(dataset) => Ok(dataset),
        None => {
            let shape = preprocessing.shape().unwrap_or([3, 0, 0]);
            Dataset::new(shape.to_vec(), vec![], vec![], source.classes(), vec![])
        }
    }
}

fn append(whole: &mut Dataset, batch: Dataset) -> Result<(), DataError> {
    if batch.shape != whole.shape {
        return Err(DataError::Shape {
            part: whole.len(),
            expected: whole.shape.clone(),
            got: batch.shape,
        });
    }
    whole.inputs.extend(batch.inputs);
    whole.labels.extend(batch.labels);
    whole.ids.extend(batch.ids);
    Ok(())
}

/// The pictures at `indices` in datasets of `size` examples, the last one smaller; a `size` of 0 counts
/// as 1.
pub fn batches<'a>(
    source: &'a dyn ImageSource,
    indices: &'a [usize],
    preprocessing: &'a Preprocessing,
    stage: Stage,
    size: usize,
) -> Batches<'a> {
    Batches {
        source,
        rest: indices.chunks(size.max(1)),
        preprocessing,
        stage,
    }
}

/// The iterator of [`batches`]: reads a batch when it is asked for it, and decodes its pictures in
/// parallel.
///
/// # Errors
/// Those of [`ImageSource::encoded`], [`decode::decode`] and [`Preprocessing::pixels`];
/// [`DataError::Shape`] when the pictures of a batch do not come to the same size.
pub struct Batches<'a> {
    source: &'a dyn ImageSource,
    rest: std::slice::Chunks<'a, usize>,
    preprocessing: &'a Preprocessing,
    stage: Stage,
}

impl Batches<'_> {
    fn batch(&self, indices: &[usize]) -> Result<Dataset, DataError> {
        check_indices(indices, self.source.len())?;
        let prepared = |encoded: &Encoded| {
            let bitmap = decode::decode(&encoded.bytes, &encoded.name)?;
            match self.stage {
                Stage::Pixels => self.preprocessing.pixels(&bitmap),
                Stage::Inputs => self.preprocessing.apply(&bitmap),
            }
        };
        let mut pictures = Vec::with_capacity(indices.len());
        for group in groups(self.source.encoded(indices)?) {
            let group = group.par_iter().map(prepared);
            pictures.extend(group.collect::<Result<Vec<_>, DataError>>()?);
        }
        let shape = pictures.first().map_or([3, 0, 0], |picture| picture.0);
        if let Some(part) = pictures.iter().position(|picture| picture.0 != shape) {
            let (expected, got) = (shape.to_vec(), pictures[part].0.to_vec());
            return Err(DataError::Shape {
                part,
                expected,
                got,
            });
        }
        let name = ExampleId::clean(self.source.name(), 0);
        let id = |&index: &usize| ExampleId {
            index: index as u32,
            ..name.clone()
        };
        Dataset::new(
            shape.to_vec(),
            pictures.into_iter().flat_map(|picture| picture.1).collect(),
            indices.iter().map(|&i| self.source.labels()[i]).collect(),
            self.source.classes(),
            indices.iter().map(id).collect(),
        )
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Dataset, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest.next().map(|indices| self.batch(indices))
    }
}

/// Neighbours of each other with not more pixels together than one picture may have, as their headers
/// say: so many are decoded at a time.
fn groups(pictures: Vec<Encoded>) -> Vec<Vec<Encoded>> {
    let mut groups: Vec<Vec<Encoded>> = vec![];
    let mut pixels = u64::MAX;
    for picture in pictures {
        let size = decode::size(&picture.bytes);
        let own = size.map_or(0, |(height, width)| height as u64 * width as u64);
        pixels = pixels.saturating_add(own);
        match groups.last_mut() {
            Some(group) if pixels <= decode::MAX_PIXELS => group.push(picture),
            _ => {
                pixels = own;
                groups.push(vec![picture]);
            }
        }
    }
    groups
}

/// Checks that indices name pictures, and that identities can count them.
pub(super) fn check_indices(indices: &[usize], len: usize) -> Result<(), DataError> {
    let last = len.min(u32::MAX as usize);
    match indices.iter().find(|&&index| index >= last) {
        Some(&index) => Err(DataError::Index { index, len }),
        None => Ok(()),
    }
}
