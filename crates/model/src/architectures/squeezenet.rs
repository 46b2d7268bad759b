//! SqueezeNet 1.0 and 1.1 (Iandola et al. 2016, <https://arxiv.org/abs/1602.07360>) under
//! torchvision's names.
//!
//! `features.0` is the stem, `features.N.{squeeze, expand1x1, expand3x3}` are fire modules, and
//! the positions between them that hold no tensors are max-pools (3x3, stride 2, ceil mode). The
//! version is told from where the fire modules are. The classifier is a 1x1 convolution, a ReLU
//! and a global average pool.
//!
//! Input: `[batch, 3, 224, 224]` (other extents work), RGB in [0, 1] normalised with ImageNet's
//! mean and standard deviation. Parity: `tests/parity.rs`.

use crate::architectures::extents;
use crate::graph::NodeId;
use crate::ops::{Conv2d, MaxPool, Op};
use crate::{Activation, Checkpoint, Graph, ModelError};

/// Height and width that the published weights are trained for.
const SIZE: usize = 224;

/// Positions of the fire modules, and kernel of the stem: versions 1.0 and 1.1.
const VERSIONS: [([usize; 8], usize); 2] = [
    ([3, 4, 5, 7, 8, 9, 10, 12], 7),
    ([3, 4, 6, 7, 9, 10, 11, 12], 3),
];

/// 3x3 windows, two steps apart.
const POOL: MaxPool = MaxPool::square(3, 2, true);

/// The graph of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] when the fire modules are at other positions than in both
/// versions, or a tensor is missing or misshapen.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    let fires: Vec<usize> = (0..=12)
        .filter(|n| {
            checkpoint
                .shape(&format!("features.{n}.squeeze.weight"))
                .is_ok()
        })
        .collect();
    let Some((fires, stem)) = VERSIONS.iter().find(|(known, _)| fires == known) else {
        let known = VERSIONS.map(|(fires, _)| format!("{fires:?}")).join(" or ");
        return Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!("expected fire modules at features {known}, got {fires:?}"),
        });
    };
    let mut builder = Builder {
        checkpoint,
        graph: Graph::new(&[3, SIZE, SIZE]),
    };
    let mut last = builder.convolution(0, "features.0", *stem, 2, 0, "features.1")?;
    for position in 2..=12 {
        let name = format!("features.{position}");
        last = match fires.contains(&position) {
            true => builder.fire(last, &name)?,
            false => builder.graph.push(name, Op::MaxPool(POOL), &[last])?,
        };
    }
    last = builder.convolution(last, "classifier.1", 1, 1, 0, "classifier.2")?;
    builder
        .graph
        .push("classifier.3", Op::GlobalAveragePool, &[last])?;
    Ok(builder.graph)
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    graph: Graph,
}

impl Builder<'_> {
    /// Squeeze to few channels, expand with 1x1 and 3x3 kernels, concatenate.
    fn fire(&mut self, source: NodeId, name: &str) -> Result<NodeId, ModelError> {
        let part = |part: &str| format!("{name}.{part}");
        let s = self.convolution(
            source,
            &part("squeeze"),
            1,
            1,
            0,
            &part("squeeze_activation"),
        )?;
        let e1 = self.convolution(
            s,
            &part("expand1x1"),
            1,
            1,
            0,
            &part("expand1x1_activation"),
        )?;
        let e3 = self.convolution(
            s,
            &part("expand3x3"),
            3,
            1,
            1,
            &part("expand3x3_activation"),
        )?;
        self.graph.push(name, Op::Concat, &[e1, e3])
    }

    /// A convolution with a bias and its ReLU.
    fn convolution(
        &mut self,
        source: NodeId,
        name: &str,
        kernel: usize,
        stride: usize,
        padding: usize,
        relu: &str,
    ) -> Result<NodeId, ModelError> {
        let weight = format!("{name}.weight");
        let [outputs, inputs, ..] = extents::<4>(self.checkpoint, &weight)?;
        let op = Conv2d {
            weight,
            bias: Some(format!("{name}.bias")),
            inputs,
            outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
        };
        let convolution = self.graph.push(name, Op::Conv2d(op), &[source])?;
        let relu_op = Op::Activation(Activation::Relu);
        self.graph.push(relu, relu_op, &[convolution])
    }
}
