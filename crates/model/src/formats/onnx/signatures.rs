//! Nodes of the file: how many operands and which attributes each operator has.

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::values::Reason;

/// Operator, fewest and most operands, attributes.
type Signature = (&'static str, usize, usize, &'static [&'static str]);

const POOL: [&str; 8] = [
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "kernel_shape",
    "pads",
    "storage_order",
    "strides",
];

/// Every operator that is read.
const SIGNATURES: &[Signature] = &[
    ("Abs", 1, 1, &[]),
    ("Add", 2, 2, &[]),
    ("And", 2, 2, &[]),
    ("ArgMax", 1, 1, &["axis", "keepdims", "select_last_index"]),
    ("ArgMin", 1, 1, &["axis", "keepdims", "select_last_index"]),
    ("AveragePool", 1, 1, &POOL),
    (
        "BatchNormalization",
        5,
        5,
        &["epsilon", "momentum", "spatial", "training_mode"],
    ),
    ("Cast", 1, 1, &["to", "saturate"]),
    ("CastLike", 2, 2, &["saturate"]),
    ("Ceil", 1, 1, &[]),
    ("Clip", 1, 3, &["max", "min"]),
    ("Concat", 1, usize::MAX, &["axis"]),
    (
        "Constant",
        0,
        0,
        &[
            "value",
            "value_float",
            "value_floats",
            "value_int",
            "value_ints",
            "value_string",
            "value_strings",
            "sparse_value",
        ],
    ),
    ("ConstantOfShape", 1, 1, &["value"]),
    (
        "Conv",
        2,
        3,
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "pads",
            "strides",
        ],
    ),
    ("CumSum", 2, 2, &["exclusive", "reverse"]),
    ("Div", 2, 2, &[]),
    ("Dropout", 1, 3, &["ratio", "seed"]),
    ("Elu", 1, 1, &["alpha"]),
    ("Equal", 2, 2, &[]),
    ("Erf", 1, 1, &[]),
    ("Exp", 1, 1, &[]),
    ("Expand", 2, 2, &[]),
    ("Flatten", 1, 1, &["axis"]),
    ("Floor", 1, 1, &[]),
    ("Gather", 2, 2, &["axis"]),
    ("GatherElements", 2, 2, &["axis"]),
    ("GatherND", 2, 2, &["batch_dims"]),
    ("Gelu", 1, 1, &["approximate"]),
    ("Gemm", 2, 3, &["alpha", "beta", "transA", "transB"]),
    ("GlobalAveragePool", 1, 1, &[]),
    ("GlobalMaxPool", 1, 1, &[]),
    ("Greater", 2, 2, &[]),
    ("GreaterOrEqual", 2, 2, &[]),
    ("HardSigmoid", 1, 1, &["alpha", "beta"]),
    ("HardSwish", 1, 1, &[]),
    ("Identity", 1, 1, &[]),
    ("InstanceNormalization", 3, 3, &["epsilon"]),
    ("IsNaN", 1, 1, &[]),
    (
        "LayerNormalization",
        2,
        3,
        &["axis", "epsilon", "stash_type"],
    ),
    ("LeakyRelu", 1, 1, &["alpha"]),
    ("Less", 2, 2, &[]),
    ("LessOrEqual", 2, 2, &[]),
    ("Log", 1, 1, &[]),
    ("LogSoftmax", 1, 1, &["axis"]),
    ("MatMul", 2, 2, &[]),
    ("Max", 1, usize::MAX, &[]),
    ("MaxPool", 1, 1, &POOL),
    ("Min", 1, usize::MAX, &[]),
    ("Mod", 2, 2, &["fmod"]),
    ("Mul", 2, 2, &[]),
    ("Neg", 1, 1, &[]),
    ("Not", 1, 1, &[]),
    ("Or", 2, 2, &[]),
    ("PRelu", 2, 2, &[]),
    ("Pad", 1, 4, &["mode", "pads", "value"]),
    ("Pow", 2, 2, &[]),
    ("Range", 3, 3, &[]),
    ("Reciprocal", 1, 1, &[]),
    (
        "ReduceMax",
        1,
        2,
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    (
        "ReduceMean",
        1,
        2,
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    (
        "ReduceMin",
        1,
        2,
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    (
        "ReduceProd",
        1,
        2,
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    (
        "ReduceSum",
        1,
        2,
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    ("Relu", 1, 1, &[]),
    ("Reshape", 1, 2, &["allowzero", "shape"]),
    ("Selu", 1, 1, &["alpha", "gamma"]),
    ("Shape", 1, 1, &["end", "start"]),
    ("Sigmoid", 1, 1, &[]),
    ("Size", 1, 1, &[]),
    ("Slice", 1, 5, &["axes", "ends", "starts"]),
    ("Softmax", 1, 1, &["axis"]),
    ("Softplus", 1, 1, &[]),
    ("Split", 1, 2, &["axis", "num_outputs", "split"]),
    ("Sqrt", 1, 1, &[]),
    ("Squeeze", 1, 2, &["axes"]),
    ("Sub", 2, 2, &[]),
    ("Sum", 1, usize::MAX, &[]),
    ("Tanh", 1, 1, &[]),
    ("Tile", 2, 2, &[]),
    ("Transpose", 1, 1, &["perm"]),
    ("Trilu", 1, 2, &["upper"]),
    ("Unsqueeze", 1, 2, &["axes"]),
    ("Where", 3, 3, &[]),
    ("Xor", 2, 2, &[]),
];

/// `AttributeProto.AttributeType`: the types that are read; 0 in files that do not say it.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const FLOATS: i32 = 6;
const INTS: i32 = 7;

/// Fails for a node of an operator that is not read, or that has operands or attributes it lacks.
pub(super) fn check(node: &NodeProto) -> Result<(), Reason> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Err(format!(
            "is an operator of the domain `{}`, which is not read",
            node.domain
        ));
    }
    let signature = SIGNATURES.iter().find(|s| s.0 == node.op_type);
    let Some((_, fewest, most, attributes)) = signature else {
        return Err("is an operator that is not read".to_owned());
    };
    let (missing, given) = (*fewest, node.input.len());
    let required = node.input.iter().take(missing);
    if given > *most || required.filter(|name| !name.is_empty()).count() < missing {
        return Err(format!(
            "has operands it lacks or lacks one: expected {fewest} to {most}, got {:?}",
            node.input
        ));
    }
    for (position, attribute) in node.attribute.iter().enumerate() {
        if !attributes.contains(&attribute.name.as_str()) {
            return Err(format!("has no attribute `{}`", attribute.name));
        }
        let before = &node.attribute[..position];
        if before.iter().any(|other| other.name == attribute.name) {
            return Err(format!("has the attribute `{}` twice", attribute.name));
        }
    }
    Ok(())
}

impl NodeProto {
    fn attribute_of(&self, name: &str, kind: i32) -> Result<Option<&AttributeProto>, Reason> {
        let found = self.attribute.iter().find(|a| a.name == name);
        match found {
            Some(attribute) if attribute.r#type != kind && attribute.r#type != 0 => {
                Err(format!("has an attribute `{name}` of another type"))
            }
            found => Ok(found),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute.iter().any(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Reason> {
        Ok(self.attribute_of(name, INT)?.map(|a| a.i))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Reason> {
        Ok(self.int(name)?.map_or(default, |i| i != 0))
    }

    /// A float attribute, widened as it is stored.
    pub(super) fn float(&self, name: &str, default: f32) -> Result<f64, Reason> {
        let found = self.attribute_of(name, FLOAT)?;
        let value = f64::from(found.map_or(default, |a| a.f));
        if value.is_finite() {
            Ok(value)
        } else {
            Err(format!("has {value} as its attribute `{name}`"))
        }
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&[i64]>, Reason> {
        Ok(self.attribute_of(name, INTS)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&[f32]>, Reason> {
        Ok(self
            .attribute_of(name, FLOATS)?
            .map(|a| a.floats.as_slice()))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Reason> {
        let found = self.attribute_of(name, STRING)?;
        Ok(found.map(|a| String::from_utf8_lossy(&a.s).into_owned()))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, Reason> {
        Ok(self.attribute_of(name, TENSOR)?.and_then(|a| a.t.as_ref()))
    }

    /// The name of an operand; `None` for one that is left out.
    pub(super) fn operand(&self, position: usize) -> Option<&str> {
        let name = self.input.get(position)?.as_str();
        (!name.is_empty()).then_some(name)
    }
}
