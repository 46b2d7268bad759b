"""Operators that move values: Concat, Split, Slice, Gather, Reshape and their kin, attention, and computed shapes."""

import numpy as np

from .net import case


@case("channels of two convolutions (a Fire module)", (2, 4, 4), opset=13)
def concat_channels(g):
    s = g.op("Relu", g.conv(g.input, 2, 2, kernel=(1, 1)))
    parts = [g.op("Relu", g.conv(s, 2, 2, kernel=(1, 1))), g.op("Relu", g.conv(s, 3, 2, pads=[1, 1, 1, 1]))]
    return g.head(g.op("Concat", *parts, axis=1), 80)


@case("features of three values, axis negative, one of them the input", (6,), opset=11)
def concat_features(g):
    h = g.op("Concat", g.op("Relu", g.gemm(g.input, 2, 6)), g.input, g.op("Tanh", g.gemm(g.input, 3, 6)), axis=-1)
    return g.gemm(h, 3, 11)


@case("a value beside a constant", (6,), opset=7, batch=1)
def concat_constant(g):
    h = g.op("Concat", g.op("Relu", g.gemm(g.input, 4, 6)), g.weight("extra", 1, 2, scale=1.0), axis=1)
    return g.gemm(h, 3, 6)


@case("a value twice", (6,), opset=13)
def concat_value_twice(g):
    h = g.op("Relu", g.gemm(g.input, 3, 6))
    return g.gemm(g.op("Concat", h, h, axis=1), 3, 6)


@case("rectified in both signs (CReLU)", (6,), opset=13)
def concat_crelu(g):
    h = g.gemm(g.input, 3, 6)
    return g.gemm(g.op("Relu", g.op("Concat", h, g.op("Neg", h), axis=1)), 3, 6)


@case("sizes as an attribute, uneven", (6,), opset=11)
def split_attribute(g):
    a, b = g.op("Split", g.gemm(g.input, 5, 6), split=[2, 3], axis=1, outputs=2)
    return g.gemm(g.op("Concat", g.op("Relu", b), g.op("Tanh", a), axis=1), 3, 5)


@case("sizes left out: equal parts", (6,), opset=7)
def split_equal(g):
    a, b = g.op("Split", g.gemm(g.input, 6, 6), axis=1, outputs=2)
    return g.gemm(g.op("Mul", a, g.op("Sigmoid", b)), 3, 3)


@case("sizes as an input, axis negative, one part unused", (6,), opset=13)
def split_input(g):
    a, _, c = g.op("Split", g.gemm(g.input, 7, 6), g.ints(2, 3, 2), axis=-1, outputs=3)
    return g.gemm(g.op("Add", g.op("Relu", a), c), 3, 2)


@case("num_outputs with a smaller last part", (6,), opset=18)
def split_num_outputs(g):
    a, b, c = g.op("Split", g.gemm(g.input, 5, 6), axis=1, num_outputs=3, outputs=3)
    return g.gemm(g.op("Concat", g.op("Relu", c), g.op("Mul", a, b), axis=1), 3, 3)


@case("channels of images in two halves", (4, 3, 3), opset=13)
def split_channels(g):
    a, b = g.op("Split", g.conv(g.input, 4, 4, kernel=(1, 1)), axis=1, outputs=2)
    return g.head(g.op("Add", g.op("Relu", a), b), 18)


@case("starts, ends and axes as attributes", (4, 5), opset=9)
def slice_attributes(g):
    return g.head(g.op("Slice", g.op("Relu", g.input), starts=[1, 0], ends=[3, -1], axes=[1, 2]), 8)


@case("starts, ends, axes and steps as inputs; an end far beyond", (4, 5), opset=13)
def slice_inputs(g):
    h = g.op("Slice", g.op("Relu", g.input), g.ints(1, 0), g.ints(2**63 - 1, 5), g.ints(1, 2), g.ints(1, 2))
    return g.head(h, 9)


@case("a negative step turns an axis around", (4, 5), opset=13)
def slice_negative_step(g):
    return g.head(g.op("Slice", g.op("Relu", g.input), g.ints(-1), g.ints(-(2**63) + 1), g.ints(2), g.ints(-1)), 20)


@case("a negative step of two, bounds negative", (4, 5), opset=11)
def slice_negative_step_of_two(g):
    return g.head(g.op("Slice", g.op("Relu", g.input), g.ints(-2), g.ints(0), g.ints(-1), g.ints(-2)), 8)


@case("every other pixel of four corners (YOLO's Focus)", (1, 4, 4), opset=13)
def slice_focus(g):
    def corner(y, x):
        return g.op("Slice", g.input, g.ints(y, x), g.ints(2**31 - 1, 2**31 - 1), g.ints(2, 3), g.ints(2, 2))

    return g.head(
        g.op(
            "Relu",
            g.conv(g.op("Concat", corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1), axis=1), 3, 4, kernel=(1, 1)),
        ),
        12,
    )


@case("the first position of a sequence: a scalar index takes the axis away", (4, 6), opset=13)
def gather_scalar(g):
    return g.gemm(g.op("Gather", g.op("Tanh", g.input), g.store("zero", np.array(0)), axis=1), 3, 6)


@case("features in another order, one of them twice, one counted from the end", (6,), opset=11)
def gather_vector(g):
    return g.gemm(g.op("Gather", g.op("Relu", g.gemm(g.input, 5, 6)), g.ints(4, 0, 0, -2), axis=1), 3, 4)


@case("a matrix of indices adds an axis", (6,), opset=13)
def gather_matrix(g):
    return g.head(g.op("Gather", g.input, g.store("indices", np.array([[0, 1, 2], [5, 4, 3]])), axis=1), 6)


@case("colour channels reversed (BGR)", (3, 3, 3), opset=13)
def gather_channels(g):
    return g.head(g.op("Relu", g.conv(g.op("Gather", g.input, g.ints(2, 1, 0), axis=1), 2, 3)), 2)


@case("0 keeps a length, -1 is what remains", (2, 3, 4), opset=13)
def reshape_zero_and_rest(g):
    return g.gemm(g.op("Reshape", g.op("Relu", g.op("Reshape", g.input, g.ints(0, 0, -1))), g.ints(0, -1)), 3, 24)


@case("a fixed batch of one written as 1", (2, 3, 4), opset=9, batch=1)
def reshape_batch_of_one(g):
    return g.gemm(g.op("Relu", g.op("Reshape", g.input, g.ints(1, 24))), 3, 24)


@case("a batch of any size written as -1", (2, 3, 4), opset=9)
def reshape_batch_is_rest(g):
    return g.gemm(g.op("Relu", g.op("Reshape", g.input, g.ints(-1, 24))), 3, 24)


@case("allowzero 1 without zeros (PyTorch's second exporter)", (2, 3, 4), opset=18)
def reshape_allowzero(g):
    return g.gemm(g.op("Reshape", g.op("Relu", g.input), g.ints(-1, 24), allowzero=1), 3, 24)


@case("positions are folded into the batch for a layer and back", (4, 6), opset=13)
def reshape_positions_into_batch(g):
    h = g.op("Relu", g.gemm(g.op("Reshape", g.input, g.ints(-1, 6)), 5, 6))
    return g.head(g.op("Reshape", h, g.ints(-1, 4, 5)), 20)


@case("axis 1 of four", (2, 3, 2), opset=13)
def flatten_axis_1(g):
    return g.gemm(g.op("Flatten", g.op("Relu", g.input), axis=1), 3, 12)


@case("axis 0 of a batch of one", (2, 3, 2), opset=13, batch=1)
def flatten_axis_0(g):
    return g.gemm(g.op("Flatten", g.op("Relu", g.input), axis=0), 3, 12)


@case("axis 2 of a batch of one: two rows, then joined", (2, 3, 2), opset=13, batch=1)
def flatten_axis_2(g):
    h = g.op("Relu", g.gemm(g.op("Flatten", g.input, axis=2), 4, 6))
    return g.gemm(g.op("Reshape", h, g.ints(1, 8)), 3, 8)


@case("axis -1, and left out", (2, 3, 2), opset=13, batch=1)
def flatten_negative_axis(g):
    h = g.op("Relu", g.gemm(g.op("Flatten", g.input, axis=-1), 4, 2))
    return g.gemm(g.op("Reshape", h, g.ints(1, 24)), 3, 24)


@case("axes as an attribute", (3, 1, 1), opset=11)
def squeeze_attribute(g):
    return g.gemm(g.op("Squeeze", g.op("Relu", g.conv(g.input, 4, 3, kernel=(1, 1))), axes=[2, 3]), 3, 4)


@case("axes as an input, negative", (3, 1, 1), opset=13)
def squeeze_input(g):
    return g.gemm(g.op("Squeeze", g.op("Relu", g.conv(g.input, 4, 3, kernel=(1, 1))), g.ints(-1, -2)), 3, 4)


@case("a sequence layer inserted between features: axes as an attribute", (6,), opset=11)
def unsqueeze_attribute(g):
    h = g.conv(g.op("Unsqueeze", g.input, axes=[1]), 2, 1, kernel=(3,))
    return g.head(g.op("Relu", h), 8)


@case("axes as an input, several, one negative", (6,), opset=13)
def unsqueeze_input(g):
    h = g.conv(g.op("Unsqueeze", g.input, g.ints(1, -1)), 2, 1, kernel=(3, 1))
    return g.head(g.op("Relu", h), 8)


@case("perm given", (3, 4, 5), opset=13)
def transpose_perm(g):
    h = g.op("MatMul", g.op("Transpose", g.input, perm=[0, 2, 3, 1]), g.weight("w", 3, 2))
    return g.head(g.op("Relu", h), 40)


@case("perm left out reverses all axes, twice", (3, 4), opset=13)
def transpose_default(g):
    h = g.op("Transpose", g.op("Relu", g.op("Transpose", g.input)))
    return g.head(h, 12)


@case("one value per row is repeated over columns", (4, 1), opset=13)
def expand(g):
    h = g.op("Expand", g.op("Relu", g.input), g.ints(1, 4, 3))
    return g.head(g.op("Mul", h, g.weight("pattern", 4, 3, scale=1.0)), 12)


@case("a class token is repeated for the batch, whose size is computed, and put in front (ViT)", (4, 6), opset=13)
def expand_class_token(g):
    size = g.op("Unsqueeze", g.op("Gather", g.op("Shape", g.input), g.store("first", np.array(0)), axis=0), g.ints(0))
    token = g.op(
        "Expand", g.weight("class_token", 1, 1, 6, scale=1.0), g.op("Concat", size, g.ints(1), g.ints(6), axis=0)
    )
    return g.head(g.op("Tanh", g.op("Concat", token, g.input, axis=1)), 30)


@case("pads and value as attributes", (2, 3, 4), opset=10)
def pad_attributes(g):
    h = g.op("Pad", g.input, pads=[0, 0, 1, 0, 0, 0, 2, 1], mode="constant", value=0.5)
    return g.head(g.op("Relu", g.conv(h, 3, 2)), 36)


@case("pads and value as inputs, also of channels", (2, 3, 4), opset=13)
def pad_inputs(g):
    h = g.op("Pad", g.input, g.ints(0, 1, 1, 0, 0, 0, 0, 2), g.number(-0.5))
    return g.head(g.op("Relu", g.conv(h, 3, 3)), 24)


@case("axes as an input", (2, 3, 4), opset=18)
def pad_axes(g):
    h = g.op("Pad", g.input, g.ints(1, 0, 0, 2), None, g.ints(3, -2))
    return g.head(g.op("Relu", g.conv(h, 3, 2)), 27)


@case("mirrored at the edge", (2, 4, 4), opset=13)
def pad_reflect(g):
    h = g.op("Pad", g.input, g.ints(0, 0, 2, 1, 0, 0, 1, 2), mode="reflect")
    return g.head(g.op("Relu", g.conv(h, 2, 2)), 50)


@case("the edge repeated", (2, 4, 4), opset=11)
def pad_edge(g):
    h = g.op("Pad", g.input, g.ints(0, 0, 2, 1, 0, 0, 1, 2), mode="edge")
    return g.head(g.op("Relu", g.conv(h, 2, 2)), 50)


@case("negative pads cut", (2, 5, 5), opset=13, may_refuse=["Pad"])
def pad_negative(g):
    h = g.op("Pad", g.input, g.ints(0, 0, -1, 1, 0, 0, 0, -2))
    return g.head(g.op("Relu", g.conv(h, 2, 2)), 8)


@case("constants as nodes: tensor, number, numbers, integers", (6,), opset=13)
def constant_nodes(g):
    w = g.constant(g.normal(6, 5), name="weight")
    h = g.op("Add", g.op("MatMul", g.input, w), g.constant(None, value_floats=[0.1, -0.2, 0.3, 0.0, 0.5]))
    h = g.op("Relu", g.op("Mul", h, g.constant(None, value_float=1.5)))
    h = g.op("Squeeze", g.op("Unsqueeze", h, g.constant(None, value_ints=[1])), g.constant(np.array([1])))
    return g.op("Gather", g.gemm(h, 4, 5), g.constant(None, value_ints=[0, 2, 3]), axis=1)


@case("an index as value_int", (4, 6), opset=12)
def constant_value_int(g):
    return g.gemm(g.op("Gather", g.op("Relu", g.input), g.constant(None, value_int=2), axis=1), 3, 6)


def heads(g, value, count, width):
    return g.op("Transpose", g.op("Reshape", value, g.ints(0, 0, count, width)), perm=[0, 2, 1, 3])


@case("attention of two heads: products between values, softmax, scale", (5, 8), opset=13)
def attention(g):
    project = lambda v, n: g.op("Add", g.op("MatMul", v, g.weight(f"{n}.weight", 8, 8)), g.weight(f"{n}.bias", 8))
    q, k, v = (heads(g, project(g.input, n), 2, 4) for n in ("query", "key", "value"))
    scores = g.op("Div", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), g.number(2.0))
    mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    h = g.op("Add", g.input, project(g.op("Reshape", mixed, g.ints(0, 0, 8)), "output"))
    return g.gemm(g.op("Gather", h, g.store("first", np.array(0)), axis=1), 3, 8)


@case("query, key and value in one product, split; a constant causal mask", (4, 6), opset=13)
def attention_fused_causal(g):
    qkv = g.op("Add", g.op("MatMul", g.input, g.weight("qkv.weight", 6, 18)), g.weight("qkv.bias", 18))
    q, k, v = g.op("Split", qkv, g.ints(6, 6, 6), axis=2, outputs=3)
    scores = g.op("MatMul", g.op("Mul", q, g.number(6**-0.5)), g.op("Transpose", k, perm=[0, 2, 1]))
    mask = g.store("causal", np.tril(np.ones((1, 4, 4), bool)))
    scores = g.op("Where", mask, scores, g.number(np.finfo(np.float32).min))
    return g.head(g.op("MatMul", g.op("Softmax", scores), v), 24)


@case("Shape, Gather, Unsqueeze, Concat, Reshape: PyTorch's view", (2, 3, 4), opset=11)
def shape_computed_flatten(g):
    size = g.op("Gather", g.op("Shape", g.input), g.store("first", np.array(0)), axis=0)
    target = g.op("Concat", g.op("Unsqueeze", size, axes=[0]), g.ints(-1), axis=0)
    return g.gemm(g.op("Reshape", g.op("Relu", g.input), target), 3, 24)


@case("Shape with start and end, lengths multiplied", (2, 3, 4), opset=15)
def shape_start_end(g):
    batch = g.op("Shape", g.input, start=0, end=1)
    rest = g.op("Mul", g.op("Shape", g.input, start=1, end=2), g.ints(12))
    return g.gemm(g.op("Reshape", g.op("Relu", g.input), g.op("Concat", batch, rest, axis=0)), 3, 24)


@case("Slice, Cast and Div of a shape halve a length", (4, 6), opset=13)
def shape_arithmetic(g):
    length = g.op("Slice", g.op("Shape", g.input), g.ints(1), g.ints(2), g.ints(0))
    half = g.op("Cast", g.op("Floor", g.op("Div", g.op("Cast", length, to=1), g.number(2.0))), to=7)
    target = g.op("Concat", g.ints(0), half, g.ints(12), axis=0)
    return g.head(g.op("Relu", g.op("MatMul", g.op("Reshape", g.input, target), g.weight("w", 12, 3))), 6)


@case("positions counted by Range up to a length of the input", (4, 6), opset=13)
def range_positions(g):
    length = g.op("Gather", g.op("Shape", g.input), g.store("second", np.array(1)), axis=0)
    steps = g.op("Range", g.store("zero", np.array(0)), length, g.store("one", np.array(1)))
    steps = g.op("Unsqueeze", g.op("Mul", g.op("Cast", steps, to=1), g.number(0.25)), g.ints(1))
    return g.head(g.op("Relu", g.op("Add", g.input, steps)), 24)


@case("positions counted by Range pick rows of a table", (4, 6), opset=13)
def range_embedding(g):
    length = g.op("Gather", g.op("Shape", g.input), g.store("second", np.array(1)), axis=0)
    steps = g.op("Range", g.store("zero", np.array(0)), length, g.store("one", np.array(1)))
    return g.head(g.op("Relu", g.op("Add", g.input, g.op("Gather", g.weight("table", 9, 6, scale=0.5), steps))), 24)


@case("ConstantOfShape of the input's shape, filled with a half and with nothing said", (4, 6), opset=9)
def constant_of_shape(g):
    shape = g.op("Shape", g.input)
    half = g.op("ConstantOfShape", shape, value=np_tensor(np.array([0.5], np.float32)))
    return g.head(g.op("Add", g.op("Relu", g.op("Sub", g.input, half)), g.op("ConstantOfShape", shape)), 24)


@case("Expand to a shape whose -1 Equal and Where replace (PyTorch's expand)", (1, 6), opset=13)
def expand_by_where(g):
    wanted = g.ints(-1, 4, -1)
    ones = g.op("ConstantOfShape", g.op("Shape", wanted), value=np_tensor(np.array([1], np.int64)))
    minus = g.op("Mul", ones, g.store("minus_one", np.array(-1)))
    target = g.op("Where", g.op("Equal", wanted, minus), ones, wanted)
    return g.head(g.op("Mul", g.op("Expand", g.op("Relu", g.input), target), g.weight("pattern", 4, 6, scale=1.0)), 24)


def np_tensor(values):
    from onnx import numpy_helper

    return numpy_helper.from_array(values)


@case("channels shuffled: Reshape, Transpose, Reshape (ShuffleNet)", (4, 3, 3), opset=13)
def channel_shuffle(g):
    h = g.op(
        "Transpose",
        g.op("Reshape", g.conv(g.input, 4, 2, group=2, kernel=(1, 1)), g.ints(0, 2, 2, 3, 3)),
        perm=[0, 2, 1, 3, 4],
    )
    return g.head(g.op("Relu", g.conv(g.op("Reshape", h, g.ints(0, 4, 3, 3)), 4, 2, group=2, kernel=(1, 1))), 36)


@case("patches of an image as a sequence (unfold) and back (MobileViT)", (3, 4, 4), opset=13)
def unfold_and_fold(g):
    h = g.op("Transpose", g.op("Reshape", g.input, g.ints(-1, 2, 2, 2)), perm=[0, 2, 1, 3])
    h = g.op("Transpose", g.op("Reshape", h, g.ints(-1, 3, 4, 4)), perm=[0, 3, 2, 1])
    h = g.op("Relu", g.op("MatMul", g.op("Reshape", h, g.ints(-1, 4, 3)), g.weight("w", 3, 3)))
    h = g.op("Transpose", g.op("Reshape", h, g.ints(-1, 4, 4, 3)), perm=[0, 3, 2, 1])
    h = g.op("Transpose", g.op("Reshape", h, g.ints(-1, 2, 2, 2)), perm=[0, 2, 1, 3])
    return g.head(g.op("Relu", g.conv(g.op("Reshape", h, g.ints(-1, 3, 4, 4)), 2, 3)), 8)
