use std::collections::{BTreeMap, BTreeSet};

use model::ops::embedding::Key;
use model::{AveragePool, BatchNorm, Conv2d, Embedding, LayerNorm, Linear, MaxPool};

use super::*;
use crate::{Activation, Checkpoint, Graph, NodeId, Op, mlp};

/// A device that computes as flex does, and then something is done to its answer.
struct Tampered<F>(F);

impl<F: Fn(&str, &mut Answer)> Answers for Tampered<F> {
    fn answer(
        &self,
        question: &Question<'_>,
        precision: Precision,
    ) -> Result<Answer, NetworkError> {
        let mut answer = Device::flex().answer(question, precision)?;
        (self.0)(question.title(), &mut answer);
        Ok(answer)
    }
}

/// A graph with one input and a growing list of nodes.
struct Builder(Graph);

impl Builder {
    fn push(&mut self, op: Op, sources: &[NodeId]) -> NodeId {
        let name = format!("node {}", self.0.nodes().len());
        self.0.push(name, op, sources).unwrap()
    }
}

fn convolution(name: &str, channels: [usize; 2], stride: usize, groups: usize) -> Op {
    Op::Conv2d(Conv2d {
        weight: format!("{name}.weight"),
        bias: Some(format!("{name}.bias")),
        inputs: channels[0],
        outputs: channels[1],
        kernel: [3; 2],
        stride: [stride; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups,
    })
}

fn linear(name: &str, inputs: usize, outputs: usize) -> Op {
    Op::Linear(Linear {
        weight: format!("{name}.weight"),
        bias: None,
        inputs,
        outputs,
    })
}

/// Images of two channels: convolutions of two kinds, pools, patches, and two that are the same.
fn images() -> Graph {
    let mut graph = Builder(Graph::new(&[2, 9, 8]));
    let norm = |name: &str| {
        Op::BatchNorm(BatchNorm {
            weight: format!("{name}.weight"),
            bias: format!("{name}.bias"),
            mean: format!("{name}.mean"),
            variance: format!("{name}.variance"),
            channels: 4,
            epsilon: 1e-5,
        })
    };
    let stem = graph.push(convolution("stem", [2, 4], 2, 1), &[0]);
    let stem = graph.push(norm("first"), &[stem]);
    let stem = graph.push(Op::Activation(Activation::Relu), &[stem]);
    let left = graph.push(convolution("left", [4, 4], 1, 1), &[stem]);
    let right = graph.push(convolution("right", [4, 4], 1, 1), &[stem]);
    let depth = graph.push(convolution("depth", [4, 4], 1, 4), &[right]);
    let silu = graph.push(Op::Activation(Activation::Silu), &[depth]);
    let sum = graph.push(Op::Add, &[left, silu]);
    let product = graph.push(Op::Multiply, &[sum, left]);
    let patches = graph.push(Op::Unfold { patch: 2 }, &[product]);
    let folded = graph.push(Op::Fold { patch: 2 }, &[patches, product]);
    let both = graph.push(Op::Concat, &[folded, product]);
    let pool = graph.push(Op::MaxPool(MaxPool::square(3, 1, false)), &[both]);
    let average = AveragePool {
        kernel: [2; 2],
        stride: [1; 2],
    };
    let pool = graph.push(Op::AveragePool(average), &[pool]);
    let pool = graph.push(Op::GlobalAveragePool, &[pool]);
    let logits = graph.push(linear("classifier", 8, 3), &[pool]);
    graph.push(Op::Softmax, &[logits]);
    graph.0
}

/// Sentences: tables, masked attention with two heads, and what else reads features.
fn sentences() -> Graph {
    let mut graph = Builder(Graph::new(&[2, 6]));
    let table = |name: &str, key, rows| {
        Op::Embedding(Embedding {
            weight: name.into(),
            key,
            rows,
            features: 4,
        })
    };
    let norm = Op::LayerNorm(LayerNorm {
        weight: "norm.weight".into(),
        bias: "norm.bias".into(),
        features: 4,
        epsilon: 1e-12,
    });
    let words = graph.push(table("words", Key::Word, 9), &[0]);
    let positions = graph.push(table("positions", Key::Position, 7), &[0]);
    let sum = graph.push(Op::Add, &[words, positions]);
    let x = graph.push(norm, &[sum]);
    let mask = graph.push(Op::TokenMask, &[0]);
    let heads: Vec<NodeId> = ["q", "k", "v"]
        .iter()
        .map(|name| {
            let mapped = graph.push(linear(name, 4, 4), &[x]);
            graph.push(Op::SplitHeads { heads: 2 }, &[mapped])
        })
        .collect();
    let scores = graph.push(Op::MatMul { transposed: true }, &[heads[0], heads[1]]);
    let scores = graph.push(Op::Scale(0.5), &[scores]);
    let scores = graph.push(Op::Add, &[scores, mask]);
    let weights = graph.push(Op::Softmax, &[scores]);
    let mixed = graph.push(Op::MatMul { transposed: false }, &[weights, heads[2]]);
    let merge = Op::MergeHeads {
        heads: 2,
        sequences: None,
    };
    let merged = graph.push(merge, &[mixed]);
    let gelu = graph.push(Op::Activation(Activation::Gelu), &[merged]);
    let standard = graph.push(Op::Standardise { epsilon: 1e-5 }, &[gelu]);
    let first = graph.push(Op::SelectToken(0), &[standard]);
    let part = graph.push(Op::Slice { start: 1, len: 3 }, &[first]);
    graph.push(linear("classifier", 3, 2), &[part]);
    graph.0
}

/// Tensors that fit a graph.
fn tensors(graph: &Graph) -> Checkpoint {
    let specs = graph.parameters().into_iter().enumerate();
    let tensors: Vec<_> = specs
        .map(|(seed, spec)| {
            let kind = match spec.trained {
                true => seeded::Numbers::Ordinary,
                false => seeded::Numbers::Positive,
            };
            let numbers = kind.draw(&spec.shape, 1000 + seed as u64);
            (spec.name, spec.shape, numbers)
        })
        .collect();
    Checkpoint::from_f32(&tensors, &BTreeMap::new(), "sample").unwrap()
}

/// What is found of a tampered device in f32.
fn found(
    graph: &Graph,
    tamper: impl Fn(&str, &mut Answer),
) -> Result<Vec<CheckedOperator>, NetworkError> {
    let checkpoint = tensors(graph);
    let shape = graph.input_shape();
    let asked = questions(graph, &checkpoint, Precision::F32, 3, shape).unwrap();
    let device = Tampered(tamper);
    examine(&asked, DeviceChoice::Wgpu, &device, Precision::F32)
}

fn refusal(graph: &Graph, tamper: impl Fn(&str, &mut Answer)) -> String {
    found(graph, tamper).unwrap_err().to_string()
}

/// Moves one number of some parts by a share of their scale.
fn move_one(answer: &mut Answer, share: f64, chosen: impl Fn(&Part) -> bool) {
    for (part, numbers) in answer.iter_mut() {
        if chosen(part) {
            let scale = numbers.iter().fold(0.0f64, |scale, y| scale.max(y.abs()));
            let last = numbers.len() - 1;
            numbers[last] += share * scale;
        }
    }
}

#[test]
fn the_reference_passes_and_each_operator_shape_is_asked_once() {
    for (graph, shared) in [
        (images(), vec!["node 4", "node 5"]),
        (sentences(), vec!["node 6", "node 8", "node 10"]),
    ] {
        let rows = found(&graph, |_, _| {}).unwrap();
        let titles: BTreeSet<&str> = rows.iter().map(|row| row.operator.as_str()).collect();
        assert_eq!(titles.len(), rows.len());
        assert!(rows.iter().all(|row| row.forward == 0.0));
        assert!(rows.iter().all(|row| row.backward.unwrap_or(0.0) == 0.0));
        assert!(rows.iter().any(|row| row.nodes == shared), "{rows:?}");
        // Every node has a row.
        let nodes: BTreeSet<&str> = rows
            .iter()
            .flat_map(|row| row.nodes.iter().map(String::as_str))
            .collect();
        let mut all = graph.nodes().iter().skip(1);
        assert!(all.all(|node| nodes.contains(node.name.as_str())));
        let last = rows.last().unwrap();
        assert_eq!(
            (last.operator.as_str(), last.backward),
            ("the whole network", None)
        );
    }
}

#[test]
fn no_question_is_answered_by_zeros_or_by_what_is_not_finite() {
    for graph in [images(), sentences()] {
        let checkpoint = tensors(&graph);
        let shape = graph.input_shape();
        for precision in Precision::ALL {
            for question in questions(&graph, &checkpoint, precision, 3, shape).unwrap() {
                let answer = Device::flex().answer(&question, precision).unwrap();
                let title = question.title();
                for (part, numbers) in &answer {
                    assert!(numbers.iter().all(|y| y.is_finite()), "{title} {part}");
                    // Of the second operand of a fold only the extents are read.
                    let only_extents = title.starts_with("fold") && *part == Part::Operand(1);
                    let moves = numbers.iter().any(|&y| y != 0.0);
                    assert_eq!(moves, !only_extents, "{title} {part}");
                }
                let kinds = answer.iter().map(|(part, _)| part.is_forward());
                let forward = kinds.filter(|&forward| forward).count();
                let reads_words = title.starts_with("token_mask");
                let whole = title == "the whole network";
                assert_eq!(answer.len() == forward, reads_words || whole, "{title}");
            }
        }
    }
}

#[test]
fn titles_tell_parameters_and_shapes() {
    let rows = [images(), sentences()].map(|graph| found(&graph, |_, _| {}).unwrap());
    let rows = rows.concat();
    for title in [
        "conv2d 3x3 of 2 -> 4 + bias, stride 2x2, padding 1x1, dilation 1x1, groups 1 on [3, 2, 9, 8]",
        "conv2d 3x3 of 4 -> 4 + bias, stride 1x1, padding 1x1, dilation 1x1, groups 4 on [3, 4, 5, 4]",
        "relu on [3, 4, 5, 4]",
        "relu frozen on [3, 4, 5, 4]",
        "max_pool 3x3, stride 1x1, padding 0x0 and 0x0 frozen on [3, 8, 5, 4]",
        "fold patch: 2 on [3, 4, 6, 4], [3, 4, 5, 4]",
        "linear 8 -> 3 on [3, 8]",
        "embedding of 9 words in 4 on [3, 2, 6]",
        "matmul transposed: true on [3, 2, 6, 2], [3, 2, 6, 2]",
        "add on [3, 2, 6, 6], [3, 1, 1, 6]",
        "merge_heads heads: 2, sequences: None on [3, 2, 6, 2]",
        "log_softmax on [3, 2]",
    ] {
        let known = rows.iter().any(|row| row.operator == title);
        assert!(known, "{title}\n{rows:#?}");
    }
}

#[test]
fn a_wrong_convolution_is_refused_by_its_shape() {
    let error = refusal(&images(), |title, answer| {
        if title.starts_with("conv2d") && title.contains("groups 4") {
            move_one(answer, 2e-3, Part::is_forward);
        }
    });
    for said in [
        "device `wgpu` is wrong at conv2d 3x3 of 4 -> 4 + bias",
        "groups 4 on [3, 4, 5, 4], outputs: expected",
        "2.0e-3 of the scale apart and may be 1e-4",
    ] {
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_wrong_gradient_is_refused_by_its_operand_or_tensor() {
    let of_softmax = refusal(&sentences(), |title, answer| {
        if title.starts_with("softmax") {
            move_one(answer, 1.0, |part| *part == Part::Operand(0));
        }
    });
    let said = "softmax on [3, 2, 6, 6], gradient of operand 0: expected";
    assert!(of_softmax.contains(said), "{of_softmax}");
    let of_weight = refusal(&sentences(), |title, answer| {
        if title.starts_with("linear 3 -> 2") {
            move_one(answer, 2e-4, |part| {
                *part == Part::Tensor("classifier.weight".to_owned())
            });
        }
    });
    let said = "linear 3 -> 2 on [3, 3], gradient of `classifier.weight`: expected";
    assert!(of_weight.contains(said), "{of_weight}");
}

#[test]
fn what_is_not_finite_is_refused_wherever_it_is() {
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for chosen in [Part::is_forward, |part: &Part| !part.is_forward()] {
            let error = refusal(&images(), |title, answer| {
                if title.starts_with("batch_norm") {
                    let (_, numbers) = answer.iter_mut().find(|(part, _)| chosen(part)).unwrap();
                    numbers[0] = wrong;
                }
            });
            let said = "is wrong at batch_norm, epsilon 1e-5 on [3, 4, 5, 4]";
            assert!(error.contains(said), "{error}");
            assert!(error.contains("inf of the scale apart"), "{error}");
        }
    }
}

#[test]
fn a_device_whose_operators_are_right_one_by_one_is_refused_for_the_network() {
    let error = refusal(&images(), |title, answer| {
        if title == "the whole network" {
            move_one(answer, 1e-2, Part::is_forward);
        }
    });
    assert!(error.contains("wrong at the whole network"), "{error}");
}

#[test]
fn differences_up_to_the_tolerance_are_reported() {
    let rows = found(&images(), |title, answer| {
        if title.starts_with("relu on") {
            move_one(answer, 0.9e-4, Part::is_forward);
            move_one(answer, 0.5e-4, |part| !part.is_forward());
        }
    });
    let rows = rows.unwrap();
    let relu = rows.iter().find(|row| row.operator.starts_with("relu on"));
    let relu = relu.unwrap();
    assert!((relu.forward - 0.9e-4).abs() < 1e-9, "{relu:?}");
    assert!((relu.backward.unwrap() - 0.5e-4).abs() < 1e-9, "{relu:?}");
}

#[test]
fn a_device_that_cannot_compute_is_refused_with_what_it_said() {
    struct Broken(fn() -> NetworkError);
    impl Answers for Broken {
        fn answer(&self, _: &Question<'_>, _: Precision) -> Result<Answer, NetworkError> {
            Err((self.0)())
        }
    }
    let graph = images();
    let checkpoint = tensors(&graph);
    let asked = questions(&graph, &checkpoint, Precision::F32, 2, &[2, 9, 8]).unwrap();
    let lost = || NetworkError::Backend {
        at: "reading a value",
        reason: "device lost".to_owned(),
    };
    for (device, said) in [
        (Broken(lost), "device lost"),
        (Broken(|| panic!("no f64 here")), "no f64 here"),
    ] {
        let error = examine(&asked, DeviceChoice::Wgpu, &device, Precision::F32).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("device `wgpu` fails at conv2d"),
            "{error}"
        );
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn answers_of_other_lengths_are_refused() {
    let shorter = refusal(&images(), |title, answer| {
        if title.starts_with("linear") {
            answer[0].1.pop();
        }
    });
    assert!(shorter.contains("wrong at linear"), "{shorter}");
    let fewer = refusal(&images(), |title, answer| {
        if title.starts_with("linear") {
            answer.pop();
        }
    });
    assert!(fewer.contains("fails at linear"), "{fewer}");
    assert!(fewer.contains("expected 4 results, got 3"), "{fewer}");
}

#[test]
fn differences_are_shares_of_the_largest_expected_number() {
    let share = |got: &[f64], expected: &[f64]| Difference::between(got, expected).share;
    assert_eq!(share(&[1.0, -8.5], &[1.0, -8.0]), 0.0625);
    assert_eq!(share(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
    assert_eq!(share(&[0.0, 1e-30], &[0.0, 0.0]), f64::INFINITY);
    // What overflows on both sides alike is the same number, and is no scale.
    let infinite = [f64::INFINITY, 2.0];
    assert_eq!(share(&infinite, &infinite), 0.0);
    assert_eq!(share(&[f64::INFINITY, 3.0], &infinite), 0.5);
    assert_eq!(share(&[f64::NEG_INFINITY, 2.0], &infinite), f64::INFINITY);
    assert_eq!(share(&[f64::NAN], &[f64::NAN]), 0.0);
    assert_eq!(share(&[1.0], &[f64::NAN]), f64::INFINITY);
}

#[test]
fn the_reference_device_needs_no_check() {
    let model = mlp::random(&[4, 8, 3], Activation::Relu, 0).unwrap();
    let flex = Device::flex();
    let check = DeviceCheck::of(&model, DeviceChoice::Flex, &flex, Precision::F64, 5, &[4]);
    assert_eq!(check.unwrap(), None);
    // Any other name is checked, whatever the device behind it.
    let check = DeviceCheck::of(&model, DeviceChoice::Wgpu, &flex, Precision::F64, 5, &[4]);
    let check = check.unwrap().unwrap();
    assert_eq!(check.worst(), [0.0, 0.0]);
    let said = check.to_string();
    assert!(
        said.starts_with("device wgpu checked: 6 operator shapes at batch 5 of [4], worst forward"),
        "{said}"
    );
    let text = serde_json::to_string(&check).unwrap();
    let read: DeviceCheck = serde_json::from_str(&text).unwrap();
    assert_eq!(read.operators.len(), check.operators.len());
    assert_eq!(read.shape, [4]);
}

#[test]
fn examples_that_the_network_cannot_take_are_refused() {
    let model = mlp::random(&[4, 8, 3], Activation::Relu, 0).unwrap();
    let (flex, choice) = (Device::flex(), DeviceChoice::Wgpu);
    let error = DeviceCheck::of(&model, choice, &flex, Precision::F64, 5, &[5]).unwrap_err();
    assert!(error.to_string().contains("expected shape"), "{error}");
}
