"""Writes the hostile plans of this folder. Each is one defect away from a readable plan."""

from pathlib import Path

FOLDER = Path(__file__).parent
TEST = "datasets/mnist/t10k-images-idx3-ubyte.gz"

READABLE = '''\
name = "hostile"
seeds = [0]
points = [5]
layers = ["4"]
jobs = 1

[[networks]]
name = "mnist-3x100"
file = "weights/mnist_3x100.safetensors"

[[methods]]
method = "frozen"
objective = "guarded"
margin = 0.05

[heuristics]
names = ["last"]
'''
SPLITS = [
    ("repair", "t10k", "mnist-test", "fog", [0, 100]),
    ("generalization", "t10k", "mnist-test", "fog", [2000, 2050]),
    ("drawdown", "t10k", "mnist-test", None, [6000, 6050]),
    ("guard", "train-50000-59999", "mnist-train", None, [0, 100]),
    ("selection_clean", "train-50000-59999", "mnist-train", None, [5000, 5050]),
    ("selection_corrupted", "train-50000-59999", "mnist-train", "fog", [7500, 7550]),
]
for name, file, source, corruption, examples in SPLITS:
    READABLE += f'''
[splits.{name}]
images = "datasets/mnist/{file}-images-idx3-ubyte.gz"
labels = "datasets/mnist/{file}-labels-idx1-ubyte.gz"
source = "{source}"
range = {examples}
'''
    if corruption:
        READABLE += f'corruption = "{corruption}"\n'
    if name == "repair":
        READABLE += 'keep = "wrong"\norder = "random"\n'


def but(*replaced):
    """The readable plan with texts replaced, the first of each."""
    text = READABLE
    for old, new in replaced:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


FILES = {
    "readable": but(),
    # No plan at all.
    "empty": b"",
    "binary": bytes(range(128, 256)),
    "unclosed": but(('name = "hostile"', 'name = "hostile')),
    "nested": but(("jobs = 1", "jobs = " + "[" * 4000 + "]" * 4000)),
    # Keys and types.
    "key-unknown": but(("jobs = 1", "jbos = 1")),
    "key-unknown-in-a-split": but(("range = [0, 100]", "rnage = [0, 100]")),
    "key-twice": but(("jobs = 1", "jobs = 1\njobs = 2")),
    "type-of-points": but(("points = [5]", 'points = ["five"]')),
    "type-of-range": but(("range = [0, 100]", "range = [0, 100, 200]")),
    "split-missing": but(("[splits.drawdown]", "[splits.backdown]")),
    # Numbers.
    "points-none": but(("points = [5]", "points = []")),
    "points-zero": but(("points = [5]", "points = [0]")),
    "points-negative": but(("points = [5]", "points = [-5]")),
    "points-beyond-range": but(("points = [5]", "points = [101]")),
    "points-beyond-wrong": but(("points = [5]", "points = [100]")),
    "seeds-none": but(("seeds = [0]", "seeds = []")),
    "seeds-twice": but(("seeds = [0]", "seeds = [3, 3]")),
    "jobs-zero": but(("jobs = 1", "jobs = 0")),
    "margin-nan": but(("margin = 0.05", "margin = nan")),
    "margin-negative": but(("margin = 0.05", "margin = -1.0")),
    "time-zero": but(("margin = 0.05", "time_limit = 0.0")),
    "range-empty": but(("range = [0, 100]", "range = [100, 100]")),
    "range-beyond-file": but(("range = [6000, 6050]", "range = [9990, 10050]")),
    # Names.
    "name-of-a-parent-folder": but(('name = "hostile"', 'name = "../hostile"')),
    "network-name-with-a-slash": but(('name = "mnist-3x100"', 'name = "a/b"')),
    "methods-none": but(
        ('[[methods]]\nmethod = "frozen"\nobjective = "guarded"\nmargin = 0.05\n', ""),
        ("jobs = 1", "jobs = 1\nmethods = []"),
    ),
    "methods-twice": but(("[heuristics]", '[[methods]]\nmethod = "frozen"\n\n[heuristics]')),
    "method-unknown": but(('"frozen"', '"forzen"')),
    "objective-unknown": but(('"guarded"', '"gaurded"')),
    "heuristic-unknown": but(('["last"]', '["lats"]')),
    "corruption-unknown": but(('"fog"', '"frog"')),
    "layer-unknown": but(('["4"]', '["3"]')),
    # Files.
    "network-missing": but(("weights/mnist_3x100", "weights/mnist_3x1000")),
    "network-no-safetensors": but(("weights/mnist_3x100", "tests/hostile/safetensors/text")),
    "network-of-other-inputs": but(
        ("weights/mnist_3x100", "tests/hostile/safetensors/readable"), ('["4"]', '["2"]')
    ),
    "images-missing": but((TEST, "datasets/mnist/absent.gz")),
    "images-are-labels": but((TEST, TEST.replace("images-idx3", "labels-idx1"))),
    # Splits that share images.
    "splits-overlap": but(("range = [6000, 6050]", "range = [2049, 2100]")),
    "splits-overlap-by-another-path": but(
        ("range = [2000, 2050]", "range = [50, 150]"),
        ('[splits.generalization]\nimages = "datasets/', '[splits.generalization]\nimages = "datasets/../datasets/'),
        ('idx1-ubyte.gz"\nsource = "mnist-test"\nrange = [50', 'idx1-ubyte.gz"\nsource = "elsewhere"\nrange = [50'),
    ),
}

for name, data in FILES.items():
    (FOLDER / f"{name}.toml").write_bytes(data)
