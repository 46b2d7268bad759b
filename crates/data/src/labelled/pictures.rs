//! Folders of pictures, and how encoded pictures become inputs.

use std::path::{Path, PathBuf};

use disk::Place;
use rayon::prelude::*;

use super::arrays::picture_len;
use super::names::Naming;
use super::open::{Inputs, Most, Opened, Source, Unreadable};
use super::picture_labels::Table;
use super::raw::{RawLabel, RawLabels};
use super::{Intake, Options, PassedOver, Unlabelled, expect_few, no_texts};
use crate::DataError;
use crate::error::wrong;
use crate::image::decode::{self, Bitmap, MAX_PIXELS};
use crate::image::listing::{self, ClassFolders};
use crate::image::source::Encoded;
use crate::image::{Preprocessing, presets};

/// Pictures that are held in encoded form at a time.
const AT_A_TIME: usize = 16;

/// Opens a folder of pictures: with a table of labels, with class folders, or flat.
pub(super) fn open(intake: &Intake, root: &Path, options: &Options) -> Result<Opened, DataError> {
    if matches!(intake, Intake::Tokens(_)) {
        return Err(no_texts(root, "pictures"));
    }
    if let Some(table) = Table::find(root, options)? {
        return with_table(root, table);
    }
    let found = ClassFolders::find(root)?;
    if found
        .classes
        .iter()
        .any(|(_, pictures)| !pictures.is_empty())
    {
        return with_classes(root, found);
    }
    if found.beside.is_empty() || options.unlabelled != Unlabelled::Keep {
        return Err(DataError::NoImages {
            path: root.to_owned(),
            expected: "class folders with pictures, or pictures and their labels in labels.csv, val.txt, \
                       ILSVRC2012_validation_ground_truth.txt or a file named as FOLDER,LABELS",
        });
    }
    let count = found.beside.len();
    opened(
        root,
        found.beside,
        RawLabels::absent(count),
        found.passed_over,
        vec!["pictures beside each other, without labels".to_owned()],
    )
}

/// A label for each class folder.
fn with_classes(root: &Path, found: ClassFolders) -> Result<Opened, DataError> {
    let (mut files, mut labels) = (vec![], RawLabels::default());
    for (class, pictures) in found.classes {
        let class = RawLabel::Text(class.into());
        labels.declare(class.clone());
        pictures.iter().for_each(|_| labels.push(class.clone()));
        files.extend(pictures);
    }
    let mut notes = vec![format!("labels: the folders in {}", root.display())];
    if found.deeper > 0 {
        notes.push(format!(
            "{} pictures lie in deeper folders: the first folder is their class",
            found.deeper
        ));
    }
    opened(root, files, labels, found.passed_over, notes)
}

/// The pictures that a table names.
fn with_table(root: &Path, table: Table) -> Result<Opened, DataError> {
    let (pictures, mut passed_over) = listing::all(root, &table.path)?;
    let named: std::collections::HashSet<&PathBuf> = table.files.iter().collect();
    for picture in pictures.iter().filter(|picture| !named.contains(picture)) {
        let reason = "pictures that the table of labels does not name";
        passed_over.add(reason, || picture.display().to_string());
    }
    passed_over.merge(table.passed_over);
    let notes = table.notes;
    opened(root, table.files, table.labels, passed_over, notes)
}

fn opened(
    root: &Path,
    files: Vec<PathBuf>,
    labels: RawLabels,
    passed_over: PassedOver,
    notes: Vec<String>,
) -> Result<Opened, DataError> {
    expect_few(root, files.len())?;
    Ok(Opened {
        format: "folder of pictures",
        naming: Naming::Files(files.clone()),
        source: Box::new(Files {
            files,
            place: Place::of_folder(root)?,
        }),
        labels,
        passed_over,
        notes,
        unreadable: Unreadable::default(),
        task: None,
    })
}

/// Picture files.
#[derive(Debug)]
struct Files {
    files: Vec<PathBuf>,
    /// Where they may be.
    place: Place,
}

impl Source for Files {
    fn read(&self, positions: &[usize], intake: &Intake, most: Most) -> Result<Inputs, DataError> {
        let encoded = |&row: &usize| {
            let path = &self.files[row];
            Ok(Encoded {
                name: path.display().to_string(),
                bytes: self.place.read(path, decode::MAX_ENCODED)?,
            })
        };
        let all = |rows: &[usize]| Ok(rows.par_iter().map(encoded).collect());
        decoded(self.place.folder(), positions, intake, most, all)
    }

    fn input_len(&self, intake: &Intake) -> Option<usize> {
        input_len(intake)
    }
}

/// Numbers of an input, if they do not depend on the picture.
pub(super) fn input_len(intake: &Intake) -> Option<usize> {
    match intake {
        Intake::Vector { features } => Some(*features),
        Intake::Images(preprocessing) => preprocessing.shape().map(|shape| shape.iter().product()),
        Intake::Tokens(_) => None,
    }
}

/// The inputs of encoded pictures; `encoded` gives those of some rows. Sizes are compared with what the
/// network takes before a picture is decoded, and not more pixels than one picture may have are decoded
/// at a time.
pub(super) fn decoded(
    path: &Path,
    positions: &[usize],
    intake: &Intake,
    most: Most,
    encoded: impl Fn(&[usize]) -> Result<Vec<Result<Encoded, DataError>>, DataError>,
) -> Result<Inputs, DataError> {
    let mut inputs = Inputs::default();
    let preparation = match intake {
        Intake::Vector { features } => Preparation::Vector(*features),
        Intake::Images(preprocessing) => Preparation::Images(preprocessing),
        Intake::Tokens(_) => return Err(no_texts(path, "pictures")),
    };
    for (block, rows) in positions.chunks(AT_A_TIME).enumerate() {
        let sized: Vec<Result<Sized, DataError>> = encoded(rows)?
            .into_par_iter()
            .map(|encoded| preparation.check(encoded?, most, path))
            .collect();
        let mut at = block * AT_A_TIME;
        for some in groups(sized) {
            let prepared: Vec<Result<Input, DataError>> = some
                .into_par_iter()
                .map(|sized| preparation.prepare(&sized?.encoded))
                .collect();
            for input in prepared {
                inputs.add(at, input);
                at += 1;
            }
        }
    }
    if inputs.shape.is_empty() {
        inputs.shape = preparation.shape();
    }
    Ok(inputs)
}

/// The shape of an input and its values.
type Input = (Vec<usize>, Vec<f32>);

/// A picture and its number of pixels, 0 when its header cannot be read.
struct Sized {
    encoded: Encoded,
    pixels: u64,
}

/// Neighbours of each other with not more pixels together than one picture may have.
fn groups(pictures: Vec<Result<Sized, DataError>>) -> Vec<Vec<Result<Sized, DataError>>> {
    let mut groups: Vec<Vec<_>> = vec![];
    let mut pixels = u64::MAX;
    for picture in pictures {
        let own = picture.as_ref().map_or(0, |picture| picture.pixels);
        pixels = pixels.saturating_add(own);
        match groups.last_mut() {
            Some(group) if pixels <= MAX_PIXELS => group.push(picture),
            _ => {
                pixels = own;
                groups.push(vec![picture]);
            }
        }
    }
    groups
}

/// How a picture becomes an input.
enum Preparation<'a> {
    /// Its pixels in [0, 1], of RGB planes or of grey, so many of them.
    Vector(usize),
    Images(&'a Preprocessing),
}

impl Preparation<'_> {
    /// The shape of an input where there is none.
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(features) => vec![*features],
            Self::Images(preprocessing) => preprocessing.shape().unwrap_or([3, 0, 0]).to_vec(),
        }
    }

    /// Compares the size in a picture's header with what the network takes.
    fn check(&self, encoded: Encoded, most: Most, path: &Path) -> Result<Sized, DataError> {
        let Some((height, width)) = decode::size(&encoded.bytes) else {
            // Decoding says what is wrong.
            return Ok(Sized { encoded, pixels: 0 });
        };
        let pixels = decode::check_size(&encoded.name, height as u64, width as u64)?;
        match self {
            Self::Vector(features) if pixels != *features && 3 * pixels != *features => {
                let name = Path::new(&encoded.name);
                return Err(not_of_size(name, *features, height, width));
            }
            Self::Vector(_) => {}
            Self::Images(preprocessing) => {
                let len = picture_len(preprocessing, height, width);
                // A picture cannot be larger than all may be together.
                let alone = Most {
                    examples: 1,
                    ..most
                };
                alone.check(path, len.unwrap_or(usize::MAX))?;
            }
        }
        let pixels = pixels as u64;
        Ok(Sized { encoded, pixels })
    }

    fn prepare(&self, encoded: &Encoded) -> Result<Input, DataError> {
        let picture = decode::decode(&encoded.bytes, &encoded.name)?;
        match self {
            Self::Images(preprocessing) => {
                let (shape, values) = preprocessing.apply(&picture)?;
                Ok((shape.to_vec(), values))
            }
            Self::Vector(features) => {
                let (height, width) = (picture.height(), picture.width());
                let values = match height * width {
                    pixels if pixels == *features => grey(&picture),
                    pixels if 3 * pixels == *features => presets::unit().apply(&picture)?.1,
                    _ => {
                        let name = Path::new(&encoded.name);
                        return Err(not_of_size(name, *features, height, width));
                    }
                };
                Ok((vec![*features], values))
            }
        }
    }
}

fn not_of_size(name: &Path, features: usize, height: usize, width: usize) -> DataError {
    let expected = format!("{features} pixels, or a third of them in colour");
    wrong(name, "picture", expected, format!("{height} x {width}"))
}

/// Grey levels in [0, 1]: L = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) in whole levels, as Pillow's
/// `convert("L")`; grey pictures keep their levels.
fn grey(picture: &Bitmap) -> Vec<f32> {
    let level = |pixel: &[u8]| {
        let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as f32 / 255.0
    };
    picture.rgb().chunks_exact(3).map(level).collect()
}

impl Inputs {
    /// Appends an input, or why there is none; one of another shape than the first is none.
    fn add(&mut self, at: usize, input: Result<Input, DataError>) {
        match input {
            Err(cause) => self.unreadable.push((at, cause)),
            Ok((shape, values)) if self.shape.is_empty() || shape == self.shape => {
                self.shape = shape;
                self.values.extend(values);
            }
            Ok((got, _)) => {
                let (part, expected) = (at, self.shape.clone());
                let cause = DataError::Shape {
                    part,
                    expected,
                    got,
                };
                self.unreadable.push((at, cause));
            }
        }
    }
}
