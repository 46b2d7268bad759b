//! From the graph of a file to ours, one operator family a file.
//!
//! | operators | file |
//! |---|---|
//! | Gemm, MatMul | `linear` |
//! | Conv | `convolution` |
//! | MaxPool, AveragePool, the global pools | `pool` |
//! | BatchNormalization, LayerNormalization, InstanceNormalization, Softmax, ReduceMean, ReduceSum | `norm` |
//! | Relu and other functions of one number | `activation` |
//! | Add, Mul and their kin, Clip, PRelu | `elementwise` |
//! | Reshape, Transpose, Slice and all that moves numbers | `shape`, `select` |
//! | comparisons, masks, Where, Cast | `boolean` |
//! | token inputs, Gather from a table of words | `text` |
//! | nodes of constants | `fold` |
//!
//! Values are those of one example. The batch keeps its axis in the file's shapes, with extent 1.

mod activation;
mod boolean;
mod builder;
mod convolution;
mod elementwise;
mod fold;
mod linear;
mod norm;
mod patterns;
mod pool;
mod select;
mod shape;
mod text;

use std::collections::HashMap;

pub(super) use builder::{Built, Parameter, Source};

use super::limits::{MOST_FOLDED, MOST_WORK};
use super::proto::NodeProto;
use super::signatures;
use super::store::Store;
use super::values::{Constant, Data, Kind, Live, Reason, Value};
use crate::{AnswerRule, Note};

/// The state of a reading: the values so far, and the nodes of our graph.
pub(super) struct Lowering<'a> {
    pub(super) store: Store<'a>,
    pub(super) opset: i64,
    pub(super) values: HashMap<&'a str, Value>,
    /// How many nodes read each value, an output counting as one.
    pub(super) readers: HashMap<&'a str, usize>,
    /// The node that makes each value.
    pub(super) producers: HashMap<&'a str, &'a NodeProto>,
    pub(super) built: Vec<Built>,
    pub(super) parameters: std::collections::BTreeMap<String, Parameter>,
    pub(super) notes: Vec<Note>,
    /// The rule of an ArgMax or ArgMin behind the outputs.
    pub(super) answer: Option<AnswerRule>,
    /// Tokens per example of a text input.
    pub(super) tokens: Option<usize>,
    /// Numbers that may still be folded.
    pub(super) budget: usize,
    /// Numbers that may still be copied or held.
    pub(super) work: usize,
    /// Bytes of the file.
    pub(super) length: usize,
    /// Bytes of the parameters so far.
    pub(super) taken: usize,
    settled: HashMap<builder::Settled, usize>,
    /// Name of the node that is read.
    at: String,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(store: Store<'a>, opset: i64, length: usize) -> Self {
        let all = length.saturating_add(store.side().length());
        Self {
            store,
            opset,
            values: HashMap::new(),
            readers: HashMap::new(),
            producers: HashMap::new(),
            built: Vec::new(),
            parameters: Default::default(),
            notes: Vec::new(),
            answer: None,
            tokens: None,
            budget: MOST_FOLDED.saturating_add(all),
            work: MOST_WORK.saturating_add(all),
            length,
            taken: 0,
            settled: HashMap::new(),
            at: String::new(),
        }
    }

    /// Reads one node, whose operands are known; `name` is its name in our graph.
    pub(super) fn node(&mut self, node: &'a NodeProto, name: &str) -> Result<(), Reason> {
        signatures::check(node)?;
        self.at = name.to_owned();
        let first = self.built.len();
        let results = self.results(node)?;
        self.charge_results(&results, first)?;
        if results.len() < node.output.len() {
            let unread = |name: &String| !self.readers.contains_key(name.as_str());
            if !node.output[results.len()..].iter().all(unread) {
                return Err("has a second result that is read".to_owned());
            }
        }
        for (value, name) in results.into_iter().zip(&node.output) {
            self.values.insert(name, value);
        }
        Ok(())
    }

    fn results(&mut self, node: &'a NodeProto) -> Result<Vec<Value>, Reason> {
        let op = node.op_type.as_str();
        if let Some(value) = self.pattern(node)? {
            return Ok(vec![value]);
        }
        if op == "Split" {
            return self.split(node);
        }
        if let Some(value) = self.moved(node)? {
            return Ok(vec![value]);
        }
        if let Some(value) = self.folded(node)? {
            return Ok(vec![value]);
        }
        Ok(vec![match op {
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.matmul(node)?,
            "Conv" => self.convolution(node)?,
            "MaxPool" | "AveragePool" => self.pool(node)?,
            "GlobalMaxPool" | "GlobalAveragePool" => self.global_pool(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "LayerNormalization" => self.layer_norm(node)?,
            "InstanceNormalization" => self.instance_norm(node)?,
            "Softmax" | "LogSoftmax" => self.softmax(node)?,
            "ReduceMean" | "ReduceSum" => self.reduce(node)?,
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Sum" | "PRelu" => {
                self.elementwise(node)?
            }
            "Clip" => self.clip(node)?,
            "Not" | "And" | "Or" | "Xor" | "Equal" | "Greater" | "GreaterOrEqual" | "Less"
            | "LessOrEqual" | "IsNaN" => self.boolean(node)?,
            "Where" => self.where_(node)?,
            "Cast" | "CastLike" => self.cast(node)?,
            _ => self.activation(node)?,
        }])
    }

    /// The constant that a stored tensor is; whole numbers take eight bytes each.
    pub(in crate::formats::onnx) fn stored_constant(
        &mut self,
        position: usize,
    ) -> Result<Constant, Reason> {
        let stored = self.store.tensor(position);
        if !stored.is_float() {
            self.spend(stored.shape.iter().product())?;
        }
        self.store.constant(position)
    }

    /// An operand.
    pub(super) fn value(&self, node: &NodeProto, position: usize) -> Result<Value, Reason> {
        let name = node.operand(position);
        let name = name.ok_or_else(|| format!("lacks operand {position}"))?;
        let value = self.values.get(name);
        match value {
            None => Err(format!("reads `{name}`, which nothing makes")),
            Some(Value::Opaque(_, reason)) => Err(format!("reads `{name}`, which {reason}")),
            Some(value) => Ok(value.clone()),
        }
    }

    /// An operand that depends on the input and holds floats, or 0 and 1.
    pub(super) fn live(&self, node: &NodeProto, position: usize) -> Result<Live, Reason> {
        match self.value(node, position)? {
            Value::Live(live) if live.kind == Kind::Float || live.binary => Ok(live),
            Value::Live(_) => Err(format!(
                "computes with the whole numbers `{}`",
                node.input[position]
            )),
            _ => Err(format!(
                "expects a value that depends on the input, got the constant `{}`",
                node.input[position]
            )),
        }
    }

    /// An operand that may be left out and is a constant where it is not.
    pub(super) fn given(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Constant>, Reason> {
        let Some(name) = node.operand(position) else {
            return Ok(None);
        };
        match self.value(node, position)? {
            Value::Constant(constant) => Ok(Some(constant)),
            _ => Err(format!(
                "expects a constant, got `{name}`, which depends on the input"
            )),
        }
    }

    pub(super) fn required(&self, node: &NodeProto, position: usize) -> Result<Constant, Reason> {
        let given = self.given(node, position)?;
        given.ok_or_else(|| format!("lacks operand {position}"))
    }

    /// Whole numbers of a constant operand.
    pub(super) fn whole(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Vec<i64>>, Reason> {
        let Some(constant) = self.given(node, position)? else {
            return Ok(None);
        };
        match &constant.data {
            Data::Integers(numbers, Kind::Integer) => Ok(Some(numbers.to_vec())),
            _ => Err(format!(
                "expects whole numbers, got `{}`",
                node.input[position]
            )),
        }
    }

    /// Whole numbers of an attribute, or, in later opsets, of an operand.
    pub(super) fn listed(
        &self,
        node: &NodeProto,
        attribute: &str,
        position: usize,
    ) -> Result<Option<Vec<i64>>, Reason> {
        match node.ints(attribute)? {
            Some(listed) => Ok(Some(listed.to_vec())),
            None => self.whole(node, position),
        }
    }

    pub(super) fn is_read_once(&self, value: &str) -> bool {
        self.readers.get(value) == Some(&1)
    }
}
