"""Activations between two layers, as operators and as exporters spell them out."""

import numpy as np

from .net import case


def between_layers(name, why, activate, opset=13, **settings):
    """Registers a perceptron of two layers around an activation; inputs reach the bent parts of every curve."""

    def build(g):
        g.values = g.normal(3, 6, scale=2.5)
        return g.gemm(activate(g, g.gemm(g.input, 5, 6)), 3, 5, name="head")

    build.__name__ = name
    case(why, (6,), opset=opset, **settings)(build)


def on_images(name, why, activate, opset=13, **settings):
    """Registers a convolution, an activation and a last layer."""

    def build(g):
        g.values = g.normal(3, 2, 4, 4, scale=2.0)
        return g.head(activate(g, g.conv(g.input, 3, 2)), 12)

    build.__name__ = name
    case(why, (2, 4, 4), opset=opset, **settings)(build)


def plain(kind, **attributes):
    return lambda g, x: g.op(kind, x, **attributes)


between_layers("relu", "operator", plain("Relu"), opset=14)
between_layers("leaky_relu", "slope 0.2", plain("LeakyRelu", alpha=0.2), opset=16)
between_layers("leaky_relu_default", "slope left at 0.01", plain("LeakyRelu"), opset=7)
between_layers(
    "leaky_relu_as_max",
    "x or a fraction of it, whichever is larger",
    lambda g, x: g.op("Max", x, g.op("Mul", x, g.number(0.1))),
    may_refuse=["Max"],
)
between_layers("elu", "alpha 0.7", plain("Elu", alpha=0.7))
between_layers("elu_default", "alpha left at 1", plain("Elu"), opset=7)
between_layers("selu", "both constants left out", plain("Selu"))
between_layers("selu_custom", "both constants given", plain("Selu", alpha=1.2, gamma=0.8), opset=7)
between_layers("tanh", "operator", plain("Tanh"))
between_layers("sigmoid", "operator", plain("Sigmoid"))
between_layers("hard_sigmoid", "0.2 x + 0.5, the defaults", plain("HardSigmoid"))
between_layers("hard_sigmoid_sixth", "x/6 + 0.5, PyTorch's", plain("HardSigmoid", alpha=1 / 6, beta=0.5), opset=9)
between_layers(
    "hard_sigmoid_spelled",
    "Add, Clip and Div",
    lambda g, x: g.op("Div", g.op("Clip", g.op("Add", x, g.number(3.0)), g.number(0.0), g.number(6.0)), g.number(6.0)),
)
between_layers("hard_swish", "operator", plain("HardSwish"), opset=14)
between_layers("gelu", "operator, exact", plain("Gelu"), opset=20)
between_layers("gelu_tanh", "operator, approximated by tanh", plain("Gelu", approximate="tanh"), opset=20)
between_layers("softmax_hidden", "between layers", plain("Softmax", axis=-1))
between_layers("log_softmax_hidden", "between layers", plain("LogSoftmax", axis=1))
between_layers("clip_as_relu", "lower bound only", lambda g, x: g.op("Clip", x, g.number(0.0)), opset=11)
on_images("relu_images", "on images", plain("Relu"))
on_images("softmax_channels", "over channels of images", plain("Softmax", axis=1))


def hard_swish_spelled(g, x):
    six = g.number(6.0)
    return g.op("Div", g.op("Mul", x, g.op("Clip", g.op("Add", x, g.number(3.0)), g.number(0.0), six)), six)


def hard_swish_by_hard_sigmoid(g, x):
    return g.op("Mul", x, g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def gelu_by_erf(g, x):
    erf = g.op("Erf", g.op("Div", x, g.number(np.sqrt(2.0))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.number(1.0))), g.number(0.5))


def gelu_by_erf_half_first(g, x):
    erf = g.op("Erf", g.op("Mul", x, g.number(np.sqrt(0.5))))
    return g.op("Mul", g.op("Mul", g.number(0.5), x), g.op("Add", g.number(1.0), erf))


def gelu_by_tanh(g, x):
    inner = g.op("Add", x, g.op("Mul", g.op("Pow", x, g.number(3.0)), g.number(0.044715)))
    inner = g.op("Tanh", g.op("Mul", inner, g.number(np.sqrt(2 / np.pi))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", inner, g.number(1.0))), g.number(0.5))


between_layers("hard_swish_spelled", "x clip(x + 3, 0, 6) / 6", hard_swish_spelled)
between_layers("hard_swish_by_hard_sigmoid", "x times HardSigmoid", hard_swish_by_hard_sigmoid, opset=11)
between_layers("gelu_by_erf", "Div, Erf, Add, Mul, Mul: PyTorch below opset 20", gelu_by_erf)
between_layers("gelu_by_erf_half_first", "the same factors in another order", gelu_by_erf_half_first)
between_layers("gelu_by_tanh", "Pow, Mul, Add, Mul, Tanh, Add, Mul, Mul", gelu_by_tanh)
between_layers("silu", "x times Sigmoid", lambda g, x: g.op("Mul", x, g.op("Sigmoid", x)))
between_layers("silu_sigmoid_first", "Sigmoid times x", lambda g, x: g.op("Mul", g.op("Sigmoid", x), x))
between_layers(
    "gelu_quick",
    "x times Sigmoid of 1.702 x (CLIP)",
    lambda g, x: g.op("Mul", x, g.op("Sigmoid", g.op("Mul", x, g.number(1.702)))),
)
between_layers(
    "gate_of_another_value",
    "x times Sigmoid of another value: no SiLU",
    lambda g, x: g.op("Mul", x, g.op("Sigmoid", g.gemm(g.input, 5, 6, name="gate"))),
)
between_layers("erf_alone", "Erf that belongs to no GELU", plain("Erf"))
between_layers("prelu_scalar", "one slope", lambda g, x: g.op("PRelu", x, g.store("slope", np.array([0.3]))))
between_layers(
    "prelu_features",
    "a slope per feature, one of them negative",
    lambda g, x: g.op("PRelu", x, g.weight("slope", 5)),
    opset=9,
)
on_images(
    "prelu_channels",
    "a slope per channel",
    lambda g, x: g.op("PRelu", x, g.store("slope", np.array([0.1, -0.2, 0.4]).reshape(3, 1, 1))),
)


@case("opset 11: all axes from 1 on are one", (2, 3), opset=11)
def softmax_opset11_flattens(g):
    return g.head(g.op("Softmax", g.input, axis=1), 6)


@case("opset 11: the axis left out is 1", (2, 3), opset=11)
def softmax_opset11_default(g):
    return g.head(g.op("Softmax", g.input), 6)


@case("opset 13: one axis, the last where left out", (2, 3), opset=13)
def softmax_opset13_default(g):
    return g.head(g.op("Softmax", g.input), 6)


@case("opset 13: one axis in the middle", (4, 3), opset=13)
def softmax_opset13_axis(g):
    return g.head(g.op("Softmax", g.input, axis=1), 12)


@case("opset 11: LogSoftmax over all axes from 1 on", (2, 3), opset=11)
def log_softmax_opset11_flattens(g):
    return g.head(g.op("LogSoftmax", g.input, axis=1), 6)


@case("the outputs are probabilities", (6,), opset=13)
def softmax_output(g):
    return g.op("Softmax", g.gemm(g.op("Relu", g.gemm(g.input, 5, 6)), 3, 5), axis=1)


@case("the outputs are logarithms of probabilities (PyTorch's MNIST example)", (6,), opset=9)
def log_softmax_output(g):
    return g.op("LogSoftmax", g.gemm(g.op("Relu", g.gemm(g.input, 5, 6)), 3, 5), axis=1)


@case("one output, the probability of yes", (6,), opset=13)
def sigmoid_output(g):
    return g.op("Sigmoid", g.gemm(g.op("Relu", g.gemm(g.input, 5, 6)), 1, 5))
