//! Sums, products and powers, with constants and between values.
//!
//! | file | ours |
//! |---|---|
//! | x + c, x - c, x c, x / c | constants added or multiplied |
//! | x - y | x plus -1 times y |
//! | x / y | x times 1 / y |
//! | max(x, y) | x + relu(y - x) |
//! | clip(x, a, b) | a + relu(x - a) - relu(x - b) |
//! | PRelu | relu(x) - slope · relu(-x) |

use super::Lowering;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Constant, Live, Reason, Value, broadcast};
use crate::{Activation, Op};

/// Bounds from here on are those of the float format: none.
const UNBOUNDED: f64 = 3.4e38;

impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let op = node.op_type.as_str();
        if op == "PRelu" {
            return self.prelu(node);
        }
        let mut result = self.value(node, 0)?;
        if node.input.len() == 1 {
            return Ok(self.live(node, 0)?.into());
        }
        for position in 1..node.input.len() {
            let operand = self.value(node, position)?;
            result = match (&result, &operand) {
                (Value::Live(_), Value::Live(b)) => {
                    let a = if position == 1 {
                        self.live(node, 0)?
                    } else {
                        live(&result)?
                    };
                    let b = if b.binary {
                        b.clone()
                    } else {
                        self.live(node, position)?
                    };
                    self.between_values(op, &a, &b)?.into()
                }
                (Value::Live(a), Value::Constant(c)) => {
                    let a = if position == 1 {
                        self.live(node, 0)?
                    } else {
                        a.clone()
                    };
                    let name = &node.input[position];
                    self.with_constant(op, &a, c, (&node.input[0], name))?
                        .into()
                }
                (Value::Constant(c), Value::Live(_)) => {
                    let b = self.live(node, position)?;
                    let name = &node.input[0];
                    self.constant_with(op, c, &b, (&node.input[position], name))?
                        .into()
                }
                _ => return Err("joins two constants and a value".to_owned()),
            };
        }
        Ok(result)
    }

    fn between_values(&mut self, op: &str, a: &Live, b: &Live) -> Result<Live, Reason> {
        match op {
            "Add" | "Sum" => self.both(Op::Add, a, b),
            "Mul" => {
                let binary = a.binary && b.binary;
                let product = self.both(Op::Multiply, a, b)?;
                Ok(Live { binary, ..product })
            }
            "Sub" => {
                let b = self.scaled(b, -1.0)?;
                self.both(Op::Add, a, &b)
            }
            "Div" => {
                let b = self.activated(b, Activation::Reciprocal)?;
                self.both(Op::Multiply, a, &b)
            }
            "Max" | "Min" => {
                // max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b).
                let sign = if op == "Max" { 1.0 } else { -1.0 };
                let a_ = self.scaled(a, -sign)?;
                let b_ = self.scaled(b, sign)?;
                let gap = self.both(Op::Add, &b_, &a_)?;
                let gap = self.activated(&gap, Activation::Relu)?;
                let gap = self.scaled(&gap, sign)?;
                self.both(Op::Add, a, &gap)
            }
            _ => Err("has an exponent that depends on the input".to_owned()),
        }
    }

    /// A value and then a constant; names are those of both.
    fn with_constant(
        &mut self,
        op: &str,
        x: &Live,
        c: &Constant,
        (value, name): (&str, &str),
    ) -> Result<Live, Reason> {
        if op == "Pow" {
            return self.power(x, c);
        }
        if matches!(op, "Add" | "Sum")
            && self.is_read_once(value)
            && broadcast(&x.shape, &c.shape)? == x.shape
            && self.biased(x, c, name)?
        {
            return Ok(x.clone());
        }
        let (x, mut numbers) = self.beside(x, c)?;
        match op {
            "Sub" => numbers.iter_mut().for_each(|n| *n = -*n),
            "Div" if numbers.contains(&0.0) => return Err("divides by zero".to_owned()),
            "Div" => numbers.iter_mut().for_each(|n| *n = 1.0 / *n),
            "Max" | "Min" => return self.extreme(op, &x, numbers, c),
            _ => {}
        }
        let sum = matches!(op, "Add" | "Sum" | "Sub");
        if sum {
            numbers.iter_mut().for_each(|n| *n = masked(*n));
        }
        self.with_numbers(&x, numbers, sum, &c.origins)
    }

    /// A constant and then a value.
    fn constant_with(
        &mut self,
        op: &str,
        c: &Constant,
        x: &Live,
        names: (&str, &str),
    ) -> Result<Live, Reason> {
        match op {
            "Sub" => {
                let (y, numbers) = self.beside(x, c)?;
                let binary = x.binary && numbers.iter().all(|&n| n == 1.0);
                let y = self.scaled(&y, -1.0)?;
                let y = self.with_numbers(&y, numbers, true, &c.origins)?;
                Ok(Live { binary, ..y })
            }
            "Div" => {
                let x = self.activated(x, Activation::Reciprocal)?;
                let (x, numbers) = self.beside(&x, c)?;
                self.with_numbers(&x, numbers, false, &c.origins)
            }
            "Pow" => {
                let (x, mut numbers) = self.beside(x, c)?;
                if numbers.iter().any(|&n| n <= 0.0) {
                    return Err("has a base that is not positive".to_owned());
                }
                numbers.iter_mut().for_each(|n| *n = n.ln());
                let x = self.with_numbers(&x, numbers, false, &c.origins)?;
                self.activated(&x, Activation::Exp)
            }
            _ => self.with_constant(op, x, c, names),
        }
    }

    fn extreme(
        &mut self,
        op: &str,
        x: &Live,
        numbers: Vec<f64>,
        c: &Constant,
    ) -> Result<Live, Reason> {
        // max(x, c) = c + relu(x - c), min(x, c) = c - relu(c - x).
        let sign = if op == "Max" { 1.0 } else { -1.0 };
        let y = self.scaled(x, sign)?;
        let below = numbers.iter().map(|n| -sign * n).collect();
        let y = self.with_numbers(&y, below, true, &c.origins)?;
        let y = self.activated(&y, Activation::Relu)?;
        let y = self.scaled(&y, sign)?;
        self.with_numbers(&y, numbers, true, &c.origins)
    }

    fn power(&mut self, x: &Live, c: &Constant) -> Result<Live, Reason> {
        let numbers = self.store.floats(c)?;
        let Some(&exponent) = numbers.first() else {
            return Err("has no exponent".to_owned());
        };
        if numbers.iter().any(|&n| n != exponent) || !exponent.is_finite() {
            return Err("has several exponents".to_owned());
        }
        let shape = broadcast(&x.shape, &c.shape)?;
        let x = self.expanded(x, &shape)?;
        match exponent {
            1.0 => Ok(x),
            2.0 => self.both(Op::Multiply, &x, &x),
            0.5 => self.activated(&x, Activation::Sqrt),
            -1.0 => self.activated(&x, Activation::Reciprocal),
            exponent => self.activated(&x, Activation::Power { exponent }),
        }
    }

    pub(super) fn clip(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let mut bounds = [None, None];
        for (position, name) in ["min", "max"].into_iter().enumerate() {
            bounds[position] = match (node.has(name), self.given(node, position + 1)?) {
                (true, _) => Some(node.float(name, 0.0)?),
                (false, Some(constant)) if constant.count() == 1 => {
                    self.store.floats(&constant)?.first().copied()
                }
                (false, Some(constant)) => {
                    return Err(format!("has bounds of shape {:?}", constant.shape));
                }
                (false, None) => None,
            };
        }
        let bounds = bounds.map(|bound| bound.filter(|bound| bound.abs() < UNBOUNDED));
        if bounds.iter().flatten().any(|bound| bound.is_nan()) {
            return Err("has a bound that is no number".to_owned());
        }
        Ok(self.clipped(&x, bounds[0], bounds[1])?.into())
    }

    pub(super) fn clipped(
        &mut self,
        x: &Live,
        least: Option<f64>,
        most: Option<f64>,
    ) -> Result<Live, Reason> {
        match (least, most) {
            (None, None) => Ok(x.clone()),
            (Some(least), None) => {
                let y = self.shifted(x, -least)?;
                let y = self.activated(&y, Activation::Relu)?;
                self.shifted(&y, least)
            }
            (None, Some(most)) => {
                let y = self.scaled(x, -1.0)?;
                let y = self.shifted(&y, most)?;
                let y = self.activated(&y, Activation::Relu)?;
                let y = self.scaled(&y, -1.0)?;
                self.shifted(&y, most)
            }
            (Some(least), Some(most)) if least <= most => {
                let low = self.clipped(x, Some(least), None)?;
                let high = self.shifted(x, -most)?;
                let high = self.activated(&high, Activation::Relu)?;
                let high = self.scaled(&high, -1.0)?;
                self.both(Op::Add, &low, &high)
            }
            (Some(least), Some(most)) => Err(format!("has the bounds {least} and {most}")),
        }
    }

    fn prelu(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let slope = self.required(node, 1)?;
        if broadcast(&x.shape, &slope.shape)? != x.shape {
            return Err(format!(
                "has slopes of shape {:?} for {:?}",
                slope.shape, x.shape
            ));
        }
        let right = self.activated(&x, Activation::Relu)?;
        let left = self.scaled(&x, -1.0)?;
        let left = self.activated(&left, Activation::Relu)?;
        let mut slopes = self.spread(&slope, &x.shape)?;
        slopes.iter_mut().for_each(|slope| *slope = -*slope);
        let left = self.with_numbers(&left, slopes, false, &slope.origins)?;
        Ok(self.both(Op::Add, &right, &left)?.into())
    }
}

/// What attention scores lose at padding: an infinity would become no number when it is multiplied by 0.
const MASKED: f64 = 1e30;

/// A finite number in the place of an infinity or the least number of the float format.
pub(super) fn masked(number: f64) -> f64 {
    if number.is_nan() {
        number
    } else {
        number.clamp(-MASKED, MASKED)
    }
}

fn live(value: &Value) -> Result<Live, Reason> {
    match value {
        Value::Live(live) => Ok(live.clone()),
        _ => Err("joins constants".to_owned()),
    }
}
