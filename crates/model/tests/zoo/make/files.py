"""Cases that are about the file itself: external data, and protocol buffers written in unusual but valid ways."""

import onnx
from onnx.external_data_helper import set_external_data

from .containers import two_layers
from .net import CASES, case


def write_files(model, folder, name):
    """Writes a model as it is; returns the names of the files beside it."""
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return []


def written(name, why, write, build=two_layers, shape=(6,), **settings):
    """Registers a network whose files `write` makes."""

    def named(g):
        return build(g)

    named.__name__ = name
    case(why, shape, opset=13, **settings)(named)
    CASES[-1]["write"] = write


def external(files, length=True, keep=()):
    """Tensors move to files beside the model, at offsets with gaps between them; `files` maps an index to a file."""

    def write(model, folder, name):
        data = {}
        for index, tensor in enumerate(model.graph.initializer):
            if index in keep:
                continue
            file = f"{name}.{files(index)}"
            stored = data.setdefault(file, bytearray())
            if length:
                stored.extend(b"\xff" * (-len(stored) % 64))
            raw = bytes(tensor.raw_data)
            if length:
                set_external_data(tensor, file, offset=len(stored), length=len(raw))
            else:
                set_external_data(tensor, file)
            tensor.ClearField("raw_data")
            stored.extend(raw)
        for file, stored in data.items():
            (folder / file).write_bytes(bytes(stored))
        write_files(model, folder, name)
        return sorted(data)

    return write


written("external_data", "all tensors in one file beside, at aligned offsets", external(lambda i: "data"))
written("external_data_partly", "weights in a file beside, biases inside", external(lambda i: "data", keep=(1, 3)))
written(
    "external_data_per_tensor",
    "a file per tensor, neither offset nor length said",
    external(lambda i: f"{i}.bin", length=False),
)


def varint(value, width=0):
    """A number as a protocol buffer has it, with needless zero groups up to `width` bytes."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if value or len(out) + 1 < width:
            out.append(byte | 0x80)
        else:
            out.append(byte)
            return bytes(out)


def field(number, payload, width=0):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload), width) + payload


def tensor_backwards(tensor, width):
    """A tensor with its fields in the opposite order, unpacked dimensions, and numbers wider than they need be."""
    dims = b"".join(varint(1 << 3) + varint(d, 4) for d in tensor.dims)
    return (
        field(9, tensor.raw_data, width)
        + field(8, tensor.name.encode())
        + varint(2 << 3)
        + varint(tensor.data_type, 3)
        + dims
    )


def backwards(model, folder, name):
    graph = model.graph
    tensors = b"".join(field(5, tensor_backwards(t, 3), 4) for t in graph.initializer)
    rest = onnx.GraphProto()
    rest.CopyFrom(graph)
    rest.ClearField("initializer")
    body = tensors + rest.SerializeToString()
    head = onnx.ModelProto()
    head.CopyFrom(model)
    head.ClearField("graph")
    (folder / f"{name}.onnx").write_bytes(field(7, body, 5) + head.SerializeToString())
    return []


def unknown_fields(model, folder, name):
    """Fields of numbers that no version defines, before, inside and after what is known."""
    tensor = b"".join(field(5, field(901, b"of a tensor") + t.SerializeToString()) for t in model.graph.initializer)
    rest = onnx.GraphProto()
    rest.CopyFrom(model.graph)
    rest.ClearField("initializer")
    head = onnx.ModelProto()
    head.CopyFrom(model)
    head.ClearField("graph")
    parts = [
        field(900, b"first"),
        head.SerializeToString(),
        field(7, rest.SerializeToString() + tensor),
        varint(902 << 3) + varint(7),
        varint(903 << 3 | 5) + b"abcd",
        varint(904 << 3 | 1) + b"abcdefgh",
    ]
    (folder / f"{name}.onnx").write_bytes(b"".join(parts))
    return []


def graph_in_two_parts(model, folder, name):
    """The graph as two fields, which a reader of protocol buffers merges."""
    first, second = onnx.ModelProto(), onnx.ModelProto()
    first.CopyFrom(model)
    first.graph.ClearField("initializer")
    second.graph.initializer.extend(model.graph.initializer)
    second.graph.name = model.graph.name
    (folder / f"{name}.onnx").write_bytes(first.SerializeToString() + second.SerializeToString())
    return []


def float_data_unpacked(model, folder, name):
    """float_data as one field per number, as writers of the first protocol buffers did."""
    tensors = b""
    for t in model.graph.initializer:
        raw = bytes(t.raw_data)
        values = b"".join(varint(4 << 3 | 5) + raw[i : i + 4] for i in range(0, len(raw), 4))
        copy = onnx.TensorProto()
        copy.CopyFrom(t)
        copy.ClearField("raw_data")
        tensors += field(5, copy.SerializeToString() + values)
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    graph.ClearField("initializer")
    (folder / f"{name}.onnx").write_bytes(rest.SerializeToString() + field(7, graph.SerializeToString() + tensors))
    return []


written("protobuf_backwards", "fields in the opposite order, numbers wider than needed", backwards)
written("protobuf_unknown_fields", "fields that no version of the format defines", unknown_fields)
written("protobuf_graph_in_two_parts", "the graph's field occurs twice", graph_in_two_parts, may_refuse=["graph"])
written("protobuf_float_data_unpacked", "float_data without packing", float_data_unpacked)
