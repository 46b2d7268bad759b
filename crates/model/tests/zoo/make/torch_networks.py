"""Networks in PyTorch, a few channels wide, and their export."""

import logging
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def seeded(make):
    """A network in inference form with repeatable weights and statistics."""
    torch.manual_seed(0)
    network = make().eval()
    for module in network.modules():
        if isinstance(module, BATCH_NORMS):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, (*BATCH_NORMS, nn.LayerNorm)):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return network


def squeezenet(version):
    """SqueezeNet's stem, three Fire modules, pools that round up, and convolutional head, a few channels wide."""
    from torchvision.models.squeezenet import Fire

    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    stem = nn.Conv2d(3, 6, 7 if version == "1_0" else 3, stride=2)
    fires = [Fire(6, 2, 4, 4), Fire(8, 2, 4, 4), Fire(8, 3, 5, 5)]
    middle = [fires[0], fires[1], pool(), fires[2]] if version == "1_1" else [fires[0], fires[1], fires[2], pool()]
    head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(10, 10, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))

    class SqueezeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(stem, nn.ReLU(inplace=True), pool(), *middle)
            self.classifier = head

        def forward(self, x):
            return torch.flatten(self.classifier(self.features(x)), 1)

    return SqueezeNet()


def mobilevit(fused):
    """timm's MobileViT with two inverted residuals around one MobileViT block; `fused` is how attention is written."""
    import timm.layers
    import timm.models.mobilevit  # noqa: F401  (registers the block)
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    timm.layers.set_fused_attn(fused)
    down = lambda c: ByoBlockCfg(
        type="bottle", d=1, c=c, s=2, gs=1, br=2.0, block_kwargs=dict(bottle_in=True, linear_out=True)
    )
    block = lambda c, depth: ByoBlockCfg(
        type="mobilevit",
        d=1,
        c=c,
        s=1,
        block_kwargs=dict(transformer_dim=8, transformer_depth=depth, patch_size=2, num_heads=2),
    )
    cfg = ByoModelCfg(
        blocks=((down(8), block(8, 1)), down(10)),
        stem_chs=8,
        stem_type="3x3",
        stem_pool="",
        downsample="",
        act_layer="silu",
        num_features=16,
    )
    return ByobNet(cfg, num_classes=10)


class Logits(nn.Module):
    """A transformers model whose output is the logits alone."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, input_ids, attention_mask):
        return self.inner(input_ids=input_ids, attention_mask=attention_mask).logits


def distilbert(attention, layers):
    """transformers' DistilBERT, 16 features, layers of two heads, three classes."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=50,
        max_position_embeddings=32,
        n_layers=layers,
        n_heads=2,
        dim=16,
        hidden_dim=24,
        num_labels=3,
        initializer_range=0.3,
    )
    config._attn_implementation = attention
    return Logits(DistilBertForSequenceClassification(config))


class MaskedEncoder(nn.Module):
    """One attention block over tokens with the mask as earlier versions of transformers made it: by filling scores
    with the least number (DistilBERT), or by adding -10000 (BERT)."""

    def __init__(self, additive):
        super().__init__()
        self.additive = additive
        self.words, self.positions, self.norm = nn.Embedding(50, 12), nn.Embedding(32, 12), nn.LayerNorm(12)
        self.q, self.k, self.v, self.out, self.classifier = (nn.Linear(12, 12) for _ in range(5))

    def forward(self, input_ids, attention_mask):
        batch, length = input_ids.size()
        h = self.norm(self.words(input_ids) + self.positions(torch.arange(length).unsqueeze(0)))
        q, k, v = (f(h).view(batch, -1, 2, 6).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(2, 3) / 6**0.5
        if self.additive:
            scores = scores + (1.0 - attention_mask[:, None, None, :].to(scores.dtype)) * -10000.0
        else:
            hidden = (attention_mask == 0).view(batch, 1, 1, length).expand_as(scores)
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(batch, -1, 12)
        return self.classifier(torch.relu(self.out(mixed) + h)[:, 0])


def vision_transformer():
    """timm's vision transformer on four patches, one block."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=8, patch_size=4, embed_dim=12, depth=1, num_heads=2, mlp_ratio=2, num_classes=5)


def masked_encoder(additive):
    return MaskedEncoder(additive)


class Sequence(nn.Module):
    """What PyTorch's smaller modules become: one-dimensional convolutions, a norm, pools, layers of many activations."""

    def __init__(self, norm):
        super().__init__()
        stem = [nn.Conv1d(2, 4, 3, padding=1), norm, nn.PReLU(4), nn.MaxPool1d(2)]
        body = [nn.Conv1d(4, 4, 3, groups=2), nn.Hardswish(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
        self.body = nn.Sequential(*stem, *body)
        activations = [nn.SiLU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.ELU(0.5), nn.Hardsigmoid(), nn.ReLU6()]
        self.head = nn.Sequential(nn.Linear(4, 6), *[m for a in activations for m in (a, nn.Linear(6, 6))])

    def forward(self, x):
        return self.head(self.body(x))


def sequence(norm):
    return Sequence(nn.GroupNorm(2, 4) if norm == "group" else nn.BatchNorm1d(4))


def exported(entry, values):
    """The model of an export, without the paths and the source lines that the exporters note on nodes."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    network = seeded(lambda: globals()[entry["network"]](*entry["arguments"]))
    examples = torch.tensor(values[: 2 if entry["dynamic"] else 1])
    if entry["network"] in ("distilbert", "masked_encoder"):
        names, arguments = ["input_ids", "attention_mask"], tuple(examples.long().unbind(1))
        axes = {0: "batch", 1: "sequence"}
    else:
        names, arguments, axes = ["input"], (examples,), {0: "batch"}
    options = dict(
        entry["options"],
        dynamo=entry["newer"],
        opset_version=entry["opset"],
        input_names=names,
        output_names=["logits"],
    )
    if "training" in options:
        options["training"] = getattr(torch.onnx.TrainingMode, options["training"])
    if entry["newer"]:
        options.update(external_data=False, verbose=False)
    if entry["dynamic"] and entry["newer"]:
        longest = {"sequence": {"max": 32}}
        options["dynamic_shapes"] = tuple(
            {axis: torch.export.Dim(n, **longest.get(n, {})) for axis, n in axes.items()} for _ in names
        )
    elif entry["dynamic"]:
        options["dynamic_axes"] = {n: axes for n in names} | {"logits": {0: "batch"}}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(network, arguments, str(path), **options)
        return cleaned(onnx.load(path))


def cleaned(model):
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model
