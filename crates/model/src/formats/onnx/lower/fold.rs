//! Nodes of constants: shape arithmetic, masks and position tables are computed while the file is read.

use std::sync::Arc;

use super::Lowering;
use super::boolean::kind_of;
use super::builder::joined;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{
    self, Constant, Data, Kind, MOST_CONSTANTS, Map, Reason, Value, broadcast, count, strides,
    too_many,
};

/// The most products that are folded for one node.
const MOST_PRODUCTS: usize = 1 << 28;

impl<'a> Lowering<'a> {
    /// The value of a node whose operands are all constants; `None` for another.
    pub(super) fn folded(&mut self, node: &'a NodeProto) -> Result<Option<Value>, Reason> {
        if node.op_type == "Constant" {
            return Ok(Some(self.constant(node)?.into()));
        }
        let mut operands = Vec::with_capacity(node.input.len());
        for position in 0..node.input.len() {
            if node.operand(position).is_none() {
                operands.push(Constant::integers(&[0], Vec::new()));
                continue;
            }
            match self.value(node, position)? {
                Value::Constant(constant) => operands.push(constant),
                _ => return Ok(None),
            }
        }
        let folded = match node.op_type.as_str() {
            "ConstantOfShape" => self.filled(node)?,
            "Range" => self.range(&operands)?,
            "Cast" => self.cast_constant(
                &operands[0],
                kind_of(node.int("to")?.ok_or("has no type")?)?,
            )?,
            "CastLike" => self.cast_constant(&operands[0], operands[1].kind())?,
            "Where" => self.choice(&operands)?,
            "MatMul" => self.product_of_constants(&operands[0], &operands[1])?,
            "CumSum" => self.running_sum(node, &operands)?,
            "Trilu" => self.triangle(node, &operands)?,
            "ReduceMean" | "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" => {
                self.reduced(node, &operands[0])?
            }
            "Not" | "Neg" | "Sqrt" | "Abs" | "Floor" | "Ceil" | "Reciprocal" | "Exp" | "Log" => {
                self.unary(&node.op_type, &operands[0])?
            }
            _ if operands.len() == 2 && is_binary(&node.op_type) => {
                self.binary(&node.op_type, &operands[0], &operands[1])?
            }
            "Max" | "Min" | "Sum" => {
                let mut folded = operands[0].clone();
                for operand in &operands[1..] {
                    folded = self.binary(&node.op_type, &folded, operand)?;
                }
                folded
            }
            _ => return Err("is not folded: all its operands are constants".to_owned()),
        };
        Ok(Some(folded.into()))
    }

    fn constant(&mut self, node: &'a NodeProto) -> Result<Constant, Reason> {
        if node.attribute.len() != 1 {
            return Err(format!("has {} values", node.attribute.len()));
        }
        if let Some(tensor) = node.tensor("value")? {
            let name = node.output.first().ok_or("has no result")?;
            let position = self.store.add(name, tensor)?;
            return self.stored_constant(position);
        }
        if let Some(numbers) = node.floats("value_floats")? {
            let numbers: Vec<f64> = numbers.iter().map(|&x| f64::from(x)).collect();
            return Ok(Constant::floats(
                &[numbers.len()],
                numbers,
                Default::default(),
            ));
        }
        if let Some(numbers) = node.ints("value_ints")? {
            return Ok(Constant::integers(&[numbers.len()], numbers.to_vec()));
        }
        if let Some(number) = node.int("value_int")? {
            return Ok(Constant::integers(&[], vec![number]));
        }
        if node.has("value_float") {
            let number = node.float("value_float", 0.0)?;
            return Ok(Constant::floats(&[], vec![number], Default::default()));
        }
        Err(format!(
            "holds `{}`, which is not read",
            node.attribute[0].name
        ))
    }

    fn filled(&mut self, node: &'a NodeProto) -> Result<Constant, Reason> {
        let shape = super::shape::extents(&self.whole(node, 0)?.unwrap_or_default())?;
        let total = count(&shape)?;
        self.spend(total)?;
        let Some(tensor) = node.tensor("value")? else {
            return Ok(Constant::floats(
                &shape,
                vec![0.0; total],
                Default::default(),
            ));
        };
        let name = format!("{}: value", node.output.first().map_or("", String::as_str));
        let position = self.store.add(&name, tensor)?;
        let value = self.store.constant(position)?;
        if value.count() != 1 {
            return Err("is filled with several numbers".to_owned());
        }
        Ok(match &value.data {
            Data::Integers(numbers, kind) => {
                Constant::whole(&shape, vec![numbers[0]; total], *kind)
            }
            _ => {
                let number = self.store.floats(&value)?[0];
                Constant::floats(&shape, vec![number; total], Default::default())
            }
        })
    }

    fn range(&mut self, operands: &[Constant]) -> Result<Constant, Reason> {
        if operands.iter().any(|operand| operand.count() != 1) {
            return Err("has bounds that are no numbers".to_owned());
        }
        let whole = operands.iter().all(|o| o.kind() == Kind::Integer);
        let floats: Result<Vec<f64>, Reason> = operands
            .iter()
            .map(|o| Ok(self.store.floats(o)?[0]))
            .collect();
        let (start, limit, step) = match floats?[..] {
            [start, limit, step] => (start, limit, step),
            _ => return Err("lacks a bound".to_owned()),
        };
        if step == 0.0 || !(limit - start).is_finite() || !step.is_finite() {
            return Err(format!("has a step of {step}"));
        }
        let steps = ((limit - start) / step).ceil().max(0.0);
        if steps > MOST_CONSTANTS as f64 {
            return Err(too_many(steps as u128));
        }
        let steps = steps as usize;
        self.spend(steps)?;
        let numbers = (0..steps).map(|i| start + i as f64 * step);
        Ok(match whole {
            true => Constant::integers(&[steps], numbers.map(|x| x as i64).collect()),
            false => Constant::floats(
                &[steps],
                numbers.collect(),
                joined(&operands.iter().collect::<Vec<_>>()),
            ),
        })
    }

    fn cast_constant(&mut self, constant: &Constant, to: Kind) -> Result<Constant, Reason> {
        let kind = constant.kind();
        if kind == to {
            return Ok(constant.clone());
        }
        self.spend(constant.count())?;
        let shape = &constant.shape;
        let numbers = self.store.floats(constant)?;
        Ok(match (to, &constant.data) {
            (Kind::Integer, Data::Integers(whole, _)) => Constant {
                shape: shape.clone(),
                data: Data::Integers(Arc::clone(whole), Kind::Integer),
                origins: Default::default(),
            },
            (Kind::Float, _) => {
                Constant::floats(shape, numbers.to_vec(), Arc::clone(&constant.origins))
            }
            (Kind::Integer, _) => {
                Constant::integers(shape, numbers.iter().map(|&x| x as i64).collect())
            }
            (Kind::Boolean, _) => {
                Constant::booleans(shape, numbers.iter().map(|&x| x != 0.0).collect())
            }
        })
    }

    fn choice(&mut self, operands: &[Constant]) -> Result<Constant, Reason> {
        let [mask, a, b] = operands else {
            return Err("lacks an operand".to_owned());
        };
        let shape = broadcast(&broadcast(&mask.shape, &a.shape)?, &b.shape)?;
        self.spend(count(&shape)?)?;
        if a.kind() != b.kind() {
            return Err("chooses between different types".to_owned());
        }
        let mask = self.spread(mask, &shape)?;
        if a.kind() != Kind::Float {
            let [x, y] = [self.spread_whole(a, &shape)?, self.spread_whole(b, &shape)?];
            let pick = |i: usize| if mask[i] != 0.0 { x[i] } else { y[i] };
            return Ok(Constant::whole(
                &shape,
                (0..mask.len()).map(pick).collect(),
                a.kind(),
            ));
        }
        let [x, y] = [self.spread(a, &shape)?, self.spread(b, &shape)?];
        let pick = |i: usize| if mask[i] != 0.0 { x[i] } else { y[i] };
        let numbers = (0..mask.len()).map(pick).collect();
        Ok(Constant::floats(&shape, numbers, joined(&[a, b])))
    }

    fn spread_whole(&self, constant: &Constant, shape: &[usize]) -> Result<Vec<i64>, Reason> {
        let expanded = constant.mapped(&Map::expand(&constant.shape, shape)?)?;
        match expanded.data {
            Data::Integers(numbers, _) => Ok(numbers.to_vec()),
            _ => Err("expects whole numbers".to_owned()),
        }
    }

    fn unary(&mut self, op: &str, x: &Constant) -> Result<Constant, Reason> {
        self.spend(x.count())?;
        if let Data::Integers(numbers, kind) = &x.data {
            let each: fn(i64) -> i64 = match op {
                "Not" => |x| i64::from(x == 0),
                "Neg" => i64::wrapping_neg,
                "Abs" => i64::wrapping_abs,
                _ => return Err("computes with whole numbers".to_owned()),
            };
            let numbers = numbers.iter().map(|&x| each(x)).collect();
            return Ok(Constant::whole(&x.shape, numbers, *kind));
        }
        let each: fn(f64) -> f64 = match op {
            "Neg" => |x| -x,
            "Sqrt" => f64::sqrt,
            "Abs" => f64::abs,
            "Floor" => f64::floor,
            "Ceil" => f64::ceil,
            "Exp" => f64::exp,
            "Log" => f64::ln,
            "Reciprocal" => f64::recip,
            _ => return Err("computes with floats".to_owned()),
        };
        let numbers = self.store.floats(x)?.iter().map(|&x| each(x)).collect();
        Ok(Constant::floats(&x.shape, numbers, Arc::clone(&x.origins)))
    }

    fn binary(&mut self, op: &str, a: &Constant, b: &Constant) -> Result<Constant, Reason> {
        let shape = broadcast(&a.shape, &b.shape)?;
        self.spend(count(&shape)?)?;
        let floats = a.kind() == Kind::Float || b.kind() == Kind::Float;
        if let (Some(compare), false) = (comparison_of_whole(op), floats) {
            let [x, y] = [self.spread_whole(a, &shape)?, self.spread_whole(b, &shape)?];
            let numbers = x.iter().zip(&y).map(|(&x, &y)| compare(x, y)).collect();
            return Ok(Constant::booleans(&shape, numbers));
        }
        if let (Some(compare), true) = (comparison(op), floats) {
            let [x, y] = [self.spread(a, &shape)?, self.spread(b, &shape)?];
            let numbers = x.iter().zip(&y).map(|(&x, &y)| compare(x, y)).collect();
            return Ok(Constant::booleans(&shape, numbers));
        }
        if floats {
            let each = of_floats(op).ok_or("is no operator of floats")?;
            let [x, y] = [self.spread(a, &shape)?, self.spread(b, &shape)?];
            let numbers = x.iter().zip(&y).map(|(&x, &y)| each(x, y)).collect();
            return Ok(Constant::floats(&shape, numbers, joined(&[a, b])));
        }
        let each = of_whole(op).ok_or("is no operator of whole numbers")?;
        let [x, y] = [self.spread_whole(a, &shape)?, self.spread_whole(b, &shape)?];
        let numbers: Option<Vec<i64>> = x.iter().zip(&y).map(|(&x, &y)| each(x, y)).collect();
        let numbers = numbers.ok_or("has whole numbers that are too large, or divides by zero")?;
        Ok(Constant::integers(&shape, numbers))
    }

    fn product_of_constants(&mut self, a: &Constant, b: &Constant) -> Result<Constant, Reason> {
        let ([m, k], [k_, n]) = (&a.shape[..], &b.shape[..]) else {
            return Err(format!(
                "multiplies constants of shapes {:?} and {:?}",
                a.shape, b.shape
            ));
        };
        if k != k_ {
            return Err(format!("multiplies shapes {:?} and {:?}", a.shape, b.shape));
        }
        let work = m.saturating_mul(*k).saturating_mul(*n);
        if work > MOST_PRODUCTS {
            return Err(format!(
                "multiplies {work} values of constants, more than are read here"
            ));
        }
        self.spend(m * n)?;
        let [x, y] = [self.store.floats(a)?, self.store.floats(b)?];
        let entry = |i: usize, j: usize| (0..*k).map(|l| x[i * k + l] * y[l * n + j]).sum();
        let numbers = (0..*m).flat_map(|i| (0..*n).map(move |j| (i, j)));
        let numbers = numbers.map(|(i, j)| entry(i, j)).collect();
        Ok(Constant::floats(&[*m, *n], numbers, joined(&[a, b])))
    }

    fn running_sum(&mut self, node: &NodeProto, operands: &[Constant]) -> Result<Constant, Reason> {
        if node.flag("exclusive", false)? || node.flag("reverse", false)? {
            return Err("sums in another way".to_owned());
        }
        let x = &operands[0];
        let axis = self.whole(node, 1)?.and_then(|axis| axis.first().copied());
        let axis = values::axis(axis.ok_or("lacks its axis")?, x.shape.len())?;
        let Data::Integers(numbers, kind) = &x.data else {
            return Err("sums floats".to_owned());
        };
        self.spend(x.count())?;
        let stride = strides(&x.shape)[axis];
        let mut sums = numbers.to_vec();
        for i in 0..sums.len() {
            if !(i / stride).is_multiple_of(x.shape[axis]) {
                sums[i] = sums[i].wrapping_add(sums[i - stride]);
            }
        }
        Ok(Constant::whole(&x.shape, sums, *kind))
    }

    fn triangle(&mut self, node: &NodeProto, operands: &[Constant]) -> Result<Constant, Reason> {
        let x = &operands[0];
        let upper = node.flag("upper", true)?;
        let k = self
            .whole(node, 1)?
            .and_then(|k| k.first().copied())
            .unwrap_or(0);
        let [rows, columns] = match x.shape[..] {
            [.., rows, columns] => [rows, columns],
            _ => return Err("has no matrices".to_owned()),
        };
        self.spend(x.count())?;
        let kept = |i: usize| {
            let (row, column) = (i / columns % rows, i % columns);
            let distance = column as i64 - row as i64;
            if upper { distance >= k } else { distance <= k }
        };
        Ok(match &x.data {
            Data::Integers(numbers, kind) => {
                let numbers = numbers.iter().enumerate();
                let numbers = numbers.map(|(i, &n)| if kept(i) { n } else { 0 }).collect();
                Constant::whole(&x.shape, numbers, *kind)
            }
            _ => {
                let numbers = self.store.floats(x)?;
                let numbers = numbers.iter().enumerate();
                let numbers = numbers
                    .map(|(i, &n)| if kept(i) { n } else { 0.0 })
                    .collect();
                Constant::floats(&x.shape, numbers, Arc::clone(&x.origins))
            }
        })
    }

    fn reduced(&mut self, node: &NodeProto, x: &Constant) -> Result<Constant, Reason> {
        let rank = x.shape.len();
        let listed = self.listed(node, "axes", 1)?.unwrap_or_default();
        let axes: Vec<usize> = if listed.is_empty() {
            if node.flag("noop_with_empty_axes", false)? {
                return Ok(x.clone());
            }
            (0..rank).collect()
        } else {
            let axes: Result<_, Reason> = listed.iter().map(|&a| values::axis(a, rank)).collect();
            axes?
        };
        let keep = node.flag("keepdims", true)?;
        let others: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
        let order = [others.clone(), axes.clone()].concat();
        let turned = x.mapped(&Map::transpose(&x.shape, &order)?)?;
        let n: usize = axes.iter().map(|&axis| x.shape[axis]).product();
        let numbers = self.store.floats(&turned)?;
        self.spend(numbers.len())?;
        let results: Vec<f64> = numbers
            .chunks(n.max(1))
            .map(|row| match node.op_type.as_str() {
                "ReduceMean" => row.iter().sum::<f64>() / n as f64,
                "ReduceSum" => row.iter().sum(),
                "ReduceProd" => row.iter().product(),
                "ReduceMax" => row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                _ => row.iter().copied().fold(f64::INFINITY, f64::min),
            })
            .collect();
        let mut shape = Vec::new();
        for (axis, &extent) in x.shape.iter().enumerate() {
            match axes.contains(&axis) {
                true if keep => shape.push(1),
                true => {}
                false => shape.push(extent),
            }
        }
        Ok(match x.kind() {
            Kind::Float => Constant::floats(&shape, results, Arc::clone(&x.origins)),
            kind => Constant::whole(&shape, results.iter().map(|&x| x as i64).collect(), kind),
        })
    }
}

fn is_binary(op: &str) -> bool {
    comparison(op).is_some() || of_floats(op).is_some() || comparison_of_whole(op).is_some()
}

fn comparison(op: &str) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        "Equal" => |x, y| x == y,
        "Greater" => |x, y| x > y,
        "GreaterOrEqual" => |x, y| x >= y,
        "Less" => |x, y| x < y,
        "LessOrEqual" => |x, y| x <= y,
        _ => return None,
    })
}

fn comparison_of_whole(op: &str) -> Option<fn(i64, i64) -> bool> {
    Some(match op {
        "Equal" => |x, y| x == y,
        "Greater" => |x, y| x > y,
        "GreaterOrEqual" => |x, y| x >= y,
        "Less" => |x, y| x < y,
        "LessOrEqual" => |x, y| x <= y,
        "And" => |x, y| x != 0 && y != 0,
        "Or" => |x, y| x != 0 || y != 0,
        "Xor" => |x, y| (x != 0) != (y != 0),
        _ => return None,
    })
}

fn of_floats(op: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        "Add" | "Sum" => |x, y| x + y,
        "Sub" => |x, y| x - y,
        "Mul" => |x, y| x * y,
        "Div" => |x, y| x / y,
        "Pow" => f64::powf,
        "Min" => f64::min,
        "Max" => f64::max,
        "Mod" => |x, y| x % y,
        _ => return None,
    })
}

fn of_whole(op: &str) -> Option<fn(i64, i64) -> Option<i64>> {
    Some(match op {
        "Add" | "Sum" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        "Div" => i64::checked_div,
        "Pow" => |x, y| x.checked_pow(u32::try_from(y).ok()?),
        "Min" => |x, y| Some(x.min(y)),
        "Max" => |x, y| Some(x.max(y)),
        // The sign is the divisor's.
        "Mod" => |x, y| {
            let rest = x.checked_rem(y)?;
            Some(if rest != 0 && (rest < 0) != (y < 0) {
                rest + y
            } else {
                rest
            })
        },
        _ => return None,
    })
}
