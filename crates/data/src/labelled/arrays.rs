//! Sets in arrays: IDX files, `.npy` and `.npz` files, safetensors batches.
//!
//! Bytes and booleans are pictures, `[n, rows, columns]`, `[n, channels, rows, columns]` or
//! `[n, rows, columns, channels]`, or flattened ones; bytes are levels, divided by 255. Other numbers are
//! what the network takes.

use std::path::Path;

use super::open::{Inputs, Most, Opened, Source, Unreadable};
use super::{Columns, Intake, Options, Unlabelled, beside, expect_few, no_texts};
use crate::array::tensors::Named;
use crate::array::{Array, Element, product};
use crate::error::wrong;
use crate::image::preprocess::{Crop, Preprocessing, Resize};
use crate::{DataError, Dataset, ExampleId, idx as idx_file};

use super::names::Naming;
use super::raw::RawLabels;

/// Numbers of pictures that are prepared at a time.
const AT_A_TIME: usize = 1 << 24;

pub(super) fn idx(intake: &Intake, path: &Path, options: &Options) -> Result<Opened, DataError> {
    alone(intake, "IDX file", idx_file::open(path)?, options)
}

pub(super) fn npy(intake: &Intake, path: &Path, options: &Options) -> Result<Opened, DataError> {
    let array = crate::array::npy::open(path)?;
    alone(intake, "NumPy file", array, options)
}

pub(super) fn npz(intake: &Intake, path: &Path, options: &Options) -> Result<Opened, DataError> {
    together(intake, "NumPy archive", &Named::npz(path)?, path, options)
}

pub(super) fn safetensors(
    intake: &Intake,
    path: &Path,
    options: &Options,
) -> Result<Opened, DataError> {
    let tensors = Named::safetensors(path)?;
    together(intake, "safetensors file", &tensors, path, options)
}

/// An array whose labels are in another file.
fn alone(
    intake: &Intake,
    format: &'static str,
    inputs: Array,
    options: &Options,
) -> Result<Opened, DataError> {
    let path = inputs.path.clone();
    let found = match &options.labels {
        Some(labels) => Some(labels.clone()),
        None => beside::find(&path)?,
    };
    match found {
        Some(file) => {
            let labels = beside::Labels::open(&file, options.columns.as_ref())?;
            let note = format!("labels: {}", file.display());
            opened(intake, format, inputs, labels, vec![note])
        }
        None if options.unlabelled == Unlabelled::Keep => {
            opened(intake, format, inputs, beside::Labels::None, vec![])
        }
        None => {
            let names: Vec<String> = beside::candidates(&path).into_iter().step_by(2).collect();
            let expected = format!(
                "{} beside it, or the file of its labels as INPUTS,LABELS",
                names.join(" or ")
            );
            Err(wrong(&path, "labels", expected, "none"))
        }
    }
}

/// Inputs and labels in one file.
fn together(
    intake: &Intake,
    format: &'static str,
    file: &Named,
    path: &Path,
    options: &Options,
) -> Result<Opened, DataError> {
    let chosen = options.columns.clone().unwrap_or_default();
    let (input, label) = names(file, path, &chosen)?;
    let mut notes = vec![format!("inputs: {input}")];
    let labels = match (&options.labels, label) {
        (Some(given), _) => {
            notes.push(format!("labels: {}", given.display()));
            beside::Labels::open(given, None)?
        }
        (None, Some(label)) => {
            notes.push(format!("labels: {label}"));
            beside::Labels::Array(file.array(&label)?)
        }
        (None, None) if options.unlabelled == Unlabelled::Keep => beside::Labels::None,
        (None, None) => {
            let expected = format!("one called `{}`", partner(&input));
            return Err(wrong(path, "tensors", expected, file.listed()));
        }
    };
    let used: Vec<String> = match &labels {
        beside::Labels::Array(array) if array.path == path => {
            vec![array.name.clone(), input.clone()]
        }
        _ => vec![input.clone()],
    };
    let mut opened = opened(intake, format, file.array(&input)?, labels, notes)?;
    for name in file.names.iter().filter(|name| !used.contains(name)) {
        let passed_over = &mut opened.passed_over;
        passed_over.add("other arrays of the file", || name.clone());
    }
    Ok(opened)
}

/// What arrays of inputs are called, and those of labels.
const INPUTS: [&str; 10] = [
    "inputs",
    "input",
    "x",
    "images",
    "image",
    "data",
    "features",
    "points",
    "samples",
    "pixel_values",
];
const LABELS: [&str; 6] = ["labels", "label", "y", "targets", "target", "classes"];
/// What may stand before or after such a name: the part of a dataset.
const PARTS: [&str; 6] = ["test", "train", "val", "valid", "validation", "eval"];

/// The part of a dataset that an array's name states, and the name without it.
fn part(name: &str) -> (String, String) {
    let name = name.to_lowercase();
    for part in PARTS {
        let rest = name
            .strip_prefix(&format!("{part}_"))
            .or_else(|| name.strip_suffix(&format!("_{part}")));
        if let Some(rest) = rest {
            return (part.to_owned(), rest.to_owned());
        }
    }
    (String::new(), name)
}

/// The names of inputs and labels: the chosen ones, else those of the only pair with usual names.
fn names(
    file: &Named,
    path: &Path,
    chosen: &Columns,
) -> Result<(String, Option<String>), DataError> {
    if chosen.label.len() > 1 {
        let got = chosen.label.join("+");
        return Err(wrong(path, "choice of labels", "one array", got));
    }
    let inputs = match &chosen.input {
        Some(input) => vec![(part(input).0, input)],
        None => called(file, &INPUTS),
    };
    let (of_input, input) = match &inputs[..] {
        [] => return Err(wrong(path, "tensors", "one called `inputs`", file.listed())),
        [(of_input, input)] => (of_input, *input),
        [(_, first), ..] => {
            let found: Vec<&str> = inputs.iter().map(|(_, name)| name.as_str()).collect();
            let label = partner(first);
            let expected =
                format!("one array of inputs, or a choice such as input={first},label={label}");
            return Err(wrong(path, "tensors", expected, found.join(" and ")));
        }
    };
    if let Some(label) = chosen.label.first() {
        return Ok((input.clone(), Some(label.clone())));
    }
    let mut labels = called(file, &LABELS);
    labels.retain(|(of_label, name)| of_label == of_input && *name != input);
    match labels[..] {
        [] => Ok((input.clone(), None)),
        [(_, label)] => Ok((input.clone(), Some(label.clone()))),
        [(_, first), (_, second), ..] => {
            let expected = format!("one array of labels, or a choice such as label={first}");
            let got = format!("{first} and {second}");
            Err(wrong(path, "tensors", expected, got))
        }
    }
}

/// The arrays that have one of these names, with the part of a dataset that each is of.
fn called<'a>(file: &'a Named, known: &[&str]) -> Vec<(String, &'a String)> {
    let named = file.names.iter().map(|name| (part(name), name));
    let known = named.filter(|((_, word), _)| known.contains(&&word[..]));
    known.map(|((of, _), name)| (of, name)).collect()
}

/// What the labels of an array of inputs are usually called.
fn partner(input: &str) -> String {
    let (of, name) = part(input);
    let label = if name == "x" { "y" } else { "labels" };
    let lower = input.to_lowercase();
    match () {
        () if of.is_empty() => label.to_owned(),
        () if lower.starts_with(&of) => format!("{of}_{label}"),
        () => format!("{label}_{of}"),
    }
}

fn opened(
    intake: &Intake,
    format: &'static str,
    mut inputs: Array,
    labels: beside::Labels,
    mut notes: Vec<String>,
) -> Result<Opened, DataError> {
    expect_few(&inputs.path, inputs.rows())?;
    let layout = match Layout::of(intake, &inputs) {
        Ok(layout) => layout,
        Err(refusal) => {
            // Labels of more dimensions say that the first dimensions of the inputs count examples.
            let leading = labels.dimensions().to_vec();
            if leading.len() < 2 || !inputs.shape.starts_with(&leading) {
                return Err(refusal);
            }
            inputs = merged(inputs, leading.len())?;
            notes.push(format!("the dimensions {leading:?} are counted through"));
            expect_few(&inputs.path, inputs.rows())?;
            Layout::of(intake, &inputs).map_err(|_| refusal)?
        }
    };
    notes.extend(layout.notes(&inputs));
    let mut unreadable = Unreadable::default();
    let labels = labels.read(&inputs.path, inputs.rows(), &mut notes, &mut unreadable)?;
    Ok(Opened {
        format,
        naming: Naming::numbered(&inputs.path),
        source: Box::new(ArraySource { inputs, layout }),
        labels,
        passed_over: super::PassedOver::default(),
        notes,
        unreadable,
        task: None,
    })
}

/// The same array with its first `leading` dimensions as one.
fn merged(mut array: Array, leading: usize) -> Result<Array, DataError> {
    if array.fortran {
        let rows: Vec<usize> = (0..array.rows()).collect();
        array.store = crate::array::Store::Memory(array.bytes(&rows)?);
        array.fortran = false;
    }
    let (first, rest) = array.shape.split_at(leading);
    array.shape = [&[product(first)], rest].concat();
    Ok(array)
}

/// How a row becomes an input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// As it lies there.
    Taken,
    /// A picture of planes.
    Planes([usize; 3]),
    /// A picture whose channels lie next to each other.
    Pixels([usize; 3]),
}

impl Layout {
    fn of(intake: &Intake, inputs: &Array) -> Result<Self, DataError> {
        let (path, rest) = (&inputs.path, inputs.shape.get(1..).unwrap_or_default());
        let len = inputs.row_len();
        if inputs.shape.is_empty() || len == 0 {
            let got = inputs.describe();
            return Err(wrong(
                path,
                "shape of the inputs",
                "[n, ..], none of them 0",
                got,
            ));
        }
        if matches!(inputs.element, Element::Text { .. }) {
            return Err(wrong(path, "type of the inputs", "numbers", "text"));
        }
        match (intake, inputs.element) {
            (Intake::Vector { features }, _) if len == *features => Ok(Self::Taken),
            (Intake::Vector { features }, Element::U8 | Element::Bool) => {
                let expected = format!("{features} numbers");
                Err(wrong(path, "pictures", expected, format!("{rest:?}")))
            }
            (Intake::Images(_), Element::U8 | Element::Bool) => Self::of_picture(path, rest),
            (Intake::Tokens(_), Element::U8 | Element::Bool) => Err(no_texts(path, "pictures")),
            (Intake::Images(_), _) if matches!(rest, [3, _, _]) => Ok(Self::Taken),
            (Intake::Tokens(_), _) if matches!(rest, [2, _]) => Ok(Self::Taken),
            (Intake::Vector { features }, _) => Err(shape(inputs, &format!("[n, {features}]"))),
            (Intake::Images(_), _) => Err(shape(inputs, "[n, 3, rows, columns]")),
            (Intake::Tokens(_), _) => Err(shape(inputs, "[n, 2, tokens]")),
        }
    }

    fn of_picture(path: &Path, rest: &[usize]) -> Result<Self, DataError> {
        match *rest {
            [c @ (1 | 3), h, w] if !matches!(w, 1 | 3) => Ok(Self::Planes([c, h, w])),
            [h, w, c @ (1 | 3)] if !matches!(h, 1 | 3) => Ok(Self::Pixels([c, h, w])),
            // Both ends could be the channels; grey ones are the same either way.
            [1, h, 1] => Ok(Self::Planes([1, h, 1])),
            [h, w] => Ok(Self::Planes([1, h, w])),
            [_] => match crate::image::image_shape(rest) {
                Some(shape) => Ok(Self::Planes(shape)),
                None => Err(wrong(path, "pictures", PICTURES, format!("{rest:?}"))),
            },
            _ => Err(wrong(path, "pictures", PICTURES, format!("{rest:?}"))),
        }
    }

    /// What is assumed about the inputs.
    fn notes(self, inputs: &Array) -> Vec<String> {
        let mut notes = vec![];
        match inputs.element {
            Element::U8 => notes.push("bytes are levels of pixels, divided by 255".to_owned()),
            Element::Bool => notes.push("booleans are pixels, 0 or 1".to_owned()),
            _ => notes.push(format!(
                "inputs are taken as the network takes them: {}",
                inputs.describe()
            )),
        }
        if let Self::Pixels([channels, rows, columns]) = self {
            notes.push(format!(
                "pictures of {rows} rows, {columns} columns and {channels} channels, the channels last"
            ));
        }
        if inputs.is_rounded() {
            let name = inputs.element.name();
            notes.push(format!("{name} inputs are rounded to float32"));
        }
        notes
    }
}

const PICTURES: &str =
    "[rows, columns], [1 or 3 channels, rows, columns] or [rows, columns, 1 or 3 channels]";

fn shape(inputs: &Array, expected: &str) -> DataError {
    wrong(
        &inputs.path,
        "shape of the inputs",
        expected,
        inputs.describe(),
    )
}

/// The rows of an array.
#[derive(Debug)]
struct ArraySource {
    inputs: Array,
    layout: Layout,
}

impl Source for ArraySource {
    fn read(&self, positions: &[usize], intake: &Intake, most: Most) -> Result<Inputs, DataError> {
        if let Some(len) = self.input_len(intake) {
            most.check(&self.inputs.path, len)?;
        }
        match (self.layout, intake) {
            (Layout::Taken, _) => self.taken(positions, intake),
            (Layout::Planes(shape) | Layout::Pixels(shape), Intake::Images(preprocessing)) => {
                self.pictures(positions, shape, preprocessing)
            }
            (_, _) => Err(no_texts(&self.inputs.path, "pictures")),
        }
    }

    fn input_len(&self, intake: &Intake) -> Option<usize> {
        match (self.layout, intake) {
            (Layout::Planes(shape) | Layout::Pixels(shape), Intake::Images(preprocessing)) => {
                picture_len(preprocessing, shape[1], shape[2])
            }
            _ => Some(self.inputs.row_len()),
        }
    }
}

impl ArraySource {
    /// Numbers as they are, levels divided by 255.
    fn taken(&self, positions: &[usize], intake: &Intake) -> Result<Inputs, DataError> {
        let mut values = self.inputs.floats(&self.inputs.bytes(positions)?);
        if self.inputs.element == Element::U8 {
            values.iter_mut().for_each(|level| *level /= 255.0);
        }
        let shape = match intake {
            Intake::Vector { features } => vec![*features],
            _ => self.inputs.shape[1..].to_vec(),
        };
        let mut inputs = Inputs {
            shape,
            values,
            unreadable: vec![],
        };
        let id = |row| ExampleId::clean(self.inputs.path.display().to_string(), row as u32);
        inputs.leave_out_not_finite(|at| id(positions[at]));
        Ok(inputs)
    }

    /// Pictures in [0, 1] as the network takes them, some at a time.
    fn pictures(
        &self,
        positions: &[usize],
        [channels, rows, columns]: [usize; 3],
        preprocessing: &Preprocessing,
    ) -> Result<Inputs, DataError> {
        let size = channels * rows * columns;
        let mut all = Inputs::default();
        for some in positions.chunks((AT_A_TIME / size).max(1)) {
            let mut values = self.inputs.floats(&self.inputs.bytes(some)?);
            if self.inputs.element == Element::U8 {
                values.iter_mut().for_each(|level| *level /= 255.0);
            }
            if matches!(self.layout, Layout::Pixels(_)) {
                values = planes(&values, channels, rows * columns);
            }
            let pictures = Dataset {
                shape: vec![channels, rows, columns],
                inputs: values,
                labels: vec![0; some.len()],
                classes: 1,
                ids: vec![ExampleId::clean("", 0); some.len()],
            };
            let prepared = preprocessing.apply_to(&pictures)?;
            all.shape = prepared.shape;
            all.values.extend(prepared.inputs);
        }
        Ok(all)
    }
}

impl Inputs {
    /// Takes out the examples with a value that is NaN or infinite.
    pub(super) fn leave_out_not_finite(&mut self, id: impl Fn(usize) -> ExampleId) {
        let len = self.shape.iter().product::<usize>().max(1);
        let bad: Vec<(usize, usize)> = self
            .values
            .chunks(len)
            .enumerate()
            .filter_map(|(at, input)| {
                let position = input.iter().position(|value| !value.is_finite())?;
                Some((at, position))
            })
            .collect();
        if bad.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(self.values.len());
        let mut left_out = bad.iter().peekable();
        for (at, input) in self.values.chunks(len).enumerate() {
            match left_out.next_if(|(bad, _)| *bad == at) {
                None => kept.extend_from_slice(input),
                Some(&(_, position)) => self.unreadable.push((
                    at,
                    DataError::NotFinite {
                        example: id(at),
                        position,
                        value: input[position],
                    },
                )),
            }
        }
        self.values = kept;
    }
}

/// Pixels whose channels lie next to each other as planes.
fn planes(pixels: &[f32], channels: usize, plane: usize) -> Vec<f32> {
    let picture = |pixels: &[f32]| -> Vec<f32> {
        let channel = |c: usize| (0..plane).map(move |i| i * channels + c);
        (0..channels).flat_map(channel).map(|i| pixels[i]).collect()
    };
    pixels.chunks(channels * plane).flat_map(picture).collect()
}

/// Numbers of the input that a picture of this size becomes.
pub(super) fn picture_len(
    preprocessing: &Preprocessing,
    height: usize,
    width: usize,
) -> Option<usize> {
    let (height, width) = match (preprocessing.crop, preprocessing.resize) {
        (Some(Crop { height, width, .. }), _) => (height, width),
        (None, None) => (height, width),
        (None, Some(Resize::Exact { height, width })) => (height, width),
        (None, Some(Resize::ShortSide(side))) => {
            let long = side.checked_mul(height.max(width))? / height.min(width).max(1);
            (side, long)
        }
    };
    height.checked_mul(width)?.checked_mul(3)
}

/// The labels of `count` examples that have none.
pub(super) fn no_labels(count: usize) -> RawLabels {
    RawLabels::absent(count)
}
