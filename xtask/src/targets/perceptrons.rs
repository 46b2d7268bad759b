//! The MNIST perceptrons, in the protocol of APRNN's experiment 1 and on mixed errors.
//!
//! Tao, Nawas, Mitchell & Thakur, "Architecture-Preserving Provable Repair of Deep Neural
//! Networks", PLDI 2023. The guard set is from MNIST's training images.

use std::ops::Range;
use std::rc::Rc;

use data::dataset::CLEAN;
use data::mnist::{self, Origin};
use data::{Corruption, Dataset};
use miette::IntoDiagnostic;
use network::Precision;

use super::measure::{Bench, NARROW, WIDE};
use super::score::{answers, wrong};
use super::world::{Subject, World, say};

/// Guard images: the first of MNIST's training images.
const GUARD: usize = 5000;
/// Training images on which a layer is chosen.
const SELECTION: Range<usize> = GUARD..GUARD + 2000;
/// Fog images that measure generalization.
const SIMILAR: Range<usize> = 1100..10_000;
/// Where mixed errors come from: kinds of `mnist_c`, and the clean test images.
const MIXTURE: [&str; 5] = ["fog", "rotate", "translate", "brightness", CLEAN];

/// A network, e.g. `3x100`, on fog images: the first of them are repaired.
pub(super) fn fog(world: &World, network: &str) -> miette::Result<Rc<Bench>> {
    let name = format!("mnist {network} fog");
    world.benches.get(&name, || {
        let subject = subject(world, network)?;
        let pool = test(world, "fog")?;
        Ok(Bench {
            guard: guard(world)?,
            held_out: test(world, CLEAN)?,
            similar: Some(world.datasets.get("fog for generalization", || {
                pool.subset(&SIMILAR.collect::<Vec<_>>()).into_diagnostic()
            })?),
            wrong: wrong(&answers(&subject.network, &pool)?, &pool.labels),
            name: name.clone(),
            subject,
            pool,
            // The protocol measures drawdown on all test images.
            counts_shared: true,
            steady: None,
            margin: WIDE,
            selection: None,
            clean: Some(selection(world)?),
            like: Some(foggy(world)?),
        })
    })
}

/// A network on clean and corrupted images: wrong ones of every kind are repaired.
pub(super) fn mixed(world: &World, network: &str) -> miette::Result<Rc<Bench>> {
    let name = format!("mnist {network} mixed");
    world.benches.get(&name, || {
        let subject = subject(world, network)?;
        let pool = world.datasets.get("mixed", || {
            let kinds = MIXTURE.iter().map(|kind| test(world, kind));
            let kinds = kinds.collect::<miette::Result<Vec<_>>>()?;
            let parts: Vec<&Dataset> = kinds.iter().map(|kind| &**kind).collect();
            Dataset::concat(&parts).into_diagnostic()
        })?;
        Ok(Bench {
            guard: guard(world)?,
            held_out: test(world, CLEAN)?,
            wrong: wrong(&answers(&subject.network, &pool)?, &pool.labels),
            name: name.clone(),
            subject,
            pool,
            counts_shared: false,
            similar: None,
            steady: None,
            margin: NARROW,
            selection: None,
            clean: Some(selection(world)?),
            like: None,
        })
    })
}

fn subject(world: &World, network: &str) -> miette::Result<Rc<Subject>> {
    let file = format!("mlp/mnist/mnist_relu_{network}.safetensors");
    world.subject(&file, Precision::F64)
}

fn guard(world: &World) -> miette::Result<Rc<Dataset>> {
    world.datasets.get("mnist guard", || train(world, 0..GUARD))
}

fn selection(world: &World) -> miette::Result<Rc<Dataset>> {
    world
        .datasets
        .get("mnist selection", || train(world, SELECTION))
}

/// The same images in fog.
fn foggy(world: &World) -> miette::Result<Rc<Dataset>> {
    let clean = selection(world)?;
    world.datasets.get("mnist selection in fog", || {
        Corruption::Fog.corrupt(&clean, None, 0).into_diagnostic()
    })
}

/// Some of MNIST's training images.
fn train(world: &World, positions: Range<usize>) -> miette::Result<Dataset> {
    say("loads MNIST's training images");
    let folder = world.path("mnist");
    let train = mnist::load(
        &folder.join("train-images-idx3-ubyte.gz"),
        &folder.join("train-labels-idx1-ubyte.gz"),
        "mnist-train",
    );
    let positions: Vec<usize> = positions.collect();
    train
        .into_diagnostic()?
        .subset(&positions)
        .into_diagnostic()
}

/// The test images, clean or as `mnist_c` corrupts them.
fn test(world: &World, kind: &str) -> miette::Result<Rc<Dataset>> {
    world.datasets.get(&format!("mnist test {kind}"), || {
        say(&format!("loads MNIST's test images, {kind}"));
        let images = match kind {
            CLEAN => world.path("mnist/t10k-images-idx3-ubyte.gz"),
            kind => world.path(format!("mnist_c/{kind}-test-images-idx3-ubyte.gz")),
        };
        let origin = Origin {
            source: "mnist-test",
            first_index: 0,
            variant: kind,
        };
        let labels = world.path("mnist/t10k-labels-idx1-ubyte.gz");
        mnist::load(&images, &labels, origin).into_diagnostic()
    })
}
