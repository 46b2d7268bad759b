"""Arithmetic with constants on either side and between values, with broadcasting; means, powers, roots, masks."""

import numpy as np

from .net import case


def mlp(name, why, change, opset=13, **settings):
    """Registers two layers with `change` between them, which maps [batch, 5] to [batch, 5]."""

    def build(g):
        return g.gemm(change(g, g.gemm(g.input, 5, 6)), 3, 5, name="head")

    build.__name__ = name
    case(why, (6,), opset=opset, **settings)(build)


def positive(g, x):
    """Values away from zero, for divisors and roots."""
    return g.op("Add", g.op("Sigmoid", x), g.number(0.5))


def vector(g):
    return g.store(g.count("vector"), 1.5 + g.normal(5))


mlp("add_constant_left", "constant plus value", lambda g, x: g.op("Add", vector(g), x))
mlp("sub_constant_right", "value minus constant", lambda g, x: g.op("Sub", x, vector(g)))
mlp("sub_constant_left", "constant minus value", lambda g, x: g.op("Sub", vector(g), x), opset=7)
mlp("mul_constant", "value times constant", lambda g, x: g.op("Mul", x, vector(g)), opset=14)
mlp("mul_constant_left", "number times value", lambda g, x: g.op("Mul", g.number(0.7), x))
mlp("div_constant_right", "value over constant", lambda g, x: g.op("Div", x, vector(g)))
mlp("div_constant_left", "constant over value", lambda g, x: g.op("Div", vector(g), positive(g, x)))
mlp("neg", "sign changed", lambda g, x: g.op("Neg", g.op("Relu", x)))
mlp("pow_square", "exponent 2", lambda g, x: g.op("Pow", x, g.number(2.0)), opset=7)
mlp(
    "pow_cube_integer_exponent",
    "exponent 3 stored as an integer",
    lambda g, x: g.op("Pow", x, g.store("three", np.array(3))),
    opset=13,
)
mlp("pow_half", "exponent 0.5 of positive values", lambda g, x: g.op("Pow", positive(g, x), g.number(0.5)), opset=15)
mlp("pow_minus_one", "exponent -1", lambda g, x: g.op("Pow", positive(g, x), g.number(-1.0)))
mlp(
    "pow_vector_exponent",
    "an exponent per feature",
    lambda g, x: g.op("Pow", positive(g, x), vector(g)),
    may_refuse=["Pow"],
)
mlp("pow_constant_base", "two to the power of a value", lambda g, x: g.op("Pow", g.number(2.0), x), may_refuse=["Pow"])
mlp("sqrt", "of positive values", lambda g, x: g.op("Sqrt", positive(g, x)))
mlp("add_values", "residual connection", lambda g, x: g.op("Add", x, g.op("Relu", g.gemm(x, 5, 5))))
mlp("add_value_to_itself", "x + x", lambda g, x: g.op("Add", x, g.op("Add", x, x)))
mlp("sub_values", "between values", lambda g, x: g.op("Sub", g.op("Relu", x), g.op("Tanh", x)))
mlp("mul_values", "a gate", lambda g, x: g.op("Mul", g.op("Tanh", x), g.op("Sigmoid", g.gemm(g.input, 5, 6))))
mlp("mul_value_by_itself", "x times x", lambda g, x: g.op("Mul", x, x))
mlp("div_values", "between values", lambda g, x: g.op("Div", x, positive(g, g.gemm(g.input, 5, 6))))
mlp(
    "min_max_of_values",
    "the larger and the smaller of two values",
    lambda g, x: g.op("Min", g.op("Max", x, g.op("Neg", x)), g.number(2.0)),
    may_refuse=["Max|Min"],
)
mlp("abs_value", "magnitude", lambda g, x: g.op("Abs", x), may_refuse=["Abs"])
mlp("exp_value", "exponential", lambda g, x: g.op("Exp", g.op("Tanh", x)), may_refuse=["Exp"])
mlp("add_column", "[batch, 5] + [batch, 1]", lambda g, x: g.op("Add", x, g.gemm(g.input, 1, 6)))
mlp("mul_column", "[batch, 1] x [batch, 5]", lambda g, x: g.op("Mul", g.gemm(g.input, 1, 6), x))
mlp(
    "mean_kept",
    "mean of features, kept and taken away",
    lambda g, x: g.op("Sub", x, g.op("ReduceMean", x, axes=[1], keepdims=1)),
)
mlp(
    "mean_default_keepdims",
    "keepdims left at 1, axis negative",
    lambda g, x: g.op("Div", x, g.op("Add", g.op("ReduceMean", g.op("Relu", x), axes=[-1]), g.number(1.0))),
    opset=11,
)
mlp("clip_attributes", "bounds as attributes", lambda g, x: g.op("Clip", x, min=-0.5, max=0.8), opset=7)
mlp("clip_attribute_max", "upper bound only, as an attribute", lambda g, x: g.op("Clip", x, max=0.3), opset=9)
mlp("clip_inputs", "bounds as inputs", lambda g, x: g.op("Clip", x, g.number(-0.5), g.number(0.8)), opset=13)
mlp(
    "clip_input_max",
    'upper bound only, the lower input is named ""',
    lambda g, x: g.op("Clip", x, None, g.number(0.3)),
    opset=12,
)
mlp("clip_nothing", "no bounds", lambda g, x: g.op("Clip", x), opset=13)
mlp(
    "where_mask_of_constants",
    "a constant mask picks the value or a number",
    lambda g, x: g.op("Where", g.store("mask", np.array([True, False, True, True, False])), x, g.number(0.25)),
    opset=9,
)
mlp(
    "where_mask_between_values",
    "a constant mask picks from two values",
    lambda g, x: g.op("Where", g.store("mask", np.array([[True, False, True, False, False]])), x, g.op("Tanh", x)),
    opset=16,
)
mlp(
    "where_mask_computed",
    "the mask is computed from constants",
    lambda g, x: g.op("Where", g.op("Cast", g.store("one_hot", np.array([1, 0, 0, 1, 1])), to=9), x, g.number(-1.0)),
)
mlp(
    "cast_to_double_and_back",
    "more digits for a while",
    lambda g, x: g.op("Cast", g.op("Mul", g.op("Cast", x, to=11), g.store("factor", np.array(1.25), np.float64)), to=1),
)
mlp("cast_to_float", "of what is float already", lambda g, x: g.op("Cast", x, to=1), opset=7)
mlp("identity", "three in a row", lambda g, x: g.op("Identity", g.op("Identity", g.op("Identity", x))))
mlp("dropout_opset7", "ratio as an attribute; does nothing", lambda g, x: g.op("Dropout", x, ratio=0.4), opset=7)
mlp(
    "dropout_unused_mask",
    "a second output that nobody reads",
    lambda g, x: g.op("Dropout", x, ratio=0.4, outputs=2)[0],
    opset=10,
)
mlp(
    "dropout_inputs",
    "ratio and training_mode false as inputs",
    lambda g, x: g.op("Dropout", x, g.number(0.5), g.store("training", np.array(False))),
    opset=13,
)
mlp("dropout_ratio_only", "ratio as an input", lambda g, x: g.op("Dropout", x, g.number(0.5)), opset=12)


@case("ReduceMean over positions, not kept", (4, 5), opset=13)
def mean_over_positions(g):
    return g.gemm(g.op("ReduceMean", g.op("Relu", g.input), axes=[1], keepdims=0), 3, 5)


@case("axes as an input", (4, 5), opset=18)
def mean_axes_input(g):
    return g.gemm(g.op("ReduceMean", g.op("Relu", g.input), g.ints(1), keepdims=0), 3, 5)


@case("empty axes that mean none", (4, 5), opset=18, may_refuse=["ReduceMean"])
def mean_of_no_axes(g):
    return g.head(
        g.op("ReduceMean", g.op("Relu", g.input), g.store("none", np.zeros(0, np.int64)), noop_with_empty_axes=1), 20
    )


@case("channels scaled and shifted by [channels, 1, 1] constants", (3, 4, 4), opset=13)
def channel_constants(g):
    h = g.op("Mul", g.conv(g.input, 3, 3, kernel=(1, 1)), g.weight("scale", 3, 1, 1, scale=1.0))
    return g.head(g.op("Relu", g.op("Add", g.weight("shift", 1, 3, 1, 1, scale=0.4), h)), 48)


@case("a whole image is taken away, then a number divides", (1, 4, 4), opset=9, batch=1)
def normalise_by_mean_image(g):
    h = g.op("Div", g.op("Sub", g.input, g.weight("mean_image", 1, 1, 4, 4, scale=1.0)), g.number(0.3))
    return g.gemm(g.op("Relu", g.head(h, 16, 5)), 3, 5)


@case("mean and deviation per channel, deviation by a product with its inverse", (3, 4, 4), opset=13)
def normalise_by_channel(g):
    h = g.op("Sub", g.input, g.store("mean", np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)))
    h = g.op("Mul", h, g.store("inverse_std", 1 / np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)))
    return g.head(g.op("Relu", g.conv(h, 2, 3)), 8)


@case("a position table is added to a sequence", (4, 6), opset=13)
def position_table(g):
    return g.head(g.op("Relu", g.op("Add", g.input, g.weight("positions", 1, 4, 6, scale=0.5))), 24)


@case("[batch, 4, 1] x [batch, 1, 5]: both sides grow", (9,), opset=13)
def outer_product(g):
    left, right = g.op("Split", g.input, g.ints(4, 5), axis=1, outputs=2)
    return g.head(g.op("Mul", g.op("Unsqueeze", left, g.ints(2)), g.op("Unsqueeze", right, g.ints(1))), 20)
