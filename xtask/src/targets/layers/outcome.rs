//! One repair set with everything that was measured of it, and what each choice of layer costs.

use std::collections::BTreeMap;

use heuristics::Combination;

use super::brute::Trial;
use super::pilots::Piloted;
use super::scores::Scores;
use super::sets::SetKey;

/// Layers at which `auto` repairs all points.
const ATTEMPTS: usize = 2;
/// Share of the layers that `auto` pilots, the ones of the highest prior.
const PILOTED: f64 = 0.5;

/// What a layer is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    Drawdown,
    Changed,
    Divergence,
    /// Generalization that is missed.
    Generalization,
}

impl Harm {
    pub(super) const ALL: [Self; 4] = [
        Self::Drawdown,
        Self::Changed,
        Self::Divergence,
        Self::Generalization,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Drawdown => "drawdown",
            Self::Changed => "changed",
            Self::Divergence => "divergence",
            Self::Generalization => "generalization",
        }
    }

    fn of(self, trial: &Trial) -> Option<f64> {
        match self {
            Self::Drawdown => trial.test.map(|t| t.drawdown),
            Self::Changed => trial.test.map(|t| t.changed),
            Self::Divergence => trial.test.map(|t| t.divergence),
            Self::Generalization => trial.generalization.map(|g| -g),
        }
    }
}

/// A repair set, complete: every layer repaired, scored and piloted.
pub(super) struct Oracle<'a> {
    pub(super) key: &'a SetKey,
    pub(super) scores: &'a Scores,
    trials: Vec<&'a Trial>,
    pilots: Vec<&'a Piloted>,
}

/// A choice of layer, by its position among the scored ones.
pub(super) struct Pick {
    pub(super) layer: usize,
    pub(super) seconds: f64,
    /// Layers, best first.
    pub(super) ranking: Vec<usize>,
}

impl<'a> Oracle<'a> {
    /// The complete sets among what is stored.
    pub(super) fn all(
        trials: &'a [Trial],
        scores: &'a [Scores],
        pilots: &'a [Piloted],
    ) -> Vec<Self> {
        let mut by_layer: BTreeMap<(&SetKey, usize), &Trial> = BTreeMap::new();
        by_layer.extend(
            trials
                .iter()
                .map(|trial| ((&trial.set, trial.layer), trial)),
        );
        let mut piloted: BTreeMap<(&SetKey, usize), &Piloted> = BTreeMap::new();
        piloted.extend(
            pilots
                .iter()
                .map(|pilot| ((&pilot.set, pilot.layer), pilot)),
        );
        let complete = |scores: &'a Scores| {
            let key = &scores.set;
            let layers = || scores.layers.iter().map(|&layer| (key, layer));
            let oracle = Self {
                key,
                scores,
                trials: layers()
                    .filter_map(|at| by_layer.get(&at).copied())
                    .collect(),
                pilots: layers()
                    .filter_map(|at| piloted.get(&at).copied())
                    .collect(),
            };
            let count = scores.layers.len();
            let repaired = oracle.trials.iter().any(|trial| trial.repaired);
            (oracle.trials.len() == count && oracle.pilots.len() == count && repaired)
                .then_some(oracle)
        };
        scores.iter().filter_map(complete).collect()
    }

    pub(super) fn layers(&self) -> usize {
        self.trials.len()
    }

    /// Share of the layers that are repaired.
    pub(super) fn converged(&self) -> f64 {
        let repaired = self.trials.iter().filter(|trial| trial.repaired).count();
        repaired as f64 / self.trials.len() as f64
    }

    /// Whether the last layer is repaired.
    pub(super) fn last_is_repaired(&self) -> bool {
        self.trials.last().is_some_and(|trial| trial.repaired)
    }

    /// Seconds of the guard moments and of the repairs at every layer.
    pub(super) fn brute_seconds(&self) -> f64 {
        self.scores.moments_seconds + self.repair_seconds() * self.trials.len() as f64
    }

    /// Mean seconds of one repair, its guard moments aside.
    pub(super) fn repair_seconds(&self) -> f64 {
        let seconds = self.trials.iter().map(|trial| trial.seconds);
        seconds.sum::<f64>() / self.trials.len() as f64
    }

    /// The harm of every layer; one that is not repaired counts as bad as the worst that is.
    pub(super) fn harms(&self, harm: Harm) -> Option<Vec<f64>> {
        let known: Vec<Option<f64>> = self.trials.iter().map(|trial| harm.of(trial)).collect();
        let worst = known.iter().flatten().copied().reduce(f64::max)?;
        Some(known.into_iter().map(|h| h.unwrap_or(worst)).collect())
    }

    /// How good each layer is, for ranking: layers that are not repaired come last.
    pub(super) fn quality(&self, harm: Harm) -> Option<Vec<f64>> {
        let harms = self.harms(harm)?;
        let repaired = self.trials.iter().map(|trial| trial.repaired);
        let quality = harms.iter().zip(repaired);
        Some(
            quality
                .map(|(h, repaired)| if repaired { -h } else { f64::MIN })
                .collect(),
        )
    }

    /// What is lost at a layer against the best one.
    pub(super) fn regret(&self, layer: usize, harm: Harm) -> Option<f64> {
        let harms = self.harms(harm)?;
        let best = harms.iter().copied().reduce(f64::min)?;
        Some(harms[layer] - best)
    }

    /// Whether a layer is among the `count` best by divergence.
    pub(super) fn hits(&self, layer: usize, count: usize) -> bool {
        let Some(quality) = self.quality(Harm::Divergence) else {
            return false;
        };
        let better = quality.iter().filter(|&&q| q > quality[layer]).count();
        better < count
    }

    /// Rank correlation of the layers' order on two halves of the test split, over repaired layers.
    pub(super) fn halves(&self, harm: Harm) -> Option<[Vec<f64>; 2]> {
        let halves: Vec<_> = self
            .trials
            .iter()
            .filter_map(|trial| trial.halves)
            .collect();
        let of = |half: usize| -> Option<Vec<f64>> {
            halves
                .iter()
                .map(|halves| match harm {
                    Harm::Drawdown => Some(halves[half].drawdown),
                    Harm::Changed => Some(halves[half].changed),
                    Harm::Divergence => Some(halves[half].divergence),
                    Harm::Generalization => None,
                })
                .collect()
        };
        Some([of(0)?, of(1)?])
    }

    /// The pick of a heuristic; `None` when it scores no layer.
    pub(super) fn pick(&self, heuristic: &str) -> Option<Pick> {
        let scores = self.scores.scores.get(heuristic)?;
        Some(Pick {
            layer: heuristics::pick(scores)?,
            seconds: self.scores.seconds.get(heuristic).copied()?,
            ranking: descending(scores),
        })
    }

    /// The scores that a combination reads.
    pub(super) fn features(&self, names: &[&str]) -> Option<Vec<Vec<Option<f64>>>> {
        names
            .iter()
            .map(|&name| self.scores.scores.get(name).cloned())
            .collect()
    }

    /// What the search within a budget picks, looked up in the table, with all that it costs: prior,
    /// pilots, repairs. Its share of pilots and number of attempts are fixed here, where no clock
    /// runs, and nothing but the layer is varied.
    pub(super) fn auto(&self, prior: &Combination) -> Option<Pick> {
        let names: Vec<&str> = prior.names.iter().map(String::as_str).collect();
        let scores = prior.scores(&self.features(&names)?).ok()?;
        let order = descending(&scores.into_iter().map(Some).collect::<Vec<_>>());
        let piloted = ((order.len() as f64 * PILOTED).ceil() as usize).max(1);
        let (first, rest) = order.split_at(piloted);
        let mut first = first.to_vec();
        first.sort_by(|&a, &b| {
            let (a, b) = (self.pilots[a], self.pilots[b]);
            let harm = |p: &Piloted| p.harm.unwrap_or(f64::INFINITY);
            let by_harm = harm(a).total_cmp(&harm(b));
            by_harm.then(b.efficacy.total_cmp(&a.efficacy))
        });
        let ranking: Vec<usize> = first.iter().chain(rest).copied().collect();
        let (mut tried, mut repaired) = (Vec::new(), 0);
        for &layer in &ranking {
            tried.push(layer);
            repaired += usize::from(self.trials[layer].repaired);
            if repaired == ATTEMPTS {
                break;
            }
        }
        let kept = tried.iter().copied().min_by(|&a, &b| {
            let harm = |l: usize| {
                self.trials[l]
                    .selection
                    .map_or(f64::INFINITY, |s| s.divergence)
            };
            harm(a).total_cmp(&harm(b))
        })?;
        let prior_seconds = names
            .iter()
            .filter_map(|name| self.scores.seconds.get(*name));
        Some(Pick {
            layer: kept,
            // The combined heuristics share their parts: the dearest has all of them but gradients.
            seconds: prior_seconds.copied().fold(0.0, f64::max)
                + first.iter().map(|&l| self.pilots[l].seconds).sum::<f64>()
                + tried.iter().map(|&l| self.trials[l].seconds).sum::<f64>(),
            ranking,
        })
    }
}

/// Positions by score, the highest first; those without one last.
fn descending(scores: &[Option<f64>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let value = |i: usize| scores[i].unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    order
}
