//! The graph of a file: nodes whose operands and results are numbered slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::onnx::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::attributes::Attributes;
use super::error::OnnxError;
use super::inputs::Input;
use super::operators::{self, Operator, VERSIONS};
use super::stored::{self, Files};
use super::tensor::Tensor;

/// An operator applied to slots.
pub(super) struct Node {
    /// What names it in errors.
    pub(super) at: String,
    pub(super) operator: &'static Operator,
    pub(super) attributes: Attributes,
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    /// The slots that no later node reads.
    pub(super) spent: Vec<usize>,
}

/// A network: nodes in an order in which each reads what is there.
pub(super) struct Graph {
    pub(super) version: i64,
    /// One per slot: the stored tensors.
    pub(super) slots: Vec<Option<Arc<Tensor>>>,
    pub(super) inputs: Vec<Input>,
    pub(super) nodes: Vec<Node>,
    /// The slot of the first output.
    pub(super) output: usize,
}

impl Graph {
    /// Reads a model.
    ///
    /// # Errors
    /// [`OnnxError`] for versions, tensors, operators and attributes that are not evaluated, for
    /// names that are defined twice or never, for nodes that wait for each other.
    pub(super) fn read(model: &ModelProto, files: &mut Files<'_>) -> Result<Self, OnnxError> {
        let version = version(model)?;
        let Some(graph) = &model.graph else {
            return Err(OnnxError::misfit("model", "a graph", "none"));
        };
        if !graph.sparse_initializer.is_empty() {
            return Err(OnnxError::misfit(
                "graph",
                "dense stored tensors",
                "sparse ones",
            ));
        }
        let mut names = Names::default();
        names.store(graph, files)?;
        let inputs = names.inputs(graph)?;
        let mut made = Vec::with_capacity(graph.node.len());
        for (number, node) in graph.node.iter().enumerate() {
            let at = place(node, number);
            let operator = operator(node, &model.functions, version, &at)?;
            operator.check_arity(until_last(&node.input), until_last(&node.output), &at)?;
            let attributes = Attributes::read(node, operator.attributes, &at, files)?;
            made.push(names.make(node, at, operator, attributes)?);
        }
        for (made, node) in made.iter_mut().zip(&graph.node) {
            names.resolve(made, node)?;
        }
        let outputs = graph
            .output
            .iter()
            .map(|output| names.defined(&output.name, "graph output"));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let Some(&output) = outputs.first() else {
            return Err(OnnxError::misfit("graph", "an output", "none"));
        };
        let mut nodes = sorted(made)?;
        drop_unread(&mut nodes, &outputs);
        mark_spent(&mut nodes, output);
        Ok(Self {
            version,
            slots: names.slots,
            inputs,
            nodes,
            output,
        })
    }
}

/// The version of the standard operators that a model asks for.
fn version(model: &ModelProto) -> Result<i64, OnnxError> {
    let mut standard = model
        .opset_import
        .iter()
        .filter(|set| is_standard(&set.domain));
    let expected = format!(
        "standard operators of version {} to {}",
        VERSIONS.start(),
        VERSIONS.end()
    );
    match (standard.next(), standard.next()) {
        (Some(set), None) if VERSIONS.contains(&set.version) => Ok(set.version),
        (Some(set), None) => Err(OnnxError::misfit(
            "model",
            expected,
            set.version.to_string(),
        )),
        (None, _) => Err(OnnxError::misfit("model", expected, "no version")),
        (Some(_), Some(_)) => Err(OnnxError::misfit("model", expected, "several versions")),
    }
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// What names a node in errors.
fn place(node: &NodeProto, number: usize) -> String {
    match node.name.as_str() {
        "" => format!("node {number} ({})", node.op_type),
        name => format!("node `{name}` ({})", node.op_type),
    }
}

/// The operator of a node, unless the file defines it anew.
fn operator(
    node: &NodeProto,
    functions: &[FunctionProto],
    version: i64,
    at: &str,
) -> Result<&'static Operator, OnnxError> {
    let same_domain =
        |domain: &str| domain == node.domain || (is_standard(domain) && is_standard(&node.domain));
    let redefined =
        |function: &FunctionProto| function.name == node.op_type && same_domain(&function.domain);
    let known = is_standard(&node.domain) && !functions.iter().any(redefined);
    let found = known
        .then(|| operators::find(&node.op_type, version))
        .flatten();
    found.ok_or_else(|| OnnxError::Unsupported {
        at: at.to_owned(),
        operator: node.op_type.clone(),
        domain: node.domain.clone(),
        version,
    })
}

/// The names that are defined so far and their slots.
#[derive(Default)]
struct Names {
    slots: Vec<Option<Arc<Tensor>>>,
    known: BTreeMap<String, usize>,
}

impl Names {
    /// The slot of a name that must not be there yet.
    fn define(&mut self, name: &str, tensor: Option<Tensor>, at: &str) -> Result<usize, OnnxError> {
        let slot = self.slots.len();
        if name.is_empty() || self.known.insert(name.to_owned(), slot).is_some() {
            let expected = "a name that is defined once";
            return Err(OnnxError::misfit(at, expected, format!("`{name}`")));
        }
        self.slots.push(tensor.map(Arc::new));
        Ok(slot)
    }

    fn defined(&self, name: &str, at: &str) -> Result<usize, OnnxError> {
        let unknown = || {
            let expected = "a value that a node makes, a stored tensor or an input";
            OnnxError::misfit(at, expected, format!("`{name}`"))
        };
        self.known.get(name).copied().ok_or_else(unknown)
    }

    /// Defines the stored tensors.
    fn store(&mut self, graph: &GraphProto, files: &mut Files<'_>) -> Result<(), OnnxError> {
        for proto in &graph.initializer {
            let at = format!("stored tensor `{}`", proto.name);
            let tensor = stored::tensor(proto, &at, files)?;
            self.define(&proto.name, Some(tensor), &at)?;
        }
        Ok(())
    }

    /// Defines the inputs; those that have a stored tensor are that tensor.
    fn inputs(&mut self, graph: &GraphProto) -> Result<Vec<Input>, OnnxError> {
        let stored = |input: &&ValueInfoProto| !self.known.contains_key(&input.name);
        let free: Vec<_> = graph.input.iter().filter(stored).collect();
        let mut inputs = Vec::with_capacity(free.len());
        for proto in free {
            let at = format!("graph input `{}`", proto.name);
            let slot = self.define(&proto.name, None, &at)?;
            inputs.push(Input::read(proto, slot, &at)?);
        }
        Ok(inputs)
    }

    /// Defines the values that a node makes.
    fn make(
        &mut self,
        node: &NodeProto,
        at: String,
        operator: &'static Operator,
        attributes: Attributes,
    ) -> Result<Node, OnnxError> {
        let mut outputs = Vec::with_capacity(node.output.len());
        for name in until_last(&node.output) {
            outputs.push(match name.as_str() {
                "" => None,
                name => Some(self.define(name, None, &at)?),
            });
        }
        Ok(Node {
            at,
            operator,
            attributes,
            inputs: Vec::new(),
            outputs,
            spent: Vec::new(),
        })
    }

    /// Finds the values that a node reads.
    fn resolve(&self, made: &mut Node, node: &NodeProto) -> Result<(), OnnxError> {
        for name in until_last(&node.input) {
            made.inputs.push(match name.as_str() {
                "" => None,
                name => Some(self.defined(name, &made.at)?),
            });
        }
        Ok(())
    }
}

/// The names without the empty ones at the end.
fn until_last(names: &[String]) -> &[String] {
    let last = names.iter().rposition(|name| !name.is_empty());
    &names[..last.map_or(0, |last| last + 1)]
}

/// The nodes in the order of the file where it is one in which each reads what is there; a node
/// that stands too early moves behind those that it waits for.
fn sorted(nodes: Vec<Node>) -> Result<Vec<Node>, OnnxError> {
    let mut makers = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        makers.extend(node.outputs.iter().flatten().map(|&slot| (slot, number)));
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers = vec![Vec::new(); nodes.len()];
    for (number, node) in nodes.iter().enumerate() {
        for maker in node
            .inputs
            .iter()
            .flatten()
            .filter_map(|slot| makers.get(slot))
        {
            waiting[number] += 1;
            readers[*maker].push(number);
        }
    }
    let ready = (0..nodes.len()).filter(|&number| waiting[number] == 0);
    let mut ready: BTreeSet<usize> = ready.collect();
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(number) = ready.pop_first() {
        order.extend(nodes[number].take());
        for &reader in &readers[number] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    match nodes.iter().flatten().next() {
        None => Ok(order),
        Some(node) => {
            let got = "a cycle that it is in or waits for";
            Err(OnnxError::misfit(
                &node.at,
                "nodes that do not wait for each other",
                got,
            ))
        }
    }
}

/// Forgets the outputs that nothing reads, which an operator need not compute.
fn drop_unread(nodes: &mut [Node], outputs: &[usize]) {
    let mut read: BTreeSet<usize> = outputs.iter().copied().collect();
    read.extend(nodes.iter().flat_map(|node| node.inputs.iter().flatten()));
    for node in nodes {
        let unread = |slot: &&mut Option<usize>| slot.is_some_and(|slot| !read.contains(&slot));
        node.outputs
            .iter_mut()
            .filter(unread)
            .for_each(|slot| *slot = None);
    }
}

/// Gives every node the slots of which it is the last reader, and those of outputs that are not the
/// first and that nothing reads.
fn mark_spent(nodes: &mut [Node], output: usize) {
    let mut last = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        for &slot in node.inputs.iter().chain(&node.outputs).flatten() {
            last.insert(slot, number);
        }
    }
    last.remove(&output);
    for (slot, number) in last {
        nodes[number].spent.push(slot);
    }
}
