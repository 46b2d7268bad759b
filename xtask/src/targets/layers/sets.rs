//! Networks of the study of layers, their repair sets, and the splits that score them.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use data::{Dataset, ExampleId};
use miette::IntoDiagnostic;
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
    /// Points of the repair sets.
    pub(super) sizes: [usize; 2],
}

/// Networks and kinds of repair sets.
pub(super) static KINDS: [Kind; 9] = [
    kind(
        "mnist 3x100",
        "fog",
        |w| perceptrons::fog(w, "3x100"),
        [20, 100],
    ),
    kind(
        "mnist 3x100",
        "mixed",
        |w| perceptrons::mixed(w, "3x100"),
        [20, 100],
    ),
    kind(
        "mnist 9x100",
        "fog",
        |w| perceptrons::fog(w, "9x100"),
        [20, 100],
    ),
    kind(
        "mnist 9x100",
        "mixed",
        |w| perceptrons::mixed(w, "9x100"),
        [20, 100],
    ),
    kind(
        "mnist 9x200",
        "fog",
        |w| perceptrons::fog(w, "9x200"),
        [20, 100],
    ),
    kind(
        "mnist 9x200",
        "mixed",
        |w| perceptrons::mixed(w, "9x200"),
        [20, 100],
    ),
    kind(
        "squeezenet 1.1",
        "wrong",
        |w| squeezenet(w, "squeezenet 1.1", "squeezenet1_1.safetensors"),
        [10, 25],
    ),
    kind("mobilevit fashion", "wrong", mobilevit, [10, 25]),
    kind("distilbert sst-2", "wrong", distilbert, [10, 25]),
];

const fn kind(
    network: &'static str,
    kind: &'static str,
    bench: fn(&World) -> miette::Result<Rc<Bench>>,
    sizes: [usize; 2],
) -> Kind {
    Kind {
        network,
        kind,
        bench,
        sizes,
    }
}

/// A repair set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SetKey {
    pub(super) network: String,
    pub(super) kind: String,
    pub(super) points: usize,
    pub(super) seed: u64,
}

impl fmt::Display for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network,
            kind,
            points,
            seed,
        } = self;
        write!(f, "{network} {kind} {points} seed {seed}")
    }
}

/// The first `count` repair sets of every network: sizes and kinds in turn, then the next seed.
pub(super) fn keys(count: usize) -> Vec<(SetKey, &'static Kind)> {
    let mut keys = Vec::new();
    let mut networks: Vec<&str> = KINDS.iter().map(|kind| kind.network).collect();
    networks.dedup();
    for network in networks {
        let kinds: Vec<&'static Kind> = KINDS.iter().filter(|k| k.network == network).collect();
        for turn in 0..count {
            let kind = kinds[turn % kinds.len()];
            let round = turn / kinds.len();
            let key = SetKey {
                network: kind.network.to_owned(),
                kind: kind.kind.to_owned(),
                points: kind.sizes[round % kind.sizes.len()],
                seed: (round / kind.sizes.len()) as u64,
            };
            keys.push((key, kind));
        }
    }
    keys
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
const SELECTION: usize = 300;
const TEST: usize = 700;
/// Perceptrons are cheap to ask: this many times as many.
const VECTORS: usize = 7;

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

    /// The repair set of a key.
    pub(super) fn draw(&self, bench: &Bench, key: &SetKey) -> miette::Result<Dataset> {
        let drawn = data::sample(self.candidates.len(), key.points, key.seed).into_diagnostic()?;
        let positions: Vec<usize> = drawn.into_iter().map(|i| self.candidates[i]).collect();
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
