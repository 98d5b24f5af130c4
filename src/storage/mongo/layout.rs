//! Which columns an object's rows have, and in which fields of its documents. What
//! omega|ml's `kind_meta` says is enough for tables as pandas knows them; for others the
//! storage keeps the exact columns in a field of its own (`om.columns`). In `om.of` it notes
//! the `kind_meta` that it has written: as long as nobody has changed that, it is right, and
//! no documents are looked at to see whether it still is. `om.end` is the row id after the
//! last that it has written: where readers look first.

use super::MongoStorage;
use super::catalog::{Entry, OWN};
use crate::error::{Error, Result};
use crate::frame::bson::{Field, infer, parse_stored, stored_name, widen};
use crate::storage::projection::{INDEX, ROW_ID};
use bson::{Bson, Document, RawDocumentBuf, doc};
use polars::prelude::{DataType, Schema};
use sha1::{Digest, Sha1};

/// How many documents at each end are looked at where the metadata does not say all.
const SAMPLE: i64 = 200;

/// The field of the note of the last row.
const END: &str = "end";

/// The field names that hold a frame's columns: the columns' own, unless MongoDB or
/// omega|ml cannot have a field of that name.
pub(super) fn fields_of(schema: &Schema) -> Vec<Field> {
    schema
        .iter()
        .enumerate()
        .map(|(position, (name, dtype))| {
            let plain = !name.is_empty()
                && name != "_id"
                && name != ROW_ID
                && !name.starts_with('$')
                && !name.contains(['.', '\0']);
            Field {
                column: name.to_string(),
                name: match plain {
                    true => name.to_string(),
                    false => format!("_om#column{position}"),
                },
                dtype: dtype.clone(),
            }
        })
        .collect()
}

/// The index columns among the fields: `_idx#<level>_<name>`.
pub(super) fn index_names(fields: &[Field]) -> Vec<String> {
    fields
        .iter()
        .filter(|field| field.name.starts_with("_idx#"))
        .map(|field| field.name.clone())
        .collect()
}

/// What the storage notes of an object's columns: where `kind_meta` says it all, only that.
pub(super) fn note(own: &mut Document, fields: &[Field], kind_meta: &Document) {
    own.remove("columns");
    own.insert("of", fingerprint(kind_meta));
    if described(kind_meta).is_some_and(|(described, _)| described == fields) {
        return;
    }
    let columns: Vec<Bson> = fields
        .iter()
        .map(|field| {
            Bson::Array(vec![
                Bson::from(&field.column),
                Bson::from(&field.name),
                Bson::from(stored_name(&field.dtype)),
            ])
        })
        .collect();
    own.insert("columns", columns);
}

/// Notes the row id after the last that was written.
pub(super) fn note_end(own: &mut Document, end: i64) {
    let before = own.get_i64(END).unwrap_or(0);
    own.insert(END, end.max(before));
}

/// Where the rows ended when this storage added some.
pub(super) fn noted_end(own: &Document) -> Option<i64> {
    own.get_i64(END).ok()
}

/// Which `kind_meta` a note goes with: when another program has changed it, the note is
/// out of date.
fn fingerprint(kind_meta: &Document) -> String {
    let bytes = kind_meta.to_vec().unwrap_or_default();
    hex::encode(Sha1::digest(&bytes))
}

/// The columns that the storage has noted, if nobody has changed the object since.
fn noted(entry: &Entry) -> Option<Vec<Field>> {
    if entry.own.get_str("of").ok()? != fingerprint(&entry.metadata.kind_meta) {
        return None;
    }
    let Ok(columns) = entry.own.get_array("columns") else {
        return described(&entry.metadata.kind_meta).map(|(fields, _)| fields);
    };
    columns
        .iter()
        .map(|column| match column.as_array()?.as_slice() {
            [
                Bson::String(column),
                Bson::String(name),
                Bson::String(dtype),
            ] => Some(Field {
                column: column.clone(),
                name: name.clone(),
                dtype: parse_stored(dtype)?,
            }),
            _ => None,
        })
        .collect()
}

/// The columns as `kind_meta` describes them, without the derived ones, and whether types
/// are left open. An unnamed index of other values than whole numbers is no derived one.
fn described(kind_meta: &Document) -> Option<(Vec<Field>, bool)> {
    let dtypes = kind_meta.get_document("dtypes").ok();
    let names: Vec<String> = match kind_meta.get("columns")? {
        Bson::Array(pairs) => pairs
            .iter()
            .map(|pair| match pair.as_array()?.as_slice() {
                [_, Bson::String(stored)] => Some(stored.clone()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        Bson::Document(pairs) => pairs
            .values()
            .map(|stored| stored.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    let mut open = false;
    let mut fields: Vec<Field> = Vec::with_capacity(names.len());
    for name in names {
        let said = dtypes.and_then(|dtypes| dtypes.get_str(&name).ok());
        let derived = name == INDEX && said.is_none_or(|said| said == "int64");
        if name == ROW_ID || derived || fields.iter().any(|field| field.name == name) {
            continue;
        }
        let dtype = said.and_then(parse_stored);
        open |= dtype.is_none() || dtype == Some(DataType::String);
        fields.push(Field {
            column: name.clone(),
            name,
            dtype: dtype.unwrap_or(DataType::String),
        });
    }
    Some((fields, open))
}

/// Whether an object's collection holds rows, as far as its metadata tells.
pub(super) fn holds_rows(entry: &Entry) -> bool {
    entry.own.contains_key("columns") || entry.metadata.kind_meta.contains_key("columns")
}

impl MongoStorage {
    /// The columns of an object's rows, in stored order.
    pub(super) fn fields(&self, entry: &Entry) -> Result<Vec<Field>> {
        if let Some(fields) = noted(entry) {
            return Ok(fields);
        }
        let key = entry.metadata.key.to_string();
        let Some((mut fields, _)) = described(&entry.metadata.kind_meta) else {
            return Err(Error::corrupt(format!(
                "neither `kind_meta` nor `{OWN}` says which columns it has"
            ))
            .on(key));
        };
        // Types change with a put that adds to what is there: the documents decide.
        let sample = self.sample(entry)?;
        let seen = infer(sample.iter().map(|document| document.as_bytes()))
            .map_err(|error| error.on(key))?;
        for field in &mut fields {
            if let Some(seen) = seen.iter().find(|seen| seen.name == field.name) {
                field.dtype = widen(&field.dtype, &seen.dtype);
            }
        }
        // pandas adds rows of other columns, and only names the last.
        let own_index = !counts_up(&sample);
        for seen in seen {
            let known = fields.iter().any(|field| field.name == seen.name);
            let internal = seen.name == "_id" || seen.name == ROW_ID;
            match seen.name == INDEX {
                _ if known || internal => {}
                true if own_index => fields.insert(0, seen),
                true => {}
                false => fields.push(seen),
            }
        }
        Ok(fields)
    }

    /// The first and last documents of an object. They say, too, whether its unnamed index
    /// is the row's position: reading all to know would cost too much.
    fn sample(&self, entry: &Entry) -> Result<Vec<RawDocumentBuf>> {
        let Some(name) = &entry.metadata.collection else {
            return Ok(Vec::new());
        };
        let connection = self.connection()?;
        let collection = connection.database().collection::<RawDocumentBuf>(name);
        connection.run(async {
            let mut found = Vec::new();
            for order in [doc! {}, doc! { "_id": -1 }] {
                let find = collection.find(doc! {}).limit(SAMPLE);
                let mut cursor = match order.is_empty() {
                    true => find.await?,
                    false => find.sort(order).await?,
                };
                while cursor.advance().await? {
                    found.push(cursor.current().to_owned());
                }
            }
            Ok(found)
        })
    }
}

/// Whether the unnamed index of rows is their position, as far as these show.
fn counts_up(sample: &[RawDocumentBuf]) -> bool {
    let number = |document: &RawDocumentBuf, field: &str| {
        let value = document.get(field).ok().flatten()?;
        value.as_i32().map(i64::from).or_else(|| value.as_i64())
    };
    sample.iter().all(|document| {
        matches!(document.get(INDEX), Ok(None))
            || number(document, INDEX) == number(document, ROW_ID)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::{Key, Metadata};
    use polars::prelude::TimeUnit;

    fn field(name: &str, dtype: DataType) -> Field {
        Field {
            column: name.to_owned(),
            name: name.to_owned(),
            dtype,
        }
    }

    #[test]
    fn kind_meta_is_enough_for_what_pandas_knows() {
        let kind_meta = doc! {
            "columns": [["_idx#0_k", "_idx#0_k"], ["a.b", "a_b"], [7, "7"], ["_om#rowid", "_om#rowid"]],
            "dtypes": { "_idx#0_k": "int64", "a_b": "float64", "7": "datetime64[ns]", "_om#rowid": "int64" },
        };
        let fields = [
            field("_idx#0_k", DataType::Int64),
            field("a_b", DataType::Float64),
            field("7", DataType::Datetime(TimeUnit::Nanoseconds, None)),
        ];
        assert_eq!(described(&kind_meta).unwrap(), (fields.to_vec(), false));
        let mut own = Document::new();
        note(&mut own, &fields, &kind_meta);
        assert!(!own.contains_key("columns"));
        let mut metadata = Metadata::new(Key::new("omegaml", "data/", "x"), "pandas.dfrows");
        metadata.kind_meta = kind_meta;
        let own = |metadata: &Metadata| Entry {
            metadata: metadata.clone(),
            own: own.clone(),
        };
        assert_eq!(noted(&own(&metadata)).unwrap(), fields);
        metadata.kind_meta.insert("more", true);
        assert_eq!(noted(&own(&metadata)), None);
    }

    #[test]
    fn other_columns_are_noted_until_somebody_changes_them() {
        let fields = [field("a", DataType::Time), field("b", DataType::Null)];
        let mut metadata = Metadata::new(Key::new("omegaml", "data/", "x"), "pandas.dfrows");
        let mut own = Document::new();
        note(&mut own, &fields, &metadata.kind_meta);
        let entry = Entry {
            metadata: metadata.clone(),
            own: own.clone(),
        };
        assert!(holds_rows(&entry));
        assert_eq!(noted(&entry).unwrap(), fields);
        metadata.kind_meta.insert("dtypes", doc! { "a": "object" });
        assert_eq!(noted(&Entry { metadata, own }), None);
    }

    #[test]
    fn fields_have_names_that_the_database_can_have() {
        let names = ["a", "", "_id", "$x", "a.b", "_om#rowid", "b c"];
        let schema: Schema = names
            .iter()
            .map(|name| polars::prelude::Field::new((*name).into(), DataType::Int64))
            .collect();
        let fields = fields_of(&schema);
        let stored: std::collections::BTreeSet<&str> =
            fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(stored.len(), names.len());
        assert!(stored.iter().all(|name| !name.is_empty()
            && !name.starts_with('$')
            && !name.contains('.')
            && *name != "_id"));
        assert_eq!(
            (fields[0].name.as_str(), fields[6].name.as_str()),
            ("a", "b c")
        );
    }
}
