//! Trains the networks that ship in `weights/`.
//!
//! MNIST's first 50,000 training images train; the last 10,000 are held out, so
//! that experiments can take guard and selection inputs that the network has not
//! seen; the test set only measures. The same seed gives the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use clap::ValueEnum;
use data::Dataset;
use data::mnist::{self, Origin};
use experiments::terminal;
use indicatif::{ProgressBar, ProgressStyle};
use miette::{Context, IntoDiagnostic, miette};
use network::{Activation, DeviceChoice, Model, Network, Precision, Value, mlp};

use crate::files::refuse_input;
use crate::tidy::workspace_root;

const TRAINING_IMAGES: usize = 50_000;
const BATCH: usize = 100;
/// The words for images and for their labels in the names of MNIST's files.
const KINDS: [&str; 2] = ["images-idx3", "labels-idx1"];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Train a multilayer perceptron on MNIST
    MnistMlp(MnistMlp),
}

#[derive(clap::Args)]
struct MnistMlp {
    /// Layers and width: 3x100 is 784-100-100-10
    #[arg(long, value_enum, default_value = "3x100")]
    shape: Shape,
    /// Folder with MNIST's four original files [default: $INFORMED_REPAIR_ASSETS/mnist]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seed of the initial weights and of the order of the images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 15)]
    epochs: usize,
    /// File to write [default: weights/mnist_<shape>.safetensors of the repository]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    #[value(name = "3x100")]
    ThreeByHundred,
    #[value(name = "9x100")]
    NineByHundred,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::ThreeByHundred => "3x100",
            Self::NineByHundred => "9x100",
        }
    }

    /// Widths of all layers, input first.
    fn widths(self) -> Vec<usize> {
        let hidden = match self {
            Self::ThreeByHundred => 2,
            Self::NineByHundred => 8,
        };
        let mut widths = vec![mnist::PIXELS];
        widths.extend(std::iter::repeat_n(100, hidden));
        widths.push(mnist::CLASSES);
        widths
    }
}

pub(crate) fn run(args: &Args) -> miette::Result<ExitCode> {
    let What::MnistMlp(args) = &args.what;
    let folder = match (&args.data, std::env::var_os("INFORMED_REPAIR_ASSETS")) {
        (Some(folder), _) => folder.clone(),
        (None, Some(assets)) => PathBuf::from(assets).join("mnist"),
        (None, None) => {
            return Err(miette!(
                "no training images: give `--data DIR` or set INFORMED_REPAIR_ASSETS"
            ));
        }
    };
    let out = args.out.clone().unwrap_or_else(|| {
        workspace_root().join(format!("weights/mnist_{}.safetensors", args.shape.name()))
    });
    for part in ["train", "t10k"] {
        for kind in KINDS {
            refuse_input(&out, &file(&folder, part, kind))?;
        }
    }
    let train = load(&folder, "train")?;
    let train = train
        .subset(&(0..TRAINING_IMAGES).collect::<Vec<_>>())
        .into_diagnostic()?;
    let test = load(&folder, "t10k")?;

    let device = DeviceChoice::Flex.open().into_diagnostic()?;
    let initial =
        mlp::random(&args.shape.widths(), Activation::Relu, args.seed).into_diagnostic()?;
    let network = Network::load(&initial, &device.autodiff(), Precision::F32).into_diagnostic()?;
    let network = fit(network, &train, args)?;
    let accuracy = accuracy(&network, &test)?;

    let checkpoint = checkpoint(&initial, &network, args, accuracy)?;
    checkpoint.write(&out).into_diagnostic()?;
    terminal::print(format_args!(
        "{}: {accuracy:.2} % of {} test images",
        out.display(),
        test.len()
    ));
    Ok(ExitCode::SUCCESS)
}

fn load(folder: &Path, part: &str) -> miette::Result<Dataset> {
    let origin = Origin {
        source: part,
        first_index: 0,
        variant: "clean",
    };
    let [images, labels] = KINDS.map(|kind| file(folder, part, kind));
    mnist::load(&images, &labels, origin)
        .into_diagnostic()
        .with_context(|| format!("MNIST's original files are needed in {}", folder.display()))
}

/// One of MNIST's original files.
fn file(folder: &Path, part: &str, kind: &str) -> PathBuf {
    folder.join(format!("{part}-{kind}-ubyte.gz"))
}

/// Adam on the cross-entropy, its rate falling to zero along a cosine.
fn fit(mut network: Network, train: &Dataset, args: &MnistMlp) -> miette::Result<Network> {
    let mut adam: ModuleOptimizer = AdamConfig::new().init();
    let steps = args.epochs * train.len() / BATCH;
    let bar = ProgressBar::new(steps as u64);
    let style = "{bar:40} step {pos}/{len}, {eta} left, loss {msg}";
    bar.set_style(ProgressStyle::with_template(style).into_diagnostic()?);
    let mut step = 0;
    for epoch in 0..args.epochs {
        let seed = args.seed.wrapping_mul(1000).wrapping_add(epoch as u64);
        let order = data::split::sample(train.len(), train.len(), seed).into_diagnostic()?;
        for chosen in order.chunks(BATCH) {
            let batch = train.subset(chosen).into_diagnostic()?;
            let x = network.batch(&batch.inputs).into_diagnostic()?;
            let one_hot = Value::from_f32(
                &one_hot(&batch),
                &[batch.len(), batch.classes],
                network.device(),
                Precision::F32,
            )
            .and_then(|value| value.matrix("labels"))
            .into_diagnostic()?;
            let logits = network
                .forward(x)
                .and_then(|y| y.matrix("logits"))
                .into_diagnostic()?;
            let loss = (log_softmax(logits, 1) * one_hot).sum().neg() / batch.len() as f64;
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            let rate = 0.5e-3 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
            network = adam.step(rate, network, gradients);
            step += 1;
            if step % 50 == 0 {
                terminal::message(&bar, &format!("{:.4}", loss.into_scalar::<f32>()));
            }
            bar.inc(1);
        }
    }
    bar.finish();
    Ok(network)
}

fn one_hot(batch: &Dataset) -> Vec<f32> {
    let mut rows = vec![0.0; batch.len() * batch.classes];
    for (i, &label) in batch.labels.iter().enumerate() {
        rows[i * batch.classes + label] = 1.0;
    }
    rows
}

fn accuracy(network: &Network, test: &Dataset) -> miette::Result<f64> {
    let logits = network
        .batch(&test.inputs)
        .and_then(|x| network.forward(x))
        .and_then(|y| y.to_vec())
        .into_diagnostic()?;
    let right = logits
        .chunks_exact(test.classes)
        .zip(&test.labels)
        .filter(|&(outputs, &label)| repair::largest(outputs) == label);
    Ok(100.0 * right.count() as f64 / test.len() as f64)
}

fn checkpoint(
    initial: &Model,
    network: &Network,
    args: &MnistMlp,
    accuracy: f64,
) -> miette::Result<Model> {
    let mut tensors = Vec::new();
    for spec in network.graph().parameters() {
        let numbers = network.tensor(&spec.name).into_diagnostic()?;
        tensors.push((
            spec.name,
            spec.shape,
            numbers.into_iter().map(|x| x as f32).collect(),
        ));
    }
    let mut metadata: BTreeMap<String, String> = initial.metadata().clone();
    let mut note = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    note("answer", "largest".to_owned());
    note("input", "pixels/255, 784 numbers, row-major".to_owned());
    note(
        "accuracy",
        format!("{accuracy:.2} % of MNIST's 10,000 test images"),
    );
    note(
        "training",
        format!(
            "first {TRAINING_IMAGES} MNIST training images, Adam, {} epochs, batches of {BATCH}",
            args.epochs
        ),
    );
    note("seed", args.seed.to_string());
    note(
        "command",
        format!(
            "cargo xtask train mnist-mlp --shape {} --seed {} --epochs {}",
            args.shape.name(),
            args.seed,
            args.epochs
        ),
    );
    Model::from_f32(&tensors, &metadata, "trained perceptron").into_diagnostic()
}
