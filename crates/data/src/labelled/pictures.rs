//! Folders of pictures.

use std::path::Path;

use super::{Intake, LabelledSet, Reader, no_texts, wrong};
use crate::image::source::Stage;
use crate::image::{ImageFolder, ImageSource, imagenet, load, presets};
use crate::{DataError, Dataset};

/// The pictures of a folder with class folders or with a table of labels.
pub(super) fn read(reader: &Reader<'_>, root: &Path) -> Result<LabelledSet, DataError> {
    let folder = ImageFolder::open(root, &root.display().to_string())?;
    let numbers = class_numbers(reader, root, folder.class_names())?;
    let chosen = reader.chosen(folder.len());
    let inputs = |preprocessing| load(&folder, &chosen, preprocessing, Stage::Inputs, &mut |_| {});
    let mut dataset = match reader.intake {
        Intake::Images(preprocessing) => inputs(preprocessing)?,
        Intake::Vector { features } => {
            let mut pictures = inputs(&presets::unit())?;
            if pictures.example_len() == 3 * features {
                grey(&mut pictures);
            }
            reader.pictures(root, pictures)?
        }
        Intake::Tokens(_) => return Err(no_texts(root, "pictures")),
    };
    if !numbers.is_empty() {
        dataset
            .labels
            .iter_mut()
            .for_each(|label| *label = numbers[*label]);
    }
    dataset.classes = reader.classes;
    dataset.validate()?;
    let names = chosen.iter().map(|&i| &folder.files()[i]);
    Ok(LabelledSet {
        dataset,
        names: names.map(|file| file.display().to_string()).collect(),
        available: folder.len(),
    })
}

/// The output that each class folder stands for, by the first reading that all of their names have:
/// names of outputs, numbers of outputs, ILSVRC's WordNet ids for 1000 outputs, or, when there is a
/// folder for every output, their order. None where a table gives numbers.
fn class_numbers(
    reader: &Reader<'_>,
    root: &Path,
    names: &[String],
) -> Result<Vec<usize>, DataError> {
    let all = |class: &dyn Fn(&str) -> Option<usize>| -> Option<Vec<usize>> {
        names.iter().map(|name| class(name)).collect()
    };
    let wnid =
        |name: &str| imagenet::class_of(name).filter(|_| reader.classes == imagenet::CLASSES);
    let ordered = (names.len() == reader.classes).then(|| (0..names.len()).collect());
    all(&|name| reader.class(name))
        .or_else(|| all(&wnid))
        .or(ordered)
        .ok_or_else(|| {
            let expected = format!(
                "{} of them, or names that are each {}",
                reader.classes,
                reader.expected_class()
            );
            let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
            let got = format!("{}, the first of them {}", names.len(), shown.join(", "));
            wrong(root, "class folders", expected, got)
        })
}

/// One channel instead of three: L = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) in whole levels, as
/// Pillow's `convert("L")`; grey pictures keep their levels.
fn grey(pictures: &mut Dataset) {
    let plane = pictures.example_len() / 3;
    let level = |pixel: f32| (pixel * 255.0).round() as u32;
    pictures.inputs = pictures
        .inputs
        .chunks_exact((3 * plane).max(1))
        .flat_map(|pixels| {
            (0..plane).map(move |i| {
                let [r, g, b] = [0, 1, 2].map(|channel| level(pixels[channel * plane + i]));
                ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as f32 / 255.0
            })
        })
        .collect();
    pictures.shape.remove(0);
}
