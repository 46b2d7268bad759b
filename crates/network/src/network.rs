//! A graph with its tensors on a device.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::{Checkpoint, Graph, Layer, Model, NetworkError, NodeId, Op, Precision, Value};

/// A tensor of a network, as burn's autodiff and optimizers see it.
#[derive(Module, Debug)]
pub enum Parameter {
    /// `[features]`
    Vector(Param<Tensor<1>>),
    /// `[outputs, inputs]`
    Matrix(Param<Tensor<2>>),
    /// `[outputs, inputs, height, width]`
    Kernel(Param<Tensor<4>>),
}

impl Parameter {
    fn new(value: Value, trained: bool, name: &str) -> Result<Self, NetworkError> {
        Ok(match value {
            Value::R1(t) => Self::Vector(Param::from_tensor(t).set_require_grad(trained)),
            Value::R2(t) => Self::Matrix(Param::from_tensor(t).set_require_grad(trained)),
            Value::R4(t) => Self::Kernel(Param::from_tensor(t).set_require_grad(trained)),
            Value::R3(_) => {
                let at = format!("tensor `{name}`");
                return Err(NetworkError::shape(at, "rank 1, 2 or 4", &value.shape()));
            }
        })
    }

    /// The numbers as a value.
    fn value(&self) -> Value {
        match self {
            Self::Vector(p) => Value::R1(p.val()),
            Self::Matrix(p) => Value::R2(p.val()),
            Self::Kernel(p) => Value::R4(p.val()),
        }
    }

    fn trained(&self) -> bool {
        match self {
            Self::Vector(p) => p.is_require_grad(),
            Self::Matrix(p) => p.is_require_grad(),
            Self::Kernel(p) => p.is_require_grad(),
        }
    }
}

/// A network: graph, tensors, device.
///
/// It is a burn [`Module`]: optimizers of burn train its parameters.
#[derive(Module, Debug)]
pub struct Network {
    parameters: Vec<Parameter>,
    #[module(skip)]
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    graph: Graph,
    layers: Vec<Layer>,
    last_readers: Vec<NodeId>,
    positions: BTreeMap<String, usize>,
    device: Device,
    precision: Precision,
}

impl Network {
    /// Reads a file and loads it.
    ///
    /// # Errors
    /// As [`Model::open`] and [`Network::load`].
    pub fn open(path: &Path, device: &Device, precision: Precision) -> Result<Self, NetworkError> {
        Self::load(&Model::open(path)?, device, precision)
    }

    /// Loads the tensors of a model; the network gives the scores of its answers.
    ///
    /// # Errors
    /// [`NetworkError::Model`] for a tensor that cannot be read, [`NetworkError::Shape`] for one of a
    /// rank that no operator takes.
    pub fn load(
        model: &Model,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, NetworkError> {
        Self::of_graph(model.graph().clone(), model.checkpoint(), device, precision)
    }

    /// Loads the tensors of a graph from a checkpoint that has them.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn of_graph(
        graph: Graph,
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, NetworkError> {
        let mut parameters = Vec::new();
        let mut positions = BTreeMap::new();
        for spec in graph.parameters() {
            let value = match precision {
                Precision::F32 => {
                    let numbers = checkpoint.tensor_f32(&spec.name)?;
                    Value::from_numbers(numbers, &spec.shape, device, precision)?
                }
                Precision::F64 => {
                    let numbers = checkpoint.tensor(&spec.name)?;
                    Value::from_numbers(numbers, &spec.shape, device, precision)?
                }
            };
            parameters.push(Parameter::new(value, spec.trained, &spec.name)?);
            positions.insert(spec.name, parameters.len() - 1);
        }
        let shared = Shared {
            layers: graph.layers(),
            last_readers: graph.last_readers(),
            graph,
            positions,
            device: device.clone(),
            precision,
        };
        Ok(Self {
            parameters,
            shared: Arc::new(shared),
        })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.shared.graph
    }

    /// The weight-bearing layers in topological order.
    pub fn layers(&self) -> &[Layer] {
        &self.shared.layers
    }

    /// The layer of that name.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] lists the layers there are.
    pub fn layer(&self, name: &str) -> Result<&Layer, NetworkError> {
        self.layers()
            .iter()
            .find(|layer| layer.name == name)
            .ok_or_else(|| NetworkError::Unknown {
                kind: "layer",
                name: name.to_owned(),
                known: self
                    .layers()
                    .iter()
                    .map(|layer| layer.name.clone())
                    .collect(),
            })
    }

    /// Whether the outputs are probabilities.
    pub fn ends_in_softmax(&self) -> bool {
        let graph = self.graph();
        graph.nodes()[graph.output()].op == Op::Softmax
    }

    /// Whether output c depends on channel c of the layer's output alone: the last linear layer,
    /// SqueezeNet's last convolution.
    pub fn is_channelwise_behind(&self, layer: &Layer) -> bool {
        self.graph().is_channelwise_behind(layer)
    }

    /// The number of answers, each with a score.
    pub fn classes(&self) -> usize {
        self.graph().classes()
    }

    /// The device that it computes on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// The precision that it computes in.
    pub fn precision(&self) -> Precision {
        self.shared.precision
    }

    /// A batch of inputs on this network's device: `inputs` holds `n` examples
    /// of [`Graph::input_shape`] in row-major order.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when the numbers do not make whole examples.
    pub fn batch(&self, inputs: &[f32]) -> Result<Value, NetworkError> {
        self.batch_of(inputs, self.graph().input_shape())
    }

    /// As [`Network::batch`], for examples of another shape: images of other extents, token
    /// sequences of another length.
    ///
    /// # Errors
    /// As [`Network::batch`].
    pub fn batch_of(&self, inputs: &[f32], shape: &[usize]) -> Result<Value, NetworkError> {
        let example: usize = shape.iter().product();
        if example == 0 || !inputs.len().is_multiple_of(example) {
            return Err(NetworkError::shape(
                "network input",
                format!("multiple of {example}"),
                &[inputs.len()],
            ));
        }
        let batch: Vec<usize> = [inputs.len() / example]
            .into_iter()
            .chain(shape.iter().copied())
            .collect();
        Value::from_f32(inputs, &batch, self.device(), self.precision())
    }

    /// The numbers of a tensor in row-major order.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] or [`NetworkError::Backend`].
    pub fn tensor(&self, name: &str) -> Result<Vec<f64>, NetworkError> {
        self.parameter(name)?.value().to_vec()
    }

    /// A copy in which the given tensors hold other numbers.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] or [`NetworkError::Shape`].
    pub fn with_tensors(&self, changes: &BTreeMap<String, Vec<f64>>) -> Result<Self, NetworkError> {
        let mut copy = self.clone();
        for (name, numbers) in changes {
            let position = self.position(name)?;
            let old = &self.parameters[position];
            let shape = old.value().shape();
            let value = Value::from_f64(numbers, &shape, self.device(), self.precision())?;
            copy.parameters[position] = Parameter::new(value, old.trained(), name)?;
        }
        Ok(copy)
    }

    pub(crate) fn vector(&self, name: &str) -> Result<Tensor<1>, NetworkError> {
        match self.parameter(name)? {
            Parameter::Vector(p) => Ok(p.val()),
            other => Err(rank(name, "[*]", other)),
        }
    }

    pub(crate) fn matrix(&self, name: &str) -> Result<Tensor<2>, NetworkError> {
        match self.parameter(name)? {
            Parameter::Matrix(p) => Ok(p.val()),
            other => Err(rank(name, "[*, *]", other)),
        }
    }

    pub(crate) fn kernel(&self, name: &str) -> Result<Tensor<4>, NetworkError> {
        match self.parameter(name)? {
            Parameter::Kernel(p) => Ok(p.val()),
            other => Err(rank(name, "[*, *, *, *]", other)),
        }
    }

    /// Whether no node behind `reader` reads `node`.
    pub(crate) fn is_last_reader(&self, reader: NodeId, node: NodeId) -> bool {
        self.shared.last_readers[node] <= reader
    }

    fn parameter(&self, name: &str) -> Result<&Parameter, NetworkError> {
        Ok(&self.parameters[self.position(name)?])
    }

    fn position(&self, name: &str) -> Result<usize, NetworkError> {
        self.shared
            .positions
            .get(name)
            .copied()
            .ok_or_else(|| NetworkError::Unknown {
                kind: "tensor",
                name: name.to_owned(),
                known: self.shared.positions.keys().cloned().collect(),
            })
    }
}

fn rank(name: &str, expected: &str, got: &Parameter) -> NetworkError {
    NetworkError::shape(format!("tensor `{name}`"), expected, &got.value().shape())
}
