//! Functions that exporters spell out, told from the node that ends them.
//!
//! | spelled out | ours |
//! |---|---|
//! | x · sigmoid(x) | SiLU |
//! | x · clip(x / 6 + 1/2, 0, 1), x · clip(x + 3, 0, 6) / 6 | Hardswish |
//! | x / 2 · (1 + erf(x / √2)), factors in any order | GELU |
//! | (x - mean) / √(mean((x - mean)²) + ε) · γ + β | layer normalisation |
//!
//! The nodes inside are read as well, and given up where nothing else needs them.

use super::Lowering;
use crate::Activation;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{self, Kind, Live, Reason, Value};

/// How far a stored factor may be from the exact one: the width of f32. A factor that is farther away is
/// another function, which is read as it is spelled.
const NEAR: f64 = 1e-6;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= NEAR * b.abs()
}

/// A product as its factors: one number, and values by name.
struct Product<'a> {
    factor: f64,
    values: Vec<&'a str>,
}

impl<'a> Lowering<'a> {
    /// The value of a node that ends a spelled-out function; `None` where it ends none.
    pub(super) fn pattern(&mut self, node: &'a NodeProto) -> Result<Option<Value>, Reason> {
        match node.op_type.as_str() {
            "Mul" | "Div" => {
                let Some((x, activation)) = self.gate(node) else {
                    return Ok(None);
                };
                match self.values.get(x) {
                    Some(Value::Live(live)) if live.kind == Kind::Float => {
                        let live = live.clone();
                        Ok(Some(self.activated(&live, activation)?.into()))
                    }
                    _ => Ok(None),
                }
            }
            "Add" => self.spelled_norm(node),
            _ => Ok(None),
        }
    }

    /// The node of an operator that makes a value; what only changes the element type does nothing here.
    fn producer(&self, value: &str, op: &str) -> Option<&'a NodeProto> {
        let mut node = self.producers.get(value).copied()?;
        while node.op_type == "Cast" {
            node = self.producers.get(node.operand(0)?).copied()?;
        }
        (node.op_type == op).then_some(node)
    }

    /// The only number of a constant.
    fn number(&self, value: &str) -> Option<f64> {
        let constant = self.values.get(value)?.constant()?;
        if constant.count() != 1 {
            return None;
        }
        self.store.floats(constant).ok()?.first().copied()
    }

    /// The product that a value is, products of products multiplied out.
    fn product_of(&self, value: &'a str, depth: usize) -> Product<'a> {
        let alone = Product {
            factor: 1.0,
            values: vec![value],
        };
        let node = self.producers.get(value).copied();
        match node {
            Some(node) if depth > 0 && matches!(node.op_type.as_str(), "Mul" | "Div") => {
                self.factors(node, depth).unwrap_or(alone)
            }
            _ => alone,
        }
    }

    fn factors(&self, node: &'a NodeProto, depth: usize) -> Option<Product<'a>> {
        let (a, b) = (node.operand(0)?, node.operand(1)?);
        let divides = node.op_type == "Div";
        let [x, y] = [self.number(a), self.number(b)];
        let (mut product, number) = match (x, y) {
            (_, Some(number)) => (self.product_of(a, depth - 1), number),
            (Some(number), None) if !divides => (self.product_of(b, depth - 1), number),
            (None, None) if !divides => {
                let (mut p, q) = (self.product_of(a, depth - 1), self.product_of(b, depth - 1));
                p.values.extend(q.values);
                (p, q.factor)
            }
            _ => return None,
        };
        product.factor *= if divides { 1.0 / number } else { number };
        Some(product)
    }

    /// A sum of a value and a number.
    fn shifted_by(&self, value: &str) -> Option<(&'a str, f64)> {
        let node = self.producer(value, "Add")?;
        let (a, b) = (node.operand(0)?, node.operand(1)?);
        match (self.number(a), self.number(b)) {
            (None, Some(number)) => Some((a, number)),
            (Some(number), None) => Some((b, number)),
            _ => None,
        }
    }

    /// The function of one value that a product is.
    fn gate(&self, node: &'a NodeProto) -> Option<(&'a str, Activation)> {
        let product = self.factors(node, 3)?;
        let [a, b] = product.values[..] else {
            return None;
        };
        for (x, gate) in [(a, b), (b, a)] {
            let sigmoid = self.producer(gate, "Sigmoid");
            if product.factor == 1.0 && sigmoid.is_some_and(|node| node.operand(0) == Some(x)) {
                return Some((x, Activation::Silu));
            }
            if self.is_hard(x, gate, product.factor) {
                return Some((x, Activation::Hardswish));
            }
            if near(product.factor, 0.5) && self.is_normal(x, gate) {
                return Some((x, Activation::Gelu));
            }
        }
        None
    }

    /// Whether a gate is the hard sigmoid of x, up to the factor.
    fn is_hard(&self, x: &str, gate: &'a str, factor: f64) -> bool {
        if let Some(node) = self.producer(gate, "HardSigmoid") {
            let constants = (node.float("alpha", 0.2), node.float("beta", 0.5));
            return factor == 1.0
                && node.operand(0) == Some(x)
                && matches!(constants, (Ok(alpha), Ok(beta)) if (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5);
        }
        let Some(clip) = self.producer(gate, "Clip") else {
            return false;
        };
        let bound = |name: &str, position: usize| match clip.has(name) {
            true => clip.float(name, 0.0).ok(),
            false => clip.operand(position).and_then(|name| self.number(name)),
        };
        let shifted = clip.operand(0).and_then(|value| self.shifted_by(value));
        (factor - 1.0 / 6.0).abs() < 1e-6
            && bound("min", 1) == Some(0.0)
            && bound("max", 2) == Some(6.0)
            && shifted == Some((x, 3.0))
    }

    /// Whether a gate is `1 + erf(x / √2)`.
    fn is_normal(&self, x: &str, gate: &str) -> bool {
        let found = || {
            let (erf, one) = self.shifted_by(gate)?;
            let inner = self.producer(erf, "Erf")?.operand(0)?;
            let product = self.product_of(inner, 1);
            let half = std::f64::consts::FRAC_1_SQRT_2;
            Some(one == 1.0 && product.values == [x] && near(product.factor, half))
        };
        found().unwrap_or(false)
    }

    /// The layer normalisation that a sum ends.
    fn spelled_norm(&mut self, node: &'a NodeProto) -> Result<Option<Value>, Reason> {
        let Some((x, [scale, shift], epsilon)) = self.norm_parts(node) else {
            return Ok(None);
        };
        let constant = |name: &str| self.values.get(name).and_then(Value::constant).cloned();
        let (Some(gain), Some(offset), Some(Value::Live(live))) =
            (constant(scale), constant(shift), self.values.get(x))
        else {
            return Ok(None);
        };
        let live: Live = live.clone();
        let features = live.shape.last().copied().unwrap_or(0);
        let rows = |shape: &[usize]| shape == [features];
        if live.kind != Kind::Float || !rows(&gain.shape) || !rows(&offset.shape) {
            return Ok(None);
        }
        let Some(last) = live.shape.len().checked_sub(1) else {
            return Ok(None);
        };
        let names = [scale, shift];
        Ok(Some(
            self.normalised(&live, last, epsilon, &gain, Some(&offset), names)?
                .into(),
        ))
    }

    /// What is normalised, gain and offset, ε.
    fn norm_parts(&self, node: &'a NodeProto) -> Option<(&'a str, [&'a str; 2], f64)> {
        let constants = |node: &'a NodeProto| {
            let (a, b) = (node.operand(0)?, node.operand(1)?);
            let is_constant = |name| matches!(self.values.get(name), Some(Value::Constant(_)));
            match (is_constant(a), is_constant(b)) {
                (false, true) => Some((a, b)),
                (true, false) => Some((b, a)),
                _ => None,
            }
        };
        let (scaled, shift) = constants(node)?;
        let (normal, scale) = constants(self.producer(scaled, "Mul")?)?;
        let (centred, root) = match self.producer(normal, "Div") {
            Some(quotient) => (quotient.operand(0)?, quotient.operand(1)?),
            None => {
                let product = self.producer(normal, "Mul")?;
                let (a, b) = (product.operand(0)?, product.operand(1)?);
                let inverse = |name| self.producer(name, "Reciprocal");
                match (inverse(a), inverse(b)) {
                    (None, Some(node)) => (a, node.operand(0)?),
                    (Some(node), None) => (b, node.operand(0)?),
                    _ => return None,
                }
            }
        };
        let (variance, epsilon) = self.shifted_by(self.producer(root, "Sqrt")?.operand(0)?)?;
        let square = self.mean_of(variance)?;
        let squared = match (self.producer(square, "Pow"), self.producer(square, "Mul")) {
            (Some(power), _) if self.number(power.operand(1)?)? == 2.0 => power.operand(0)?,
            (None, Some(product)) if product.operand(0) == product.operand(1) => {
                product.operand(0)?
            }
            _ => return None,
        };
        let difference = self.producer(centred, "Sub")?;
        let same = squared == centred || std::ptr::eq(self.producer(squared, "Sub")?, difference);
        let x = difference.operand(0)?;
        (same && self.mean_of(difference.operand(1)?)? == x).then_some((x, [scale, shift], epsilon))
    }

    /// The value of which another is the mean over the last axis, which is kept.
    fn mean_of(&self, value: &str) -> Option<&'a str> {
        let node = self.producer(value, "ReduceMean")?;
        let x = node.operand(0)?;
        let rank = self.values.get(x)?.shape().len();
        let axes = self.listed(node, "axes", 1).ok()??;
        let [axis] = axes[..] else {
            return None;
        };
        let last = values::axis(axis, rank).ok()? + 1 == rank;
        (last && node.flag("keepdims", true).ok()?).then_some(x)
    }
}
