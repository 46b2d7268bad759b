"""The same small networks in every way that a file can hold them: versions, element types, places of the data."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .net import case, list_initializers


def two_layers(g):
    return two_layers_of(g, g.input, 6)


def two_layers_of(g, value, features):
    return g.gemm(g.op("Relu", g.gemm(value, 5, features)), 3, 5)


def variant(name, why, shape=(6,), build=two_layers, **settings):
    """Registers a network under a name."""

    def named(g):
        return build(g)

    named.__name__ = name
    case(why, shape, **settings)(named)


def matmuls(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.input, g.weight("w0", 6, 5)), g.weight("b0", 5)))
    return g.op("Add", g.op("MatMul", h, g.weight("w1", 5, 3)), g.weight("b1", 3))


for opset in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21):
    variant(f"opset_{opset}", f"opset {opset} and the IR version of its time", opset=opset)


def typed(model):
    """Moves raw bytes into the field of the element type."""
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        if tensor.data_type == TensorProto.FLOAT:
            tensor.float_data.extend(values.ravel().tolist())
        elif tensor.data_type == TensorProto.DOUBLE:
            tensor.double_data.extend(values.ravel().tolist())
        elif tensor.data_type == TensorProto.FLOAT16:
            tensor.int32_data.extend(values.view(np.uint16).ravel().tolist())
        elif tensor.data_type == TensorProto.INT64:
            tensor.int64_data.extend(values.ravel().tolist())


def with_reshape(g):
    return two_layers_of(g, g.op("Reshape", g.input, g.ints(-1, 6)), 6)


variant(
    "ir3_initializers_are_inputs",
    "IR version 3: every initializer is listed among the inputs, after the real one",
    opset=8,
)


def inputs_first(model):
    real = model.graph.input.pop(0)
    model.graph.input.append(real)


variant(
    "ir4_initializers_are_inputs",
    "IR version 7, initializers still listed among the inputs: a caller may replace them",
    opset=13,
    finish=list_initializers,
)
variant("ir3_real_input_is_last", "the real input comes after the initializers", opset=8, finish=inputs_first)
variant("typed_float_data", "values in float_data and int64_data", (2, 3), build=with_reshape, opset=13, finish=typed)
variant("typed_double_data", "float64, values in double_data", opset=13, dtype=np.float64, finish=typed)
variant("typed_half_data", "float16, bits in int32_data", opset=13, dtype=np.float16, finish=typed)
variant("double", "float64 throughout", opset=13, dtype=np.float64, build=matmuls)
variant("half", "float16 throughout", opset=13, dtype=np.float16)
variant(
    "half_conv",
    "float16 throughout, convolution and batch norm",
    (2, 5, 5),
    opset=14,
    dtype=np.float16,
    build=lambda g: g.head(g.op("Relu", g.batch_norm(g.conv(g.input, 3, 2), 3)), 27),
)


def half_weights(g, kind=np.float16):
    def stored(name, *shape):
        values = g.normal(*shape)
        if kind == "bfloat16":
            g.tensors.append(helper.make_tensor(name, TensorProto.BFLOAT16, shape, values.ravel().tolist()))
        else:
            g.store(name, values, kind)
        return g.op("Cast", name, to=TensorProto.FLOAT, name=f"cast_{name}")

    h = g.op("Relu", g.op("Gemm", g.input, stored("w0", 5, 6), stored("b0", 5), transB=1))
    return g.op("Gemm", h, stored("w1", 3, 5), stored("b1", 3), transB=1)


variant("half_weights_cast", "weights stored as float16, a Cast behind each", opset=13, build=half_weights)
variant(
    "bfloat16_weights_cast",
    "weights stored as bfloat16, a Cast behind each",
    opset=13,
    build=lambda g: half_weights(g, "bfloat16"),
)
variant(
    "double_weights_cast",
    "weights stored as float64, a Cast behind each",
    opset=13,
    build=lambda g: half_weights(g, np.float64),
)


def half_body(g):
    def stored(name, *shape):
        return g.store(name, g.normal(*shape), np.float16)

    h = g.op("Cast", g.input, to=TensorProto.FLOAT16)
    h = g.op("Relu", g.op("Gemm", h, stored("w0", 5, 6), stored("b0", 5), transB=1))
    return g.op("Cast", g.op("Gemm", h, stored("w1", 3, 5), stored("b1", 3), transB=1), to=TensorProto.FLOAT)


variant(
    "half_body_float_ends",
    "float32 in and out, float16 between two Casts (onnxruntime's converter)",
    opset=13,
    build=half_body,
)


def weights_as_constants(model):
    nodes = [
        helper.make_node("Constant", [], [t.name], name=f"Constant_{t.name}", value=t) for t in model.graph.initializer
    ]
    rest = list(model.graph.node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes + rest)


variant(
    "weights_as_constant_nodes",
    "no initializers: every weight is a Constant node",
    opset=9,
    finish=weights_as_constants,
)


def identities(g):
    w = g.op("Identity", g.op("Identity", g.weight("w", 5, 6)))
    return g.gemm(g.op("Relu", g.op("Gemm", g.input, w, g.op("Identity", g.weight("b", 5)), transB=1)), 3, 5)


variant(
    "weight_behind_identities",
    "Identity nodes between a weight and its layer (PyTorch's deduplication)",
    opset=13,
    build=identities,
)


def minus_batch(model):
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = -1


def clear_batch(model):
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].Clear()


variant("batch_unnamed", "a leading dimension with neither value nor name", opset=13, finish=clear_batch)
variant(
    "batch_minus_one",
    "a leading dimension of -1, as some exporters write any",
    opset=13,
    finish=minus_batch,
    may_refuse=["-1"],
)
variant("batch_one", "a fixed batch of one", opset=13, batch=1)
variant("batch_none", "no batch axis: a plain vector", opset=13, batch=None, build=matmuls)
variant(
    "image_as_four_axes",
    "[1, 1, 6, 6]",
    (1, 6, 6),
    opset=9,
    batch=1,
    build=lambda g: two_layers_of(g, g.op("Flatten", g.input, axis=1), 36),
)
variant(
    "image_as_column",
    "[1, 36, 1]",
    (36, 1),
    opset=9,
    batch=1,
    build=lambda g: two_layers_of(g, g.op("Flatten", g.input, axis=1), 36),
)
variant(
    "image_without_batch",
    "[36], weights on the left",
    (36,),
    opset=9,
    batch=None,
    build=lambda g: g.op(
        "MatMul",
        g.weight("w1", 3, 5),
        g.op("Relu", g.op("Add", g.op("MatMul", g.weight("w0", 5, 36), g.input), g.weight("b0", 5))),
    ),
)
variant(
    "image_plane_without_batch",
    "[6, 6] without batch, reshaped to a row",
    (6, 6),
    opset=13,
    batch=None,
    build=lambda g: two_layers_of(g, g.op("Reshape", g.input, g.ints(1, 36)), 36),
)


def two_outputs(g):
    h = g.op("Relu", g.gemm(g.input, 5, 6))
    logits = g.gemm(h, 3, 5)
    g.outputs = [(logits, ["batch", 3]), (h, ["batch", 5])]
    return logits


variant("second_output_unused", "the features are a second output", opset=13, build=two_outputs)


def dead_branch(g):
    g.op("Sigmoid", g.gemm(g.input, 2, 6, name="dead"))
    return two_layers(g)


variant("dead_branch", "nodes and weights that no output needs", opset=13, build=dead_branch)


def unused_initializer(g):
    g.weight("unused", 4, 4)
    return two_layers(g)


variant("unused_initializer", "a stored tensor that no node reads", opset=13, build=unused_initializer)


def decorated(model):
    model.doc_string, model.producer_version, model.domain, model.model_version = "A network.", "1.0", "org.example", 7
    model.graph.doc_string = "Two layers."
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    helper.set_model_props(model, {"author": "someone", "task": "three classes"})
    model.graph.value_info.append(
        helper.make_tensor_value_info(model.graph.node[0].output[0], TensorProto.FLOAT, ["batch", 5])
    )
    for index, node in enumerate(model.graph.node):
        node.doc_string = f"step {index}"


variant(
    "decorated",
    "comments, metadata, value_info, an opset of another domain that no node uses",
    opset=13,
    finish=decorated,
)


def renamed(model):
    names = {
        "fc_0.weight": "Gewicht ∂W/größe 1",
        "fc_0.bias": "-",
        "fc_1.weight": "fc_0.weight",
        "fc_1.bias": "a/b:0;c\n",
    }
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(i, i) for i in node.input]


variant(
    "strange_names",
    "tensor names with spaces, other alphabets, a line break; one that suggests another layer",
    opset=13,
    finish=renamed,
)


def reversed_initializers(model):
    tensors = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)


variant(
    "initializers_in_any_order", "stored tensors in the opposite order of use", opset=13, finish=reversed_initializers
)


def unsorted(model):
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


variant(
    "nodes_unsorted",
    "nodes in the opposite order of use: the format forbids it, onnxruntime's own float16 converter writes it",
    opset=13,
    finish=unsorted,
    may_refuse=["sorted"],
)
