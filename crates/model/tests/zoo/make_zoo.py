"""Writes the ONNX files of this folder, the inputs and onnxruntime's outputs, and their list.

    python make_zoo.py [--keep-exports]

needs numpy, onnx, onnxruntime and safetensors; torch, torchvision, timm and transformers too, unless the exports that
are already here are kept. README.md has the versions and what the files mean.
"""

import argparse
import importlib
import json
import pathlib
import zlib

import numpy as np
import onnx
from safetensors.numpy import save_file

from make import evaluate
from make.files import write_files
from make.net import CASES, made
from make.refused import REFUSED, refused_model
from make.torch_exports import EXPORTS

FOLDER = pathlib.Path(__file__).parent
EXAMPLES = 3
FAMILIES = [
    "linear",
    "convolution",
    "normalisation",
    "activations",
    "pooling",
    "elementwise",
    "shapes",
    "published",
    "containers",
    "files",
    "refused_graphs",
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep-exports", action="store_true", help="do not run PyTorch's exporters again")
    keep = parser.parse_args().keep_exports
    remove_old(keep)
    for family in FAMILIES:
        importlib.import_module(f"make.{family}")
    tensors, listed = {}, []
    for entry in CASES:
        net, model = made(entry)
        beside = entry.get("write", write_files)(model, FOLDER, entry["name"])
        values = net.values if net.values is not None else net.rng.normal(size=(EXAMPLES, *net.shape)) * 1.5
        kind = np.float16 if net.dtype == np.float16 else np.float32
        values = values.astype(kind).astype(np.float32)
        tolerance = net.tolerance or (1e-2 if has_halves(model) else 1e-5)
        listed.append(accepted(entry, beside, values, tensors, tolerance))
    for entry in EXPORTS:
        values = entry["values"](np.random.default_rng(zlib.crc32(entry["name"].encode())))
        if not keep:
            from make.torch_networks import exported

            write_files(exported(entry, values), FOLDER, entry["name"])
        listed.append(accepted(entry, [], values, tensors, 1e-5))
    for entry in REFUSED:
        beside = entry["write"](refused_model(entry), FOLDER, entry["name"])
        listed.append(dict(name=entry["name"], why=entry["why"], accepted=False, files=beside, refusal=entry["words"]))
    save_file(dict(sorted(tensors.items())), FOLDER / "references.safetensors")
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in listed)
    (FOLDER / "zoo.json").write_text(f"[\n{lines}\n]\n")
    for path in FOLDER.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
    summary(listed)


def remove_old(keep_exports):
    for path in FOLDER.iterdir():
        made_here = path.suffix in (".onnx", ".data", ".bin")
        if made_here and not (keep_exports and path.name.startswith("torch_")):
            path.unlink()


def has_halves(model):
    """Whether values, not only stored weights, are float16 somewhere."""
    casts = [a.i for n in model.graph.node if n.op_type == "Cast" for a in n.attribute]
    return onnx.TensorProto.FLOAT16 in [model.graph.input[0].type.tensor_type.elem_type, *casts]


def accepted(entry, beside, values, tensors, tolerance):
    """Checks and runs a file that is to be accepted; returns its line of the list."""
    name = entry["name"]
    path = FOLDER / f"{name}.onnx"
    try:
        model = onnx.load(path)
        if name != "nodes_unsorted":
            evaluate.check(path)
        tensors[f"{name}.input"] = np.ascontiguousarray(values)
        tensors[f"{name}.output"] = np.ascontiguousarray(evaluate.outputs(path, model, values))
    except Exception as error:
        raise RuntimeError(f"{name}: {error}") from error
    inputs = [dict(name=v.name, shape=evaluate.dims(v)) for v in evaluate.real_inputs(model)]
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    line = dict(
        name=name,
        why=entry["why"],
        accepted=True,
        files=beside,
        opset=opset,
        inputs=inputs,
        tolerance=tolerance,
        **evaluate.weights(model),
    )
    if entry.get("may_refuse"):
        line["may_refuse"] = entry["may_refuse"]
    return line


def summary(listed):
    size = sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    good = sum(item["accepted"] for item in listed)
    print(f"{good} accepted, {len(listed) - good} refused, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
