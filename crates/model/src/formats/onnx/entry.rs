//! From the messages of a file to a checkpoint and a graph: inputs, nodes in order, outputs, names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lower::{Built, Lowering, Source};
use super::order;
use super::patch::OnnxPlace;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::store::{SideFiles, Store};
use super::tensor::type_name;
use super::values::{Kind, Live, Reason, Value, count};
use crate::formats::{StoredTensor, converted, encode, malformed};
use crate::{AnswerRule, Checkpoint, Graph, ModelError, Note, Op};

/// Versions of the standard operators that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=21;

/// Tokens of a text where neither the file nor the user says how many.
const TOKENS: usize = 128;

/// Rows of a table that tells two segments apart, and is no table of positions.
const SEGMENTS: usize = 2;

/// What a file becomes.
pub(super) struct Lowered {
    pub(super) checkpoint: Checkpoint,
    pub(super) graph: Graph,
    pub(super) notes: Vec<Note>,
    pub(super) answer: Option<AnswerRule>,
    pub(super) side: SideFiles,
    pub(super) places: BTreeMap<String, OnnxPlace>,
}

/// Reads the messages of a file of `length` bytes.
pub(super) fn lowered(
    model: &ModelProto,
    length: usize,
    side: SideFiles,
    origin: &str,
    tokens: Option<usize>,
) -> Result<Lowered, ModelError> {
    let refused = |reason: Reason| malformed("ONNX", origin, reason);
    let graph = model.graph.as_ref();
    let graph = graph.ok_or_else(|| refused("it holds no graph".to_owned()))?;
    let opset = opset(model).map_err(refused)?;
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse
            .values
            .as_ref()
            .map_or("", |values| values.name.as_str());
        return Err(refused(format!(
            "tensor `{name}` is sparse, expected a dense one"
        )));
    }
    let store = Store::new(graph, side).map_err(refused)?;
    let mut lowering = Lowering::new(store, opset, length);
    let inputs = lowering.inputs(graph, tokens).map_err(refused)?;
    let (nodes, output) = lowering.plan(graph, &inputs).map_err(refused)?;
    let names = node_names(&graph.node);
    let mut end = output;
    for node in nodes {
        let name = &names[&std::ptr::from_ref(node)];
        let at_node = |reason: Reason| ModelError::Operator {
            origin: origin.to_owned(),
            node: name.clone(),
            operator: format!("{} of {}", node.op_type, node.input.join(", ")),
            reason,
        };
        if node.op_type.starts_with("Arg") && node.output.first().is_some_and(|o| o == output) {
            lowering.answered(node).map_err(at_node)?;
            end = &node.input[0];
            break;
        }
        lowering.node(node, name).map_err(at_node)?;
    }
    lowering.finished(end, &inputs, model, origin)
}

/// The version of the standard operators.
fn opset(model: &ModelProto) -> Result<i64, Reason> {
    let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
    let mut versions = model
        .opset_import
        .iter()
        .filter(|set| standard(&set.domain));
    let (Some(set), None) = (versions.next(), versions.next()) else {
        return Err("expected one opset of the standard operators".to_owned());
    };
    if OPSETS.contains(&set.version) {
        Ok(set.version)
    } else {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        Err(format!(
            "opset {} is not read, expected {first} to {last}",
            set.version
        ))
    }
}

/// A name for every node: its own where it is the only one's, else its operator and position.
fn node_names(nodes: &[NodeProto]) -> HashMap<*const NodeProto, String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for node in nodes {
        *times.entry(node.name.as_str()).or_default() += 1;
    }
    let name = |(position, node): (usize, &NodeProto)| {
        let own = !node.name.is_empty() && times[node.name.as_str()] == 1;
        let name = match own {
            true => node.name.clone(),
            false => format!("{}_{position}", node.op_type),
        };
        (std::ptr::from_ref(node), name)
    };
    nodes.iter().enumerate().map(name).collect()
}

/// What the inputs are: the shape of one example in our graph, and in the file.
pub(super) struct Inputs {
    names: BTreeSet<String>,
    shape: Vec<usize>,
    /// Numbers in the first axis where it is fixed to more than one.
    fixed: Option<(String, usize)>,
}

/// Element type, extents (`None` for one that is not fixed) and the names of those that are not.
type Declared = (i32, Vec<Option<i64>>, Vec<String>);

fn declared(input: &ValueInfoProto) -> Result<Declared, Reason> {
    let name = &input.name;
    let kind = input.r#type.as_ref();
    let Some(tensor) = kind.and_then(|kind| kind.tensor_type.as_ref()) else {
        let sequence = kind.is_some_and(|kind| kind.sequence_type.is_some());
        let what = if sequence { "a sequence" } else { "no tensor" };
        return Err(format!("input `{name}` is {what}, expected a tensor"));
    };
    let shape = tensor.shape.as_ref();
    let shape = shape.ok_or_else(|| format!("input `{name}` has no shape"))?;
    let symbols = shape
        .dim
        .iter()
        .map(|dim| dim.dim_param.clone().unwrap_or_default());
    let extents = shape.dim.iter().map(|dim| dim.dim_value);
    Ok((tensor.elem_type, extents.collect(), symbols.collect()))
}

impl<'a> Lowering<'a> {
    /// Makes the inputs values of our graph's input.
    fn inputs(&mut self, graph: &'a GraphProto, tokens: Option<usize>) -> Result<Inputs, Reason> {
        let inputs: Vec<&ValueInfoProto> = graph
            .input
            .iter()
            .filter(|input| self.store.position(&input.name).is_none())
            .collect();
        if inputs.is_empty() {
            return Err("the graph has no input".to_owned());
        }
        let whole =
            |input: &&ValueInfoProto| declared(input).is_ok_and(|(kind, ..)| matches!(kind, 6 | 7));
        let names = inputs.iter().map(|input| input.name.clone()).collect();
        if inputs.iter().any(whole) {
            let tokens = self.text(graph, &inputs, tokens)?;
            return Ok(Inputs {
                names,
                shape: vec![2, tokens],
                fixed: None,
            });
        }
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(format!("expected one input, got {}", names.join(", ")));
        };
        let (shape, batch) = extents(input)?;
        let total = count(&shape).map_err(|reason| format!("input `{}` {reason}", input.name))?;
        let own = match shape[..] {
            [1, 3, height, width] => vec![3, height, width],
            _ => vec![total],
        };
        self.input(&own);
        let live = Live {
            shape: shape.clone(),
            node: 0,
            view: None,
            fill: 0.0,
            kind: Kind::Float,
            binary: false,
            batch,
        };
        self.values.insert(&input.name, live.into());
        let fixed = (shape.len() > 1 && shape[0] > 1).then(|| (input.name.clone(), shape[0]));
        Ok(Inputs {
            names,
            shape: own,
            fixed,
        })
    }

    fn input(&mut self, shape: &[usize]) {
        self.push_named(
            "input".to_owned(),
            Op::Input,
            &[],
            shape,
            Default::default(),
        );
    }

    /// Token inputs: word numbers, and perhaps a mask and segments.
    fn text(
        &mut self,
        graph: &'a GraphProto,
        inputs: &[&'a ValueInfoProto],
        given: Option<usize>,
    ) -> Result<usize, Reason> {
        let mut stated = None;
        let mut batch = None;
        for input in inputs {
            let name = &input.name;
            let (kind, extents, _) = declared(input)?;
            let [first, length] = extents[..] else {
                return Err(format!(
                    "input `{name}` has {} axes, expected batch and tokens",
                    extents.len()
                ));
            };
            if !matches!(kind, 6 | 7) {
                return Err(format!(
                    "input `{name}` holds {}, expected whole numbers like the others",
                    type_name(kind)
                ));
            }
            if !matches!(first, None | Some(1 | -1)) {
                return Err(format!("input `{name}` has a batch of {first:?}"));
            }
            batch = batch.or((first != Some(1)).then_some(0));
            if let Some(length) = length.filter(|&length| length != -1) {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|&n| n > 0 && n < 1 << 20);
                let length = length.ok_or_else(|| format!("input `{name}` has no tokens"))?;
                if stated.is_some_and(|stated| stated != length) {
                    return Err(format!("input `{name}` has another length than the others"));
                }
                stated = Some(length);
            }
        }
        let tokens = self.length(graph, stated, given);
        self.tokens = Some(tokens);
        self.input(&[2, tokens]);
        let plane = |plane: usize, binary: bool| -> Value {
            let first = (plane * tokens) as u32;
            Live {
                shape: vec![1, tokens],
                node: 0,
                view: Some((first..first + tokens as u32).collect()),
                fill: 0.0,
                kind: Kind::Integer,
                binary,
                batch,
            }
            .into()
        };
        for input in inputs {
            let value = match input.name.as_str() {
                "attention_mask" => plane(1, true),
                "token_type_ids" => {
                    let note = "all tokens belong to the first segment (token_type_ids 0)";
                    self.notes.push(Note::Assumed(note.to_owned()));
                    super::values::Constant::integers(&[1, tokens], vec![0; tokens]).into()
                }
                "input_ids" => plane(0, false),
                _ if inputs.len() == 1 => plane(0, false),
                other => {
                    return Err(format!(
                        "input `{other}` is none of input_ids, attention_mask and token_type_ids"
                    ));
                }
            };
            self.values.insert(&input.name, value);
        }
        Ok(tokens)
    }

    /// The length of a text, and the note about it.
    fn length(&mut self, graph: &GraphProto, stated: Option<usize>, given: Option<usize>) -> usize {
        let says = |tokens: usize| format!("sequences are padded to {tokens} tokens");
        if let Some(tokens) = stated {
            self.notes.push(Note::Read(says(tokens)));
            return tokens;
        }
        if let Some(tokens) = given.filter(|&tokens| tokens > 0) {
            self.notes.push(Note::Given(says(tokens)));
            return tokens;
        }
        let inputs: Vec<&str> = graph
            .input
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        let tables = graph.node.iter().filter(|node| node.op_type == "Gather");
        let rows = tables.filter_map(|node| {
            let table = self.store.position(node.operand(0)?)?;
            let direct = node.operand(1).is_some_and(|ids| inputs.contains(&ids));
            match self.store.tensor(table).shape[..] {
                [rows, _] if !direct && rows > SEGMENTS => Some(rows),
                _ => None,
            }
        });
        let tokens = rows.min().map_or(TOKENS, |rows| rows.min(TOKENS));
        self.notes.push(Note::Assumed(says(tokens)));
        tokens
    }

    /// The nodes that the first output needs, and its name; stored tensors become constants.
    fn plan(
        &mut self,
        graph: &'a GraphProto,
        inputs: &Inputs,
    ) -> Result<(Vec<&'a NodeProto>, &'a str), Reason> {
        let outputs = &graph.output;
        let output = outputs.first().ok_or("the graph has no output")?;
        if outputs.len() > 1 {
            let text = format!("output `{}` of {} outputs", output.name, outputs.len());
            self.notes
                .push(Note::Assumed(format!("the answer is in the first, {text}")));
        }
        for message in &graph.initializer {
            if let Some(position) = self.store.position(&message.name) {
                let constant = self.stored_constant(position)?;
                self.values.insert(&message.name, constant.into());
            }
        }
        let mut known: BTreeSet<&str> = inputs.names.iter().map(String::as_str).collect();
        known.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
        self.producers = order::producers(graph, &known)?;
        let nodes = order::needed(&output.name, &self.producers, &known)?;
        let nodes = order::as_written(graph, nodes);
        for node in &nodes {
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                *self.readers.entry(input).or_default() += 1;
            }
        }
        *self.readers.entry(&output.name).or_default() += 1;
        Ok((nodes, &output.name))
    }

    /// Takes the position of the largest or the smallest number as the rule for an answer.
    fn answered(&mut self, node: &NodeProto) -> Result<(), Reason> {
        super::signatures::check(node)?;
        let x = self.live(node, 0)?;
        let axis = super::values::axis(node.int("axis")?.unwrap_or(0), x.shape.len())?;
        if x.batch == Some(axis) || x.shape[axis] != x.count() {
            return Err(format!("picks from axis {axis} of shape {:?}", x.shape));
        }
        if node.flag("select_last_index", false)? {
            return Err("takes the last of equal numbers".to_owned());
        }
        self.answer = Some(match node.op_type.as_str() {
            "ArgMax" => AnswerRule::Largest,
            _ => AnswerRule::Smallest,
        });
        Ok(())
    }

    /// The checkpoint and the graph of what was read.
    fn finished(
        mut self,
        output: &str,
        inputs: &Inputs,
        model: &ModelProto,
        origin: &str,
    ) -> Result<Lowered, ModelError> {
        let refused = |reason: Reason| malformed("ONNX", origin, reason);
        let live = match self.values.get(output) {
            Some(Value::Live(live)) => live.clone(),
            Some(Value::Opaque(_, reason)) => {
                return Err(refused(format!("output `{output}`: {reason}")));
            }
            _ => {
                return Err(refused(format!(
                    "output `{output}` does not depend on the input"
                )));
            }
        };
        if let Some((input, examples)) = &inputs.fixed
            && live.shape.len() > 1
            && live.shape[0] == *examples
        {
            return Err(refused(format!(
                "input `{input}` holds {examples} examples at a time, expected one or any number"
            )));
        }
        if live.kind == Kind::Integer {
            return Err(refused(format!("output `{output}` holds whole numbers")));
        }
        let outputs = live.count();
        let last = self.shaped(&live, &[outputs]).map_err(refused)?;
        if last == 0 {
            return Err(refused(format!("output `{output}` is the input")));
        }
        let kept = pruned(std::mem::take(&mut self.built), last);
        let graph = self.graph(kept, inputs, outputs)?;
        let mut tensors = Vec::new();
        let mut places = BTreeMap::new();
        for spec in graph.parameters() {
            let (tensor, place) = self.stored(&spec.name).map_err(refused)?;
            tensors.push(tensor);
            places.extend(place.map(|place| (spec.name, place)));
        }
        let metadata = model.metadata_props.iter();
        let metadata = metadata.map(|entry| (entry.key.clone(), entry.value.clone()));
        Ok(Lowered {
            checkpoint: converted(tensors, metadata.collect(), origin)?,
            graph,
            notes: self.notes,
            answer: self.answer,
            side: self.store.side().clone(),
            places,
        })
    }

    /// Our graph of the nodes that the output needs.
    fn graph(
        &self,
        kept: Vec<Built>,
        inputs: &Inputs,
        outputs: usize,
    ) -> Result<Graph, ModelError> {
        let mut graph = Graph::new(&inputs.shape);
        graph.fix_input();
        let mut taken: BTreeSet<String> = ["input".to_owned()].into();
        let mut names: Vec<Option<String>> = vec![None; kept.len()];
        // Layers have the first choice.
        for layers in [true, false] {
            for (built, name) in kept.iter().zip(&mut names).skip(1) {
                if built.op.layer().is_some() != layers {
                    continue;
                }
                let mut unique = built.name.clone();
                let mut number = 1;
                while !taken.insert(unique.clone()) {
                    number += 1;
                    unique = format!("{}.{number}", built.name);
                }
                *name = Some(unique);
            }
        }
        let mut constants: BTreeMap<usize, String> = BTreeMap::new();
        for (built, name) in kept.into_iter().zip(names).skip(1) {
            let name = name.unwrap_or_default();
            for &tensor in built.origins.iter() {
                constants.entry(tensor).or_insert_with(|| name.clone());
            }
            graph.push(name, built.op, &built.sources)?;
        }
        graph.set_classes(outputs);
        for spec in graph.parameters() {
            if let Some(parameter) = self.parameters.get(&spec.name)
                && let Source::Computed(_, origins) = &parameter.source
            {
                let from = origins
                    .iter()
                    .map(|&i| format!("`{}`", self.store.tensor(i).name));
                let from: Vec<String> = from.collect();
                let from = if from.is_empty() {
                    "constants".to_owned()
                } else {
                    from.join(", ")
                };
                graph.fix(&spec.name, format!("its weight is computed from {from}"));
                for &tensor in origins.iter() {
                    let node = format!("the weight `{}`", spec.name);
                    constants.entry(tensor).or_insert(node);
                }
            }
        }
        for (tensor, reader) in constants {
            let name = &self.store.tensor(tensor).name;
            graph.fix(
                name,
                format!("tensor `{name}` is also a constant of {reader}"),
            );
        }
        Ok(graph)
    }

    /// The numbers of a parameter, and where the file has them.
    fn stored(&self, name: &str) -> Result<(StoredTensor, Option<OnnxPlace>), Reason> {
        let parameter = self.parameters.get(name);
        let parameter = parameter.ok_or_else(|| format!("tensor `{name}` is not there"))?;
        let tensor = |dtype, bytes| StoredTensor {
            name: name.to_owned(),
            dtype,
            shape: parameter.shape.clone(),
            bytes,
        };
        match &parameter.source {
            Source::Computed(numbers, _) => {
                let dtype = safetensors::Dtype::F64;
                let bytes = encode(numbers, dtype).unwrap_or_default();
                Ok((tensor(dtype, bytes), None))
            }
            Source::Stored {
                tensor: position,
                order,
            } => {
                let dtype = self.store.tensor(*position).dtype;
                let bytes = self.store.bytes(*position)?;
                let width = dtype.bitsize() / 8;
                let bytes = match order {
                    None => bytes.into_owned(),
                    Some(order) => {
                        let element = |&i: &u32| {
                            let start = i as usize * width;
                            bytes[start..start + width].iter().copied()
                        };
                        order.iter().flat_map(element).collect()
                    }
                };
                let place = OnnxPlace {
                    width,
                    order: order.clone(),
                    external: self.store.external(*position)?,
                };
                Ok((tensor(dtype, bytes), Some(place)))
            }
        }
    }
}

/// The extents of an input for one example, and the axis of the batch where it is not fixed.
fn extents(input: &ValueInfoProto) -> Result<(Vec<usize>, Option<usize>), Reason> {
    let name = &input.name;
    let (kind, extents, symbols) = declared(input)?;
    if !matches!(kind, 1 | 10 | 11 | 16) {
        return Err(format!(
            "input `{name}` holds {}, expected floats",
            type_name(kind)
        ));
    }
    let mut batch = None;
    let mut shape = Vec::with_capacity(extents.len());
    for (axis, extent) in extents.iter().enumerate() {
        shape.push(match *extent {
            None | Some(-1) if axis == 0 && extents.len() > 1 => {
                batch = Some(0);
                1
            }
            None => {
                let symbol = &symbols[axis];
                return Err(format!(
                    "input `{name}` has any length `{symbol}` in axis {axis}"
                ));
            }
            Some(extent) => usize::try_from(extent)
                .ok()
                .filter(|&extent| extent > 0)
                .ok_or_else(|| format!("input `{name}` has the length {extent} in axis {axis}"))?,
        });
    }
    if shape.is_empty() {
        return Err(format!("input `{name}` is a number"));
    }
    Ok((shape, batch))
}

/// The nodes that the last one needs, with their sources renumbered.
fn pruned(built: Vec<Built>, last: usize) -> Vec<Built> {
    let mut needed = vec![false; built.len()];
    (needed[0], needed[last]) = (true, true);
    for id in (0..=last).rev().filter(|&id| id < built.len()) {
        if needed[id] {
            built[id]
                .sources
                .iter()
                .for_each(|&source| needed[source] = true);
        }
    }
    let mut numbers = vec![0; built.len()];
    let mut kept = Vec::new();
    for (id, mut node) in built.into_iter().enumerate().filter(|(id, _)| needed[*id]) {
        numbers[id] = kept.len();
        node.sources
            .iter_mut()
            .for_each(|source| *source = numbers[*source]);
        kept.push(node);
    }
    kept
}
