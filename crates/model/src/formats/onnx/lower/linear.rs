//! Gemm and MatMul: a product with a stored matrix is a linear layer, one between values a product of
//! matrices.
//!
//! | file | ours |
//! |---|---|
//! | x W, W as `[m, p]` | linear layer, W transposed |
//! | W x, W as `[p, m]` | linear layer on the transposed value, transposed back |
//! | α A B + β C | linear layer, times α, plus β C |

use super::Lowering;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{
    Constant, Data, Kind, Live, Map, Reason, Value, broadcast, count,
};
use crate::ops::Linear;
use crate::{NodeId, Op};

impl Lowering<'_> {
    pub(super) fn matmul(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let [a, b] = [self.value(node, 0)?, self.value(node, 1)?];
        let names = [node.input[0].as_str(), node.input[1].as_str()];
        Ok(self.product(&a, &b, names)?.into())
    }

    pub(super) fn gemm(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        let mut factors = [self.value(node, 0)?, self.value(node, 1)?];
        for (factor, flag) in factors.iter_mut().zip(["transA", "transB"]) {
            if factor.shape().len() != 2 {
                return Err(format!("expects matrices, got shape {:?}", factor.shape()));
            }
            if node.flag(flag, false)? {
                *factor = turned(factor)?;
            }
        }
        let [a, b] = factors;
        let names = [node.input[0].as_str(), node.input[1].as_str()];
        let product = self.product(&a, &b, names)?;
        let Some(name) = node.operand(2).filter(|_| beta != 0.0) else {
            return Ok(self.scaled(&product, alpha)?.into());
        };
        let term = self.value(node, 2)?;
        if broadcast(term.shape(), &product.shape)? != product.shape {
            return Err(format!(
                "adds shape {:?} to {:?}",
                term.shape(),
                product.shape
            ));
        }
        if let Value::Constant(bias) = &term {
            if alpha == 1.0 && beta == 1.0 && self.biased(&product, bias, name)? {
                return Ok(product.into());
            }
            let product = self.scaled(&product, alpha)?;
            let (product, mut numbers) = self.beside(&product, bias)?;
            numbers.iter_mut().for_each(|x| *x *= beta);
            return Ok(self
                .with_numbers(&product, numbers, true, &bias.origins)?
                .into());
        }
        let product = self.scaled(&product, alpha)?;
        let term = self.live(node, 2)?;
        let term = self.scaled(&term, beta)?;
        Ok(self.both(Op::Add, &product, &term)?.into())
    }

    /// The product of two values, one of which depends on the input.
    fn product(&mut self, a: &Value, b: &Value, names: [&str; 2]) -> Result<Live, Reason> {
        for (value, name) in [(a, names[0]), (b, names[1])] {
            let float = match value {
                Value::Constant(constant) => constant.kind() == Kind::Float,
                Value::Live(live) => live.kind == Kind::Float || live.binary,
                Value::Opaque(..) => false,
            };
            if !float {
                return Err(format!("multiplies the whole numbers `{name}`"));
            }
        }
        if a.shape().is_empty() || b.shape().is_empty() {
            return Err("multiplies a matrix by a number".to_owned());
        }
        let vectors = [a.shape().len() == 1, b.shape().len() == 1];
        let row = [1, a.shape()[0]];
        let a = if vectors[0] {
            a.mapped(&Map::reshape(&row))?
        } else {
            a.clone()
        };
        let column = [b.shape()[0], 1];
        let b = if vectors[1] {
            b.mapped(&Map::reshape(&column))?
        } else {
            b.clone()
        };
        let inner = [
            a.shape()[a.shape().len() - 1],
            b.shape()[b.shape().len() - 2],
        ];
        if inner[0] != inner[1] {
            return Err(format!(
                "multiplies shapes {:?} and {:?}",
                a.shape(),
                b.shape()
            ));
        }
        let mut product = match (&a, &b) {
            (Value::Live(x), Value::Constant(w)) => self.right(x, w, names[1])?,
            (Value::Constant(w), Value::Live(x)) => self.left(w, x, names[0])?,
            (Value::Live(a), Value::Live(b)) => self.between(a, b)?,
            _ => return Err("multiplies two constants".to_owned()),
        };
        let rank = product.shape.len();
        if vectors[1] {
            product.shape.remove(rank - 1);
        }
        if vectors[0] {
            product.shape.remove(rank - 2);
        }
        Ok(product)
    }

    /// x W
    fn right(&mut self, x: &Live, w: &Constant, name: &str) -> Result<Live, Reason> {
        if x.batch == Some(x.shape.len() - 1) {
            return Err("sums over examples".to_owned());
        }
        let matrix = matrix(w, name)?;
        let layout = Map::transpose(&matrix, &[1, 0])?;
        let w = w.mapped(&Map::reshape(&matrix))?;
        let mut product = self.linear(x, &w, &layout, name)?;
        while product.shape.len() < w.shape.len() {
            product.shape.insert(0, 1);
        }
        Ok(product)
    }

    /// W x
    fn left(&mut self, w: &Constant, x: &Live, name: &str) -> Result<Live, Reason> {
        if x.batch == Some(x.shape.len() - 2) {
            return Err("sums over examples".to_owned());
        }
        let matrix = matrix(w, name)?;
        let w = w.mapped(&Map::reshape(&matrix))?;
        let x = turned_live(x)?;
        let product = self.linear(&x, &w, &Map::reshape(&matrix), name)?;
        turned_live(&product)
    }

    /// A linear layer over the last axis; `layout` makes `[outputs, inputs]` of the constant.
    fn linear(&mut self, x: &Live, w: &Constant, layout: &Map, name: &str) -> Result<Live, Reason> {
        let (outputs, inputs) = (layout.shape[0], layout.shape[1]);
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        count(&shape)?;
        let weight = self.parameter(w, layout, name)?;
        let source = self.last_axis(x)?;
        let mut own = self.built[source].shape.clone();
        if let Some(last) = own.last_mut() {
            *last = outputs;
        }
        let name = self.layer_name(&weight);
        let op = Op::Linear(Linear {
            weight,
            bias: None,
            inputs,
            outputs,
        });
        let node = self.push_named(name, op, &[source], &own, Default::default());
        Ok(self.made(node, &shape, x))
    }

    /// Gives a linear layer without bias a stored row as its bias; whether it could be done.
    pub(super) fn biased(
        &mut self,
        product: &Live,
        bias: &Constant,
        name: &str,
    ) -> Result<bool, Reason> {
        let Op::Linear(Linear {
            bias: None,
            outputs,
            ..
        }) = self.built[product.node].op
        else {
            return Ok(false);
        };
        let stored = matches!(bias.data, Data::Stored { order: None, .. });
        let row = bias.count() == outputs && bias.shape.last().is_none_or(|&n| n == outputs);
        if !stored || !row || product.view.is_some() || product.shape.last() != Some(&outputs) {
            return Ok(false);
        }
        let name = self.parameter(bias, &Map::reshape(&[outputs]), name)?;
        if let Op::Linear(linear) = &mut self.built[product.node].op {
            linear.bias = Some(name);
        }
        Ok(true)
    }

    /// The products of the matrices of two values.
    fn between(&mut self, a: &Live, b: &Live) -> Result<Live, Reason> {
        let [ra, rb] = [a.shape.len(), b.shape.len()];
        if a.batch == Some(ra - 1) || b.batch == Some(rb - 2) {
            return Err("sums over examples".to_owned());
        }
        let lead = broadcast(&a.shape[..ra - 2], &b.shape[..rb - 2])?;
        let (t, d, u) = (a.shape[ra - 2], a.shape[ra - 1], b.shape[rb - 1]);
        let stacked = |last: [usize; 2]| [lead.as_slice(), &last].concat();
        let a = self.expanded(a, &stacked([t, d]))?;
        let b = self.expanded(b, &stacked([d, u]))?;
        if let (Some(x), Some(y)) = (a.batch, b.batch)
            && x != y
        {
            return Err("joins values of different examples".to_owned());
        }
        let stack: usize = lead.iter().product();
        count(&[stack, t, u])?;
        let sources: [NodeId; 2] = [
            self.shaped(&a, &[stack, t, d])?,
            self.shaped(&b, &[stack, d, u])?,
        ];
        let node = self.push(Op::MatMul { transposed: false }, &sources, &[stack, t, u]);
        let batch = a.batch.or(b.batch);
        Ok(self.made(node, &stacked([t, u]), &a).with_batch(batch))
    }
}

/// The extents of a constant that is one matrix.
fn matrix(w: &Constant, name: &str) -> Result<[usize; 2], Reason> {
    let (lead, last) = w.shape.split_at(w.shape.len().saturating_sub(2));
    match last {
        [rows, columns] if lead.iter().all(|&extent| extent == 1) => Ok([*rows, *columns]),
        _ => Err(format!(
            "multiplies by `{name}` of shape {:?}, a stack of matrices",
            w.shape
        )),
    }
}

/// The last two axes exchanged.
fn exchange(rank: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 1, rank - 2);
    order
}

fn turned(value: &Value) -> Result<Value, Reason> {
    match value {
        Value::Live(live) => Ok(turned_live(live)?.into()),
        other => {
            let shape = other.shape();
            other.mapped(&Map::transpose(shape, &exchange(shape.len()))?)
        }
    }
}

fn turned_live(live: &Live) -> Result<Live, Reason> {
    let order = exchange(live.shape.len());
    let map = Map::transpose(&live.shape, &order)?;
    let batch = live.batch.and_then(|b| order.iter().position(|&a| a == b));
    Ok(live.mapped(&map).with_batch(batch))
}
