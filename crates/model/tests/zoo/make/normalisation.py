"""BatchNormalization, LayerNormalization and InstanceNormalization, as operators and as exporters spell them out."""

import numpy as np

from .net import case


def affine(g, value, shape, name="norm"):
    value = g.op("Mul", value, g.store(f"{name}.weight", 1 + 0.3 * g.normal(*shape, scale=1)))
    return g.op("Add", value, g.store(f"{name}.bias", g.normal(*shape, scale=0.4)))


def layer_norm_spelled(g, value, axes, epsilon=1e-5, square="Pow"):
    """Mean, difference, variance and quotient as PyTorch writes them below opset 17."""
    as_input = g.opset >= 18
    mean = lambda v: g.op("ReduceMean", v, g.ints(*axes)) if as_input else g.op("ReduceMean", v, axes=axes)
    d = g.op("Sub", value, mean(value))
    squared = g.op("Pow", d, g.number(2.0)) if square == "Pow" else g.op("Mul", d, d)
    return g.op("Div", d, g.op("Sqrt", g.op("Add", mean(squared), g.number(epsilon))))


@case("over features", (6,), opset=15)
def batchnorm_features(g):
    return g.gemm(g.op("Relu", g.batch_norm(g.gemm(g.input, 5, 6), 5)), 3, 5, name="head")


@case("over images, before and after a convolution, with epsilon", (2, 5, 5), opset=9)
def batchnorm_images(g):
    h = g.conv(g.batch_norm(g.input, 2, epsilon=0.01), 3, 2, bias=False)
    return g.head(g.op("Relu", g.batch_norm(h, 3, epsilon=0.001, momentum=0.8)), 27)


@case("over sequences", (3, 7), opset=14)
def batchnorm_sequences(g):
    return g.head(g.op("Relu", g.batch_norm(g.input, 3, training_mode=0)), 21)


@case("opset 7, where `spatial` said how", (2, 4, 4), opset=7)
def batchnorm_opset7(g):
    return g.head(g.op("Relu", g.batch_norm(g.input, 2, spatial=1)), 32)


@case("as the first and the last node", (6,), opset=15)
def batchnorm_at_the_ends(g):
    return g.batch_norm(g.op("Relu", g.gemm(g.batch_norm(g.input, 6), 3, 6)), 3)


@case("as a product and a sum, Keras' way", (6,), opset=13)
def batchnorm_as_mul_add(g):
    return g.gemm(g.op("Relu", affine(g, g.gemm(g.input, 5, 6), (5,))), 3, 5, name="head")


@case("operator, over the last axis", (4, 6), opset=17)
def layernorm(g):
    h = g.op(
        "LayerNormalization",
        g.input,
        g.store("norm.weight", 1 + g.normal(6)),
        g.weight("norm.bias", 6),
        axis=-1,
        epsilon=1e-3,
    )
    return g.head(h, 24)


@case("operator without bias", (4, 6), opset=17)
def layernorm_no_bias(g):
    return g.head(g.op("LayerNormalization", g.input, g.store("norm.weight", 1 + g.normal(6))), 24)


@case("operator over the last two axes", (4, 6), opset=17)
def layernorm_two_axes(g):
    h = g.op(
        "LayerNormalization", g.input, g.store("norm.weight", 1 + g.normal(4, 6)), g.weight("norm.bias", 4, 6), axis=1
    )
    return g.head(h, 24)


@case("operator over a scale of one number for all", (4, 6), opset=17, may_refuse=["LayerNormalization"])
def layernorm_broadcast_scale(g):
    return g.head(g.op("LayerNormalization", g.input, g.store("norm.weight", np.array([1.5])), axis=-1), 24)


@case("spelled out with Pow", (4, 6), opset=11)
def layernorm_spelled(g):
    return g.head(affine(g, layer_norm_spelled(g, g.input, [-1]), (6,)), 24)


@case("spelled out with a product, axes as an input", (4, 6), opset=18)
def layernorm_spelled_opset18(g):
    return g.head(affine(g, layer_norm_spelled(g, g.input, [-1], square="Mul"), (6,)), 24)


@case("spelled out, no scale and no bias", (4, 6), opset=13)
def layernorm_spelled_bare(g):
    return g.head(layer_norm_spelled(g, g.input, [2], epsilon=0.1), 24)


@case("spelled out over channels of images (ConvNeXt)", (4, 3, 3), opset=13)
def layernorm_channels(g):
    return g.head(affine(g, layer_norm_spelled(g, g.input, [1]), (4, 1, 1)), 36)


@case("root mean square, no mean taken away", (4, 6), opset=13)
def rms_norm_spelled(g):
    mean = g.op("ReduceMean", g.op("Pow", g.input, g.number(2.0)), axes=[-1], keepdims=1)
    h = g.op("Div", g.input, g.op("Sqrt", g.op("Add", mean, g.number(1e-6))))
    return g.head(g.op("Mul", g.store("norm.weight", 1 + g.normal(6)), h), 24)


@case("operator, per image and channel", (3, 4, 5), opset=7)
def instancenorm(g):
    h = g.op(
        "InstanceNormalization",
        g.input,
        g.store("norm.weight", 1 + g.normal(3)),
        g.weight("norm.bias", 3),
        epsilon=1e-3,
    )
    return g.head(h, 60)


@case("operator over sequences", (3, 8), opset=13)
def instancenorm_sequences(g):
    return g.head(
        g.op("InstanceNormalization", g.input, g.store("norm.weight", 1 + g.normal(3)), g.weight("norm.bias", 3)), 24
    )


@case("spelled out over both image axes", (3, 4, 5), opset=13)
def instancenorm_spelled(g):
    return g.head(affine(g, layer_norm_spelled(g, g.input, [2, 3]), (3, 1, 1)), 60)


@case("group norm as PyTorch exports it: Reshape, InstanceNormalization, Reshape, Mul, Add", (4, 3, 3), opset=13)
def groupnorm_by_instancenorm(g):
    h = g.op("Reshape", g.input, g.ints(0, 2, -1))
    h = g.op("InstanceNormalization", h, g.store("ones", np.ones(2)), g.store("zeros", np.zeros(2)), epsilon=1e-5)
    return g.head(affine(g, g.op("Reshape", h, g.op("Shape", g.input)), (4, 1, 1)), 36)
