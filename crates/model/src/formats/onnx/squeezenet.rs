//! A SqueezeNet with tensors of any names, as converters from MXNet and Caffe2 write it.
//!
//! The graph says which tensor is which. From the input, every value is read by one node, except
//! that the squeeze of a fire module feeds its two expands:
//!
//! ```text
//! conv - relu - pool - { fire | pool } ... - conv - relu - average pool
//! fire = conv 1x1 - relu -< conv 1x1 - relu, conv 3x3 - relu >- concat
//! ```
//!
//! The modules of that path have the indices of torchvision's `features`, which give the names.
//! Channels are free and must chain. A graph that computes something else than torchvision's
//! SqueezeNet 1.0 or 1.1 is refused.

use onnx_ir::{GraphProto, NodeProto};

use super::graph::{Convolution, Walk, complaint, integers, output, uniform};

/// Kernel of the stem and `features` indices of the pools: SqueezeNet 1.0, then 1.1.
const LAYOUTS: [(usize, [usize; 3]); 2] = [(7, [2, 6, 11]), (3, [2, 5, 8])];

/// Number of `features` in both.
const MODULES: usize = 13;

/// Nodes that pass their input on at inference.
const IDENTITIES: [&str; 2] = ["Dropout", "Identity"];

/// Nodes behind the last convolution.
const HEADS: [&str; 3] = ["AveragePool", "GlobalAveragePool", "ReduceMean"];

/// Nodes with weights.
const LAYERS: [&str; 4] = ["Conv", "Gemm", "MatMul", "BatchNormalization"];

/// Convolutions with torchvision's names.
type Named<'a> = Vec<(String, Convolution<'a>)>;

/// The convolutions of a SqueezeNet in topological order, or what makes the graph another network.
pub(super) fn convolutions(graph: &GraphProto) -> Result<Named<'_>, String> {
    let walk = Walk::new(graph);
    let stem = walk.convolution(walk.only_consumer(walk.input()?)?, 2)?;
    expect(stem.node, "input channels", 3, stem.inputs)?;
    uniform(stem.node, "pads", 0, 0)?;
    let (mut value, mut channels, stem_kernel) = (stem.value, stem.outputs, stem.kernel);
    let mut found = vec![("features.0".to_owned(), stem)];
    // Index 1 is the stem's ReLU.
    let mut index = 2;
    let mut pools = Vec::new();
    // A damaged graph may lead in circles; a path visits no node twice.
    for _ in 0..graph.node.len() {
        let node = walk.only_consumer(value)?;
        match node.op_type.as_str() {
            op if IDENTITIES.contains(&op) => value = output(node)?,
            "MaxPool" => {
                value = pool(node)?;
                pools.push(index);
                index += 1;
            }
            _ => {
                let convolution = walk.convolution(node, 1)?;
                check_kernel(&convolution, 1, channels)?;
                let behind = walk.consumers(convolution.value);
                if behind
                    .iter()
                    .any(|node| HEADS.contains(&node.op_type.as_str()))
                {
                    found.push(("classifier.1".to_owned(), convolution));
                    check_layout(graph, found.len(), index, stem_kernel, &pools)?;
                    return Ok(found);
                }
                let fire = fire(&walk, convolution)?;
                (value, channels) = (fire.value, fire.channels);
                for (name, convolution) in fire.convolutions {
                    found.push((format!("features.{index}.{name}"), convolution));
                }
                index += 1;
            }
        }
    }
    Err("expected an average pool behind the last convolution, got none".to_owned())
}

/// The value behind a 3x3 max-pool of stride 2.
fn pool(node: &NodeProto) -> Result<&str, String> {
    uniform(node, "kernel_shape", 3, 0)?;
    uniform(node, "strides", 2, 1)?;
    // Padding at the far ends is how a file without `ceil_mode` rounds the extents up.
    match integers(node, "pads").as_deref() {
        None | Some([0, 0, 0, 0] | [0, 0, 1, 1]) => output(node),
        Some(pads) => Err(complaint(node, "no padding", &format!("{pads:?}"))),
    }
}

/// A fire module.
struct Fire<'a> {
    convolutions: [(&'static str, Convolution<'a>); 3],
    /// The concatenated value, and its channels.
    value: &'a str,
    channels: usize,
}

/// The fire module whose squeeze is given.
fn fire<'a>(walk: &Walk<'a>, squeeze: Convolution<'a>) -> Result<Fire<'a>, String> {
    let &[first, second] = walk.consumers(squeeze.value) else {
        let got = walk.consumers(squeeze.value).len();
        return Err(complaint(
            squeeze.node,
            "two expands behind it",
            &got.to_string(),
        ));
    };
    let (first, second) = (walk.convolution(first, 1)?, walk.convolution(second, 1)?);
    // Nodes may come in either order; the concatenation has one.
    let (one, three) = if first.kernel <= second.kernel {
        (first, second)
    } else {
        (second, first)
    };
    check_kernel(&one, 1, squeeze.outputs)?;
    check_kernel(&three, 3, squeeze.outputs)?;
    let concat = walk.only_consumer(one.value)?;
    let axis = integers(concat, "axis").unwrap_or_default();
    if concat.op_type != "Concat" || !matches!(axis[..], [1 | -3]) {
        let got = format!("{} on axis {axis:?}", concat.op_type);
        return Err(complaint(concat, "Concat of the channels", &got));
    }
    if concat.input != [one.value, three.value] {
        let got = format!("{:?}", concat.input);
        return Err(complaint(concat, "the 1x1 and then the 3x3 expand", &got));
    }
    Ok(Fire {
        value: output(concat)?,
        channels: one.outputs.saturating_add(three.outputs),
        convolutions: [
            ("squeeze", squeeze),
            ("expand1x1", one),
            ("expand3x3", three),
        ],
    })
}

/// Checks that the modules stand where torchvision has them and that no layer is left over.
fn check_layout(
    graph: &GraphProto,
    found: usize,
    modules: usize,
    stem: usize,
    pools: &[usize],
) -> Result<(), String> {
    let known = LAYOUTS
        .iter()
        .any(|(kernel, at)| (*kernel, &at[..]) == (stem, pools));
    if !known || modules != MODULES {
        return Err(format!(
            "expected {MODULES} modules with stem kernel and pools of {LAYOUTS:?}, got {modules} with {:?}",
            (stem, pools)
        ));
    }
    let layers = graph
        .node
        .iter()
        .filter(|node| LAYERS.contains(&node.op_type.as_str()));
    let layers = layers.count();
    if layers != found {
        return Err(format!(
            "expected {found} layers with weights, got {layers}"
        ));
    }
    Ok(())
}

/// Checks the kernel, its padding to equal extents, and the input channels.
fn check_kernel(convolution: &Convolution<'_>, kernel: usize, inputs: usize) -> Result<(), String> {
    let node = convolution.node;
    expect(node, "kernel", kernel, convolution.kernel)?;
    expect(node, "input channels", inputs, convolution.inputs)?;
    uniform(node, "pads", (kernel / 2) as i64, 0)
}

fn expect(node: &NodeProto, what: &str, expected: usize, got: usize) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(complaint(
        node,
        &format!("{expected} as {what}"),
        &got.to_string(),
    ))
}
