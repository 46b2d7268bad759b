//! Networks of the study of layers, their repair sets, and the splits that score them.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use data::{Dataset, ExampleId};
use heuristics::profile::Points;
use heuristics::samplers::{self, Pool};
use miette::{Context, IntoDiagnostic, miette};
use serde::{Deserialize, Serialize};

use crate::targets::images::{mobilevit, squeezenet};
use crate::targets::measure::Bench;
use crate::targets::perceptrons;
use crate::targets::sentences::distilbert;
use crate::targets::world::World;

/// A network with what may be repaired in it, by name.
pub(super) struct Kind {
    pub(super) network: &'static str,
    /// What the repair sets are drawn from.
    pub(super) kind: &'static str,
    pub(super) bench: fn(&World) -> miette::Result<Rc<Bench>>,
    /// How they are drawn.
    samplers: &'static [&'static str],
    /// Points of the repair sets.
    sizes: [usize; 2],
}

/// Where every class has points enough, and their distance means something.
const VECTORS_AND_PICTURES: [&str; 5] = [
    "random",
    "nearest_boundary",
    "confident_wrong",
    "k_centre",
    "class_homogeneous",
];
/// A thousand classes with few points each.
const MANY_CLASSES: [&str; 4] = ["random", "nearest_boundary", "confident_wrong", "k_centre"];
/// Token numbers have no distance.
const SENTENCES: [&str; 4] = [
    "random",
    "nearest_boundary",
    "confident_wrong",
    "class_homogeneous",
];

/// Networks and kinds of repair sets.
pub(super) static KINDS: [Kind; 9] = [
    vectors("mnist 3x100", "fog", |w| perceptrons::fog(w, "3x100")),
    vectors("mnist 3x100", "mixed", |w| perceptrons::mixed(w, "3x100")),
    vectors("mnist 9x100", "fog", |w| perceptrons::fog(w, "9x100")),
    vectors("mnist 9x100", "mixed", |w| perceptrons::mixed(w, "9x100")),
    vectors("mnist 9x200", "fog", |w| perceptrons::fog(w, "9x200")),
    vectors("mnist 9x200", "mixed", |w| perceptrons::mixed(w, "9x200")),
    Kind {
        network: "squeezenet 1.1",
        kind: "wrong",
        bench: |w| squeezenet(w, "squeezenet 1.1", "squeezenet1_1.safetensors"),
        samplers: &MANY_CLASSES,
        sizes: [5, 10],
    },
    Kind {
        network: "mobilevit fashion",
        kind: "wrong",
        bench: mobilevit,
        samplers: &VECTORS_AND_PICTURES,
        sizes: [5, 10],
    },
    Kind {
        network: "distilbert sst-2",
        kind: "wrong",
        bench: distilbert,
        samplers: &SENTENCES,
        sizes: [5, 10],
    },
];

const fn vectors(
    network: &'static str,
    kind: &'static str,
    bench: fn(&World) -> miette::Result<Rc<Bench>>,
) -> Kind {
    Kind {
        network,
        kind,
        bench,
        samplers: &VECTORS_AND_PICTURES,
        sizes: [20, 100],
    }
}

/// A repair set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SetKey {
    pub(super) network: String,
    pub(super) kind: String,
    pub(super) sampler: String,
    pub(super) points: usize,
    pub(super) seed: u64,
}

impl fmt::Display for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network,
            kind,
            sampler,
            points,
            seed,
        } = self;
        write!(f, "{network} {kind} {sampler} {points} seed {seed}")
    }
}

/// The first `count` repair sets of every network whose name contains `only`: kinds in turn, then
/// sizes, then samplers, then seeds.
pub(super) fn keys(count: usize, only: &str) -> miette::Result<Vec<(SetKey, &'static Kind)>> {
    let mut networks: Vec<&str> = KINDS.iter().map(|kind| kind.network).collect();
    networks.dedup();
    let known = networks.join(", ");
    networks.retain(|network| network.contains(only));
    if networks.is_empty() {
        return Err(miette!("no network is named like `{only}`; known: {known}"));
    }
    let mut keys = Vec::new();
    for network in networks {
        let kinds: Vec<&'static Kind> = KINDS.iter().filter(|k| k.network == network).collect();
        for turn in 0..count {
            let kind = kinds[turn % kinds.len()];
            let [sizes, samplers] = [kind.sizes.len(), kind.samplers.len()];
            let round = turn / kinds.len();
            let key = SetKey {
                network: kind.network.to_owned(),
                kind: kind.kind.to_owned(),
                sampler: kind.samplers[round / sizes % samplers].to_owned(),
                points: kind.sizes[round % sizes],
                seed: (round / (sizes * samplers)) as u64,
            };
            keys.push((key, kind));
        }
    }
    Ok(keys)
}

/// The labelled examples that layers are compared on, and those that may be repaired; no image is
/// in two of these sets.
pub(super) struct Splits {
    /// Clean examples that a choice may look at.
    pub(super) selection: Dataset,
    /// Clean examples that score it.
    pub(super) test: Dataset,
    /// Examples like the repaired ones that score it; they show the images of `test`.
    pub(super) similar: Option<Dataset>,
    /// Positions in the bench's pool that may be repaired.
    candidates: Vec<usize>,
}

/// Held-out examples of the two sets.
pub(super) const SELECTION: usize = 200;
pub(super) const TEST: usize = 400;
/// Perceptrons are cheap to ask: this many times as many.
const VECTORS: usize = 12;

impl Splits {
    pub(super) fn new(bench: &Bench) -> miette::Result<Self> {
        let factor = match bench.held_out.shape.len() {
            1 => VECTORS,
            _ => 1,
        };
        let (middle, end) = (factor * SELECTION, factor * (SELECTION + TEST));
        let part = |range: Range<usize>| {
            let positions: Vec<usize> = range.collect();
            bench.held_out.subset(&positions).into_diagnostic()
        };
        let (selection, test) = (part(0..middle)?, part(middle..end)?);
        let images = |set: &Dataset| -> HashSet<(String, u32)> {
            let images = set.ids.iter().map(|id| id.image());
            images.map(|(s, i)| (s.to_owned(), i)).collect()
        };
        let (chosen, scored) = (images(&selection), images(&test));
        let among = |images: &HashSet<(String, u32)>, id: &ExampleId| {
            let (source, index) = id.image();
            images.contains(&(source.to_owned(), index))
        };
        let similar = match &bench.similar {
            Some(similar) => {
                let of_test = (0..similar.len()).filter(|&i| among(&scored, &similar.ids[i]));
                Some(
                    similar
                        .subset(&of_test.collect::<Vec<_>>())
                        .into_diagnostic()?,
                )
            }
            None => None,
        };
        let free = |&i: &usize| {
            let id = &bench.pool.ids[i];
            !among(&chosen, id) && !among(&scored, id)
        };
        Ok(Self {
            candidates: bench.wrong.iter().copied().filter(free).collect(),
            selection,
            test,
            similar,
        })
    }

    /// The repair set of a key, drawn from a random half of the candidates: a rule that leaves
    /// nothing to chance draws another set with another seed.
    pub(super) fn draw(&self, bench: &Bench, key: &SetKey) -> miette::Result<Dataset> {
        let half = self.candidates.len() / 2;
        let half = data::sample(self.candidates.len(), half, key.seed).into_diagnostic()?;
        let half: Vec<usize> = half.into_iter().map(|i| self.candidates[i]).collect();
        let pool = bench.pool.subset(&half).into_diagnostic()?;
        let network = &bench.subject.network;
        let outputs = repair::outputs(network, &pool.inputs, &pool.shape).into_diagnostic()?;
        let pixels: Vec<f64> = pool.inputs.iter().copied().map(f64::from).collect();
        let represented = Points::new(&pixels, pool.example_len()).into_diagnostic()?;
        let pool = Pool::new(network, &pool, &outputs, represented).into_diagnostic()?;
        let sampler = samplers::by_name(&key.sampler).into_diagnostic()?;
        let drawn = sampler.sample(&pool, key.points, key.seed);
        let drawn = drawn
            .into_diagnostic()
            .wrap_err_with(|| format!("repair set {key}"))?;
        let positions: Vec<usize> = drawn.into_iter().map(|i| half[i]).collect();
        // A repair takes as long as its longest sentence.
        let (inputs, shape) = network::gathered(&bench.pool.inputs, &bench.pool.shape, &positions);
        let drawn = bench.pool.subset(&positions).into_diagnostic()?;
        Ok(Dataset {
            inputs: inputs.into_owned(),
            shape,
            ..drawn
        })
    }
}
