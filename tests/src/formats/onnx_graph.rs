//! ONNX graphs from choices: operators that are read, applied to values that there are, with odd numbers.

use model::onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use prost::Message;

use super::choices::Choices;
use super::networks;

/// Operators, with the kinds of their operands: `x` any value, `w` a stored tensor of floats, `i` one of
/// integers, `*` as many values as wanted.
const OPERATORS: [(&str, &str); 66] = [
    ("Relu", "x"),
    ("Gemm", "xww"),
    ("MatMul", "xw"),
    ("MatMul", "xx"),
    ("Conv", "xww"),
    ("MaxPool", "x"),
    ("AveragePool", "x"),
    ("GlobalAveragePool", "x"),
    ("GlobalMaxPool", "x"),
    ("BatchNormalization", "xwwww"),
    ("InstanceNormalization", "xww"),
    ("LayerNormalization", "xww"),
    ("Softmax", "x"),
    ("LogSoftmax", "x"),
    ("ReduceMean", "xi"),
    ("ReduceSum", "xi"),
    ("ReduceMax", "xi"),
    ("ReduceProd", "i"),
    ("Add", "xw"),
    ("Add", "xx"),
    ("Sub", "xw"),
    ("Mul", "xx"),
    ("Mul", "xw"),
    ("Div", "xw"),
    ("Pow", "xw"),
    ("Max", "*"),
    ("Min", "*"),
    ("Sum", "*"),
    ("Concat", "*"),
    ("Clip", "xww"),
    ("PRelu", "xw"),
    ("LeakyRelu", "x"),
    ("Elu", "x"),
    ("Selu", "x"),
    ("HardSigmoid", "x"),
    ("HardSwish", "x"),
    ("Gelu", "x"),
    ("Erf", "x"),
    ("Sigmoid", "x"),
    ("Tanh", "x"),
    ("Sqrt", "x"),
    ("Abs", "x"),
    ("Identity", "x"),
    ("Dropout", "x"),
    ("Reshape", "xi"),
    ("Transpose", "x"),
    ("Slice", "xiiii"),
    ("Split", "xi"),
    ("Squeeze", "xi"),
    ("Unsqueeze", "xi"),
    ("Flatten", "x"),
    ("Expand", "xi"),
    ("Tile", "xi"),
    ("Pad", "xi"),
    ("Gather", "xi"),
    ("GatherElements", "xi"),
    ("GatherND", "xi"),
    ("Gather", "wx"),
    ("Where", "xxx"),
    ("Cast", "x"),
    ("Equal", "xx"),
    ("Shape", "x"),
    ("Range", "iii"),
    ("ConstantOfShape", "i"),
    ("CumSum", "xi"),
    ("Constant", ""),
];

/// Attributes with a list of integers, with an integer, and with a float.
const LISTS: [&str; 8] = [
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "perm",
    "axes",
    "split",
    "shape",
];
const NUMBERS: [&str; 14] = [
    "axis",
    "group",
    "ceil_mode",
    "transA",
    "transB",
    "keepdims",
    "to",
    "count_include_pad",
    "allowzero",
    "noop_with_empty_axes",
    "num_outputs",
    "start",
    "end",
    "batch_dims",
];
const FLOATS: [&str; 5] = ["alpha", "beta", "epsilon", "value_float", "gamma"];
const WORDS: [(&str, &str); 6] = [
    ("auto_pad", "SAME_UPPER"),
    ("auto_pad", "SAME_LOWER"),
    ("auto_pad", "VALID"),
    ("mode", "reflect"),
    ("mode", "edge"),
    ("approximate", "tanh"),
];

/// Shapes of inputs, one example in front.
const INPUTS: [&[i64]; 7] = [
    &[1, 4],
    &[1, 2, 6, 6],
    &[1, 3, 4],
    &[-1, 4],
    &[1, 1, 8, 8],
    &[2, 4],
    &[-1, -1],
];

const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// Reads the file of a graph that the bytes choose.
pub(super) fn graph(bytes: &[u8]) -> bool {
    networks::onnx(&file(bytes))
}

/// The file of a graph that the bytes choose.
pub(super) fn file(bytes: &[u8]) -> Vec<u8> {
    let mut choices = Choices::new(bytes);
    let mut maker = Maker {
        integer_input: choices.rarely(8),
        ..Maker::default()
    };
    let input = maker.input(&mut choices);
    for _ in 0..24 {
        maker.node(&mut choices);
        if choices.is_empty() {
            break;
        }
    }
    let output = maker.values.last().cloned().unwrap_or_default();
    let graph = GraphProto {
        name: "graph".to_owned(),
        input: vec![input],
        output: vec![information(&output, FLOAT, &[])],
        initializer: maker.stored,
        node: maker.nodes,
        ..GraphProto::default()
    };
    let version = 7 + choices.below(15) as i64;
    let file = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            version,
            ..OperatorSetIdProto::default()
        }],
        ..ModelProto::default()
    };
    file.encode_to_vec()
}

#[derive(Default)]
struct Maker {
    integer_input: bool,
    values: Vec<String>,
    stored: Vec<TensorProto>,
    nodes: Vec<NodeProto>,
}

impl Maker {
    fn input(&mut self, choices: &mut Choices<'_>) -> ValueInfoProto {
        let mut shape = choices.one_of(&INPUTS).to_vec();
        if choices.rarely(8) {
            let at = choices.below(shape.len());
            shape[at] = choices.integer();
        }
        self.values.push("x".to_owned());
        let kind = if self.integer_input { INT64 } else { FLOAT };
        information("x", kind, &shape)
    }

    fn node(&mut self, choices: &mut Choices<'_>) {
        let (operator, kinds) = choices.one_of(&OPERATORS);
        let several = "xxxx";
        let kinds = match kinds {
            "*" => &several[..1 + choices.below(several.len())],
            kinds => kinds,
        };
        let mut operands: Vec<String> = Vec::new();
        for kind in kinds.chars() {
            operands.push(match kind {
                'w' if choices.rarely(8) => self.value(choices),
                'w' => self.tensor(choices),
                'i' if choices.rarely(8) => self.value(choices),
                'i' => self.indices(choices),
                _ => self.value(choices),
            });
        }
        // Most trailing operands may be left out.
        if choices.rarely(4) && operands.len() > 1 {
            operands.truncate(1 + choices.below(operands.len()));
        }
        let results = 1 + usize::from(operator == "Split") * choices.below(4);
        let number = self.nodes.len();
        let results: Vec<String> = (0..results).map(|i| format!("y{number}_{i}")).collect();
        self.values.extend(results.iter().cloned());
        let attribute = self.attributes(operator, choices);
        self.nodes.push(NodeProto {
            op_type: operator.to_owned(),
            input: operands,
            output: results,
            attribute,
            ..NodeProto::default()
        });
    }

    /// A value, most often one of the last ones.
    fn value(&mut self, choices: &mut Choices<'_>) -> String {
        let back = match choices.byte() {
            byte @ 0..192 => usize::from(byte) % 2,
            byte => usize::from(byte),
        };
        let at = self.values.len() - 1 - back.min(self.values.len() - 1);
        self.values[at].clone()
    }

    /// A stored tensor of floats.
    fn tensor(&mut self, choices: &mut Choices<'_>) -> String {
        const SHAPES: [&[i64]; 16] = [
            &[4],
            &[4, 4],
            &[1],
            &[2, 2, 3, 3],
            &[2, 1, 3, 3],
            &[2],
            &[],
            &[3, 4],
            &[4, 3],
            &[1, 4],
            &[1, 2, 1, 1],
            &[2, 2, 1, 1],
            &[4, 36],
            &[72, 4],
            &[0],
            &[6, 6],
        ];
        let mut dims = choices.one_of(&SHAPES).to_vec();
        if choices.rarely(16) && !dims.is_empty() {
            let at = choices.below(dims.len());
            dims[at] = choices.integer();
        }
        let count = dims
            .iter()
            .try_fold(1_i64, |count, &extent| count.checked_mul(extent));
        let count = count.unwrap_or(0).clamp(0, 4096);
        let number = (choices.byte() as f32 - 64.0) / 32.0;
        let mut tensor = TensorProto {
            dims,
            data_type: FLOAT,
            ..TensorProto::default()
        };
        match choices.below(16) {
            14 => {
                tensor.data_location = 1;
                let entry = |key: &str, value: String| StringStringEntryProto {
                    key: key.to_owned(),
                    value,
                };
                tensor.external_data = vec![
                    entry("location", "side.bin".to_owned()),
                    entry("offset", choices.integer().to_string()),
                    entry("length", choices.integer().to_string()),
                ];
            }
            15 => tensor.raw_data = number.to_le_bytes().repeat(count as usize),
            _ => tensor.float_data = vec![number; count as usize],
        }
        self.store(tensor)
    }

    /// A stored tensor of integers.
    fn indices(&mut self, choices: &mut Choices<'_>) -> String {
        let count = 1 + choices.below(4);
        let int64_data = choices.integers(count);
        let count = int64_data.len() as i64;
        let dims = if choices.rarely(4) {
            vec![]
        } else {
            vec![count]
        };
        self.store(TensorProto {
            dims,
            data_type: INT64,
            int64_data,
            ..TensorProto::default()
        })
    }

    fn store(&mut self, mut tensor: TensorProto) -> String {
        tensor.name = format!("w{}", self.stored.len());
        let name = tensor.name.clone();
        self.stored.push(tensor);
        name
    }

    fn attributes(&mut self, operator: &str, choices: &mut Choices<'_>) -> Vec<AttributeProto> {
        let mut attributes = Vec::new();
        if matches!(operator, "Conv" | "MaxPool" | "AveragePool") {
            attributes.push(list("kernel_shape", vec![3, 3]));
        }
        for _ in 0..choices.below(4) {
            attributes.push(attribute(operator, choices));
        }
        attributes
    }
}

/// An attribute; most often one that operators of the kind have.
fn attribute(operator: &str, choices: &mut Choices<'_>) -> AttributeProto {
    let usual: &[&str] = match operator {
        "Conv" | "MaxPool" | "AveragePool" => &LISTS[..4],
        "Transpose" => &["perm"],
        "Split" => &["split"],
        "Squeeze" | "Unsqueeze" | "ReduceMean" | "ReduceSum" | "ReduceMax" => &["axes"],
        _ => &LISTS,
    };
    match choices.below(8) {
        0..=2 => list(choices.one_of(usual), {
            let count = if usual.len() == 4 { 2 } else { 4 };
            choices.integers(count)
        }),
        3 | 4 => AttributeProto {
            i: choices.integer(),
            r#type: 2,
            ..named(choices.one_of(&NUMBERS))
        },
        5 => AttributeProto {
            f: choices.one_of(&super::choices::FLOATS) as f32,
            r#type: 1,
            ..named(choices.one_of(&FLOATS))
        },
        6 => {
            let (name, word) = choices.one_of(&WORDS);
            AttributeProto {
                s: word.into(),
                r#type: 3,
                ..named(name)
            }
        }
        _ => AttributeProto {
            t: Some(TensorProto {
                dims: vec![1],
                data_type: INT64,
                int64_data: vec![choices.integer()],
                ..TensorProto::default()
            }),
            r#type: 4,
            ..named("value")
        },
    }
}

fn named(name: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ..AttributeProto::default()
    }
}

fn list(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        ints,
        r#type: 7,
        ..named(name)
    }
}

/// A value with its type; extents of -1 are unknown.
fn information(name: &str, elem_type: i32, shape: &[i64]) -> ValueInfoProto {
    let dim = shape.iter().map(|&extent| DimensionProto {
        dim_value: (extent != -1).then_some(extent),
        dim_param: (extent == -1).then(|| "n".to_owned()),
    });
    let tensor_type = Some(TensorTypeProto {
        elem_type,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type,
            sequence_type: None,
        }),
    }
}
