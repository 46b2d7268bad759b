//! Evaluation of a network in an ONNX file by plain arithmetic in f64.
//!
//! This is a second reading of the file: it parses the bytes, takes the meaning of every node from
//! the ONNX operator specification (<https://onnx.ai/onnx/operators/>) alone, and computes node by
//! node. It shares nothing with the reader that turns an ONNX file into a graph of `network`, so
//! that a misreading of either shows as a difference between them.
//!
//! Attributes, inputs and element types that the specification does not give an operator in the
//! file's version of the operator set are refused, as is everything that is not evaluated. Not
//! modelled: the rounding of float types (all floats are f64, their casts change nothing).
//!
//! | file | what it reads or computes |
//! |---|---|
//! | `stored`, `attributes`, `graph`, `inputs` | tensors, constants, nodes and inputs of the file |
//! | `tensor`, `windows` | values and their views; geometry of convolutions and pools |
//! | `evaluator`, `operators` | the walk over the nodes; the operators and what a node gives them |
//! | `matrices` | Gemm, MatMul |
//! | `convolution` | Conv |
//! | `pool` | MaxPool, AveragePool, global pools |
//! | `norm` | BatchNormalization, LayerNormalization, InstanceNormalization, Softmax, LogSoftmax |
//! | `pointwise` | functions of one number, activations among them |
//! | `arithmetic`, `logic`, `choice` | functions of several numbers, with broadcasting |
//! | `reduce` | Reduce*, CumSum |
//! | `layout`, `slice`, `join`, `gather`, `pad` | shapes, parts and picks |
//! | `constant` | Constant, ConstantOfShape, Range, Cast, Identity, Dropout |

mod arithmetic;
mod attributes;
mod choice;
mod constant;
mod convolution;
mod error;
mod evaluator;
mod gather;
mod graph;
mod inputs;
mod join;
mod layout;
mod logic;
mod matrices;
mod norm;
mod operators;
mod pad;
mod pointwise;
mod pool;
mod reduce;
mod slice;
mod stored;
mod tensor;
#[cfg(test)]
#[path = "tests/testing.rs"]
mod testing;
#[cfg(test)]
mod tests;
mod windows;

pub use error::OnnxError;
pub use evaluator::OnnxEvaluator;
pub use inputs::OnnxInput;
