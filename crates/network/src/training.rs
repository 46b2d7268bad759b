//! Gradients with respect to weights, for fine-tuning.
//!
//! The tensors asked for become autodiff leaves of a copy of the network; every other tensor
//! stays a constant, so one layer costs no more than the pass back to it. Batch normalisation
//! uses its stored moments, as at inference.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Gradients, Tensor};

use crate::forward::{Keep, Mode, get};
use crate::network::Network;
use crate::value::with_value;
use crate::{NetworkError, Value};

/// A loss over a batch and its gradient.
#[derive(Clone, Debug)]
pub struct LossGradient {
    /// The loss, summed over the batch.
    pub loss: f64,
    /// Its gradient with respect to each tensor asked for, in the tensor's layout.
    pub gradients: BTreeMap<String, Vec<f64>>,
}

impl Network {
    /// Gradient of `Σ_i Σ_c selector[i, c] · y_c(x_i)` with respect to the named tensors, each in
    /// its own layout; `selector` is `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] for a name that the network lacks; [`NetworkError::Shape`] when
    /// `x` or `selector` do not fit the network.
    pub fn weight_gradients(
        &self,
        x: Value,
        selector: Value,
        tensors: &[&str],
    ) -> Result<BTreeMap<String, Vec<f64>>, NetworkError> {
        let weighted = |outputs: Value| {
            let product = outputs.mul(selector, "output selector")?;
            Ok(with_value!(product, t => t.sum()))
        };
        Ok(self.differentiate(x, tensors, weighted)?.gradients)
    }

    /// The cross-entropy `Σ_i -log softmax(y_i)[label_i]` and its gradient with respect to the
    /// named tensors, each in its own layout.
    ///
    /// # Errors
    /// As [`Network::weight_gradients`]; [`NetworkError::Shape`] also when there is not one label
    /// below the number of outputs per example.
    pub fn loss_weight_gradients(
        &self,
        x: Value,
        labels: &[usize],
        tensors: &[&str],
    ) -> Result<LossGradient, NetworkError> {
        let cross_entropy = |outputs: Value| {
            let logits = outputs.matrix("logits")?;
            let [batch, classes] = logits.dims();
            if labels.len() != batch || labels.iter().any(|&label| label >= classes) {
                let expected = format!("{batch} below {classes}");
                return Err(NetworkError::shape("labels", expected, labels));
            }
            let mut selector = vec![0.0; batch * classes];
            for (example, &label) in labels.iter().enumerate() {
                selector[example * classes + label] = -1.0;
            }
            let shape = [batch, classes];
            let selector = Value::from_f64(&selector, &shape, self.device(), self.precision())?;
            Ok((log_softmax(logits, 1) * selector.matrix("selector")?).sum())
        };
        self.differentiate(x, tensors, cross_entropy)
    }

    /// Differentiates a scalar of the outputs with respect to the named tensors.
    fn differentiate(
        &self,
        x: Value,
        tensors: &[&str],
        scalar: impl FnOnce(Value) -> Result<Tensor<1>, NetworkError>,
    ) -> Result<LossGradient, NetworkError> {
        let specs = self.graph().parameters();
        let known = || specs.iter().map(|spec| spec.name.clone()).collect();
        if let Some(&name) = tensors
            .iter()
            .find(|&&name| specs.iter().all(|spec| spec.name != name))
        {
            return Err(NetworkError::Unknown {
                kind: "tensor",
                name: name.to_owned(),
                known: known(),
            });
        }
        // Parameters are visited in the order of the specs.
        let leaves: BTreeSet<usize> = (0..specs.len())
            .filter(|&position| tensors.contains(&specs[position].name.as_str()))
            .collect();
        let network = self.with_leaves(&leaves);
        let output = self.graph().output();
        let start = self.started(x)?;
        let (nodes, keep) = (1..output + 1, Keep::from([output]));
        let values =
            network.evaluate_nodes(start, nodes, Mode::Free, &keep, |_, value| Ok(value))?;
        let scalar = scalar(get(&values, output)?.clone())?;
        let loss = Value::R1(scalar.clone().without_autodiff()).to_vec()?;
        let loss = loss.iter().sum();
        if leaves.is_empty() {
            // A scalar without leaves has no backward pass.
            return Ok(LossGradient {
                loss,
                gradients: BTreeMap::new(),
            });
        }
        let names = leaves.iter().map(|&position| specs[position].name.clone());
        let numbers = network.leaf_gradients(&scalar.backward(), &leaves)?;
        Ok(LossGradient {
            loss,
            gradients: names.zip(numbers).collect(),
        })
    }

    /// A copy in which the parameters at some positions are autodiff leaves and all others
    /// constants; positions are those of [`crate::Graph::parameters`].
    pub(crate) fn with_leaves(&self, leaves: &BTreeSet<usize>) -> Self {
        self.clone().map(&mut MakeLeaves {
            leaves,
            position: 0,
        })
    }

    /// The gradients of the leaves, in the order of their positions.
    pub(crate) fn leaf_gradients(
        &self,
        gradients: &Gradients,
        leaves: &BTreeSet<usize>,
    ) -> Result<Vec<Vec<f64>>, NetworkError> {
        let mut collected = CollectGradients {
            gradients,
            leaves,
            position: 0,
            found: Vec::with_capacity(leaves.len()),
        };
        self.visit(&mut collected);
        collected.found.into_iter().collect()
    }
}

/// Turns some parameters into autodiff leaves and all others into constants.
struct MakeLeaves<'a> {
    leaves: &'a BTreeSet<usize>,
    position: usize,
}

impl ModuleMapper for MakeLeaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let leaf = self.leaves.contains(&self.position);
        self.position += 1;
        param.map(|tensor| {
            let constant = tensor.without_autodiff();
            if leaf {
                constant.autodiff().require_grad()
            } else {
                constant
            }
        })
    }
}

/// Reads the gradients of the leaves; a leaf that the scalar does not depend on has zeros.
struct CollectGradients<'a> {
    gradients: &'a Gradients,
    leaves: &'a BTreeSet<usize>,
    position: usize,
    found: Vec<Result<Vec<f64>, NetworkError>>,
}

impl ModuleVisitor for CollectGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.leaves.contains(&self.position) {
            let leaf = param.val();
            let count = leaf.dims().iter().product();
            self.found.push(match leaf.grad(self.gradients) {
                Some(gradient) => Value::R1(gradient.reshape([count])).to_vec(),
                None => Ok(vec![0.0; count]),
            });
        }
        self.position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ops::embedding::Key;
    use model::{BatchNorm, Conv2d, Embedding, LayerNorm, Linear};

    use crate::{Activation, Checkpoint, DeviceChoice, Graph, Op, Precision};

    /// A fixed quasi-random sequence in [-1, 1).
    fn numbers(count: usize, phase: f64) -> Vec<f64> {
        let value = |i: usize| ((i as f64 + 1.0) * 0.754_877_666_246_693 + phase).fract();
        (0..count).map(|i| 2.0 * value(i) - 1.0).collect()
    }

    /// A network with quasi-random tensors; variances are positive.
    fn network(graph: Graph, precision: Precision) -> Network {
        let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = graph
            .parameters()
            .into_iter()
            .enumerate()
            .map(|(position, spec)| {
                let count = spec.shape.iter().product();
                let values = numbers(count, 0.37 * position as f64).into_iter();
                let values = values.map(|x| if spec.trained { x } else { 1.5 + x } as f32);
                (spec.name, spec.shape, values.collect())
            })
            .collect();
        let checkpoint = Checkpoint::from_f32(&tensors, &BTreeMap::new(), "sample").unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        Network::of_graph(graph, &checkpoint, &device, precision).unwrap()
    }

    fn convolution(name: &str, channels: [usize; 2], kernel: usize, groups: usize) -> Op {
        Op::Conv2d(Conv2d {
            weight: format!("{name}.weight"),
            bias: Some(format!("{name}.bias")),
            inputs: channels[0],
            outputs: channels[1],
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
        })
    }

    fn linear(name: &str, inputs: usize, outputs: usize) -> Op {
        Op::Linear(Linear {
            weight: format!("{name}.weight"),
            bias: Some(format!("{name}.bias")),
            inputs,
            outputs,
        })
    }

    /// Convolution, batch norm, SiLU, depthwise convolution, average pool, classifier.
    fn images() -> Graph {
        let mut graph = Graph::new(&[2, 5, 4]);
        let norm = Op::BatchNorm(BatchNorm {
            weight: "norm.weight".into(),
            bias: "norm.bias".into(),
            mean: "norm.mean".into(),
            variance: "norm.variance".into(),
            channels: 3,
            epsilon: 1e-5,
        });
        let operators = [
            convolution("stem", [2, 3], 3, 1),
            norm,
            Op::Activation(Activation::Silu),
            convolution("depthwise", [3, 3], 3, 3),
            Op::GlobalAveragePool,
            linear("classifier", 3, 4),
        ];
        for (id, op) in operators.into_iter().enumerate() {
            graph.push(format!("node {id}"), op, &[id]).unwrap();
        }
        graph
    }

    /// Word and position tables, layer norm, a linear layer on tokens, classifier.
    fn sentences() -> Graph {
        let mut graph = Graph::new(&[2, 3]);
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
        let words = graph.push("words", table("words", Key::Word, 6), &[0]);
        let positions = graph.push("positions", table("positions", Key::Position, 5), &[0]);
        let sum = graph.push("sum", Op::Add, &[words.unwrap(), positions.unwrap()]);
        let norm = graph.push("norm", norm, &[sum.unwrap()]);
        let hidden = graph.push("hidden", linear("hidden", 4, 4), &[norm.unwrap()]);
        let gelu = Op::Activation(Activation::Gelu);
        let gelu = graph.push("gelu", gelu, &[hidden.unwrap()]);
        let first = graph.push("first", Op::SelectToken(0), &[gelu.unwrap()]);
        let classifier = linear("classifier", 4, 3);
        graph
            .push("classifier", classifier, &[first.unwrap()])
            .unwrap();
        graph
    }

    fn image_batch(network: &Network) -> Value {
        let numbers = numbers(2 * 40, 0.5);
        Value::from_f64(&numbers, &[2, 2, 5, 4], network.device(), Precision::F64).unwrap()
    }

    fn token_batch(network: &Network) -> Value {
        let tokens = [1., 4., 0., 1., 1., 1., 5., 4., 2., 1., 1., 0.];
        Value::from_f64(&tokens, &[2, 2, 3], network.device(), Precision::F64).unwrap()
    }

    /// Central differences of the loss, every entry of every trained tensor.
    fn assert_gradients(network: &Network, x: &Value, labels: &[usize]) {
        let trained: Vec<String> = network
            .graph()
            .parameters()
            .into_iter()
            .filter(|spec| spec.trained)
            .map(|spec| spec.name)
            .collect();
        let names: Vec<&str> = trained.iter().map(String::as_str).collect();
        let loss = |network: &Network| {
            let found = network.loss_weight_gradients(x.clone(), labels, &[]);
            found.unwrap().loss
        };
        let all = network
            .loss_weight_gradients(x.clone(), labels, &names)
            .unwrap();
        assert_eq!(all.gradients.len(), names.len());
        for (name, gradient) in &all.gradients {
            assert!(gradient.iter().any(|&g| g != 0.0), "{name} has no gradient");
            let original = network.tensor(name).unwrap();
            for (entry, &g) in gradient.iter().enumerate() {
                let moved = |step: f64| {
                    let mut numbers = original.clone();
                    numbers[entry] += step;
                    let change = BTreeMap::from([(name.clone(), numbers)]);
                    loss(&network.with_tensors(&change).unwrap())
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (difference - g).abs() < 1e-7 * (1.0 + g.abs()),
                    "{name}[{entry}]: {difference} by differences, {g} by backward pass"
                );
            }
            // A tensor alone has the gradient that it has among others.
            let alone = network
                .loss_weight_gradients(x.clone(), labels, &[name])
                .unwrap();
            assert_eq!(alone.gradients[name], *gradient, "{name}");
        }
    }

    #[test]
    fn gradients_of_image_layers_are_those_of_finite_differences() {
        let network = network(images(), Precision::F64);
        assert_gradients(&network, &image_batch(&network), &[1, 3]);
    }

    #[test]
    fn gradients_of_token_layers_are_those_of_finite_differences() {
        let network = network(sentences(), Precision::F64);
        assert_gradients(&network, &token_batch(&network), &[2, 0]);
    }

    #[test]
    fn selected_outputs_have_the_gradient_of_their_sum() {
        let network = network(images(), Precision::F64);
        let selector = [0.5, 0.0, -2.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let value = Value::from_f64(&selector, &[2, 4], network.device(), Precision::F64);
        let x = image_batch(&network);
        let names = ["classifier.bias", "classifier.weight"];
        let gradients = network.weight_gradients(x, value.unwrap(), &names).unwrap();
        assert_eq!(gradients["classifier.bias"], [0.5, 1.0, -2.0, 0.0]);
        assert!(
            gradients["classifier.weight"][9..]
                .iter()
                .all(|&g| g == 0.0)
        );
    }

    #[test]
    fn single_precision_agrees_with_double() {
        for (graph, labels) in [(images(), [1, 3]), (sentences(), [2, 0])] {
            let tokens = graph.input_shape().len() == 2;
            let gradients = |precision| {
                let network = network(graph.clone(), precision);
                let specs = network.graph().parameters();
                let trained = specs.iter().filter(|spec| spec.trained);
                let names: Vec<&str> = trained.map(|spec| spec.name.as_str()).collect();
                let x = match tokens {
                    true => token_batch(&network),
                    false => image_batch(&network),
                };
                let x = x.to_vec().and_then(|numbers| {
                    Value::from_f64(&numbers, &x.shape(), network.device(), precision)
                });
                network.loss_weight_gradients(x.unwrap(), &labels, &names)
            };
            let (single, double) = (gradients(Precision::F32), gradients(Precision::F64));
            let (single, double) = (single.unwrap().gradients, double.unwrap().gradients);
            for (name, gradient) in &double {
                for (s, d) in single[name].iter().zip(gradient) {
                    assert!(
                        (s - d).abs() < 1e-4 * (1.0 + d.abs()),
                        "{name}: {s} and {d}"
                    );
                }
            }
        }
    }

    #[test]
    fn unknown_tensors_and_labels_are_refused() {
        let network = network(images(), Precision::F64);
        let x = image_batch(&network);
        let message = |labels: &[usize], name: &str| {
            let found = network.loss_weight_gradients(x.clone(), labels, &[name]);
            found.unwrap_err().to_string()
        };
        assert!(message(&[0, 1], "stem.gain").contains("no tensor named `stem.gain`"));
        assert!(message(&[0, 4], "stem.bias").contains("labels: expected shape 2 below 4"));
        assert!(message(&[0], "stem.bias").contains("got [0]"));
    }
}
