//! What copies some of the numbers: Slice, Split, Gather with constant indices, Pad.

use super::Lowering;
use super::shape::{extents, live, with_batch};
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{
    self, Constant, Data, FILL, Kind, MOST_NUMBERS, Map, Reason, Value, count, strides,
};

impl Lowering<'_> {
    pub(super) fn split(&mut self, node: &NodeProto) -> Result<Vec<Value>, Reason> {
        let x = self.value(node, 0)?;
        let axis = values::axis(node.int("axis")?.unwrap_or(0), x.shape().len())?;
        let extent = x.shape()[axis];
        let parts = node.output.len();
        let sizes = match self.listed(node, "split", 1)? {
            Some(sizes) => extents(&sizes)?,
            None => {
                let part = extent.div_ceil(parts.max(1));
                let sizes = (0..parts).map(|i| part.min(extent.saturating_sub(i * part)));
                sizes.collect()
            }
        };
        let total = sizes.iter().fold(0_usize, |sum, &n| sum.saturating_add(n));
        if sizes.len() != parts || total != extent || sizes.contains(&0) {
            return Err(format!("splits {extent} into {sizes:?}"));
        }
        if parts > 1 && live(&x).and_then(|x| x.batch) == Some(axis) {
            return Err("splits the batch".to_owned());
        }
        let mut start = 0;
        let mut results = Vec::with_capacity(parts);
        for size in sizes {
            let positions: Vec<u32> = (start..start + size).map(|i| i as u32).collect();
            let map = Map::pick(x.shape(), axis, &positions, 0.0)?;
            results.push(self.remapped(&x, &map)?);
            start += size;
        }
        Ok(results)
    }

    pub(super) fn slice(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let mut x = self.value(node, 0)?;
        let rank = x.shape().len();
        let starts = self.listed(node, "starts", 1)?.ok_or("lacks its starts")?;
        let ends = self.listed(node, "ends", 2)?.ok_or("lacks its ends")?;
        let axes = self.listed(node, "axes", 3)?;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self
            .whole(node, 4)?
            .unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(format!(
                "has {} starts and {} ends",
                starts.len(),
                ends.len()
            ));
        }
        for (i, &start) in starts.iter().enumerate() {
            let axis = values::axis(axes[i], rank)?;
            let extent = x.shape()[axis] as i64;
            let positions = range(start, ends[i], steps[i], extent)?;
            if positions.is_empty() {
                return Err(format!("leaves nothing of axis {axis}"));
            }
            let all = positions.len() as i64 == extent && steps[i] == 1;
            if all {
                continue;
            }
            if live(&x).and_then(|x| x.batch) == Some(axis) {
                return Err("takes some of the examples".to_owned());
            }
            let map = Map::pick(x.shape(), axis, &positions, 0.0)?;
            x = self.remapped(&x, &map)?;
        }
        Ok(x)
    }

    pub(super) fn gather(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let data = self.value(node, 0)?;
        let rank = data.shape().len();
        let axis = values::axis(node.int("axis")?.unwrap_or(0), rank)?;
        let indices = match self.value(node, 1)? {
            Value::Constant(constant) => constant,
            Value::Live(ids) => return self.words(node, &data, axis, &ids),
            Value::Opaque(_, reason) => return Err(reason),
        };
        let extent = data.shape()[axis];
        let positions = positions(&indices, extent)?;
        let batch = live(&data).and_then(|x| x.batch);
        // The batch may be joined with another axis: positions that the file computes count through all
        // examples, of which one is read here.
        let computed = node.operand(1).and_then(|name| self.producers.get(name));
        let computed = extent > 1 && computed.is_some_and(|node| node.op_type != "Constant");
        if batch == Some(axis) && !computed {
            return Err("takes some of the examples".to_owned());
        }
        let mut shape = data.shape()[..axis].to_vec();
        shape.extend(&indices.shape);
        shape.extend(&data.shape()[axis + 1..]);
        count(&shape)?;
        let batch = match batch {
            Some(batch) if batch > axis => Some(batch - 1 + indices.shape.len()),
            batch => batch,
        };
        let mut map = Map::pick(data.shape(), axis, &positions, 0.0)?;
        map.shape = shape;
        Ok(with_batch(self.remapped(&data, &map)?, batch))
    }

    pub(super) fn gather_elements(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let data = self.value(node, 0)?;
        let axis = values::axis(node.int("axis")?.unwrap_or(0), data.shape().len())?;
        let indices = self.required(node, 1)?;
        let positions = positions(&indices, data.shape()[axis])?;
        let fits = indices.shape.len() == data.shape().len()
            && (0..data.shape().len()).all(|a| a == axis || indices.shape[a] <= data.shape()[a]);
        if !fits {
            return Err(format!("picks {:?} of {:?}", indices.shape, data.shape()));
        }
        if live(&data).and_then(|x| x.batch) == Some(axis) {
            return Err("takes some of the examples".to_owned());
        }
        let (own, from) = (strides(&indices.shape), strides(data.shape()));
        let place = |i: usize| {
            let coordinates = own.iter().enumerate().map(|(a, stride)| {
                if a == axis {
                    0
                } else {
                    i / stride % indices.shape[a] * from[a]
                }
            });
            coordinates.sum::<usize>() as u32 + positions[i] * from[axis] as u32
        };
        let map = Map {
            shape: indices.shape.clone(),
            sources: Some((0..positions.len()).map(place).collect()),
            fill: 0.0,
        };
        self.remapped(&data, &map)
    }

    pub(super) fn gather_nd(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let data = self.value(node, 0)?;
        let indices = self.required(node, 1)?;
        let batches = node.int("batch_dims")?.unwrap_or(0);
        let batches = usize::try_from(batches).map_err(|_| "has negative batch_dims")?;
        let (Some(&depth), Data::Integers(numbers, _)) = (indices.shape.last(), &indices.data)
        else {
            return Err("has no whole numbers as indices".to_owned());
        };
        let shape = data.shape();
        let lead = &indices.shape[..indices.shape.len() - 1];
        if depth == 0
            || batches + depth > shape.len()
            || lead.len() < batches
            || lead[..batches] != shape[..batches]
        {
            return Err(format!("picks {:?} of {shape:?}", indices.shape));
        }
        let from = strides(shape);
        let block: usize = shape[batches + depth..].iter().product();
        let to = [lead, &shape[batches + depth..]].concat();
        let mut sources = Vec::with_capacity(count(&to)?);
        let inner: usize = lead[batches..].iter().product::<usize>().max(1);
        for (row, index) in numbers.chunks(depth.max(1)).enumerate() {
            let mut place = row / inner * shape[batches..].iter().product::<usize>();
            for (i, &position) in index.iter().enumerate() {
                let extent = shape[batches + i];
                place += one(position, extent)? as usize * from[batches + i];
            }
            sources.extend((place..place + block).map(|i| i as u32));
        }
        let batch = live(&data).and_then(|x| x.batch);
        let batch = batch.filter(|_| to.first() == Some(&1)).map(|_| 0);
        let map = Map {
            shape: to,
            sources: Some(sources.into()),
            fill: 0.0,
        };
        Ok(with_batch(self.remapped(&data, &map)?, batch))
    }

    pub(super) fn pad(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let mut x = self.value(node, 0)?;
        let rank = x.shape().len();
        let mode = node.text("mode")?.unwrap_or_else(|| "constant".to_owned());
        let pads = self.listed(node, "pads", 1)?.ok_or("lacks its pads")?;
        let fill = match self.given(node, 2)? {
            Some(value) => self.store.floats(&value)?.first().copied().unwrap_or(0.0),
            None => node.float("value", 0.0)?,
        };
        let axes = self.whole(node, 3)?;
        let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
        if pads.len() != 2 * axes.len() {
            return Err(format!("has the pads {pads:?} for {} axes", axes.len()));
        }
        framed(1, 0, 0, &mode)?;
        if mode == "constant" && !fill.is_finite() {
            return Err(format!("pads with {fill}"));
        }
        for (i, &axis) in axes.iter().enumerate() {
            let axis = values::axis(axis, rank)?;
            let (before, after) = (pads[i], pads[axes.len() + i]);
            if (before, after) == (0, 0) {
                continue;
            }
            if [before, after]
                .iter()
                .any(|pad| pad.unsigned_abs() > MOST_NUMBERS as u64)
            {
                return Err(format!(
                    "makes more values than are read here with the pads {pads:?}"
                ));
            }
            if live(&x).and_then(|x| x.batch) == Some(axis) {
                return Err("adds examples".to_owned());
            }
            let extent = x.shape()[axis];
            let length = (extent as i64).saturating_add(before).saturating_add(after);
            let length = usize::try_from(length).ok().filter(|&length| length > 0);
            let length = length.ok_or("cuts an axis away")?;
            let mut to = x.shape().to_vec();
            to[axis] = length;
            count(&to)?;
            let positions = framed(extent, before, after, &mode)?;
            let map = Map::pick(x.shape(), axis, &positions, fill)?;
            x = self.remapped(&x, &map)?;
        }
        Ok(x)
    }
}

/// Positions along an axis with so many more before and behind it.
pub(super) fn frame(extent: usize, before: i64, after: i64) -> Vec<u32> {
    framed(extent, before, after, "constant").unwrap_or_default()
}

fn framed(extent: usize, before: i64, after: i64, mode: &str) -> Result<Vec<u32>, Reason> {
    let extent = extent as i64;
    let outside: fn(i64, i64) -> u32 = match mode {
        "constant" => |_, _| FILL,
        "edge" => |i, extent| i.clamp(0, extent - 1) as u32,
        "wrap" => |i, extent| i.rem_euclid(extent) as u32,
        "reflect" => |i, extent| {
            let period = (2 * (extent - 1)).max(1);
            let i = i.rem_euclid(period);
            i.min(period - i).min(extent - 1) as u32
        },
        other => return Err(format!("has the mode `{other}`")),
    };
    if mode == "reflect" && before.max(after) >= extent {
        return Err("mirrors more than there is".to_owned());
    }
    let inside = |i: i64| {
        if (0..extent).contains(&i) {
            i as u32
        } else {
            outside(i, extent)
        }
    };
    Ok((-before..extent + after).map(inside).collect())
}

/// The positions of a slice.
fn range(start: i64, end: i64, step: i64, extent: i64) -> Result<Vec<u32>, Reason> {
    let from_end = |i: i64| if i < 0 { i.saturating_add(extent) } else { i };
    let mut positions = Vec::new();
    match step {
        0 => return Err("has a step of zero".to_owned()),
        1.. => {
            let end = from_end(end).clamp(0, extent);
            let mut i = from_end(start).clamp(0, extent);
            while i < end {
                positions.push(i as u32);
                i = i.saturating_add(step);
            }
        }
        _ => {
            let end = from_end(end).clamp(-1, extent - 1);
            let mut i = from_end(start).clamp(-1, extent - 1);
            while i > end {
                positions.push(i as u32);
                i = i.saturating_add(step);
            }
        }
    }
    Ok(positions)
}

fn one(index: i64, extent: usize) -> Result<u32, Reason> {
    let position = if index < 0 {
        index.saturating_add(extent as i64)
    } else {
        index
    };
    u32::try_from(position)
        .ok()
        .filter(|&position| (position as usize) < extent)
        .ok_or_else(|| format!("picks number {index} of {extent}"))
}

fn positions(indices: &Constant, extent: usize) -> Result<Vec<u32>, Reason> {
    match &indices.data {
        Data::Integers(numbers, Kind::Integer) => {
            numbers.iter().map(|&index| one(index, extent)).collect()
        }
        _ => Err("has no whole numbers as indices".to_owned()),
    }
}
