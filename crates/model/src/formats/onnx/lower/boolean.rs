//! Masks. A boolean that depends on the input is a number that is 0 or 1:
//!
//! ```text
//! not a = 1 - a     a and b = a b     a or b = a + b - a b     a ? x : y = a x + (1 - a) y
//! ```
//!
//! A comparison of such a number with a constant is an affine function of it.

use super::Lowering;
use super::builder::joined;
use super::elementwise::masked;
use crate::Note;
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Constant, Kind, Live, Map, Reason, Value, broadcast, count};

/// Which numbers an element type holds.
pub(super) fn kind_of(data_type: i64) -> Result<Kind, Reason> {
    match data_type {
        1 | 10 | 11 | 16 => Ok(Kind::Float),
        2..=7 | 12 | 13 => Ok(Kind::Integer),
        9 => Ok(Kind::Boolean),
        other => Err(format!("makes elements of type {other}")),
    }
}

impl Lowering<'_> {
    pub(super) fn cast(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let to = match node.op_type.as_str() {
            "CastLike" => match self.value(node, 1)? {
                Value::Constant(constant) => constant.kind(),
                Value::Live(live) => live.kind,
                Value::Opaque(_, reason) => return Err(reason),
            },
            _ => kind_of(node.int("to")?.ok_or("has no type")?)?,
        };
        let Value::Live(x) = self.value(node, 0)? else {
            return Err("casts a constant".to_owned());
        };
        if x.kind == to || x.binary {
            return Ok(Live { kind: to, ..x }.into());
        }
        Ok(self.opaque(node, &x.shape, "rounds to whole numbers"))
    }

    /// A value that nothing can read, with the reason.
    fn opaque(&self, node: &NodeProto, shape: &[usize], why: &str) -> Value {
        let reason = format!("the {} node `{}` {why}", node.op_type, self.at);
        Value::Opaque(shape.to_vec(), reason)
    }

    /// A value that is known to be 0 or 1 as such.
    fn bits(live: Live) -> Value {
        Live {
            kind: Kind::Boolean,
            binary: true,
            ..live
        }
        .into()
    }

    pub(super) fn boolean(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let op = node.op_type.as_str();
        let a = self.value(node, 0)?;
        if op == "IsNaN" {
            let shape = a.shape().to_vec();
            let note = Note::Assumed(format!(
                "no value is NaN where the node `{}` asks for it",
                self.at
            ));
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(Constant::booleans(&shape, vec![false; count(&shape)?]).into());
        }
        if op == "Not" {
            let Value::Live(x) = a else {
                return Err("negates a constant".to_owned());
            };
            return Ok(Self::bits(self.complement(&x)?));
        }
        let b = self.value(node, 1)?;
        let binary = |value: &Value| match value {
            Value::Live(live) => live.binary,
            _ => true,
        };
        let shape = broadcast(a.shape(), b.shape())?;
        if !binary(&a) || !binary(&b) {
            return Ok(self.opaque(node, &shape, "compares numbers"));
        }
        match (&a, &b) {
            (Value::Live(x), Value::Live(y)) => match op {
                "And" => Ok(Self::bits(self.both(Op::Multiply, x, y)?)),
                "Or" => {
                    let (x, y) = (self.complement(x)?, self.complement(y)?);
                    let neither = self.both(Op::Multiply, &x, &y)?;
                    Ok(Self::bits(self.complement(&neither)?))
                }
                _ => Ok(self.opaque(node, &shape, "compares two masks")),
            },
            (Value::Live(x), Value::Constant(c)) => self.compared(op, x, c, false),
            (Value::Constant(c), Value::Live(x)) => self.compared(op, x, c, true),
            _ => Err("compares constants".to_owned()),
        }
    }

    /// 1 - x
    fn complement(&mut self, x: &Live) -> Result<Live, Reason> {
        let y = self.scaled(x, -1.0)?;
        self.shifted(&y, 1.0)
    }

    /// A comparison of 0 or 1 with constants: what it gives for 0, plus x times the difference for 1.
    fn compared(
        &mut self,
        op: &str,
        x: &Live,
        c: &Constant,
        swapped: bool,
    ) -> Result<Value, Reason> {
        let (x, numbers) = self.beside(x, c)?;
        let holds = |x: f64, c: f64| {
            let (a, b) = if swapped { (c, x) } else { (x, c) };
            f64::from(u8::from(match op {
                "And" => a != 0.0 && b != 0.0,
                "Or" => a != 0.0 || b != 0.0,
                "Xor" => (a != 0.0) != (b != 0.0),
                "Equal" => a == b,
                "Greater" => a > b,
                "GreaterOrEqual" => a >= b,
                "Less" => a < b,
                _ => a <= b,
            }))
        };
        let at_zero: Vec<f64> = numbers.iter().map(|&c| holds(0.0, c)).collect();
        let slopes: Vec<f64> = numbers
            .iter()
            .map(|&c| holds(1.0, c) - holds(0.0, c))
            .collect();
        Ok(Self::bits(self.affine(
            &x,
            slopes,
            at_zero,
            &joined(&[c]),
        )?))
    }

    /// x times numbers plus numbers, each left out where it does nothing.
    fn affine(
        &mut self,
        x: &Live,
        factors: Vec<f64>,
        terms: Vec<f64>,
        origins: &crate::formats::onnx::values::Origins,
    ) -> Result<Live, Reason> {
        let mut y = x.clone();
        if factors.iter().any(|&factor| factor != 1.0) {
            y = self.with_numbers(&y, factors, false, origins)?;
        }
        if terms.iter().any(|&term| term != 0.0) {
            y = self.with_numbers(&y, terms, true, origins)?;
        }
        Ok(y)
    }

    pub(super) fn where_(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let condition = self.value(node, 0)?;
        let branches = [self.value(node, 1)?, self.value(node, 2)?];
        let mut shape = condition.shape().to_vec();
        for branch in &branches {
            shape = broadcast(&shape, branch.shape())?;
            if let Value::Live(live) = branch
                && live.kind != Kind::Float
                && !live.binary
            {
                return Err("chooses between whole numbers".to_owned());
            }
        }
        count(&shape)?;
        match condition {
            Value::Constant(mask) => self.chosen(&mask, &branches, &shape),
            Value::Live(mask) if mask.binary => self.gated(&mask, &branches, &shape),
            _ => Err("chooses by a value that is no mask".to_owned()),
        }
    }

    /// A choice that does not depend on the input.
    fn chosen(
        &mut self,
        mask: &Constant,
        branches: &[Value; 2],
        shape: &[usize],
    ) -> Result<Value, Reason> {
        let mask = self.spread(mask, shape)?;
        let mut sum: Option<Live> = None;
        let mut terms = vec![0.0; mask.len()];
        let mut constants = Vec::new();
        for (branch, taken) in branches.iter().zip([1.0, 0.0]) {
            let factors = mask
                .iter()
                .map(|&m| f64::from(u8::from((m != 0.0) == (taken == 1.0))));
            let factors: Vec<f64> = factors.collect();
            if factors.iter().all(|&factor| factor == 0.0) {
                continue;
            }
            match branch {
                Value::Constant(constant) => {
                    let numbers = self.spread(constant, shape)?;
                    for ((term, factor), number) in terms.iter_mut().zip(factors).zip(numbers) {
                        if factor == 1.0 {
                            *term = masked(number);
                        }
                    }
                    constants.push(constant);
                }
                Value::Live(live) => {
                    let live = self.expanded(live, shape)?;
                    let zeros = vec![0.0; factors.len()];
                    let part = self.affine(&live, factors, zeros, &Default::default())?;
                    sum = Some(match sum {
                        None => part,
                        Some(sum) => self.both(Op::Add, &sum, &part)?,
                    });
                }
                Value::Opaque(_, reason) => return Err(reason.clone()),
            }
        }
        let origins = joined(&constants);
        match sum {
            Some(sum) => Ok(self
                .affine(&sum, vec![1.0; terms.len()], terms, &origins)?
                .into()),
            None => Ok(Constant::floats(shape, terms, origins).into()),
        }
    }

    /// A choice by a mask that depends on the input.
    fn gated(
        &mut self,
        mask: &Live,
        branches: &[Value; 2],
        shape: &[usize],
    ) -> Result<Value, Reason> {
        if let [Value::Constant(a), Value::Constant(b)] = branches {
            let (a_, b_) = (self.spread(a, shape)?, self.spread(b, shape)?);
            let [a_, b_] = [a_, b_].map(|n| n.into_iter().map(masked).collect::<Vec<_>>());
            let mask = self.expanded(mask, shape)?;
            let factors = a_.iter().zip(&b_).map(|(a, b)| a - b).collect();
            return Ok(self.affine(&mask, factors, b_, &joined(&[a, b]))?.into());
        }
        let other = self.complement(mask)?;
        let mut parts = Vec::new();
        for (branch, gate) in branches.iter().zip([mask, &other]) {
            let part = match branch {
                Value::Live(live) => {
                    let live = self.expanded(live, shape)?;
                    self.both(Op::Multiply, gate, &live)?
                }
                Value::Constant(constant) => {
                    let numbers: Vec<f64> = self
                        .spread(constant, shape)?
                        .into_iter()
                        .map(masked)
                        .collect();
                    if numbers.iter().all(|&number| number == 0.0) {
                        continue;
                    }
                    let gate = self.expanded(gate, shape)?;
                    self.with_numbers(&gate, numbers, false, &joined(&[constant]))?
                }
                Value::Opaque(_, reason) => return Err(reason.clone()),
            };
            parts.push(part);
        }
        match &parts[..] {
            [a, b] => Ok(self.both(Op::Add, a, b)?.into()),
            [a] => Ok(a.mapped(&Map::reshape(shape)).into()),
            _ => Err("chooses between nothing".to_owned()),
        }
    }
}
