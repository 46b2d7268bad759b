//! Token inputs: `[2, tokens]`, word numbers and mask. A Gather of rows of a table by word numbers is an
//! embedding.

use super::Lowering;
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Kind, Live, Map, Reason, Value};
use crate::ops::Embedding;
use crate::ops::embedding::Key;

impl Lowering<'_> {
    /// The rows of a table that belong to word numbers.
    pub(super) fn words(
        &mut self,
        node: &NodeProto,
        table: &Value,
        axis: usize,
        ids: &Live,
    ) -> Result<Value, Reason> {
        let tokens = self
            .tokens
            .ok_or("picks by a value that depends on the input")?;
        let first = |view: &[u32]| {
            view.iter()
                .enumerate()
                .all(|(i, &source)| i as u32 == source)
        };
        let whole = ids.node == 0
            && ids.kind == Kind::Integer
            && ids.count() == tokens
            && ids.view.as_deref().is_some_and(first);
        let Value::Constant(table) = table else {
            return Err("picks by a value that depends on the input".to_owned());
        };
        let (true, [rows, features], 0) = (whole, &table.shape[..], axis) else {
            return Err(format!(
                "picks from shape {:?} by other numbers than the words of the input",
                table.shape
            ));
        };
        let (rows, features) = (*rows, *features);
        let layout = Map::reshape(&[rows, features]);
        let weight = self.parameter(table, &layout, &node.input[0])?;
        let named = self.layer_name(&weight);
        let op = Op::Embedding(Embedding {
            weight,
            key: Key::Word,
            rows,
            features,
        });
        let built = self.push_named(named, op, &[0], &[tokens, features], Default::default());
        let mut shape = ids.shape.clone();
        shape.push(features);
        Ok(self.made(built, &shape, ids).into())
    }
}
