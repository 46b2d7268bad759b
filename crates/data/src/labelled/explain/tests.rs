use proptest::prelude::*;

use super::*;
use crate::random::{below, keyed, unit};

/// Right classes of `n` examples, the outputs of a network that gets a share of them right and the
/// others wrong at random, and its answers.
fn network(
    n: usize,
    classes: usize,
    share: f64,
    seed: u64,
) -> (Vec<usize>, Vec<Vec<f64>>, Vec<usize>) {
    let mut rng = keyed(&[b"explain", &seed.to_le_bytes()]);
    let draw = |rng: &mut _| below(rng, classes as u64) as usize;
    let (mut labels, mut outputs, mut answers) = (vec![], vec![], vec![]);
    for _ in 0..n {
        let label = draw(&mut rng);
        let answer = match unit(&mut rng) < share {
            true => label,
            false => draw(&mut rng),
        };
        let mut row: Vec<f64> = (0..classes).map(|_| unit(&mut rng)).collect();
        row[answer] = 2.0;
        labels.push(label);
        outputs.push(row);
        answers.push(answer);
    }
    (labels, outputs, answers)
}

fn explained(
    n: usize,
    classes: usize,
    share: f64,
    read: impl Fn(usize) -> usize,
) -> Option<Explanation> {
    let (labels, outputs, answers) = network(n, classes, share, 1);
    let labels: Vec<usize> = labels.into_iter().map(read).collect();
    explain_labels(&labels, &outputs, &answers, classes)
}

#[test]
fn labels_in_another_order_are_found() {
    // The orders of checkpoints for MNLI: label k of the file is class order[k] of the network.
    for order in [[1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 2, 1]] {
        let label = |class: usize| order.iter().position(|&at| at == class).unwrap();
        let found = explained(300, 3, 0.8, label).unwrap();
        assert_eq!(
            found.reading,
            OtherReading::Permutation(order.to_vec()),
            "{found}"
        );
        assert!(
            found.other > 0.8 && found.present < 0.45 && found.luck < LUCK,
            "{found}"
        );
    }
    let found = explained(60, 2, 0.8, |class| 1 - class).unwrap();
    assert_eq!(found.reading, OtherReading::Permutation(vec![1, 0]));
    let text = found.to_string();
    assert!(
        text.contains("if label 0 were 1, label 1 were 0, or the answer were the other"),
        "{text}"
    );
}

#[test]
fn folders_in_the_order_of_their_texts_are_found() {
    // 0, 1, 10, 11, 2, .. : the first two are right, which is better than chance.
    let mut names: Vec<String> = (0..12).map(|class: usize| class.to_string()).collect();
    names.sort();
    let label = |class: usize| {
        names
            .iter()
            .position(|name| *name == class.to_string())
            .unwrap()
    };
    let found = explained(1000, 12, 0.9, label).unwrap();
    let order: Vec<usize> = names.iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!(found.reading, OtherReading::Permutation(order));
    assert!(found.present > 0.15, "{found}");
}

#[test]
fn an_offset_is_found() {
    // EMNIST's letters count from 1: 26 classes, of which the last is out of reach of 26 outputs.
    let found = explained(400, 27, 0.8, |class| (class + 1).min(26)).unwrap();
    assert_eq!(found.reading, OtherReading::Offset(-1), "{found}");
    let found = explained(400, 27, 0.8, |class| class.saturating_sub(1)).unwrap();
    assert_eq!(found.reading, OtherReading::Offset(1));
    assert!(
        found.to_string().ends_with("if every label were 1 more"),
        "{found}"
    );
}

#[test]
fn the_opposite_rule_is_found_whichever_is_the_present_one() {
    let (labels, outputs, right) = network(200, 5, 0.9, 3);
    let end = |row: &Vec<f64>, sign: f64| {
        (0..row.len())
            .max_by(|&a, &b| (sign * row[a]).total_cmp(&(sign * row[b])))
            .unwrap()
    };
    let smallest: Vec<usize> = outputs.iter().map(|row| end(row, -1.0)).collect();
    let found = explain_labels(&labels, &outputs, &smallest, 5).unwrap();
    assert_eq!(found.reading, OtherReading::OppositeRule);
    assert!(
        found.to_string().contains("smallest instead of largest"),
        "{found}"
    );
    // ACAS Xu: the advisory is the smallest score.
    let scores: Vec<Vec<f64>> = outputs
        .iter()
        .map(|row| row.iter().map(|x| -x).collect())
        .collect();
    let found = explain_labels(&labels, &scores, &smallest, 5).unwrap();
    assert_eq!(found.reading, OtherReading::OppositeRule);
    assert_eq!(explain_labels(&labels, &scores, &right, 5), None);
}

#[test]
fn two_classes_that_change_places_are_found_in_an_accurate_network() {
    let swap = |class: usize| match class {
        3 => 7,
        7 => 3,
        other => other,
    };
    let found = explained(500, 10, 0.95, swap).unwrap();
    assert_eq!(
        found.reading,
        OtherReading::Permutation(vec![0, 1, 2, 7, 4, 5, 6, 3, 8, 9])
    );
    assert!(found.present > 0.7 && found.other > 0.9, "{found}");
}

#[test]
fn networks_that_are_only_wrong_are_not_explained() {
    // Accurate ones, and those that guess, over many seeds and sizes.
    for seed in 0..60 {
        for classes in [2, 3, 10, 40] {
            for (n, share) in [
                (5, 0.0),
                (20, 0.0),
                (100, 0.0),
                (400, 0.0),
                (100, 0.3),
                (100, 0.9),
            ] {
                let (labels, outputs, answers) = network(n, classes, share, seed);
                let found = explain_labels(&labels, &outputs, &answers, classes);
                assert_eq!(found, None, "{seed} {classes} {n} {share}");
            }
        }
    }
    // One class is always mistaken for another, which is in the set or is not.
    let (labels, outputs, mut answers) = network(500, 10, 0.95, 5);
    for (answer, label) in answers.iter_mut().zip(&labels) {
        if *label == 3 {
            *answer = 5;
        }
    }
    assert_eq!(explain_labels(&labels, &outputs, &answers, 10), None);
    let absent: Vec<usize> = labels
        .iter()
        .map(|&label| if label == 5 { UNLABELLED } else { label })
        .collect();
    assert_eq!(explain_labels(&absent, &outputs, &answers, 10), None);
    // Everything is one class.
    let constant = vec![4; labels.len()];
    assert_eq!(explain_labels(&labels, &outputs, &constant, 10), None);
    // A few errors say nothing.
    assert_eq!(explained(10, 2, 1.0, |class| 1 - class), None);
    assert!(explained(40, 2, 1.0, |class| 1 - class).is_some());
}

#[test]
fn chance_is_what_unrelated_answers_would_get() {
    let labels = [0, 0, 0, 1, UNLABELLED];
    let chance = against_chance(&labels, &[0, 0, 1, 1, 0]).unwrap();
    assert_eq!(
        (chance.examples, chance.accuracy, chance.better),
        (4, 0.75, false)
    );
    assert!((chance.chance - (0.75 * 0.5 + 0.25 * 0.5)).abs() < 1e-12);
    assert_eq!(against_chance(&[UNLABELLED], &[0]), None);
    let (labels, _, answers) = network(50, 10, 0.5, 2);
    assert!(against_chance(&labels, &answers).unwrap().better);
    let (labels, _, answers) = network(50, 10, 0.0, 2);
    assert!(!against_chance(&labels, &answers).unwrap().better);
    // A network that always gives the commonest answer is right often and no better than chance.
    let common: Vec<usize> = (0..100).map(|i| usize::from(i % 10 == 0)).collect();
    let chance = against_chance(&common, &[0; 100]).unwrap();
    assert!(chance.accuracy == 0.9 && !chance.better, "{chance:?}");
}

#[test]
fn unlabelled_examples_and_answers_without_a_class_are_no_evidence() {
    let (labels, outputs, answers) = network(300, 3, 0.9, 1);
    let mut moved: Vec<usize> = labels.iter().map(|label| (label + 1) % 3).collect();
    moved[..100].fill(UNLABELLED);
    let found = explain_labels(&moved, &outputs, &answers, 3).unwrap();
    assert_eq!(found.examples, 200);
    assert_eq!(
        explain_labels(&[UNLABELLED; 300], &outputs, &answers, 3),
        None
    );
    assert_eq!(explain_labels(&moved, &outputs, &answers, 2), None);
    // Without outputs a permutation is found all the same.
    let found = explain_labels(&moved, &[], &answers, 3).unwrap();
    assert_eq!(found.reading, OtherReading::Permutation(vec![2, 0, 1]));
}

/// The largest sum over all ways to give each row a column of its own.
fn brute_force(counts: &[Vec<usize>], used: &mut Vec<bool>, row: usize) -> usize {
    if row == counts.len() {
        return 0;
    }
    let mut best = 0;
    for column in 0..used.len() {
        if !used[column] {
            used[column] = true;
            best = best.max(counts[row][column] + brute_force(counts, used, row + 1));
            used[column] = false;
        }
    }
    best
}

proptest! {
    #[test]
    fn the_assignment_is_the_best_one(
        classes in 2_usize..6,
        pairs in proptest::collection::vec((0_usize..6, 0_usize..6), 1..60),
    ) {
        let pairs: Vec<(usize, usize)> = pairs
            .into_iter()
            .map(|(label, answer)| (label % classes, answer % classes))
            .collect();
        let confusion = Confusion::new(&pairs, classes);
        let permutation = confusion.permutation();
        let mut sorted = permutation.clone();
        sorted.sort_unstable();
        prop_assert!(sorted.into_iter().eq(0..classes));
        let mut counts = vec![vec![0; classes]; classes];
        pairs.iter().for_each(|&(label, answer)| counts[label][answer] += 1);
        let best = brute_force(&counts, &mut vec![false; classes], 0);
        prop_assert_eq!(confusion.right(&permutation), best);
        let greedy = confusion.completed(&confusion.greedy());
        let mut sorted = greedy.clone();
        sorted.sort_unstable();
        prop_assert!(sorted.into_iter().eq(0..classes));
        prop_assert!(2 * confusion.right(&greedy) >= best);
    }
}
