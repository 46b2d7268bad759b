//! The table of point repair: each kind of network, from one layer to the next.

use std::path::PathBuf;
use std::rc::Rc;

use super::compare;
use super::images::{fashion_folder, mobilevit, squeezenet, squeezenet_in_fog};
use super::measure::{
    Bench, DRAWDOWN, Draw, EFFICACY, GENERALIZATION, PEAK, REPAIR, SOLVE, UNCHANGED, ZEROS,
    at_layer,
};
use super::perceptrons;
use super::pick::at_chosen_layer;
use super::row::{Bound, Row, Sample, at_least, at_most};
use super::sentences::distilbert;
use super::world::World;

/// Network, and the most drawdown, least generalization and most seconds on fog images.
const FOG: [(&str, f64, f64, f64); 3] = [
    ("3x100", 0.05, 60.0, 1.0),
    ("9x100", 0.2, 30.0, 5.0),
    ("9x200", 0.1, 38.0, 10.0),
];
/// Mixed points, and the most drawdown.
const MIXED: [(usize, f64); 4] = [(10, 0.2), (50, 0.3), (200, 0.5), (1000, 1.0)];
/// The last convolution of SqueezeNet.
const LAST: &str = "classifier.1";
/// Inner layers of SqueezeNet 1.1: a 3x3 expand and a squeeze.
const INNER: [&str; 2] = ["features.12.expand3x3", "features.12.squeeze"];
/// Head, attention projection, mlp layer, fusion convolution and depthwise convolution.
const MOBILEVIT: [&str; 5] = [
    "head.fc",
    "stages.3.1.transformer.0.attn.qkv",
    "stages.2.1.transformer.1.mlp.fc2",
    "stages.4.1.conv_fusion.conv",
    "stages.4.0.conv2_kxk.conv",
];
/// Head, layer before it, attention projection and ffn layer.
const DISTILBERT: [&str; 4] = [
    "classifier",
    "pre_classifier",
    "distilbert.transformer.layer.5.attention.out_lin",
    "distilbert.transformer.layer.5.ffn.lin1",
];
/// Wrong images of each MobileViT row.
const FASHION_POINTS: usize = 100;
/// Seconds of each row on a transformer.
const MINUTES: f64 = 120.0;

/// All rows, in the order in which they are printed.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = perceptron_rows();
    rows.extend(squeezenet_rows());
    rows.extend(pruned_rows());
    rows.extend(mobilevit_rows());
    rows.extend(distilbert_rows());
    rows.extend(compare::rows(fashion_file()));
    rows
}

fn perceptron_rows() -> Vec<Row> {
    let file = |network: &str| format!("mlp/mnist/mnist_relu_{network}.safetensors");
    let mut rows = Vec::new();
    for (network, drawdown, gain, seconds) in FOG {
        rows.push(Row {
            drawn: false,
            ..row(
                format!("mnist {network} fog 100"),
                &[&file(network), "mnist", "mnist_c"],
                vec![
                    at_most(DRAWDOWN, drawdown),
                    at_least(GENERALIZATION, gain),
                    at_most(REPAIR, seconds),
                ],
                move |world, seed| {
                    let bench = perceptrons::fog(world, network)?;
                    at_chosen_layer(world, &bench, Draw::First(100), seed)
                },
            )
        });
    }
    for (network, ..) in FOG {
        for (points, drawdown) in MIXED {
            rows.push(Row {
                conflict_settles: true,
                ..row(
                    format!("mnist {network} mixed {points}"),
                    &[&file(network), "mnist", "mnist_c"],
                    vec![at_most(DRAWDOWN, drawdown)],
                    move |world, seed| {
                        let bench = perceptrons::mixed(world, network)?;
                        at_chosen_layer(world, &bench, Draw::Wrong(points), seed)
                    },
                )
            });
        }
    }
    rows
}

fn squeezenet_rows() -> Vec<Row> {
    let file = "squeezenet1_1.safetensors";
    let stored = format!("squeezenet/{file}");
    let needs = [stored.as_str(), "imagenet_sample", "imagenet_val"];
    let wrong = move |world: &World| squeezenet(world, "squeezenet 1.1", file);
    let mut rows = vec![layer_row(
        "squeezenet 1.1",
        &needs,
        LAST,
        Draw::Wrong(100),
        last_bounds(),
        wrong,
    )];
    for draw in [Draw::Wrong(300), Draw::AllWrong] {
        let bounds = vec![at_most(DRAWDOWN, 0.3), at_most(REPAIR, 120.0)];
        rows.push(Row {
            conflict_settles: true,
            ..layer_row("squeezenet 1.1", &needs, LAST, draw, bounds, wrong)
        });
    }
    for layer in INNER {
        let bounds = vec![at_most(DRAWDOWN, 0.3), at_most(REPAIR, 180.0)];
        rows.push(layer_row(
            "squeezenet 1.1",
            &needs,
            layer,
            Draw::Wrong(50),
            bounds,
            wrong,
        ));
    }
    let bounds = vec![at_least(GENERALIZATION, 3.0), at_most(DRAWDOWN, 0.3)];
    let fog = squeezenet_in_fog;
    rows.push(layer_row(
        "squeezenet 1.1 fog",
        &needs,
        LAST,
        Draw::Wrong(100),
        bounds,
        fog,
    ));
    rows
}

/// The bounds of a hundred images in SqueezeNet's last convolution.
fn last_bounds() -> Vec<Bound> {
    vec![
        at_most(DRAWDOWN, 0.1),
        at_least(UNCHANGED, 99.0),
        at_most(SOLVE, 10.0),
        at_most(PEAK, 2048.0),
    ]
}

/// Deep Compression's SqueezeNet, of which two thirds of the weights are zero.
fn pruned_rows() -> Vec<Row> {
    let file = "squeezenet1_0.deepcompression.safetensors";
    let stored = format!("squeezenet/{file}");
    let needs = [stored.as_str(), "imagenet_sample", "imagenet_val"];
    let with = |keep_zeros: bool| {
        let (mut bounds, suffix) = (last_bounds(), if keep_zeros { " keep zeros" } else { "" });
        if keep_zeros {
            bounds.push(at_least(ZEROS, 100.0));
        }
        row(
            format!("squeezenet 1.0 pruned {LAST} 100{suffix}"),
            &needs,
            bounds,
            move |world, seed| {
                let bench = squeezenet(world, "squeezenet 1.0 pruned", file)?;
                at_layer(world, &bench, LAST, Draw::Wrong(100), keep_zeros, seed)
            },
        )
    };
    vec![with(false), with(true)]
}

/// A file of Fashion-MNIST.
fn fashion_file() -> PathBuf {
    fashion_folder().join("t10k-images-idx3-ubyte.gz")
}

fn mobilevit_rows() -> Vec<Row> {
    let fashion = fashion_file().display().to_string();
    let needs = ["mobilevit_fashion/model.safetensors", fashion.as_str()];
    let draw = Draw::Wrong(FASHION_POINTS);
    let mut rows: Vec<Row> = MOBILEVIT
        .into_iter()
        .map(|layer| {
            let bounds = vec![at_most(REPAIR, MINUTES)];
            layer_row("mobilevit fashion", &needs, layer, draw, bounds, mobilevit)
        })
        .collect();
    rows.push(row(
        format!("mobilevit fashion chosen layer {FASHION_POINTS}"),
        &needs,
        vec![at_most(DRAWDOWN, 0.1), at_most(REPAIR, MINUTES)],
        move |world, seed| at_chosen_layer(world, &*mobilevit(world)?, draw, seed),
    ));
    rows
}

fn distilbert_rows() -> Vec<Row> {
    let needs = ["distilbert_minilm_sst2", "glue/SST-2"];
    let mut rows = Vec::new();
    for draw in [Draw::Wrong(50), Draw::AllWrong] {
        for layer in DISTILBERT {
            let bounds = vec![at_most(REPAIR, MINUTES)];
            rows.push(layer_row(
                "distilbert sst-2",
                &needs,
                layer,
                draw,
                bounds,
                distilbert,
            ));
        }
        let bounds = vec![at_most(DRAWDOWN, 0.0), at_most(REPAIR, MINUTES)];
        rows.push(Row {
            drawn: is_random(draw),
            ..row(
                format!("distilbert sst-2 chosen layer {}", count(draw)),
                &needs,
                bounds,
                move |world, seed| at_chosen_layer(world, &*distilbert(world)?, draw, seed),
            )
        });
    }
    rows
}

/// A row that repairs a given layer.
fn layer_row(
    name: &str,
    needs: &[&str],
    layer: &'static str,
    draw: Draw,
    bounds: Vec<Bound>,
    bench: impl Fn(&World) -> miette::Result<Rc<Bench>> + 'static,
) -> Row {
    Row {
        drawn: is_random(draw),
        ..row(
            format!("{name} {layer} {}", count(draw)),
            needs,
            bounds,
            move |world, seed| at_layer(world, &*bench(world)?, layer, draw, false, seed),
        )
    }
}

/// A row whose points must all be repaired, beside other bounds.
fn row(
    name: String,
    needs: &[&str],
    bounds: Vec<Bound>,
    run: impl Fn(&World, u64) -> miette::Result<Sample> + 'static,
) -> Row {
    Row {
        name,
        needs: needs.iter().map(PathBuf::from).collect(),
        bounds: [vec![at_least(EFFICACY, 100.0)], bounds].concat(),
        conflict_settles: false,
        drawn: true,
        run: Box::new(run),
    }
}

fn is_random(draw: Draw) -> bool {
    matches!(draw, Draw::Wrong(_))
}

fn count(draw: Draw) -> String {
    match draw {
        Draw::First(points) | Draw::Wrong(points) => points.to_string(),
        Draw::AllWrong => "all".to_owned(),
    }
}
