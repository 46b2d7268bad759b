//! What a pickle builds: plain data, tensors that point into storages, and objects that are kept as
//! the data they were built from.
//!
//! Values that Python shares are shared here too: containers are nodes of one [`Heap`], and a
//! [`Value`] refers to them by number. A chain of a million lists is a million nodes and no
//! recursion, neither to build nor to drop.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::globals::Role;
use super::storage::{Storage, View};

/// A number that names a node of the heap.
pub(super) type Id = u32;

/// A scalar, or a reference to a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// Anything else.
    Ref(Id),
}

/// A value that is stored once and may be referred to many times.
#[derive(Debug)]
pub(super) enum Node<'p> {
    /// A string; Python 2's byte strings too where they are UTF-8.
    Text(Cow<'p, str>),
    /// Bytes.
    Bytes(Cow<'p, [u8]>),
    /// An integer of more than 64 bits, which nothing here needs.
    Long,
    /// A list, a set or a deque.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary of any kind, entries in the order in which they came.
    Dict(Vec<(Value, Value)>),
    /// A function or a class, by name.
    Global(Box<Global>),
    /// What a call of a class or a function would have made.
    Object(Box<Object>),
    /// A storage, by its position in [`Heap::storages`].
    Storage(usize),
    /// A tensor.
    Tensor(Box<View>),
}

/// A function or a class that a pickle names.
#[derive(Clone, Debug)]
pub(super) struct Global {
    /// Module and name, joined by a dot.
    pub(super) name: String,
    /// What it may be used for.
    pub(super) role: Role,
}

/// An object that was not built: its class, and the data it would have been built from.
#[derive(Debug)]
pub(super) struct Object {
    /// The class or function, a [`Node::Global`].
    pub(super) class: Id,
    /// Whether the class is called as a function, or with arguments that its constructor would see.
    pub(super) called: bool,
    /// Attributes, [`Value::None`] when there are none.
    pub(super) state: Value,
    /// Items of a subclass of `dict` or `list`; list items have [`Value::None`] as key.
    pub(super) items: Vec<(Value, Value)>,
}

/// Everything a pickle built.
#[derive(Debug, Default)]
pub(super) struct Heap<'p> {
    nodes: Vec<Node<'p>>,
    /// The storages that tensors point into.
    pub(super) storages: Vec<Storage>,
}

/// Values that one pickle may build: a state dict takes about ten for every tensor.
const MAX_NODES: usize = 2_000_000;

impl<'p> Heap<'p> {
    /// Stores a node.
    pub(super) fn add(&mut self, node: Node<'p>) -> Result<Value, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("the pickle builds more than {MAX_NODES} values"));
        }
        let id = self.nodes.len() as Id;
        self.nodes.push(node);
        Ok(Value::Ref(id))
    }

    /// The node of a reference.
    pub(super) fn node(&self, id: Id) -> &Node<'p> {
        &self.nodes[id as usize]
    }

    /// The node of a reference, to be changed.
    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node<'p> {
        &mut self.nodes[id as usize]
    }

    /// The node that a value refers to, `None` for scalars.
    pub(super) fn get(&self, value: Value) -> Option<&Node<'p>> {
        match value {
            Value::Ref(id) => Some(self.node(id)),
            _ => None,
        }
    }

    /// All nodes in the order in which they were built.
    pub(super) fn nodes(&self) -> &[Node<'p>] {
        &self.nodes
    }

    /// The string of a value.
    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.get(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The string of a key, an integer in decimal digits.
    pub(super) fn key(&self, value: Value) -> Option<String> {
        match value {
            Value::Int(number) => Some(number.to_string()),
            _ => self.text(value).map(str::to_owned),
        }
    }

    /// The items of a tuple or a list.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Node::Tuple(items) | Node::List(items)) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dictionary as Python would keep them, under keys that are strings or
    /// integers: in the order of the first, with the value of the last of equal keys.
    pub(super) fn entries(&self, value: Value) -> Option<Vec<(String, Value)>> {
        let pairs = match self.get(value) {
            Some(Node::Dict(pairs)) => pairs,
            Some(Node::Object(object)) if !object.items.is_empty() => &object.items,
            _ => return None,
        };
        let mut entries: Vec<(String, Value)> = Vec::with_capacity(pairs.len());
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for &(key, value) in pairs {
            let Some(key) = self.key(key) else { continue };
            match places.get(&key) {
                Some(&place) => entries[place].1 = value,
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Some(entries)
    }

    /// The value under a key of a dictionary.
    pub(super) fn entry(&self, value: Value, key: &str) -> Option<Value> {
        let Some(Node::Dict(pairs)) = self.get(value) else {
            return None;
        };
        let mut pairs = pairs.iter().rev();
        pairs
            .find(|(name, _)| self.text(*name) == Some(key))
            .map(|&(_, value)| value)
    }

    /// The function or class of a value.
    pub(super) fn global(&self, value: Value) -> Option<&Global> {
        match self.get(value) {
            Some(Node::Global(global)) => Some(global),
            _ => None,
        }
    }

    /// The object of a value, and the name of its class.
    pub(super) fn object(&self, value: Value) -> Option<(&Object, &Global)> {
        let Some(Node::Object(object)) = self.get(value) else {
            return None;
        };
        self.global(Value::Ref(object.class))
            .map(|class| (&**object, class))
    }

    /// Whether a value is an `nn.Module`: an object whose attributes are those of one.
    pub(super) fn is_module(&self, value: Value) -> bool {
        self.object(value)
            .is_some_and(|(object, _)| self.is_module_state(object.state))
    }

    /// Whether attributes are those of an `nn.Module`.
    pub(super) fn is_module_state(&self, state: Value) -> bool {
        ["_parameters", "_modules"].iter().all(|key| {
            let held = self.entry(state, key);
            held.is_some_and(|held| matches!(self.get(held), Some(Node::Dict(_))))
        })
    }

    /// What a value is, in a word or a name, for messages.
    pub(super) fn kind(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Int(_) => "int".to_owned(),
            Value::Float(_) => "float".to_owned(),
            Value::Ref(id) => match self.node(id) {
                Node::Text(_) => "str".to_owned(),
                Node::Bytes(_) => "bytes".to_owned(),
                Node::Long => "int".to_owned(),
                Node::List(_) => "list".to_owned(),
                Node::Tuple(_) => "tuple".to_owned(),
                Node::Dict(_) => "dict".to_owned(),
                Node::Global(global) => shown(&global.name),
                Node::Object(_) => match self.object(value) {
                    Some((_, class)) => shown(&class.name),
                    None => "object".to_owned(),
                },
                Node::Storage(_) => "torch.Storage".to_owned(),
                Node::Tensor(_) => "torch.Tensor".to_owned(),
            },
        }
    }
}

/// Letters of a name that a message shows.
const SHOWN: usize = 120;

/// A name for a message: control characters escaped, cut where it is long.
pub(super) fn shown(name: &str) -> String {
    let mut text = String::new();
    for (count, letter) in name.chars().enumerate() {
        if count == SHOWN {
            text.push('…');
            break;
        }
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

/// The first names of a list, for messages.
pub(super) fn first_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    /// Names that a message shows.
    const FEW: usize = 6;
    let all = names.len();
    let mut text = names
        .take(FEW)
        .map(|name| format!("`{}`", shown(name)))
        .collect::<Vec<_>>()
        .join(", ");
    if all > FEW {
        text.push_str(&format!(" and {} more", all - FEW));
    }
    text
}
