//! Samples and disjoint named splits.
//!
//! An experiment's splits (repair, guard, generalization, selection, drawdown) share no input, and
//! that is checked from the identities rather than trusted to the way they were drawn.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, ExampleId};
use crate::{DataError, random};

/// `size` different positions of a pool, in random order: the first `size` steps of a Fisher-Yates
/// shuffle driven by ChaCha8.
///
/// The result is the same on every platform, and a smaller sample of the same pool and seed is the
/// beginning of a larger one.
///
/// # Errors
/// [`DataError::PoolTooSmall`] when `size > pool`.
pub fn sample(pool: usize, size: usize, seed: u64) -> Result<Vec<usize>, DataError> {
    if size > pool {
        return Err(DataError::PoolTooSmall {
            wanted: size,
            available: pool,
        });
    }
    let mut rng = random::keyed(&[b"sample", &seed.to_le_bytes()]);
    let mut positions: Vec<usize> = (0..pool).collect();
    for i in 0..size {
        let chosen = i + random::below(&mut rng, (pool - i) as u64) as usize;
        positions.swap(i, chosen);
    }
    positions.truncate(size);
    Ok(positions)
}

/// At most `count` positions of a pool, ascending and evenly spaced: of a pool that is sorted by class
/// every class has its share.
pub fn spread(pool: usize, count: usize) -> Vec<usize> {
    let count = count.min(pool);
    (0..count).map(|i| i * pool / count).collect()
}

/// Disjoint random samples of one pool, one for each size.
///
/// # Errors
/// [`DataError::PoolTooSmall`] when the sizes sum to more than `pool`.
pub fn draw<const N: usize>(
    pool: usize,
    sizes: [usize; N],
    seed: u64,
) -> Result<[Vec<usize>; N], DataError> {
    let wanted = sizes
        .iter()
        .fold(0_usize, |sum, &size| sum.saturating_add(size));
    let mut positions = sample(pool, wanted, seed)?.into_iter();
    Ok(sizes.map(|size| positions.by_ref().take(size).collect()))
}

/// Named splits that share no input.
///
/// Serialised, each name maps to runs of identities that differ in the index only:
/// `{"repair": [{"source": "mnist-test", "variant": "fog:5:0", "indices": [17, 4]}]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, Vec<Run>>",
    into = "BTreeMap<String, Vec<Run>>"
)]
pub struct Splits {
    named: BTreeMap<String, Vec<ExampleId>>,
}

impl Splits {
    /// The identities of named datasets, after the check that no input occurs twice.
    ///
    /// # Errors
    /// [`DataError::SharedInput`] names two splits and the first input that they share,
    /// [`DataError::RepeatedSplit`] a name that is given twice.
    pub fn new<'a, N: Into<String>>(
        splits: impl IntoIterator<Item = (N, &'a Dataset)>,
    ) -> Result<Self, DataError> {
        let mut named = BTreeMap::new();
        for (name, dataset) in splits {
            let name = name.into();
            if named.contains_key(&name) {
                return Err(DataError::RepeatedSplit { name });
            }
            named.insert(name, dataset.ids.clone());
        }
        Self::checked(named)
    }

    fn checked(named: BTreeMap<String, Vec<ExampleId>>) -> Result<Self, DataError> {
        let mut owners: HashMap<&ExampleId, &str> = HashMap::new();
        for (name, ids) in &named {
            for id in ids {
                if let Some(first) = owners.insert(id, name) {
                    return Err(DataError::SharedInput {
                        first: first.to_owned(),
                        second: name.clone(),
                        example: id.clone(),
                    });
                }
            }
        }
        Ok(Self { named })
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// The identities of a split, in the order of its dataset.
    ///
    /// # Errors
    /// [`DataError::UnknownSplit`].
    pub fn ids(&self, name: &str) -> Result<&[ExampleId], DataError> {
        self.named
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| DataError::UnknownSplit {
                got: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            })
    }

    /// The inputs of split `of` whose underlying image also underlies an input of split `with`.
    ///
    /// Splits share no input, but a fog image and its clean original may lie in different splits.
    ///
    /// # Errors
    /// [`DataError::UnknownSplit`].
    pub fn shared_images(&self, of: &str, with: &str) -> Result<Vec<&ExampleId>, DataError> {
        let images: HashSet<_> = self.ids(with)?.iter().map(ExampleId::image).collect();
        Ok(self
            .ids(of)?
            .iter()
            .filter(|id| images.contains(&id.image()))
            .collect())
    }
}

/// Consecutive identities that differ in the index only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    source: String,
    variant: String,
    indices: Vec<u32>,
}

impl From<Splits> for BTreeMap<String, Vec<Run>> {
    fn from(splits: Splits) -> Self {
        let runs = |ids: &[ExampleId]| {
            ids.chunk_by(|a, b| (&a.source, &a.variant) == (&b.source, &b.variant))
                .map(|run| Run {
                    source: run[0].source.to_string(),
                    variant: run[0].variant.to_string(),
                    indices: run.iter().map(|id| id.index).collect(),
                })
                .collect()
        };
        splits
            .named
            .iter()
            .map(|(name, ids)| (name.clone(), runs(ids)))
            .collect()
    }
}

impl TryFrom<BTreeMap<String, Vec<Run>>> for Splits {
    type Error = DataError;

    fn try_from(named: BTreeMap<String, Vec<Run>>) -> Result<Self, DataError> {
        let identities = |run: Run| {
            let id = ExampleId {
                source: run.source.into(),
                index: 0,
                variant: run.variant.into(),
            };
            run.indices.into_iter().map(move |index| ExampleId {
                index,
                ..id.clone()
            })
        };
        let named = named
            .into_iter()
            .map(|(name, runs)| (name, runs.into_iter().flat_map(identities).collect()));
        Self::checked(named.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dataset(source: &str, variant: &str, indices: &[u32]) -> Dataset {
        let id = |&index| ExampleId {
            source: source.into(),
            index,
            variant: variant.into(),
        };
        Dataset {
            shape: vec![1],
            inputs: vec![0.0; indices.len()],
            labels: vec![0; indices.len()],
            classes: 1,
            ids: indices.iter().map(id).collect(),
        }
    }

    #[test]
    fn an_input_in_two_splits_is_refused_with_both_names() {
        let (repair, guard) = (
            dataset("s", "clean", &[1, 2]),
            dataset("s", "clean", &[3, 2]),
        );
        let error = Splits::new([("repair", &repair), ("guard", &guard)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "splits guard and repair share the input s[2] clean"
        );
    }

    #[test]
    fn an_input_twice_in_one_split_and_a_name_twice_are_refused() {
        let twice = dataset("s", "clean", &[1, 1]);
        let error = Splits::new([("repair", &twice)]).unwrap_err();
        assert!(matches!(error, DataError::SharedInput { first, second, .. } if first == second));
        let once = dataset("s", "clean", &[1]);
        let error = Splits::new([("repair", &once), ("repair", &once)]).unwrap_err();
        assert!(matches!(error, DataError::RepeatedSplit { .. }));
    }

    #[test]
    fn variants_of_an_image_are_different_inputs_of_the_same_image() {
        let (fog, clean) = (
            dataset("s", "fog:5:0", &[1, 2]),
            dataset("s", "clean", &[2, 3]),
        );
        let other = dataset("t", "clean", &[2]);
        let splits =
            Splits::new([("repair", &fog), ("drawdown", &clean), ("guard", &other)]).unwrap();
        let shared = splits.shared_images("repair", "drawdown").unwrap();
        assert_eq!(shared, [&fog.ids[1]]);
        assert!(splits.shared_images("repair", "guard").unwrap().is_empty());
        let error = splits.ids("selection").unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown split \"selection\": expected one of drawdown, guard, repair"
        );
    }

    #[test]
    fn splits_read_back_from_json_and_are_checked_again() {
        let mixed = Dataset::concat(&[
            &dataset("s", "fog:5:0", &[7, 4]),
            &dataset("s", "clean", &[4]),
        ])
        .unwrap();
        let splits = Splits::new([("repair", &mixed)]).unwrap();
        let json = serde_json::to_string(&splits).unwrap();
        assert_eq!(
            json,
            r#"{"repair":[{"source":"s","variant":"fog:5:0","indices":[7,4]},{"source":"s","variant":"clean","indices":[4]}]}"#
        );
        assert_eq!(serde_json::from_str::<Splits>(&json).unwrap(), splits);
        let repeated = json.replace("[7,4]", "[7,7]");
        assert!(serde_json::from_str::<Splits>(&repeated).is_err());
    }

    #[test]
    fn samples_are_stable() {
        assert_eq!(sample(10, 10, 0).unwrap(), sample(10, 10, 0).unwrap());
        assert_ne!(sample(1000, 10, 0).unwrap(), sample(1000, 10, 1).unwrap());
        assert!(matches!(
            sample(3, 4, 0),
            Err(DataError::PoolTooSmall {
                wanted: 4,
                available: 3
            })
        ));
        assert!(matches!(
            draw(3, [2, usize::MAX], 0),
            Err(DataError::PoolTooSmall { .. })
        ));
    }

    #[test]
    fn spread_positions_reach_every_part_of_a_pool_and_are_different() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 8), [0, 1, 2]);
        assert!(spread(0, 8).is_empty() && spread(8, 0).is_empty());
    }

    #[test]
    fn every_position_is_equally_likely_to_be_drawn_first() {
        let mut counts = [0_u32; 5];
        for seed in 0..5000 {
            counts[sample(5, 1, seed).unwrap()[0]] += 1;
        }
        // Five standard deviations of a binomial count around 1000.
        assert!(
            counts.iter().all(|&count| count.abs_diff(1000) < 142),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn draws_are_disjoint_and_samples_nest(
            sizes in proptest::array::uniform3(0_usize..20),
            spare in 0_usize..5,
            seed: u64,
        ) {
            let total = sizes.iter().sum::<usize>();
            let drawn = draw(total + spare, sizes, seed).unwrap();
            prop_assert_eq!(drawn.each_ref().map(Vec::len), sizes);
            let all = drawn.concat();
            prop_assert!(all.iter().all(|&position| position < total + spare));
            prop_assert_eq!(all.iter().collect::<HashSet<_>>().len(), total);
            prop_assert_eq!(&sample(total + spare, sizes[0], seed).unwrap(), &drawn[0]);
        }
    }
}
