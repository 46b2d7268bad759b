"""Files that must be refused, each with words that the message must contain."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from .files import write_files
from .net import Net

REFUSED = []
INPUT = "input"


def refused(why, words, shape=(6,), write=write_files, **settings):
    """Registers a function that builds a graph which must be refused. It returns the output's name, and may give a
    second result: a function that breaks the finished model. `words` all occur in the message, in any case; of words
    separated by "|" one is enough."""

    def register(build):
        REFUSED.append(
            dict(
                name=f"refused_{build.__name__}",
                why=why,
                words=words,
                shape=shape,
                build=build,
                write=write,
                settings=settings,
            )
        )
        return build

    return register


def refused_model(entry):
    """The model of a refused case; its output has the shape [batch, 3] whatever the nodes say."""
    net = Net(entry["name"], entry["shape"], **entry["settings"])
    result = entry["build"](net)
    result, spoil = result if isinstance(result, tuple) else (result, None)
    if net.outputs is None:
        net.outputs = [(result, [net.batch or 1, 3])]
    model = net.model(result)
    if spoil:
        spoil(model)
    return model


def layers(g, value=None, features=6):
    return g.gemm(g.op("Relu", g.gemm(value or g.input, 5, features)), 3, 5)


def channel_head(g, value, channels=2):
    """Means of channels and a last layer: fits images of any size."""
    return g.gemm(g.op("Flatten", g.op("GlobalAveragePool", value), axis=1), 3, channels, name="head")


def node_only(name, why, kind, shape=(6,), words=None, inputs=(), domain="", **attributes):
    """Registers a node of one operator named `the_node` before two layers."""

    def build(g):
        made = [i(g) for i in inputs]
        h = g.op(kind, g.input, *made, name="the_node", domain=domain, **attributes)
        return channel_head(g, h, shape[0]) if len(shape) == 3 else layers(g, h)

    build.__name__ = name
    refused(why, words or [kind, "the_node", INPUT], shape=shape, opset=20)(build)


# Operators that have no place here.
node_only(
    "operator_of_a_custom_domain",
    "an operator of another domain",
    "Swish",
    domain="org.example",
    words=["org.example", "Swish", "the_node"],
)
node_only("operator_unknown", "an operator that no opset has", "Frobnicate")
node_only(
    "resize",
    "Resize",
    "Resize",
    (2, 4, 4),
    inputs=[lambda g: None, lambda g: g.store("scales", np.array([1, 1, 2, 2.0]))],
    words=["Resize", "the_node"],
)
node_only(
    "conv_transpose", "transposed convolution", "ConvTranspose", (2, 4, 4), inputs=[lambda g: g.weight("w", 2, 2, 3, 3)]
)
node_only("lrn", "local response normalisation", "LRN", (2, 4, 4), size=3)
node_only("cumsum", "running sums", "CumSum", inputs=[lambda g: g.store("axis", np.array(1))])
node_only("top_k", "TopK", "TopK", inputs=[lambda g: g.ints(3)])
node_only("einsum", "Einsum", "Einsum", equation="bi->bi")
node_only("det", "determinants", "Det", (3, 3))
node_only("random_normal_like", "noise", "RandomNormalLike")
node_only("bernoulli", "noise", "Bernoulli")
node_only("round", "steps without a slope", "Round")
node_only("non_zero", "sizes that depend on values", "NonZero")
node_only(
    "scatter_nd",
    "ScatterND",
    "ScatterND",
    inputs=[lambda g: g.store("at", np.array([[0, 1]])), lambda g: g.store("to", np.array([2.0]))],
)
node_only("grid_sample", "GridSample", "GridSample", (2, 4, 4), inputs=[lambda g: g.weight("grid", 1, 3, 3, 2)])


@refused("LSTM", ["LSTM", "the_node", INPUT], shape=(4, 6), opset=14)
def lstm(g):
    h = g.op("LSTM", g.input, g.weight("w", 1, 20, 6), g.weight("r", 1, 20, 5), name="the_node", hidden_size=5)
    return g.gemm(h, 3, 5)


@refused("a quantised network", ["QuantizeLinear", "the_node"], opset=13)
def qlinear_matmul(g):
    one, zero = g.number(0.1), g.store("zero", np.array(0), np.uint8)
    x = g.op("QuantizeLinear", g.input, one, zero, name="the_node")
    y = g.op("QLinearMatMul", x, one, zero, g.store("w", np.ones((6, 3)), np.uint8), one, zero, one, zero)
    return g.op("DequantizeLinear", y, one, zero)


@refused("weights stored as integers with a scale", ["DequantizeLinear", "the_node"], opset=13)
def dequantize_linear(g):
    w = g.op(
        "DequantizeLinear",
        g.store("w", np.arange(18).reshape(6, 3) - 9, np.int8),
        g.number(0.1),
        g.store("zero", np.array(0), np.int8),
        name="the_node",
    )
    return g.op("MatMul", g.input, w)


def subgraph(value):
    return helper.make_graph(
        [helper.make_node("Relu", [value], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )


@refused("If", ["If", "the_node"], opset=13)
def control_flow_if(g):
    condition = g.store("condition", np.array(True))
    return layers(g, g.op("If", condition, name="the_node", then_branch=subgraph(INPUT), else_branch=subgraph(INPUT)))


@refused("Loop", ["Loop", "the_node"], opset=13)
def control_flow_loop(g):
    infos = [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, ["batch", 6])]
    nodes = [helper.make_node("Identity", ["go"], ["go_out"]), helper.make_node("Relu", ["x"], ["x_out"])]
    outs = [
        helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x_out", TensorProto.FLOAT, ["batch", 6]),
    ]
    body = helper.make_graph(nodes, "body", [helper.make_tensor_value_info(*i) for i in infos], outs)
    return layers(
        g,
        g.op(
            "Loop", g.store("times", np.array(2)), g.store("go0", np.array(True)), g.input, name="the_node", body=body
        ),
    )


@refused("a node that calls a function of the file", ["Twice", "the_node"], opset=17)
def local_function(g):
    body = helper.make_function(
        "org.example",
        "Twice",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 17)],
    )

    def add(model):
        model.functions.append(body)
        model.opset_import.append(helper.make_opsetid("org.example", 1))

    return layers(g, g.op("Twice", g.input, name="the_node", domain="org.example")), add


@refused("training: a live mask", ["Dropout", "the_node", "training"], opset=13)
def dropout_training(g):
    h = g.op("Dropout", g.input, g.number(0.5), g.store("training", np.array(True)), name="the_node")
    return layers(g, h)


@refused("the mask of Dropout is used", ["Dropout", "the_node"], opset=13)
def dropout_mask_used(g):
    h, mask = g.op("Dropout", g.input, g.number(0.5), outputs=2, name="the_node")
    return layers(g, g.op("Mul", h, g.op("Cast", mask, to=1)))


@refused("training: statistics of the batch", ["BatchNormalization", "the_node", "training_mode"], opset=15)
def batchnorm_training(g):
    h, _, _ = g.op(
        "BatchNormalization",
        g.input,
        *[g.store(n, np.ones(6)) for n in ("s", "b", "m", "v")],
        training_mode=1,
        outputs=3,
        name="the_node",
    )
    return layers(g, h)


@refused("the indices of a pool are used", ["MaxPool", "the_node"], shape=(2, 4, 4), opset=13)
def max_pool_indices(g):
    h, where = g.op("MaxPool", g.input, kernel_shape=[2, 2], strides=[2, 2], outputs=2, name="the_node")
    return g.head(g.op("Add", h, g.op("Cast", where, to=1)), 8)


@refused("an answer instead of outputs", ["ArgMax", "the_node"], opset=13)
def argmax_at_the_end(g):
    result = g.op("ArgMax", layers(g), axis=1, keepdims=0, name="the_node")

    def integers(model):
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(result, TensorProto.INT64, ["batch"]))

    return result, integers


@refused("a convolution of three dimensions", ["Conv", "the_node"], shape=(2, 3, 4, 4), opset=13)
def conv_3d(g):
    return g.gemm(g.op("Flatten", g.op("Conv", g.input, g.weight("w", 2, 2, 3, 3, 3), name="the_node")), 3, 8)


# Inputs and outputs.
@refused("two real inputs", ["input", "second"], opset=13)
def two_inputs(g):
    result = layers(g, g.op("Add", g.input, "second"))
    return result, lambda m: m.graph.input.append(
        helper.make_tensor_value_info("second", TensorProto.FLOAT, ["batch", 6])
    )


@refused("no input", ["input"], opset=13)
def no_input(g):
    return layers(g, g.weight("only", 1, 6)), lambda m: m.graph.ClearField("input")


@refused("no output", ["output"], opset=13)
def no_output(g):
    return layers(g), lambda m: m.graph.ClearField("output")


@refused("an output that no node makes", ["missing_output"], opset=13)
def output_of_no_node(g):
    layers(g)
    return "missing_output"


@refused("the output does not depend on the input", ["output"], opset=13)
def output_is_constant(g):
    g.op("Relu", g.input)
    return layers(g, g.weight("only", 1, 6))


@refused("an image of any height", [INPUT, "height"], shape=(3, "height", 8), opset=13)
def symbolic_height(g):
    return g.gemm(g.op("Flatten", g.op("GlobalAveragePool", g.conv(g.input, 4, 3))), 3, 4)


@refused("four examples at a time", [INPUT, "4"], batch=4, opset=13)
def batch_of_four(g):
    return layers(g)


@refused("a dimension of -1 behind the batch", [INPUT, "-1"], shape=(-1,), opset=13)
def negative_input_dimension(g):
    return layers(g)


@refused("an input of length zero", [INPUT, "0"], shape=(0,), opset=13)
def empty_input(g):
    return g.op("Gemm", g.input, g.store("w", np.zeros((3, 0))), g.weight("b", 3), transB=1)


@refused("an input without a shape", [INPUT], opset=13)
def input_without_shape(g):
    return layers(g), lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")


@refused("strings", [INPUT, "string"], opset=13)
def string_input(g):
    def strings(model):
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING

    return layers(g), strings


@refused("a sequence of tensors", [INPUT, "sequence"], opset=13)
def sequence_input(g):
    def sequence(model):
        item = helper.make_tensor_type_proto(TensorProto.FLOAT, ["batch", 6])
        model.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(item))

    return layers(g), sequence


# Stored tensors.
def with_tensor(change):
    """Two layers, and a change of the first stored tensor, `fc_0.weight`."""

    def build(g):
        return layers(g), lambda m: change(m.graph.initializer[0], m)

    return build


def tensor_case(name, why, words, change, **settings):
    build = with_tensor(change)
    build.__name__ = name
    refused(why, words, opset=13, **settings)(build)


W = "fc_0.weight"


def assign(**fields):
    def change(tensor, model):
        for key, value in fields.items():
            if key == "dims":
                tensor.dims[:] = value
            else:
                setattr(tensor, key, value)

    return change


tensor_case(
    "missing_initializer", "a weight that is not in the file", [W, "Gemm_0"], lambda t, m: m.graph.initializer.remove(t)
)
tensor_case("duplicate_initializer", "two stored tensors of one name", [W], lambda t, m: m.graph.initializer.append(t))
tensor_case("dims_beyond_bytes", "more dimensions than bytes", [W], assign(dims=[5, 7]))
tensor_case("bytes_beyond_dims", "more bytes than dimensions", [W], assign(dims=[5, 5]))
tensor_case("dims_of_another_layer", "as many values, in a shape that does not fit", ["Gemm_0"], assign(dims=[6, 5]))
tensor_case("negative_dims", "negative dimensions whose product is positive", [W, "-5"], assign(dims=[-5, -6]))
tensor_case("dims_overflow", "dimensions whose product overflows", [W], assign(dims=[2**33, 2**33]))
tensor_case("no_data", "dimensions without data", [W], lambda t, m: t.ClearField("raw_data"))
tensor_case(
    "nan_weight",
    "not a number among the weights",
    [W],
    lambda t, m: t.CopyFrom(numpy_helper.from_array(np.where(np.eye(5, 6) > 0, np.nan, 0.5).astype(np.float32), W)),
)
tensor_case(
    "infinite_weight",
    "infinity among the weights",
    [W],
    lambda t, m: t.CopyFrom(numpy_helper.from_array(np.full((5, 6), -np.inf, np.float32), W)),
)
tensor_case(
    "complex_weight",
    "complex numbers",
    [W, "complex64"],
    lambda t, m: t.CopyFrom(numpy_helper.from_array(np.ones((5, 6), np.complex64), W)),
)
tensor_case(
    "string_weight",
    "strings",
    [W, "string"],
    lambda t, m: t.CopyFrom(helper.make_tensor(W, TensorProto.STRING, [2], [b"a", b"b"])),
)
tensor_case(
    "integer_weight",
    "a product of floats and integers",
    ["Gemm_0"],
    lambda t, m: t.CopyFrom(numpy_helper.from_array(np.ones((5, 6), np.int64), W)),
)
tensor_case("unknown_element_type", "an element type that no version has", [W, "99"], assign(data_type=99))
tensor_case(
    "float8_weight",
    "eight-bit floats",
    [W],
    lambda t, m: t.CopyFrom(helper.make_tensor(W, TensorProto.FLOAT8E4M3FN, [5, 6], np.ones(30))),
)
tensor_case("raw_and_typed_data", "the values are there twice", [W], lambda t, m: t.float_data.extend([1.0] * 30))
tensor_case(
    "segment",
    "a part of a tensor",
    [W, "segment"],
    lambda t, m: t.segment.CopyFrom(onnx.TensorProto.Segment(begin=0, end=10)),
)


def too_few_floats(tensor, model):
    tensor.ClearField("raw_data")
    tensor.float_data.extend([0.5] * 29)


tensor_case("float_data_short", "float_data has one value too few", [W], too_few_floats)


def sparse(tensor, model):
    values = numpy_helper.from_array(np.ones(3, np.float32), W)
    places = numpy_helper.from_array(np.array([1, 5, 9]), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [5, 6]))
    model.graph.initializer.remove(tensor)


tensor_case("sparse_initializer", "a sparse tensor", [W, "sparse"], sparse)


def outside(location, offset=None, length=None):
    def change(tensor, model):
        set_external_data(tensor, location, offset=offset, length=length)
        tensor.ClearField("raw_data")

    return change


def beside(model, folder, name):
    """Writes the file beside that the model names, 64 bytes long."""
    (folder / f"{name}.data").write_bytes(bytes(64))
    write_files(model, folder, name)
    return [f"{name}.data"]


tensor_case(
    "external_parent_folder", "external data above the model's folder", [W, ".."], outside("../make_zoo.py", 0, 120)
)
tensor_case(
    "external_hidden_parent",
    "the same, hidden in the middle of the path",
    [W, ".."],
    outside("make/../../zoo/make_zoo.py", 0, 120),
)
tensor_case(
    "external_absolute_path",
    "external data anywhere on the machine",
    [W, "/etc/passwd"],
    outside("/etc/passwd", 0, 120),
)
tensor_case(
    "external_missing_file", "external data that is not there", [W, "not_there.data"], outside("not_there.data", 0, 120)
)
tensor_case(
    "external_beyond_the_end",
    "more bytes than the file has",
    [W, "refused_external_beyond_the_end.data"],
    outside("refused_external_beyond_the_end.data", 32, 120),
    write=beside,
)
tensor_case(
    "external_wrong_length",
    "fewer bytes than the dimensions need",
    [W],
    outside("refused_external_wrong_length.data", 0, 64),
    write=beside,
)
tensor_case(
    "external_negative_offset",
    "an offset below zero",
    [W],
    outside("refused_external_negative_offset.data", -8, 120),
    write=beside,
)
