//! The reader of pickles: a stack machine over the opcodes that only ever builds values.
//!
//! Every opcode does work in proportion to the bytes that it takes or the items that it
//! consumes, every push is counted, and no allocation follows a length that the input
//! merely claims.

use super::arena::{Node, RecipeMade, Slot, lost};
use super::input::cut_off;
use super::machine::{Machine, Names, class_of, in_pairs};
use super::opcode as op;
use super::value::Value;
use crate::error::{Error, Result};

/// What one pickle may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the pickle.
    pub bytes: usize,
    /// Values pushed, marks set and values remembered.
    pub steps: usize,
    /// Lists, tuples, dicts, sets and objects.
    pub containers: usize,
    /// Containers in one another.
    pub depth: usize,
}

/// Far beyond any message that a broker takes with its usual settings.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 128 << 20,
            steps: 16 << 20,
            containers: 4 << 20,
            depth: 200,
        }
    }
}

/// Unpacked, values may weigh this much more than the pickle: room for small messages, and
/// a factor for those that mention a value often.
const UNPACKED_ROOM: u64 = 64 << 20;
const UNPACKED_FACTOR: u64 = 16;

/// Reads a pickle of protocol 0 to 5 within the usual [`Limits`].
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for what is no pickle, costs too much, or names a class or
/// function that messages may not contain.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    Machine::new(bytes, &Limits::default(), Names::Allowed)?.run()
}

/// Reads a pickle whatever it names: all of it is inert. For answers of tasks that failed
/// with an exception that nobody here knows; the caller decides what it lets through.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`], as [`decode`].
pub fn decode_any(bytes: &[u8], limits: &Limits) -> Result<Value> {
    Machine::new(bytes, limits, Names::Any)?.run()
}

impl Machine<'_> {
    fn run(mut self) -> Result<Value> {
        loop {
            let opcode = self.input.byte()?;
            if opcode == op::STOP {
                break;
            }
            self.step(opcode)?;
            if self.steps > self.limits.steps || self.arena.len() > self.limits.containers {
                return Err(Error::invalid("the message has more values than allowed"));
            }
        }
        let slot = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() || self.input.len() > 0 {
            return Err(Error::invalid("there is more after the end of the pickle"));
        }
        let allowance = UNPACKED_ROOM + UNPACKED_FACTOR * self.length as u64;
        self.arena.finish(&slot, self.limits, allowance)
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            op::PROTO => match self.input.byte()? {
                0..=5 => Ok(()),
                other => Err(Error::invalid(format!(
                    "pickle protocol {other} is not known"
                ))),
            },
            op::FRAME => {
                let length = self.input.number(8)?;
                match usize::try_from(length) {
                    Ok(length) if length <= self.input.len() => Ok(()),
                    _ => Err(cut_off()),
                }
            }
            op::NONE => self.plain(Value::None),
            op::NEWTRUE => self.plain(Value::Bool(true)),
            op::NEWFALSE => self.plain(Value::Bool(false)),
            op::BININT1 => self.integer(1),
            op::BININT2 => self.integer(2),
            op::BININT => {
                let number = self.input.number(4)? as u32;
                self.plain(Value::Int(i64::from(number.cast_signed())))
            }
            op::LONG1 => self.long(1),
            op::LONG4 => self.long(4),
            op::INT | op::LONG | op::FLOAT => self.decimal(opcode),
            op::BINFLOAT => {
                let bits = self
                    .input
                    .take(8)?
                    .iter()
                    .fold(0, |all, b| all << 8 | u64::from(*b));
                self.plain(Value::Float(f64::from_bits(bits)))
            }
            op::UNICODE => self.raw_unicode(),
            op::SHORT_BINUNICODE => self.text(1),
            op::BINUNICODE => self.text(4),
            op::BINUNICODE8 => self.text(8),
            op::SHORT_BINBYTES => self.bytes(1),
            op::BINBYTES => self.bytes(4),
            op::BINBYTES8 => self.bytes(8),
            op::BYTEARRAY8 => {
                let bytes = self.input.counted(8)?.into();
                self.plain(Value::ByteArray(bytes))
            }
            op::STRING => self.quoted(),
            op::SHORT_BINSTRING => self.old_string(1),
            op::BINSTRING => self.old_string(4),
            op::MARK => {
                self.steps += 1;
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(|_| ())
            }
            op::POP_MARK => self.since_mark().map(|_| ()),
            op::DUP => {
                let top = self.top()?.clone();
                self.push(top)
            }
            op::READONLY_BUFFER => Ok(()),
            op::EMPTY_LIST => self.node(Node::List(Vec::new())),
            op::EMPTY_TUPLE => self.node(Node::Tuple(Vec::new())),
            op::EMPTY_DICT => self.node(Node::Dict(Vec::new())),
            op::EMPTY_SET => self.node(Node::Set(Vec::new())),
            op::LIST => {
                let items = self.since_mark()?;
                self.node(Node::List(items))
            }
            op::TUPLE => {
                let items = self.since_mark()?;
                self.node(Node::Tuple(items))
            }
            op::FROZENSET => {
                let items = self.since_mark()?;
                self.node(Node::FrozenSet(items))
            }
            op::DICT => {
                let pairs = in_pairs(self.since_mark()?)?;
                self.node(Node::Dict(pairs))
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(opcode - op::TUPLE1) + 1;
                let items = self.last(count)?;
                self.node(Node::Tuple(items))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.extend(vec![item])
            }
            op::APPENDS => {
                let items = self.since_mark()?;
                self.extend(items)
            }
            op::ADDITEMS => {
                let items = self.since_mark()?;
                match self.container()? {
                    Node::Set(members) => {
                        members.extend(items);
                        Ok(())
                    }
                    _ => Err(lost()),
                }
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])
            }
            op::SETITEMS => {
                let pairs = in_pairs(self.since_mark()?)?;
                self.set(pairs)
            }
            op::PUT => {
                let index = self.input.line_number()?;
                self.remember(index)
            }
            op::BINPUT => {
                let index = self.input.number(1)?;
                self.remember(index)
            }
            op::LONG_BINPUT => {
                let index = self.input.number(4)?;
                self.remember(index)
            }
            op::MEMOIZE => {
                let index = self.memo.len();
                self.remember(index)
            }
            op::GET => {
                let index = self.input.line_number()?;
                self.recall(index)
            }
            op::BINGET => {
                let index = self.input.number(1)?;
                self.recall(index)
            }
            op::LONG_BINGET => {
                let index = self.input.number(4)?;
                self.recall(index)
            }
            op::GLOBAL => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                let global = self.global(module, name)?;
                self.plain(Value::Global(global))
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&module, &name) {
                    (Slot::Plain(Value::Str(module)), Slot::Plain(Value::Str(name))) => {
                        let global = self.global(module, name)?;
                        self.plain(Value::Global(global))
                    }
                    _ => Err(lost()),
                }
            }
            op::INST => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                let class = self.global(module, name)?;
                let args = self.since_mark()?;
                let args = self.arena.add(Node::Tuple(args));
                self.make(class, args, RecipeMade::Call)
            }
            op::OBJ => {
                let mut items = self.since_mark()?;
                if items.is_empty() {
                    return Err(lost());
                }
                let class = class_of(items.remove(0))?;
                let args = self.arena.add(Node::Tuple(items));
                self.make(class, args, RecipeMade::Call)
            }
            op::REDUCE => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.call(class_of(class)?, args)
            }
            op::NEWOBJ => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.make(class_of(class)?, args, RecipeMade::New)
            }
            op::NEWOBJ_EX => {
                let (kwargs, args) = (self.pop()?, self.pop()?);
                let class = class_of(self.pop()?)?;
                self.make(class, args, RecipeMade::NewWith(kwargs))
            }
            op::BUILD => {
                let state = self.pop()?;
                match self.container()? {
                    Node::Object(recipe) if recipe.state.is_none() => {
                        recipe.state = Some(state);
                        Ok(())
                    }
                    _ => Err(lost()),
                }
            }
            op::PERSID | op::BINPERSID => Err(Error::invalid(
                "persistent ids are not allowed in a message",
            )),
            op::EXT1 | op::EXT2 | op::EXT4 => Err(Error::invalid(
                "codes of registered extensions are not allowed in a message",
            )),
            op::NEXT_BUFFER => Err(Error::invalid(
                "the pickle refers to a buffer that is not part of it",
            )),
            other => Err(Error::invalid(format!(
                "this is no pickle: opcode 0x{other:02x} is not known"
            ))),
        }
    }
}
