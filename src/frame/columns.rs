//! Column names: errors about missing ones, and expressions that mean a name literally.

use crate::error::{Error, nearest};
use polars::prelude::{Expr, PlSmallStr};

/// How many columns an error lists.
const LISTED: usize = 20;

/// The error for a column that is not there, with the nearest name and the columns.
pub(crate) fn unknown_column<'a>(name: &str, columns: impl IntoIterator<Item = &'a str>) -> Error {
    let error = Error::not_found(format!("there is no column `{name}`"));
    let columns: Vec<&str> = columns.into_iter().collect();
    let names = columns.get(..LISTED).unwrap_or(&columns);
    let more = columns.len() - names.len();
    let listed = match (names.is_empty(), more) {
        (true, _) => "there are no columns".to_owned(),
        (false, 0) => format!("columns: {}", names.join(", ")),
        (false, more) => format!("columns: {} and {more} more", names.join(", ")),
    };
    let lower = name.to_lowercase();
    let near = columns
        .iter()
        .copied()
        .find(|column| column.to_lowercase() == lower);
    match near.or_else(|| nearest(name, columns)) {
        Some(near) => error.hint(format!("did you mean `{near}`? {listed}")),
        None => error.hint(listed),
    }
}

/// The column of exactly this name; Polars' `col` reads `*` and `^…$` as patterns.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(PlSmallStr::from_str(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_and_all() {
        let error = unknown_column("qtty", ["qty", "price"]);
        assert_eq!(error.message(), "there is no column `qtty`");
        assert_eq!(
            error.hint_text().unwrap(),
            "did you mean `qty`? columns: qty, price"
        );
        let error = unknown_column("QTY", ["qty"]);
        assert!(
            error
                .hint_text()
                .unwrap()
                .starts_with("did you mean `qty`?")
        );
    }
}
