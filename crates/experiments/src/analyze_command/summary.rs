//! What is printed and written about a repair set.

use heuristics::Drop;
use heuristics::profile::{Classes, Distribution, Vertices};
use repair::NearDuplicates;
use serde::Serialize;

use super::spaces::Described;
use crate::repair_command::sets::PointSet;
use crate::repair_command::subject::Subject;
use crate::table::{counted, number, right_align, table};

/// The most classes that a line names.
const NAMED: usize = 5;

/// Everything that is known of a repair set; the report in JSON.
#[derive(Serialize)]
pub(super) struct Analysis {
    pub(super) network: String,
    pub(super) repair: String,
    pub(super) guard: Option<String>,
    pub(super) guard_points: Option<usize>,
    /// Extents of an input.
    pub(super) shape: Vec<usize>,
    pub(super) classes: Classes,
    pub(super) wrong: usize,
    pub(super) margins: Option<Distribution>,
    pub(super) confidences: Option<Distribution>,
    pub(super) near_duplicates: Vec<Pair>,
    pub(super) spaces: Vec<Described>,
    pub(super) drop: Option<Dropped>,
    pub(super) points: Vec<Answer>,
    pub(super) seconds: f64,
}

/// A point and what the network makes of it.
#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) label: usize,
    pub(super) answer: usize,
    pub(super) margin: f64,
    pub(super) confidence: f64,
}

/// Two points that are almost the same and have different labels.
#[derive(Serialize)]
pub(super) struct Pair {
    first: String,
    second: String,
    distance: f64,
}

impl Pair {
    pub(super) fn all(points: &PointSet, found: &NearDuplicates) -> Vec<Self> {
        let name = |point: usize| points.set.names.name(point);
        let pairs = found.pairs.iter().map(|pair| Self {
            first: name(pair.first),
            second: name(pair.second),
            distance: pair.distance,
        });
        pairs.collect()
    }
}

/// The points to leave out at a layer.
#[derive(Serialize)]
pub(super) struct Dropped {
    layer: String,
    /// Of the repair that is priced.
    margin: f64,
    /// Why there are none, if so.
    reason: Option<String>,
    /// First-order cost of all points.
    cost: Option<f64>,
    drops: Vec<NamedDrop>,
}

#[derive(Serialize)]
struct NamedDrop {
    name: String,
    #[serde(flatten)]
    drop: Drop,
}

impl Dropped {
    pub(super) fn new(
        layer: &str,
        margin: f64,
        cost: f64,
        drops: &[Drop],
        names: &[String],
    ) -> Self {
        let named = |&drop: &Drop| NamedDrop {
            name: names[drop.point].clone(),
            drop,
        };
        Self {
            layer: layer.to_owned(),
            margin,
            reason: None,
            cost: Some(cost),
            drops: drops.iter().map(named).collect(),
        }
    }

    pub(super) fn none(layer: &str, margin: f64, reason: String) -> Self {
        Self {
            layer: layer.to_owned(),
            margin,
            reason: Some(reason),
            cost: None,
            drops: Vec::new(),
        }
    }

    fn text(&self) -> Vec<String> {
        let Self { layer, reason, .. } = self;
        if let Some(reason) = reason {
            return vec![format!(
                "leaving points out at layer {layer}: no prices: {reason}"
            )];
        }
        let cost = self
            .cost
            .map_or("-".to_owned(), |cost| format!("{cost:.3e}"));
        let whole =
            format!("leaving points out at layer {layer}: first-order cost {cost} with all");
        if self.drops.is_empty() {
            return vec![format!("{whole}, to which no point adds")];
        }
        let mut drops = table(&["left out", "price", "share %", "predicted cost", "cost"]);
        for NamedDrop { name, drop } in &self.drops {
            drops.add_row([
                name.clone(),
                format!("{:.2e}", drop.price),
                format!("{:.1}", 100.0 * drop.share / (drop.share + drop.predicted)),
                format!("{:.3e}", drop.predicted),
                format!("{:.3e}", drop.cost),
            ]);
        }
        right_align(&mut drops, 1);
        vec![whole, drops.to_string()]
    }
}

impl Analysis {
    /// The lines to print.
    pub(super) fn text(&self, subject: &Subject, duplicates: &[String]) -> String {
        let count = self.points.len();
        let mut lines = vec![self.class_line(subject)];
        lines.push(format!(
            "answers: {} of {count} wrong; margin {}; confidence {}",
            self.wrong,
            spread(self.margins, 3),
            spread(self.confidences, 3),
        ));
        let nearest = self.points.iter();
        if let Some(point) = nearest.min_by(|a, b| a.margin.abs().total_cmp(&b.margin.abs())) {
            lines.push(format!(
                "nearest to the boundary: {} (margin {:.4})",
                point.name, point.margin
            ));
        }
        match duplicates {
            [] => lines.push("near-duplicates with different labels: none".to_owned()),
            pairs => {
                let found = self.near_duplicates.len();
                lines.push(format!(
                    "near-duplicates with different labels: {}",
                    counted(found, "pair")
                ));
                lines.extend(pairs.iter().map(|pair| format!("  {pair}")));
            }
        }
        lines.push(self.space_table());
        let guard = match self.guard_points {
            Some(inputs) => format!(" and to the nearest of {inputs} guard inputs"),
            None => String::new(),
        };
        lines.push(format!(
            "medians of the distances between pairs of {count} points, to their centroid{guard}"
        ));
        if let Some(drop) = &self.drop {
            lines.extend(drop.text());
        }
        lines.push(format!("work: {:.1} s", self.seconds));
        lines.join("\n")
    }

    fn class_line(&self, subject: &Subject) -> String {
        let classes = &self.classes;
        let mut counts: Vec<(usize, usize)> =
            classes.counts.iter().map(|(&c, &n)| (c, n)).collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let named = counts.iter().take(NAMED);
        let named: Vec<String> = named
            .map(|&(class, count)| format!("{} ({count})", subject.class(class)))
            .collect();
        let rest = if counts.len() > NAMED { ", .." } else { "" };
        let share = classes.normalised_entropy;
        format!(
            "classes: {} of {}: {}{rest}; entropy {:.2} bits{}",
            counts.len(),
            subject.network.classes(),
            named.join(", "),
            classes.entropy,
            share.map_or(String::new(), |share| format!(
                ", {:.0} % of the most",
                100.0 * share
            )),
        )
    }

    fn space_table(&self) -> String {
        let mut header = vec![
            "space",
            "numbers",
            "affine dim",
            "effective rank",
            "intrinsic dim",
            "hull vertices",
            "distance (min, max)",
            "to centroid",
        ];
        if self.guard.is_some() {
            header.extend(["to guard", "guard covered %"]);
        }
        let mut spaces = table(&header);
        for Described { space, profile } in &self.spaces {
            let median = |found: Option<Distribution>| number(found.map(|found| found.median), 3);
            let vertices = match profile.vertices {
                Vertices::Exactly(count) => count.to_string(),
                Vertices::Between { at_least, at_most } => format!("{at_least} to {at_most}"),
            };
            let mut row = vec![
                space.clone(),
                profile.width.to_string(),
                profile.affine_dimension.to_string(),
                format!("{:.1}", profile.effective_rank),
                number(profile.intrinsic_dimension, 1),
                vertices,
                profile.distances.map_or("-".to_owned(), |found| {
                    format!("{:.3} ({:.3}, {:.3})", found.median, found.min, found.max)
                }),
                median(profile.centroid),
            ];
            if let Some(coverage) = &profile.coverage {
                row.push(median(coverage.to_guard));
                row.push(format!("{:.1}", 100.0 * coverage.covered));
            }
            spaces.add_row(row);
        }
        right_align(&mut spaces, 1);
        spaces.to_string()
    }
}

/// Median and quartiles within the range, such as `-1.5 (-9 .. -2, -1 .. 0)`.
fn spread(found: Option<Distribution>, digits: usize) -> String {
    let Some(d) = found else {
        return "-".to_owned();
    };
    format!(
        "median {:.digits$}, quartiles {:.digits$} and {:.digits$}, from {:.digits$} to {:.digits$}",
        d.median, d.lower_quartile, d.upper_quartile, d.min, d.max
    )
}
