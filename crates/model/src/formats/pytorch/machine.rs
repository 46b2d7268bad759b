//! The stack machine of pickles, protocols 0 to 5, which builds data and calls nothing.
//!
//! Bounds: the instructions of a pickle, the values that it builds, and the memory of both are limited
//! by constants; a length that is announced is compared with the bytes that are left before anything
//! is allocated; no instruction recurses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::globals::{Call, Role};
use super::legacy_text;
use super::storage::View;
use super::value::{Global, Heap, Node, Object, Value};

/// Instructions that one pickle may have: a state dict takes about fifty for every tensor.
const MAX_INSTRUCTIONS: usize = 8_000_000;

/// How a pickle refers to what lies outside of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outside<'a> {
    /// Not at all.
    Nothing,
    /// By the tuples of `torch.save`: a type, a key and a length make a storage.
    Storages,
    /// By the numbers of the TAR container, each a tensor.
    Tensors(&'a BTreeMap<i64, View>),
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Loaded<'p> {
    /// What it built.
    pub(super) heap: Heap<'p>,
    /// Its answer.
    pub(super) root: Value,
    /// Its length.
    pub(super) length: usize,
}

/// Reads one pickle from the front of `bytes`; tensors point into `heap.storages`.
///
/// Fails for a pickle that is damaged or too large, and for one that asks for more than tensors and
/// plain data.
pub(super) fn load<'p>(
    bytes: &'p [u8],
    outside: Outside<'_>,
    heap: Heap<'p>,
) -> Result<Loaded<'p>, String> {
    let mut machine = Machine {
        input: Cursor::new(bytes),
        heap,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        outside,
        instructions: 0,
        made: 0,
    };
    match machine.run() {
        Ok(root) => {
            machine.heap.check_names(Some(root))?;
            Ok(Loaded {
                heap: machine.heap,
                root,
                length: machine.input.position(),
            })
        }
        // What a file asks for weighs more than how it is damaged.
        Err(reason) => Err(match machine.heap.check_names(None) {
            Err(refusal) => refusal,
            Ok(()) => format!(
                "{reason} (byte {} of the pickle)",
                machine.input.position().saturating_sub(1)
            ),
        }),
    }
}

/// The state of a run.
pub(super) struct Machine<'p, 'a> {
    input: Cursor<'p>,
    pub(super) heap: Heap<'p>,
    stack: Vec<Value>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: Vec<Value>,
    pub(super) outside: Outside<'a>,
    instructions: usize,
    /// Bytes that were made of strings of the pickle.
    made: usize,
}

impl<'p> Machine<'p, '_> {
    /// Runs to the STOP and returns what is on top of the stack.
    fn run(&mut self) -> Result<Value, String> {
        loop {
            self.charge(1)?;
            let opcode = self.input.byte().map_err(|_| "the pickle does not end")?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    /// One instruction.
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.drop_top()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' | 0x88 | 0x89 | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' => {
                let value = self.scalar(opcode)?;
                self.stack.push(value);
            }
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => {
                let node = self.string(opcode)?;
                self.push(node)?;
            }
            b'}' | b')' | b']' | 0x8f | b'd' | b'l' | b't' | 0x85..=0x87 | 0x91 => {
                let node = self.container(opcode)?;
                self.push(node)?;
            }
            b'a' | b'e' | 0x90 => {
                let items = if opcode == b'a' {
                    vec![self.pop()?]
                } else {
                    self.pop_mark()?
                };
                self.append(items)?;
            }
            b's' | b'u' => {
                let items = if opcode == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.pop_mark()?
                };
                self.insert(&items)?;
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memorise(opcode)?,
            b'c' | 0x93 | b'i' | b'o' | b'R' | 0x81 | 0x92 | b'b' => self.construct(opcode)?,
            b'P' | b'Q' => {
                let id = match opcode {
                    b'Q' => self.pop()?,
                    _ => {
                        let line = self.input.text_line()?;
                        self.heap.add(Node::Text(Cow::Borrowed(line)))?
                    }
                };
                let value = self.resolve(id)?;
                self.stack.push(value);
            }
            0x80 => {
                let protocol = self.input.byte()?;
                if protocol > 5 {
                    return Err(format!("expected protocols 0 to 5, got {protocol}"));
                }
            }
            // The length of a frame says nothing that the instructions do not say.
            0x95 => drop(self.input.number(8)?),
            0x82..=0x84 => return Err("the pickle asks for Python's extension registry".to_owned()),
            0x97 | 0x98 => return Err("the pickle asks for buffers outside of it".to_owned()),
            other => return Err(format!("no instruction is {other:#04x}")),
        }
        Ok(())
    }

    /// Counts bytes that are made of a string; every string makes them once in a genuine pickle.
    pub(super) fn charge_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.made = self.made.saturating_add(bytes);
        if self.made > self.input.position() {
            return Err("the pickle makes more bytes than it holds".to_owned());
        }
        Ok(())
    }

    fn push(&mut self, node: Node<'p>) -> Result<(), String> {
        let value = self.heap.add(node)?;
        self.stack.push(value);
        Ok(())
    }

    /// The height below which an instruction may not reach: that of the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value, String> {
        let above = &self.stack[self.floor()..];
        above.last().copied().ok_or_else(nothing_there)
    }

    fn pop(&mut self) -> Result<Value, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// POP takes a mark where there is nothing above it.
    fn drop_top(&mut self) -> Result<(), String> {
        if self.pop().is_err() {
            self.marks.pop().ok_or_else(nothing_there)?;
        }
        Ok(())
    }

    /// What lies above the last mark, which goes too.
    fn pop_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("an instruction needs a mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn scalar(&mut self, opcode: u8) -> Result<Value, String> {
        Ok(match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(opcode == 0x88),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.input.array()?))),
            b'K' => Value::Int(i64::from(self.input.byte()?)),
            b'M' => Value::Int(self.input.number(2)? as i64),
            b'I' => match self.input.text_line()? {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                digits => self.decimal(digits)?,
            },
            b'L' => {
                let line = self.input.text_line()?;
                self.decimal(line.strip_suffix('L').unwrap_or(line))?
            }
            0x8a | 0x8b => {
                let length = self.input.length(if opcode == 0x8a { 1 } else { 4 })?;
                let bytes = self.input.take(length)?;
                match long(bytes) {
                    Some(number) => Value::Int(number),
                    None => self.heap.add(Node::Long)?,
                }
            }
            b'F' => {
                let line = self.input.text_line()?;
                let number = line.trim().parse();
                Value::Float(number.map_err(|_| format!("`{line}` is no number"))?)
            }
            _ => Value::Float(f64::from_be_bytes(self.input.array()?)),
        })
    }

    fn decimal(&mut self, digits: &str) -> Result<Value, String> {
        let bare = digits.trim().trim_start_matches('-');
        if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("`{digits}` is no integer"));
        }
        match digits.trim().parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => self.heap.add(Node::Long),
        }
    }

    fn string(&mut self, opcode: u8) -> Result<Node<'p>, String> {
        // Python 2's strings are bytes, and PyTorch reads them as UTF-8.
        let of_python_2 = |bytes: Cow<'p, [u8]>| match bytes {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Node::Text(Cow::Borrowed(text)),
                Err(_) => Node::Bytes(Cow::Borrowed(bytes)),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Node::Text(Cow::Owned(text)),
                Err(error) => Node::Bytes(Cow::Owned(error.into_bytes())),
            },
        };
        let width = match opcode {
            b'S' => {
                let bytes = legacy_text::quoted(self.input.line()?)?;
                return Ok(of_python_2(Cow::Owned(bytes)));
            }
            b'V' => {
                let text = legacy_text::raw_unicode(self.input.line()?)?;
                return Ok(Node::Text(Cow::Owned(text)));
            }
            b'U' | b'C' | 0x8c => 1,
            b'T' | b'X' | b'B' => 4,
            _ => 8,
        };
        let length = self.input.length(width)?;
        let bytes = self.input.take(length)?;
        Ok(match opcode {
            b'T' | b'U' => of_python_2(Cow::Borrowed(bytes)),
            b'B' | b'C' | 0x8e | 0x96 => Node::Bytes(Cow::Borrowed(bytes)),
            _ => {
                let text = std::str::from_utf8(bytes).map_err(|_| "a string is no UTF-8")?;
                Node::Text(Cow::Borrowed(text))
            }
        })
    }

    fn container(&mut self, opcode: u8) -> Result<Node<'p>, String> {
        Ok(match opcode {
            b'}' => Node::Dict(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            b']' | 0x8f => Node::List(Vec::new()),
            b'd' => Node::Dict(pairs(&self.pop_mark()?)?),
            b'l' | 0x91 => Node::List(self.pop_mark()?),
            b't' => Node::Tuple(self.pop_mark()?),
            _ => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count);
                let start = start.filter(|&start| start >= self.floor());
                Node::Tuple(self.stack.split_off(start.ok_or_else(nothing_there)?))
            }
        })
    }

    /// Appends items to the list on top of the stack.
    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Value::Ref(id) = self.top()? else {
            return Err("items are appended to no list".to_owned());
        };
        match self.heap.node_mut(id) {
            Node::List(list) => list.extend(items),
            Node::Object(object) => {
                let items = items.into_iter().map(|item| (Value::None, item));
                object.items.extend(items);
            }
            _ => return Err("items are appended to no list".to_owned()),
        }
        Ok(())
    }

    /// Sets entries of the dictionary on top of the stack.
    fn insert(&mut self, items: &[Value]) -> Result<(), String> {
        let pairs = pairs(items)?;
        let Value::Ref(id) = self.top()? else {
            return Err("entries are set in no dictionary".to_owned());
        };
        match self.heap.node_mut(id) {
            Node::Dict(entries) => entries.extend(pairs),
            Node::Object(object) => object.items.extend(pairs),
            _ => return Err("entries are set in no dictionary".to_owned()),
        }
        Ok(())
    }

    /// PUT and GET.
    fn memorise(&mut self, opcode: u8) -> Result<(), String> {
        let place = match opcode {
            b'g' | b'p' => {
                let line = self.input.text_line()?;
                line.trim()
                    .parse()
                    .map_err(|_| format!("`{line}` is no place of the memo"))?
            }
            b'h' | b'q' => self.input.length(1)?,
            b'j' | b'r' => self.input.length(4)?,
            _ => self.memo.len(),
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let held = self.memo.get(place).copied();
            self.stack
                .push(held.ok_or_else(|| format!("the memo has no place {place}"))?);
            return Ok(());
        }
        // A pickler numbers the places as it fills them.
        if place > self.instructions {
            return Err(format!("place {place} of the memo comes too early"));
        }
        let top = self.top()?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, Value::None);
        }
        self.memo[place] = top;
        Ok(())
    }

    /// Names, calls and attributes.
    fn construct(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'c' => {
                let (module, name) = (self.input.text_line()?, self.input.text_line()?);
                let class = self.name(module, name)?;
                self.stack.push(class);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.heap.text(module), self.heap.text(name))
                else {
                    return Err("a function is named by no string".to_owned());
                };
                let (module, name) = (module.to_owned(), name.to_owned());
                let class = self.name(&module, &name)?;
                self.stack.push(class);
            }
            b'i' => {
                let (module, name) = (self.input.text_line()?, self.input.text_line()?);
                let class = self.name(module, name)?;
                let args = self.pop_mark()?;
                self.instance(class, &args)?;
            }
            b'o' => {
                let mut args = self.pop_mark()?.into_iter();
                let class = args.next().ok_or_else(nothing_there)?;
                self.instance(class, args.as_slice())?;
            }
            b'R' => {
                let (args, function) = (self.pop()?, self.pop()?);
                let answer = self.call(function, args)?;
                self.stack.push(answer);
            }
            0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                let args = self.arguments(args)?;
                self.instance(class, &args)?;
            }
            0x92 => {
                let (named, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                let mut args = self.arguments(args)?;
                if self
                    .heap
                    .entries(named)
                    .is_none_or(|named| !named.is_empty())
                {
                    args.push(named);
                }
                self.instance(class, &args)?;
            }
            _ => self.build()?,
        }
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<Value, String> {
        let global = Global {
            name: format!("{module}.{name}"),
            role: Role::of(module, name),
        };
        self.heap.add(Node::Global(Box::new(global)))
    }

    /// The items of a tuple of arguments.
    pub(super) fn arguments(&mut self, args: Value) -> Result<Vec<Value>, String> {
        match self.heap.get(args) {
            Some(Node::Tuple(items)) => {
                let items = items.clone();
                self.charge(items.len())?;
                Ok(items)
            }
            _ => Err("the arguments of a call are no tuple".to_owned()),
        }
    }

    /// Counts work that grows with the values of one instruction as so many instructions.
    pub(super) fn charge(&mut self, values: usize) -> Result<(), String> {
        self.instructions = self.instructions.saturating_add(values);
        if self.instructions > MAX_INSTRUCTIONS {
            return Err(format!(
                "the pickle has more than {MAX_INSTRUCTIONS} instructions"
            ));
        }
        Ok(())
    }

    /// `class.__new__(class, *args)`.
    fn instance(&mut self, class: Value, args: &[Value]) -> Result<(), String> {
        let role = self.heap.global(class).map(|global| global.role);
        let made = match role {
            Some(Role::Understood(call @ (Call::Dict | Call::DefaultDict | Call::Sequence))) => {
                self.understood(call, args)?
            }
            Some(_) => self.object(class, !args.is_empty())?,
            None => return Err("an object has no class".to_owned()),
        };
        self.stack.push(made);
        Ok(())
    }

    /// An object that is kept as data.
    pub(super) fn object(&mut self, class: Value, called: bool) -> Result<Value, String> {
        let (Value::Ref(class), Some(_)) = (class, self.heap.global(class)) else {
            return Err("an object has no class".to_owned());
        };
        self.heap.add(Node::Object(Box::new(Object {
            class,
            called,
            state: Value::None,
            items: Vec::new(),
        })))
    }

    /// BUILD: the attributes of the object below them.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let Value::Ref(id) = self.top()? else {
            return Err("attributes are given to a number".to_owned());
        };
        match self.heap.node_mut(id) {
            Node::Object(object) if object.state == Value::None => object.state = state,
            Node::Object(_) => return Err("an object gets its attributes twice".to_owned()),
            // Attributes of a class or a function: nothing that data needs.
            Node::Global(global) => {
                let name = super::value::shown(&global.name);
                return Err(format!("the pickle changes `{name}`"));
            }
            // `OrderedDict._metadata`, attributes of a tensor: nothing that says what they hold.
            _ => {}
        }
        Ok(())
    }
}

fn nothing_there() -> String {
    "an instruction finds nothing to work on".to_owned()
}

fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err("a key has no value".to_owned())
    }
}

/// A little-endian integer in two's complement; `None` beyond 64 bits.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let filler = if negative { 0xff } else { 0 };
    if bytes.len() > 8 && bytes[8..].iter().any(|&byte| byte != filler) {
        return None;
    }
    let mut whole = [filler; 8];
    let held = bytes.len().min(8);
    whole[..held].copy_from_slice(&bytes[..held]);
    let number = i64::from_le_bytes(whole);
    (bytes.len() <= 8 || (number < 0) == negative).then_some(number)
}
