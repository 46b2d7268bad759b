//! Where the points are looked at: the input space and layers.

use std::time::Duration;

use data::Dataset;
use heuristics::HeuristicError;
use heuristics::profile::{Pooled, SpaceProfile, pooled};
use network::Layer;
use serde::Serialize;

use crate::error::{ExperimentError, Result, analysis};
use crate::repair_command::sets::PointSet;
use crate::repair_command::subject::Subject;

/// The longest that the vertices of one hull are counted.
const HULL_TIME: Duration = Duration::from_secs(20);
/// The name of the input space.
const INPUT: &str = "input";

/// A space that points lie in.
pub(super) enum Space {
    Input,
    Layer(Layer),
}

/// A space and how the points lie in it.
#[derive(Serialize)]
pub(super) struct Described {
    pub(super) space: String,
    #[serde(flatten)]
    pub(super) profile: SpaceProfile,
}

/// The spaces that `--layer` names, or the input and the first, the middle and the last layer. The ids of
/// words are no magnitudes, so that a text's input is no space.
pub(super) fn asked(subject: &Subject, names: Option<&str>) -> Result<Vec<Space>> {
    let layers = subject.network.layers();
    let input = (!subject.reads_text()).then_some(Space::Input);
    let some = |positions: &mut dyn Iterator<Item = usize>| {
        let chosen = positions.filter_map(|k| layers.get(k).cloned());
        chosen.map(Space::Layer).collect::<Vec<_>>()
    };
    match names {
        Some("all") => Ok(input
            .into_iter()
            .chain(some(&mut (0..layers.len())))
            .collect()),
        Some(names) => names
            .split(',')
            .map(|name| match (name.trim(), subject.reads_text()) {
                (INPUT, false) => Ok(Space::Input),
                (INPUT, true) => Err(ExperimentError::Usage {
                    problem: "--layer input: token ids have no distances; name the embedding layer"
                        .to_owned(),
                }),
                (name, _) => subject.layer(name).map(Space::Layer),
            })
            .collect(),
        None => {
            let last = layers.len().saturating_sub(1);
            let mut positions = vec![0, last / 2, last];
            positions.dedup();
            Ok(input
                .into_iter()
                .chain(some(&mut positions.into_iter()))
                .collect())
        }
    }
}

/// The profile of the points in every space, and how they cover the guard set there.
pub(super) fn profiles(
    subject: &Subject,
    spaces: &[Space],
    points: &PointSet,
    guard: Option<&PointSet>,
) -> Result<Vec<Described>> {
    let (set, guard) = (&points.set.dataset, guard.map(|guard| &guard.set.dataset));
    let layers = |set: &Dataset| {
        let any = spaces.iter().any(|space| matches!(space, Space::Layer(_)));
        let found = any.then(|| pooled(&subject.network, &set.inputs, &set.shape));
        found.unwrap_or_else(|| Ok(Vec::new()))
    };
    let what = || "the layers' outputs".to_owned();
    let own = layers(set).map_err(analysis(what))?;
    let others = guard.map(layers).transpose().map_err(analysis(what))?;
    let described = |space: &Space| {
        let (name, own, others) = match space {
            Space::Input => (INPUT.to_owned(), numbers(set), guard.map(numbers)),
            Space::Layer(layer) => {
                let others = others.as_ref().map(|layers| layers[layer.index].clone());
                (layer.name.clone(), own[layer.index].clone(), others)
            }
        };
        let profile =
            profile(&own, others.as_ref()).map_err(analysis(|| format!("space {name}")))?;
        Ok(Described {
            space: name,
            profile,
        })
    };
    spaces.iter().map(described).collect()
}

fn profile(own: &Pooled, guard: Option<&Pooled>) -> Result<SpaceProfile, HeuristicError> {
    let guard = guard.map(Pooled::points).transpose()?;
    SpaceProfile::of(own.points()?, guard, Some(HULL_TIME))
}

/// The inputs themselves.
fn numbers(set: &Dataset) -> Pooled {
    Pooled {
        rows: set.inputs.iter().map(|&x| f64::from(x)).collect(),
        width: set.example_len(),
    }
}
