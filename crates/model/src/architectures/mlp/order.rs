//! In which order a perceptron applies the layers whose names do not say it.
//!
//! Layers that differ in numbers only (`fc1`, `fc2`; `layers.0`, `layers.2`) are a series and follow each
//! other in the order of the numbers; a layer reads as many features as the one before it gives. An
//! order is told when no other one is like that, or when the file keeps one that is.

use std::collections::{BTreeMap, BTreeSet};

use super::steps::weight_of;

/// A linear layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    /// Prefix of its tensors.
    pub(super) name: String,
    /// Features that it reads.
    pub(super) inputs: usize,
    /// Features that it gives.
    pub(super) outputs: usize,
}

/// An order of layers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    /// The layers, first to last.
    pub(super) layers: Vec<Matrix>,
    /// Whether only the order in the file tells it.
    pub(super) by_file: bool,
}

/// Layers that the search for another order may look at.
const MAX_STEPS: usize = 4_000_000;

/// The order of the layers; `file` lists their names as the file has them, where it keeps an order.
///
/// Fails where no order or more than one fits.
pub(super) fn order(layers: Vec<Matrix>, file: &[String]) -> Result<Ordered, String> {
    let series = series(layers);
    let fitting = orders(&series);
    let kept = in_file(&series, file).filter(|kept| chains(kept).is_ok());
    if let Some(kept) = kept {
        if follows_numbers(&kept) || fitting.is_empty() {
            return Ok(Ordered {
                by_file: fitting.len() != 1,
                layers: kept,
            });
        }
        return Err(ambiguous(&kept, &fitting[0]));
    }
    let mut fitting = fitting.into_iter();
    match (fitting.next(), fitting.next()) {
        (Some(layers), None) => Ok(Ordered {
            layers,
            by_file: false,
        }),
        (Some(one), Some(other)) => Err(ambiguous(&one, &other)),
        (None, _) => {
            let natural: Vec<Matrix> = series.into_iter().flatten().collect();
            Err(match chains(&natural) {
                Err(reason) => reason,
                Ok(()) => "its layers fit in too many orders".to_owned(),
            })
        }
    }
}

fn ambiguous(one: &[Matrix], other: &[Matrix]) -> String {
    let names = |layers: &[Matrix]| {
        let names: Vec<_> = layers
            .iter()
            .map(|layer| format!("`{}`", layer.name))
            .collect();
        names.join(", ")
    };
    format!(
        "the order of its layers is not told: both {} and {} fit",
        names(one),
        names(other)
    )
}

/// The numbers of a name: of each the length and the digits, which sort like numbers of any size.
type Numbers = Vec<(usize, String)>;

/// A name without its numbers, and the numbers.
fn parts(name: &str) -> (String, Numbers) {
    let (mut stem, mut numbers) = (String::new(), Vec::new());
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = &rest[start..];
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let number = digits[..end].trim_start_matches('0');
        stem.push_str(&rest[..start]);
        stem.push('#');
        numbers.push((number.len(), number.to_owned()));
        rest = &digits[end..];
    }
    stem.push_str(rest);
    (stem, numbers)
}

/// The layers by series, each in the order of its numbers.
fn series(layers: Vec<Matrix>) -> Vec<Vec<Matrix>> {
    let mut series: BTreeMap<String, Vec<(Numbers, Matrix)>> = BTreeMap::new();
    for layer in layers {
        let (stem, numbers) = parts(&layer.name);
        series.entry(stem).or_default().push((numbers, layer));
    }
    let sorted = series.into_values().map(|mut layers| {
        layers.sort_by(|a, b| a.0.cmp(&b.0));
        layers.into_iter().map(|(_, layer)| layer).collect()
    });
    sorted.collect()
}

/// Whether each layer reads what the one before it gives.
pub(super) fn chains(layers: &[Matrix]) -> Result<(), String> {
    for pair in layers.windows(2) {
        if pair[0].outputs != pair[1].inputs {
            return Err(format!(
                "tensor `{}` reads {} features, the layer before it gives {}",
                weight_of(&pair[1].name),
                pair[1].inputs,
                pair[0].outputs
            ));
        }
    }
    Ok(())
}

/// The layers in the order of the file; `None` where it does not list each of them once.
fn in_file(series: &[Vec<Matrix>], file: &[String]) -> Option<Vec<Matrix>> {
    let layers: BTreeMap<&str, &Matrix> = series
        .iter()
        .flatten()
        .map(|layer| (layer.name.as_str(), layer))
        .collect();
    let distinct: BTreeSet<&String> = file.iter().collect();
    if distinct.len() != file.len() || file.len() != layers.len() {
        return None;
    }
    let listed = file
        .iter()
        .map(|name| layers.get(name.as_str()).copied().cloned());
    listed.collect()
}

/// Whether the numbers of each series grow.
fn follows_numbers(layers: &[Matrix]) -> bool {
    let mut last: BTreeMap<String, Numbers> = BTreeMap::new();
    layers.iter().all(|layer| {
        let (stem, numbers) = parts(&layer.name);
        let before = last.insert(stem, numbers.clone());
        before.is_none_or(|before| before < numbers)
    })
}

/// Up to two orders that keep every series and in which the widths fit; none when too many choices
/// had to be made.
fn orders(series: &[Vec<Matrix>]) -> Vec<Vec<Matrix>> {
    let count: usize = series.iter().map(Vec::len).sum();
    let mut used = vec![0; series.len()];
    // For every place the series whose next layer takes it.
    let mut taken: Vec<usize> = Vec::with_capacity(count);
    let mut next = 0;
    let mut found = Vec::new();
    for _ in 0..(MAX_STEPS / series.len().max(1)).max(4 * count) {
        if taken.len() == count {
            found.push(laid_out(series, &taken));
            if found.len() == 2 {
                return found;
            }
            next = series.len();
        }
        let width = taken.last().map(|&of| series[of][used[of] - 1].outputs);
        let fits = |&of: &usize| match series[of].get(used[of]) {
            Some(layer) => width.is_none_or(|width| width == layer.inputs),
            None => false,
        };
        match (next..series.len()).find(fits) {
            Some(of) => {
                taken.push(of);
                used[of] += 1;
                next = 0;
            }
            None => match taken.pop() {
                Some(of) => {
                    used[of] -= 1;
                    next = of + 1;
                }
                None => return found,
            },
        }
    }
    Vec::new()
}

fn laid_out(series: &[Vec<Matrix>], taken: &[usize]) -> Vec<Matrix> {
    let mut layers: Vec<_> = series.iter().map(|layers| layers.iter()).collect();
    let next = |&of: &usize| layers[of].next().cloned();
    taken.iter().filter_map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(listed: &[(&str, usize, usize)]) -> Vec<Matrix> {
        let layer = |&(name, inputs, outputs): &(&str, usize, usize)| Matrix {
            name: name.to_owned(),
            inputs,
            outputs,
        };
        listed.iter().map(layer).collect()
    }

    fn names(
        listed: &[(&str, usize, usize)],
        file: &[&str],
    ) -> Result<(Vec<String>, bool), String> {
        let file: Vec<String> = file.iter().map(|&name| name.to_owned()).collect();
        let ordered = order(layers(listed), &file)?;
        let names = ordered.layers.into_iter().map(|layer| layer.name);
        Ok((names.collect(), ordered.by_file))
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for listed in [
            ["0", "10", "2"],
            ["fc1", "fc10", "fc9"],
            ["l.1.a", "l.10.a", "l.02.a"],
            [
                "b4000000000",
                "b18446744073709551616",
                "b18446744073709551615",
            ],
        ] {
            let square = listed.map(|name| (name, 4, 4));
            let (order, by_file) = names(&square, &[]).unwrap();
            assert_eq!(order, [listed[0], listed[2], listed[1]]);
            assert!(!by_file);
        }
    }

    #[test]
    fn widths_tell_the_order_of_names_without_numbers() {
        let listed = [("out", 5, 2), ("hidden", 5, 5), ("input", 9, 5)];
        assert_eq!(names(&listed, &[]).unwrap().0, ["input", "hidden", "out"]);
        let listed = [
            ("classifier", 5, 2),
            ("fc1", 9, 5),
            ("fc2", 5, 5),
            ("fc3", 5, 5),
        ];
        assert_eq!(
            names(&listed, &[]).unwrap().0,
            ["fc1", "fc2", "fc3", "classifier"]
        );
    }

    #[test]
    fn an_order_that_nothing_tells_is_refused() {
        let squares = [("a", 4, 4), ("b", 4, 4)];
        let halves = [
            ("enc.0", 9, 4),
            ("enc.2", 4, 2),
            ("dec.0", 2, 4),
            ("dec.2", 4, 9),
        ];
        let blocks = [
            ("b1.linear", 4, 4),
            ("b1.out", 4, 4),
            ("b2.linear", 4, 4),
            ("b2.out", 4, 4),
        ];
        for listed in [&squares[..], &halves, &blocks] {
            let refusal = names(listed, &[]).unwrap_err();
            assert!(refusal.contains("not told"), "{refusal}");
        }
        let broken = [("0", 3, 4), ("2", 5, 2)];
        let refusal = names(&broken, &[]).unwrap_err();
        assert!(refusal.contains("`2.weight` reads 5 features"), "{refusal}");
    }

    #[test]
    fn the_order_of_the_file_tells_where_it_contradicts_no_numbers() {
        let squares = [("a", 4, 4), ("b", 4, 4)];
        let told = (vec!["b".to_owned(), "a".to_owned()], true);
        assert_eq!(names(&squares, &["b", "a"]).unwrap(), told);
        let numbered = [("fc1", 4, 4), ("fc2", 4, 4)];
        assert!(names(&numbered, &["fc2", "fc1"]).is_err());
        assert!(!names(&numbered, &["fc1", "fc2"]).unwrap().1);
        // Only one order fits, whatever the file or the numbers say.
        let falling = [("fc2", 9, 4), ("fc1", 4, 2)];
        assert_eq!(names(&falling, &["fc2", "fc1"]).unwrap().0, ["fc2", "fc1"]);
        let widths = [("in", 9, 4), ("out", 4, 2)];
        assert_eq!(names(&widths, &["out", "in"]).unwrap().0, ["in", "out"]);
        assert!(names(&squares, &["a"]).is_err());
        assert!(names(&squares, &["a", "a"]).is_err());
    }

    #[test]
    fn long_chains_and_many_choices_end() {
        let long: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
        let chain: Vec<_> = long.iter().map(|name| (name.as_str(), 2, 2)).collect();
        assert_eq!(names(&chain, &[]).unwrap().0.len(), 20_000);
        // No order fits, and there are 18! beginnings.
        let letters: Vec<String> = (0..18).map(|i| char::from(b'a' + i).to_string()).collect();
        let mut tangle: Vec<_> = letters.iter().map(|name| (name.as_str(), 3, 3)).collect();
        tangle.push(("z", 5, 6));
        assert!(names(&tangle, &[]).is_err());
    }
}
