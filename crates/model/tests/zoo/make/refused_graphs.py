"""Refused graphs: connections that cannot be, shapes that do not fit, sizes beyond reason, files cut short."""

import numpy as np
from onnx import helper

from .refused import channel_head, layers, refused


def broken(name, why, words, change, **settings):
    """Two layers whose finished model is changed."""

    def build(g):
        return layers(g), change

    build.__name__ = name
    refused(why, words, opset=settings.pop("opset", 13), **settings)(build)


def node(model, index):
    return model.graph.node[index]


def rewire(index, place, value):
    def change(model):
        node(model, index).input[place] = value

    return change


broken("cycle", "two nodes that wait for each other", ["cycle"], rewire(0, 0, "Relu_0_out"))
broken("cycle_of_one", "a node that reads its own output", ["cycle"], rewire(1, 0, "Relu_0_out"))
broken("missing_value", "a node reads what nobody makes", ["Relu_0", "nowhere"], rewire(1, 0, "nowhere"))


def same_output(model):
    node(model, 1).output[0] = "Gemm_0_out"
    node(model, 2).input[0] = "Gemm_0_out"


def shadow(name):
    def change(model):
        node(model, 1).output[0] = name
        node(model, 2).input[0] = name

    return change


def two_values(model):
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], name="c_node", value_float=1.0, value_int=2))
    node(model, 1).input[2] = "c"


broken("duplicate_output", "two nodes make one value", ["Gemm_0_out"], same_output)
broken("output_shadows_initializer", "a node makes a value that is stored too", ["fc_1.weight"], shadow("fc_1.weight"))
broken("output_shadows_input", "a node makes the input", ["input"], shadow("input"))
broken("too_few_inputs", "Gemm with one input", ["Gemm", "Gemm_0"], lambda m: node(m, 0).input.__delitem__(slice(1, 3)))
broken("too_many_inputs", "Relu with two inputs", ["Relu", "Relu_0"], lambda m: node(m, 1).input.append("input"))
broken("required_input_empty", "the weight's name is empty", ["Gemm", "Gemm_0"], rewire(0, 1, ""))
broken(
    "unknown_attribute",
    "an attribute that the operator lacks",
    ["Relu", "Relu_0", "slope"],
    lambda m: node(m, 1).attribute.append(helper.make_attribute("slope", 0.1)),
)
broken(
    "attribute_of_wrong_type",
    "alpha is a text",
    ["Gemm", "Gemm_0", "alpha"],
    lambda m: node(m, 0).attribute.append(helper.make_attribute("alpha", "two")),
)
broken(
    "attribute_twice",
    "an attribute is given twice",
    ["Gemm", "Gemm_0", "transB"],
    lambda m: node(m, 0).attribute.append(helper.make_attribute("transB", 0)),
)
broken("opset_missing", "no opset is named", ["opset"], lambda m: m.ClearField("opset_import"))
broken("opset_too_old", "opset 6", ["opset", "6"], lambda m: setattr(m.opset_import[0], "version", 6))
broken("opset_too_new", "opset 999", ["opset", "999"], lambda m: setattr(m.opset_import[0], "version", 999))
broken(
    "opset_twice", "two versions of one opset", ["opset"], lambda m: m.opset_import.append(helper.make_opsetid("", 11))
)
broken("graph_missing", "a model without a graph", ["graph"], lambda m: m.ClearField("graph"))
broken("two_constants_of_one_node", "a Constant node with two values", ["Constant"], two_values)


def shaped(name, why, words, shape, **settings):
    """A graph of one node `the_node` whose shapes do not fit."""

    def register(build):
        build.__name__ = name
        refused(why, words, shape=shape, opset=settings.pop("opset", 13), **settings)(build)
        return build

    return register


def one(name, why, kind, shape, inputs, opset=13, words=None, after=None, batch="batch", **attributes):
    @shaped(name, why, words or [kind, "the_node"], shape, opset=opset, batch=batch)
    def _(g):
        h = g.op(kind, g.input, *[i(g) for i in inputs], name="the_node", **attributes)
        return g.gemm(h, 3, 6) if after is None else after(g, h)


def mean_head(g, value):
    """The mean of all features and a last layer: fits any number of features."""
    return g.gemm(g.op("ReduceMean", value, axes=[1]), 3, 1)


ints = lambda *v: lambda g: g.ints(*v)
one("gather_out_of_range", "an index beyond the axis", "Gather", (6,), [ints(0, 1, 2, 3, 4, 6)], axis=1)
one("gather_axis_out_of_range", "an axis that is not there", "Gather", (6,), [ints(0)], axis=4)
one(
    "reshape_of_another_size",
    "a shape for fewer values",
    "Reshape",
    (6,),
    [ints(-1, 4)],
    batch=1,
    after=lambda g, h: g.gemm(h, 3, 4),
)
one("reshape_two_rests", "-1 twice", "Reshape", (6,), [ints(-1, -1)])
one("reshape_minus_two", "-2", "Reshape", (6,), [ints(-1, -2)])
one("reshape_zero_beyond_the_axes", "0 where the input has no axis", "Reshape", (6,), [ints(-1, 6, 0)])
one("reshape_allowzero_zero", "a length of zero, by allowzero", "Reshape", (6,), [ints(0, 6)], opset=14, allowzero=1)
one(
    "reshape_mixes_examples",
    "values of two examples in one row",
    "Reshape",
    (6,),
    [ints(-1, 12)],
    after=lambda g, h: g.gemm(h, 3, 12),
)
one("reshape_by_value", "a shape that depends on the values", "Reshape", (6,), [lambda g: g.op("Cast", g.input, to=7)])
one("transpose_perm_repeats", "an axis twice", "Transpose", (2, 3), [], perm=[0, 1, 1])
one("transpose_perm_short", "an axis left out", "Transpose", (2, 3), [], perm=[1, 0])
one("transpose_of_the_batch", "the batch is moved and averaged away", "ReduceMean", (6,), [], axes=[0])
one("softmax_over_the_batch", "examples compete", "Softmax", (6,), [], axis=0)
one("concat_of_batches", "examples are joined", "Concat", (6,), [lambda g: g.weight("rows", 2, 6)], axis=0)
one("concat_of_unequal_sizes", "other axes differ", "Concat", (2, 3), [lambda g: g.weight("rows", 1, 2, 4)], axis=1)
one("add_of_unequal_sizes", "6 and 4", "Add", (6,), [lambda g: g.weight("four", 4)])
one("matmul_of_unequal_sizes", "6 and 5", "MatMul", (6,), [lambda g: g.weight("w", 5, 6)])
one("matmul_of_scalar", "a number as a factor", "MatMul", (6,), [lambda g: g.number(2.0)])
one(
    "gemm_bias_too_long",
    "a bias that does not fit",
    "Gemm",
    (6,),
    [lambda g: g.weight("w", 6, 6), lambda g: g.weight("b", 7)],
)
one("split_of_wrong_sum", "2 + 3 of 6", "Split", (6,), [ints(2, 3)], axis=1)
one("slice_step_zero", "a step of zero", "Slice", (6,), [ints(0), ints(6), ints(1), ints(0)])
one("slice_of_the_batch", "all but the first example", "Slice", (6,), [ints(1), ints(9), ints(0)])
one("squeeze_of_longer_axis", "an axis of length 6", "Squeeze", (6,), [ints(1)])
one("unsqueeze_repeats", "an axis twice", "Unsqueeze", (6,), [ints(1, 1)])
one("flatten_axis_out_of_range", "axis 9", "Flatten", (6,), [], axis=9)
one("expand_not_possible", "6 to 4", "Expand", (6,), [ints(1, 4)])
one("pad_mode_unknown", "a mode that no opset has", "Pad", (6,), [ints(0, 0, 0, 0)], mode="mirrored")
one("pad_short", "three pads for four sides", "Pad", (6,), [ints(0, 0, 0)])
one("pad_of_the_batch", "an example is added", "Pad", (6,), [ints(1, 0, 0, 0)])
one("clip_by_value", "a bound that is no number", "Clip", (6,), [lambda g: g.weight("bounds", 6)])
one("cast_to_integer", "fractions are cut off", "Cast", (6,), [], to=7)
one(
    "layer_norm_scale_too_short",
    "a scale that does not fit",
    "LayerNormalization",
    (6,),
    [lambda g: g.weight("s", 5)],
    opset=17,
)
one(
    "batch_norm_negative_variance",
    "a variance below zero",
    "BatchNormalization",
    (6,),
    [
        lambda g: g.weight("s", 6),
        lambda g: g.weight("b", 6),
        lambda g: g.weight("m", 6),
        lambda g: g.store("v", np.full(6, -1.0)),
    ],
    words=["BatchNormalization", "the_node", "v"],
)

image = lambda name, why, kind, inputs, words=None, shape=(2, 5, 5), **attributes: one(
    name, why, kind, shape, inputs, words=words, after=channel_head, **attributes
)
kernel = lambda *dims: lambda g: g.weight("w", *dims)
image("conv_channels_do_not_fit", "a kernel for three channels", "Conv", [kernel(2, 3, 3, 3)])
image("conv_groups_do_not_divide", "three groups of two channels", "Conv", [kernel(3, 1, 3, 3)], group=3)
image("conv_group_zero", "no group", "Conv", [kernel(2, 2, 3, 3)], group=0)
image("conv_stride_zero", "a stride of zero", "Conv", [kernel(2, 2, 3, 3)], strides=[0, 1])
image("conv_dilation_zero", "a dilation of zero", "Conv", [kernel(2, 2, 3, 3)], dilations=[1, 0])
image("conv_negative_pads", "pads below zero", "Conv", [kernel(2, 2, 3, 3)], pads=[-1, 0, 0, 0])
image("conv_kernel_too_large", "a kernel larger than the image", "Conv", [kernel(2, 2, 7, 7)])
image(
    "conv_kernel_shape_differs", "kernel_shape is not the weight's", "Conv", [kernel(2, 2, 3, 3)], kernel_shape=[5, 5]
)
image("conv_auto_pad_unknown", "a padding that no opset has", "Conv", [kernel(2, 2, 3, 3)], auto_pad="SAME")
image("conv_bias_too_short", "one bias for two channels", "Conv", [kernel(2, 2, 3, 3), lambda g: g.weight("b", 1)])
image(
    "conv_weight_is_a_value",
    "the kernel is computed from the input",
    "Conv",
    [lambda g: g.op("Reshape", g.op("Slice", g.input, g.ints(0), g.ints(1), g.ints(0)), g.ints(2, 1, 5, 5))],
)
image("pool_kernel_too_large", "a window larger than the image", "MaxPool", [], kernel_shape=[7, 7])
image("pool_stride_zero", "a stride of zero", "MaxPool", [], kernel_shape=[2, 2], strides=[0, 0])
image(
    "pool_pads_beyond_kernel",
    "windows of nothing but padding",
    "AveragePool",
    [],
    kernel_shape=[2, 2],
    pads=[3, 3, 3, 3],
)
image("pool_without_kernel", "kernel_shape is left out", "MaxPool", [])
image(
    "instance_norm_scale_too_short",
    "a scale that does not fit",
    "InstanceNormalization",
    [lambda g: g.weight("s", 1), lambda g: g.weight("b", 1)],
)

# Sizes beyond reason: a reader must not try to make room for them.
HUGE = 2**40
one("huge_reshape", "a shape of 2^40", "Reshape", (6,), [ints(1, HUGE)])
one("huge_expand", "2^40 copies", "Expand", (1,), [ints(1, HUGE)], after=mean_head)
one("huge_pad", "2^40 zeros", "Pad", (6,), [ints(0, 0, 0, HUGE)], after=mean_head)
one(
    "huge_pads_of_conv",
    "2^40 zeros around an image",
    "Conv",
    (2, 5, 5),
    [kernel(2, 2, 3, 3)],
    after=channel_head,
    pads=[HUGE, HUGE, HUGE, HUGE],
)


@shaped("huge_constant_of_shape", "a constant of 2^40 values", ["ConstantOfShape", "the_node"], (6,))
def _(g):
    big = g.op("ConstantOfShape", g.ints(2**20, 2**20), name="the_node")
    return layers(g, g.op("Add", g.input, g.op("ReduceMean", big, keepdims=0)))


@shaped("huge_range", "a count up to 2^40", ["Range", "the_node"], (6,))
def _(g):
    steps = g.op(
        "Range", g.store("a", np.array(0)), g.store("b", np.array(HUGE)), g.store("c", np.array(1)), name="the_node"
    )
    return layers(g, g.op("Add", g.input, g.op("ReduceMean", g.op("Cast", steps, to=1), keepdims=0)))


@shaped("range_without_end", "a step of zero", ["Range", "the_node"], (6,))
def _(g):
    steps = g.op(
        "Range", g.store("a", np.array(0)), g.store("b", np.array(9)), g.store("c", np.array(0)), name="the_node"
    )
    return layers(g, g.op("Add", g.input, g.op("ReduceMean", g.op("Cast", steps, to=1), keepdims=0)))


@shaped("identity_chain_of_a_large_constant", "2^26 zeros, copied 100 times", ["elements|values|bytes"], (6,))
def _(g):
    h = g.op("ConstantOfShape", g.ints(2**13, 2**13))
    for _ in range(100):
        h = g.op("Identity", h)
    return layers(g, g.op("Add", g.input, g.op("ReduceMean", h, keepdims=0)))


@shaped("constant_squared_by_matmul", "products of constants that grow", ["elements|values|bytes"], (6,))
def _(g):
    column = g.op("ConstantOfShape", g.ints(2**20, 1))
    h = g.op("MatMul", column, g.op("Transpose", column, perm=[1, 0]))
    return layers(g, g.op("Add", g.input, g.op("ReduceMean", h, keepdims=0)))


@shaped("concat_doubles_forty_times", "a value beside itself, forty times over", ["Concat"], (6,))
def _(g):
    h = g.input
    for _ in range(40):
        h = g.op("Concat", h, h, axis=1)
    return mean_head(g, h)


@shaped("where_mask_by_value", "the mask depends on the values", ["Where", "the_node"], (6,), opset=16)
def _(g):
    mask = g.op("Cast", g.input, to=9)
    return layers(g, g.op("Where", mask, g.input, g.op("Neg", g.input), name="the_node"))


def spoiled(name, why, words, change):
    """Two layers whose bytes are changed."""

    def write(model, folder, file):
        (folder / f"{file}.onnx").write_bytes(change(model.SerializeToString()))
        return []

    def build(g):
        return layers(g)

    build.__name__ = name
    refused(why, words, opset=13, write=write)(build)


spoiled("truncated", "the file ends in the middle", ["onnx"], lambda b: b[: len(b) * 2 // 3])
spoiled("empty", "no bytes at all", ["empty"], lambda b: b"")
spoiled("text", "a text file", ["onnx"], lambda b: b"This is no network.\n" * 20)
spoiled(
    "git_lfs_pointer",
    "the pointer that git keeps instead of a large file",
    ["LFS"],
    lambda b: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
)
spoiled(
    "length_beyond_the_end", "a field longer than the file", ["onnx"], lambda b: b"\x3a\xff\xff\xff\xff\x0f" + b[:100]
)
spoiled("deep_nesting", "graphs in graphs in graphs", ["onnx"], lambda b: nested(500))


def nested(depth):
    """A graph whose node has an attribute with a graph whose node has one, and so on."""
    body = b""
    for _ in range(depth):
        attribute = length_delimited(6, body)
        body = length_delimited(1, length_delimited(5, attribute))
    return b"\x08\x07" + length_delimited(7, body)


def length_delimited(number, payload):
    size, length = len(payload), bytearray()
    while True:
        length.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + bytes(length) + payload
