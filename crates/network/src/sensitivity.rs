//! Output sensitivities δ: how a scalar of each example changes with a layer's
//! output, for a whole batch.
//!
//! Batch elements do not mix, so the gradient of `Σ_r s_r · value_r` with
//! respect to the layer's output holds, in its r-th row, the sensitivity of the
//! r-th scalar alone: a backward pass serves any number of rows. Rows of images
//! and token sequences are dealt to a few backward passes, on all threads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

use crate::forward::{Cut, Keep, Mode, concat, get, take};
use crate::network::Network;
use crate::value::with_value;
use crate::{NetworkError, NodeId, Value};

/// Images or token sequences of one backward pass. Fewer would share a weight's way through the
/// caches among too few rows: 64 rows behind a layer of the MiniLM DistilBERT take 2.7 times the
/// processor time one by one. More would leave threads without work.
const TAPE: usize = 16;
/// Where errors about the weights of the outputs are found.
const SELECTOR: &str = "output selector";

/// The scalar of one batch row: `Σ_c selector[c] · value(node)[row, c]`.
#[derive(Clone, Debug)]
pub struct Target {
    /// The node that is read.
    pub node: NodeId,
    /// Its weights: `(feature, weight)`.
    pub selector: Vec<(usize, f64)>,
}

impl Network {
    /// Sensitivities of one scalar per example with respect to the outputs of
    /// all layers, in layer order, in one pass: `selector` is `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when `x` or `selector` do not fit the network.
    pub fn sensitivities(&self, x: Value, selector: Value) -> Result<Vec<Value>, NetworkError> {
        check_selector(&selector, &x)?;
        let layers: BTreeSet<NodeId> = self.layers().iter().map(|layer| layer.node).collect();
        let output = self.graph().output();
        let start = self.started(x)?;
        let parts = self.in_parts(TAPE, start, Mode::Free, |rows, start, mode| {
            let mut leaves = Leaves::default();
            let (nodes, keep) = (1..output + 1, Keep::from([output]));
            let values = self.evaluate_nodes(start, nodes, mode, &keep, |id, value| {
                if layers.contains(&id) {
                    return leaves.probe(id, value);
                }
                Ok(value)
            })?;
            let outputs = get(&values, output)?.clone();
            let selected = outputs.mul(selector.rows(rows), SELECTOR)?;
            Ok(leaves.gradients(with_value!(selected, t => t.sum())))
        })?;
        let found = concat(parts)?;
        self.layers()
            .iter()
            .map(|layer| get(&found, layer.node).cloned())
            .collect()
    }

    /// Gradient of the summed cross-entropy loss, `Σ_i -log softmax(y_i)[label_i]`, with respect
    /// to the value of `node` (0 is the input) for a batch.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when `x` does not fit the network, when there is not one label
    /// below the number of outputs per example, or when `node` is none of the graph's.
    pub fn loss_gradient(
        &self,
        node: NodeId,
        x: Value,
        labels: &[usize],
    ) -> Result<Value, NetworkError> {
        if labels.len() != x.batch() {
            let expected = format!("[{}]", x.batch());
            return Err(NetworkError::shape("labels", expected, &[labels.len()]));
        }
        self.gradient_at(node, x, |rows, outputs| {
            let logits = outputs.matrix("logits")?;
            let chosen = self.one_hot(&labels[rows], logits.dims()[1])?;
            Ok(-(log_softmax(logits, 1) * chosen.matrix("labels")?).sum())
        })
    }

    /// Gradient of one scalar per example, `Σ_c selector[r, c] y[r, c]`, with respect to the value
    /// of `node` (0 is the input) for a batch: `selector` is `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when `x` or `selector` do not fit the network, or when `node` is
    /// none of the graph's.
    pub fn output_gradient(
        &self,
        node: NodeId,
        x: Value,
        selector: Value,
    ) -> Result<Value, NetworkError> {
        check_selector(&selector, &x)?;
        self.gradient_at(node, x, |rows, outputs| {
            let selected = outputs.mul(selector.rows(rows), SELECTOR)?;
            Ok(with_value!(selected, t => t.sum()))
        })
    }

    /// Gradient of a scalar of some examples' outputs with respect to the value of `node`.
    fn gradient_at(
        &self,
        node: NodeId,
        x: Value,
        scalar: impl Fn(Range<usize>, Value) -> Result<Tensor<1>, NetworkError> + Sync,
    ) -> Result<Value, NetworkError> {
        let output = self.graph().output();
        if node > output {
            let expected = format!("at most {output}");
            return Err(NetworkError::shape("node", expected, &[node]));
        }
        let start = self.started(x)?;
        let parts = self.in_parts(TAPE, start, Mode::Free, |rows, start, mode| {
            let mut leaves = Leaves::default();
            let mut visit = |id, value| match id == node {
                true => leaves.cut(id, value),
                false => value,
            };
            let start = start.into_iter().map(|(id, x)| (id, visit(id, x)));
            let start = start.collect();
            let (nodes, keep) = (1..output + 1, Keep::from([output]));
            let values =
                self.evaluate_nodes(start, nodes, mode, &keep, |id, value| Ok(visit(id, value)))?;
            let scalar = scalar(rows, get(&values, output)?.clone())?;
            Ok(leaves.gradients(scalar))
        })?;
        take(&mut concat(parts)?, node)
    }

    /// One at every row's label, zero elsewhere: `[labels, classes]`.
    fn one_hot(&self, labels: &[usize], classes: usize) -> Result<Value, NetworkError> {
        if labels.iter().any(|&label| label >= classes) {
            let expected = format!("below {classes}");
            return Err(NetworkError::shape("labels", expected, labels));
        }
        let mut chosen = vec![0.0; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            chosen[row * classes + label] = 1.0;
        }
        let shape = [labels.len(), classes];
        Value::from_f64(&chosen, &shape, self.device(), self.precision())
    }

    /// Sensitivities behind a cut, with `z` as the layer's output: for batch row
    /// r the gradient of `targets[r]` with respect to z (`[batch, .., p]`) and to
    /// the outputs of the nodes in `probed` (later layers, for their weights and biases).
    /// `offsets` are added to later outputs as in [`Network::resume_with`].
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when there is not one target per row, when a target reads a
    /// feature that its node lacks, or when a pattern or surrogates are those of another number
    /// of rows; [`NetworkError::Unknown`] when a target's node lies in front of the cut.
    pub fn sensitivities_behind(
        &self,
        cut: &Cut,
        z: Value,
        offsets: &BTreeMap<NodeId, Value>,
        targets: &[Target],
        probed: &[NodeId],
        mode: Mode<'_>,
    ) -> Result<(Value, BTreeMap<NodeId, Value>), NetworkError> {
        let batch = z.batch();
        if targets.len() != batch {
            let expected = format!("[{batch}]");
            return Err(NetworkError::shape("targets", expected, &[targets.len()]));
        }
        let parts = self.in_parts(TAPE, cut.resumed(z), mode, |rows, mut start, mode| {
            let targets = &targets[rows];
            let mut leaves = Leaves::default();
            let z = take(&mut start, cut.node)?;
            start.insert(cut.node, leaves.cut(cut.node, z));
            // What lies behind the last node that is read or probed does not matter.
            let read: Keep = targets.iter().map(|target| target.node).collect();
            let last = read.iter().chain(probed).copied().max();
            let nodes = self.behind(cut, last.unwrap_or_default());
            let values = self.evaluate_nodes(start, nodes, mode, &read, |id, value| {
                let value = self.shifted(id, value, offsets)?;
                if probed.contains(&id) {
                    return leaves.probe(id, value);
                }
                Ok(value)
            })?;
            Ok(match self.selected(&values, targets)? {
                Some(sum) if sum.is_tracked() => leaves.gradients(sum),
                _ => leaves.zeros(),
            })
        })?;
        let mut found = concat(parts)?;
        Ok((take(&mut found, cut.node)?, found))
    }

    /// The sum of the rows' scalars; `None` of no rows.
    fn selected(
        &self,
        values: &BTreeMap<NodeId, Value>,
        targets: &[Target],
    ) -> Result<Option<Tensor<1>>, NetworkError> {
        let mut by_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (row, target) in targets.iter().enumerate() {
            by_node.entry(target.node).or_default().push(row);
        }
        let mut total: Option<Tensor<1>> = None;
        for (node, rows) in by_node {
            let value = get(values, node)?.clone();
            let shape = value.shape();
            let width: usize = shape[1..].iter().product();
            let mut selector = vec![0.0; shape[0] * width];
            for row in rows {
                for &(feature, weight) in &targets[row].selector {
                    if feature >= width {
                        let expected = format!("below {width}");
                        return Err(NetworkError::shape("target feature", expected, &[feature]));
                    }
                    selector[row * width + feature] += weight;
                }
            }
            let selector = Value::from_f64(&selector, &shape, self.device(), self.precision())?;
            let sum = with_value!(value.mul(selector, "target selector")?, t => t.sum());
            total = Some(match total {
                None => sum,
                Some(total) => total + sum,
            });
        }
        Ok(total)
    }
}

/// There must be weights for every example.
fn check_selector(selector: &Value, x: &Value) -> Result<(), NetworkError> {
    if selector.batch() == x.batch() {
        return Ok(());
    }
    let expected = format!("[{}, *]", x.batch());
    Err(NetworkError::shape(SELECTOR, expected, &selector.shape()))
}

/// The leaves of a backward pass, under the nodes whose gradients they receive.
#[derive(Default)]
struct Leaves(BTreeMap<NodeId, Value>);

impl Leaves {
    /// The value as a leaf: the pass ends here.
    fn cut(&mut self, node: NodeId, value: Value) -> Value {
        let leaf = value.leaf();
        self.0.insert(node, leaf.clone());
        leaf
    }

    /// The value plus a zero that is a leaf: the pass goes on to what the value was made of.
    fn probe(&mut self, node: NodeId, value: Value) -> Result<Value, NetworkError> {
        let probe = value.zeros_like().leaf();
        self.0.insert(node, probe.clone());
        value.add(probe, "probe")
    }

    /// The gradients of a scalar.
    fn gradients(&self, scalar: Tensor<1>) -> BTreeMap<NodeId, Value> {
        let gradients = scalar.backward();
        let found = self.0.iter();
        let of = |leaf: &Value| leaf.gradient(&gradients);
        found
            .map(|(&node, leaf)| (node, of(leaf).unwrap_or_else(|| leaf.zeros_like())))
            .collect()
    }

    /// The gradients of a constant.
    fn zeros(&self) -> BTreeMap<NodeId, Value> {
        let leaves = self.0.iter();
        leaves
            .map(|(&node, leaf)| (node, leaf.zeros_like()))
            .collect()
    }
}
