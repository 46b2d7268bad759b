//! Which of the things in a file are the weights.
//!
//! Training scripts save the state dict alone, under a key beside counters, optimisers and averages of
//! the weights, or in a list of such things. A module is read as its state dict.

use super::module;
use super::storage::View;
use super::value::{Heap, Node, Value, first_names, shown};
use crate::Note;

/// Keys under which the weights are kept.
const PLAIN: [&str; 15] = [
    "state_dict",
    "model_state_dict",
    "net_state_dict",
    "network_state_dict",
    "model_state",
    "model_dict",
    "model_weights",
    "model",
    "net",
    "network",
    "module",
    "classifier_state_dict",
    "weights",
    "params",
    "parameters",
];

/// Keys under which a running average of the weights is kept.
const AVERAGES: [&str; 10] = [
    "state_dict_ema",
    "model_state_dict_ema",
    "ema_state_dict",
    "ema_model_state_dict",
    "model_ema",
    "ema_model",
    "ema",
    "params_ema",
    "ema_params",
    "swa_state_dict",
];

/// Containers in containers that are looked into.
const MAX_LEVELS: usize = 8;

/// Dictionaries or modules in each other that make one name.
const MAX_DEPTH: usize = 64;

/// Tensors and other entries that a state dict may have.
const MAX_ENTRIES: usize = 1_000_000;

/// The weights of a file.
#[derive(Debug)]
pub(super) struct Selection<'h> {
    /// Named tensors in the order of the file.
    pub(super) tensors: Vec<(String, &'h View)>,
    /// The module that holds them.
    pub(super) module: Option<Value>,
    /// Where they were found, and what was not read.
    pub(super) notes: Vec<Note>,
}

/// The weights of a pickle's answer: those under `key`, or those that are found.
pub(super) fn select<'h>(
    heap: &'h Heap<'_>,
    root: Value,
    key: Option<&str>,
) -> Result<Selection<'h>, String> {
    let mut search = Search {
        heap,
        bears: bearing(heap),
        at: root,
        path: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(key) = key {
        search.enter(key)?;
    }
    for _ in 0..MAX_LEVELS {
        if !search.descend()? {
            break;
        }
    }
    search.collect()
}

struct Search<'h, 'p> {
    heap: &'h Heap<'p>,
    /// Whether each node holds tensors.
    bears: Vec<bool>,
    at: Value,
    path: Vec<String>,
    notes: Vec<Note>,
}

impl<'h> Search<'h, '_> {
    /// Goes to the entry that the user names: a key, or keys joined by dots.
    fn enter(&mut self, key: &str) -> Result<(), String> {
        let mut rest = key;
        while !rest.is_empty() {
            let entries = self.children();
            let longest = entries.iter().filter(|(name, _)| {
                let after = rest.strip_prefix(name.as_str());
                after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
            });
            let Some((name, value)) = longest.max_by_key(|(name, _)| name.len()) else {
                return Err(format!(
                    "there is no `{}`{}; known: {}",
                    shown(rest),
                    self.below(),
                    first_names(entries.iter().map(|(name, _)| name.as_str()))
                ));
            };
            rest = rest[name.len()..].trim_start_matches('.');
            self.at = *value;
            self.path.push(name.clone());
        }
        self.notes.push(Note::Given(format!(
            "the weights are those under `{}`",
            shown(&self.path.join("."))
        )));
        Ok(())
    }

    /// What lies in the container: entries, items by position, submodules.
    fn children(&self) -> Vec<(String, Value)> {
        if self.heap.is_module(self.at) {
            return module::children(self.heap, self.at);
        }
        if let Some(items) = self.heap.items(self.at) {
            let items = items.iter().enumerate();
            return items.map(|(i, &item)| (i.to_string(), item)).collect();
        }
        self.heap.entries(self.at).unwrap_or_default()
    }

    fn below(&self) -> String {
        if self.path.is_empty() {
            String::new()
        } else {
            format!(" under `{}`", shown(&self.path.join(".")))
        }
    }

    fn bears(&self, value: Value) -> bool {
        matches!(value, Value::Ref(id) if self.bears[id as usize])
    }

    /// Whether a value is a module or a dictionary with tensors, or a list with one of them.
    fn holds_names(&self, value: Value) -> bool {
        let named = |value: Value| {
            let named = matches!(self.heap.get(value), Some(Node::Dict(_) | Node::Object(_)));
            named && self.bears(value)
        };
        let mut items = self.heap.items(value).unwrap_or_default().iter();
        named(value) || items.any(|&item| named(item))
    }

    /// Goes one level down where the weights lie there; says whether it did.
    fn descend(&mut self) -> Result<bool, String> {
        if self.heap.is_module(self.at) {
            return Ok(false);
        }
        let children = self.children();
        let is_list = self.heap.items(self.at).is_some();
        let holding: Vec<&(String, Value)> = children
            .iter()
            .filter(|(_, value)| self.holds_names(*value))
            .collect();
        let of = |keys: &[&str]| -> Vec<&(String, Value)> {
            let known = holding
                .iter()
                .filter(|(key, _)| keys.contains(&key.as_str()));
            known.copied().collect()
        };
        let (plain, averages) = (of(&PLAIN), of(&AVERAGES));
        let chosen = match (is_list, &plain[..], &averages[..]) {
            (true, ..) => match &holding[..] {
                [only] => *only,
                [] => return Ok(false),
                several => return Err(self.ask(several)),
            },
            (false, [only], _) | (false, [], [only]) => *only,
            (false, [], []) => match &holding[..] {
                [only] if self.is_whole(only.1, &children) => *only,
                // Parts of one network have no dots in their names, several networks do.
                several @ [_, _, ..]
                    if several.iter().all(|(_, v)| self.is_whole(*v, &children)) =>
                {
                    return Err(self.ask(several));
                }
                _ => return Ok(false),
            },
            (false, [], several) | (false, several, _) => return Err(self.ask(several)),
        };
        let (key, value) = chosen.clone();
        self.path.push(key.clone());
        let mut text = format!("the weights are under `{}`", shown(&self.path.join(".")));
        let averages = averages.iter().filter(|(name, _)| *name != key);
        let averages: Vec<&str> = averages.map(|(name, _)| name.as_str()).collect();
        if !averages.is_empty() {
            let names = first_names(averages.into_iter());
            text.push_str(&format!("; the key chooses {names} instead"));
        }
        let others = children.iter().filter(|(name, _)| *name != key);
        let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
        if !others.is_empty() {
            text.push_str(&format!("; not read: {}", first_names(others.into_iter())));
        }
        self.notes.push(Note::Read(text));
        self.at = value;
        Ok(true)
    }

    /// Whether the only entry with tensors is a whole network: a module or a state dict, and no
    /// tensor lies beside it.
    fn is_whole(&self, value: Value, beside: &[(String, Value)]) -> bool {
        let is_tensor = |value: Value| matches!(self.heap.get(value), Some(Node::Tensor(_)));
        if beside.iter().any(|(_, value)| is_tensor(*value)) {
            return false;
        }
        let entries = self.heap.entries(value).unwrap_or_default();
        self.heap.is_module(value) || entries.iter().any(|(key, _)| key.contains('.'))
    }

    fn ask(&self, several: &[&(String, Value)]) -> String {
        format!(
            "{} hold tensors{}; say which by its key",
            first_names(several.iter().map(|(key, _)| key.as_str())),
            self.below()
        )
    }

    /// The tensors at the place that was found.
    fn collect(mut self) -> Result<Selection<'h>, String> {
        let mut names = Names {
            tensors: Vec::new(),
            ignored: Vec::new(),
        };
        let is_module = self.heap.is_module(self.at);
        let is_dictionary = matches!(self.heap.get(self.at), Some(Node::Dict(_)));
        if !is_module && !is_dictionary {
            let list = self.heap.items(self.at).map(|items| match items.first() {
                Some(&item) => format!("a {} of {}", self.heap.kind(self.at), self.heap.kind(item)),
                None => format!("an empty {}", self.heap.kind(self.at)),
            });
            return Err(format!(
                "expected a dictionary of tensors or a module{}, got {}",
                self.below(),
                list.unwrap_or_else(|| self.heap.kind(self.at))
            ));
        }
        self.flatten(self.at, "", 0, &mut names)?;
        if names.tensors.is_empty() {
            let entries = self.children();
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{} ({})", shown(key), self.heap.kind(*value)));
            let entries: Vec<String> = entries.take(8).collect();
            return Err(format!(
                "it holds no tensors{}: {}",
                self.below(),
                if entries.is_empty() {
                    "it is empty".to_owned()
                } else {
                    format!("its entries are {}", entries.join(", "))
                }
            ));
        }
        if !names.ignored.is_empty() {
            let ignored = names.ignored.iter().map(String::as_str);
            let text = format!(
                "entries without tensors are not read: {}",
                first_names(ignored)
            );
            self.notes.push(Note::Read(text));
        }
        Ok(Selection {
            tensors: names.tensors,
            module: is_module.then_some(self.at),
            notes: self.notes,
        })
    }

    /// Appends the tensors below a value, keys joined by dots.
    fn flatten(
        &self,
        value: Value,
        name: &str,
        depth: usize,
        names: &mut Names<'h>,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("it nests names deeper than {MAX_DEPTH} levels"));
        }
        if names.tensors.len() + names.ignored.len() > MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        if let Some(Node::Tensor(view)) = self.heap.get(value) {
            names.tensors.push((name.to_owned(), view));
            return Ok(());
        }
        if module::is_unread(self.heap, value) {
            return Err(format!(
                "tensor `{}` is made by `{}`, expected a dense tensor",
                shown(name),
                self.heap.kind(value)
            ));
        }
        if !self.bears(value) && !self.heap.is_module(value) {
            // A key of the state dict itself: what has none is the state dict.
            if !name.is_empty() {
                names.ignored.push(name.to_owned());
                return Ok(());
            }
        }
        let children = if self.heap.is_module(value) {
            module::state(self.heap, value)?
        } else if let Some(items) = self.heap.items(value) {
            let items = items.iter().enumerate();
            items.map(|(i, &item)| (i.to_string(), item)).collect()
        } else {
            self.heap.entries(value).unwrap_or_default()
        };
        for (key, child) in children {
            let name = if name.is_empty() {
                key
            } else {
                format!("{name}.{key}")
            };
            self.flatten(child, &name, depth + 1, names)?;
        }
        Ok(())
    }
}

struct Names<'h> {
    tensors: Vec<(String, &'h View)>,
    ignored: Vec<String>,
}

/// Whether each node is a tensor or holds one; optimisers, whose tensors are no weights, hold none.
fn bearing(heap: &Heap<'_>) -> Vec<bool> {
    let nodes = heap.nodes();
    let mut bears: Vec<bool> = nodes
        .iter()
        .map(|node| matches!(node, Node::Tensor(_)))
        .collect();
    // What a container holds is mostly built after it, so that one pass from the end is enough;
    // protocol 0 builds it before, which takes a pass for every level.
    for _ in 0..MAX_DEPTH {
        let mut changed = false;
        for id in (0..nodes.len()).rev() {
            let bearing = |value: &Value| matches!(value, Value::Ref(id) if bears[*id as usize]);
            let holds = match &nodes[id] {
                _ if bears[id] => continue,
                Node::List(items) | Node::Tuple(items) => items.iter().any(bearing),
                Node::Dict(pairs) => {
                    pairs.iter().any(|(_, value)| bearing(value))
                        && !is_optimiser(heap, Value::Ref(id as u32))
                }
                Node::Object(object) => {
                    bearing(&object.state) && heap.is_module(Value::Ref(id as u32))
                }
                _ => false,
            };
            changed |= holds;
            bears[id] = holds;
        }
        if !changed {
            break;
        }
    }
    bears
}

/// Whether a dictionary is the state of an optimiser.
fn is_optimiser(heap: &Heap<'_>, value: Value) -> bool {
    ["state", "param_groups"]
        .iter()
        .all(|key| heap.entry(value, key).is_some())
}
