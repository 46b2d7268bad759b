//! Output sensitivities δ: how a scalar of each example changes with a layer's
//! output, for a whole batch in one backward pass.
//!
//! Batch elements do not mix, so the gradient of `Σ_r s_r · value_r` with
//! respect to the layer's output holds, in its r-th row, the sensitivity of the
//! r-th scalar alone.

use std::collections::BTreeMap;

use burn::tensor::activation::log_softmax;

use crate::forward::{Cut, Keep, Mode, get, shifted};
use crate::graph::NodeId;
use crate::network::Network;
use crate::value::with_value;
use crate::{NetworkError, Value};

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
        let mut probes = BTreeMap::new();
        let keep = Keep::only([self.graph().output()]);
        let start = BTreeMap::from([(0, x)]);
        let values = self.evaluate(start, 1, Mode::Free, &keep, |id, value| {
            if !self.layers().iter().any(|layer| layer.node == id) {
                return Ok(value);
            }
            // The gradient of an inner value is that of a zero added to it.
            let probe = value.zeros_like().leaf();
            probes.insert(id, probe.clone());
            value.add(probe, "probe")
        })?;
        let output = get(&values, self.graph().output())?.clone();
        let loss = output.mul(selector, "output selector")?;
        let gradients = with_value!(loss, t => t.sum().backward());
        self.layers()
            .iter()
            .map(|layer| {
                let probe = get(&probes, layer.node)?;
                gradient(probe, &gradients).map_or_else(|| Ok(probe.zeros_like()), Ok)
            })
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
        let batch = x.batch();
        let mut leaf = None;
        let mut start = BTreeMap::from([(0, x)]);
        if node == 0 {
            leaf = start.get(&0).map(Value::leaf);
            start.extend(leaf.clone().map(|leaf| (0, leaf)));
        }
        let output = self.graph().output();
        let keep = Keep::only([output]);
        let values = self.evaluate(start, 1, Mode::Free, &keep, |id, value| {
            if id != node {
                return Ok(value);
            }
            Ok(leaf.insert(value.leaf()).clone())
        })?;
        let logits = get(&values, output)?.matrix("logits")?;
        let [_, classes] = logits.dims();
        if labels.len() != batch || labels.iter().any(|&label| label >= classes) {
            return Err(NetworkError::shape(
                "labels",
                format!("{batch} below {classes}"),
                labels,
            ));
        }
        let Some(leaf) = leaf else {
            return Err(NetworkError::shape(
                "node",
                format!("at most {output}"),
                &[node],
            ));
        };
        let mut selector = vec![0.0; batch * classes];
        for (example, &label) in labels.iter().enumerate() {
            selector[example * classes + label] = -1.0;
        }
        let shape = [batch, classes];
        let selector = Value::from_f64(&selector, &shape, self.device(), self.precision())?;
        let loss = log_softmax(logits, 1) * selector.matrix("selector")?;
        let gradients = loss.sum().backward();
        Ok(gradient(&leaf, &gradients).unwrap_or_else(|| leaf.zeros_like()))
    }

    /// Sensitivities behind a cut, with `z` as the layer's output: for batch row
    /// r the gradient of `targets[r]` with respect to z (`[batch, .., p]`) and to
    /// the outputs of the nodes in `probed` (later layers, for their biases).
    /// `offsets` are added to later outputs as in [`Network::resume_with`].
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when there is not one target per row;
    /// [`NetworkError::Unknown`] when a target's node lies in front of the cut.
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
            return Err(NetworkError::shape(
                "targets",
                format!("[{batch}]"),
                &[targets.len()],
            ));
        }
        let leaf = z.leaf();
        let mut probes = BTreeMap::new();
        let mut start = cut.values();
        start.insert(cut.node, leaf.clone());
        let keep = Keep::only(targets.iter().map(|target| target.node).chain([cut.node]));
        let values = self.evaluate(start, cut.node + 1, mode, &keep, |id, value| {
            let value = shifted(id, value, offsets)?;
            if !probed.contains(&id) {
                return Ok(value);
            }
            let probe = value.zeros_like().leaf();
            probes.insert(id, probe.clone());
            value.add(probe, "probe")
        })?;

        let mut by_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (row, target) in targets.iter().enumerate() {
            by_node.entry(target.node).or_default().push(row);
        }
        let mut loss = None;
        for (node, rows) in by_node {
            let value = if node == cut.node {
                leaf.clone()
            } else {
                get(&values, node)?.clone()
            };
            let shape = value.shape();
            let width: usize = shape[1..].iter().product();
            let mut selector = vec![0.0; batch * width];
            for row in rows {
                for &(feature, weight) in &targets[row].selector {
                    if feature >= width {
                        return Err(NetworkError::shape(
                            "target feature",
                            format!("below {width}"),
                            &[feature],
                        ));
                    }
                    selector[row * width + feature] += weight;
                }
            }
            let selector = Value::from_f64(&selector, &shape, self.device(), self.precision())?;
            let term = with_value!(value.mul(selector, "target selector")?, t => t.sum());
            loss = Some(match loss {
                None => term,
                Some(sum) => sum + term,
            });
        }
        let Some(loss) = loss else {
            return Ok((leaf.zeros_like(), BTreeMap::new()));
        };
        let gradients = loss.backward();
        let of = |value: &Value| gradient(value, &gradients).unwrap_or_else(|| value.zeros_like());
        let later = probes.iter().map(|(&id, probe)| (id, of(probe))).collect();
        Ok((of(&leaf), later))
    }
}

fn gradient(leaf: &Value, gradients: &burn::tensor::Gradients) -> Option<Value> {
    match leaf {
        Value::R1(t) => t.grad(gradients).map(Value::R1),
        Value::R2(t) => t.grad(gradients).map(Value::R2),
        Value::R3(t) => t.grad(gradients).map(Value::R3),
        Value::R4(t) => t.grad(gradients).map(Value::R4),
    }
}
