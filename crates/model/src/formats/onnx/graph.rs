//! An ONNX graph by its values: who reads a value, what is stored, what a node's attributes say.

use std::collections::HashMap;

use onnx_ir::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::tensor::shape;

/// A graph to be walked from its input; complaints name the node.
pub(super) struct Walk<'a> {
    /// The graph.
    pub(super) graph: &'a GraphProto,
    consumers: HashMap<&'a str, Vec<&'a NodeProto>>,
    stored: HashMap<&'a str, &'a TensorProto>,
}

/// A convolution with bias, square kernel and a ReLU behind it.
pub(super) struct Convolution<'a> {
    pub(super) node: &'a NodeProto,
    pub(super) weight: &'a TensorProto,
    pub(super) bias: &'a TensorProto,
    /// Input channels.
    pub(super) inputs: usize,
    /// Output channels.
    pub(super) outputs: usize,
    /// Kernel size.
    pub(super) kernel: usize,
    /// The value behind the ReLU.
    pub(super) value: &'a str,
}

impl<'a> Walk<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
        let initializers = graph.initializer.iter();
        let mut stored: HashMap<&str, &TensorProto> = initializers
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let mut consumers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &graph.node {
            for input in &node.input {
                consumers.entry(input).or_default().push(node);
            }
            let value = attribute(node, "value").and_then(|value| value.t.as_ref());
            if let ("Constant", Some(value), [output]) =
                (node.op_type.as_str(), value, &node.output[..])
            {
                stored.insert(output, value);
            }
        }
        Self {
            graph,
            consumers,
            stored,
        }
    }

    /// The graph's only input that is no stored tensor: early versions of the format list those too.
    pub(super) fn input(&self) -> Result<&'a str, String> {
        let names = self.graph.input.iter().map(|input| input.name.as_str());
        let inputs: Vec<&str> = names
            .filter(|name| !self.stored.contains_key(name))
            .collect();
        match inputs[..] {
            [input] => Ok(input),
            _ => Err(format!("expected one input, got {inputs:?}")),
        }
    }

    /// The nodes that read a value, once for every time that they do.
    pub(super) fn consumers(&self, value: &str) -> &[&'a NodeProto] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The node that alone reads a value.
    pub(super) fn only_consumer(&self, value: &str) -> Result<&'a NodeProto, String> {
        match self.consumers(value) {
            [node] => Ok(node),
            several => Err(format!(
                "value `{value}`: expected one node that reads it, got {}",
                several.len()
            )),
        }
    }

    /// Reads a node as a convolution of that stride and any padding, without groups and dilation.
    pub(super) fn convolution(
        &self,
        node: &'a NodeProto,
        stride: i64,
    ) -> Result<Convolution<'a>, String> {
        if node.op_type != "Conv" {
            return Err(complaint(node, "Conv", &node.op_type));
        }
        let operand = |index: usize| {
            let name = node.input.get(index).map(String::as_str);
            name.and_then(|name| self.stored.get(name).copied())
        };
        let (Some(weight), Some(bias)) = (operand(1), operand(2)) else {
            return Err(complaint(
                node,
                "a stored weight and bias",
                &format!("{:?}", node.input),
            ));
        };
        let extents = shape(weight).unwrap_or_default();
        let got = || {
            format!(
                "a weight of shape {:?} and a bias of shape {:?}",
                weight.dims, bias.dims
            )
        };
        let &[outputs, inputs, kernel, width] = &extents[..] else {
            return Err(complaint(node, "a weight of rank 4", &got()));
        };
        if kernel != width || bias.dims != weight.dims[..1] {
            return Err(complaint(
                node,
                "a square kernel and a bias for each channel",
                &got(),
            ));
        }
        uniform(node, "kernel_shape", weight.dims[2], weight.dims[2])?;
        uniform(node, "strides", stride, 1)?;
        uniform(node, "dilations", 1, 1)?;
        uniform(node, "group", 1, 1)?;
        let automatic =
            attribute(node, "auto_pad").filter(|value| !matches!(&value.s[..], b"" | b"NOTSET"));
        if let Some(automatic) = automatic {
            return Err(complaint(
                node,
                "explicit padding",
                &String::from_utf8_lossy(&automatic.s),
            ));
        }
        let relu = self.only_consumer(output(node)?)?;
        if relu.op_type != "Relu" {
            return Err(complaint(relu, "Relu behind a convolution", &relu.op_type));
        }
        Ok(Convolution {
            node,
            weight,
            bias,
            inputs,
            outputs,
            kernel,
            value: output(relu)?,
        })
    }
}

/// A sentence about a node.
pub(super) fn complaint(node: &NodeProto, expected: &str, got: &str) -> String {
    format!("node `{}`: expected {expected}, got {got}", node.name)
}

/// The value that a node computes.
pub(super) fn output(node: &NodeProto) -> Result<&str, String> {
    let output = node.output.first().map(String::as_str);
    output.ok_or_else(|| complaint(node, "an output", "none"))
}

/// The integers of an attribute, `None` when the node does not have it.
pub(super) fn integers(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    let found = attribute(node, name)?;
    Some(if found.ints.is_empty() {
        vec![found.i]
    } else {
        found.ints.clone()
    })
}

/// Checks that all integers of an attribute are `expected`; without the attribute they are `default`.
pub(super) fn uniform(
    node: &NodeProto,
    name: &str,
    expected: i64,
    default: i64,
) -> Result<(), String> {
    let got = integers(node, name).unwrap_or_else(|| vec![default]);
    if got.iter().all(|&value| value == expected) {
        return Ok(());
    }
    Err(complaint(
        node,
        &format!("{name} of {expected}"),
        &format!("{got:?}"),
    ))
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}
