//! Normalisations, softmax and means: all act on the last axis of ours, to which the file's axes are
//! moved and joined.

use super::Lowering;
use super::builder::joined;
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{self, Constant, Live, Map, Reason, Value, broadcast};
use crate::ops::{BatchNorm, LayerNorm};

impl Lowering<'_> {
    pub(super) fn batch_norm(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        if node.flag("training_mode", false)? {
            return Err("has training_mode: it normalises by other examples".to_owned());
        }
        if !node.flag("spatial", true)? {
            return Err("has statistics per pixel".to_owned());
        }
        let x = self.live(node, 0)?;
        let (channels, rest) = match x.shape[..] {
            [1, channels, ref rest @ ..] if x.batch.is_none_or(|axis| axis == 0) => {
                (channels, rest.to_vec())
            }
            _ => return Err(format!("expects one example, got shape {:?}", x.shape)),
        };
        let [height, width] = match rest[..] {
            [] => [1, 1],
            [width] => [1, width],
            [height, width] => [height, width],
            _ => return Err(format!("normalises shape {:?}", x.shape)),
        };
        let epsilon = node.float("epsilon", 1e-5)?;
        let mut names = Vec::new();
        for position in 1..5 {
            let constant = self.required(node, position)?;
            let name = &node.input[position];
            if constant.shape != [channels] {
                return Err(format!(
                    "has `{name}` of shape {:?} for {channels} channels",
                    constant.shape
                ));
            }
            if position == 4 {
                let variances = self.store.floats(&constant)?;
                if variances.iter().any(|variance| variance + epsilon <= 0.0) {
                    return Err(format!("has a variance below zero in `{name}`"));
                }
            }
            names.push(self.parameter(&constant, &Map::reshape(&[channels]), name)?);
        }
        let shape = [channels, height, width];
        let source = self.shaped(&x, &shape)?;
        let named = self.layer_name(&names[0]);
        let [weight, bias, mean, variance] =
            <[String; 4]>::try_from(names).map_err(|_| "lacks an operand")?;
        let op = Op::BatchNorm(BatchNorm {
            weight,
            bias,
            mean,
            variance,
            channels,
            epsilon,
        });
        let built = self.push_named(named, op, &[source], &shape, Default::default());
        Ok(self.made(built, &x.shape, &x).into())
    }

    pub(super) fn layer_norm(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let axis = values::axis(node.int("axis")?.unwrap_or(-1), x.shape.len())?;
        let epsilon = node.float("epsilon", 1e-5)?;
        let scale = self.required(node, 1)?;
        let shift = self.given(node, 2)?;
        let name = node.operand(2).unwrap_or_default();
        let names = [node.input[1].as_str(), name];
        Ok(self
            .normalised(&x, axis, epsilon, &scale, shift.as_ref(), names)?
            .into())
    }

    /// Layer normalisation over the axes from `axis` on.
    pub(super) fn normalised(
        &mut self,
        x: &Live,
        axis: usize,
        epsilon: f64,
        scale: &Constant,
        shift: Option<&Constant>,
        names: [&str; 2],
    ) -> Result<Live, Reason> {
        if x.batch.is_some_and(|batch| batch >= axis) {
            return Err("normalises by other examples".to_owned());
        }
        let trailing = &x.shape[axis..];
        for constant in [Some(scale), shift].into_iter().flatten() {
            if broadcast(&constant.shape, trailing)? != trailing {
                return Err(format!(
                    "has a scale of shape {:?} for {trailing:?}",
                    constant.shape
                ));
            }
        }
        let n: usize = trailing.iter().product();
        let rows = Live {
            shape: [&x.shape[..axis], &[n]].concat(),
            ..x.clone()
        };
        let source = self.last_axis(&rows)?;
        let shape = self.built[source].shape.clone();
        if let Some(shift) = shift
            && scale.count() == n
            && shift.count() == n
        {
            let weight = self.parameter(scale, &Map::reshape(&[n]), names[0])?;
            let bias = self.parameter(shift, &Map::reshape(&[n]), names[1])?;
            let named = self.layer_name(&weight);
            let op = Op::LayerNorm(LayerNorm {
                weight,
                bias,
                features: n,
                epsilon,
            });
            let built = self.push_named(named, op, &[source], &shape, Default::default());
            return Ok(self.made(built, &x.shape, x));
        }
        let built = self.push(Op::Standardise { epsilon }, &[source], &shape);
        let mut y = self.made(built, &x.shape, x);
        for (constant, sum) in [(Some(scale), false), (shift, true)] {
            if let Some(constant) = constant {
                let (value, numbers) = self.beside(&y, constant)?;
                y = self.with_numbers(&value, numbers, sum, &constant.origins)?;
            }
        }
        Ok(y)
    }

    pub(super) fn instance_norm(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let channels = match x.shape[..] {
            [1, channels, _, ..] if x.batch.is_none_or(|axis| axis == 0) => channels,
            _ => {
                return Err(format!(
                    "expects one example of an image, got shape {:?}",
                    x.shape
                ));
            }
        };
        let epsilon = node.float("epsilon", 1e-5)?;
        let [scale, shift] = [self.required(node, 1)?, self.required(node, 2)?];
        if [&scale, &shift].iter().any(|c| c.shape != [channels]) {
            return Err(format!(
                "has scales of shape {:?} for {channels} channels",
                scale.shape
            ));
        }
        let n = x.count() / channels.max(1);
        let source = self.shaped(&x, &[channels, n])?;
        let built = self.push(Op::Standardise { epsilon }, &[source], &[channels, n]);
        let y = self.made(built, &x.shape, &x);
        let spread = |numbers: &[f64]| -> Vec<f64> {
            numbers
                .iter()
                .flat_map(|&number| std::iter::repeat_n(number, n))
                .collect()
        };
        let factors = spread(&self.store.floats(&scale)?);
        let y = self.with_numbers(&y, factors, false, &joined(&[&scale]))?;
        let offsets = spread(&self.store.floats(&shift)?);
        Ok(self
            .with_numbers(&y, offsets, true, &joined(&[&shift]))?
            .into())
    }

    pub(super) fn softmax(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let flattens = self.opset < 13;
        let axis = node.int("axis")?.unwrap_or(if flattens { 1 } else { -1 });
        let axis = values::axis(axis, x.shape.len())?;
        let axes: Vec<usize> = if flattens {
            (axis..x.shape.len()).collect()
        } else {
            vec![axis]
        };
        let op = match node.op_type.as_str() {
            "Softmax" => Op::Softmax,
            _ => Op::LogSoftmax,
        };
        self.over(&x, &axes, op)
    }

    /// An operator over some axes, moved last and joined, and moved back.
    fn over(&mut self, x: &Live, axes: &[usize], op: Op) -> Result<Value, Reason> {
        let (rows, order) = last(x, axes)?;
        let source = self.last_axis(&rows)?;
        let shape = self.built[source].shape.clone();
        let built = self.push(op, &[source], &shape);
        let permuted: Vec<usize> = order.iter().map(|&axis| x.shape[axis]).collect();
        let result = self.made(built, &permuted, x);
        let mut back = vec![0; order.len()];
        for (position, &axis) in order.iter().enumerate() {
            back[axis] = position;
        }
        let map = Map::transpose(&permuted, &back)?;
        Ok(result.mapped(&map).with_batch(x.batch).into())
    }

    /// Means and sums.
    pub(super) fn reduce(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let listed = self.listed(node, "axes", 1)?.unwrap_or_default();
        let rank = x.shape.len();
        let axes: Vec<usize> = if listed.is_empty() {
            if node.flag("noop_with_empty_axes", false)? {
                return Ok(x.into());
            }
            (0..rank).collect()
        } else {
            let axes: Result<Vec<usize>, Reason> = listed
                .iter()
                .map(|&axis| values::axis(axis, rank))
                .collect();
            axes?
        };
        let (rows, _) = last(&x, &axes)?;
        let n = rows.shape.last().copied().unwrap_or(1);
        let source = self.last_axis(&rows)?;
        let mut own = self.built[source].shape.clone();
        if let Some(last) = own.last_mut() {
            *last = 1;
        }
        let keep = node.flag("keepdims", true)?;
        let mut shape = Vec::new();
        let mut batch = None;
        for (axis, &extent) in x.shape.iter().enumerate() {
            if x.batch == Some(axis) {
                batch = Some(shape.len());
            }
            match axes.contains(&axis) {
                true if keep => shape.push(1),
                true => {}
                false => shape.push(extent),
            }
        }
        let built = self.push(Op::Mean, &[source], &own);
        let mean = self.made(built, &shape, &x).with_batch(batch);
        let factor = if node.op_type == "ReduceSum" {
            n as f64
        } else {
            1.0
        };
        Ok(self.scaled(&mean, factor)?.into())
    }
}

/// A value with some axes moved last and joined, and the order of its axes.
fn last(x: &Live, axes: &[usize]) -> Result<(Live, Vec<usize>), Reason> {
    if x.batch.is_some_and(|batch| axes.contains(&batch)) {
        return Err("computes over several examples".to_owned());
    }
    let others = (0..x.shape.len()).filter(|axis| !axes.contains(axis));
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < axes.len() {
        return Err("has an axis twice".to_owned());
    }
    let order: Vec<usize> = others.chain(sorted).collect();
    let map = Map::transpose(&x.shape, &order)?;
    let mut rows = x.mapped(&map);
    let kept = order.len() - axes.len();
    let n = rows.shape[kept..].iter().product();
    rows.shape.truncate(kept);
    rows.shape.push(n);
    Ok((rows, order))
}
