//! The calls that are understood, and what a pickle refers to outside of itself.

use std::borrow::Cow;

use super::globals::{Call, Role};
use super::legacy;
use super::machine::{Machine, Outside};
use super::storage::{Element, Storage, View};
use super::value::{Node, Value};

impl Machine<'_, '_> {
    /// The answer of a function; an opaque object where it is not understood.
    pub(super) fn call(&mut self, function: Value, args: Value) -> Result<Value, String> {
        let args = self.arguments(args)?;
        match self.heap.global(function).map(|global| global.role) {
            Some(Role::Understood(call)) => self.understood(call, &args),
            Some(_) => self.object(function, true),
            None => Err("something that is no function is called".to_owned()),
        }
    }

    /// The answer of a function that is understood.
    pub(super) fn understood(&mut self, call: Call, args: &[Value]) -> Result<Value, String> {
        let argument = |index: usize| {
            let held = args.get(index).copied();
            held.ok_or_else(|| format!("a call has {} arguments", args.len()))
        };
        match call {
            Call::DefaultDict => self.heap.add(Node::Dict(Vec::new())),
            Call::Dict => self.dictionary(args.first().copied()),
            Call::Sequence => {
                let items = args
                    .first()
                    .map_or(Some(&[][..]), |&list| self.heap.items(list));
                let items = items.ok_or("a set is made of no list")?.to_vec();
                self.charge(items.len())?;
                self.heap.add(Node::List(items))
            }
            Call::Reconstruct => {
                let called = !matches!(argument(2)?, Value::None);
                self.object(argument(0)?, called)
            }
            Call::Encode => self.encode(argument(0)?),
            Call::Tensor => self.tensor(args, None),
            Call::TypedTensor => match self.heap.global(argument(6)?).map(|global| global.role) {
                Some(Role::DtypeOf(element)) => self.tensor(args, Some(element)),
                _ => Err("a tensor has no dtype".to_owned()),
            },
            Call::Parameter => argument(0),
            Call::FromType => self.typed(argument(0)?, argument(2)?),
            Call::LoadFromBytes => self.inline_storage(argument(0)?),
        }
    }

    /// A dictionary of a list of pairs, or of another dictionary.
    fn dictionary(&mut self, source: Option<Value>) -> Result<Value, String> {
        let pairs = match source.map(|source| (source, self.heap.get(source))) {
            None => Vec::new(),
            Some((_, Some(Node::Dict(pairs)))) => pairs.clone(),
            Some((source, _)) => {
                let pair = |&item: &Value| match self.heap.items(item) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                };
                let items = self.heap.items(source);
                let pairs = items.and_then(|items| items.iter().map(pair).collect());
                pairs.ok_or("a dictionary is made of no pairs")?
            }
        };
        self.charge(pairs.len())?;
        self.heap.add(Node::Dict(pairs))
    }

    /// Bytes that protocol 2 writes as a string in Latin-1.
    fn encode(&mut self, text: Value) -> Result<Value, String> {
        let text = self.heap.text(text).ok_or("no string is encoded")?;
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = bytes.ok_or("a string is no Latin-1")?;
        self.charge_bytes(bytes.len())?;
        self.heap.add(Node::Bytes(Cow::Owned(bytes)))
    }

    /// A tensor of the arguments `(storage, offset, size, stride)`.
    fn tensor(&mut self, args: &[Value], element: Option<Element>) -> Result<Value, String> {
        let [storage, offset, size, stride, ..] = *args else {
            return Err(format!("a tensor has {} arguments", args.len()));
        };
        let Some(&Node::Storage(storage)) = self.heap.get(storage) else {
            return Err("a tensor has no storage".to_owned());
        };
        let Some(offset) = index(offset) else {
            return Err("a tensor has no offset of at least 0".to_owned());
        };
        let indices = |value: Value| -> Option<Vec<usize>> {
            let items = self.heap.items(value)?;
            items.iter().map(|&item| index(item)).collect()
        };
        let (Some(shape), Some(strides)) = (indices(size), indices(stride)) else {
            return Err("a tensor has no extents and strides of at least 0".to_owned());
        };
        if shape.len() != strides.len() {
            return Err(format!(
                "a tensor has {} extents and {} strides",
                shape.len(),
                strides.len()
            ));
        }
        self.charge(2 * shape.len())?;
        let element = element.unwrap_or(self.heap.storages[storage].element);
        self.heap.add(Node::Tensor(Box::new(View {
            storage,
            element,
            offset,
            shape,
            strides,
        })))
    }

    /// The tensor that a function would make before it is given its type.
    fn typed(&mut self, function: Value, args: Value) -> Result<Value, String> {
        let role = self.heap.global(function).map(|global| global.role);
        match role {
            // Another `FromType` would recurse.
            Some(Role::Understood(Call::Tensor | Call::TypedTensor | Call::Parameter)) => {
                self.call(function, args)
            }
            Some(_) => self.object(function, true),
            None => Err("something that is no function is called".to_owned()),
        }
    }

    /// A storage whose bytes are in the pickle: how Python's own `pickle` writes tensors.
    fn inline_storage(&mut self, bytes: Value) -> Result<Value, String> {
        // A storage in a storage would recurse.
        if !matches!(self.outside, Outside::Nothing) {
            return Err("a storage holds another one".to_owned());
        }
        let (Value::Ref(id), Some(Node::Bytes(held))) = (bytes, self.heap.get(bytes)) else {
            return Err("a storage is read from no bytes".to_owned());
        };
        let mut storage = legacy::only_storage(held)?;
        storage.inline = storage.inline.map(|(_, range)| (id, range));
        self.storage(storage)
    }

    fn storage(&mut self, storage: Storage) -> Result<Value, String> {
        let place = self.heap.storages.len();
        self.heap.storages.push(storage);
        self.heap.add(Node::Storage(place))
    }

    /// What an identity outside of the pickle stands for.
    pub(super) fn resolve(&mut self, id: Value) -> Result<Value, String> {
        match self.outside {
            Outside::Nothing => {
                Err("the pickle refers to storages that are not in the file".to_owned())
            }
            Outside::Storages => self.saved(id),
            Outside::Tensors(tensors) => {
                if let Some(&[class, ..]) = self.heap.items(id) {
                    return Ok(class);
                }
                let number = match id {
                    Value::Int(number) => Some(number),
                    _ => self.heap.text(id).and_then(|text| text.trim().parse().ok()),
                };
                let tensor = number.and_then(|number| tensors.get(&number));
                let tensor =
                    tensor.ok_or("the pickle refers to a tensor that is not in the file")?;
                self.heap.add(Node::Tensor(Box::new(tensor.clone())))
            }
        }
    }

    /// `("storage", type, key, location, elements)`, to which the legacy container adds a view;
    /// or `("module", class, file, source)`.
    fn saved(&mut self, id: Value) -> Result<Value, String> {
        let unknown = || "the pickle refers to something that is no storage".to_owned();
        let parts = self.heap.items(id).ok_or_else(unknown)?;
        let (first, rest) = parts.split_first().ok_or_else(unknown)?;
        match (self.heap.text(*first), rest) {
            (Some("module"), &[class, ..]) => Ok(class),
            (Some("storage"), &[class, key, _, count, ref view @ ..]) => {
                let class = self.heap.global(class);
                let Some(Role::StorageOf(element)) = class.map(|class| class.role) else {
                    return Err(unknown());
                };
                let key = self.heap.key(key).ok_or_else(unknown)?;
                let mut storage = Storage {
                    key,
                    element,
                    count: index(count).ok_or_else(unknown)?,
                    start: 0,
                    inline: None,
                };
                if let Some(&[_, start, count]) =
                    view.first().and_then(|&view| self.heap.items(view))
                {
                    let whole = storage.count;
                    storage.start = index(start).ok_or_else(unknown)?;
                    storage.count = index(count).ok_or_else(unknown)?;
                    let end = storage.start.checked_add(storage.count);
                    if end.is_none_or(|end| end > whole) {
                        return Err("a view lies outside of its storage".to_owned());
                    }
                }
                self.storage(storage)
            }
            _ => Err(unknown()),
        }
    }
}

/// A number of elements.
fn index(value: Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}
