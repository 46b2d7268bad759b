//! Which functions and classes a pickle asks for beyond those that weights need.

use std::collections::{BTreeSet, VecDeque};

use super::globals::Role;
use super::value::{Heap, Id, Node, Value, shown};

impl Heap<'_> {
    /// Refuses a pickle that calls, builds or only names what is neither torch's nor plain data, even
    /// where it drops the answer. Classes of which there are only `nn.Module`s are data.
    ///
    /// `root` is the answer of the pickle; without it, a damaged one, only calls are looked for.
    pub(super) fn check_names(&self, root: Option<Value>) -> Result<(), String> {
        let Some(name) = self.offender(root.is_some()) else {
            return Ok(());
        };
        let place = match root {
            None => String::new(),
            Some(root) => match self.place(root, name) {
                Some(place) if place.is_empty() => " at its top".to_owned(),
                Some(place) => format!(" at `{}`", shown(&place)),
                None => " and drops the answer".to_owned(),
            },
        };
        Err(format!(
            "the pickle asks for `{}`{place}, expected tensors and plain data",
            shown(name)
        ))
    }

    /// The first name that is used for more than data.
    fn offender(&self, whole: bool) -> Option<&str> {
        let mut modules = BTreeSet::new();
        for node in self.nodes() {
            let Node::Object(object) = node else { continue };
            let class = self.global(Value::Ref(object.class))?;
            match class.role {
                Role::Foreign if object.called => return Some(&class.name),
                Role::Foreign if self.is_module_state(object.state) => {
                    modules.insert(class.name.as_str());
                }
                Role::Foreign if whole => return Some(&class.name),
                Role::Torch | Role::StorageOf(_) | Role::DtypeOf(_) if object.called => {
                    return Some(&class.name);
                }
                _ => {}
            }
        }
        self.nodes().iter().find_map(|node| match node {
            Node::Global(global) if whole && global.role == Role::Foreign => {
                (!modules.contains(global.name.as_str())).then_some(global.name.as_str())
            }
            _ => None,
        })
    }

    /// Where a name is used in the answer of the pickle: keys and positions, joined by dots.
    fn place(&self, root: Value, name: &str) -> Option<String> {
        let Value::Ref(root) = root else { return None };
        // Every node once, with the node and the key through which it was reached.
        let mut seen = vec![false; self.nodes().len()];
        let mut reached: Vec<(usize, String)> = vec![(0, String::new())];
        let mut queue = VecDeque::from([(root, 0)]);
        seen[root as usize] = true;
        while let Some((id, at)) = queue.pop_front() {
            if self.is_use(id, name) {
                return Some(path(&reached, at));
            }
            self.for_each_child(id, |key, child| {
                if let Value::Ref(child) = child
                    && !std::mem::replace(&mut seen[child as usize], true)
                {
                    reached.push((at, key()));
                    queue.push_back((child, reached.len() - 1));
                }
            });
        }
        None
    }

    fn is_use(&self, id: Id, name: &str) -> bool {
        match self.node(id) {
            Node::Global(global) => global.name == name,
            Node::Object(object) => self
                .global(Value::Ref(object.class))
                .is_some_and(|class| class.name == name),
            _ => false,
        }
    }

    fn for_each_child(&self, id: Id, mut visit: impl FnMut(&dyn Fn() -> String, Value)) {
        let key_of = |key: Value| self.key(key).unwrap_or_else(|| self.kind(key));
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) => {
                for (index, &item) in items.iter().enumerate() {
                    visit(&|| index.to_string(), item);
                }
            }
            Node::Dict(pairs) => {
                for &(key, value) in pairs {
                    visit(&|| key_of(key), key);
                    visit(&|| key_of(key), value);
                }
            }
            Node::Object(object) => {
                visit(&String::new, object.state);
                for &(key, value) in &object.items {
                    visit(&|| key_of(key), value);
                }
            }
            _ => {}
        }
    }
}

fn path(reached: &[(usize, String)], at: usize) -> String {
    let mut keys = Vec::new();
    let mut at = at;
    while at != 0 {
        let (from, key) = &reached[at];
        if !key.is_empty() {
            keys.push(key.as_str());
        }
        at = *from;
    }
    keys.reverse();
    keys.join(".")
}
