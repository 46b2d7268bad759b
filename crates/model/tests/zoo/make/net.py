"""A small graph builder, and the registry of the zoo's cases.

A case is a function of a `Net` that adds nodes and returns its output, registered by the decorator `case`. Weights come
from a generator seeded by the case's name, so that adding a case leaves the others' bytes as they are.
"""

import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Oldest IR version that has an operator set, as exporters of its time wrote it.
IR_OF_OPSET = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float64): TensorProto.DOUBLE,
    np.dtype(np.float16): TensorProto.FLOAT16,
}
CASES = []


class Net:
    """A graph with one input of `shape` (without its batch axis) and the operators of one opset.

    `batch` is the leading axis: a name (any number of examples), a number, or None for an input without one.
    """

    def __init__(self, name, shape, opset=17, batch="batch", dtype=np.float32, input_name="input", ir=None):
        self.name, self.shape, self.opset, self.batch, self.dtype = name, tuple(shape), opset, batch, np.dtype(dtype)
        self.ir = IR_OF_OPSET[opset] if ir is None else ir
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.tensors, self.counts = [], [], {}
        self.input = input_name
        self.outputs = None  # names and shapes, if not the single returned one
        self.tolerance = None
        self.values = None  # the inputs to store, if not normal ones

    def normal(self, *shape, scale=None):
        """Random values with a spread that keeps a layer's outputs near one."""
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        scale = (1.3 / np.sqrt(max(fan, 1)) if len(shape) > 1 else 0.4) if scale is None else scale
        return (self.rng.normal(size=shape) * scale).astype(self.dtype)

    def weight(self, name, *shape, scale=None):
        """A stored tensor of random values; returns its name."""
        return self.store(name, self.normal(*shape, scale=scale))

    def store(self, name, values, dtype=None):
        """A stored tensor of the given values (integers stay int64); returns its name."""
        values = np.asarray(values)
        if dtype is None:
            dtype = np.int64 if values.dtype.kind == "i" else values.dtype if values.dtype.kind == "b" else self.dtype
        self.tensors.append(
            numpy_helper.from_array(np.ascontiguousarray(values.astype(dtype)).reshape(values.shape), name)
        )
        return name

    def count(self, what):
        self.counts[what] = self.counts.get(what, -1) + 1
        return f"{what}_{self.counts[what]}"

    def number(self, value, dtype=None):
        """A stored scalar under a name of its own."""
        return self.store(self.count("number"), np.array(value), dtype)

    def ints(self, *values):
        """A stored vector of integers under a name of its own."""
        return self.store(self.count("ints"), np.array(values, dtype=np.int64))

    def op(self, kind, *inputs, outputs=1, name=None, domain="", **attributes):
        """Adds a node named `Kind_n`; returns its output, or a list of several. An input of None is left out."""
        name = self.count(kind) if name is None else name
        results = [f"{name}_out"] if outputs == 1 else [f"{name}_out{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, [i or "" for i in inputs], results, name=name, domain=domain, **attributes)
        )
        return results[0] if outputs == 1 else results

    def constant(self, values, name=None, **attributes):
        """A Constant node, with `value` or the attribute given instead; returns its output."""
        name = self.count("Constant") if name is None else name
        if not attributes:
            attributes = {"value": numpy_helper.from_array(np.asarray(values))}
        self.nodes.append(helper.make_node("Constant", [], [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def gemm(self, value, outputs, inputs, name="fc"):
        """A fully connected layer `name` as PyTorch exports it."""
        name = self.count(name)
        return self.op(
            "Gemm",
            value,
            self.weight(f"{name}.weight", outputs, inputs),
            self.weight(f"{name}.bias", outputs),
            transB=1,
        )

    def conv(self, value, outputs, inputs, kernel=(3, 3), bias=True, name="conv", **attributes):
        """A convolution layer `name`; `inputs` is per group."""
        name = self.count(name)
        stored = [self.weight(f"{name}.weight", outputs, inputs, *kernel)]
        if bias:
            stored.append(self.weight(f"{name}.bias", outputs))
        return self.op("Conv", value, *stored, **attributes)

    def batch_norm(self, value, channels, name="bn", **attributes):
        """A BatchNormalization layer `name` in inference form."""
        name = self.count(name)
        stored = {
            "weight": 1 + 0.3 * self.normal(channels, scale=1),
            "bias": self.normal(channels),
            "running_mean": self.normal(channels),
            "running_var": np.abs(self.normal(channels, scale=1)) + 0.3,
        }
        return self.op(
            "BatchNormalization", value, *[self.store(f"{name}.{k}", v) for k, v in stored.items()], **attributes
        )

    def head(self, value, features, classes=3):
        """Flatten and a last layer, so that every value before them matters to the outputs."""
        return self.gemm(self.op("Flatten", value, axis=1), classes, features, name="head")

    def full_shape(self):
        return list(self.shape) if self.batch is None else [self.batch, *self.shape]

    def model(self, result, inputs=None):
        """The model that ends in `result` (a name; its shape is left to inference)."""
        kind = TYPES[self.dtype]
        if self.outputs is None:
            self.outputs = [(result, None)]
        graph = helper.make_graph(
            self.nodes,
            self.name,
            inputs or [helper.make_tensor_value_info(self.input, kind, self.full_shape())],
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in self.outputs],
            self.tensors,
        )
        model = helper.make_model(
            graph, producer_name="zoo", ir_version=self.ir, opset_imports=[helper.make_opsetid("", self.opset)]
        )
        if self.ir < 4:
            list_initializers(model)
        if any(shape is None for _, shape in self.outputs):
            fill_output_shapes(model)
        return model


def list_initializers(model):
    """Adds every initializer to the inputs, as IR version 3 wants it."""
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))


def fill_output_shapes(model):
    """Gives outputs without a shape the one that ONNX infers, or, for operators of old opsets that tell none, the one
    that comes out for one example."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    for mine, theirs in zip(model.graph.output, inferred.graph.output):
        if theirs.type.tensor_type.HasField("shape"):
            mine.CopyFrom(theirs)
    if model.graph.output[0].type.tensor_type.HasField("shape"):
        return
    value = model.graph.input[0]
    dims = value.type.tensor_type.shape.dim
    zeros = np.zeros([d.dim_value or 1 for d in dims], np.float32)
    result = ReferenceEvaluator(model).run(None, {value.name: zeros})[0]
    shape = list(result.shape)
    if dims[0].dim_param:
        shape[0] = dims[0].dim_param
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(model.graph.output[0].name, TensorProto.FLOAT, shape))


def case(why, shape, **settings):
    """Registers a function as the case of its name. `finish` may change the model, `may_refuse` says that a reader
    that refuses the case by the given words is right too; the other settings are those of `Net`."""
    finish, may_refuse = settings.pop("finish", None), settings.pop("may_refuse", None)

    def register(build):
        CASES.append(
            {
                "name": build.__name__,
                "why": why,
                "build": build,
                "shape": shape,
                "settings": settings,
                "finish": finish,
                "may_refuse": may_refuse,
            }
        )
        return build

    return register


def made(entry):
    """The net and the model of a registered case."""
    net = Net(entry["name"], entry["shape"], **entry["settings"])
    model = net.model(entry["build"](net))
    if entry["finish"]:
        entry["finish"](model)
    return net, model
