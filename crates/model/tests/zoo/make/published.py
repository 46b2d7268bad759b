"""Networks as other people's tools write them, in small: ERAN, VNN-COMP, MATLAB, Keras, scikit-learn, PyTorch's tutorials."""

import numpy as np

from .net import case


@case("ERAN: Sub and Div by Constant nodes, Flatten, Gemm and Sigmoid", (1, 4, 4), opset=9, batch=1)
def eran_sigmoid(g):
    h = g.op("Sub", g.input, g.constant(np.array(0.1307, np.float32)))
    h = g.op("Flatten", g.op("Div", h, g.constant(np.array(0.3081, np.float32))), axis=1)
    for index, (outputs, inputs) in enumerate([(8, 16), (6, 8), (3, 6)], start=1):
        w, b = g.weight(f"{2 * index}.weight", outputs, inputs), g.weight(f"{2 * index}.bias", outputs)
        h = g.op("Gemm", h, w, b, alpha=1.0, beta=1.0, transB=1)
        h = g.op("Sigmoid", h) if index < 3 else h
    return h


@case(
    "ERAN: constants of shape [1, 1, 1, 1] and [1], ReLU, no batch dimension in Reshape", (1, 4, 4), opset=13, batch=1
)
def eran_relu_reshape(g):
    h = g.op("Sub", g.input, g.constant(np.full((1, 1, 1, 1), 0.5, np.float32)))
    h = g.op("Reshape", g.op("Div", h, g.constant(np.array([0.25], np.float32))), g.ints(1, -1))
    return g.gemm(g.op("Relu", g.gemm(h, 6, 16)), 3, 6)


@case(
    "VNN-COMP's mnist_fc: a column of pixels, unnamed nodes, numbered values", (12, 1), opset=9, batch=1, input_name="0"
)
def vnncomp_mnist_fc(g):
    h = g.op("Flatten", g.input, axis=1)
    for index, (outputs, inputs) in enumerate([(8, 12), (8, 8), (3, 8)]):
        w, b = g.weight(f"layers.{2 * index}.weight", outputs, inputs), g.weight(f"layers.{2 * index}.bias", outputs)
        h = g.op("Gemm", h, w, b, alpha=1.0, beta=1.0, transB=1)
        h = g.op("Relu", h) if index < 2 else h
    for node in g.nodes:
        node.ClearField("name")
    return h


@case(
    "ACAS Xu from MATLAB: the mean taken away, MatMul and Add, initializers listed as inputs",
    (1, 1, 5),
    opset=8,
    batch=1,
)
def acas_xu(g):
    h = g.op("Flatten", g.op("Sub", g.input, g.store("input_AvgImg", np.zeros((1, 1, 1, 5)))), axis=1)
    for index, (inputs, outputs) in enumerate([(5, 8), (8, 8), (8, 5)], start=1):
        h = g.op("MatMul", h, g.weight(f"Operation_{index}_MatMul_W", inputs, outputs))
        h = g.op("Add", h, g.weight(f"Operation_{index}_Add_B", outputs))
        h = g.op("Relu", h) if index < 3 else h
    return h


KERAS = "StatefulPartitionedCall/sequential/"


def dense(g, value, layer, inputs, outputs):
    w = g.weight(f"{KERAS}{layer}/MatMul/ReadVariableOp:0", inputs, outputs)
    b = g.weight(f"{KERAS}{layer}/BiasAdd/ReadVariableOp:0", outputs)
    return g.op("Add", g.op("MatMul", value, w, name=f"{KERAS}{layer}/MatMul"), b, name=f"{KERAS}{layer}/BiasAdd")


@case(
    "Keras through tf2onnx: an image flattened, dense layers, softmax",
    (4, 4),
    opset=13,
    batch="unk__6",
    input_name="flatten_input",
)
def keras_mlp(g):
    h = g.op("Reshape", g.input, g.ints(-1, 16), name=KERAS + "flatten/Reshape")
    h = g.op("Relu", dense(g, h, "dense", 16, 6), name=KERAS + "dense/Relu")
    return g.op("Softmax", dense(g, h, "dense_1", 6, 3), name=KERAS + "dense_1/Softmax")


@case("Keras through tf2onnx: NHWC images, Transposes around convolutions, ELU", (6, 6, 2), opset=11, batch="unk__6")
def keras_conv_nhwc(g):
    h = g.op("Transpose", g.input, perm=[0, 3, 1, 2])
    h = g.op(
        "Relu",
        g.op(
            "Conv",
            h,
            g.weight("conv2d/kernel:0", 3, 2, 3, 3),
            g.weight("conv2d/bias:0", 3),
            auto_pad="SAME_UPPER",
            kernel_shape=[3, 3],
            strides=[1, 1],
        ),
    )
    h = g.op("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])
    h = g.op(
        "Elu",
        g.op("Conv", h, g.weight("conv2d_1/kernel:0", 4, 3, 3, 3), g.weight("conv2d_1/bias:0", 4), auto_pad="VALID"),
        alpha=1.0,
    )
    h = g.op("Reshape", g.op("Transpose", h, perm=[0, 2, 3, 1]), g.ints(-1, 4))
    return dense(g, h, "dense", 4, 3)


@case("TensorFlow's NHWC kernels kept: Transpose on the kernel, bias by Add in NHWC", (5, 5, 2), opset=13)
def tensorflow_bias_nhwc(g):
    h = g.op("Transpose", g.input, perm=[0, 3, 1, 2])
    h = g.op("Conv", h, g.op("Transpose", g.weight("kernel", 3, 3, 2, 4, scale=0.3), perm=[3, 2, 0, 1]))
    h = g.op("Add", g.op("Transpose", h, perm=[0, 2, 3, 1]), g.weight("bias", 4))
    return g.gemm(g.op("ReduceMean", g.op("Relu", h), axes=[1, 2], keepdims=0), 3, 4)


@case(
    "scikit-learn's MLPClassifier: Cast, MatMul, Add, Relu, probabilities",
    (4,),
    opset=15,
    batch=None,
    may_refuse=["batch"],
)
def sklearn_vector(g):
    h = g.op("Cast", g.input, to=1)
    h = g.op("Relu", g.op("Add", g.op("MatMul", h, g.weight("coefficient", 4, 5)), g.weight("intercepts", 5)))
    return g.op("Add", g.op("MatMul", h, g.weight("coefficient1", 5, 3)), g.weight("intercepts1", 3))


@case("scikit-learn's MLPClassifier of two classes: Sigmoid, then both probabilities", (4,), opset=15)
def sklearn_binary(g):
    h = g.op(
        "Relu",
        g.op(
            "Add",
            g.op("MatMul", g.op("Cast", g.input, to=1), g.weight("coefficient", 4, 5)),
            g.weight("intercepts", 1, 5, scale=0.4),
        ),
    )
    yes = g.op("Sigmoid", g.op("Add", g.op("MatMul", h, g.weight("coefficient1", 5, 1)), g.weight("intercepts1", 1, 1)))
    return g.op("Concat", g.op("Sub", g.store("unity", np.array(1.0)), yes), yes, axis=1)


@case("a scaler in front: Sub, Div, then Gemm layers", (4,), opset=13)
def sklearn_scaler_gemm(g):
    h = g.op("Div", g.op("Sub", g.input, g.weight("offset", 4)), g.store("scale", 1 + np.abs(g.normal(4))))
    return g.gemm(g.op("Tanh", g.gemm(h, 5, 4)), 3, 5)


@case("PyTorch's MNIST example: two convolutions, pool, two layers, LogSoftmax", (1, 10, 10), opset=11)
def pytorch_mnist_example(g):
    h = g.op("Relu", g.conv(g.op("Relu", g.conv(g.input, 3, 1)), 4, 3))
    h = g.op("Flatten", g.op("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2]), axis=1)
    return g.op("LogSoftmax", g.gemm(g.op("Relu", g.gemm(h, 8, 36)), 5, 8), axis=1)


@case("LeNet with tanh and average pools", (1, 12, 12), opset=9, batch=1)
def lenet(g):
    h = g.op("AveragePool", g.op("Tanh", g.conv(g.input, 3, 1, kernel=(5, 5))), kernel_shape=[2, 2], strides=[2, 2])
    h = g.op("Tanh", g.conv(h, 6, 3, kernel=(4, 4)))
    return g.gemm(g.op("Tanh", g.gemm(g.op("Reshape", h, g.ints(1, -1)), 6, 6)), 4, 6)


@case("a critic: several inputs joined in one vector, one output", (7,), opset=13)
def one_output_regression(g):
    return g.gemm(g.op("Relu", g.gemm(g.op("Relu", g.gemm(g.input, 6, 7)), 5, 6)), 1, 5)


@case("two towers over parts of the input that meet (Slice, Concat)", (8,), opset=13)
def two_towers(g):
    cut = lambda a, b: g.op("Slice", g.input, g.ints(a), g.ints(b), g.ints(1))
    left, right = g.op("Relu", g.gemm(cut(0, 3), 4, 3)), g.op("Tanh", g.gemm(cut(3, 8), 4, 5))
    return g.gemm(g.op("Concat", left, right, axis=1), 3, 8)


@case("a DenseNet block: every layer sees all before", (2, 5, 5), opset=13)
def dense_block(g):
    h = g.input
    for channels in (2, 4, 6):
        new = g.conv(g.op("Relu", g.batch_norm(h, channels)), 2, channels, pads=[1, 1, 1, 1], bias=False)
        h = g.op("Concat", h, new, axis=1)
    return g.gemm(g.op("Flatten", g.op("GlobalAveragePool", h), axis=1), 3, 8)


@case("a WaveNet-like gate over sequences", (2, 12), opset=13)
def gated_sequence(g):
    a = g.op("Tanh", g.conv(g.input, 3, 2, kernel=(3,), dilations=[2], pads=[4, 0]))
    b = g.op("Sigmoid", g.conv(g.input, 3, 2, kernel=(3,), dilations=[2], pads=[4, 0]))
    h = g.conv(g.op("Mul", a, b), 2, 3, kernel=(1,))
    return g.gemm(g.op("ReduceMean", g.op("Add", h, g.input), axes=[2], keepdims=0), 3, 2)
