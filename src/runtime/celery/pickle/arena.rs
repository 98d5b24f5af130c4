//! Containers while a pickle is being read, when they still change and may mention
//! themselves; and the step that turns them into values, once, shared, and checked.

use super::decode::Limits;
use super::value::{Dict, Global, Made, Object, Value};
use crate::error::{Error, Result};
use std::sync::Arc;

/// A value on the stack: a finished one, or a container of the arena.
#[derive(Clone)]
pub(super) enum Slot {
    Plain(Value),
    Node(usize),
}

/// A container that is being filled.
pub(super) enum Node {
    List(Vec<Slot>),
    Tuple(Vec<Slot>),
    Dict(Vec<(Slot, Slot)>),
    Set(Vec<Slot>),
    FrozenSet(Vec<Slot>),
    Object(Box<Recipe>),
}

/// An object that is being described.
pub(super) struct Recipe {
    pub(super) class: Arc<Global>,
    pub(super) args: Slot,
    pub(super) made: RecipeMade,
    pub(super) state: Option<Slot>,
    pub(super) items: Vec<Slot>,
    pub(super) pairs: Vec<(Slot, Slot)>,
}

pub(super) enum RecipeMade {
    Call,
    New,
    NewWith(Slot),
}

/// A finished container: what it is, how deep, and how large it would be were nothing shared.
struct Done {
    value: Value,
    depth: usize,
    weight: u64,
}

enum State {
    Filling(Node),
    /// Being turned into a value: meeting it again means that it contains itself.
    Open,
    Done(Done),
}

/// All containers of one pickle.
#[derive(Default)]
pub(super) struct Arena(Vec<State>);

impl Arena {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, node: Node) -> Slot {
        self.0.push(State::Filling(node));
        Slot::Node(self.0.len() - 1)
    }

    /// The container of a slot, if it is one.
    pub(super) fn node(&mut self, slot: &Slot) -> Option<&mut Node> {
        match slot {
            Slot::Node(id) => match self.0.get_mut(*id) {
                Some(State::Filling(node)) => Some(node),
                _ => None,
            },
            Slot::Plain(_) => None,
        }
    }

    /// The value of `slot` with everything in it. `allowance` is the weight it may have.
    pub(super) fn finish(&mut self, slot: &Slot, limits: &Limits, allowance: u64) -> Result<Value> {
        let mut finish = Finish {
            arena: self,
            deepest: limits.depth,
            allowance,
        };
        let done = finish.slot(slot, 0)?;
        Ok(done.0)
    }
}

struct Finish<'a> {
    arena: &'a mut Arena,
    deepest: usize,
    allowance: u64,
}

/// A value, its depth, its weight.
type Measured = (Value, usize, u64);

impl Finish<'_> {
    fn slot(&mut self, slot: &Slot, above: usize) -> Result<Measured> {
        let id = match slot {
            Slot::Plain(value) => return Ok((value.clone(), 0, weight(value))),
            Slot::Node(id) => *id,
        };
        let state = self.arena.0.get_mut(id).ok_or_else(lost)?;
        let measured = match std::mem::replace(state, State::Open) {
            State::Open => {
                return Err(Error::invalid("a value of the message contains itself"));
            }
            State::Done(done) => (done.value, done.depth, done.weight),
            State::Filling(node) => {
                self.depth(above + 1)?;
                self.container(node, above + 1)?
            }
        };
        self.depth(above + measured.1)?;
        if measured.2 > self.allowance {
            return Err(Error::invalid(
                "the message repeats its values so often that it is too large unpacked",
            ));
        }
        if let Some(state) = self.arena.0.get_mut(id) {
            *state = State::Done(Done {
                value: measured.0.clone(),
                depth: measured.1,
                weight: measured.2,
            });
        }
        Ok(measured)
    }

    fn depth(&self, depth: usize) -> Result<()> {
        if depth > self.deepest {
            return Err(Error::invalid(format!(
                "the message is nested more than {} deep",
                self.deepest
            )));
        }
        Ok(())
    }

    fn container(&mut self, node: Node, above: usize) -> Result<Measured> {
        let mut size = Size::default();
        let value = match node {
            Node::List(items) => Value::List(Arc::new(self.items(&items, above, &mut size)?)),
            Node::Tuple(items) => Value::Tuple(self.items(&items, above, &mut size)?.into()),
            Node::Dict(pairs) => {
                let pairs = self.pairs(&pairs, above, &mut size)?;
                Value::Dict(Arc::new(Dict::new(keys(pairs)?)))
            }
            Node::Set(items) => Value::Set(Arc::new(self.members(&items, above, &mut size)?)),
            Node::FrozenSet(items) => {
                Value::FrozenSet(Arc::new(self.members(&items, above, &mut size)?))
            }
            Node::Object(recipe) => self.object(*recipe, above, &mut size)?,
        };
        Ok((value, size.depth + 1, size.weight.saturating_add(16)))
    }

    fn object(&mut self, recipe: Recipe, above: usize, size: &mut Size) -> Result<Value> {
        let Value::Tuple(args) = self.one(&recipe.args, above, size)? else {
            return Err(Error::invalid(format!(
                "the arguments of {} are no tuple",
                recipe.class
            )));
        };
        let made = match recipe.made {
            RecipeMade::Call => Made::Call,
            RecipeMade::New => Made::New,
            RecipeMade::NewWith(kwargs) => Made::NewWith(self.one(&kwargs, above, size)?),
        };
        let state = match &recipe.state {
            Some(state) => Some(self.one(state, above, size)?),
            None => None,
        };
        let object = Object {
            class: recipe.class,
            made,
            args,
            state,
            items: self.items(&recipe.items, above, size)?,
            pairs: keys(self.pairs(&recipe.pairs, above, size)?)?,
        };
        Ok(object.into())
    }

    fn one(&mut self, slot: &Slot, above: usize, size: &mut Size) -> Result<Value> {
        let (value, depth, weight) = self.slot(slot, above)?;
        size.depth = size.depth.max(depth);
        size.weight = size.weight.saturating_add(weight);
        if size.weight > self.allowance {
            return Err(Error::invalid(
                "the message repeats its values so often that it is too large unpacked",
            ));
        }
        Ok(value)
    }

    fn items(&mut self, slots: &[Slot], above: usize, size: &mut Size) -> Result<Vec<Value>> {
        slots
            .iter()
            .map(|slot| self.one(slot, above, size))
            .collect()
    }

    fn members(&mut self, slots: &[Slot], above: usize, size: &mut Size) -> Result<Vec<Value>> {
        let members = self.items(slots, above, size)?;
        members.iter().try_for_each(hashable)?;
        let mut seen = std::collections::HashSet::with_capacity(members.len());
        Ok(members
            .into_iter()
            .filter(|member| seen.insert(member.clone()))
            .collect())
    }

    fn pairs(
        &mut self,
        slots: &[(Slot, Slot)],
        above: usize,
        size: &mut Size,
    ) -> Result<Vec<(Value, Value)>> {
        slots
            .iter()
            .map(|(key, value)| Ok((self.one(key, above, size)?, self.one(value, above, size)?)))
            .collect()
    }
}

#[derive(Default)]
struct Size {
    depth: usize,
    weight: u64,
}

fn keys(pairs: Vec<(Value, Value)>) -> Result<Vec<(Value, Value)>> {
    pairs.iter().try_for_each(|(key, _)| hashable(key))?;
    Ok(pairs)
}

fn hashable(value: &Value) -> Result<()> {
    if value.is_hashable() {
        return Ok(());
    }
    let name = value.type_name();
    Err(Error::invalid(format!("a {name} cannot be a key")))
}

fn weight(value: &Value) -> u64 {
    8 + match value {
        Value::Str(text) => text.len() as u64,
        Value::Bytes(bytes) | Value::ByteArray(bytes) => bytes.len() as u64,
        Value::Big(number) => number.as_bytes().len() as u64,
        Value::Global(global) => (global.module.len() + global.name.len()) as u64,
        _ => 0,
    }
}

pub(super) fn lost() -> Error {
    Error::invalid("the pickle is malformed")
}
