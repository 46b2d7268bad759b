"""Writes the perceptrons of tests/reference/networks as people save them, with inputs and outputs.

    python make_pytorch_networks.py

needs torch 2, numpy and safetensors. `expected.safetensors` holds the inputs `x` and, for every file `NAME.*`
that can be read without being told anything, the outputs `NAME` of PyTorch in double precision;
`state.safetensors` holds the tensors of the files that are containers of one state dict.
"""

import io
import pathlib
import pickle
import struct
import tarfile
import zipfile

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

FOLDER = pathlib.Path(__file__).parent / "networks"
OLD = {"_use_new_zipfile_serialization": False}


class Complete(nn.Module):
    """Every activation is a module, between the layers that it is between."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 5)
        self.act1 = nn.ELU(0.5)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(5, 3, bias=False)

    def forward(self, x):
        return self.out(self.drop(self.act1(self.fc1(x))))


class Wrapper(nn.Module):
    """A network in an attribute."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.flatten(1))


class Shared(nn.Module):
    """One activation for all layers: the modules do not say where it acts."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 4)
        self.middle = nn.Linear(4, 4)
        self.last = nn.Linear(4, 3)
        self.act = nn.LeakyReLU(0.2)

    def forward(self, x):
        return self.last(self.act(self.middle(self.act(self.hidden(x)))))


class Functional(nn.Module):
    """Activations are functions, of which the file says nothing."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 5), nn.Linear(5, 3)])

    def forward(self, x):
        return self.layers[1](torch.tanh(self.layers[0](x)))


def seeded(build):
    torch.manual_seed(0)
    return build().eval()


def readable():
    """Modules whose classes say all there is to say."""
    return {
        "sequential": seeded(lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(4, 5), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Linear(5, 5, bias=False),
            nn.GELU(), nn.Identity(), nn.Linear(5, 3), nn.Softmax(dim=1))),
        "adjacent": seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))),
        "nested": seeded(lambda: nn.Sequential(
            nn.Sequential(nn.Linear(4, 5), nn.SiLU()), nn.Sequential(nn.Linear(5, 5), nn.GELU("tanh")), nn.Linear(5, 3))),
        "last_activation": seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Hardswish(), nn.Linear(3, 3), nn.Sigmoid())),
        "complete": seeded(Complete),
        "wrapper": seeded(lambda: Wrapper(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))),
        "parallel": nn.DataParallel(seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.SELU(), nn.Linear(5, 3)))),
        "single": seeded(lambda: nn.Linear(4, 3)),
        "pruned": pruned(),
    }


def pruned():
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))
    prune.random_unstructured(module[0], "weight", amount=0.5)
    prune.l1_unstructured(module[2], "weight", amount=4)
    return module


def unclear():
    """Modules that do not say what is computed, or use what is not read."""
    hooked = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))
    hooked[0] = torch.nn.utils.spectral_norm(hooked[0])
    return {
        "shared": seeded(Shared),
        "functional": seeded(Functional),
        "softplus": seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 3))),
        "prelu": seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.PReLU(), nn.Linear(5, 3))),
        "batch_norm": seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))),
        "inner_softmax": seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.Softmax(1), nn.Linear(5, 3))),
        "flatten_all": seeded(lambda: nn.Sequential(nn.Flatten(0), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))),
        "hooked": hooked,
    }


def containers(state):
    """One state dict in everything that training scripts put around it."""
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    optimiser = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 4)).sum().backward()
    optimiser.step()
    other = {name: x + 1 for name, x in state.items()}
    under = lambda prefix: {prefix + name: x for name, x in state.items()}
    return {
        "beside.pt": {"epoch": 3, "state_dict": state, "mean": torch.ones(2), "optimizer": optimiser.state_dict()},
        "ema.pt": {"state_dict_ema": other, "state_dict": state},
        "two_deep.pt": {"model": {"state_dict": state, "arch": "mlp"}, "config": {"lr": 0.1}},
        "list.pt": [state, optimiser.state_dict()],
        "tuple.pt": (3, {"net": state}),
        "unknown_key.pt": {"my_network": state, "epoch": 3},
        "module_prefix.pt": {"state_dict": under("module.")},
        "compiled.pt": under("_orig_mod.module."),
        "averaged.pt": {"n_averaged": torch.tensor(7)} | under("module."),
        "optimiser_object.pt": {"model": state, "optimizer": optimiser},
        "only_ema.pt": {"ema": state, "step": torch.tensor(4)},
    }


def repacked(name, data, method, replace=None):
    """The same archive with another compression, or with changed entries."""
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(FOLDER / name, "w", method) as after:
        for entry in before.namelist():
            content = before.read(entry)
            after.writestr(entry, replace(entry, content) if replace else content)


def big_endian(entry, content):
    if entry.endswith("/byteorder"):
        return b"big"
    if "/data/" in entry:
        return b"".join(content[i : i + 4][::-1] for i in range(0, len(content), 4))
    return content


def tar_of(state, path):
    """PyTorch's first container, which no release writes any more; torch still reads it."""
    def load_back():
        return torch.load(path, weights_only=False)

    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(len(state), storages, 2)
    pickle.dump(len(state), tensors, 2)
    for number, x in enumerate(state.values()):
        pickle.dump((number, "cpu", torch.FloatStorage), storages, 2)
        # Matrices are stored transposed, so that the strides matter.
        flat = x.t().flatten()
        storages.write(struct.pack("<q", flat.numel()) + flat.numpy().tobytes())
        pickle.dump((100 + number, number, torch.FloatTensor), tensors, 2)
        strides = [1, x.shape[0]][: x.dim()]
        tensors.write(struct.pack("<ii", x.dim(), 0))
        tensors.write(struct.pack(f"<{2 * x.dim() + 1}q", *x.shape, *strides, 0))
    pickle.dump([], storages, 2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return str(100 + list(state).index(value.name)) if isinstance(value, Reference) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({name: Reference(name) for name in state})
    with tarfile.open(path, "w") as tar:
        for name, content in [("storages", storages), ("tensors", tensors), ("pickle", file)]:
            info = tarfile.TarInfo(name)
            info.size = len(content.getvalue())
            tar.addfile(info, io.BytesIO(content.getvalue()))
    loaded = load_back()
    assert all(torch.equal(loaded[name], x) for name, x in state.items())


class Reference:
    def __init__(self, name):
        self.name = name


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(1)
    x = torch.randn(6, 4)
    expected = {"x": x.double()}
    for name, module in readable().items():
        torch.save(module, FOLDER / f"{name}.pt", **(OLD if name == "adjacent" else {}))
        plain = module.module if name == "parallel" else module
        expected[name] = plain.double()(x.double()).detach()
    save_file(expected, FOLDER / "expected.safetensors")
    for name, module in unclear().items():
        torch.save(module, FOLDER / f"{name}.pt")

    state = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))).state_dict()
    state = {f"fc{i + 1}.{kind}": state[f"{2 * i}.{kind}"] for i in range(2) for kind in ["weight", "bias"]}
    save_file(state, FOLDER / "state.safetensors")
    for name, saved in containers(state).items():
        torch.save(saved, FOLDER / name)
    # Protocol 0 writes the identities of storages as text, which torch does not read either.
    for protocol in range(6):
        torch.save(state, FOLDER / f"protocol_{protocol}.pt", pickle_protocol=protocol)
    torch.save(state, FOLDER / "legacy_protocol_1.pth", pickle_protocol=1, **OLD)
    for protocol in [0, 2, 4]:
        (FOLDER / f"pickle_{protocol}.pkl").write_bytes(pickle.dumps(state, protocol))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    repacked("deflated.pt", buffer.getvalue(), zipfile.ZIP_DEFLATED)
    repacked("big_endian.pt", buffer.getvalue(), zipfile.ZIP_STORED, big_endian)
    repacked("bzip2.pt", buffer.getvalue(), zipfile.ZIP_BZIP2)
    tar_of(state, FOLDER / "tar.pt")
    masked = {f"{name}_orig" if name == "fc1.weight" else name: x for name, x in state.items()}
    torch.save(masked | {"fc1.weight_mask": torch.ones_like(state["fc1.weight"])}, FOLDER / "masked.pt")
    torch.save({"generator": state, "critic": state}, FOLDER / "two_networks.pt")
    torch.save({"model": state, "net": state}, FOLDER / "two_keys.pt")
    script = torch.jit.script(seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))))
    torch.jit.save(script, FOLDER / "script.pt")


if __name__ == "__main__":
    main()
