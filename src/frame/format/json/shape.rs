//! What the values of a JSON column have in common: a lattice over nested values, of
//! which [`Kind`] is the flat part. What does not mix becomes text, as JSON.

use super::node::Node;
use crate::frame::format::kind::Kind;
use crate::frame::instant::Instant;
use std::collections::HashMap;

/// The narrowest shape that holds all values seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Flat(Kind),
    List(Box<Shape>),
    Object(Fields),
}

/// Fields of objects, in order of appearance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields {
    fields: Vec<(String, Shape)>,
    positions: HashMap<String, usize>,
}

impl Shape {
    pub const NULL: Shape = Shape::Flat(Kind::Null);
    const TEXT: Shape = Shape::Flat(Kind::Text);

    /// The shape of one value; `dates`: whether text may be a date.
    pub fn of(node: &Node<'_>, dates: bool) -> Shape {
        match node {
            Node::Null => Shape::NULL,
            Node::Bool(_) => Shape::Flat(Kind::Bool),
            Node::Int(_) => Shape::Flat(Kind::Int),
            Node::Beyond(_) => Shape::Flat(Kind::Digits),
            Node::Float(_) => Shape::Flat(Kind::Float),
            Node::Text(text) => Shape::Flat(match Instant::parse(text.as_bytes()) {
                Some(instant) if dates => instant_kind(instant),
                _ => Kind::Text,
            }),
            Node::List(items) => {
                let mut shape = Shape::NULL;
                for item in items {
                    shape.join(Shape::of(item, dates));
                }
                Shape::List(Box::new(shape))
            }
            Node::Object(fields) => {
                let mut object = Fields::default();
                for (position, (name, value)) in fields.iter().enumerate() {
                    object.join(position, name, Shape::of(value, dates));
                }
                Shape::Object(object)
            }
        }
    }

    /// Widens the shape to hold another; whether that changed it.
    pub fn join(&mut self, other: Shape) -> bool {
        match (&mut *self, other) {
            (_, Shape::NULL) => false,
            (same, other) if *same == Shape::NULL => {
                *same = other;
                true
            }
            (Shape::Flat(kind), Shape::Flat(other)) => {
                let joined = kind.join(other);
                let changed = joined != *kind;
                *kind = joined;
                changed
            }
            (Shape::List(items), Shape::List(other)) => items.join(*other),
            (Shape::Object(fields), Shape::Object(other)) => fields.join_all(other),
            (same, _) => {
                let changed = *same != Shape::TEXT;
                *same = Shape::TEXT;
                changed
            }
        }
    }
}

/// The kind of a date or timestamp.
fn instant_kind(instant: Instant) -> Kind {
    let nanos = instant.needs_nanos();
    match instant {
        Instant::Date(_) => Kind::Date,
        _ if nanos && instant.nanos().is_none() => Kind::Text,
        Instant::Local(..) => Kind::Local { nanos },
        Instant::Zoned(..) => Kind::Zoned { nanos },
    }
}

impl Fields {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(String, Shape)> {
        self.fields.iter()
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Where a field is. Records mostly have the same fields in the same order, so that
    /// `expected` is tried first.
    #[inline]
    pub fn position(&self, expected: usize, name: &str) -> Option<usize> {
        match self.fields.get(expected) {
            Some((known, _)) if known == name => Some(expected),
            _ => self.positions.get(name).copied(),
        }
    }

    /// Widens one field; whether that changed anything.
    pub fn join(&mut self, expected: usize, name: &str, shape: Shape) -> bool {
        if let Some(position) = self.position(expected, name)
            && let Some((_, known)) = self.fields.get_mut(position)
        {
            return known.join(shape);
        }
        self.positions.insert(name.to_owned(), self.fields.len());
        self.fields.push((name.to_owned(), shape));
        true
    }

    /// Widens all fields; whether that changed anything.
    pub fn join_all(&mut self, other: Fields) -> bool {
        let mut changed = false;
        for (position, (name, shape)) in other.fields.into_iter().enumerate() {
            changed |= self.join(position, &name, shape);
        }
        changed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::frame::format::json::node::Parser;
    use proptest::prelude::*;

    fn shape(text: &str) -> Shape {
        Shape::of(&Parser::new(text).only().unwrap(), true)
    }

    #[test]
    fn shapes() {
        assert_eq!(shape("5"), Shape::Flat(Kind::Int));
        assert_eq!(shape("18446744073709551615"), Shape::Flat(Kind::Digits));
        assert_eq!(
            shape("\"2024-01-01T00:00:00Z\""),
            Shape::Flat(Kind::Zoned { nanos: false })
        );
        assert_eq!(
            shape("[1, 2.5, null]"),
            Shape::List(Box::new(Shape::Flat(Kind::Float)))
        );
        assert_eq!(shape("[1, \"a\"]"), Shape::List(Box::new(Shape::TEXT)));
        let mut mixed = shape("{\"a\": 1}");
        assert!(mixed.join(shape("{\"b\": [1], \"a\": null}")));
        let Shape::Object(fields) = &mixed else {
            panic!()
        };
        assert_eq!(
            fields
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(mixed.join(shape("3")));
        assert_eq!(mixed, Shape::TEXT);
        assert!(!mixed.join(shape("[3]")));
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        let flat = prop::sample::select(vec![
            Kind::Null,
            Kind::Bool,
            Kind::Int,
            Kind::Float,
            Kind::Date,
            Kind::Text,
        ]);
        flat.prop_map(Shape::Flat).prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|item| Shape::List(Box::new(item))),
                prop::collection::vec(("[ab]", inner), 0..3).prop_map(|fields| {
                    let mut object = Fields::default();
                    for (position, (name, shape)) in fields.into_iter().enumerate() {
                        object.join(position, &name, shape);
                    }
                    Shape::Object(object)
                }),
            ]
        })
    }

    /// The shape with its fields in the order of their names.
    fn sorted(shape: &Shape) -> Shape {
        match shape {
            Shape::Flat(kind) => Shape::Flat(*kind),
            Shape::List(item) => Shape::List(Box::new(sorted(item))),
            Shape::Object(fields) => {
                let mut all: Vec<_> = fields.iter().collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                let mut object = Fields::default();
                for (position, (name, shape)) in all.into_iter().enumerate() {
                    object.join(position, name, sorted(shape));
                }
                Shape::Object(object)
            }
        }
    }

    proptest! {
        #[test]
        fn order_does_not_matter(a in any_shape(), b in any_shape(), c in any_shape()) {
            let join = |shapes: [&Shape; 3]| {
                let mut joined = Shape::NULL;
                shapes.into_iter().for_each(|shape| { joined.join(shape.clone()); });
                sorted(&joined)
            };
            let all = join([&a, &b, &c]);
            prop_assert_eq!(&all, &join([&c, &a, &b]));
            let mut again = all.clone();
            prop_assert!(!again.join(b));
        }
    }
}
