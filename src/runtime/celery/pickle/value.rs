//! The values that a pickle is made of.
//!
//! Containers are shared, not copied: a value that a pickle mentions twice is one
//! allocation here, and is written as one again.

use super::BigInt;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A Python value.
#[derive(Clone)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// An integer that needs more.
    Big(Arc<BigInt>),
    /// `float`; equal when the bits are.
    Float(f64),
    /// `str`
    Str(Arc<str>),
    /// `bytes`
    Bytes(Arc<[u8]>),
    /// `bytearray`
    ByteArray(Arc<[u8]>),
    /// `list`
    List(Arc<Vec<Value>>),
    /// `tuple`
    Tuple(Arc<[Value]>),
    /// `dict`
    Dict(Arc<Dict>),
    /// `set`; equal in any order.
    Set(Arc<Vec<Value>>),
    /// `frozenset`; equal in any order.
    FrozenSet(Arc<Vec<Value>>),
    /// A class or a function, by name.
    Global(Arc<Global>),
    /// What a class or function would make.
    Object(Arc<Object>),
}

/// A class or function by name; never looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Global {
    /// `collections`
    pub module: String,
    /// `Counter`
    pub name: String,
}

impl Global {
    /// `module.name`
    pub fn new(module: &str, name: &str) -> Self {
        Global {
            module: module.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether it is `module.name`.
    pub fn is(&self, module: &str, name: &str) -> bool {
        self.module == module && self.name == name
    }
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// How an object is made when Python reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Made {
    /// `class(*args)`
    Call,
    /// `class.__new__(class, *args)`
    New,
    /// `class.__new__(class, *args, **kwargs)`; the value is a dict.
    NewWith(Value),
}

/// An object as a recipe: what would be called, with what, and what is then put into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// The class or function.
    pub class: Arc<Global>,
    /// How it is made.
    pub made: Made,
    /// Positional arguments.
    pub args: Arc<[Value]>,
    /// What `__setstate__` or the attributes get.
    pub state: Option<Value>,
    /// What is appended to it.
    pub items: Vec<Value>,
    /// What is set in it.
    pub pairs: Vec<(Value, Value)>,
}

/// A `dict`: pairs in order, each key once.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Dict(Vec<(Value, Value)>);

impl Dict {
    /// The dict of `pairs`; of pairs with the same key the first gives the place, the last
    /// the value.
    pub fn new(pairs: Vec<(Value, Value)>) -> Self {
        let mut seen = HashSet::with_capacity(pairs.len());
        if pairs.iter().all(|(key, _)| seen.insert(key)) {
            return Dict(pairs);
        }
        drop(seen);
        let mut places: HashMap<Value, usize> = HashMap::with_capacity(pairs.len());
        let mut unique: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match places.get(&key).and_then(|place| unique.get_mut(*place)) {
                Some(slot) => slot.1 = value,
                None => {
                    places.insert(key.clone(), unique.len());
                    unique.push((key, value));
                }
            }
        }
        Dict(unique)
    }

    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(k, _)| k.as_str() == Some(key));
        found.map(|(_, value)| value)
    }

    /// The pairs in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Value, Value)> {
        self.0.iter()
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Dict {
    type Item = &'a (Value, Value);
    type IntoIter = std::slice::Iter<'a, (Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The user's credentials travel as the keyword argument `__auth` and stay out of logs.
impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self {
            match key.as_str() {
                Some("__auth") => map.entry(key, &"***"),
                _ => map.entry(key, value),
            };
        }
        map.finish()
    }
}

impl Value {
    /// A list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Value::List(Arc::new(items.into_iter().collect()))
    }

    /// A tuple.
    pub fn tuple(items: impl IntoIterator<Item = Value>) -> Self {
        Value::Tuple(items.into_iter().collect())
    }

    /// A dict with text keys.
    pub fn dict<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
        Value::Dict(Arc::new(Dict::new(pairs.collect())))
    }

    /// `module.name`
    pub fn global(module: &str, name: &str) -> Self {
        Value::Global(Arc::new(Global::new(module, name)))
    }

    /// What calling `module.name` with `args` makes.
    pub fn call(module: &str, name: &str, args: impl IntoIterator<Item = Value>) -> Self {
        Object::call(module, name, args).into()
    }

    /// Text, if it is a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// An integer of 64 bits; booleans are none.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A number: `float` or `int`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// `True`, `False`
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub fn as_items(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A dict.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Value::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// An object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The bytes of `bytes` and `bytearray`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) | Value::ByteArray(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// Whether Python lets it be a key.
    pub fn is_hashable(&self) -> bool {
        match self {
            Value::ByteArray(_) | Value::List(_) | Value::Dict(_) | Value::Set(_) => false,
            Value::Tuple(items) => items.iter().all(Value::is_hashable),
            _ => true,
        }
    }

    /// What Python calls its type.
    pub fn type_name(&self) -> &str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Big(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::ByteArray(_) => "bytearray",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Set(_) => "set",
            Value::FrozenSet(_) => "frozenset",
            Value::Global(_) => "type",
            Value::Object(object) => &object.class.name,
        }
    }
}

impl Object {
    /// What calling `module.name` with `args` makes.
    pub fn call(module: &str, name: &str, args: impl IntoIterator<Item = Value>) -> Self {
        Object {
            class: Arc::new(Global::new(module, name)),
            made: Made::Call,
            args: args.into_iter().collect(),
            state: None,
            items: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// The same with a state.
    pub fn with_state(mut self, state: Value) -> Self {
        self.state = Some(state);
        self
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(Arc::new(object))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::None, Into::into)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Big(a), Value::Big(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) | (Value::ByteArray(a), Value::ByteArray(b)) => {
                a == b
            }
            (Value::List(a), Value::List(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Tuple(a), Value::Tuple(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Dict(a), Value::Dict(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Set(a), Value::Set(b)) | (Value::FrozenSet(a), Value::FrozenSet(b)) => {
                a.len() == b.len() && {
                    let members: HashSet<&Value> = a.iter().collect();
                    b.iter().all(|item| members.contains(item))
                }
            }
            (Value::Global(a), Value::Global(b)) => a == b,
            (Value::Object(a), Value::Object(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Value::None => {}
            Value::Bool(value) => value.hash(state),
            Value::Int(number) => number.hash(state),
            Value::Big(number) => number.hash(state),
            Value::Float(number) => number.to_bits().hash(state),
            Value::Str(text) => text.hash(state),
            Value::Bytes(bytes) | Value::ByteArray(bytes) => bytes.hash(state),
            Value::List(items) => items.hash(state),
            Value::Tuple(items) => items.hash(state),
            Value::Dict(dict) => dict.hash(state),
            // Equal in any order, so the members' hashes are added up.
            Value::Set(items) | Value::FrozenSet(items) => {
                let members = items.iter().map(|item| {
                    let mut hasher = DefaultHasher::new();
                    item.hash(&mut hasher);
                    hasher.finish()
                });
                members.fold(0, u64::wrapping_add).hash(state);
            }
            Value::Global(global) => global.hash(state),
            Value::Object(object) => object.hash(state),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("None"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(number) => number.fmt(f),
            Value::Big(number) => number.fmt(f),
            Value::Float(number) => number.fmt(f),
            Value::Str(text) => text.fmt(f),
            Value::Bytes(bytes) => write!(f, "bytes{bytes:?}"),
            Value::ByteArray(bytes) => write!(f, "bytearray{bytes:?}"),
            Value::List(items) => items.fmt(f),
            Value::Tuple(items) => write!(f, "tuple{items:?}"),
            Value::Dict(dict) => dict.fmt(f),
            Value::Set(items) => write!(f, "set{items:?}"),
            Value::FrozenSet(items) => write!(f, "frozenset{items:?}"),
            Value::Global(global) => write!(f, "<{global}>"),
            Value::Object(object) => object.fmt(f),
        }
    }
}
