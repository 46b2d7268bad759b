//! Our graph computed in f64, for comparisons with the outputs that another program has: one example, one
//! operator after the other, as plain as the definitions.

use model::ops::Op;
use model::ops::embedding::Key;
use model::ops::scaling::Direction;
use model::{Activation, Conv2d, Model};

/// A value: extents and numbers in row-major order.
#[derive(Clone, Debug)]
struct Value {
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

/// The outputs of a model's network for one example.
pub(crate) fn outputs(model: &Model, input: &[f64]) -> Vec<f64> {
    let graph = model.output_graph();
    let mut values: Vec<Value> = Vec::new();
    for node in graph.nodes() {
        let sources: Vec<&Value> = node.sources.iter().map(|&id| &values[id]).collect();
        let value = match &node.op {
            Op::Input => Value {
                shape: graph.input_shape().to_vec(),
                numbers: input.to_vec(),
            },
            op => apply(model, op, &sources, &node.name),
        };
        assert_eq!(
            value.shape.iter().product::<usize>(),
            value.numbers.len(),
            "{}",
            node.name
        );
        values.push(value);
    }
    values.pop().unwrap().numbers
}

fn apply(model: &Model, op: &Op, sources: &[&Value], at: &str) -> Value {
    let x = sources[0];
    let tensor = |name: &str| model.tensor(name).unwrap();
    let bias = |name: &Option<String>, n| name.as_ref().map_or(vec![0.0; n], |n| tensor(n));
    let each = |f: &dyn Fn(f64) -> f64| Value {
        shape: x.shape.clone(),
        numbers: x.numbers.iter().map(|&x| f(x)).collect(),
    };
    let rows = |n: usize, last: usize, f: &dyn Fn(&[f64]) -> Vec<f64>| {
        assert_eq!(x.shape.last(), Some(&n), "{at}");
        let mut shape = x.shape.clone();
        *shape.last_mut().unwrap() = last;
        let numbers = x.numbers.chunks(n).flat_map(f).collect();
        Value { shape, numbers }
    };
    let last = x.shape.last().copied().unwrap_or(1);
    match op {
        Op::Linear(op) => {
            let (w, b) = (tensor(&op.weight), bias(&op.bias, op.outputs));
            rows(op.inputs, op.outputs, &|row| {
                let dot = |o: usize| {
                    let w = &w[o * op.inputs..(o + 1) * op.inputs];
                    b[o] + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>()
                };
                (0..op.outputs).map(dot).collect()
            })
        }
        Op::Conv2d(op) => conv(op, x, &tensor(&op.weight), &bias(&op.bias, op.outputs), at),
        Op::BatchNorm(op) => {
            let [w, b] = [tensor(&op.weight), tensor(&op.bias)];
            let [mean, variance] = [tensor(&op.mean), tensor(&op.variance)];
            assert_eq!((x.shape.len(), x.shape[0]), (3, op.channels), "{at}");
            let n = x.shape[1] * x.shape[2];
            let numbers = x.numbers.iter().enumerate().map(|(i, x)| {
                let c = i / n;
                (x - mean[c]) / (variance[c] + op.epsilon).sqrt() * w[c] + b[c]
            });
            Value {
                shape: x.shape.clone(),
                numbers: numbers.collect(),
            }
        }
        Op::LayerNorm(op) => {
            let [w, b] = [tensor(&op.weight), tensor(&op.bias)];
            rows(op.features, op.features, &|row| {
                let row = standardised(row, op.epsilon);
                row.iter()
                    .zip(&w)
                    .zip(&b)
                    .map(|((x, w), b)| x * w + b)
                    .collect()
            })
        }
        Op::Standardise { epsilon } => rows(last, last, &|row| standardised(row, *epsilon)),
        Op::Mean => rows(last, 1, &|row| {
            vec![row.iter().sum::<f64>() / row.len() as f64]
        }),
        Op::Softmax => rows(last, last, &softmax),
        Op::LogSoftmax => rows(last, last, &|row| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = row.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
            row.iter().map(|x| x - most - sum).collect()
        }),
        Op::Embedding(op) => {
            assert_eq!(op.key, Key::Word);
            let (table, tokens) = (tensor(&op.weight), x.shape[1]);
            let row = |&id: &f64| {
                let id = id as usize;
                table[id * op.features..(id + 1) * op.features].to_vec()
            };
            Value {
                shape: vec![tokens, op.features],
                numbers: x.numbers[..tokens].iter().flat_map(row).collect(),
            }
        }
        Op::Scaling(op) => {
            let [mean, range] = [tensor(&op.mean), tensor(&op.range)];
            let numbers = x.numbers.iter().enumerate().map(|(i, x)| {
                let [mean, range] = [&mean, &range].map(|t| t[i % t.len()]);
                match op.direction {
                    Direction::Normalise => (x - mean) / range,
                    Direction::Restore => x * range + mean,
                }
            });
            Value {
                shape: x.shape.clone(),
                numbers: numbers.collect(),
            }
        }
        Op::Activation(activation) => each(&|x| activated(*activation, x)),
        Op::MaxPool(op) => {
            let [c, h, w] = image(x, at);
            let size = op.output_size([h, w]).unwrap();
            windows(x, c, size, &|plane, position| {
                let members = op.window_members(position, [h, w]);
                members.map(|i| plane[i]).fold(f64::NEG_INFINITY, f64::max)
            })
        }
        Op::AveragePool(op) => {
            let [c, h, w] = image(x, at);
            let size = op.output_size([h, w]).unwrap();
            let area = op.kernel[0] * op.kernel[1];
            windows(x, c, size, &|plane, position| {
                let (i, j) = (
                    position / size[1] * op.stride[0],
                    position % size[1] * op.stride[1],
                );
                let members =
                    (0..area).map(|k| plane[(i + k / op.kernel[1]) * w + j + k % op.kernel[1]]);
                members.sum::<f64>() / area as f64
            })
        }
        Op::GlobalAveragePool => {
            let [c, h, w] = image(x, at);
            let means = x.numbers.chunks(h * w);
            Value {
                shape: vec![c],
                numbers: means
                    .map(|p| p.iter().sum::<f64>() / (h * w) as f64)
                    .collect(),
            }
        }
        Op::Concat => {
            let mut shape = x.shape.clone();
            shape[0] = sources.iter().map(|value| value.shape[0]).sum();
            assert!(
                sources.iter().all(|value| value.shape[1..] == shape[1..]),
                "{at}"
            );
            let numbers = sources.iter().flat_map(|value| value.numbers.clone());
            Value {
                shape,
                numbers: numbers.collect(),
            }
        }
        Op::Add | Op::Multiply => {
            assert_eq!(x.shape, sources[1].shape, "{at}");
            let pairs = x.numbers.iter().zip(&sources[1].numbers);
            let numbers = match op {
                Op::Add => pairs.map(|(a, b)| a + b).collect(),
                _ => pairs.map(|(a, b)| a * b).collect(),
            };
            Value {
                shape: x.shape.clone(),
                numbers,
            }
        }
        Op::AddConstants(c) | Op::MultiplyConstants(c) => {
            assert_eq!(x.numbers.len(), c.numbers().len(), "{at}");
            let pairs = x.numbers.iter().zip(c.numbers());
            let numbers = match op {
                Op::AddConstants(_) => pairs.map(|(a, b)| a + b).collect(),
                _ => pairs.map(|(a, b)| a * b).collect(),
            };
            Value {
                shape: x.shape.clone(),
                numbers,
            }
        }
        Op::Rearrange(op) => {
            assert_eq!(x.numbers.len(), op.reads, "{at}");
            let numbers = match &op.sources {
                None => x.numbers.clone(),
                Some(sources) => {
                    let pick = |&i: &u32| x.numbers.get(i as usize).copied().unwrap_or(op.fill);
                    sources.iter().map(pick).collect()
                }
            };
            Value {
                shape: op.shape.clone(),
                numbers,
            }
        }
        Op::Scale(factor) => each(&|x| factor * x),
        Op::MatMul { transposed: false } => matmul(x, sources[1], at),
        other => panic!("{at}: {} is not evaluated", other.name()),
    }
}

fn matmul(a: &Value, b: &Value, at: &str) -> Value {
    let ([stack, t, d], [stack_, d_, u]) = (&a.shape[..], &b.shape[..]) else {
        panic!("{at}: {:?} {:?}", a.shape, b.shape);
    };
    assert_eq!((stack, d), (stack_, d_), "{at}");
    let mut numbers = Vec::new();
    for s in 0..*stack {
        for (i, j) in (0..*t).flat_map(|i| (0..*u).map(move |j| (i, j))) {
            let product = |k| a.numbers[(s * t + i) * d + k] * b.numbers[(s * d + k) * u + j];
            numbers.push((0..*d).map(product).sum());
        }
    }
    Value {
        shape: vec![*stack, *t, *u],
        numbers,
    }
}

fn image(x: &Value, at: &str) -> [usize; 3] {
    <[usize; 3]>::try_from(x.shape.as_slice()).unwrap_or_else(|_| panic!("{at}: {:?}", x.shape))
}

fn windows(
    x: &Value,
    channels: usize,
    size: [usize; 2],
    f: &dyn Fn(&[f64], usize) -> f64,
) -> Value {
    let planes = x.numbers.chunks(x.numbers.len() / channels);
    let numbers = planes.flat_map(|plane| (0..size[0] * size[1]).map(move |p| f(plane, p)));
    Value {
        shape: vec![channels, size[0], size[1]],
        numbers: numbers.collect(),
    }
}

fn conv(op: &Conv2d, x: &Value, weight: &[f64], bias: &[f64], at: &str) -> Value {
    let [c, h, w] = image(x, at);
    assert_eq!(c, op.inputs, "{at}");
    let size = op.output_size([h, w]).unwrap();
    let (reads, [kh, kw]) = (op.inputs / op.groups, op.kernel);
    let mut numbers = Vec::new();
    for o in 0..op.outputs {
        let first = o / (op.outputs / op.groups) * reads;
        for (i, j) in (0..size[0]).flat_map(|i| (0..size[1]).map(move |j| (i, j))) {
            let mut sum = bias[o];
            for (k, &factor) in weight[o * reads * kh * kw..][..reads * kh * kw]
                .iter()
                .enumerate()
            {
                let (channel, p, q) = (k / (kh * kw), k / kw % kh, k % kw);
                let y = (i * op.stride[0] + p * op.dilation[0]).checked_sub(op.padding[0]);
                let z = (j * op.stride[1] + q * op.dilation[1]).checked_sub(op.padding[1]);
                if let (Some(y), Some(z)) = (y.filter(|&y| y < h), z.filter(|&z| z < w)) {
                    sum += factor * x.numbers[((first + channel) * h + y) * w + z];
                }
            }
            numbers.push(sum);
        }
    }
    Value {
        shape: vec![op.outputs, size[0], size[1]],
        numbers,
    }
}

fn standardised(row: &[f64], epsilon: f64) -> Vec<f64> {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    row.iter()
        .map(|x| (x - mean) / (variance + epsilon).sqrt())
        .collect()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|x| x / sum).collect()
}

/// The error function: the integral of its derivative, by Simpson's rule.
fn erf(x: f64) -> f64 {
    let (x_, steps) = (x.abs().min(6.5), 400);
    let h = x_ / steps as f64;
    let f = |i: usize| (-(i as f64 * h).powi(2)).exp();
    let sum: f64 = (0..=steps)
        .map(|i| {
            f(i) * if i == 0 || i == steps {
                1.0
            } else {
                2.0 + 2.0 * (i % 2) as f64
            }
        })
        .sum();
    (2.0 / std::f64::consts::PI.sqrt() * sum * h / 3.0).copysign(x)
}

fn activated(activation: Activation, x: f64) -> f64 {
    let elu = |alpha: f64| if x > 0.0 { x } else { alpha * x.exp_m1() };
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                slope * x
            }
        }
        Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Gelu => x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Elu { alpha } => elu(alpha),
        Activation::Selu => Activation::SELU_GAIN * elu(Activation::SELU_ALPHA),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        }
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Activation::Erf => erf(x),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => x.sqrt(),
        Activation::Reciprocal => 1.0 / x,
        Activation::Abs => x.abs(),
        Activation::Power { exponent } => x.powf(exponent),
    }
}
