//! The classes of ILSVRC 2012 by WordNet id, and the 200 of them that ImageNet-A uses.
//!
//! Checkpoints number the 1000 classes in the order of their WordNet ids. ImageNet-A (Hendrycks et
//! al., "Natural Adversarial Examples", CVPR 2021) has a folder per class, named by WordNet id, and is
//! scored on the 200 logits of its classes: the position of a folder among its 200 siblings is *not*
//! a class index.

use std::sync::LazyLock;

/// Number of classes.
pub const CLASSES: usize = 1000;

static WNIDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("imagenet_wnids.txt").lines().collect());

static DEVKIT: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("imagenet_devkit_wnids.txt").lines().collect());

static IMAGENET_A: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let wnids = include_str!("imagenet_a_wnids.txt").lines();
    wnids.filter_map(class_of).collect()
});

/// The WordNet ids of the 1000 classes, class 0 first.
pub fn wnids() -> &'static [&'static str] {
    &WNIDS
}

/// The class of a WordNet id, e.g. 0 for `n01440764`.
pub fn class_of(wnid: &str) -> Option<usize> {
    WNIDS.binary_search(&wnid).ok()
}

/// The WordNet id of a number in `ILSVRC2012_validation_ground_truth.txt`, from 1.
///
/// The development kit counts the classes in another order than checkpoints do: its 490 is class 65.
pub fn devkit_wnid(number: u64) -> Option<&'static str> {
    let at = usize::try_from(number.checked_sub(1)?).ok()?;
    DEVKIT.get(at).copied()
}

/// The 200 classes of ImageNet-A, ascending.
pub fn imagenet_a() -> &'static [usize] {
    &IMAGENET_A
}

/// The values of `outputs` at `classes`, in their order; classes that `outputs` lacks are left out.
///
/// A guard or a repair specification on ImageNet-A compares these only.
pub fn restrict(outputs: &[f32], classes: &[usize]) -> Vec<f32> {
    let values = classes.iter().filter_map(|&class| outputs.get(class));
    values.copied().collect()
}

/// The class, of those in `classes`, with the greatest output: the prediction of a network of 1000
/// outputs on a set of fewer classes. `None` without classes.
pub fn predict_among(outputs: &[f32], classes: &[usize]) -> Option<usize> {
    let value = |class: &usize| outputs.get(*class).map(|&value| (*class, value));
    let best = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
    classes
        .iter()
        .filter_map(value)
        .reduce(best)
        .map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_in_the_order_of_their_wordnet_ids() {
        assert_eq!(wnids().len(), CLASSES);
        assert!(wnids().is_sorted_by(|a, b| a < b));
        // Tench, chainlink fence, toilet tissue.
        let known = [("n01440764", 0), ("n03000134", 489), ("n15075141", 999)];
        for (wnid, class) in known {
            assert_eq!(class_of(wnid), Some(class));
        }
        assert_eq!(class_of("n00000000"), None);
    }

    #[test]
    fn the_development_kit_has_its_own_order_of_the_same_classes() {
        let mut all: Vec<&str> = (1..=1000).filter_map(devkit_wnid).collect();
        all.sort_unstable();
        assert_eq!(all, wnids());
        // The first ten validation pictures, as the kit and as Caffe's val.txt number them.
        let kit = [490, 361, 171, 822, 297, 482, 13, 704, 599, 164];
        let known = [65, 970, 230, 809, 516, 57, 334, 415, 674, 332];
        let classes = kit.map(|number| devkit_wnid(number).and_then(class_of));
        assert_eq!(classes, known.map(Some));
        assert_eq!((devkit_wnid(0), devkit_wnid(1001)), (None, None));
    }

    #[test]
    fn imagenet_a_has_200_classes_from_stingray_to_acorn() {
        let classes = imagenet_a();
        assert_eq!(classes.len(), 200);
        assert!(classes.is_sorted_by(|a, b| a < b));
        assert_eq!((classes[0], classes[199]), (6, 988));
        assert_eq!(wnids()[classes[0]], "n01498041");
        assert_eq!(wnids()[classes[199]], "n12267677");
    }

    #[test]
    fn a_prediction_among_some_classes_ignores_the_others() {
        let mut outputs = vec![0.0; CLASSES];
        (outputs[0], outputs[11], outputs[13]) = (9.0, 1.0, 2.0);
        assert_eq!(predict_among(&outputs, imagenet_a()), Some(13));
        assert_eq!(predict_among(&outputs, &[]), None);
        let restricted = restrict(&outputs, imagenet_a());
        assert_eq!(
            (restricted.len(), restricted[1], restricted[2]),
            (200, 1.0, 2.0)
        );
    }
}
