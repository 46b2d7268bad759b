"""Times PyTorch on the networks of `forward.rs`; started by that bench.

Reads one request per line from stdin, `network pass batch seconds` (pass: `forward` or
`gradient`, the latter forward and backward to the input), and answers each with one JSON line
on stdout: the least wall time in milliseconds of the repetitions that fit into the seconds.
The first line names the versions. Weights are random and constant: speed does not depend on
them, and gradients are taken with respect to the input alone.

    pip install torch torchvision timm transformers
"""

import json
import sys
import time

import torch

CLASSES = {"mlp 9x200": 10, "squeezenet 1.1": 1000, "mobilevit xxs": 1000, "distilbert base": 2}
TOKENS = 128


def build(name):
    if name == "mlp 9x200":
        widths = [784] + [200] * 9 + [10]
        layers = []
        for inputs, outputs in zip(widths, widths[1:]):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])
    if name == "squeezenet 1.1":
        from torchvision.models import squeezenet1_1

        return squeezenet1_1(weights=None)
    if name == "mobilevit xxs":
        from timm import create_model

        return create_model("mobilevit_xxs", pretrained=False)
    if name == "distilbert base":
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        return DistilBertForSequenceClassification(DistilBertConfig())
    raise ValueError(f"unknown network {name!r}")


def example(name, model, batch):
    """An input and the function that maps it to logits."""
    if name == "distilbert base":
        words = torch.arange(batch * TOKENS).reshape(batch, TOKENS) % 30000
        mask = torch.ones(batch, TOKENS, dtype=torch.long)
        embedded = model.distilbert.embeddings.word_embeddings(words).detach()

        def logits(x):
            key = "input_ids" if x.dtype == torch.long else "inputs_embeds"
            return model(attention_mask=mask, **{key: x}).logits

        return words, embedded, logits
    size = {"mlp 9x200": (784,), "squeezenet 1.1": (3, 224, 224), "mobilevit xxs": (3, 256, 256)}
    x = torch.randn(batch, *size[name])
    return x, x, model


def repetition(name, model, kind, batch):
    x, differentiable, logits = example(name, model, batch)
    labels = torch.arange(batch) % CLASSES[name]

    def forward():
        with torch.no_grad():
            logits(x)

    def gradient():
        leaf = differentiable.detach().requires_grad_()
        torch.nn.functional.cross_entropy(logits(leaf), labels, reduction="sum").backward()

    return {"forward": forward, "gradient": gradient}[kind]


def least(run, seconds):
    run()
    best, begin = float("inf"), time.perf_counter()
    while True:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now - begin > seconds:
            return best * 1e3


def main():
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    models = {}
    for line in sys.stdin:
        name, kind, batch, seconds = line.strip().split("\t")
        try:
            if name not in models:
                torch.manual_seed(0)
                models = {name: build(name).eval().requires_grad_(False)}
            run = repetition(name, models[name], kind, int(batch))
            answer = {"ms": least(run, float(seconds))}
        except (ImportError, RuntimeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
