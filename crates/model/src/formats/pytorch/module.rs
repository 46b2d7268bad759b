//! Whole modules, as `torch.save(module)` writes them: their state dict, and what their classes say
//! about the order of the layers and the functions between them.
//!
//! The classes of `torch.nn` say what they compute. `Sequential` applies its children in their order. A
//! class of the user says in code that is not in the file what it does with its children: the order in
//! which it registers them, with an activation between any two layers, is then an assumption.

use super::globals::Role;
use super::value::{Heap, Node, Value, shown};
use crate::Activation;
use crate::mlp::{Forward, Step};

/// Modules in each other.
const MAX_DEPTH: usize = 64;

/// Modules that one file may have, each counted as often as it is used.
const MAX_MODULES: usize = 100_000;

/// Whether a value is what a function of torch makes that makes no dense tensor.
pub(super) fn is_unread(heap: &Heap<'_>, value: Value) -> bool {
    heap.object(value)
        .is_some_and(|(_, class)| class.role == Role::Unread)
}

/// An attribute of a module.
fn attribute(heap: &Heap<'_>, module: Value, name: &str) -> Option<Value> {
    let (object, _) = heap.object(module)?;
    heap.entry(object.state, name)
}

/// The entries of one of a module's dictionaries.
fn held(heap: &Heap<'_>, module: Value, name: &str) -> Vec<(String, Value)> {
    let held = attribute(heap, module, name);
    held.and_then(|held| heap.entries(held)).unwrap_or_default()
}

/// The children of a module that are there, in the order in which it registers them.
pub(super) fn children(heap: &Heap<'_>, module: Value) -> Vec<(String, Value)> {
    let mut children = held(heap, module, "_modules");
    children.retain(|(_, child)| *child != Value::None);
    children
}

/// What the state dict of a module holds: parameters, buffers that are saved, children.
pub(super) fn state(heap: &Heap<'_>, module: Value) -> Result<Vec<(String, Value)>, String> {
    let passing = attribute(heap, module, "_non_persistent_buffers_set");
    let passing = passing
        .and_then(|names| heap.items(names))
        .unwrap_or_default();
    let is_saved = |name: &str| passing.iter().all(|&other| heap.text(other) != Some(name));
    let mut tensors = held(heap, module, "_parameters");
    let buffers = held(heap, module, "_buffers").into_iter();
    tensors.extend(buffers.filter(|(name, _)| is_saved(name)));
    tensors.retain(|(_, tensor)| *tensor != Value::None);
    for (name, tensor) in &tensors {
        if !matches!(heap.get(*tensor), Some(Node::Tensor(_))) && !is_unread(heap, *tensor) {
            return Err(format!(
                "parameter `{}` is a {}, expected a tensor",
                shown(name),
                heap.kind(*tensor)
            ));
        }
    }
    tensors.extend(children(heap, module));
    Ok(tensors)
}

/// What the classes of a module and its children say.
pub(super) fn forward(heap: &Heap<'_>, module: Value) -> Forward {
    let mut walk = Walk {
        heap,
        forward: Forward::default(),
        modules: 0,
    };
    if let Err(reason) = walk.visit(module, "", 0) {
        walk.forward.unread = Some(reason);
    }
    walk.modules = 0;
    if let Err(reason) = walk.survey(module, "", 0) {
        walk.forward.altered = Some(reason);
    }
    walk.forward
}

struct Walk<'h, 'p> {
    heap: &'h Heap<'p>,
    forward: Forward,
    modules: usize,
}

/// The places of classes in `torch.nn`.
const LINEAR: &str = "torch.nn.modules.linear.Linear";
const IDENTITY: &str = "torch.nn.modules.linear.Identity";
const FLATTEN: &str = "torch.nn.modules.flatten.Flatten";
const DROPOUT: &str = "torch.nn.modules.dropout.";
const SEQUENTIAL: &str = "torch.nn.modules.container.Sequential";
const MODULE_LIST: &str = "torch.nn.modules.container.ModuleList";
const PARALLEL: [&str; 2] = [
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
];
const SOFTMAX: &str = "torch.nn.modules.activation.Softmax";
const ACTIVATION: &str = "torch.nn.modules.activation.";
/// Hooks of pruning apply the mask that is stored beside the weight.
const PRUNING: &str = "torch.nn.utils.prune.";

/// The name of a child.
fn below(name: &str, key: String) -> String {
    if name.is_empty() {
        key
    } else {
        format!("{name}.{key}")
    }
}

impl Walk<'_, '_> {
    fn visit(&mut self, module: Value, name: &str, depth: usize) -> Result<(), String> {
        self.count(depth)?;
        let Some((_, class)) = self.heap.object(module) else {
            return Err(format!("`{}` is no module", shown(name)));
        };
        self.check_hooks(module, name)?;
        let class_name = class.name.as_str();
        match class_name {
            LINEAR => self.forward.steps.push(Step::Linear(name.to_owned())),
            IDENTITY => {}
            SOFTMAX => match self.attribute(module, "dim") {
                None | Some(Value::None | Value::Int(1 | -1)) => {
                    self.forward.steps.push(Step::Softmax);
                }
                Some(other) => return Err(self.other(name, class_name, "dim", other)),
            },
            FLATTEN => {
                for (key, usual) in [("start_dim", 1), ("end_dim", -1)] {
                    match self.attribute(module, key) {
                        None => {}
                        Some(Value::Int(dim)) if dim == usual => {}
                        Some(other) => return Err(self.other(name, class_name, key, other)),
                    }
                }
            }
            _ if class_name.starts_with(DROPOUT) => {}
            _ if class_name.starts_with(ACTIVATION) => {
                let activation = self.activation(module, name, class_name)?;
                self.forward.steps.push(Step::Activation(activation));
            }
            SEQUENTIAL => self.visit_children(module, name, depth)?,
            _ if PARALLEL.contains(&class_name) => self.visit_children(module, name, depth)?,
            _ if class_name == MODULE_LIST || class.role == Role::Foreign => {
                self.forward.assumed.insert(class_name.to_owned());
                self.visit_children(module, name, depth)?;
            }
            _ => {
                return Err(format!(
                    "layer `{}` is a `{}`, which is not read in a perceptron",
                    shown(name),
                    shown(class_name)
                ));
            }
        }
        Ok(())
    }

    /// Lists the functions of all modules, whatever their parents are.
    fn survey(&mut self, module: Value, name: &str, depth: usize) -> Result<(), String> {
        self.count(depth)?;
        self.check_hooks(module, name)?;
        let class = self.heap.kind(module);
        if let Some(function) = class.strip_prefix(ACTIVATION) {
            self.forward.functions.insert(function.to_owned());
        }
        for (key, child) in children(self.heap, module) {
            self.survey(child, &below(name, key), depth + 1)?;
        }
        Ok(())
    }

    fn count(&mut self, depth: usize) -> Result<(), String> {
        self.modules += 1;
        if depth > MAX_DEPTH || self.modules > MAX_MODULES {
            return Err("its modules are nested too deep or too many".to_owned());
        }
        Ok(())
    }

    fn visit_children(&mut self, module: Value, name: &str, depth: usize) -> Result<(), String> {
        for (key, child) in children(self.heap, module) {
            self.visit(child, &below(name, key), depth + 1)?;
        }
        Ok(())
    }

    fn attribute(&self, module: Value, name: &str) -> Option<Value> {
        attribute(self.heap, module, name)
    }

    fn other(&self, layer: &str, class: &str, key: &str, value: Value) -> String {
        let value = match value {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            other => match self.heap.text(other) {
                Some(text) => shown(text),
                None => self.heap.kind(other),
            },
        };
        format!(
            "layer `{}` is a `{}` with {key} = {value}, which is not read",
            shown(layer),
            shown(class)
        )
    }

    /// Refuses functions that run before or after the module, and another `forward`.
    fn check_hooks(&self, module: Value, name: &str) -> Result<(), String> {
        for kind in ["_forward_pre_hooks", "_forward_hooks"] {
            for (_, hook) in held(self.heap, module, kind) {
                let class = self.heap.kind(hook);
                if !class.starts_with(PRUNING) {
                    return Err(format!("layer `{}` has the hook `{class}`", shown(name)));
                }
            }
        }
        match self.attribute(module, "forward") {
            Some(_) => Err(format!(
                "layer `{}` has a `forward` of its own",
                shown(name)
            )),
            None => Ok(()),
        }
    }

    /// The activation of a class of `torch.nn.modules.activation`.
    fn activation(&self, module: Value, name: &str, class: &str) -> Result<Activation, String> {
        let number = |key: &str| match self.attribute(module, key) {
            Some(Value::Float(number)) => Ok(number),
            Some(Value::Int(number)) => Ok(number as f64),
            Some(other) => Err(self.other(name, class, key, other)),
            None => Err(format!("layer `{}` does not say its {key}", shown(name))),
        };
        Ok(match class.strip_prefix(ACTIVATION).unwrap_or(class) {
            "ReLU" => Activation::Relu,
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "SiLU" => Activation::Silu,
            "Hardswish" => Activation::Hardswish,
            "SELU" => Activation::Selu,
            "LeakyReLU" => match number("negative_slope")? {
                slope if (0.0..=1.0).contains(&slope) => Activation::LeakyRelu { slope },
                slope => {
                    return Err(self.other(name, class, "negative_slope", Value::Float(slope)));
                }
            },
            "ELU" => Activation::Elu {
                alpha: number("alpha")?,
            },
            "GELU" => match self.attribute(module, "approximate") {
                // Before it had the attribute it had no approximation.
                None => Activation::Gelu,
                Some(kind) => match self.heap.text(kind) {
                    Some("none") => Activation::Gelu,
                    Some("tanh") => Activation::GeluTanh,
                    _ => return Err(self.other(name, class, "approximate", kind)),
                },
            },
            _ => {
                return Err(format!(
                    "layer `{}` is a `{}`, an activation that is not read",
                    shown(name),
                    shown(class)
                ));
            }
        })
    }
}
