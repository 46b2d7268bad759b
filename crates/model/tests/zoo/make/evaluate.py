"""What a finished file gives in onnxruntime, and which of its tensors are weights of layers."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

ELEMENTS = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT64: np.int64,
}
THROUGH = {"Transpose", "Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
SCALED = {"BatchNormalization", "LayerNormalization", "InstanceNormalization"}


def real_inputs(model):
    stored = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in stored]


def dims(value):
    return [
        d.dim_value if d.WhichOneof("value") == "dim_value" else d.dim_param or None
        for d in value.type.tensor_type.shape.dim
    ]


def has_batch(shape, example):
    return len(shape) == len(example) + 1


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(model, values):
    """The graph's inputs for stored examples: planes of token cases are separate inputs."""
    inputs = real_inputs(model)
    planes = [values] if len(inputs) == 1 else [values[:, plane] for plane in range(len(inputs))]
    kinds = [ELEMENTS[v.type.tensor_type.elem_type] for v in inputs]
    return {v.name: plane.astype(kind) for v, plane, kind in zip(inputs, planes, kinds)}


def outputs(path, model, values):
    """The first output for every example, run one at a time; a free batch must give the same."""
    runner, arrays = session(path), feeds(model, values)
    shapes = {v.name: dims(v) for v in real_inputs(model)}
    name = model.graph.output[0].name
    batched = all(has_batch(shapes[n], a[0].shape) for n, a in arrays.items())

    def run(start, end):
        feed = {n: a[start:end] if batched else a[start] for n, a in arrays.items()}
        return runner.run([name], feed)[0]

    rows = [run(i, i + 1) for i in range(len(values))]
    rows = [r[0] if batched else r for r in rows]
    result = np.stack(rows).astype(np.float32)
    if batched and all(not isinstance(s[0], int) or s[0] < 0 for s in shapes.values()):
        together = run(0, len(values)).astype(np.float32)
        loose = max(ELEMENTS[v.type.tensor_type.elem_type] == np.float16 for v in real_inputs(model))
        np.testing.assert_allclose(together, result, rtol=0, atol=2e-3 if loose else 2e-6 * (1 + np.abs(result).max()))
    assert np.isfinite(result).all()
    return result


def needed(model):
    """The nodes that the first output depends on."""
    makers = {o: node for node in model.graph.node for o in node.output if o}
    open_names = [model.graph.output[0].name]
    seen = set()
    while open_names:
        node = makers.get(open_names.pop())
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            open_names.extend(node.input)
    return [n for n in model.graph.node if id(n) in seen], makers


def weights(model):
    """Names of stored tensors by role: weights of fully connected layers and convolutions, scales of norms, tables of
    embeddings. A tensor in a Constant node goes by the node's output."""
    nodes, makers = needed(model)
    stored = {t.name: t for t in model.graph.initializer}

    def source(name):
        node = makers.get(name)
        if node is not None and node.op_type in THROUGH:
            return source(node.input[0])
        if node is not None and node.op_type == "Constant":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
            return (
                name if tensor is not None and tensor.data_type not in (TensorProto.INT64, TensorProto.BOOL) else None
            )
        return name if name in stored and stored[name].data_type not in (TensorProto.INT64, TensorProto.BOOL) else None

    places = {"Gemm": (0, 1), "MatMul": (0, 1), "Conv": (1,)}
    found = {"layers": [], "norms": [], "embeddings": []}
    for node in nodes:
        if node.op_type in places:
            role, at = "layers", places[node.op_type]
        elif node.op_type in SCALED:
            role, at = "norms", (1,)
        elif node.op_type == "Gather" and source(node.input[1]) is None and not constant(node.input[1], makers, stored):
            role, at = "embeddings", (0,)
        else:
            continue
        for place in at:
            name = source(node.input[place])
            if name and name not in found[role]:
                found[role].append(name)
    return found


def constant(name, makers, stored):
    node = makers.get(name)
    return name in stored or (node is not None and node.op_type == "Constant")


def check(path):
    onnx.checker.check_model(str(path), full_check=True)
