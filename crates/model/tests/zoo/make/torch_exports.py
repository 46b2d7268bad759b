"""The list of small networks that both of PyTorch's exporters write, with the inputs of each."""

import numpy as np

EXPORTS = []
TOKENS = 12


def images(*shape):
    return lambda rng: rng.normal(size=(3, *shape)).astype(np.float32)


def sentences(rng):
    """Plane 0: token ids; plane 1: the mask; two rows end in padding."""
    ids = rng.integers(4, 50, size=(3, TOKENS))
    mask = np.ones((3, TOKENS), np.int64)
    for row, length in enumerate((TOKENS, 7, 3)):
        mask[row, length:] = 0
        ids[row, 0], ids[row, length - 1] = 1, 2
        ids[row, length:] = 0
    return np.stack([ids, mask], 1).astype(np.float32)


def export(name, why, network, values, opset, dynamic, arguments=(), **options):
    """Registers an export of a function of `torch_networks`. The exporter is the second one (torch.export) where the
    name says `dynamo`; `dynamic` asks for a free batch and, for tokens, a free length."""
    newer = "dynamo" in name
    which = "second exporter" if newer else "first exporter"
    size = "any batch" + (" and length" if values is sentences else "") if dynamic else "one example"
    EXPORTS.append(
        dict(
            name=f"torch_{name}",
            why=f"{why}; {which}, opset {opset}, {size}",
            network=network,
            arguments=arguments,
            values=values,
            newer=newer,
            opset=opset,
            dynamic=dynamic,
            options=options,
        )
    )


picture, small_picture = images(3, 24, 24), images(3, 16, 16)
export("squeezenet1_0_script11", "SqueezeNet 1.0", "squeezenet", picture, 11, False, ("1_0",))
export("squeezenet1_0_dynamo18", "SqueezeNet 1.0", "squeezenet", picture, 18, True, ("1_0",))
export("squeezenet1_1_script10", "SqueezeNet 1.1", "squeezenet", picture, 10, False, ("1_1",))
export("squeezenet1_1_script17", "SqueezeNet 1.1", "squeezenet", picture, 17, True, ("1_1",))
export("squeezenet1_1_dynamo20", "SqueezeNet 1.1", "squeezenet", picture, 20, False, ("1_1",))
export("mobilevit_script11", "MobileViT, layer norms spelled out", "mobilevit", small_picture, 11, True, (False,))
export(
    "mobilevit_script14_batchnorm",
    "MobileViT, batch norms kept as nodes",
    "mobilevit",
    small_picture,
    14,
    False,
    (True,),
    do_constant_folding=False,
    training="PRESERVE",
)
export("mobilevit_script17", "MobileViT", "mobilevit", small_picture, 17, True, (True,))
export("mobilevit_script17_one", "MobileViT", "mobilevit", small_picture, 17, False, (True,))
export("mobilevit_dynamo18", "MobileViT", "mobilevit", small_picture, 18, True, (True,))
export("mobilevit_dynamo20_one", "MobileViT", "mobilevit", small_picture, 20, False, (True,))
export("distilbert_script11", "DistilBERT", "distilbert", sentences, 11, True, ("eager", 1))
export("distilbert_script17", "DistilBERT", "distilbert", sentences, 17, True, ("eager", 2))
export("distilbert_script17_one", "DistilBERT", "distilbert", sentences, 17, False, ("eager", 1))
export(
    "distilbert_sdpa_script17",
    "DistilBERT, fused attention: a softmax guarded against not-a-number",
    "distilbert",
    sentences,
    17,
    True,
    ("sdpa", 1),
)
export("distilbert_dynamo18", "DistilBERT", "distilbert", sentences, 18, True, ("eager", 2))
export("distilbert_dynamo18_one", "DistilBERT", "distilbert", sentences, 18, False, ("eager", 1))
export("distilbert_sdpa_dynamo20", "DistilBERT, fused attention", "distilbert", sentences, 20, True, ("sdpa", 1))
export(
    "mask_filled_script12",
    "scores filled with the least number where the mask is 0 (DistilBERT in transformers 4)",
    "masked_encoder",
    sentences,
    12,
    True,
    (False,),
)
export(
    "mask_filled_dynamo18",
    "scores filled with the least number where the mask is 0",
    "masked_encoder",
    sentences,
    18,
    True,
    (False,),
)
export(
    "mask_added_script12",
    "-10000 added to scores where the mask is 0 (BERT)",
    "masked_encoder",
    sentences,
    12,
    True,
    (True,),
)
export(
    "mask_added_dynamo18", "-10000 added to scores where the mask is 0", "masked_encoder", sentences, 18, True, (True,)
)
export("vit_script17", "a vision transformer with a class token", "vision_transformer", images(3, 8, 8), 17, True)
export("vit_dynamo20", "a vision transformer with a class token", "vision_transformer", images(3, 8, 8), 20, True)
export(
    "sequence_script13",
    "Conv1d, GroupNorm, PReLU, pools, six activations",
    "sequence",
    images(2, 12),
    13,
    True,
    ("group",),
)
export(
    "sequence_dynamo20",
    "Conv1d, BatchNorm1d, PReLU, pools, six activations",
    "sequence",
    images(2, 12),
    20,
    True,
    ("batch",),
)
