//! One repair set with everything that was measured of it, and what each choice of layer costs.

use std::collections::BTreeMap;

use super::brute::{Elsewhere, Trial};
use super::choice::Chosen;
use super::scores::Scores;
use super::sets::SetKey;

/// A number below all others, of layers that come last: correlations take finite numbers alone.
const LAST: f64 = f64::MIN;

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

    fn of(self, elsewhere: &Elsewhere) -> Option<f64> {
        match self {
            Self::Drawdown => elsewhere.test.map(|t| t.drawdown),
            Self::Changed => elsewhere.test.map(|t| t.changed),
            Self::Divergence => elsewhere.test.map(|t| t.divergence),
            Self::Generalization => elsewhere.generalization.map(|g| -g),
        }
    }
}

/// A repair set, complete: every layer tried and scored.
pub(super) struct Oracle<'a> {
    pub(super) key: &'a SetKey,
    pub(super) scores: &'a Scores,
    /// What the search within a budget came to, once it has run.
    pub(super) chosen: Option<&'a Chosen>,
    trials: Vec<&'a Trial>,
    /// What each layer is judged by: the second half of the test split. The first half is what
    /// priors are fitted on; networks of one family share their test inputs.
    judged: Vec<Elsewhere>,
}

/// What a rule ends with.
pub(super) struct Pick {
    pub(super) elsewhere: Elsewhere,
    /// Seconds without the repair that is kept, and with it.
    pub(super) seconds: f64,
    pub(super) total_seconds: f64,
    /// A number per layer, higher is better.
    pub(super) scores: Vec<f64>,
}

impl<'a> Oracle<'a> {
    /// The complete sets among what is stored, and the keys of those that no layer repairs: there
    /// is nothing to choose.
    pub(super) fn all(
        trials: &'a [Trial],
        scores: &'a [Scores],
        choices: &'a [Chosen],
    ) -> (Vec<Self>, Vec<&'a SetKey>) {
        let by_layer = trials
            .iter()
            .map(|trial| ((&trial.set, trial.layer), trial));
        let by_layer: BTreeMap<(&SetKey, usize), &Trial> = by_layer.collect();
        let complete = |scores: &'a Scores| {
            let key = &scores.set;
            let trials = scores.layers.iter();
            let trials = trials.map(|&layer| by_layer.get(&(key, layer)).copied());
            let trials: Vec<&Trial> = trials.collect::<Option<_>>()?;
            let chosen = choices.iter().rev().find(|chosen| chosen.set == *key);
            let judged = |trial: &&Trial| Elsewhere {
                test: trial.halves.map(|halves| halves[1]),
                generalization: trial.elsewhere.generalization,
            };
            Some(Self {
                key,
                scores,
                chosen,
                judged: trials.iter().map(judged).collect(),
                trials,
            })
        };
        let complete = scores.iter().filter_map(complete);
        let (repaired, others): (Vec<Self>, Vec<Self>) =
            complete.partition(|oracle| oracle.trials.iter().any(|trial| trial.repaired));
        (repaired, others.iter().map(|oracle| oracle.key).collect())
    }

    pub(super) fn layers(&self) -> usize {
        self.trials.len()
    }

    /// Share of the layers that are repaired.
    pub(super) fn converged(&self) -> f64 {
        let repaired = self.trials.iter().filter(|trial| trial.repaired).count();
        repaired as f64 / self.trials.len() as f64
    }

    /// The builds that made the repairs, the scores and the choice.
    pub(super) fn builds(&self) -> impl Iterator<Item = &str> {
        let chosen = self.chosen.map(|chosen| chosen.build.as_str());
        let trials = self.trials.iter().map(|trial| trial.build.as_str());
        trials.chain(self.scores.build.as_deref()).chain(chosen)
    }

    /// How good each layer is on the first half of the test split, by divergence, to fit priors on:
    /// layers that are not repaired come last.
    pub(super) fn fitted_quality(&self) -> Vec<f64> {
        let divergence = |trial: &&Trial| trial.halves.map(|halves| -halves[0].divergence);
        let qualities = self.trials.iter().map(divergence);
        qualities.map(|quality| quality.unwrap_or(LAST)).collect()
    }

    /// Whether the last layer is repaired.
    pub(super) fn last_is_repaired(&self) -> bool {
        self.trials.last().is_some_and(|trial| trial.repaired)
    }

    /// Seconds of the guard moments and of the repairs at every layer.
    pub(super) fn repairs_seconds(&self) -> f64 {
        self.scores.moments_seconds + self.trials.len() as f64 * self.repair_seconds()
    }

    /// The same, and seconds of telling the layers apart on the selection split, where a choice has
    /// measured how long one of them takes.
    pub(super) fn brute_seconds(&self) -> f64 {
        let each = self.chosen.map_or(0.0, |chosen| chosen.selection_seconds);
        self.repairs_seconds() + self.trials.len() as f64 * each
    }

    /// Mean seconds of one repair, its guard moments aside.
    pub(super) fn repair_seconds(&self) -> f64 {
        let seconds = self.trials.iter().map(|trial| trial.seconds);
        seconds.sum::<f64>() / self.trials.len() as f64
    }

    /// The harm of every layer; one that is not repaired counts as bad as the worst that is.
    pub(super) fn harms(&self, harm: Harm) -> Option<Vec<f64>> {
        let known: Vec<Option<f64>> = self.judged.iter().map(|judged| harm.of(judged)).collect();
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
                .map(|(h, repaired)| if repaired { -h } else { LAST })
                .collect(),
        )
    }

    /// What a pick loses against the best layer; negative where it does better than every layer.
    pub(super) fn regret(&self, pick: &Pick, harm: Harm) -> Option<f64> {
        let harms = self.harms(harm)?;
        let best = harms.iter().copied().reduce(f64::min)?;
        // Without a repair it is as bad as the worst one.
        let worst = harms.iter().copied().reduce(f64::max)?;
        Some(harm.of(&pick.elsewhere).unwrap_or(worst) - best)
    }

    /// Whether a pick is as good as one of the `count` best layers, by divergence.
    pub(super) fn hits(&self, pick: &Pick, count: usize) -> bool {
        let (Some(kept), Some(harms)) = (
            Harm::Divergence.of(&pick.elsewhere),
            self.harms(Harm::Divergence),
        ) else {
            return false;
        };
        harms.iter().filter(|&&harm| harm < kept).count() < count
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
        let layer = heuristics::pick(scores)?;
        let seconds = self.seconds(heuristic);
        Some(Pick {
            elsewhere: self.judged[layer],
            seconds,
            total_seconds: seconds + self.trials[layer].seconds,
            scores: scores.iter().map(|score| score.unwrap_or(LAST)).collect(),
        })
    }

    /// A pick for every layer, after some seconds: what is expected of a random one.
    pub(super) fn any(&self, seconds: f64) -> Vec<Pick> {
        let layers = self.judged.iter().zip(&self.trials);
        let pick = |(judged, trial): (&Elsewhere, &&Trial)| Pick {
            elsewhere: *judged,
            seconds,
            total_seconds: seconds + trial.seconds,
            scores: Vec::new(),
        };
        layers.map(pick).collect()
    }

    /// Seconds that a heuristic takes; none where nothing was scored.
    pub(super) fn seconds(&self, heuristic: &str) -> f64 {
        let seconds = self.scores.seconds.get(heuristic);
        seconds.copied().unwrap_or_default()
    }

    /// The scores that a combination reads.
    pub(super) fn features(&self, names: &[&str]) -> Option<Vec<Vec<Option<f64>>>> {
        names
            .iter()
            .map(|&name| self.scores.scores.get(name).cloned())
            .collect()
    }

    /// What the prior of the search picks by itself.
    pub(super) fn combined(&self) -> Option<Pick> {
        let chosen = self.chosen?;
        let scores = self.places(&chosen.order);
        let layer = heuristics::pick(&scores.iter().copied().map(Some).collect::<Vec<_>>())?;
        Some(Pick {
            elsewhere: self.judged[layer],
            seconds: chosen.prior_seconds,
            total_seconds: chosen.prior_seconds + self.trials[layer].seconds,
            scores,
        })
    }

    /// What the search within a budget keeps. All rules are judged by identical repairs: where
    /// brute force makes the same repair, its effects count, and elsewhere those of the search's own.
    pub(super) fn auto(&self) -> Option<Pick> {
        let chosen = self.chosen?;
        let same = chosen.layer_of_brute_force();
        let same = same.and_then(|layer| self.scores.layers.iter().position(|&l| l == layer));
        let same = same.filter(|&at| self.trials[at].repaired);
        Some(Pick {
            elsewhere: same.map_or(chosen.elsewhere, |at| self.judged[at]),
            seconds: chosen.seconds - chosen.kept_seconds,
            total_seconds: chosen.seconds,
            scores: self.places(&chosen.ranking),
        })
    }

    /// A score for every scored layer from the order of some of them, the best first; the others
    /// come last.
    fn places(&self, order: &[usize]) -> Vec<f64> {
        let layers = self.scores.layers.iter();
        let place = |layer: &usize| order.iter().position(|other| other == layer);
        let score = |place: Option<usize>| place.map_or(LAST, |place| -(place as f64));
        layers.map(|layer| score(place(layer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use experiments::statistics::{kendall, spearman};

    use super::super::fixture::{chosen, key, scores, trials};
    use super::*;

    #[test]
    fn a_layer_without_a_score_comes_last_in_the_correlations() {
        let trials = trials(0, &[Some(0.3), Some(0.1), None, Some(0.9)]);
        let said = [Some(2.0), Some(5.0), None, Some(1.0)];
        let scores = [scores(0, "conflict", &said)];
        let (oracles, _) = Oracle::all(&trials, &scores, &[]);
        let pick = oracles[0].pick("conflict").unwrap();
        let quality = oracles[0].quality(Harm::Divergence).unwrap();
        assert_eq!(spearman(&pick.scores, &quality), Some(1.0));
        assert_eq!(kendall(&pick.scores, &quality), Some(1.0));
    }

    #[test]
    fn a_choice_that_brute_force_makes_too_is_judged_by_its_trial() {
        let trials = trials(0, &[Some(0.5), None]);
        let scores = [scores(0, "conflict", &[Some(1.0), Some(2.0)])];
        let divergence = |layers: &[usize], method: &str| {
            let choices = [chosen(0, layers, method, 9.0)];
            let (oracles, _) = Oracle::all(&trials, &scores, &choices);
            let test = oracles[0].auto().unwrap().elsewhere.test;
            test.unwrap().divergence
        };
        assert_eq!(divergence(&[0], "sequential"), 0.5);
        assert_eq!(divergence(&[0], "frozen"), 9.0);
        assert_eq!(divergence(&[0, 1], "sequential"), 9.0);
        // Brute force repairs nothing there.
        assert_eq!(divergence(&[1], "sequential"), 9.0);
    }

    #[test]
    fn complete_sets_that_no_layer_repairs_are_told_apart() {
        let trials = [trials(0, &[Some(0.1), None]), trials(1, &[None, None])].concat();
        let scores = [0, 1, 2].map(|seed| scores(seed, "conflict", &[Some(1.0), None]));
        let (oracles, unrepaired) = Oracle::all(&trials, &scores, &[]);
        let keys: Vec<&SetKey> = oracles.iter().map(|oracle| oracle.key).collect();
        assert_eq!(keys, [&key(0)]);
        assert_eq!(unrepaired, [&key(1)]);
    }

    #[test]
    fn the_build_of_scores_counts_where_it_is_known() {
        let trials = trials(0, &[Some(0.1)]);
        let unknown = scores(0, "conflict", &[Some(1.0)]);
        let known = Scores {
            build: Some("other".into()),
            ..unknown.clone()
        };
        for (scores, builds) in [
            ([unknown], vec!["build"]),
            ([known], vec!["build", "other"]),
        ] {
            let (oracles, _) = Oracle::all(&trials, &scores, &[]);
            assert_eq!(oracles[0].builds().collect::<Vec<_>>(), builds);
        }
    }
}
