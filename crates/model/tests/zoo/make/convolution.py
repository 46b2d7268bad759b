"""Convolutions of one and two dimensions."""

from .net import case


def then_head(g, value, features):
    return g.head(g.op("Relu", value), features)


@case("3x3, padded, with bias", (2, 6, 5), opset=13)
def conv_plain(g):
    return then_head(g, g.conv(g.input, 3, 2, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 90)


@case("every attribute left out: sizes come from the weight", (2, 6, 5), opset=11)
def conv_defaults(g):
    return then_head(g, g.conv(g.input, 3, 2), 36)


@case("no bias", (2, 5, 5), opset=13)
def conv_no_bias(g):
    return then_head(g, g.conv(g.input, 3, 2, bias=False, kernel_shape=[3, 3]), 27)


@case("the bias is an Add of a [channels, 1, 1] constant", (2, 5, 5), opset=13)
def conv_bias_by_add(g):
    h = g.op("Add", g.conv(g.input, 3, 2, bias=False, kernel_shape=[3, 3]), g.weight("b", 3, 1, 1, scale=0.5))
    return then_head(g, h, 27)


@case("strides differ by axis, pads by side", (2, 7, 6), opset=13)
def conv_stride_asymmetric_pads(g):
    return then_head(g, g.conv(g.input, 3, 2, strides=[2, 1], pads=[0, 1, 2, 0]), 60)


@case("dilation", (2, 8, 7), opset=13)
def conv_dilation(g):
    return then_head(g, g.conv(g.input, 3, 2, dilations=[2, 3], pads=[2, 3, 2, 3]), 168)


@case("two groups", (4, 5, 5), opset=13)
def conv_groups(g):
    return then_head(g, g.conv(g.input, 6, 2, group=2, pads=[1, 1, 1, 1], strides=[2, 2]), 54)


@case("depthwise: a group per channel", (4, 5, 5), opset=13)
def conv_depthwise(g):
    return then_head(g, g.conv(g.input, 4, 1, group=4, pads=[1, 1, 1, 1]), 100)


@case("depthwise with two outputs per channel", (3, 5, 5), opset=13)
def conv_depthwise_multiplier(g):
    return then_head(g, g.conv(g.input, 6, 1, group=3), 54)


@case("kernel 1x3 then 3x1", (2, 5, 6), opset=13)
def conv_rectangular(g):
    h = g.op("Relu", g.conv(g.input, 3, 2, kernel=(1, 3), kernel_shape=[1, 3], pads=[0, 1, 0, 1]))
    return then_head(g, g.conv(h, 2, 3, kernel=(3, 1), kernel_shape=[3, 1], pads=[1, 0, 1, 0]), 60)


@case("1x1 kernels", (3, 4, 4), opset=13)
def conv_pointwise(g):
    return then_head(
        g, g.conv(g.op("Relu", g.conv(g.input, 5, 3, kernel=(1, 1))), 2, 5, kernel=(1, 1), strides=[2, 2]), 8
    )


@case("SAME_UPPER: the odd column of padding is at the end", (2, 6, 7), opset=13)
def conv_same_upper(g):
    return then_head(g, g.conv(g.input, 3, 2, auto_pad="SAME_UPPER", strides=[2, 2]), 36)


@case("SAME_LOWER: the odd column of padding is at the start", (2, 6, 7), opset=13)
def conv_same_lower(g):
    return then_head(g, g.conv(g.input, 3, 2, auto_pad="SAME_LOWER", strides=[2, 2]), 36)


@case("SAME_UPPER with an even kernel", (2, 6, 7), opset=9)
def conv_same_even_kernel(g):
    return then_head(g, g.conv(g.input, 3, 2, kernel=(2, 4), auto_pad="SAME_UPPER"), 126)


@case("VALID: no padding", (2, 6, 7), opset=13)
def conv_valid(g):
    return then_head(g, g.conv(g.input, 3, 2, auto_pad="VALID", strides=[2, 2]), 18)


@case("padding by a Pad node before (Keras' strided convolutions)", (2, 6, 6), opset=13)
def conv_after_pad(g):
    h = g.op("Pad", g.input, g.ints(0, 0, 0, 0, 0, 0, 1, 1))
    return then_head(g, g.conv(h, 3, 2, strides=[2, 2]), 27)


@case("one dimension", (3, 9), opset=13)
def conv1d(g):
    return then_head(g, g.conv(g.input, 4, 3, kernel=(3,), kernel_shape=[3], pads=[1, 1]), 36)


@case("one dimension: groups, stride, dilation, uneven pads", (4, 11), opset=13)
def conv1d_general(g):
    return then_head(g, g.conv(g.input, 6, 2, kernel=(3,), group=2, strides=[2], dilations=[2], pads=[3, 1]), 36)


@case("the stored kernel passes a Transpose node (HWIO, from TensorFlow)", (2, 5, 5), opset=13)
def conv_transposed_weight(g):
    w = g.op("Transpose", g.weight("kernel", 3, 3, 2, 4, scale=0.3), perm=[3, 2, 0, 1])
    return then_head(g, g.op("Conv", g.input, w, g.weight("b", 4)), 36)


@case("one kernel for two convolutions", (2, 6, 6), opset=13)
def conv_tied(g):
    w, b = g.weight("w", 2, 2, 3, 3), g.weight("b", 2)
    h = g.op("Relu", g.op("Conv", g.input, w, b, pads=[1, 1, 1, 1]))
    return then_head(g, g.op("Conv", h, w, b, pads=[1, 1, 1, 1], strides=[2, 2]), 18)


@case("a residual block with BatchNormalization", (3, 5, 5), opset=13)
def residual_block(g):
    h = g.op("Relu", g.batch_norm(g.conv(g.input, 3, 3, bias=False, pads=[1, 1, 1, 1]), 3))
    h = g.batch_norm(g.conv(h, 3, 3, bias=False, pads=[1, 1, 1, 1]), 3)
    return then_head(g, g.op("Add", h, g.input), 75)


@case("an inverted residual of MobileNetV2, ReLU6 as Clip", (4, 5, 5), opset=11)
def inverted_residual(g):
    low, high = g.number(0.0), g.number(6.0)
    h = g.op("Clip", g.conv(g.input, 8, 4, kernel=(1, 1)), low, high)
    h = g.op("Clip", g.conv(h, 8, 1, group=8, pads=[1, 1, 1, 1]), low, high)
    h = g.op("Add", g.input, g.conv(h, 4, 8, kernel=(1, 1)))
    return g.gemm(g.op("Flatten", g.op("GlobalAveragePool", h), axis=1), 3, 4, name="head")


@case("squeeze and excite: channels scaled by what a small network says", (4, 5, 5), opset=17)
def squeeze_excite(g):
    s = g.op("GlobalAveragePool", g.input)
    s = g.op("Sigmoid", g.conv(g.op("Relu", g.conv(s, 2, 4, kernel=(1, 1))), 4, 2, kernel=(1, 1)))
    return then_head(g, g.op("Mul", s, g.input), 100)
