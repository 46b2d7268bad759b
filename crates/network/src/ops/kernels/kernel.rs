//! Own CPU kernels inside burn's tensors.
//!
//! A [`Kernel`] is a function y = f(x) of f32 numbers and its
//! vector-Jacobian product x̄ = (∂f/∂x)ᵀ ȳ; parameters are constants inside it.
//! [`apply`] runs it where a tensor lives on the flex device, with or without
//! autodiff. On every other device, and in every other precision, it declines
//! and the caller takes burn's own operator.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::{DType, Shape, Tensor, TensorData};

/// A differentiable function of one tensor.
pub(crate) trait Kernel: Clone + Debug + Send + 'static {
    /// What the backward pass reads again.
    type Saved: Clone + Debug + Send + 'static;

    /// y = f(x)
    fn forward(&self, x: FlexTensor) -> FlexTensor;

    /// What to keep of x and y.
    fn save(&self, x: &FlexTensor, y: &FlexTensor) -> Self::Saved;

    /// x̄ from ȳ.
    fn backward(&self, saved: Self::Saved, gradient: FlexTensor) -> FlexTensor;
}

/// Applies a kernel, or declines with `None` where it cannot run.
pub(crate) fn apply<K: Kernel, const D: usize, const E: usize>(
    kernel: K,
    x: &Tensor<D>,
) -> Option<Tensor<E>> {
    if x.dtype() != DType::F32 {
        return None;
    }
    if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
        return Some(Tensor::from_primitive::<Flex>(kernel.forward(x)));
    }
    let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let step = Step(kernel.clone());
    let input = x.primitive().clone();
    let y = match step
        .prepare::<NoCheckpointing>([x.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => {
            let y = kernel.forward(input.clone());
            prepared.finish(kernel.save(&input, &y), y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(kernel.forward(input)),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

/// Whether a tensor, differentiated or not, lives on the flex device.
pub(crate) fn is_on_flex<const D: usize>(x: &Tensor<D>) -> bool {
    let plain = x.clone().try_into_primitive::<Flex>().is_ok();
    plain || x.clone().try_into_primitive::<Autodiff<Flex>>().is_ok()
}

/// The numbers of a constant that lives on the flex device; `None` for a tensor
/// that is differentiated, lives elsewhere or is not f32.
pub(crate) fn constant<const D: usize>(tensor: &Tensor<D>) -> Option<Constant> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    let tensor = tensor.clone().try_into_primitive::<Flex>().ok()?;
    Some(Constant(contiguous(tensor)))
}

/// A contiguous f32 tensor that is not differentiated.
#[derive(Clone, Debug)]
pub(crate) struct Constant(FlexTensor);

impl Constant {
    /// Its numbers in row-major order.
    pub(crate) fn numbers(&self) -> &[f32] {
        numbers(&self.0)
    }
}

/// The same tensor, row-major and alone in its buffer.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// The numbers of a [`contiguous`] f32 tensor.
pub(crate) fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage::<f32>()
}

/// The extents of a tensor.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}

/// A row-major tensor of the given numbers.
pub(crate) fn tensor(numbers: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape.into()))
}

/// A kernel as a step of burn's tape.
#[derive(Clone, Debug)]
struct Step<K>(K);

impl<K: Kernel> Backward<Flex, 1> for Step<K> {
    type State = K::Saved;

    fn backward(self, ops: Ops<K::Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let saved = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |gradient| {
            self.0.backward(saved, gradient)
        });
    }
}
