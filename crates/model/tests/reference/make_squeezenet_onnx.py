"""Writes SqueezeNet 1.1 as the ONNX model zoo's MXNet export has it.

    python make_squeezenet_onnx.py                       narrow network of the tests
    python make_squeezenet_onnx.py IN.safetensors OUT    a torchvision checkpoint

needs onnx, numpy and safetensors. Nodes, names, attributes and their order are those of
squeezenet1.1-7.onnx: the initializers are listed as inputs too, and their names
(`squeezenet0_conv3_weight`) count convolutions.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

FOLDER = pathlib.Path(__file__).parent / "formats"
FIRES_AND_POOLS = ["fire", "fire", "pool", "fire", "fire", "pool", "fire", "fire", "fire", "fire"]


def narrow():
    """A SqueezeNet 1.1 of a few channels with random weights under torchvision's names."""
    rng = np.random.default_rng(0)
    tensors = {}

    def conv(name, outputs, inputs, kernel):
        tensors[f"{name}.weight"] = rng.normal(size=(outputs, inputs, kernel, kernel)).astype(np.float32)
        tensors[f"{name}.bias"] = rng.normal(size=outputs).astype(np.float32)

    conv("features.0", 4, 3, 3)
    channels = 4
    for index, kind in enumerate(FIRES_AND_POOLS, start=3):
        if kind == "fire":
            squeeze, one, three = 2 + index % 2, 2 + index % 3, 5 - index % 3
            conv(f"features.{index}.squeeze", squeeze, channels, 1)
            conv(f"features.{index}.expand1x1", one, squeeze, 1)
            conv(f"features.{index}.expand3x3", three, squeeze, 3)
            channels = one + three
    conv("classifier.1", 5, channels, 1)
    return tensors


def export(tensors):
    nodes, initializers, inputs = [], [], []
    counts = {"conv": 0, "pool": 0, "concat": 0}

    def conv(name, source, stride=1, pad=0):
        number = counts["conv"]
        counts["conv"] += 1
        operands = []
        for kind in ["weight", "bias"]:
            array = tensors[f"{name}.{kind}"]
            operand = f"squeezenet0_conv{number}_{kind}"
            initializers.append(numpy_helper.from_array(array, operand))
            inputs.append(helper.make_tensor_value_info(operand, TensorProto.FLOAT, array.shape))
            operands.append(operand)
        kernel = tensors[f"{name}.weight"].shape[2]
        fwd, relu = f"squeezenet0_conv{number}_fwd", f"squeezenet0_relu{number}_fwd"
        nodes.append(helper.make_node(
            "Conv", [source, *operands], [fwd], name=fwd, dilations=[1, 1], group=1,
            kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2))
        nodes.append(helper.make_node("Relu", [fwd], [relu], name=relu))
        return relu

    def pool(op, source, kernel, stride):
        name = f"squeezenet0_pool{counts['pool']}_fwd"
        counts["pool"] += 1
        nodes.append(helper.make_node(
            op, [source], [name], name=name, kernel_shape=[kernel] * 2, pads=[0] * 4, strides=[stride] * 2))
        return name

    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, (1, 3, 224, 224))
    value = pool("MaxPool", conv("features.0", "data", stride=2), 3, 2)
    for index, kind in enumerate(FIRES_AND_POOLS, start=3):
        if kind == "pool":
            value = pool("MaxPool", value, 3, 2)
            continue
        squeeze = conv(f"features.{index}.squeeze", value)
        expands = [conv(f"features.{index}.expand1x1", squeeze), conv(f"features.{index}.expand3x3", squeeze, pad=1)]
        value = f"squeezenet0_concat{counts['concat']}"
        counts["concat"] += 1
        nodes.append(helper.make_node("Concat", expands, [value], name=value, axis=1))
    nodes.append(helper.make_node("Dropout", [value], ["squeezenet0_dropout0_fwd"], name="squeezenet0_dropout0_fwd", ratio=0.5))
    value = pool("AveragePool", conv("classifier.1", "squeezenet0_dropout0_fwd"), 13, 13)
    out = "squeezenet0_flatten0_reshape0"
    shape = numpy_helper.from_array(np.array([0, -1], dtype=np.int64), "reshape_attr_tensor118")
    initializers.append(shape)
    inputs.append(helper.make_tensor_value_info(shape.name, TensorProto.INT64, (2,)))
    nodes.append(helper.make_node("Reshape", [value, shape.name], [out], name=out))

    classes = tensors["classifier.1.bias"].shape[0]
    output = helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, classes))
    graph = helper.make_graph(nodes, "mxnet_converted_model", [data, *inputs], [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3)
    onnx.checker.check_model(model)
    return model


def main():
    if len(sys.argv) == 3:
        onnx.save(export(load_file(sys.argv[1])), sys.argv[2])
        return
    FOLDER.mkdir(exist_ok=True)
    tensors = narrow()
    save_file(tensors, FOLDER / "squeezenet_narrow.safetensors")
    onnx.save(export(tensors), FOLDER / "squeezenet_narrow.onnx")


if __name__ == "__main__":
    main()
