//! Values of a graph while it is read: constants that are folded, and values of an example that our graph
//! computes. Both are rearranged by the same index maps,
//!
//! ```text
//! y[i] = x[s(i)]    or    y[i] = fill
//! ```
//!
//! in row-major order, and consecutive maps are composed: a chain of reshapes, transposes and slices
//! costs one copy at most.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::NodeId;
use crate::ops::Rearrange;

/// Why a node is refused: the end of a sentence that begins with the node.
pub(super) type Reason = String;

/// The most numbers that a value of one example may have.
pub(super) const MOST_NUMBERS: usize = 1 << 26;

/// The most numbers that a folded constant may have.
pub(super) const MOST_CONSTANTS: usize = 1 << 25;

/// Position of a number that is not copied.
pub(super) const FILL: u32 = Rearrange::FILL;

/// What the elements of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Real numbers of any width.
    Float,
    /// Whole numbers.
    Integer,
    /// 0 or 1.
    Boolean,
}

/// The stored tensors that a constant depends on, by their positions in the file's list.
pub(super) type Origins = Arc<BTreeSet<usize>>;

/// A value that does not depend on the input.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Extents.
    pub(super) shape: Vec<usize>,
    /// Elements.
    pub(super) data: Data,
    /// The stored floats that they were made of.
    pub(super) origins: Origins,
}

/// The elements of a constant.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// Floats of a stored tensor, read when they are needed.
    Stored {
        /// The tensor's position in the file's list.
        tensor: usize,
        /// For every element its position in the tensor; `None` for the same order.
        order: Option<Arc<[u32]>>,
    },
    /// Folded floats.
    Floats(Arc<[f64]>),
    /// Whole numbers or booleans.
    Integers(Arc<[i64]>, Kind),
}

/// A value of one example that our graph computes.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Extents in the file, 1 for the batch.
    pub(super) shape: Vec<usize>,
    /// Our node.
    pub(super) node: NodeId,
    /// For every number its position in the node's value; `None` for the same order.
    pub(super) view: Option<Arc<[u32]>>,
    /// The number where the view copies nothing.
    pub(super) fill: f64,
    /// What the elements are.
    pub(super) kind: Kind,
    /// Whether they are known to be 0 or 1.
    pub(super) binary: bool,
    /// The axis whose extent is any number of examples, where it is not fixed in the file.
    pub(super) batch: Option<usize>,
}

/// Any value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// One that does not depend on the input.
    Constant(Constant),
    /// One that does.
    Live(Live),
    /// One that cannot be represented, with the reason: whoever reads it is refused.
    Opaque(Vec<usize>, Reason),
}

impl Value {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Constant(constant) => &constant.shape,
            Self::Live(live) => &live.shape,
            Self::Opaque(shape, _) => shape,
        }
    }

    pub(super) fn constant(&self) -> Option<&Constant> {
        match self {
            Self::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// The value under an index map.
    pub(super) fn mapped(&self, map: &Map) -> Result<Self, Reason> {
        Ok(match self {
            Self::Constant(constant) => Self::Constant(constant.mapped(map)?),
            Self::Live(live) => Self::Live(live.mapped(map)),
            Self::Opaque(_, reason) => return Err(reason.clone()),
        })
    }
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Self {
        Self::Constant(constant)
    }
}

impl From<Live> for Value {
    fn from(live: Live) -> Self {
        Self::Live(live)
    }
}

impl Constant {
    pub(super) fn integers(shape: &[usize], numbers: Vec<i64>) -> Self {
        Self::whole(shape, numbers, Kind::Integer)
    }

    pub(super) fn booleans(shape: &[usize], numbers: Vec<bool>) -> Self {
        let numbers = numbers.into_iter().map(i64::from).collect();
        Self::whole(shape, numbers, Kind::Boolean)
    }

    pub(super) fn whole(shape: &[usize], numbers: Vec<i64>, kind: Kind) -> Self {
        Self {
            shape: shape.to_vec(),
            data: Data::Integers(numbers.into(), kind),
            origins: Origins::default(),
        }
    }

    pub(super) fn floats(shape: &[usize], numbers: Vec<f64>, origins: Origins) -> Self {
        Self {
            shape: shape.to_vec(),
            data: Data::Floats(numbers.into()),
            origins,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.data {
            Data::Integers(_, kind) => *kind,
            _ => Kind::Float,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The constant under an index map.
    pub(super) fn mapped(&self, map: &Map) -> Result<Self, Reason> {
        let Some(sources) = &map.sources else {
            return Ok(Self {
                shape: map.shape.clone(),
                ..self.clone()
            });
        };
        if sources.len() > MOST_CONSTANTS {
            return Err(too_many(sources.len() as u128));
        }
        let fills = sources.contains(&FILL);
        let data = match &self.data {
            Data::Stored { tensor, order } if !fills => Data::Stored {
                tensor: *tensor,
                order: Some(compose(sources, order.as_ref())),
            },
            Data::Stored { .. } => return Err("pads stored weights".to_owned()),
            Data::Floats(numbers) => Data::Floats(picked(numbers, sources, map.fill)),
            Data::Integers(numbers, kind) => {
                Data::Integers(picked(numbers, sources, map.fill as i64), *kind)
            }
        };
        Ok(Self {
            shape: map.shape.clone(),
            data,
            origins: Arc::clone(&self.origins),
        })
    }
}

fn picked<T: Copy>(numbers: &[T], sources: &[u32], fill: T) -> Arc<[T]> {
    let pick = |&source: &u32| numbers.get(source as usize).copied().unwrap_or(fill);
    sources.iter().map(pick).collect()
}

impl Live {
    /// The value under an index map. Where both leave numbers out, they agree on what stands there
    /// ([`Live::must_settle`] says whether they do).
    pub(super) fn mapped(&self, map: &Map) -> Self {
        let (view, fill) = match &map.sources {
            None => (self.view.clone(), self.fill),
            Some(sources) => {
                let fill = if sources.contains(&FILL) {
                    map.fill
                } else {
                    self.fill
                };
                (Some(compose(sources, self.view.as_ref())), fill)
            }
        };
        Self {
            shape: map.shape.clone(),
            view,
            fill,
            ..self.clone()
        }
    }

    /// Whether the view must become a node before another map with fills is laid over it.
    pub(super) fn must_settle(&self, map: &Map) -> bool {
        let fills = |sources: &Option<Arc<[u32]>>| {
            sources
                .as_ref()
                .is_some_and(|sources| sources.contains(&FILL))
        };
        self.fill != map.fill && fills(&map.sources) && fills(&self.view)
    }

    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn with_batch(self, batch: Option<usize>) -> Self {
        Self { batch, ..self }
    }
}

/// Where every number of a result comes from.
#[derive(Clone, Debug)]
pub(super) struct Map {
    /// Extents of the result.
    pub(super) shape: Vec<usize>,
    /// Positions in the source; `None` for the same order.
    pub(super) sources: Option<Arc<[u32]>>,
    /// What stands where nothing is copied.
    pub(super) fill: f64,
}

impl Map {
    /// The same numbers with other extents.
    pub(super) fn reshape(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            sources: None,
            fill: 0.0,
        }
    }

    /// A map whose positions are sums of one term per axis of the result; [`FILL`] stands for none.
    pub(super) fn separable(axes: &[Vec<u32>], fill: f64) -> Result<Self, Reason> {
        let shape: Vec<usize> = axes.iter().map(Vec::len).collect();
        let total = count(&shape)?;
        let mut sources = vec![0_u32];
        for axis in axes {
            let mut next = Vec::with_capacity((sources.len() * axis.len()).min(total));
            for &outer in &sources {
                next.extend(axis.iter().map(|&inner| match (outer, inner) {
                    (FILL, _) | (_, FILL) => FILL,
                    (outer, inner) => outer.saturating_add(inner),
                }));
            }
            sources = next;
        }
        Ok(Self {
            shape,
            sources: Some(sources.into()),
            fill,
        })
    }

    /// Axes in another order.
    pub(super) fn transpose(shape: &[usize], order: &[usize]) -> Result<Self, Reason> {
        let to: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let moved: Vec<usize> = order.iter().copied().filter(|&a| shape[a] != 1).collect();
        if moved.is_sorted() {
            return Ok(Self::reshape(&to));
        }
        let strides = strides(shape);
        let axes: Vec<Vec<u32>> = order
            .iter()
            .map(|&axis| {
                (0..shape[axis])
                    .map(|i| (i * strides[axis]) as u32)
                    .collect()
            })
            .collect();
        Self::separable(&axes, 0.0)
    }

    /// Some positions of one axis, [`FILL`] for none.
    pub(super) fn pick(
        shape: &[usize],
        axis: usize,
        positions: &[u32],
        fill: f64,
    ) -> Result<Self, Reason> {
        let strides = strides(shape);
        let mut axes = along(shape, &strides);
        axes[axis] = positions
            .iter()
            .map(|&i| {
                if i == FILL {
                    FILL
                } else {
                    i * strides[axis] as u32
                }
            })
            .collect();
        Self::separable(&axes, fill)
    }

    /// Extents of one repeated until the shape is `to`, aligned at the last axis.
    pub(super) fn expand(shape: &[usize], to: &[usize]) -> Result<Self, Reason> {
        if shape.iter().product::<usize>() == count(to)? {
            return Ok(Self::reshape(to));
        }
        let strides = strides(shape);
        let lead = to.len() - shape.len();
        let axes: Vec<Vec<u32>> = (0..to.len())
            .map(|axis| match axis.checked_sub(lead) {
                Some(own) if shape[own] != 1 => {
                    (0..to[axis]).map(|i| (i * strides[own]) as u32).collect()
                }
                _ => vec![0; to[axis]],
            })
            .collect();
        Self::separable(&axes, 0.0)
    }
}

/// For every axis the terms of its positions.
pub(super) fn along(shape: &[usize], strides: &[usize]) -> Vec<Vec<u32>> {
    let terms = |(&extent, &stride): (&usize, &usize)| {
        (0..extent).map(|i| (i * stride) as u32).collect::<Vec<_>>()
    };
    shape.iter().zip(strides).map(terms).collect()
}

/// Positions of `outer` in what `inner` reads.
pub(super) fn compose(outer: &Arc<[u32]>, inner: Option<&Arc<[u32]>>) -> Arc<[u32]> {
    let Some(inner) = inner else {
        return Arc::clone(outer);
    };
    let through = |&source: &u32| inner.get(source as usize).copied().unwrap_or(FILL);
    outer.iter().map(through).collect()
}

/// The numbers of a shape, bounded; an axis of length zero does not excuse the others.
pub(super) fn count(shape: &[usize]) -> Result<usize, Reason> {
    let bound = shape.iter().fold(1_u128, |total, &extent| {
        total.saturating_mul(extent.max(1) as u128)
    });
    if bound > MOST_NUMBERS as u128 {
        return Err(too_many(bound));
    }
    Ok(shape.iter().product())
}

pub(super) fn too_many(count: u128) -> Reason {
    format!("makes {count} values, more than are read here")
}

/// Row-major strides.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The shape of two broadcast ones.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Reason> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(own) => shape[own],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("joins shapes {a:?} and {b:?}")),
        })
        .collect()
}

/// An axis counted from the end where it is negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Reason> {
    let from_end = if axis < 0 {
        axis.checked_add(rank as i64)
    } else {
        Some(axis)
    };
    from_end
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("has axis {axis} of {rank}"))
}
