//! Speed of the four architectures on the flex device, beside PyTorch's in the same run.
//!
//! ```text
//! cargo bench -p network --bench forward                        # PyTorch: python3, or $PYTHON
//! cargo bench -p network --bench forward -- squeezenet          # networks by part of the name
//! ```
//!
//! One table per network: least wall time of forward passes, and of forward and backward passes
//! to the input, at batch 1 and 16. Both sides take turns, so that a busy machine slows both;
//! `RAYON_NUM_THREADS` sets the threads of both. Weights are random (speed does not depend on
//! them), except MobileViT's, which come from `$INFORMED_REPAIR_ASSETS`. `cold` is loading and
//! the first outputs.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use network::{
    Activation, Checkpoint, Device, DeviceChoice, Model, Network, Precision, Value, mlp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Failure = Box<dyn Error>;
type Source = fn() -> Result<Model, Failure>;

/// Turns that each side takes.
const TURNS: usize = 5;
/// Seconds of a turn.
const TURN: f64 = 0.25;
const BATCHES: [usize; 2] = [1, 16];
/// Tokens of a sentence.
const TOKENS: usize = 128;

fn main() -> Result<(), Failure> {
    // Cargo passes `--bench`; what else is given selects networks.
    let selected: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let threads = match std::env::var("RAYON_NUM_THREADS").map(|n| n.parse()) {
        Ok(Ok(threads)) => threads,
        _ => std::thread::available_parallelism()?.get(),
    };
    let mut torch = match Torch::start(threads) {
        Ok(torch) => {
            println!("PyTorch {}, {threads} threads each", torch.version);
            Some(torch)
        }
        Err(reason) => {
            println!("no PyTorch, so no ratios: {reason}");
            println!("set PYTHON to an interpreter with torch, torchvision, timm, transformers");
            None
        }
    };
    let cases: [(&str, Source); 4] = [
        ("mlp 9x200", perceptron),
        ("squeezenet 1.1", squeezenet),
        ("mobilevit xxs", mobilevit),
        ("distilbert base", distilbert),
    ];
    for (name, checkpoint) in cases {
        if selected.is_empty() || selected.iter().any(|part| name.contains(part)) {
            match checkpoint() {
                Ok(checkpoint) => table(name, &checkpoint, torch.as_mut())?,
                Err(reason) => println!("\n{name}\nskipped: {reason}"),
            }
        }
    }
    Ok(())
}

/// Measures and prints one network.
fn table(name: &str, checkpoint: &Model, mut torch: Option<&mut Torch>) -> Result<(), Failure> {
    let device = DeviceChoice::Flex.open()?;
    let begin = Instant::now();
    let network = Network::load(checkpoint, &device, Precision::F32)?;
    network.forward(input(&network, 1, &device)?)?.to_vec()?;
    let cold = begin.elapsed().as_secs_f64() * 1e3;
    println!("\n{name} (cold {cold:.0} ms)");
    println!(
        "{:<10} {:>6} {:>10} {:>10} {:>7}",
        "pass", "batch", "ours ms", "torch ms", "ratio"
    );
    for kind in ["forward", "gradient"] {
        for batch in BATCHES {
            let x = input(&network, batch, &device)?;
            let labels: Vec<usize> = (0..batch).map(|i| i % network.classes()).collect();
            let run = || -> Result<(), Failure> {
                let result = match kind {
                    "forward" => network.forward(x.clone())?,
                    _ => network.loss_gradient(differentiable(&network), x.clone(), &labels)?,
                };
                std::hint::black_box(result);
                Ok(())
            };
            run()?;
            let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..TURNS {
                ours = ours.min(least(&run)?);
                if let Some(torch) = torch.as_deref_mut() {
                    theirs = theirs.min(torch.measure(name, kind, batch)?);
                }
            }
            match torch {
                Some(_) => println!(
                    "{kind:<10} {batch:>6} {ours:>10.2} {theirs:>10.2} {:>7.2}",
                    ours / theirs
                ),
                None => println!("{kind:<10} {batch:>6} {ours:>10.2} {:>10} {:>7}", "-", "-"),
            }
        }
    }
    Ok(())
}

/// Least milliseconds of the repetitions that fit into a turn.
fn least(run: &impl Fn() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    loop {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
        if begin.elapsed().as_secs_f64() > TURN {
            return Ok(best);
        }
    }
}

/// The first node with a gradient: the input, or the word vectors of a text.
fn differentiable(network: &Network) -> usize {
    let words = |name: &str| name.ends_with("word_embeddings");
    let nodes = network.graph().nodes();
    nodes.iter().position(|node| words(&node.name)).unwrap_or(0)
}

fn input(network: &Network, batch: usize, device: &Device) -> Result<Value, Failure> {
    let mut shape = network.graph().input_shape().to_vec();
    let is_text = differentiable(network) > 0;
    if is_text {
        shape[1] = TOKENS;
    }
    let one: usize = shape.iter().product();
    let numbers: Vec<f32> = if is_text {
        // A plane of words and a plane of ones.
        let plane = |i: usize| i / TOKENS % 2;
        (0..batch * one)
            .map(|i| {
                if plane(i) == 0 {
                    (i % 30_000) as f32
                } else {
                    1.0
                }
            })
            .collect()
    } else {
        random(batch * one, 1.0, &mut ChaCha8Rng::seed_from_u64(1))
    };
    shape.insert(0, batch);
    Ok(Value::from_f32(&numbers, &shape, device, Precision::F32)?)
}

fn random(count: usize, bound: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count)
        .map(|_| rng.random_range(-bound..bound))
        .collect()
}

/// Tensors that are filled at random: uniform in ±1/√inputs.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>)>);

impl Tensors {
    /// `<name>.weight` of the given shape and, per output, `<name>.bias`.
    fn push(&mut self, name: &str, shape: &[usize]) {
        self.0.push((format!("{name}.weight"), shape.to_vec()));
        self.0.push((format!("{name}.bias"), shape[..1].to_vec()));
    }

    fn checkpoint(self, origin: &str) -> Result<Checkpoint, Failure> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut filled = Vec::new();
        for (name, shape) in self.0 {
            let inputs: usize = shape[1..].iter().product();
            let numbers = random(
                shape.iter().product(),
                1.0 / (inputs as f32).sqrt(),
                &mut rng,
            );
            filled.push((name, shape, numbers));
        }
        Ok(Checkpoint::from_f32(&filled, &BTreeMap::new(), origin)?)
    }
}

fn perceptron() -> Result<Model, Failure> {
    let mut widths = vec![200; 11];
    (widths[0], widths[10]) = (784, 10);
    Ok(mlp::random(&widths, Activation::Relu, 0)?)
}

fn squeezenet() -> Result<Model, Failure> {
    // Position, channels in, squeezed, and of each expansion.
    const FIRES: [(usize, [usize; 3]); 8] = [
        (3, [64, 16, 64]),
        (4, [128, 16, 64]),
        (6, [128, 32, 128]),
        (7, [256, 32, 128]),
        (9, [256, 48, 192]),
        (10, [384, 48, 192]),
        (11, [384, 64, 256]),
        (12, [512, 64, 256]),
    ];
    let mut tensors = Tensors::default();
    tensors.push("features.0", &[64, 3, 3, 3]);
    for (position, [inputs, squeezed, expanded]) in FIRES {
        let name = |part: &str| format!("features.{position}.{part}");
        tensors.push(&name("squeeze"), &[squeezed, inputs, 1, 1]);
        tensors.push(&name("expand1x1"), &[expanded, squeezed, 1, 1]);
        tensors.push(&name("expand3x3"), &[expanded, squeezed, 3, 3]);
    }
    tensors.push("classifier.1", &[1000, 512, 1, 1]);
    Ok(Model::new(tensors.checkpoint("random squeezenet 1.1")?)?)
}

fn mobilevit() -> Result<Model, Failure> {
    let assets = std::env::var_os("INFORMED_REPAIR_ASSETS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
        PathBuf::from,
    );
    let path = assets.join("random_refs/timm_mobilevit_xxs.random.safetensors");
    if !path.exists() {
        return Err(format!("there is no `{}`", path.display()).into());
    }
    Ok(Model::open(&path)?)
}

fn distilbert() -> Result<Model, Failure> {
    let (dim, hidden, depth) = (768, 3072, 6);
    let mut tensors = Tensors::default();
    let embeddings = "distilbert.embeddings";
    for (table, rows) in [("word_embeddings", 30_522), ("position_embeddings", 512)] {
        tensors
            .0
            .push((format!("{embeddings}.{table}.weight"), vec![rows, dim]));
    }
    tensors.push(&format!("{embeddings}.LayerNorm"), &[dim]);
    for block in 0..depth {
        let name = |part: &str| format!("distilbert.transformer.layer.{block}.{part}");
        for part in ["q_lin", "k_lin", "v_lin", "out_lin"] {
            tensors.push(&name(&format!("attention.{part}")), &[dim, dim]);
        }
        tensors.push(&name("sa_layer_norm"), &[dim]);
        tensors.push(&name("ffn.lin1"), &[hidden, dim]);
        tensors.push(&name("ffn.lin2"), &[dim, hidden]);
        tensors.push(&name("output_layer_norm"), &[dim]);
    }
    tensors.push("pre_classifier", &[dim, dim]);
    tensors.push("classifier", &[2, dim]);
    let config =
        serde_json::json!({"model_type": "distilbert", "n_heads": 12, "activation": "gelu"});
    let checkpoint = tensors.checkpoint("random distilbert base")?;
    Ok(Model::new(checkpoint.with_config(config))?)
}

/// The Python side: a child that answers one line per request.
struct Torch {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Torch {
    fn start(threads: usize) -> Result<Self, Failure> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/torch_speed.py");
        let mut child = Command::new(&python)
            .args([script, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("`{python}` does not start: {error}"))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().ok_or("no pipe from the child")?;
        let mut torch = Self {
            child,
            requests,
            answers: BufReader::new(answers),
            version: String::new(),
        };
        let hello = torch
            .answer()
            .map_err(|_| format!("`{python}` has no torch"))?;
        torch.version = hello["torch"].as_str().unwrap_or("?").to_owned();
        Ok(torch)
    }

    /// Least milliseconds of one turn.
    fn measure(&mut self, name: &str, kind: &str, batch: usize) -> Result<f64, Failure> {
        let requests = self
            .requests
            .as_mut()
            .ok_or("the child's input is closed")?;
        writeln!(requests, "{name}\t{kind}\t{batch}\t{TURN}")?;
        requests.flush()?;
        let answer = self.answer()?;
        match answer["ms"].as_f64() {
            Some(ms) => Ok(ms),
            None => Err(format!("PyTorch on {name}: {}", answer["error"]).into()),
        }
    }

    fn answer(&mut self) -> Result<serde_json::Value, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // The end of its input ends the child.
        self.requests = None;
        let _ = self.child.wait();
    }
}
