//! What the values of a column have in common, found out over a whole file. Kinds form a
//! lattice: joining them in any order gives the same result, so that blocks can be looked
//! at in parallel.

use polars::prelude::{DataType, TimeUnit, TimeZone};

/// The narrowest kind that holds all values seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Nothing but nulls.
    Null,
    /// True and false.
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// Whole numbers, some beyond 64 bits: kept as text, for no digit shall be lost.
    Digits,
    /// Numbers.
    Float,
    /// Dates.
    Date,
    /// Timestamps without a zone; whether microseconds are too coarse.
    Local { nanos: bool },
    /// Timestamps with a zone; whether microseconds are too coarse.
    Zoned { nanos: bool },
    /// Anything.
    Text,
}

impl Kind {
    /// The narrowest kind that holds both.
    pub fn join(self, other: Kind) -> Kind {
        use Kind::{Date, Digits, Float, Int, Local, Null, Text, Zoned};
        match (self, other) {
            (same, other) if same == other => same,
            (Null, kind) | (kind, Null) => kind,
            (Int, Digits) | (Digits, Int) => Digits,
            (Int | Digits | Float, Int | Digits | Float) => Float,
            (Date, Local { nanos }) | (Local { nanos }, Date) => Local { nanos },
            (Local { nanos: a }, Local { nanos: b }) => Local { nanos: a | b },
            (Zoned { nanos: a }, Zoned { nanos: b }) => Zoned { nanos: a | b },
            _ => Text,
        }
    }

    /// The type of a column of this kind.
    pub fn dtype(self) -> DataType {
        let unit = |nanos| {
            if nanos {
                TimeUnit::Nanoseconds
            } else {
                TimeUnit::Microseconds
            }
        };
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Date => DataType::Date,
            Kind::Local { nanos } => DataType::Datetime(unit(nanos), None),
            Kind::Zoned { nanos } => DataType::Datetime(unit(nanos), Some(TimeZone::UTC)),
            Kind::Null | Kind::Digits | Kind::Text => DataType::String,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![
            Kind::Null,
            Kind::Bool,
            Kind::Int,
            Kind::Digits,
            Kind::Float,
            Kind::Date,
            Kind::Local { nanos: false },
            Kind::Local { nanos: true },
            Kind::Zoned { nanos: false },
            Kind::Zoned { nanos: true },
            Kind::Text,
        ])
    }

    proptest! {
        #[test]
        fn order_does_not_matter(a in kind(), b in kind(), c in kind()) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
        }
    }
}
