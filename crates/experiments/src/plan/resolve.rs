//! From the typed-in plan to the resolved one: the one place where a plan is checked.

use std::ops::Range;
use std::path::Path;

use miette::NamedSource;
use repair::{Method, Objective};
use toml::Spanned;

use super::file::{
    HeuristicsFile, MethodFile, NetworkFile, PlanFile, Reference, SplitFile, SplitsFile,
};
use super::{
    ASSETS_VARIABLE, CLEAN, Choice, HeuristicsPlan, MethodPlan, NetworkPlan, Order, PlanPath,
    ResolvedPlan, SplitPlan, SplitsPlan, Weights,
};
use crate::error::{ExperimentError, PlanFault, Result};

/// The names that a plan may use, from the registries of the crates that implement them.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary<'a> {
    /// Repair methods.
    pub methods: &'a [&'a str],
    /// Objectives.
    pub objectives: &'a [&'a str],
    /// Layer heuristics.
    pub heuristics: &'a [&'a str],
    /// Corruptions; `clean` needs no entry.
    pub corruptions: &'a [&'a str],
}

/// Whether the files that a plan names must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// A missing file is an error.
    Required,
    /// Files are not looked at.
    Ignored,
}

/// Where repair sets are drawn; otherwise the first alone.
const DEFAULT_SEEDS: [u64; 3] = [0, 1, 2];
const DEFAULT_POINTS: [usize; 3] = [10, 50, 100];
const DEFAULT_MARGIN: f64 = 0.05;

pub(super) fn resolve(
    name: &str,
    text: &str,
    vocabulary: &Vocabulary<'_>,
    root: &Path,
    files: Files,
) -> Result<ResolvedPlan> {
    let check = Check {
        name,
        text,
        vocabulary,
        root,
        files,
    };
    let file: PlanFile = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        check.fault(span, error.message().trim_end(), "here", None)
    })?;
    let pool = &file.splits.repair;
    let pool_size = pool
        .limit
        .as_ref()
        .map_or_else(|| pool.range.span(), Spanned::span);
    let splits = check.splits(file.splits)?;
    let methods = check.methods(file.methods)?;
    let heuristics = check.heuristics(file.heuristics, &methods)?;
    Ok(ResolvedPlan {
        name: check.word(&file.name)?,
        seeds: match &file.seeds {
            Some(seeds) => check.seeds(seeds, splits.repair.order)?,
            None if splits.repair.order == Order::First => DEFAULT_SEEDS[..1].to_vec(),
            None => DEFAULT_SEEDS.to_vec(),
        },
        points: match &file.points {
            Some(points) => check.points(points, &splits.repair)?,
            None => check.default_points(&splits.repair, pool_size)?,
        },
        layers: file.layers.map(Spanned::into_inner).unwrap_or_default(),
        jobs: match &file.jobs {
            Some(jobs) => check.at_least_one("jobs", jobs)?,
            None => 1,
        },
        device: file.device.resolve(),
        dtype: file
            .dtype
            .unwrap_or_else(|| file.device.default_precision()),
        networks: check.networks(file.networks)?,
        methods,
        heuristics,
        splits,
    })
}

struct Check<'a> {
    name: &'a str,
    text: &'a str,
    vocabulary: &'a Vocabulary<'a>,
    root: &'a Path,
    files: Files,
}

impl Check<'_> {
    fn fault(
        &self,
        span: Range<usize>,
        problem: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> ExperimentError {
        ExperimentError::Plan(Box::new(PlanFault {
            problem: problem.into(),
            text: NamedSource::new(self.name, self.text.to_owned()),
            span: span.into(),
            label: label.into(),
            help,
        }))
    }

    fn networks(&self, networks: Spanned<Vec<NetworkFile>>) -> Result<Vec<NetworkPlan>> {
        let span = networks.span();
        let mut resolved: Vec<NetworkPlan> = Vec::new();
        for network in networks.into_inner() {
            let name = self.word(&network.name)?;
            if resolved.iter().any(|known| known.name == name) {
                let problem = format!("two networks are named {name:?}");
                return Err(self.fault(network.name.span(), problem, "again", None));
            }
            let role = format!("network {name}");
            let file = self.path(&role, &network.file)?;
            resolved.push(NetworkPlan { name, file });
        }
        if resolved.is_empty() {
            return Err(self.fault(
                span,
                "expected at least one network, got none",
                "empty",
                None,
            ));
        }
        Ok(resolved)
    }

    fn splits(&self, file: SplitsFile) -> Result<SplitsPlan> {
        let spans = [
            file.repair.range.span(),
            file.guard.range.span(),
            file.generalization.range.span(),
            file.drawdown.range.span(),
            file.selection_clean.range.span(),
            file.selection_corrupted.range.span(),
        ];
        let splits = SplitsPlan {
            repair: self.split("repair", file.repair)?,
            guard: self.split("guard", file.guard)?,
            generalization: self.split("generalization", file.generalization)?,
            drawdown: self.split("drawdown", file.drawdown)?,
            selection_clean: self.split("selection_clean", file.selection_clean)?,
            selection_corrupted: self.split("selection_corrupted", file.selection_corrupted)?,
        };
        self.disjoint(&splits, &spans)?;
        Ok(splits)
    }

    fn split(&self, name: &str, file: SplitFile) -> Result<SplitPlan> {
        let &[from, to] = file.range.get_ref().as_slice() else {
            let got = file.range.get_ref().len();
            let problem =
                format!("split {name}: range: expected an array [from, to], got {got} numbers");
            return Err(self.fault(file.range.span(), problem, "not a range", None));
        };
        if from >= to {
            let problem =
                format!("split {name}: expected a range with from < to, got [{from}, {to}]");
            return Err(self.fault(file.range.span(), problem, "no examples", None));
        }
        if let Some(limit) = &file.limit {
            self.at_least_one(&format!("split {name}: limit"), limit)?;
        }
        let corruption = match &file.corruption {
            Some(corruption) if corruption.get_ref() != CLEAN => {
                let mut known = vec![CLEAN];
                known.extend(self.vocabulary.corruptions);
                self.known("corruption", corruption, &known)?
            }
            _ => CLEAN.to_owned(),
        };
        let order = match &file.order {
            Some(order) if name != "repair" && *order.get_ref() == Order::Random => {
                let problem = format!("split {name}: expected order = \"first\", got \"random\"");
                let help = "only repair sets are drawn, from split repair".to_owned();
                return Err(self.fault(order.span(), problem, "not drawn", Some(help)));
            }
            Some(order) => *order.get_ref(),
            None => Order::default(),
        };
        Ok(SplitPlan {
            images: self.path(&format!("split {name}, images"), &file.images)?,
            labels: self.path(&format!("split {name}, labels"), &file.labels)?,
            source: self.word(&file.source)?,
            corruption,
            range: [from, to],
            keep: file.keep,
            order,
            limit: file.limit.map(Spanned::into_inner),
        })
    }

    /// Two splits over one file may not overlap, whatever their corruptions: an image and its corrupted
    /// copy are not independent.
    fn disjoint(&self, splits: &SplitsPlan, spans: &[Range<usize>; 6]) -> Result<()> {
        let named = splits.named();
        for (i, (second_name, second)) in named.iter().enumerate() {
            for (first_name, first) in &named[..i] {
                let from = first.range[0].max(second.range[0]);
                let to = first.range[1].min(second.range[1]);
                if from < to && same_file(&first.images, &second.images) {
                    let problem = format!(
                        "splits {first_name} and {second_name} share images {from} to {}",
                        to - 1
                    );
                    let help = format!("both read {}; splits are disjoint", first.images.written);
                    return Err(self.fault(spans[i].clone(), problem, "overlaps", Some(help)));
                }
            }
        }
        Ok(())
    }

    fn methods(&self, methods: Spanned<Vec<Spanned<MethodFile>>>) -> Result<Vec<MethodPlan>> {
        let span = methods.span();
        let mut resolved: Vec<MethodPlan> = Vec::new();
        for method in methods.into_inner() {
            let place = method.span();
            let method = self.method(method.into_inner())?;
            if resolved.iter().any(|known| known.name == method.name) {
                let problem = format!("two methods are named {:?}", method.name);
                let help = "give one of them a `name`".to_owned();
                return Err(self.fault(place, problem, "again", Some(help)));
            }
            resolved.push(method);
        }
        if resolved.is_empty() {
            return Err(self.fault(
                span,
                "expected at least one method, got none",
                "empty",
                None,
            ));
        }
        Ok(resolved)
    }

    fn method(&self, file: MethodFile) -> Result<MethodPlan> {
        let method = self.known("method", &file.method, self.vocabulary.methods)?;
        let objective = match &file.objective {
            Some(objective) => self.known("objective", objective, self.vocabulary.objectives)?,
            None => "guarded".to_owned(),
        };
        if let (Some(written), Ok(Method::Sequential), Ok(goal)) = (
            &file.objective,
            method.parse::<Method>(),
            objective.parse::<Objective>(),
        ) && !goal.is_quadratic()
        {
            let problem =
                format!("method sequential: expected objective guarded or l2, got {objective:?}");
            let help = "method frozen has the other objectives".to_owned();
            return Err(self.fault(written.span(), problem, "not here", Some(help)));
        }
        if let Some(margin) = &file.margin {
            self.number(margin, "margin", "a finite number from 0", |value| {
                value >= 0.0
            })?;
        }
        if let Some(limit) = &file.time_limit {
            self.number(
                limit,
                "time_limit",
                "seconds above 0, at most 1e9",
                |value| value > 0.0 && value <= 1e9,
            )?;
        }
        Ok(MethodPlan {
            name: match &file.name {
                Some(name) => self.word(name)?,
                None => format!("{method}-{objective}"),
            },
            method,
            objective,
            margin: file.margin.map_or(DEFAULT_MARGIN, Spanned::into_inner),
            time_limit: file.time_limit.map(Spanned::into_inner),
        })
    }

    fn heuristics(&self, file: HeuristicsFile, methods: &[MethodPlan]) -> Result<HeuristicsPlan> {
        let known = self.vocabulary.heuristics;
        let names: Vec<String> = match file.names {
            None => known.iter().map(|&name| name.to_owned()).collect(),
            Some(choice) => {
                let span = choice.span();
                match choice.into_inner() {
                    Choice::All => known.iter().map(|&name| name.to_owned()).collect(),
                    Choice::Named(names) => names
                        .into_iter()
                        .map(|name| {
                            self.known("heuristic", &Spanned::new(span.clone(), name), known)
                        })
                        .collect::<Result<_>>()?,
                }
            }
        };
        let default = match &file.default {
            Some(default) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Some(self.known("default heuristic", default, &names)?)
            }
            None => None,
        };
        let weights = match file.weights {
            None => Weights::default(),
            Some(weights) => {
                let span = weights.span();
                let Weights {
                    generalization,
                    drawdown,
                } = *weights.get_ref();
                for (name, weight) in [("generalization", generalization), ("drawdown", drawdown)] {
                    let weight = Spanned::new(span.clone(), weight);
                    let name = format!("weight of {name}");
                    self.number(&weight, &name, "a finite number from 0", |value| {
                        value >= 0.0
                    })?;
                }
                weights.into_inner()
            }
        };
        Ok(HeuristicsPlan {
            reference: self.reference(file.reference, methods)?,
            names,
            default,
            weights,
        })
    }

    fn reference(
        &self,
        reference: Option<Spanned<Reference>>,
        methods: &[MethodPlan],
    ) -> Result<String> {
        let Some(reference) = reference else {
            return Ok(methods[0].name.clone());
        };
        let found = match reference.get_ref() {
            Reference::Index(index) => methods.get(*index),
            Reference::Name(name) => methods.iter().find(|method| {
                method.name == *name || format!("{}/{}", method.method, method.objective) == *name
            }),
        };
        found.map(|method| method.name.clone()).ok_or_else(|| {
            let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
            let got = match reference.get_ref() {
                Reference::Index(index) => index.to_string(),
                Reference::Name(name) => format!("{name:?}"),
            };
            let problem = format!("reference: no method {got} in this plan");
            let help = format!("methods of this plan: {}", names.join(", "));
            self.fault(reference.span(), problem, "not a method", Some(help))
        })
    }

    /// Without a draw the repair sets of all seeds are the same one.
    fn seeds(&self, seeds: &Spanned<Vec<Spanned<u64>>>, order: Order) -> Result<Vec<u64>> {
        let distinct = self.distinct("seed", seeds)?;
        if distinct.len() > 1 && order == Order::First {
            let problem = format!(
                "seeds: expected one where split repair has order = \"first\", got {}",
                distinct.len()
            );
            let help = "they draw different repair sets with order = \"random\"".to_owned();
            return Err(self.fault(seeds.span(), problem, "the same set", Some(help)));
        }
        Ok(distinct)
    }

    fn points(
        &self,
        points: &Spanned<Vec<Spanned<usize>>>,
        pool: &SplitPlan,
    ) -> Result<Vec<usize>> {
        let sizes = self.distinct("points", points)?;
        for size in points.get_ref() {
            self.at_least_one("points", size)?;
            if let Some(problem) = excess(*size.get_ref(), pool) {
                return Err(self.fault(size.span(), problem, "too many", None));
            }
        }
        Ok(sizes)
    }

    fn default_points(&self, pool: &SplitPlan, place: Range<usize>) -> Result<Vec<usize>> {
        match DEFAULT_POINTS.iter().find_map(|&size| excess(size, pool)) {
            Some(problem) => {
                let help = format!("without `points` they are {DEFAULT_POINTS:?}");
                Err(self.fault(place, problem, "too few", Some(help)))
            }
            None => Ok(DEFAULT_POINTS.to_vec()),
        }
    }

    fn distinct<T>(&self, what: &str, list: &Spanned<Vec<Spanned<T>>>) -> Result<Vec<T>>
    where
        T: Copy + PartialEq + std::fmt::Display,
    {
        let mut values: Vec<T> = Vec::new();
        for item in list.get_ref() {
            if values.contains(item.get_ref()) {
                let problem = format!("{what} {item} is listed twice");
                return Err(self.fault(item.span(), problem, "again", None));
            }
            values.push(*item.get_ref());
        }
        if values.is_empty() {
            let problem = format!("{what}: expected at least one, got none");
            return Err(self.fault(list.span(), problem, "empty", None));
        }
        Ok(values)
    }

    fn at_least_one(&self, what: &str, number: &Spanned<usize>) -> Result<usize> {
        match *number.get_ref() {
            0 => Err(self.fault(
                number.span(),
                format!("{what}: expected at least 1, got 0"),
                "zero",
                None,
            )),
            number => Ok(number),
        }
    }

    fn number(
        &self,
        number: &Spanned<f64>,
        what: &str,
        expected: &str,
        holds: impl Fn(f64) -> bool,
    ) -> Result<()> {
        let value = *number.get_ref();
        if value.is_finite() && holds(value) {
            return Ok(());
        }
        let problem = format!("{what}: expected {expected}, got {value}");
        Err(self.fault(number.span(), problem, "out of range", None))
    }

    /// A name that can be part of a path on every system.
    fn word(&self, name: &Spanned<String>) -> Result<String> {
        let text = name.get_ref();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed) {
            return Ok(text.clone());
        }
        let problem = format!("{text:?} is no name");
        let help =
            "letters, digits, `-`, `_`, `+` and `.`, with a letter or digit first".to_owned();
        Err(self.fault(name.span(), problem, "becomes part of a path", Some(help)))
    }

    fn known(&self, what: &str, name: &Spanned<String>, known: &[&str]) -> Result<String> {
        let text = name.get_ref();
        if known.contains(&text.as_str()) {
            return Ok(text.clone());
        }
        let list = known.join(", ");
        let help = match closest(text, known) {
            Some(close) => format!("did you mean {close:?}? known: {list}"),
            None => format!("known: {list}"),
        };
        let problem = format!("unknown {what} {text:?}");
        Err(self.fault(name.span(), problem, "unknown", Some(help)))
    }

    fn path(&self, role: &str, written: &Spanned<String>) -> Result<PlanPath> {
        let text = written.get_ref();
        let path = match text.strip_prefix('$') {
            None => self.root.join(text),
            Some(rest) => {
                let (variable, rest) = rest.split_once('/').unwrap_or((rest, ""));
                if variable != ASSETS_VARIABLE {
                    let problem = format!("{role}: unknown variable ${variable}");
                    let help = format!("a path may begin with ${ASSETS_VARIABLE}");
                    return Err(self.fault(written.span(), problem, "unknown", Some(help)));
                }
                match std::env::var_os(ASSETS_VARIABLE) {
                    Some(folder) => self.root.join(folder).join(rest),
                    None if self.files == Files::Ignored => self.root.join(text),
                    None => {
                        let problem = format!("{role}: ${ASSETS_VARIABLE} is not set");
                        let help = "set it to the folder that holds the file".to_owned();
                        return Err(self.fault(written.span(), problem, "needs it", Some(help)));
                    }
                }
            }
        };
        if self.files == Files::Required && !path.is_file() {
            let problem = format!("{role}: no file {}", path.display());
            let help = "relative paths start at the repository root".to_owned();
            return Err(self.fault(written.span(), problem, "missing", Some(help)));
        }
        Ok(PlanPath {
            written: text.clone(),
            path,
        })
    }
}

/// What is wrong with a repair set of `size` points, if the pool cannot hold it.
fn excess(size: usize, pool: &SplitPlan) -> Option<String> {
    let capacity = pool.capacity();
    (size > capacity).then(|| format!("points: {size} exceed the {capacity} of split repair"))
}

/// Whether two paths lead to one file, however they are written.
fn same_file(a: &PlanPath, b: &PlanPath) -> bool {
    a.written == b.written
        || matches!((a.path.canonicalize(), b.path.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The known name at most a third of its length away from `name`, by edit distance.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&candidate| (edit_distance(name, candidate), candidate))
        .min()
        .filter(|&(distance, candidate)| distance <= candidate.chars().count().div_ceil(3))
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_insertions_deletions_and_substitutions() {
        assert_eq!(edit_distance("fog", "fog"), 0);
        assert_eq!(edit_distance("fogg", "fog"), 1);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["guarded", "l2", "aprnn"];
        assert_eq!(closest("gaurded", &known), Some("guarded"));
        assert_eq!(closest("entropy", &known), None);
    }
}
