//! SqueezeNet on ImageNet's pictures and MobileViT on Fashion-MNIST's.
//!
//! | set | SqueezeNet | MobileViT |
//! |---|---|---|
//! | repair | wrong images of `imagenet_sample` | wrong images among the first 5,000 test images |
//! | guard | 300 images of `imagenet_val` | 1,000 training images |
//! | drawdown | the other 1,000 of `imagenet_val` | test images 5,000 to 7,999 |
//! | generalization | the same 1,000, corrupted | |

use std::path::PathBuf;
use std::rc::Rc;

use data::image::source::Stage;
use data::image::{Crop, ImageFolder, ImageSource, Preprocessing, presets};
use data::{Corruption, Dataset, Severity};
use miette::IntoDiagnostic;
use network::Precision;

use super::measure::{Bench, NARROW};
use super::score::{answers, wrong};
use super::world::{World, say};

/// The seed of the splits, which are the same for every seed of a row.
const SPLIT_SEED: u64 = 0;
/// ImageNet's classes.
const CLASSES: usize = 1000;
/// Guard images of `imagenet_val` and those held out.
const VALIDATION: [usize; 2] = [300, 1000];
/// The severity of the fog.
const SEVERITY: u8 = 3;
/// Training images of Fashion-MNIST: the guard set, and those on which a layer is chosen.
const FASHION_TRAINING: [usize; 2] = [3000, 400];
/// Test images that may be repaired, and the end of those that are held out.
const FASHION_TEST: [usize; 2] = [5000, 8000];

/// SqueezeNet in a file of `squeezenet/`; misclassified images are repaired.
pub(super) fn squeezenet(world: &World, name: &str, file: &str) -> miette::Result<Rc<Bench>> {
    world.benches.get(name, || {
        let subject = world.subject(&format!("squeezenet/{file}"), Precision::F32)?;
        let pool = sample(world, false)?;
        let wrong = wrong(&answers(&subject.network, &pool)?, &pool.labels);
        let right: Vec<usize> = (0..pool.len()).filter(|i| !wrong.contains(i)).collect();
        Ok(Bench {
            wrong,
            guard: Rc::new(guard(world, &right)?),
            held_out: validation(world, 1, false)?,
            name: name.to_owned(),
            subject,
            pool,
            counts_shared: false,
            similar: None,
            steady: None,
            margin: NARROW,
            selection: None,
            clean: None,
            like: None,
        })
    })
}

/// SqueezeNet 1.1; images that fog turns wrong are repaired.
///
/// The fog images that measure generalization show the pictures that drawdown is measured on, and
/// neither the guard set's nor the repair set's.
pub(super) fn squeezenet_in_fog(world: &World) -> miette::Result<Rc<Bench>> {
    let clean = squeezenet(world, "squeezenet 1.1", "squeezenet1_1.safetensors")?;
    world.benches.get("squeezenet 1.1 fog", || {
        let pool = sample(world, true)?;
        let mut turned = wrong(&answers(&clean.subject.network, &pool)?, &pool.labels);
        turned.retain(|position| !clean.wrong.contains(position));
        Ok(Bench {
            name: "squeezenet 1.1 fog".to_owned(),
            subject: clean.subject.clone(),
            // The other guard images show pictures that are repaired in fog.
            guard: validation(world, 0, false)?,
            held_out: clean.held_out.clone(),
            similar: Some(validation(world, 1, true)?),
            wrong: turned,
            // The other pictures of the repair set's source, which score nothing.
            margin: NARROW,
            selection: Some([pool.clone(), sample(world, false)?]),
            clean: None,
            like: None,
            pool,
            counts_shared: false,
            steady: None,
        })
    })
}

/// MobileViT-XXS; misclassified test images are repaired.
pub(super) fn mobilevit(world: &World) -> miette::Result<Rc<Bench>> {
    world.benches.get("mobilevit fashion", || {
        let subject = world.subject("mobilevit_fashion/model.safetensors", Precision::F32)?;
        say("loads Fashion-MNIST");
        let folder = fashion_folder();
        let test = data::mnist::load_test(&folder).into_diagnostic()?;
        let train = data::mnist::load(
            &folder.join("train-images-idx3-ubyte.gz"),
            &folder.join("train-labels-idx1-ubyte.gz"),
            "fashion-train",
        );
        let train = train.into_diagnostic()?;
        let [guard, selection] =
            data::draw(train.len(), FASHION_TRAINING, SPLIT_SEED).into_diagnostic()?;
        let [middle, end] = FASHION_TEST;
        let inputs = |grey: &Dataset, positions: &[usize]| {
            let grey = grey.subset(positions).into_diagnostic()?;
            let inputs = presets::mobilevit_fashion().apply_to(&grey);
            inputs.into_diagnostic().map(Rc::new)
        };
        let pool = inputs(&test, &(0..middle).collect::<Vec<_>>())?;
        Ok(Bench {
            name: "mobilevit fashion".to_owned(),
            wrong: wrong(&answers(&subject.network, &pool)?, &pool.labels),
            guard: inputs(&train, &guard)?,
            held_out: inputs(&test, &(middle..end).collect::<Vec<_>>())?,
            clean: Some(inputs(&train, &selection)?),
            like: None,
            subject,
            pool,
            counts_shared: false,
            similar: None,
            steady: None,
            margin: NARROW,
            selection: None,
        })
    })
}

/// Where Fashion-MNIST lies: `$FASHION_MNIST`, else where its Debian package puts it.
pub(super) fn fashion_folder() -> PathBuf {
    let given = std::env::var_os("FASHION_MNIST").map(PathBuf::from);
    given.unwrap_or_else(|| PathBuf::from("/usr/share/datasets/fashion-mnist"))
}

fn sample_source(world: &World) -> miette::Result<ImageFolder> {
    let folder = world.path("imagenet_sample");
    let (table, images) = (folder.join("labels.csv"), folder.join("short256"));
    ImageFolder::open_table(&table, &images, "imagenet-sample", CLASSES).into_diagnostic()
}

/// The pictures of `imagenet_sample`.
fn sample(world: &World, in_fog: bool) -> miette::Result<Rc<Dataset>> {
    world
        .datasets
        .get(&format!("imagenet_sample {in_fog}"), || {
            let source = sample_source(world)?;
            let all: Vec<usize> = (0..source.len()).collect();
            load(&source, &all, &presets::squeezenet(), in_fog)
        })
}

/// Guard images: some of `imagenet_val`, and those of `imagenet_sample` that are right and are
/// never repaired, cut to the same extents.
fn guard(world: &World, right: &[usize]) -> miette::Result<Dataset> {
    let validation = validation(world, 0, false)?;
    let squeezenet = presets::squeezenet();
    let [_, height, width] = [0, 1, 2].map(|axis| validation.shape[axis]);
    let preprocessing = Preprocessing {
        crop: squeezenet.crop.map(|crop| Crop {
            height,
            width,
            ..crop
        }),
        ..squeezenet
    };
    let sample = load(&sample_source(world)?, right, &preprocessing, false)?;
    Dataset::concat(&[&validation, &sample]).into_diagnostic()
}

/// A part of `imagenet_val`, by its position in [`VALIDATION`].
fn validation(world: &World, part: usize, in_fog: bool) -> miette::Result<Rc<Dataset>> {
    let name = format!("imagenet_val {part} {in_fog}");
    world.datasets.get(&name, || {
        let folder = world.path("imagenet_val");
        let (table, images) = (folder.join("labels.csv"), folder.join("images227"));
        let source = ImageFolder::open_table(&table, &images, "imagenet-val", CLASSES);
        let source = source.into_diagnostic()?;
        let parts = data::draw(source.len(), VALIDATION, SPLIT_SEED).into_diagnostic()?;
        // These pictures are resized already; the network takes all of their pixels.
        let preprocessing = Preprocessing {
            resize: None,
            crop: None,
            ..presets::squeezenet()
        };
        load(&source, &parts[part], &preprocessing, in_fog)
    })
}

fn load(
    source: &ImageFolder,
    positions: &[usize],
    preprocessing: &Preprocessing,
    in_fog: bool,
) -> miette::Result<Dataset> {
    let weather = if in_fog { ", in fog" } else { "" };
    say(&format!(
        "loads {} of {}{weather}",
        positions.len(),
        source.name()
    ));
    let stage = if in_fog { Stage::Pixels } else { Stage::Inputs };
    let set = data::image::load(source, positions, preprocessing, stage, &mut |_| {});
    let set = set.into_diagnostic()?;
    if !in_fog {
        return Ok(set);
    }
    let severity = Severity::try_from(SEVERITY).into_diagnostic()?;
    let foggy = Corruption::Fog.corrupt(&set, Some(severity), SPLIT_SEED);
    preprocessing
        .normalised(&foggy.into_diagnostic()?)
        .into_diagnostic()
}
