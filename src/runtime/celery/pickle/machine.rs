//! The stack machine that reads a pickle: its stack, its memory, and the steps that its
//! opcodes are made of.

use super::arena::{Arena, Node, Recipe, RecipeMade, Slot, lost};
use super::decode::Limits;
use super::input::{
    Input, ascii_or_bytes, float, latin1, raw_unicode, text_escapes, too_long, utf8,
};
use super::memo::Memo;
use super::opcode as op;
use super::value::{Global, Value};
use super::{allowed, big};
use crate::error::{Error, Result};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Names {
    Allowed,
    Any,
}

pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) length: usize,
    pub(super) limits: &'a Limits,
    pub(super) names: Names,
    pub(super) steps: usize,
    pub(super) stack: Vec<Slot>,
    pub(super) marks: Vec<usize>,
    pub(super) arena: Arena,
    pub(super) memo: Memo,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], limits: &'a Limits, names: Names) -> Result<Self> {
        if input.len() > limits.bytes {
            return Err(Error::invalid(format!(
                "the message has {} bytes, more than the {} allowed",
                input.len(),
                limits.bytes
            )));
        }
        Ok(Machine {
            input: Input(input),
            length: input.len(),
            limits,
            names,
            steps: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            arena: Arena::default(),
            memo: Memo::default(),
        })
    }

    pub(super) fn push(&mut self, slot: Slot) -> Result<()> {
        self.steps += 1;
        self.stack.push(slot);
        Ok(())
    }

    pub(super) fn plain(&mut self, value: Value) -> Result<()> {
        self.push(Slot::Plain(value))
    }

    pub(super) fn node(&mut self, node: Node) -> Result<()> {
        let slot = self.arena.add(node);
        self.push(slot)
    }

    /// The lowest place that an opcode may take from: what is below a mark stays.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Slot> {
        if self.stack.len() <= self.floor() {
            return Err(lost());
        }
        self.stack.pop().ok_or_else(lost)
    }

    pub(super) fn top(&self) -> Result<&Slot> {
        let top = self
            .stack
            .last()
            .filter(|_| self.stack.len() > self.floor());
        top.ok_or_else(lost)
    }

    pub(super) fn last(&mut self, count: usize) -> Result<Vec<Slot>> {
        let start = self.stack.len().checked_sub(count).ok_or_else(lost)?;
        if start < self.floor() {
            return Err(lost());
        }
        Ok(self.stack.split_off(start))
    }

    pub(super) fn since_mark(&mut self) -> Result<Vec<Slot>> {
        let mark = self.marks.pop().ok_or_else(lost)?;
        if mark > self.stack.len() {
            return Err(lost());
        }
        Ok(self.stack.split_off(mark))
    }

    /// The container on top of the stack.
    pub(super) fn container(&mut self) -> Result<&mut Node> {
        let top = self.top()?.clone();
        self.arena.node(&top).ok_or_else(lost)
    }

    pub(super) fn extend(&mut self, more: Vec<Slot>) -> Result<()> {
        match self.container()? {
            Node::List(items) => items.extend(more),
            Node::Object(recipe) => recipe.items.extend(more),
            _ => return Err(lost()),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, more: Vec<(Slot, Slot)>) -> Result<()> {
        match self.container()? {
            Node::Dict(pairs) => pairs.extend(more),
            Node::Object(recipe) => recipe.pairs.extend(more),
            _ => return Err(lost()),
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, index: u64) -> Result<()> {
        self.steps += 1;
        let top = self.top()?.clone();
        self.memo.put(index, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, index: u64) -> Result<()> {
        let slot = self.memo.get(index).ok_or_else(lost)?.clone();
        self.push(slot)
    }

    pub(super) fn global(&self, module: &str, name: &str) -> Result<Arc<Global>> {
        let global = allowed::current(module, name);
        if self.names == Names::Allowed {
            allowed::check(&global)?;
        }
        Ok(Arc::new(global))
    }

    pub(super) fn make(&mut self, class: Arc<Global>, args: Slot, made: RecipeMade) -> Result<()> {
        self.node(Node::Object(Box::new(Recipe {
            class,
            args,
            made,
            state: None,
            items: Vec::new(),
            pairs: Vec::new(),
        })))
    }

    /// What a call makes. The few functions by which older protocols write plain values
    /// are known; the rest stays a recipe.
    pub(super) fn call(&mut self, class: Arc<Global>, args: Slot) -> Result<()> {
        let items = match self.arena.node(&args) {
            Some(Node::Tuple(items)) if items.len() <= 3 => items.clone(),
            Some(Node::Tuple(_)) => return self.make(class, args, RecipeMade::Call),
            _ => return Err(lost()),
        };
        match (class.module.as_str(), class.name.as_str(), items.as_slice()) {
            ("_codecs", "encode", [Slot::Plain(Value::Str(text)), Slot::Plain(Value::Str(by))])
                if matches!(&**by, "latin1" | "latin-1") =>
            {
                let bytes = latin1(text)?;
                self.charge(bytes.len());
                self.plain(Value::Bytes(bytes.into()))
            }
            ("builtins", "bytes", []) => self.plain(Value::Bytes([].into())),
            ("builtins", "bytearray", []) => self.plain(Value::ByteArray([].into())),
            ("builtins", "bytearray", [Slot::Plain(Value::Bytes(bytes))]) => {
                self.plain(Value::ByteArray(bytes.clone()))
            }
            (
                "builtins",
                "bytearray",
                [Slot::Plain(Value::Str(text)), Slot::Plain(Value::Str(by))],
            ) if matches!(&**by, "latin1" | "latin-1") => {
                let bytes = latin1(text)?;
                self.charge(bytes.len());
                self.plain(Value::ByteArray(bytes.into()))
            }
            ("builtins", "set", []) => self.node(Node::Set(Vec::new())),
            ("builtins", "frozenset", []) => self.node(Node::FrozenSet(Vec::new())),
            ("builtins", kind @ ("set" | "frozenset"), [list]) => {
                let members = match self.arena.node(list) {
                    Some(Node::List(items) | Node::Tuple(items)) => items.clone(),
                    _ => return Err(lost()),
                };
                self.charge(members.len());
                self.node(if kind == "set" {
                    Node::Set(members)
                } else {
                    Node::FrozenSet(members)
                })
            }
            ("copyreg", "__newobj__", [of, rest @ ..]) => {
                let class = class_of(of.clone())?;
                let args = self.arena.add(Node::Tuple(rest.to_vec()));
                self.make(class, args, RecipeMade::New)
            }
            ("copyreg", "_reconstructor", [of, base, state]) => {
                let class = class_of(of.clone())?;
                let base = class_of(base.clone())?;
                let args = match base.is("builtins", "object") {
                    true => Vec::new(),
                    false => vec![state.clone()],
                };
                let args = self.arena.add(Node::Tuple(args));
                self.make(class, args, RecipeMade::New)
            }
            _ => self.make(class, args, RecipeMade::Call),
        }
    }

    /// Counts work that the bytes of the input don't pay for.
    pub(super) fn charge(&mut self, items: usize) {
        self.steps = self.steps.saturating_add(items);
    }

    pub(super) fn integer(&mut self, width: usize) -> Result<()> {
        let number = self.input.number(width)?;
        self.plain(Value::Int(number.cast_signed()))
    }

    pub(super) fn long(&mut self, width: usize) -> Result<()> {
        let bytes = self.input.counted(width)?;
        if bytes.len() > big::MOST_BYTES {
            return Err(too_long());
        }
        self.plain(big::from_bytes(bytes))
    }

    pub(super) fn decimal(&mut self, opcode: u8) -> Result<()> {
        let line = self.input.line()?;
        let value = match (opcode, line) {
            (op::INT, "00") => Value::Bool(false),
            (op::INT, "01") => Value::Bool(true),
            (op::FLOAT, text) => Value::Float(float(text)?),
            (_, text) => {
                let digits = text.strip_suffix('L').unwrap_or(text);
                if digits.len() > big::MOST_DIGITS + 1 {
                    return Err(too_long());
                }
                big::from_decimal(digits).ok_or_else(lost)?
            }
        };
        self.plain(value)
    }

    pub(super) fn text(&mut self, width: usize) -> Result<()> {
        let text = utf8(self.input.counted(width)?)?.into();
        self.plain(Value::Str(text))
    }

    pub(super) fn bytes(&mut self, width: usize) -> Result<()> {
        let bytes = self.input.counted(width)?.into();
        self.plain(Value::Bytes(bytes))
    }

    /// Python 2's `str`: text if it is ASCII.
    pub(super) fn old_string(&mut self, width: usize) -> Result<()> {
        let bytes = self.input.counted(width)?;
        self.plain(ascii_or_bytes(bytes))
    }

    pub(super) fn quoted(&mut self) -> Result<()> {
        let line = self.input.line()?;
        let inner = ['\'', '"']
            .iter()
            .find_map(|quote| line.strip_prefix(*quote)?.strip_suffix(*quote));
        let bytes = text_escapes(inner.ok_or_else(lost)?)?;
        self.plain(ascii_or_bytes(&bytes))
    }

    /// Text of protocol 0: Latin-1 with `\u` escapes.
    pub(super) fn raw_unicode(&mut self) -> Result<()> {
        let text = raw_unicode(self.input.raw_line()?)?;
        self.plain(Value::Str(text.into()))
    }
}

pub(super) fn in_pairs(items: Vec<Slot>) -> Result<Vec<(Slot, Slot)>> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let Some(key) = items.next() {
        pairs.push((key, items.next().ok_or_else(lost)?));
    }
    Ok(pairs)
}

pub(super) fn class_of(slot: Slot) -> Result<Arc<Global>> {
    match slot {
        Slot::Plain(Value::Global(global)) => Ok(global),
        _ => Err(Error::invalid(
            "the pickle calls what is neither a class nor a function",
        )),
    }
}
