//! Small ONNX models, made here.

use model::onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// `AttributeProto.AttributeType.INTS`
const INTS: i32 = 7;

/// An input or output of floats.
pub(crate) fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&extent: &i64| DimensionProto {
        dim_value: Some(extent),
        dim_param: None,
    };
    let tensor = TensorTypeProto {
        elem_type: 1,
        shape: Some(TensorShapeProto {
            dim: dims.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor),
            sequence_type: None,
        }),
    }
}

/// Zeros.
pub(crate) fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: vec![0; 4 * count as usize],
        ..TensorProto::default()
    }
}

/// Whole numbers in one axis.
pub(crate) fn wholes(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: 7,
        int64_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

/// Elements that lie in a file.
pub(crate) fn external(name: &str, dims: &[i64], data_type: i32, location: &str) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type,
        data_location: 1,
        external_data: vec![StringStringEntryProto {
            key: "location".to_owned(),
            value: location.to_owned(),
        }],
        ..TensorProto::default()
    }
}

pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub(crate) fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        ints: ints.to_vec(),
        r#type: INTS,
        ..AttributeProto::default()
    });
    node
}

/// A model from `x` to `y`.
pub(crate) fn model(x: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            input: vec![value("x", x)],
            output: vec![value("y", &[1])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}
