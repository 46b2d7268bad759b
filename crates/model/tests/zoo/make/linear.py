"""Fully connected layers: Gemm in all its settings, MatMul with an Add, weights that are shared or transposed."""

import numpy as np

from .net import case


def relu_and_head(g, value, features, classes=3):
    return g.gemm(g.op("Relu", value), classes, features, name="head")


@case("weight as [outputs, inputs]", (6,), opset=13)
def gemm_transb(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.weight("b", 5), transB=1), 5)


@case("weight as [inputs, outputs]", (6,), opset=13)
def gemm_transb_0(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 6, 5), g.weight("b", 5), transB=0), 5)


@case("no attributes at all, opset 7", (6,), opset=7)
def gemm_defaults_opset7(g):
    return g.op(
        "Gemm",
        g.op("Relu", g.op("Gemm", g.input, g.weight("w0", 6, 5), g.weight("b0", 5))),
        g.weight("w1", 5, 3),
        g.weight("b1", 3),
    )


@case("alpha scales the product, beta the bias", (6,), opset=13)
def gemm_alpha_beta(g):
    return relu_and_head(
        g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.weight("b", 5), alpha=0.5, beta=-1.5, transB=1), 5
    )


@case("beta 0 makes the bias dead", (6,), opset=13)
def gemm_beta_0(g):
    return relu_and_head(
        g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.weight("b", 5), alpha=2.0, beta=0.0, transB=1), 5
    )


@case("no third input (allowed from opset 11)", (6,), opset=11)
def gemm_no_c(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), transB=1), 5)


@case('the third input is named "", which means absent', (6,), opset=13)
def gemm_empty_c(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), None, transB=1), 5)


@case("one number as bias of all outputs", (6,), opset=13)
def gemm_scalar_c(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.store("b", np.array(0.3)), transB=1), 5)


@case("bias of shape [1]", (6,), opset=13)
def gemm_one_c(g):
    return relu_and_head(
        g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.store("b", np.array([0.3])), beta=2.0, transB=1), 5
    )


@case("bias of shape [1, outputs]", (6,), opset=13)
def gemm_row_c(g):
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.weight("b", 1, 5, scale=0.4), transB=1), 5)


@case("the third input is a value: a residual connection", (6,), opset=13, may_refuse=["Gemm"])
def gemm_value_c(g):
    return relu_and_head(
        g, g.op("Gemm", g.op("Tanh", g.input), g.weight("w", 6, 6), g.input, alpha=0.7, beta=0.5, transB=1), 6
    )


@case("the weight is the first factor, transposed; the input is a column without batch", (6, 1), opset=13, batch=None)
def gemm_transa_constant(g):
    h = g.op("Gemm", g.weight("w0", 6, 5), g.input, g.weight("b0", 5, 1, scale=0.4), transA=1)
    return g.op("Gemm", g.weight("w1", 3, 5), g.op("Relu", h), g.weight("b1", 3, 1, scale=0.4))


@case("the value is transposed: one example as a column", (1,), opset=13, batch=6, may_refuse=["batch", "axis"])
def gemm_transa_value(g):
    g.values = g.normal(3, 6, 1, scale=1.5)
    return relu_and_head(g, g.op("Gemm", g.input, g.weight("w", 5, 6), g.weight("b", 5), transA=1, transB=1), 5)


@case("MatMul and Add, weight on the right", (6,), opset=13)
def matmul_add(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.input, g.weight("w0", 6, 5)), g.weight("b0", 5)))
    return g.op("Add", g.op("MatMul", h, g.weight("w1", 5, 3)), g.weight("b1", 3))


@case("the bias is the first term of Add", (6,), opset=9)
def matmul_bias_first(g):
    h = g.op("Relu", g.op("Add", g.weight("b0", 5), g.op("MatMul", g.input, g.weight("w0", 6, 5))))
    return g.op("Add", g.weight("b1", 1, 3, scale=0.4), g.op("MatMul", h, g.weight("w1", 5, 3)))


@case("layers without bias", (6,), opset=13)
def matmul_no_bias(g):
    return g.op("MatMul", g.op("Relu", g.op("MatMul", g.input, g.weight("w0", 6, 5))), g.weight("w1", 5, 3))


@case("Sub where Add is usual: the bias is taken away", (6,), opset=13)
def matmul_sub_bias(g):
    h = g.op("Relu", g.op("Sub", g.op("MatMul", g.input, g.weight("w0", 6, 5)), g.weight("b0", 5)))
    return g.op("Sub", g.weight("b1", 3), g.op("MatMul", h, g.weight("w1", 5, 3)))


@case("two constants are added to one product", (6,), opset=13)
def matmul_two_biases(g):
    h = g.op("Add", g.op("Add", g.op("MatMul", g.input, g.weight("w0", 6, 5)), g.weight("b0", 5)), g.weight("c0", 5))
    return relu_and_head(g, h, 5)


@case("weight on the left of a column, with batch", (6, 1), opset=13)
def matmul_left(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.weight("w0", 5, 6), g.input), g.weight("b0", 5, 1, scale=0.4)))
    return g.op("Add", g.op("MatMul", g.weight("w1", 3, 5), h), g.weight("b1", 3, 1, scale=0.4))


@case("weight on the left mixes positions, weight on the right features (MLP-Mixer)", (4, 6), opset=13)
def matmul_both_sides(g):
    tokens = g.op("Relu", g.op("MatMul", g.weight("mix", 5, 4), g.input))
    return g.head(g.op("Relu", g.op("MatMul", tokens, g.weight("features", 6, 3))), 15)


@case("a sequence of vectors under one weight", (5, 6), opset=13)
def matmul_sequence(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.input, g.weight("w0", 6, 4)), g.weight("b0", 4)))
    return g.head(h, 20)


@case("the input is one vector, without batch axis", (6,), opset=13, batch=None)
def matmul_vector(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.input, g.weight("w0", 6, 5)), g.weight("b0", 5)))
    return g.op("Add", g.op("MatMul", h, g.weight("w1", 5, 3)), g.weight("b1", 3))


@case("matrix times vector: the weight is the first factor, without batch axis", (6,), opset=13, batch=None)
def matmul_left_vector(g):
    h = g.op("Relu", g.op("Add", g.op("MatMul", g.weight("w0", 5, 6), g.input), g.weight("b0", 5)))
    return g.op("Add", g.op("MatMul", g.weight("w1", 3, 5), h), g.weight("b1", 3))


@case("a stack of weights, one per head", (2, 4, 6), opset=13, may_refuse=["MatMul", "w"])
def matmul_stacked_weight(g):
    return g.head(g.op("Relu", g.op("MatMul", g.input, g.weight("w", 2, 6, 3, scale=0.6))), 24)


@case("a Transpose node between the stored weight and MatMul", (6,), opset=13)
def matmul_transposed_weight(g):
    w = g.op("Transpose", g.weight("w", 5, 6), perm=[1, 0])
    return relu_and_head(g, g.op("Add", g.op("MatMul", g.input, w), g.weight("b", 5)), 5)


@case("a Reshape node between the stored weight and MatMul (CNTK, old PyTorch)", (6,), opset=13)
def matmul_reshaped_weight(g):
    w = g.op("Reshape", g.weight("w", 2, 3, 5, scale=0.5), g.ints(6, 5))
    return relu_and_head(g, g.op("Add", g.op("MatMul", g.input, w), g.weight("b", 5)), 5)


@case("three layers without an activation between the first two", (6,), opset=13)
def linear_chain(g):
    return relu_and_head(g, g.gemm(g.gemm(g.input, 4, 6), 5, 4), 5)


@case("a single layer", (6,), opset=13)
def linear_alone(g):
    return g.gemm(g.input, 3, 6)


@case("one weight and bias used by two nodes", (6,), opset=13)
def tied_weight(g):
    w, b = g.weight("w", 6, 6), g.weight("b", 6)
    h = g.op("Relu", g.op("Gemm", g.input, w, b, transB=1))
    return relu_and_head(g, g.op("Gemm", h, w, b, transB=1), 6)


@case("one weight used as it is and transposed (an autoencoder)", (6,), opset=13)
def tied_transposed(g):
    w = g.weight("w", 4, 6)
    h = g.op("Relu", g.op("Gemm", g.input, w, g.weight("b0", 4), transB=1))
    return g.op("Gemm", h, w, g.weight("b1", 6), transB=0)


@case("two layers whose equal biases an optimizer made one tensor", (6,), opset=13)
def shared_bias(g):
    b = g.store("zeros", np.linspace(-0.2, 0.3, 5))
    h = g.op("Relu", g.op("Gemm", g.input, g.weight("w0", 5, 6), b, transB=1))
    return relu_and_head(g, g.op("Gemm", h, g.weight("w1", 5, 5), b, transB=1), 5)


@case("one tensor is a layer's bias and another node's constant", (6,), opset=13)
def bias_is_also_a_constant(g):
    b = g.weight("b", 5)
    h = g.op("Relu", g.op("Gemm", g.input, g.weight("w", 5, 6), b, transB=1))
    return relu_and_head(g, g.op("Mul", h, b), 5)


@case("two branches of layers that meet in a sum and a product", (6,), opset=13)
def branches(g):
    left, right = g.gemm(g.input, 5, 6), g.gemm(g.input, 5, 6)
    return relu_and_head(g, g.op("Add", g.op("Mul", left, g.op("Sigmoid", right)), right), 5)
