//! What changes extents and moves whole axes: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand,
//! Tile, Concat. Most of it costs nothing: only the order of the numbers counts.

use super::Lowering;
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{
    self, Constant, Data, Kind, Live, Map, Reason, Value, broadcast, count,
};

impl Lowering<'_> {
    /// The result of a node that only moves numbers; `None` for another.
    pub(super) fn moved(&mut self, node: &NodeProto) -> Result<Option<Value>, Reason> {
        Ok(Some(match node.op_type.as_str() {
            "Identity" => self.value(node, 0)?,
            "Dropout" => self.dropout(node)?,
            "Shape" => self.shape_of(node)?,
            "Size" => {
                let x = self.value(node, 0)?;
                let total = count(x.shape())?;
                Constant::integers(&[], vec![total as i64]).into()
            }
            "Reshape" => self.reshape(node)?,
            "Flatten" => {
                let x = self.value(node, 0)?;
                let rank = x.shape().len();
                let axis = match node.int("axis")?.unwrap_or(1) {
                    axis if axis == rank as i64 => rank,
                    axis => values::axis(axis, rank)?,
                };
                let (rows, columns) = x.shape().split_at(axis);
                let shape = [rows.iter().product(), columns.iter().product()];
                let batch = live(&x).and_then(|x| x.batch);
                let flat = x.mapped(&Map::reshape(&shape))?;
                with_batch(flat, batch.map(|batch| usize::from(batch >= axis)))
            }
            "Squeeze" => self.squeeze(node)?,
            "Unsqueeze" => self.unsqueeze(node)?,
            "Transpose" => {
                let x = self.value(node, 0)?;
                let rank = x.shape().len();
                let order: Vec<usize> = match node.ints("perm")? {
                    None => (0..rank).rev().collect(),
                    Some(order) => {
                        let order: Result<Vec<_>, _> =
                            order.iter().map(|&a| values::axis(a, rank)).collect();
                        order?
                    }
                };
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted != (0..rank).collect::<Vec<_>>() {
                    return Err(format!("has the order {order:?} of {rank} axes"));
                }
                let batch = live(&x).and_then(|x| x.batch);
                let batch = batch.and_then(|batch| order.iter().position(|&a| a == batch));
                let map = Map::transpose(x.shape(), &order)?;
                with_batch(self.remapped(&x, &map)?, batch)
            }
            "Expand" => {
                let x = self.value(node, 0)?;
                let to = self.whole(node, 1)?.unwrap_or_default();
                let to = extents(&to)?;
                let shape = broadcast(x.shape(), &to)?;
                count(&shape)?;
                self.repeated(&x, &shape)?
            }
            "Tile" => self.tile(node)?,
            "Concat" => self.concat(node)?,
            "Slice" => self.slice(node)?,
            "Gather" => self.gather(node)?,
            "GatherElements" => self.gather_elements(node)?,
            "GatherND" => self.gather_nd(node)?,
            "Pad" => self.pad(node)?,
            _ => return Ok(None),
        }))
    }

    fn dropout(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        if let Some(training) = self.given(node, 2)?
            && self
                .store
                .floats(&training)?
                .iter()
                .any(|&flag| flag != 0.0)
        {
            return Err("is in training mode: its mask is drawn at random".to_owned());
        }
        self.value(node, 0)
    }

    fn shape_of(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = node.operand(0).and_then(|name| self.values.get(name));
        let x = x.ok_or("reads a value that nothing makes")?;
        let shape: Vec<i64> = x.shape().iter().map(|&extent| extent as i64).collect();
        let rank = shape.len() as i64;
        let bound = |bound: Option<i64>, default: i64| {
            let bound = bound.unwrap_or(default);
            (if bound < 0 {
                bound.saturating_add(rank)
            } else {
                bound
            })
            .clamp(0, rank) as usize
        };
        let start = bound(node.int("start")?, 0);
        let end = bound(node.int("end")?, rank).max(start);
        let shape = shape[start..end].to_vec();
        Ok(Constant::integers(&[shape.len()], shape).into())
    }

    fn reshape(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.value(node, 0)?;
        let to = match node.ints("shape")? {
            Some(shape) => shape.to_vec(),
            None => self.whole(node, 1)?.ok_or("lacks a shape")?,
        };
        let zeros = node.flag("allowzero", false)?;
        let from = x.shape();
        let total = count(from)?;
        let mut shape = Vec::with_capacity(to.len());
        let mut rest = None;
        for (axis, &extent) in to.iter().enumerate() {
            shape.push(match extent {
                0 if !zeros => *from
                    .get(axis)
                    .ok_or_else(|| format!("keeps axis {axis} of {from:?} in the shape {to:?}"))?,
                -1 if rest.is_none() => {
                    rest = Some(axis);
                    1
                }
                extent => usize::try_from(extent)
                    .map_err(|_| format!("makes the shape {to:?} of {from:?}"))?,
            });
        }
        let given = count(&shape)?;
        if let (Some(axis), true) = (rest, given > 0) {
            shape[axis] = total / given;
        }
        if count(&shape)? != total || total == 0 {
            return Err(format!("makes the shape {to:?} of {from:?}"));
        }
        let batch = live(&x).and_then(|x| x.batch);
        let batch = batch
            .map(|batch| rebatched(from, batch, &shape))
            .transpose()?;
        Ok(with_batch(x.mapped(&Map::reshape(&shape))?, batch))
    }

    fn squeeze(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.value(node, 0)?;
        let batch = live(&x).and_then(|x| x.batch);
        let rank = x.shape().len();
        let axes: Vec<usize> = match self.listed(node, "axes", 1)? {
            Some(axes) => {
                let axes: Result<Vec<_>, _> = axes.iter().map(|&a| values::axis(a, rank)).collect();
                axes?
            }
            None => {
                let ones = (0..rank).filter(|&a| x.shape()[a] == 1 && batch != Some(a));
                ones.collect()
            }
        };
        if let Some(axis) = axes.iter().find(|&&axis| x.shape()[axis] != 1) {
            return Err(format!("takes axis {axis} of shape {:?} away", x.shape()));
        }
        if batch.is_some_and(|batch| axes.contains(&batch)) {
            return Err("takes the batch axis away".to_owned());
        }
        let kept = (0..rank).filter(|axis| !axes.contains(axis));
        let shape: Vec<usize> = kept.clone().map(|axis| x.shape()[axis]).collect();
        let batch = batch.and_then(|batch| kept.clone().position(|axis| axis == batch));
        Ok(with_batch(x.mapped(&Map::reshape(&shape))?, batch))
    }

    fn unsqueeze(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.value(node, 0)?;
        let listed = self.listed(node, "axes", 1)?.ok_or("lacks its axes")?;
        let rank = x.shape().len() + listed.len();
        let axes: Result<Vec<usize>, Reason> =
            listed.iter().map(|&a| values::axis(a, rank)).collect();
        let axes = axes?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < axes.len() {
            return Err(format!("has an axis twice: {listed:?}"));
        }
        let mut own = 0..x.shape().len();
        let mut batch = None;
        let mut shape = Vec::with_capacity(rank);
        for axis in 0..rank {
            let from = if axes.contains(&axis) {
                None
            } else {
                own.next()
            };
            if from.is_some() && from == live(&x).and_then(|x| x.batch) {
                batch = Some(axis);
            }
            shape.push(from.map_or(1, |from| x.shape()[from]));
        }
        Ok(with_batch(x.mapped(&Map::reshape(&shape))?, batch))
    }

    /// A value whose extents of one are repeated.
    pub(super) fn repeated(&mut self, x: &Value, shape: &[usize]) -> Result<Value, Reason> {
        match x {
            Value::Live(live) => Ok(self.expanded(live, shape)?.into()),
            other => {
                let map = Map::expand(other.shape(), shape)?;
                self.remapped(other, &map)
            }
        }
    }

    fn tile(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.value(node, 0)?;
        let repeats = extents(&self.whole(node, 1)?.unwrap_or_default())?;
        if repeats.len() != x.shape().len() {
            return Err(format!("repeats shape {:?} by {repeats:?}", x.shape()));
        }
        let batch = live(&x).and_then(|x| x.batch);
        if batch.is_some_and(|batch| repeats[batch] != 1) {
            return Err("repeats examples".to_owned());
        }
        let pairs = x.shape().iter().zip(&repeats);
        let shape: Vec<usize> = pairs.map(|(&a, &b)| a.saturating_mul(b)).collect();
        count(&shape)?;
        let strides = values::strides(x.shape());
        let axes = values::along(x.shape(), &strides);
        let axes: Vec<Vec<u32>> = axes
            .iter()
            .zip(&repeats)
            .map(|(axis, &n)| axis.repeat(n))
            .collect();
        let map = Map::separable(&axes, 0.0)?;
        self.remapped(&x, &map)
    }

    fn concat(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let parts: Result<Vec<Value>, Reason> =
            (0..node.input.len()).map(|i| self.value(node, i)).collect();
        let parts = parts?;
        let first = parts[0].shape().to_vec();
        let axis = node.int("axis")?.ok_or("lacks its axis")?;
        let axis = values::axis(axis, first.len())?;
        let mut shape = first.clone();
        shape[axis] = 0;
        for part in &parts {
            let own = part.shape();
            let others = |shape: &[usize]| {
                let kept = shape.iter().enumerate().filter(|(a, _)| *a != axis);
                kept.map(|(_, &extent)| extent).collect::<Vec<_>>()
            };
            if own.len() != first.len() || others(own) != others(&first) {
                return Err(format!("joins shapes {first:?} and {own:?}"));
            }
            shape[axis] = shape[axis].saturating_add(own[axis]);
        }
        let total = count(&shape)?;
        if parts.iter().all(|part| part.constant().is_some()) {
            self.spend(total)?;
            return self.joined_constants(&parts, axis, &shape);
        }
        let batch = parts.iter().filter_map(live).find_map(|x| x.batch);
        if batch == Some(axis) {
            return Err("joins examples".to_owned());
        }
        self.joined_values(&parts, axis, &shape, batch)
    }

    /// Where every number of the joined parts comes from, the parts one after the other.
    fn order_of(parts: &[Value], axis: usize, shape: &[usize]) -> Result<Map, Reason> {
        let outer: usize = shape[..axis].iter().product();
        let mut sources = Vec::with_capacity(count(shape)?);
        let block = |part: &Value| part.shape()[axis..].iter().product::<usize>();
        for row in 0..outer {
            let mut start = 0;
            for part in parts {
                let width = block(part);
                let first = start + row * width;
                sources.extend((first..first + width).map(|i| i as u32));
                start += outer * width;
            }
        }
        Ok(Map {
            shape: shape.to_vec(),
            sources: (outer > 1).then(|| sources.into()),
            fill: 0.0,
        })
    }

    fn joined_constants(
        &mut self,
        parts: &[Value],
        axis: usize,
        shape: &[usize],
    ) -> Result<Value, Reason> {
        let constants: Vec<&Constant> = parts.iter().filter_map(Value::constant).collect();
        let kind = constants.first().map_or(Kind::Float, |c| c.kind());
        if constants.iter().any(|c| c.kind() != kind) {
            return Err("joins constants of different types".to_owned());
        }
        let total = [count(shape)?];
        let whole = match kind {
            Kind::Float => {
                let mut all = Vec::with_capacity(total[0]);
                for constant in &constants {
                    all.extend_from_slice(&self.store.floats(constant)?);
                }
                Constant::floats(&total, all, super::builder::joined(&constants))
            }
            kind => {
                let all = constants.iter().flat_map(|constant| match &constant.data {
                    Data::Integers(numbers, _) => numbers.to_vec(),
                    _ => Vec::new(),
                });
                Constant::whole(&total, all.collect(), kind)
            }
        };
        Ok(whole.mapped(&Self::order_of(parts, axis, shape)?)?.into())
    }

    fn joined_values(
        &mut self,
        parts: &[Value],
        axis: usize,
        shape: &[usize],
        batch: Option<usize>,
    ) -> Result<Value, Reason> {
        let some = parts.iter().find_map(live);
        let beside = some.map_or(0, |live| live.node);
        let in_front = shape[..axis].iter().all(|&extent| extent == 1);
        let inner = &shape[axis + 1..];
        let inner = match inner.len() {
            0..=2 => inner.to_vec(),
            _ => vec![inner.iter().product()],
        };
        let mut sources = Vec::with_capacity(parts.len());
        for part in parts {
            let part = match part {
                Value::Live(live) if live.kind == Kind::Float || live.binary => live.clone(),
                Value::Constant(constant) => self.constant_node(constant, beside)?,
                _ => return Err("joins whole numbers".to_owned()),
            };
            let own = match in_front {
                true => [&[part.shape[axis]][..], &inner].concat(),
                false => vec![part.count()],
            };
            sources.push(self.shaped(&part, &own)?);
        }
        let joined = match in_front {
            true => [&[shape[axis]][..], &inner].concat(),
            false => vec![count(shape)?],
        };
        let built = self.push(Op::Concat, &sources, &joined);
        let whole = Live {
            shape: joined,
            node: built,
            view: None,
            fill: 0.0,
            kind: Kind::Float,
            binary: false,
            batch: None,
        };
        let map = match in_front {
            true => Map::reshape(shape),
            false => Self::order_of(parts, axis, shape)?,
        };
        Ok(whole.mapped(&map).with_batch(batch).into())
    }
}

pub(super) fn live(value: &Value) -> Option<&Live> {
    match value {
        Value::Live(live) => Some(live),
        _ => None,
    }
}

pub(super) fn with_batch(value: Value, batch: Option<usize>) -> Value {
    match value {
        Value::Live(live) => live.with_batch(batch).into(),
        other => other,
    }
}

/// Extents that are given as whole numbers.
pub(super) fn extents(numbers: &[i64]) -> Result<Vec<usize>, Reason> {
    let extents: Option<Vec<usize>> = numbers.iter().map(|&n| usize::try_from(n).ok()).collect();
    extents.ok_or_else(|| format!("has the shape {numbers:?}"))
}

/// The axis on which the batch lies after a reshape: it begins where as many numbers come before it.
fn rebatched(from: &[usize], batch: usize, to: &[usize]) -> Result<usize, Reason> {
    let before: usize = from[..batch].iter().product();
    let mut passed = 1;
    for (axis, &extent) in to.iter().enumerate() {
        if passed == before {
            return Ok(axis);
        }
        passed *= extent;
    }
    if before == 1 && to.is_empty() {
        return Ok(0);
    }
    Err(format!("mixes examples in the shape {to:?} of {from:?}"))
}
