//! The nodes that the output needs, each behind those it reads.

use std::collections::{BTreeSet, HashMap};

use super::proto::{GraphProto, NodeProto};
use super::values::Reason;

/// The nodes of a graph by what they make.
pub(super) type Producers<'a> = HashMap<&'a str, &'a NodeProto>;

/// Which node makes each value.
///
/// # Errors
/// A sentence about a value that is made twice, or stored, or an input.
pub(super) fn producers<'a>(
    graph: &'a GraphProto,
    known: &BTreeSet<&str>,
) -> Result<Producers<'a>, Reason> {
    let mut producers = Producers::new();
    for node in &graph.node {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if known.contains(output.as_str()) {
                return Err(format!(
                    "a node makes `{output}`, which is stored or an input"
                ));
            }
            if producers.insert(output, node).is_some() {
                return Err(format!("two nodes make `{output}`"));
            }
        }
    }
    Ok(producers)
}

/// The nodes that a value needs, in an order in which each can be computed: the file's own where it
/// allows that.
///
/// # Errors
/// A sentence about values that wait for each other, or that nothing makes.
pub(super) fn needed<'a>(
    output: &'a str,
    producers: &Producers<'a>,
    known: &BTreeSet<&str>,
) -> Result<Vec<&'a NodeProto>, Reason> {
    enum Step<'a> {
        Visit(&'a str, &'a str),
        Leave(&'a NodeProto),
    }
    let mut order: Vec<&NodeProto> = Vec::new();
    let mut done: BTreeSet<*const NodeProto> = BTreeSet::new();
    let mut open: BTreeSet<*const NodeProto> = BTreeSet::new();
    let mut steps = vec![Step::Visit(output, "the output")];
    while let Some(step) = steps.pop() {
        let (name, reader) = match step {
            Step::Leave(node) => {
                open.remove(&std::ptr::from_ref(node));
                done.insert(std::ptr::from_ref(node));
                order.push(node);
                continue;
            }
            Step::Visit(name, reader) => (name, reader),
        };
        if name.is_empty() || known.contains(name) {
            continue;
        }
        let Some(&node) = producers.get(name) else {
            return Err(format!("{reader} reads `{name}`, which nothing makes"));
        };
        let address = std::ptr::from_ref(node);
        if done.contains(&address) {
            continue;
        }
        if !open.insert(address) {
            return Err(format!(
                "the node that makes `{name}` waits for itself: a cycle"
            ));
        }
        steps.push(Step::Leave(node));
        let reader = if node.name.is_empty() {
            name
        } else {
            node.name.as_str()
        };
        steps.extend(
            node.input
                .iter()
                .rev()
                .map(|input| Step::Visit(input, reader)),
        );
    }
    Ok(order)
}

/// The same nodes as the file has them, where that is an order in which they can be computed.
pub(super) fn as_written<'a>(
    graph: &'a GraphProto,
    nodes: Vec<&'a NodeProto>,
) -> Vec<&'a NodeProto> {
    let needed: BTreeSet<*const NodeProto> =
        nodes.iter().map(|node| std::ptr::from_ref(*node)).collect();
    let is_needed = |node: &&NodeProto| needed.contains(&std::ptr::from_ref(*node));
    let written: Vec<&NodeProto> = graph.node.iter().filter(is_needed).collect();
    let made_by_nodes: BTreeSet<&str> = written
        .iter()
        .flat_map(|node| &node.output)
        .map(String::as_str)
        .collect();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for node in &written {
        let waits = |input: &&String| {
            made_by_nodes.contains(input.as_str()) && !made.contains(input.as_str())
        };
        if node
            .input
            .iter()
            .filter(|input| !input.is_empty())
            .any(|input| waits(&input))
        {
            return nodes;
        }
        made.extend(node.output.iter().map(String::as_str));
    }
    written
}
