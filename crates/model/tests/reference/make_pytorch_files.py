"""Writes the PyTorch files of tests/reference/formats and what they hold.

    python make_pytorch_files.py

needs torch 2 and safetensors. `expected.safetensors` is what every well-formed file holds.
"""

import argparse
import os
import pathlib

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "formats"


class Call:
    """Asks the unpickler to call a function."""

    def __reduce__(self):
        return os.system, ("true",)


def state_dict():
    """One tensor of every kind that a state dict holds."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    tied = normal(3, 4)
    return {
        "features.0.weight": normal(2, 3, 3, 3),
        "features.0.bias": normal(2).double(),
        "features.1.running_var": normal(2).abs().half(),
        "features.1.num_batches_tracked": torch.tensor(7),
        "head.weight": normal(4, 3).t(),
        "head.tied": tied,
        "head.also_tied": tied,
        "head.row": tied[1],
        "head.scale": normal(5).bfloat16(),
        "head.mask": torch.tensor([True, False, True]),
        "head.levels": torch.tensor([1, -2], dtype=torch.int8),
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    state = state_dict()
    save_file({name: x.contiguous().clone() for name, x in state.items()}, FOLDER / "expected.safetensors")
    run = argparse.Namespace(lr=0.1)
    old = {"_use_new_zipfile_serialization": False}
    torch.save(state, FOLDER / "zip.pt")
    torch.save(state, FOLDER / "legacy.pth", **old)
    torch.save({"state_dict": state, "epoch": 3, "args": run}, FOLDER / "under_state_dict.pt")
    torch.save({"model": state, "dtype": torch.float32}, FOLDER / "under_model.bin", **old)

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))
    torch.save(module, FOLDER / "module.pt")

    weight = {"0.weight": torch.ones(2, 2)}
    torch.save({**weight, "hook": Call()}, FOLDER / "call_beside.pt")
    torch.save({"state_dict": weight, "hook": [Call()]}, FOLDER / "call_outside.pth", **old)
    torch.save(Call(), FOLDER / "call_only.pt")
    torch.save({"0.weight": torch.tensor([1.0, float("nan")])}, FOLDER / "nan.pt")
    torch.save({"0.weight": torch.ones(1).expand(1 << 20)}, FOLDER / "expanded.pt")
    torch.save({"0.weight": torch.ones(2, dtype=torch.complex64)}, FOLDER / "complex.pt")
    torch.save({"epoch": 3}, FOLDER / "no_tensors.pt")
    torch.save([torch.ones(2)], FOLDER / "list.pt")


if __name__ == "__main__":
    main()
