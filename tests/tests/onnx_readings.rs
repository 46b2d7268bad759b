//! The two readings of an ONNX file say the same: the graph that is made of it, and the file itself, node by
//! node. Files are those of the fuzz corpora, and graphs that are drawn at random.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;

use model::onnx::proto::{ModelProto, NodeProto};
use model::{Model, OpenOptions};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use repair::{Evaluator, OnnxEvaluator};
use workspace_tests::formats::{beside_onnx, onnx_file};
use workspace_tests::repository;

/// Graphs that are drawn.
const DRAWN: u64 = 3000;
/// Choices of a drawn graph.
const CHOICES: usize = 100;
/// Numbers of an input that takes no long time.
const NUMBERS: usize = 4096;
/// By how much of the largest output the readings may differ: both compute in f64, in another order.
const DIFFERENCE: f64 = 1e-6;

/// What became of files.
#[derive(Debug, Default)]
struct Count {
    refused: usize,
    refused_by_the_second: usize,
    equal: usize,
    different: Vec<String>,
}

impl Count {
    /// Reads a file twice.
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let options = OpenOptions {
            tokens: Some(6),
            ..OpenOptions::default()
        };
        let model = Model::from_onnx(bytes.clone(), vec![beside_onnx()], name, &options);
        let Ok(model) = model else {
            self.refused += 1;
            return;
        };
        let shape = model.graph().input_shape().to_owned();
        if shape.iter().product::<usize>() > NUMBERS {
            self.refused += 1;
            return;
        }
        let input = input(&shape);
        match (
            graph_reading(&model, &input),
            file_reading(&model, &bytes, &shape, &input),
        ) {
            (_, None) => self.refused_by_the_second += 1,
            (Ok(graph), Some(file)) if agree(&graph, &file) => self.equal += 1,
            (graph, Some(file)) => self
                .different
                .push(format!("{name}: {graph:?}, but {file:?}")),
        }
    }
}

/// An example: small numbers, ones where tokens are masked.
fn input(shape: &[usize]) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let is_text = shape.len() == 2 && shape[0] == 2;
    let count = shape.iter().product();
    let number = |_| match is_text {
        true => 1.0,
        false => f64::from(rng.random_range(-64..64_i32)) / 16.0,
    };
    (0..count).map(number).collect()
}

fn graph_reading(model: &Model, input: &[f64]) -> Result<Vec<f64>, String> {
    let evaluator = Evaluator::new(model).map_err(|error| error.to_string())?;
    evaluator.outputs(input).map_err(|error| error.to_string())
}

/// The scores that the file says, where it is read and the network can take the input.
fn file_reading(model: &Model, bytes: &[u8], shape: &[usize], input: &[f64]) -> Option<Vec<f64>> {
    let (side, content) = beside_onnx();
    let external = |name: &str| match name == side {
        true => Ok(content.clone()),
        false => Err(Error::from(ErrorKind::NotFound)),
    };
    let evaluator = OnnxEvaluator::new(bytes, &external, model.origin()).ok()?;
    let inputs = evaluator.inputs_of(shape, input).ok()?;
    let outputs = evaluator.outputs(&inputs).ok()?;
    // A file that ends in an answer has no scores.
    let ends_in_scores = outputs.len() == model.output_graph().classes();
    ends_in_scores.then(|| model.answer().scores(&outputs))
}

/// Whether outputs are equal up to rounding; what is no number is none in both.
fn agree(graph: &[f64], file: &[f64]) -> bool {
    let finite = file.iter().chain(graph).filter(|y| y.is_finite());
    let scale = finite.fold(1.0, |scale: f64, y| scale.max(y.abs()));
    let close = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= DIFFERENCE * scale
    };
    graph.len() == file.len() && graph.iter().zip(file).all(close)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folders = ["corpus", "regressions"].map(|kind| repository().join("tests/fuzz").join(kind));
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder.join(target)));
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read(&path).unwrap());
    files.into_iter().map(read).collect()
}

#[test]
fn files_of_the_corpora_have_one_meaning() {
    let mut count = Count::default();
    for (name, bytes) in corpus("onnx") {
        count.add(&name, bytes);
    }
    for (name, choices) in corpus("onnx_graph") {
        count.add(&name, onnx_file(&choices));
    }
    assert!(count.different.is_empty(), "{count:#?}");
    assert!(count.equal > 10, "{count:#?}");
}

#[test]
fn what_an_operator_must_say_is_not_assumed() {
    let node = NodeProto {
        op_type: "Concat".to_owned(),
        input: vec!["x".to_owned(), "x".to_owned()],
        output: vec!["joined".to_owned()],
        ..NodeProto::default()
    };
    let choices = [0, 0];
    let mut file = ModelProto::decode(onnx_file(&choices).as_slice()).unwrap();
    let graph = file.graph.as_mut().unwrap();
    graph.output[0].name = "joined".to_owned();
    graph.node = vec![node];
    file.opset_import[0].version = 13;
    let bytes = file.encode_to_vec();
    let refusal = Model::from_onnx(bytes, vec![], "concat", &OpenOptions::default()).unwrap_err();
    assert!(refusal.to_string().contains("lacks its axis"), "{refusal}");
}

#[test]
fn drawn_graphs_have_one_meaning() {
    let mut count = Count::default();
    for seed in 0..DRAWN {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let choices: Vec<u8> = (0..CHOICES).map(|_| rng.random()).collect();
        let length = rng.random_range(4..CHOICES);
        count.add(&format!("seed {seed}"), onnx_file(&choices[..length]));
    }
    assert!(count.different.is_empty(), "{count:#?}");
    assert!(count.equal > 20, "{count:#?}");
}
