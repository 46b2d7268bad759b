"""Writes the hostile safetensors files of this folder. Each is one defect away from a readable 2-2-2 perceptron."""

import json
import math
import struct
from pathlib import Path

FOLDER = Path(__file__).parent
WEIGHTS = [
    ("0.weight", [2, 2], [1.0, 2.0, 3.0, 4.0]),
    ("0.bias", [2], [0.5, -0.5]),
    ("2.weight", [2, 2], [1.0, -1.0, -1.0, 1.0]),
    ("2.bias", [2], [0.0, 0.0]),
]


def entries(tensors, dtype="F32"):
    """Header entries and data of tensors that lie one after the other."""
    code = {"F32": "f", "I64": "q"}[dtype]
    header, data = {}, b""
    for name, shape, numbers in tensors:
        packed = struct.pack(f"<{len(numbers)}{code}", *numbers)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    return header, data


def document(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


RELU = {"activation": "relu"}


def perceptron(metadata=RELU, **replaced):
    """The readable network with some tensors replaced; `None` leaves one out."""
    tensors = []
    for name, shape, numbers in WEIGHTS:
        entry = replaced.get("t" + name.replace(".", "_"), (shape, numbers))
        if entry is not None:
            tensors.append((name, *entry))
    header, data = entries(tensors)
    header["__metadata__"] = metadata
    return header, data


def moved(name, offsets):
    """The readable network with the data of one tensor said to lie elsewhere."""
    header, data = perceptron()
    header[name] = header[name] | {"data_offsets": offsets}
    return header, data


def integer_weight():
    header, data = entries(WEIGHTS[1:])
    integers, packed = entries([("0.weight", [2, 2], [1, 2, 3, 4])], "I64")
    integers["0.weight"]["data_offsets"] = [len(data), len(data) + len(packed)]
    return header | integers | {"__metadata__": RELU}, data + packed


def twice():
    """A header with one key twice, which no JSON writer produces."""
    header, data = perceptron()
    text = json.dumps(header)
    again = json.dumps({"0.bias": header["0.bias"] | {"data_offsets": [0, 8]}})
    return (text[:-1] + ", " + again[1:]).encode(), data


def unused():
    header, data = entries([*WEIGHTS, ("2.scale", [1], [1.0])])
    return header | {"__metadata__": RELU}, data


readable = document(*perceptron())

FILES = {
    "readable": readable,
    # Defects of the frame.
    "empty": b"",
    "seven-bytes": readable[:7],
    "header-beyond-file": document(*perceptron(), length=len(readable)),
    "header-huge": document(*perceptron(), length=2**64 - 1),
    "header-gigabyte": document(*perceptron(), length=2**30),
    "text": b"this is a text, not a network\n",
    # Defects of the header.
    "header-no-json": document(b"{not json", perceptron()[1]),
    "header-no-object": document(b"[1, 2]", perceptron()[1]),
    "header-nested": document(b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}", b""),
    "dtype-unknown": document(json.dumps(perceptron()[0]).replace("F32", "F31").encode(), perceptron()[1]),
    "offsets-overlap": document(*moved("2.weight", [16, 32])),
    "offsets-equal": document(*moved("2.bias", [16, 24])),
    "offsets-reversed": document(*moved("0.bias", [24, 16])),
    "offsets-beyond": document(*moved("2.bias", [40, 4096])),
    "shape-overflow": document(*perceptron(t2_bias=([2**32, 2**32, 2**32], [0.0, 0.0]))),
    "key-twice": document(*twice()),
    # Defects of the data.
    "data-cut": readable[:-1],
    "data-absent": document(perceptron()[0], b""),
    "data-trailing": readable + b"\0",
    "nan": document(*perceptron(t2_weight=([2, 2], [1.0, math.nan, -1.0, 1.0]))),
    "infinity": document(*perceptron(t0_bias=([2], [0.5, math.inf]))),
    "integers": document(*integer_weight()),
    # Tensors that make no perceptron.
    "no-tensors": document({}, b""),
    "weight-of-rank-three": document(*perceptron(t0_weight=([2, 2, 1], [1.0, 2.0, 3.0, 4.0]))),
    "weight-of-rank-zero": document(*perceptron(t0_weight=([], [1.0]))),
    "no-inputs": document(*perceptron(t0_weight=([2, 0], []))),
    "no-classes": document(*perceptron(t2_weight=([0, 2], []), t2_bias=([0], []))),
    "widths": document(*perceptron(t2_weight=([2, 3], [0.0] * 6))),
    "bias-missing": document(*perceptron(t2_bias=None)),
    "bias-length": document(*perceptron(t2_bias=([3], [0.0] * 3))),
    "tensor-unused": document(*unused()),
    "activation-missing": document(*perceptron(metadata={"note": "none"})),
    "activation-unknown": document(*perceptron(metadata={"activation": "swoosh"})),
    "layers-unknown": document(*perceptron(metadata={"layers": '["relu"]'})),
    "output-unknown": document(*perceptron(metadata=RELU | {"output": "sofmax"})),
}

for name, data in FILES.items():
    (FOLDER / f"{name}.safetensors").write_bytes(data)
