//! Conditions on documents, put together and written as a filter of MongoDB. Knows nothing
//! of tables or of what the values mean.

use bson::{Bson, Document, doc};

/// Which documents.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// All documents.
    Always,
    /// None.
    Never,
    /// The field at the path equals one of these.
    In(String, Vec<Bson>),
    /// The field equals none of these.
    NotIn(String, Vec<Bson>),
    /// An operator on the field, and what it takes.
    Op(String, &'static str, Bson),
    /// All of several.
    All(Vec<Condition>),
    /// Any of several.
    Any(Vec<Condition>),
}

impl Condition {
    /// The documents that satisfy all of `parts`.
    pub fn all(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut all: Vec<Condition> = Vec::new();
        for part in parts {
            match part {
                Condition::Always => {}
                Condition::Never => return Condition::Never,
                Condition::All(parts) => parts.into_iter().for_each(|part| both(&mut all, part)),
                part => both(&mut all, part),
            }
        }
        single(all, Condition::Always, Condition::All)
    }

    /// The documents that satisfy any of `parts`.
    pub fn any(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut any: Vec<Condition> = Vec::new();
        for part in parts {
            match part {
                Condition::Never => {}
                Condition::Always => return Condition::Always,
                Condition::Any(parts) => parts.into_iter().for_each(|part| either(&mut any, part)),
                part => either(&mut any, part),
            }
        }
        single(any, Condition::Never, Condition::Any)
    }

    /// The condition as a filter.
    pub fn filter(self) -> Document {
        match self {
            Condition::Always => Document::new(),
            Condition::Never => doc! { "_id": { "$in": [] } },
            Condition::In(path, mut values) if values.len() == 1 => {
                doc! { path: values.remove(0) }
            }
            Condition::Any(parts) => {
                let parts: Vec<Document> = parts.into_iter().map(Condition::filter).collect();
                doc! { "$or": parts }
            }
            Condition::All(parts) => conjunction(parts),
            leaf => {
                let mut filter = Document::new();
                if let Some((path, operator, value)) = leaf.leaf() {
                    filter.insert(path, doc! { operator: value });
                }
                filter
            }
        }
    }

    /// A condition on one field as path, operator and operand; always and never are none,
    /// and never part of a conjunction.
    fn leaf(self) -> Option<(String, &'static str, Bson)> {
        let one_or =
            |one: &'static str, many: &'static str, mut values: Vec<Bson>| match values.len() {
                1 => (one, values.remove(0)),
                _ => (many, Bson::Array(values)),
            };
        match self {
            Condition::In(path, values) => {
                let (operator, value) = one_or("$eq", "$in", values);
                Some((path, operator, value))
            }
            Condition::NotIn(path, values) => {
                let (operator, value) = one_or("$ne", "$nin", values);
                Some((path, operator, value))
            }
            Condition::Op(path, operator, value) => Some((path, operator, value)),
            _ => None,
        }
    }
}

fn single(
    mut parts: Vec<Condition>,
    none: Condition,
    several: fn(Vec<Condition>) -> Condition,
) -> Condition {
    match parts.len() {
        0 => none,
        1 => parts.remove(0),
        _ => several(parts),
    }
}

/// Adds a part of a conjunction; values that one field must not have go together.
fn both(all: &mut Vec<Condition>, part: Condition) {
    match part {
        Condition::NotIn(path, values) => {
            let known = all.iter_mut().find_map(|known| match known {
                Condition::NotIn(other, known) if *other == path => Some(known),
                _ => None,
            });
            match known {
                Some(known) => extend(known, values),
                None => all.push(Condition::NotIn(path, values)),
            }
        }
        part if all.contains(&part) => {}
        part => all.push(part),
    }
}

/// Adds a part of a disjunction; values that one field may have go together.
fn either(any: &mut Vec<Condition>, part: Condition) {
    match part {
        Condition::In(path, values) => {
            let known = any.iter_mut().find_map(|known| match known {
                Condition::In(other, known) if *other == path => Some(known),
                _ => None,
            });
            match known {
                Some(known) => extend(known, values),
                None => any.push(Condition::In(path, values)),
            }
        }
        part if any.contains(&part) => {}
        part => any.push(part),
    }
}

/// Nulls are added by every comparison; other values seldom come twice.
fn extend(known: &mut Vec<Bson>, more: Vec<Bson>) {
    let is_nan = |value: &Bson| value.as_f64().is_some_and(f64::is_nan);
    for value in more {
        let again = match &value {
            Bson::Null => known.contains(&Bson::Null),
            value if is_nan(value) => known.iter().any(is_nan),
            _ => false,
        };
        if !again {
            known.push(value);
        }
    }
}

/// One document with an entry for each field, as far as their operators differ.
fn conjunction(parts: Vec<Condition>) -> Document {
    let mut whole = Document::new();
    let mut more: Vec<Document> = Vec::new();
    for part in parts {
        let part = match part {
            Condition::All(_) | Condition::Any(_) => {
                more.push(part.filter());
                continue;
            }
            part => part,
        };
        let Some((path, operator, value)) = part.leaf() else {
            continue;
        };
        match whole.get_mut(&path) {
            None => {
                whole.insert(path, doc! { operator: value });
            }
            Some(Bson::Document(operators)) if !operators.contains_key(operator) => {
                operators.insert(operator, value);
            }
            Some(_) => more.push(doc! { path: { operator: value } }),
        }
    }
    match (whole.is_empty(), more.len()) {
        (_, 0) => whole,
        (true, 1) => more.remove(0),
        (true, _) => doc! { "$and": more },
        (false, _) => {
            let mut all = vec![whole];
            all.append(&mut more);
            doc! { "$and": all }
        }
    }
}
