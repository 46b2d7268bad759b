//! The nodes of our graph while they are made, and the tensors that become its parameters.

use std::collections::BTreeSet;
use std::sync::Arc;

use safetensors::Dtype;

use super::Lowering;
use crate::formats::onnx::values::{
    Constant, Data, FILL, Kind, Live, Map, Origins, Reason, Value, broadcast, count,
};
use crate::ops::{Constants, Rearrange};
use crate::{NodeId, Op};

/// A node of our graph whose name is still a wish.
pub(in crate::formats::onnx) struct Built {
    /// The name it is to have, if no other node has it.
    pub(in crate::formats::onnx) name: String,
    pub(in crate::formats::onnx) op: Op,
    pub(in crate::formats::onnx) sources: Vec<NodeId>,
    /// Extents of its value, without a batch.
    pub(in crate::formats::onnx) shape: Vec<usize>,
    /// The stored floats that are constants of the node.
    pub(in crate::formats::onnx) origins: Origins,
}

/// A tensor of the checkpoint.
pub(in crate::formats::onnx) struct Parameter {
    /// Extents in our layout.
    pub(in crate::formats::onnx) shape: Vec<usize>,
    /// Its numbers.
    pub(in crate::formats::onnx) source: Source,
}

/// Where the numbers of a parameter come from.
pub(in crate::formats::onnx) enum Source {
    /// A stored tensor, perhaps in another order.
    Stored {
        /// Its position in the file's list.
        tensor: usize,
        /// For every number its position in the stored tensor.
        order: Option<Arc<[u32]>>,
    },
    /// Numbers computed from stored tensors.
    Computed(Arc<[f64]>, Origins),
}

/// Node, view (by address) and shape of a value that was made a node.
pub(super) type Settled = (NodeId, usize, Vec<usize>);

impl Lowering<'_> {
    /// Appends a node named after the file's node that is read.
    pub(super) fn push(&mut self, op: Op, sources: &[NodeId], shape: &[usize]) -> NodeId {
        let name = match &op {
            Op::Rearrange(_) => format!("{}.rearrange", self.at),
            _ => self.at.clone(),
        };
        self.push_named(name, op, sources, shape, Origins::default())
    }

    pub(in crate::formats::onnx) fn push_named(
        &mut self,
        name: String,
        op: Op,
        sources: &[NodeId],
        shape: &[usize],
        origins: Origins,
    ) -> NodeId {
        self.built.push(Built {
            name,
            op,
            sources: sources.to_vec(),
            shape: shape.to_vec(),
            origins,
        });
        self.built.len() - 1
    }

    /// The name of a layer: that of its weight where it looks like PyTorch's, else the node's.
    pub(super) fn layer_name(&self, weight: &str) -> String {
        let identifier = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match weight.strip_suffix(".weight") {
            Some(stem) if stem.split('.').all(identifier) => stem.to_owned(),
            _ => self.at.clone(),
        }
    }

    /// A value in the shape in which an operator needs it.
    pub(in crate::formats::onnx) fn shaped(
        &mut self,
        live: &Live,
        shape: &[usize],
    ) -> Result<NodeId, Reason> {
        count(shape)?;
        if live.view.is_none() && self.built[live.node].shape == shape {
            return Ok(live.node);
        }
        let address = live.view.as_ref().map_or(0, |view| view.as_ptr() as usize);
        let key = (live.node, address, shape.to_vec());
        if let Some(&node) = self.settled.get(&key) {
            return Ok(node);
        }
        let op = Rearrange {
            shape: shape.to_vec(),
            reads: self.built[live.node].shape.iter().product(),
            // The node keeps the view alive, and with it its address.
            sources: live.view.clone(),
            fill: live.fill,
        };
        let node = self.push(Op::Rearrange(op), &[live.node], shape);
        self.settled.insert(key, node);
        Ok(node)
    }

    /// A value as a node in any shape, with the numbers in the order of the value.
    pub(super) fn settle(&mut self, live: &Live) -> Result<NodeId, Reason> {
        if live.view.is_none() {
            return Ok(live.node);
        }
        self.shaped(live, &natural(&live.shape))
    }

    /// A value with its last axis last in the node, too.
    pub(super) fn last_axis(&mut self, live: &Live) -> Result<NodeId, Reason> {
        let n = live.shape.last().copied().unwrap_or(1);
        let shape = &self.built[live.node].shape;
        let rows = live.count() / n.max(1);
        let flat = shape.len() == 1 || shape.iter().product::<usize>() != n;
        if live.view.is_none() && shape.last() == Some(&n) && flat {
            return Ok(live.node);
        }
        let shape = if rows == 1 { vec![n] } else { vec![rows, n] };
        self.shaped(live, &shape)
    }

    /// A value under an index map, made a node first where the map cannot be composed.
    pub(super) fn remapped(&mut self, value: &Value, map: &Map) -> Result<Value, Reason> {
        if let (Value::Live(_), Some(sources)) = (value, &map.sources) {
            self.charge(sources.len())?;
        }
        match value {
            Value::Live(live) if live.must_settle(map) => {
                let node = self.settle(live)?;
                let settled = Live {
                    node,
                    view: None,
                    ..live.clone()
                };
                Ok(settled.mapped(map).into())
            }
            other => {
                if let (Value::Constant(_), Some(sources)) = (other, &map.sources) {
                    self.spend(sources.len())?;
                }
                other.mapped(map)
            }
        }
    }

    /// Takes numbers from what may be copied or held.
    pub(in crate::formats::onnx) fn charge(&mut self, numbers: usize) -> Result<(), Reason> {
        let left = self.work.checked_sub(numbers);
        self.work = left.ok_or("is one of too many nodes that copy large values")?;
        Ok(())
    }

    /// Takes numbers from what may be folded.
    pub(super) fn spend(&mut self, numbers: usize) -> Result<(), Reason> {
        let most = crate::formats::onnx::values::MOST_CONSTANTS;
        match self.budget.checked_sub(numbers).filter(|_| numbers <= most) {
            Some(left) => self.budget = left,
            None => {
                return Err(format!(
                    "makes {numbers} values of constants, more than are read here"
                ));
            }
        }
        Ok(())
    }

    /// The value that a node has, in the file's shape; kind, batch and flags are those of `like`.
    pub(super) fn made(&self, node: NodeId, shape: &[usize], like: &Live) -> Live {
        Live {
            shape: shape.to_vec(),
            node,
            view: None,
            fill: 0.0,
            kind: Kind::Float,
            binary: false,
            batch: like.batch,
        }
    }

    /// An elementwise node.
    pub(super) fn each(&mut self, op: Op, live: &Live) -> Result<Live, Reason> {
        let source = self.settle(live)?;
        let shape = self.built[source].shape.clone();
        let node = self.push(op, &[source], &shape);
        Ok(self.made(node, &live.shape, live))
    }

    /// A value with extents of one repeated.
    pub(super) fn expanded(&mut self, live: &Live, to: &[usize]) -> Result<Live, Reason> {
        if live.count() == count(to)? {
            let lead = to.len() - live.shape.len();
            let batch = live.batch.map(|axis| axis + lead);
            return Ok(live.mapped(&Map::reshape(to)).with_batch(batch));
        }
        let lead = to.len() - live.shape.len();
        let batch = live.batch.map(|axis| axis + lead);
        if let Some(axis) = batch
            && to[axis] != live.shape[axis - lead]
        {
            return Err("repeats examples".to_owned());
        }
        self.charge(count(to)?)?;
        let map = Map::expand(&live.shape, to)?;
        Ok(live.mapped(&map).with_batch(batch))
    }

    /// Two values in the shape of their sum, as nodes of one shape, and that value without its node.
    pub(super) fn paired(&mut self, a: &Live, b: &Live) -> Result<([NodeId; 2], Live), Reason> {
        let shape = broadcast(&a.shape, &b.shape)?;
        let [a, b] = [self.expanded(a, &shape)?, self.expanded(b, &shape)?];
        if let (Some(x), Some(y)) = (a.batch, b.batch)
            && x != y
        {
            return Err("joins values of different examples".to_owned());
        }
        let like = match (a.view.is_none(), b.view.is_none()) {
            (true, _) => self.built[a.node].shape.clone(),
            (_, true) => self.built[b.node].shape.clone(),
            _ => natural(&shape),
        };
        let nodes = [self.shaped(&a, &like)?, self.shaped(&b, &like)?];
        let batch = a.batch.or(b.batch);
        Ok((nodes, a.with_batch(batch)))
    }

    /// The sum or the product of two values.
    pub(super) fn both(&mut self, op: Op, a: &Live, b: &Live) -> Result<Live, Reason> {
        let ([x, y], like) = self.paired(a, b)?;
        let shape = self.built[x].shape.clone();
        let node = self.push(op, &[x, y], &shape);
        Ok(self.made(node, &like.shape, &like))
    }

    pub(super) fn scaled(&mut self, live: &Live, factor: f64) -> Result<Live, Reason> {
        if factor == 1.0 {
            return Ok(live.clone());
        }
        self.each(Op::Scale(factor), live)
    }

    /// Every number plus the same number.
    pub(super) fn shifted(&mut self, live: &Live, by: f64) -> Result<Live, Reason> {
        if by == 0.0 {
            return Ok(live.clone());
        }
        let numbers = vec![by; live.count()];
        self.with_numbers(live, numbers, true, &Origins::default())
    }

    /// Every number plus, or times, a number of its own.
    pub(super) fn with_numbers(
        &mut self,
        live: &Live,
        numbers: Vec<f64>,
        sum: bool,
        origins: &Origins,
    ) -> Result<Live, Reason> {
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(format!("computes with the constant {number}"));
        }
        self.charge(numbers.len())?;
        let equal = numbers.windows(2).all(|pair| pair[0] == pair[1]);
        let op = match (sum, numbers.first()) {
            (false, Some(&factor)) if equal => Op::Scale(factor),
            (true, _) => Op::AddConstants(Constants::new(numbers)),
            (false, _) => Op::MultiplyConstants(Constants::new(numbers)),
        };
        let source = self.settle(live)?;
        let shape = self.built[source].shape.clone();
        let node = self.push_named(self.at.clone(), op, &[source], &shape, Arc::clone(origins));
        Ok(self.made(node, &live.shape, live))
    }

    /// A value and a constant broadcast to one shape: the value, and the constant's numbers.
    pub(super) fn beside(
        &mut self,
        live: &Live,
        constant: &Constant,
    ) -> Result<(Live, Vec<f64>), Reason> {
        let shape = broadcast(&live.shape, &constant.shape)?;
        let live = self.expanded(live, &shape)?;
        Ok((live, self.spread(constant, &shape)?))
    }

    /// The numbers of a constant broadcast to a shape.
    pub(super) fn spread(&self, constant: &Constant, shape: &[usize]) -> Result<Vec<f64>, Reason> {
        let numbers = self.store.floats(constant)?;
        let map = Map::expand(&constant.shape, shape)?;
        Ok(match &map.sources {
            None => numbers.to_vec(),
            Some(sources) => sources.iter().map(|&i| numbers[i as usize]).collect(),
        })
    }

    /// A node that holds constants, which needs some node to read.
    pub(super) fn constant_node(
        &mut self,
        constant: &Constant,
        beside: NodeId,
    ) -> Result<Live, Reason> {
        let numbers = self.store.floats(constant)?.to_vec();
        let nothing = Rearrange {
            shape: vec![numbers.len()],
            reads: self.built[beside].shape.iter().product(),
            sources: Some(vec![FILL; numbers.len()].into()),
            fill: 0.0,
        };
        let shape = nothing.shape.clone();
        let node = self.push(Op::Rearrange(nothing), &[beside], &shape);
        let blank = Live {
            shape: constant.shape.clone(),
            node,
            view: None,
            fill: 0.0,
            kind: Kind::Float,
            binary: false,
            batch: None,
        };
        self.with_numbers(&blank, numbers, true, &constant.origins)
    }

    /// The name of the parameter that a constant becomes under a map to our layout: the stored tensor's
    /// own where the numbers are its, in whatever order; else one that nothing edits.
    pub(super) fn parameter(
        &mut self,
        constant: &Constant,
        layout: &Map,
        value: &str,
    ) -> Result<String, Reason> {
        if constant.kind() != Kind::Float {
            return Err(format!("has whole numbers as its weight `{value}`"));
        }
        self.charge(constant.count())?;
        let arranged = constant.mapped(layout)?;
        if let Data::Stored { tensor, order } = &arranged.data {
            let stored = self.store.tensor(*tensor);
            let dtype = stored.dtype;
            let total = stored.shape.iter().product::<usize>();
            if arranged.count() == total && is_permutation(order.as_deref(), total) {
                let name = stored.name.clone();
                let same = |parameter: &Parameter| {
                    parameter.shape == arranged.shape
                        && matches!(&parameter.source, Source::Stored { order: other, .. }
                            if other.as_deref() == order.as_deref())
                };
                match self.parameters.get(&name) {
                    Some(parameter) if same(parameter) => return Ok(name),
                    Some(_) => {}
                    None => {
                        let source = Source::Stored {
                            tensor: *tensor,
                            order: order.clone(),
                        };
                        let shape = arranged.shape.clone();
                        self.take(&name, &shape, dtype)?;
                        self.parameters
                            .insert(name.clone(), Parameter { shape, source });
                        return Ok(name);
                    }
                }
            }
        }
        self.spend(arranged.count())?;
        self.take(value, &arranged.shape, Dtype::F64)?;
        let numbers = self.store.floats(&arranged)?;
        let mut name = format!("{value} ({})", self.at);
        while self.parameters.contains_key(&name) || self.store.position(&name).is_some() {
            name.push('\'');
        }
        let source = Source::Computed(numbers, Arc::clone(&constant.origins));
        let shape = arranged.shape.clone();
        self.parameters
            .insert(name.clone(), Parameter { shape, source });
        Ok(name)
    }
}

/// Whether every position below `total` occurs once.
fn is_permutation(order: Option<&[u32]>, total: usize) -> bool {
    let Some(order) = order else {
        return true;
    };
    let mut seen = vec![false; total];
    order.len() == total
        && order.iter().all(|&i| {
            let seen = seen.get_mut(i as usize);
            seen.is_some_and(|seen| !std::mem::replace(seen, true))
        })
}

/// The origins of several constants.
pub(super) fn joined(constants: &[&Constant]) -> Origins {
    let all = constants.iter().flat_map(|c| c.origins.iter().copied());
    Arc::new(all.collect::<BTreeSet<_>>())
}

/// Extents of an example for a value of the file: without the leading ones, three at most.
pub(super) fn natural(shape: &[usize]) -> Vec<usize> {
    let first = shape.iter().position(|&extent| extent != 1);
    let shape = match first {
        Some(first) => &shape[first..],
        None => return vec![1],
    };
    match shape.len().checked_sub(3) {
        None | Some(0) => shape.to_vec(),
        Some(extra) => {
            let (joined, kept) = shape.split_at(extra + 1);
            std::iter::once(joined.iter().product())
                .chain(kept.iter().copied())
                .collect()
        }
    }
}
