//! What a repair did, in lines and for the report.

use repair::{Answers, Attribution, ClassAnswers, LayerChange, SHARE, smallest_share};
use serde::Serialize;

/// The most points, units and classes that a line names.
const NAMED: usize = 5;

/// What a repair did to the weights, and to the answers on the guard set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Attributed {
    #[serde(flatten)]
    pub(super) attribution: Attribution,
    /// On the guard set.
    pub(super) answers: Option<Answers>,
}

impl Attributed {
    /// A line per layer, and one of the classes that lost and gained; `class` names a class.
    pub(super) fn lines(&self, class: impl Fn(usize) -> String) -> Vec<String> {
        let mut lines: Vec<String> = self.attribution.layers.iter().map(units).collect();
        lines.extend(self.answers.as_ref().map(|answers| classes(answers, class)));
        lines
    }
}

/// How much a layer changed, and which of its units most.
fn units(change: &LayerChange) -> String {
    let part = |&unit: &usize| {
        let relative = change.units.get(unit).and_then(|size| size.relative);
        let relative = relative.map(|relative| format!(" ({:.1} %)", 100.0 * relative));
        format!("{unit}{}", relative.unwrap_or_default())
    };
    let whole = match change.whole.relative {
        Some(relative) => format!("{:.1} % of the weights", 100.0 * relative),
        None => "weights that were zero".to_owned(),
    };
    format!(
        "layer {}: changed by {whole}; {} of {} units hold {:.0} % of it: {}",
        change.layer,
        change.moved.len(),
        change.units.len(),
        100.0 * SHARE,
        named(change.moved.iter().map(part), change.moved.len()),
    )
}

/// The classes of the guard set that lost and gained most.
fn classes(answers: &Answers, class: impl Fn(usize) -> String) -> String {
    let most = |word: &str, size: fn(&ClassAnswers) -> usize| {
        let mut changed: Vec<_> = answers.classes.iter().filter(|c| size(c) > 0).collect();
        changed.sort_by_key(|c| std::cmp::Reverse(size(c)));
        let part =
            |c: &&ClassAnswers| format!("{} ({} of {})", class(c.class), size(c), c.examples);
        match changed.len() {
            0 => format!("no class {word}"),
            count => format!("{word}: {}", named(changed.iter().map(part), count)),
        }
    };
    format!(
        "classes of the guard set: {}; {}",
        most("lost", |c| c.lost),
        most("gained", |c| c.gained)
    )
}

/// How many points it takes for most of all prices, and which they are.
pub(super) fn prices(prices: &[f64], names: &[String]) -> String {
    let dearest = smallest_share(prices, SHARE);
    if dearest.is_empty() {
        return "prices: zero at every point".to_owned();
    }
    let shown = dearest
        .iter()
        .filter_map(|&point| names.get(point).cloned());
    format!(
        "prices: {} of {} points bear {:.0} % of the price: {}",
        dearest.len(),
        prices.len(),
        100.0 * SHARE,
        named(shown, dearest.len()),
    )
}

/// The first of `count` things.
fn named(things: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = things.take(NAMED).collect();
    let rest = if count > NAMED { ", .." } else { "" };
    shown.join(", ") + rest
}

#[cfg(test)]
mod tests {
    use repair::Size;

    use super::*;

    #[test]
    fn the_fewest_points_that_bear_most_of_the_price_are_named() {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(
            prices(&[0.1, 5.0, 0.0, 3.0], &names),
            "prices: 2 of 4 points bear 80 % of the price: b, d"
        );
        assert_eq!(
            prices(&[0.0, 9.0, 0.0, 1.0], &names),
            "prices: 1 of 4 points bear 80 % of the price: b"
        );
        assert_eq!(prices(&[0.0; 4], &names), "prices: zero at every point");
        let many: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        assert_eq!(
            prices(&[1.0; 10], &many),
            "prices: 8 of 10 points bear 80 % of the price: 0, 1, 2, 3, 4, .."
        );
    }

    #[test]
    fn the_most_changed_units_and_the_classes_that_lost_most_are_named() {
        let size = |norm: f64, relative| Size { norm, relative };
        let change = LayerChange {
            layer: "head".into(),
            whole: size(5.0, Some(0.125)),
            units: vec![size(3.0, Some(0.5)), size(0.0, Some(0.0)), size(4.0, None)],
            inputs: vec![],
            moved: vec![2, 0],
        };
        let attributed = Attributed {
            attribution: Attribution {
                prices: vec![],
                causes: vec![],
                layers: vec![change],
            },
            answers: Answers::new(&[0, 0, 1, 1], &[0, 0, 1, 1], &[0, 1, 0, 0]).ok(),
        };
        let lines = attributed.lines(|class| format!("class-{class}"));
        assert_eq!(
            lines,
            [
                "layer head: changed by 12.5 % of the weights; 2 of 3 units hold 80 % of it: 2, 0 (50.0 %)",
                "classes of the guard set: lost: class-1 (2 of 2), class-0 (1 of 2); no class gained",
            ]
        );
    }
}
