//! Whether another reading of the labels explains a network's answers far better than the present one.
//!
//! Let `C[k][j]` count the examples with label `k` that the network answers with `j`, of `n` in all. The
//! present reading is right on the diagonal. Another reading maps labels to classes by `π` and is right
//! on `Σ C[k][π(k)]`: by an offset, `π(k) = k ± 1`, or by the permutation that is right most often (an
//! assignment problem); or it reads the answers differently, the smallest output instead of the largest.
//!
//! If labels and answers had nothing to do with each other, a reading that is fixed beforehand would be
//! right on a binomial number of examples with a probability `p` of each, and by Chernoff's bound on a
//! share `q` or more of them with a probability of at most
//!
//! ```text
//! exp(-n (q ln(q/p) + (1-q) ln((1-q)/(1-p)))).
//! ```
//!
//! The best of `m` readings is that good by luck with at most `m` times that probability; there are
//! `classes! / (classes - labels)!` ways to map labels to classes. An explanation is given when this is
//! below [`LUCK`], so that sets of a few examples say nothing.
//!
//! This is for sets that stand for the network's task. A set that was chosen *because* the network gets
//! it wrong may well be explained by a permutation.

use std::fmt;

use serde::Serialize;

use crate::dataset::UNLABELLED;

/// The probability below which luck explains no reading: 1 in 10,000.
pub const LUCK: f64 = 1e-4;
/// The probability above which luck explains the present reading.
const AT_CHANCE: f64 = 0.01;
/// The least share of right answers of another reading.
const MOSTLY: f64 = 0.5;
/// How much more another reading is right where the present one is no better than chance.
const FAR: f64 = 0.25;
/// The same where the present one is better than chance and classes change places.
const MOVED: f64 = 0.1;
/// Labels up to which the best permutation is found; of more a good one is.
const EXACT: usize = 256;

/// Right answers, and how many would be right if answers had nothing to do with labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chance {
    /// Examples with a label.
    pub examples: usize,
    /// Share of right answers.
    pub accuracy: f64,
    /// Share that would be right by chance: `Σ_k (share of label k)(share of answer k)`.
    pub chance: f64,
    /// Whether the accuracy is above chance by more than luck explains, at 1 %.
    pub better: bool,
}

/// Another reading of labels or outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherReading {
    /// The answer is the smallest output where it was the largest, or the other way around.
    OppositeRule,
    /// Label `k` is class `k` plus this.
    Offset(i64),
    /// Label `k` is the class at position `k`; labels that no example has keep their place if they can.
    Permutation(Vec<usize>),
}

/// A reading that explains a network's answers far better than the present one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The reading.
    pub reading: OtherReading,
    /// Examples with a label.
    pub examples: usize,
    /// Share of answers that are right as labels are read now.
    pub present: f64,
    /// Share that would be right.
    pub other: f64,
    /// The most with which luck makes the other reading this good.
    pub luck: f64,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        write!(
            f,
            "{} of {} answers are right as labels are read now; {} would be if ",
            percent(self.present),
            self.examples,
            percent(self.other)
        )?;
        match &self.reading {
            OtherReading::OppositeRule => f.write_str(
                "the answer were the output at the other end: smallest instead of largest, or \
                             largest instead of smallest",
            ),
            OtherReading::Offset(offset) => {
                let sign = if *offset < 0 { "less" } else { "more" };
                write!(f, "every label were {} {sign}", offset.abs())
            }
            OtherReading::Permutation(classes) => {
                let moved: Vec<String> = classes
                    .iter()
                    .enumerate()
                    .filter(|(label, class)| label != *class)
                    .map(|(label, class)| format!("label {label} were {class}"))
                    .collect();
                let more = moved.len().saturating_sub(10);
                f.write_str(&moved[..moved.len() - more].join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more labels were others")?;
                }
                if classes[..] == [1, 0] {
                    f.write_str(", or the answer were the other output")?;
                }
                Ok(())
            }
        }
    }
}

/// How answers compare with chance; examples without a label are left out. `None` when no example has a
/// label.
pub fn against_chance(labels: &[usize], answers: &[usize]) -> Option<Chance> {
    let pairs = labelled(labels, answers);
    let examples = pairs.len();
    if examples == 0 {
        return None;
    }
    let right = pairs
        .iter()
        .filter(|(label, answer)| label == answer)
        .count();
    let shares = |values: &mut dyn Iterator<Item = usize>| {
        let mut counts = std::collections::HashMap::<usize, f64>::new();
        values.for_each(|value| *counts.entry(value).or_default() += 1.0 / examples as f64);
        counts
    };
    let of_labels = shares(&mut pairs.iter().map(|pair| pair.0));
    let of_answers = shares(&mut pairs.iter().map(|pair| pair.1));
    let both = |(label, share): (&usize, &f64)| share * of_answers.get(label).unwrap_or(&0.0);
    let chance = of_labels.iter().map(both).sum();
    Some(Chance {
        examples,
        accuracy: right as f64 / examples as f64,
        chance,
        better: luck(examples, right, chance, 0.0) < AT_CHANCE,
    })
}

/// The reading that explains `outputs`, the network's outputs on labelled examples, far better than the
/// present one does; `answers` are what the network answers by its present rule. `None` when there is no
/// such reading, for several labels per input, and without labels.
///
/// Where the present reading is no better than chance, another one has to be right on half of the
/// examples, and on a quarter of them more than the present one. Where it is better, only classes that
/// change places with each other are an explanation, when most examples of each are answered so.
pub fn explain_labels(
    labels: &[usize],
    outputs: &[Vec<f64>],
    answers: &[usize],
    classes: usize,
) -> Option<Explanation> {
    let pairs = labelled(labels, answers);
    let present = against_chance(labels, answers)?;
    if pairs
        .iter()
        .any(|&(label, answer)| label >= classes || answer >= classes)
    {
        return None;
    }
    let confusion = Confusion::new(&pairs, classes);
    let found = if present.better {
        exchanged(&confusion, present)
    } else {
        // Of two classes the other end is the other class, which is a permutation.
        let opposite = (classes > 2).then(|| opposite(labels, outputs, answers));
        readings(&confusion, &pairs, opposite.flatten(), present)
    };
    // The simplest of the best: they are in the order of simplicity.
    let best = found.iter().map(|found| found.other).fold(0.0, f64::max);
    found.into_iter().find(|found| found.other >= best - 0.01)
}

/// The explanation that a reading which is `right` so often is, if it is far better than the present one
/// by more than luck in the best of exp(`ways`) readings.
fn considered(
    confusion: &Confusion,
    present: Chance,
    reading: OtherReading,
    right: usize,
    ways: f64,
    gain: f64,
) -> Option<Explanation> {
    let n = present.examples;
    let other = right as f64 / n as f64;
    let luck = luck(n, right, confusion.most_by_chance(), ways);
    let far = other >= MOSTLY && other - present.accuracy >= gain;
    (far && luck < LUCK).then_some(Explanation {
        reading,
        examples: n,
        present: present.accuracy,
        other,
        luck,
    })
}

/// What explains answers that are no better than chance; `opposite` is how often the output at the other
/// end is right.
fn readings(
    confusion: &Confusion,
    pairs: &[(usize, usize)],
    opposite: Option<usize>,
    present: Chance,
) -> Vec<Explanation> {
    let consider = |reading, right, ways| considered(confusion, present, reading, right, ways, FAR);
    let rule = opposite.and_then(|right| consider(OtherReading::OppositeRule, right, 0.0));
    let offsets = [-1, 1].into_iter().filter_map(|offset| {
        let moved =
            |(label, answer): &&(usize, usize)| label.checked_add_signed(offset) == Some(*answer);
        let right = pairs.iter().filter(moved).count();
        consider(OtherReading::Offset(offset as i64), right, 2.0_f64.ln())
    });
    let permutation = confusion.permutation();
    let right = confusion.right(&permutation);
    let permuted = OtherReading::Permutation(permutation);
    let permuted = consider(permuted, right, confusion.ways());
    rule.into_iter().chain(offsets).chain(permuted).collect()
}

/// Classes that change places in a network that is better than chance.
fn exchanged(confusion: &Confusion, present: Chance) -> Vec<Explanation> {
    let Some(permutation) = confusion.exchanged() else {
        return vec![];
    };
    let right = confusion.right(&permutation);
    // By luck, an answer moves to the other class as often as it stays.
    let moved = confusion.moved(&permutation);
    let of_moved = right - confusion.stays(&permutation);
    if luck(moved, of_moved, 0.5, confusion.ways()) >= LUCK {
        return vec![];
    }
    let reading = OtherReading::Permutation(permutation);
    let found = considered(confusion, present, reading, right, 0.0, MOVED);
    found.into_iter().collect()
}

/// Labels and answers of the examples that have a label.
fn labelled(labels: &[usize], answers: &[usize]) -> Vec<(usize, usize)> {
    let pairs = labels.iter().copied().zip(answers.iter().copied());
    pairs.filter(|(label, _)| *label != UNLABELLED).collect()
}

/// How many labels the output at the other end is; none when outputs tell no such answer.
fn opposite(labels: &[usize], outputs: &[Vec<f64>], answers: &[usize]) -> Option<usize> {
    if labels.len() != outputs.len() || outputs.iter().any(|row| row.len() < 2) {
        return None;
    }
    let end = |row: &[f64], sign: f64| {
        let at = |best: usize, next: usize| {
            if sign * row[next] > sign * row[best] {
                next
            } else {
                best
            }
        };
        (1..row.len()).fold(0, at)
    };
    let ends = |sign: f64| outputs.iter().map(move |row| end(row, sign));
    let same = |sign: f64| ends(sign).zip(answers).filter(|(a, b)| a == *b).count();
    // The present rule is the one that gives the present answers.
    let sign = if same(1.0) >= same(-1.0) { -1.0 } else { 1.0 };
    Some(ends(sign).zip(labels).filter(|(a, b)| a == *b).count())
}

/// The most with which `right` of `n` or more are right by luck, each with probability `p`, in the best of
/// exp(`readings`) readings.
fn luck(n: usize, right: usize, p: f64, readings: f64) -> f64 {
    let q = right as f64 / n.max(1) as f64;
    if n == 0 || q <= p {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let term = |q: f64, p: f64| if q <= 0.0 { 0.0 } else { q * (q / p).ln() };
    let divergence = term(q, p) + term(1.0 - q, 1.0 - p);
    (readings - n as f64 * divergence).exp().min(1.0)
}

/// How often labels are answered with classes.
struct Confusion {
    classes: usize,
    /// The labels that examples have, ascending.
    labels: Vec<usize>,
    /// For each of them the answers that it gets and how often, ascending.
    answers: Vec<Vec<(usize, usize)>>,
}

impl Confusion {
    fn new(pairs: &[(usize, usize)], classes: usize) -> Self {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        let (mut labels, mut answers) = (vec![], vec![]);
        for of_label in sorted.chunk_by(|a, b| a.0 == b.0) {
            let counts = of_label.chunk_by(|a, b| a.1 == b.1);
            labels.push(of_label[0].0);
            answers.push(counts.map(|same| (same[0].1, same.len())).collect());
        }
        Self {
            classes,
            labels,
            answers,
        }
    }

    fn count(&self, row: usize, answer: usize) -> usize {
        let found = self.answers[row].binary_search_by_key(&answer, |pair| pair.0);
        found.map_or(0, |at| self.answers[row][at].1)
    }

    fn total(&self, row: usize) -> usize {
        self.answers[row].iter().map(|pair| pair.1).sum()
    }

    /// Examples that are right when labels are mapped.
    fn right(&self, permutation: &[usize]) -> usize {
        let row = |(row, &label): (usize, &usize)| self.count(row, permutation[label]);
        self.labels.iter().enumerate().map(row).sum()
    }

    /// The largest share that any mapping of labels to classes is right on when answers have nothing to
    /// do with labels: the largest share of labels with the largest share of answers, and so on.
    fn most_by_chance(&self) -> f64 {
        let mut of_labels: Vec<usize> = (0..self.labels.len()).map(|row| self.total(row)).collect();
        let mut counts = std::collections::HashMap::<usize, usize>::new();
        for &(answer, count) in self.answers.iter().flatten() {
            *counts.entry(answer).or_default() += count;
        }
        let mut of_answers: Vec<usize> = counts.into_values().collect();
        of_labels.sort_unstable_by(|a, b| b.cmp(a));
        of_answers.sort_unstable_by(|a, b| b.cmp(a));
        let n: usize = of_labels.iter().sum();
        let share = |count: usize| count as f64 / n.max(1) as f64;
        let both = of_labels.iter().zip(&of_answers);
        both.map(|(a, b)| share(*a) * share(*b)).sum()
    }

    /// The logarithm of the number of ways to map labels to classes.
    fn ways(&self) -> f64 {
        let last = self.classes - self.labels.len().min(self.classes);
        (last + 1..=self.classes).map(|k| (k as f64).ln()).sum()
    }

    /// The permutation that is right most often; of many labels a good one.
    fn permutation(&self) -> Vec<usize> {
        let assigned = if self.labels.len() <= EXACT {
            self.assignment()
        } else {
            self.greedy()
        };
        self.completed(&assigned)
    }

    /// A permutation from the classes of the labels that examples have: the others keep their places
    /// where those are free, and take what is left in order.
    fn completed(&self, assigned: &[usize]) -> Vec<usize> {
        let mut permutation = vec![usize::MAX; self.classes];
        let mut free = vec![true; self.classes];
        for (&label, &class) in self.labels.iter().zip(assigned) {
            permutation[label] = class;
            free[class] = false;
        }
        for class in 0..self.classes {
            if permutation[class] == usize::MAX && free[class] {
                permutation[class] = class;
                free[class] = false;
            }
        }
        let mut left = (0..self.classes).filter(|&class| free[class]);
        for class in permutation.iter_mut().filter(|class| **class == usize::MAX) {
            *class = left.next().unwrap_or_default();
        }
        permutation
    }

    /// Labels and classes paired by falling counts.
    fn greedy(&self) -> Vec<usize> {
        let mut cells: Vec<(usize, usize, usize)> = vec![];
        for (row, answers) in self.answers.iter().enumerate() {
            cells.extend(answers.iter().map(|&(answer, count)| (count, row, answer)));
        }
        cells.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut assigned = vec![usize::MAX; self.labels.len()];
        let mut free = vec![true; self.classes];
        for (_, row, answer) in cells {
            if assigned[row] == usize::MAX && free[answer] {
                assigned[row] = answer;
                free[answer] = false;
            }
        }
        let mut left = (0..self.classes).filter(|&class| free[class]);
        for class in assigned.iter_mut().filter(|class| **class == usize::MAX) {
            *class = left.next().unwrap_or_default();
        }
        assigned
    }

    /// The Hungarian method with potentials (Kuhn 1955; Munkres 1957): rows are added one after the
    /// other, each along a shortest augmenting path.
    fn assignment(&self) -> Vec<usize> {
        let (rows, columns) = (self.labels.len(), self.classes);
        let cost = |row: usize, column: usize| -(self.count(row, column) as f64);
        // Row and column 0 stand for none.
        let mut of_rows = vec![0.0; rows + 1];
        let mut of_columns = vec![0.0; columns + 1];
        let mut matched = vec![0; columns + 1];
        for row in 1..=rows {
            matched[0] = row;
            let mut column = 0;
            let mut least = vec![f64::INFINITY; columns + 1];
            let mut from = vec![0; columns + 1];
            let mut used = vec![false; columns + 1];
            while matched[column] != 0 {
                used[column] = true;
                let (at, mut delta, mut next) = (matched[column], f64::INFINITY, 0);
                for j in (1..=columns).filter(|&j| !used[j]) {
                    let reduced = cost(at - 1, j - 1) - of_rows[at] - of_columns[j];
                    if reduced < least[j] {
                        (least[j], from[j]) = (reduced, column);
                    }
                    if least[j] < delta {
                        (delta, next) = (least[j], j);
                    }
                }
                for j in 0..=columns {
                    if used[j] {
                        of_rows[matched[j]] += delta;
                        of_columns[j] -= delta;
                    } else {
                        least[j] -= delta;
                    }
                }
                column = next;
            }
            while column != 0 {
                matched[column] = matched[from[column]];
                column = from[column];
            }
        }
        let mut assigned = vec![0; rows];
        for (column, &row) in matched.iter().enumerate().skip(1) {
            if row > 0 {
                assigned[row - 1] = column - 1;
            }
        }
        assigned
    }

    /// The permutation that exchanges classes most examples of which are answered with each other; none
    /// when there are no such classes.
    fn exchanged(&self) -> Option<Vec<usize>> {
        const FEWEST: usize = 5;
        // The answer of most examples of each label.
        let mut most = vec![None; self.classes];
        for (row, answers) in self.answers.iter().enumerate() {
            let &(answer, count) = answers.iter().max_by_key(|pair| pair.1)?;
            if 2 * count > self.total(row) && self.total(row) >= FEWEST {
                most[self.labels[row]] = Some(answer);
            }
        }
        let mut permutation: Vec<usize> = (0..self.classes).collect();
        for start in 0..self.classes {
            // A cycle that leads back to where it begins, through labels that all have their answer.
            let mut cycle = vec![start];
            let mut at = start;
            while let Some(next) = most[at] {
                if next == start {
                    cycle.iter().for_each(|&label| {
                        permutation[label] = most[label].unwrap_or(label);
                    });
                    break;
                }
                if cycle.contains(&next) {
                    break;
                }
                cycle.push(next);
                at = next;
            }
        }
        let moves = permutation
            .iter()
            .enumerate()
            .any(|(label, class)| label != *class);
        moves.then_some(permutation)
    }

    /// Examples of labels that a permutation moves, which are right by either reading.
    fn moved(&self, permutation: &[usize]) -> usize {
        let rows = self.labels.iter().enumerate();
        rows.filter(|(_, label)| permutation[**label] != **label)
            .map(|(row, &label)| self.count(row, label) + self.count(row, permutation[label]))
            .sum()
    }

    /// Examples of labels that a permutation leaves in place, which are right.
    fn stays(&self, permutation: &[usize]) -> usize {
        let rows = self.labels.iter().enumerate();
        rows.filter(|(_, label)| permutation[**label] == **label)
            .map(|(row, &label)| self.count(row, label))
            .sum()
    }
}

#[cfg(test)]
mod tests;
