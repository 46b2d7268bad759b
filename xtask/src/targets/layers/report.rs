//! Regret, hits and rank correlation of every heuristic, and of the search within a budget.
//!
//! The prior of the search is fitted on all networks but the one that it is judged on.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::Table;
use experiments::statistics::{Interval, bootstrap_mean, kendall, mean, spearman};
use experiments::terminal;
use heuristics::{ALL, Combination, Example};
use miette::IntoDiagnostic;

use super::outcome::{Harm, Oracle, Pick};
use super::sets::SetKey;
use crate::targets::table;

/// Heuristics of this project; the others are the literature's.
const OURS: [&str; 8] = [
    "first_order_cost",
    "typical_cost",
    "predicted_drawdown",
    "measured_divergence",
    "first_step_efficacy",
    "first_step_progress",
    "pattern_slack",
    "conflict",
];
const AUTO: &str = "auto";
const COMBINED: &str = "combined";
/// The mean over all layers instead of one draw.
const RANDOM: &str = "random";
const LEVEL: f64 = 0.95;
const RESAMPLES: usize = 2000;

/// What the search must reach: a third of the best literature rule's regret and of the last
/// layer's, at a fifth of brute force's time, and this rank correlation.
const REGRET_SHARE: f64 = 1.0 / 3.0;
const TIME_SHARE: f64 = 0.2;
const CORRELATION: f64 = 0.8;

/// How one rule fares on the repair sets of one network: a number per set.
struct Fares {
    name: String,
    /// Repair sets on which it has an opinion.
    opinions: usize,
    regrets: BTreeMap<Harm, Vec<f64>>,
    /// Whether the pick is no repair.
    fails: Vec<f64>,
    hits: [Vec<f64>; 2],
    /// Of its order of the layers; 0 for one that says nothing.
    spearman: Vec<f64>,
    kendall: Vec<f64>,
    /// Seconds beside the repair that is kept as a share of one repair, and of brute force.
    cost: Vec<f64>,
    share: Vec<f64>,
    /// Seconds of everything as a share of brute force.
    total_share: Vec<f64>,
}

/// A repair set and what a rule picks there: one layer, or as likely any of several.
type Picks<'o, 'a> = (&'o Oracle<'a>, Vec<Pick>);

impl Fares {
    /// A repair set counts once, by the mean over its picks.
    fn new(name: &str, opinions: usize, sets: &[Picks<'_, '_>]) -> Self {
        let per_set = |of: &dyn Fn(&Oracle<'_>, &Pick) -> Option<f64>| -> Vec<f64> {
            let of_set = |(oracle, picks): &Picks<'_, '_>| {
                let values: Vec<f64> = picks.iter().filter_map(|pick| of(oracle, pick)).collect();
                mean(&values)
            };
            sets.iter().filter_map(of_set).collect()
        };
        let share_of = |is: &dyn Fn(&Oracle<'_>, &Pick) -> bool| {
            per_set(&|oracle, pick| Some(f64::from(u8::from(is(oracle, pick)))))
        };
        let correlation = |measure: fn(&[f64], &[f64]) -> Option<f64>| {
            per_set(&|oracle, pick| {
                let quality = oracle.quality(Harm::Divergence)?;
                Some(measure(&pick.scores, &quality).unwrap_or(0.0))
            })
        };
        let seconds = |of: fn(&Pick) -> f64, whole: fn(&Oracle<'_>) -> f64| {
            per_set(&|oracle, pick| Some(of(pick) / whole(oracle)))
        };
        let regrets =
            Harm::ALL.map(|harm| (harm, per_set(&|oracle, pick| oracle.regret(pick, harm))));
        Self {
            name: name.to_owned(),
            opinions,
            regrets: BTreeMap::from(regrets),
            fails: share_of(&|_, pick| pick.elsewhere.test.is_none()),
            hits: [1, 3].map(|count| share_of(&|oracle, pick| oracle.hits(pick, count))),
            spearman: correlation(spearman),
            kendall: correlation(kendall),
            cost: seconds(|pick| pick.seconds, |oracle| oracle.repair_seconds()),
            share: seconds(|pick| pick.seconds, |oracle| oracle.brute_seconds()),
            total_share: seconds(|pick| pick.total_seconds, |oracle| oracle.brute_seconds()),
        }
    }

    fn regret(&self, harm: Harm) -> Option<f64> {
        mean(self.regrets.get(&harm)?)
    }

    /// The rule and its mean regrets.
    fn mean(&self) -> (String, BTreeMap<Harm, f64>) {
        (self.name.clone(), self.regrets())
    }

    fn regrets(&self) -> BTreeMap<Harm, f64> {
        let known = Harm::ALL
            .iter()
            .filter_map(|&harm| Some((harm, self.regret(harm)?)));
        known.collect()
    }

    fn row(&self) -> Vec<String> {
        let harm = |harm: Harm, digits: usize| interval(&self.regrets[&harm], digits);
        vec![
            self.name.clone(),
            self.opinions.to_string(),
            harm(Harm::Drawdown, 2),
            harm(Harm::Changed, 2),
            harm(Harm::Divergence, 4),
            harm(Harm::Generalization, 2),
            mean(&self.fails).map_or("-".to_owned(), |share| number(100.0 * share, 0)),
            interval(&self.hits[0], 2),
            interval(&self.hits[1], 2),
            interval(&self.spearman, 2),
            interval(&self.kendall, 2),
            interval(&self.cost, 2),
        ]
    }
}

/// A mean with its bootstrap interval.
fn interval(values: &[f64], digits: usize) -> String {
    match bootstrap_mean(values, LEVEL, RESAMPLES, 0) {
        Some(Interval {
            estimate,
            low,
            high,
        }) => {
            let [estimate, low, high] = [estimate, low, high].map(|x| number(x, digits));
            format!("{estimate} [{low}, {high}]")
        }
        None => "-".to_owned(),
    }
}

/// A number, without the sign of one that rounds to zero.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        _ => text,
    }
}

/// Prints a table per network; returns the number of targets that are met and missed.
pub(super) fn print(oracles: &[Oracle<'_>], unrepaired: &[&SetKey]) -> miette::Result<[usize; 2]> {
    let left_out: Vec<String> = unrepaired.iter().map(|key| format!("\n  {key}")).collect();
    terminal::print(format_args!(
        "{} complete repair sets that no layer repairs are left out{}",
        unrepaired.len(),
        left_out.concat()
    ));
    let mut networks: Vec<&str> = oracles.iter().map(|o| o.key.network.as_str()).collect();
    networks.sort_unstable();
    networks.dedup();
    let mut verdicts = table(&["network", "target", "measured", ""]);
    let [mut met, mut missed] = [0, 0];
    let (mut rules, mut judged) = (Vec::new(), Vec::new());
    for &network in &networks {
        let own: Vec<&Oracle<'_>> = of(oracles, |name| name == network);
        let compared = compared(&own);
        let fares = fares(&compared);
        describe(network, &own);
        terminal::print(format_args!("{}", heuristics_table(&fares)));
        terminal::print(format_args!(
            "means over {} repair sets with {:.0} % intervals that resample the sets; where a rule scores no layer it counts as {RANDOM} does, which is the mean over layers, and an order that says nothing has correlation 0",
            compared.len(),
            100.0 * LEVEL,
        ));
        terminal::print(format_args!("{}", kinds_table(&own)));
        let means: Vec<_> = fares.iter().map(Fares::mean).collect();
        let found = [regret_targets(&means), cost_targets(&fares)];
        rules.extend(means);
        judged.extend(
            found
                .concat()
                .into_iter()
                .map(|target| (network.to_owned(), target)),
        );
    }
    // Every network counts alike, however many repair sets it has.
    let overall: Vec<(String, BTreeMap<Harm, f64>)> = across(&rules, networks.len());
    terminal::print(format_args!(
        "mean regret over {} networks:",
        networks.len()
    ));
    terminal::print(format_args!("{}", overall_table(&overall)));
    let found = regret_targets(&overall).into_iter();
    judged.extend(found.map(|target| ("all networks".to_owned(), target)));
    for (network, (target, measured, is_met)) in judged {
        met += usize::from(is_met);
        missed += usize::from(!is_met);
        let word = if is_met { "met" } else { "MISSED" };
        verdicts.add_row([network.as_str(), target.as_str(), measured.as_str(), word]);
    }
    terminal::print(format_args!("{verdicts}"));
    let prior = fit(oracles, |_| true)?;
    terminal::print(format_args!(
        "weights of the prior, fitted on all networks:"
    ));
    for (name, weight) in prior.names.iter().zip(&prior.weights) {
        terminal::print(format_args!("  {name} {weight:.3}"));
    }
    Ok([met, missed])
}

fn of<'o, 'a>(oracles: &'o [Oracle<'a>], keep: impl Fn(&str) -> bool) -> Vec<&'o Oracle<'a>> {
    let kept = oracles.iter().filter(|oracle| keep(&oracle.key.network));
    kept.collect()
}

/// The prior, from the ranks of divergence on the networks to `keep`, which count alike, and on the
/// half of their test splits that judges nothing.
pub(super) fn fit(
    oracles: &[Oracle<'_>],
    keep: impl Fn(&str) -> bool,
) -> miette::Result<Combination> {
    let kept = of(oracles, keep);
    let example = |oracle: &&Oracle<'_>| {
        let sets = kept.iter().filter(|o| o.key.network == oracle.key.network);
        Some(Example {
            scores: oracle.features(&Combination::shipped_names())?,
            quality: oracle.fitted_quality(),
            weight: 1.0 / sets.count().max(1) as f64,
        })
    };
    let examples: Vec<Example> = kept.iter().filter_map(example).collect();
    Combination::fit(&Combination::shipped_names(), &examples).into_diagnostic()
}

/// The repair sets that all rules are compared on: those that the search has run on, if any.
fn compared<'o, 'a>(oracles: &[&'o Oracle<'a>]) -> Vec<&'o Oracle<'a>> {
    let mut compared = oracles.to_vec();
    if oracles.iter().any(|oracle| oracle.chosen.is_some()) {
        compared.retain(|oracle| oracle.chosen.is_some());
    }
    compared
}

/// Every rule, by its regret in drawdown, and all on the same repair sets: where a rule scores no
/// layer it counts as the random one does. Left out are those that never score one.
fn fares(oracles: &[&Oracle<'_>]) -> Vec<Fares> {
    let random = oracles.iter().map(|&oracle| (oracle, oracle.any(0.0)));
    let mut fares = vec![Fares::new(RANDOM, 0, &random.collect::<Vec<_>>())];
    fares.extend(opinionated(AUTO, oracles, |oracle| oracle.auto()));
    fares.extend(opinionated(COMBINED, oracles, |oracle| oracle.combined()));
    for heuristic in ALL.iter().filter(|heuristic| heuristic.name() != RANDOM) {
        let name = heuristic.name();
        fares.extend(opinionated(name, oracles, |oracle| oracle.pick(name)));
    }
    let regret = |fares: &Fares| fares.regret(Harm::Drawdown).unwrap_or(f64::INFINITY);
    fares.sort_by(|a, b| regret(a).total_cmp(&regret(b)));
    fares
}

/// A rule that picks a layer of at least one repair set; on the others it is charged its own time.
fn opinionated(
    name: &str,
    oracles: &[&Oracle<'_>],
    pick: impl Fn(&Oracle<'_>) -> Option<Pick>,
) -> Option<Fares> {
    let mut opinions = 0;
    let mut picks = Vec::new();
    for &oracle in oracles {
        let own = pick(oracle);
        opinions += usize::from(own.is_some());
        let any = || oracle.any(oracle.seconds(name));
        picks.push((oracle, own.map_or_else(any, |pick| vec![pick])));
    }
    (opinions > 0).then(|| Fares::new(name, opinions, &picks))
}

fn describe(network: &str, oracles: &[&Oracle<'_>]) {
    let over_sets = |of: &dyn Fn(&Oracle<'_>) -> f64| {
        let values: Vec<f64> = oracles.iter().map(|oracle| of(oracle)).collect();
        mean(&values).unwrap_or(0.0)
    };
    let last = oracles.iter().filter(|oracle| oracle.last_is_repaired());
    let builds: BTreeSet<&str> = oracles.iter().flat_map(|oracle| oracle.builds()).collect();
    terminal::print(format_args!(
        "{network}: {} repair sets, {} layers; {:.1} % of the repairs converge within the limits of time and rounds ({} sets at the last layer); brute force {:.0} s a set; repairs, scores and choices of {} known builds of this command",
        oracles.len(),
        oracles.first().map_or(0, |oracle| oracle.layers()),
        over_sets(&|oracle| 100.0 * oracle.converged()),
        last.count(),
        over_sets(&|oracle| oracle.brute_seconds()),
        builds.len(),
    ));
    for harm in [Harm::Drawdown, Harm::Changed, Harm::Divergence] {
        let reliability = |oracle: &&Oracle<'_>| {
            let [even, odd] = oracle.halves(harm)?;
            spearman(&even, &odd)
        };
        let values: Vec<f64> = oracles.iter().filter_map(reliability).collect();
        terminal::print(format_args!(
            "  the ranking of layers by {} on one half of the test split correlates {:.2} with that on the other",
            harm.name(),
            mean(&values).unwrap_or(f64::NAN)
        ));
    }
}

/// What the way in which repair sets are drawn, and their size, do to their repair.
fn kinds_table(oracles: &[&Oracle<'_>]) -> Table {
    let mut table = table(&[
        "of",
        "drawn",
        "points",
        "sets",
        "converge %",
        "s a repair",
        "best layer: drawdown",
        "divergence",
        "auto: regret in divergence",
    ]);
    let mut kinds: BTreeMap<(&str, &str, usize), Vec<&Oracle<'_>>> = BTreeMap::new();
    for &oracle in oracles {
        let SetKey {
            kind,
            sampler,
            points,
            ..
        } = oracle.key;
        let kind = (kind.as_str(), sampler.as_str(), *points);
        kinds.entry(kind).or_default().push(oracle);
    }
    for ((kind, sampler, points), oracles) in kinds {
        let over_sets = |digits: usize, of: &dyn Fn(&Oracle<'_>) -> Option<f64>| {
            let values: Vec<f64> = oracles.iter().filter_map(|oracle| of(oracle)).collect();
            mean(&values).map_or("-".to_owned(), |mean| number(mean, digits))
        };
        let least =
            |harm| move |oracle: &Oracle<'_>| oracle.harms(harm)?.into_iter().reduce(f64::min);
        table.add_row([
            kind.to_owned(),
            sampler.to_owned(),
            points.to_string(),
            oracles.len().to_string(),
            over_sets(1, &|oracle| Some(100.0 * oracle.converged())),
            over_sets(2, &|oracle| Some(oracle.repair_seconds())),
            over_sets(2, &least(Harm::Drawdown)),
            over_sets(5, &least(Harm::Divergence)),
            over_sets(5, &|oracle| {
                oracle.regret(&oracle.auto()?, Harm::Divergence)
            }),
        ]);
    }
    table
}

fn heuristics_table(fares: &[Fares]) -> Table {
    let mut table = table(&[
        "rule",
        "sets it scores",
        "regret: drawdown",
        "changed",
        "divergence",
        "generalization",
        "no repair %",
        "top 1",
        "top 3",
        "Spearman",
        "Kendall",
        "cost",
    ]);
    for fares in fares {
        table.add_row(fares.row());
    }
    table
}

/// Means over networks of the regrets of every rule that picks a layer of all of them, by drawdown.
fn across(
    rules: &[(String, BTreeMap<Harm, f64>)],
    networks: usize,
) -> Vec<(String, BTreeMap<Harm, f64>)> {
    let mut sums: BTreeMap<&str, BTreeMap<Harm, Vec<f64>>> = BTreeMap::new();
    for (name, regrets) in rules {
        let of_rule = sums.entry(name).or_default();
        for (&harm, &regret) in regrets {
            of_rule.entry(harm).or_default().push(regret);
        }
    }
    let mut found: Vec<(String, BTreeMap<Harm, f64>)> = sums
        .into_iter()
        .map(|(name, regrets)| {
            let complete = regrets
                .into_iter()
                .filter(|(_, values)| values.len() == networks);
            let means = complete.filter_map(|(harm, values)| Some((harm, mean(&values)?)));
            (name.to_owned(), means.collect())
        })
        .collect();
    let drawdown = |regrets: &BTreeMap<Harm, f64>| {
        regrets
            .get(&Harm::Drawdown)
            .copied()
            .unwrap_or(f64::INFINITY)
    };
    found.sort_by(|a, b| drawdown(&a.1).total_cmp(&drawdown(&b.1)));
    found
}

fn overall_table(rules: &[(String, BTreeMap<Harm, f64>)]) -> Table {
    let mut shown = table(&["rule", "drawdown", "changed", "divergence"]);
    for (name, regrets) in rules {
        let regret = |harm, digits: usize| match regrets.get(&harm) {
            Some(&regret) => number(regret, digits),
            None => "-".to_owned(),
        };
        shown.add_row([
            name.clone(),
            regret(Harm::Drawdown, 2),
            regret(Harm::Changed, 2),
            regret(Harm::Divergence, 4),
        ]);
    }
    shown
}

/// A target, what was measured, and whether it is met.
type Judged = (String, String, bool);

/// The search against the best rule of the literature, and against the last layer.
fn regret_targets(rules: &[(String, BTreeMap<Harm, f64>)]) -> Vec<Judged> {
    let mut found = Vec::new();
    for harm in [Harm::Drawdown, Harm::Divergence] {
        let regret = |wanted: &str| {
            let rule = rules.iter().find(|(name, _)| name == wanted);
            rule.and_then(|(name, regrets)| Some((*regrets.get(&harm)?, name.clone())))
        };
        let literature = rules.iter().filter(|(name, _)| {
            let name = name.as_str();
            ![AUTO, COMBINED, RANDOM].contains(&name) && !OURS.contains(&name)
        });
        let best = literature
            .filter_map(|(name, _)| regret(name))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((own, _)) = regret(AUTO) else {
            continue;
        };
        for (other, name) in [best, regret("last")].into_iter().flatten() {
            let target = format!("regret in {} <= 1/3 of {name}'s", harm.name());
            let measured = format!("{} against {}", number(own, 4), number(other, 4));
            found.push((target, measured, own <= REGRET_SHARE * other));
        }
    }
    found
}

/// What the search costs beside the repair that it keeps, and how well it ranks.
fn cost_targets(fares: &[Fares]) -> Vec<Judged> {
    let Some(auto) = fares.iter().find(|fares| fares.name == AUTO) else {
        return Vec::new();
    };
    let time = |what: &str, shares: &[f64]| {
        let percent: Vec<f64> = shares.iter().map(|share| 100.0 * share).collect();
        (
            format!("{what} < {:.0} % of brute force's time", 100.0 * TIME_SHARE),
            format!("{} %", interval(&percent, 0)),
            mean(shares).is_some_and(|share| share < TIME_SHARE),
        )
    };
    let rho = mean(&auto.spearman).unwrap_or(0.0);
    vec![
        time("everything but the kept repair", &auto.share),
        time("everything", &auto.total_share),
        (
            format!("Spearman of the ranking >= {CORRELATION}"),
            interval(&auto.spearman, 2),
            rho >= CORRELATION,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{scores, trials};
    use super::*;

    #[test]
    fn a_rule_without_a_score_counts_as_the_random_one_there() {
        let divergences = [Some(0.75), Some(0.25), Some(0.5)];
        let trials = [0, 1].map(|seed| trials(seed, &divergences)).concat();
        let scores = [
            scores(0, "similarity_cka", &[Some(3.0), Some(2.0), Some(1.0)]),
            scores(1, "similarity_cka", &[None; 3]),
        ];
        let (oracles, _) = Oracle::all(&trials, &scores, &[]);
        let fares = fares(&oracles.iter().collect::<Vec<_>>());
        // A rule that scores no layer of any set is left out.
        let names: Vec<&str> = fares.iter().map(|fares| fares.name.as_str()).collect();
        assert_eq!(names, [RANDOM, "similarity_cka"]);
        let [random, rule] = [&fares[0], &fares[1]];
        // The random rule counts every set once, by the mean over its layers.
        assert_eq!(random.regrets[&Harm::Divergence], [0.25, 0.25]);
        assert_eq!(rule.regrets[&Harm::Divergence], [0.5, 0.25]);
        assert_eq!([random.opinions, rule.opinions], [0, 1]);
        assert_eq!(random.spearman, [0.0, 0.0]);
        assert_eq!(rule.spearman, [-0.5, 0.0]);
        assert_eq!(random.cost, [0.0, 0.0]);
        assert_eq!(rule.cost, [0.5, 0.5]);
    }
}
