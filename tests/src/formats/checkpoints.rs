//! Small checkpoints of every architecture, as names and shapes.

use serde_json::{Value, json};

/// A tensor: name and extents.
pub(super) type Shaped = (String, Vec<usize>);

/// The checkpoints: architecture, tensors, and a configuration that they need.
pub(super) fn all() -> [(&'static str, Vec<Shaped>, Value); 5] {
    let heads = json!({"n_heads": 2});
    let relu = json!({"activation": "relu"});
    [
        ("mlp", mlp(), relu),
        ("mobilevit", mobilevit(&TIMM), json!({})),
        ("mobilevit", mobilevit(&TRANSFORMERS), json!({})),
        ("distilbert", distilbert(), heads),
        ("squeezenet", squeezenet(), json!({})),
    ]
}

/// Numbers of a tensor that make a network of it: variances are 1, so everything is.
pub(super) fn numbers(shape: &[usize]) -> Vec<f32> {
    vec![1.0; shape.iter().product()]
}

#[derive(Default)]
struct Tensors(Vec<Shaped>);

impl Tensors {
    fn add(&mut self, name: String, shape: &[usize]) {
        self.0.push((name, shape.to_vec()));
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(format!("{name}.weight"), &[outputs, inputs]);
        self.add(format!("{name}.bias"), &[outputs]);
    }

    fn norm(&mut self, name: &str, features: usize) {
        self.add(format!("{name}.weight"), &[features]);
        self.add(format!("{name}.bias"), &[features]);
    }
}

fn mlp() -> Vec<Shaped> {
    let mut tensors = Tensors::default();
    tensors.linear("0", 4, 3);
    tensors.linear("2", 3, 4);
    tensors.0
}

fn distilbert() -> Vec<Shaped> {
    let mut tensors = Tensors::default();
    let embeddings = "distilbert.embeddings";
    tensors.add(format!("{embeddings}.word_embeddings.weight"), &[12, 4]);
    tensors.add(format!("{embeddings}.position_embeddings.weight"), &[6, 4]);
    tensors.norm(&format!("{embeddings}.LayerNorm"), 4);
    let block = "distilbert.transformer.layer.0";
    for part in ["q", "k", "v", "out"] {
        tensors.linear(&format!("{block}.attention.{part}_lin"), 4, 4);
    }
    tensors.norm(&format!("{block}.sa_layer_norm"), 4);
    tensors.linear(&format!("{block}.ffn.lin1"), 8, 4);
    tensors.linear(&format!("{block}.ffn.lin2"), 4, 8);
    tensors.norm(&format!("{block}.output_layer_norm"), 4);
    tensors.linear("pre_classifier", 4, 4);
    tensors.linear("classifier", 2, 4);
    tensors.0
}

fn squeezenet() -> Vec<Shaped> {
    let mut tensors = Tensors::default();
    let mut convolution = |name: String, outputs, inputs, kernel| {
        tensors.add(format!("{name}.weight"), &[outputs, inputs, kernel, kernel]);
        tensors.add(format!("{name}.bias"), &[outputs]);
    };
    convolution("features.0".to_owned(), 2, 3, 3);
    for fire in [3, 4, 6, 7, 9, 10, 11, 12] {
        let name = format!("features.{fire}");
        convolution(format!("{name}.squeeze"), 1, 2, 1);
        convolution(format!("{name}.expand1x1"), 1, 1, 1);
        convolution(format!("{name}.expand3x3"), 1, 1, 3);
    }
    convolution("classifier.1".to_owned(), 3, 2, 1);
    tensors.0
}

/// The names of a naming of MobileViT.
struct Naming {
    stem: &'static str,
    /// Convolution and norm of a pair.
    pair: [&'static str; 2],
    residual: [&'static str; 3],
    /// Inverted residual of the first stage, inverted residual and block of the second.
    blocks: [&'static str; 3],
    enter: &'static str,
    leave: &'static str,
    fusion: &'static str,
    norm: &'static str,
    transformer: &'static str,
    norms: [&'static str; 2],
    /// Projections of queries, keys and values, and how many of the three each is.
    input: &'static [(&'static str, usize)],
    output: &'static str,
    feed: [&'static str; 2],
    last: &'static str,
    head: &'static str,
}

const TIMM: Naming = Naming {
    stem: "stem",
    pair: ["conv", "bn"],
    residual: ["conv1_1x1", "conv2_kxk", "conv3_1x1"],
    blocks: ["stages.0.0", "stages.1.0", "stages.1.1"],
    enter: "conv_1x1",
    leave: "conv_proj",
    fusion: "conv_fusion",
    norm: "norm",
    transformer: "transformer.0",
    norms: ["norm1", "norm2"],
    input: &[("attn.qkv", 3)],
    output: "attn.proj",
    feed: ["mlp.fc1", "mlp.fc2"],
    last: "final_conv",
    head: "head.fc",
};

const TRANSFORMERS: Naming = Naming {
    stem: "mobilevit.conv_stem",
    pair: ["convolution", "normalization"],
    residual: ["expand_1x1", "conv_3x3", "reduce_1x1"],
    blocks: [
        "mobilevit.encoder.layer.0.layer.0",
        "mobilevit.encoder.layer.1.downsampling_layer",
        "mobilevit.encoder.layer.1",
    ],
    enter: "conv_1x1.convolution",
    leave: "conv_projection",
    fusion: "fusion",
    norm: "layernorm",
    transformer: "transformer.layer.0",
    norms: ["layernorm_before", "layernorm_after"],
    input: &[
        ("attention.attention.query", 1),
        ("attention.attention.key", 1),
        ("attention.attention.value", 1),
    ],
    output: "attention.output.dense",
    feed: ["intermediate.dense", "output.dense"],
    last: "mobilevit.conv_1x1_exp",
    head: "classifier",
};

/// Channels of every map of the small MobileViT.
const WIDTH: usize = 4;

fn mobilevit(names: &Naming) -> Vec<Shaped> {
    let mut tensors = Tensors::default();
    pair(&mut tensors, names, names.stem, [WIDTH, 3, 3, 3]);
    for block in &names.blocks[..2] {
        let [expand, filter, reduce] = names.residual.map(|part| format!("{block}.{part}"));
        pair(&mut tensors, names, &expand, [2 * WIDTH, WIDTH, 1, 1]);
        pair(&mut tensors, names, &filter, [2 * WIDTH, 1, 3, 3]);
        pair(&mut tensors, names, &reduce, [WIDTH, 2 * WIDTH, 1, 1]);
    }
    let block = names.blocks[2];
    let part = |part: &str| format!("{block}.{part}");
    pair(&mut tensors, names, &part("conv_kxk"), [WIDTH, WIDTH, 3, 3]);
    tensors.add(
        format!("{block}.{}.weight", names.enter),
        &[WIDTH, WIDTH, 1, 1],
    );
    transformer(&mut tensors, names, &part(names.transformer));
    tensors.norm(&part(names.norm), WIDTH);
    pair(
        &mut tensors,
        names,
        &part(names.leave),
        [WIDTH, WIDTH, 1, 1],
    );
    pair(
        &mut tensors,
        names,
        &part(names.fusion),
        [WIDTH, 2 * WIDTH, 3, 3],
    );
    pair(&mut tensors, names, names.last, [WIDTH, WIDTH, 1, 1]);
    tensors.linear(names.head, 3, WIDTH);
    tensors.0
}

/// A convolution without bias and its batch norm.
fn pair(tensors: &mut Tensors, names: &Naming, name: &str, kernel: [usize; 4]) {
    let [convolution, norm] = names.pair;
    tensors.add(format!("{name}.{convolution}.weight"), &kernel);
    for part in ["weight", "bias", "running_mean", "running_var"] {
        tensors.add(format!("{name}.{norm}.{part}"), &kernel[..1]);
    }
}

fn transformer(tensors: &mut Tensors, names: &Naming, name: &str) {
    for norm in names.norms {
        tensors.norm(&format!("{name}.{norm}"), WIDTH);
    }
    for (projection, parts) in names.input {
        tensors.linear(&format!("{name}.{projection}"), parts * WIDTH, WIDTH);
    }
    tensors.linear(&format!("{name}.{}", names.output), WIDTH, WIDTH);
    let [widen, narrow] = names.feed;
    tensors.linear(&format!("{name}.{widen}"), 2 * WIDTH, WIDTH);
    tensors.linear(&format!("{name}.{narrow}"), WIDTH, 2 * WIDTH);
}
