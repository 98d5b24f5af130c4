//! Tables behind omega|ml's own server (spec/rest.md §4.2). Its API gives, takes and drops
//! whole tables as JSON, and knows neither lists nor metadata: a table is fetched to learn
//! that it is there. Indexes, and types that JSON has not, get lost on the way.

use super::RemoteStorage;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::frame::{self, Query, dtype};
use crate::remote::{Ask, wire};
use crate::storage::refusal::dropped;
use crate::storage::{Key, Metadata, Mode, Scan, Stats, Writer};
use bson::{Bson, Document, doc};
use polars::prelude::{DataFrame, IntoLazy};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// The only store that the API has.
const PREFIX: &str = "data/";

/// The kind that its tables have.
const KIND: &str = "pandas.dfrows";

/// The table that was fetched last: finding it and reading it are one request.
pub(super) type Last = Arc<Mutex<Option<(Key, DataFrame)>>>;

fn ask(method: fn(String) -> Ask<'static>, key: &Key) -> Result<Ask<'static>> {
    if key.prefix != PREFIX {
        return Err(
            Error::usage("Python omega|ml's server has no way to be asked for this")
                .on(key.to_string())
                .hint("use its database: OMEGA_MONGO_URL"),
        );
    }
    let path = format!("/api/v1/dataset/{}", wire::encoded_path(&key.name));
    Ok(method(path).within(&key.bucket))
}

/// The object, if it is a table.
pub(super) fn find(storage: &RemoteStorage, key: &Key) -> Result<Option<Metadata>> {
    let Some(frame) = fetch(storage, key)? else {
        return Ok(None);
    };
    let mut metadata = Metadata::new(key.clone(), KIND);
    metadata.kind_meta = about(&frame);
    metadata.content = Some(key.to_string());
    let mut last = storage.last.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some((key.clone(), frame));
    Ok(Some(metadata))
}

/// What omega|ml says of such columns.
fn about(frame: &DataFrame) -> Document {
    let names = || frame.schema().iter_names().map(ToString::to_string);
    let pairs: Vec<Bson> = names()
        .map(|name| Bson::Array(vec![name.clone().into(), name.into()]))
        .collect();
    let types: Document = frame
        .schema()
        .iter()
        .map(|(name, dtype)| (name.to_string(), dtype::pandas_name(dtype).into()))
        .collect();
    doc! { "columns": pairs, "dtypes": types, "idx_meta": { "names": [Bson::Null] } }
}

fn fetch(storage: &RemoteStorage, key: &Key) -> Result<Option<DataFrame>> {
    let ask = ask(Ask::get, key)?.named(vec![("orient".to_owned(), "records".to_owned())]);
    let body = match storage.server().ask(&ask) {
        Ok(answer) => answer.bytes()?,
        // What Python says of an object that there is not.
        Err(error)
            if error
                .message()
                .contains("'NoneType' object has no attribute") =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.on(key.to_string())),
    };
    let failed = || format!("the server's answer about {key} is not understood");
    let answer: Value = serde_json::from_slice(&plain(&body)).context(failed)?;
    let rows = answer.get("data").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| Error::invalid(failed()))?;
    frame::json::from_rows(rows)
        .map(Some)
        .map_err(|error| error.on(key.to_string()))
}

/// The same JSON, without the numbers that JSON has not.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
    while let Some((&byte, after)) = rest.split_first() {
        let strange = [&b"NaN"[..], b"-Infinity", b"Infinity"]
            .into_iter()
            .find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = strange {
            out.extend_from_slice(b"null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        out.push(byte);
        rest = after;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                out.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    out
}

/// The table that was found, else as it is now.
fn table(storage: &RemoteStorage, key: &Key) -> Result<DataFrame> {
    let mut last = storage.last.lock().unwrap_or_else(PoisonError::into_inner);
    match last.take() {
        Some((of, frame)) if of == *key => Ok(frame),
        _ => {
            drop(last);
            fetch(storage, key)?.ok_or_else(|| dropped(key))
        }
    }
}

/// The rows.
pub(super) fn scan(storage: &RemoteStorage, metadata: &Metadata, query: &Query) -> Result<Scan> {
    Ok(Scan {
        frame: table(storage, &metadata.key)?.lazy(),
        rest: query.clone(),
        batches: None,
        files: None,
        command: None,
        plan: None,
    })
}

/// How many rows there are.
pub(super) fn stats(storage: &RemoteStorage, metadata: &Metadata) -> Result<Stats> {
    let frame = table(storage, &metadata.key)?;
    Ok(Stats {
        count: Some(frame.height() as u64),
        bytes: frame.estimated_size() as u64,
    })
}

/// Drops it; whether it was there.
pub(super) fn delete(storage: &RemoteStorage, key: &Key) -> Result<bool> {
    match storage.server().ask(&ask(Ask::delete, key)?) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.on(key.to_string())),
    }
}

/// A table on its way there.
pub(super) struct Put<'a> {
    storage: &'a RemoteStorage,
    key: Key,
    mode: Mode,
    current: Option<Metadata>,
    rows: Option<DataFrame>,
}

impl<'a> Put<'a> {
    pub fn start(storage: &'a RemoteStorage, key: &Key, mode: Mode) -> Result<Self> {
        ask(Ask::put, key)?;
        let current = find(storage, key)?;
        if mode == Mode::Create && current.is_some() {
            return Err(crate::storage::refusal::exists(key));
        }
        Ok(Put {
            storage,
            key: key.clone(),
            mode,
            current,
            rows: None,
        })
    }

    fn only_tables(&self) -> Error {
        Error::usage("Python omega|ml's server takes tables only")
            .on(self.key.to_string())
            .hint("use its database: OMEGA_MONGO_URL")
    }
}

impl Writer for Put<'_> {
    fn current(&self) -> Option<&Metadata> {
        self.current.as_ref()
    }

    fn rows(&mut self, frame: DataFrame) -> Result<()> {
        if let Some(index) = frame
            .schema()
            .iter_names()
            .find(|name| name.starts_with("_idx#"))
        {
            return Err(Error::usage(format!(
                "Python omega|ml's server takes no index, such as `{index}`"
            ))
            .on(self.key.to_string()));
        }
        match &mut self.rows {
            None => self.rows = Some(frame),
            Some(rows) => {
                rows.vstack_mut_owned(frame)
                    .map_err(|error| Error::failed("cannot join rows").because(error))?;
            }
        }
        Ok(())
    }

    fn document(&mut self, _document: Document) -> Result<()> {
        Err(self.only_tables())
    }

    fn bytes(&mut self, _bytes: &[u8]) -> Result<()> {
        Err(self.only_tables())
    }

    fn commit(self: Box<Self>, metadata: Metadata) -> Result<Metadata> {
        let Some(rows) = &self.rows else {
            return Err(self.only_tables());
        };
        let mut data = Map::new();
        let mut types = Map::new();
        for column in rows.columns() {
            let name = column.name().to_string();
            let cells = (0..column.len()).map(|row| {
                let cell = column.get(row).context(|| "cannot read a row")?;
                Ok(frame::json::value(&cell))
            });
            data.insert(name.clone(), Value::Array(cells.collect::<Result<_>>()?));
            types.insert(name, dtype::pandas_name(column.dtype()).into());
        }
        if !metadata.attributes.is_empty() {
            let progress = self.storage.server().progress();
            progress.note("Python omega|ml's server takes no attributes: they are left out");
        }
        let body = json!({ "data": data, "dtypes": types, "append": self.mode == Mode::Append });
        self.storage
            .server()
            .ask(&ask(Ask::put, &self.key)?.json(&body))
            .map_err(|error| error.on(self.key.to_string()))?;
        let mut stored = metadata;
        stored.key.clone_from(&self.key);
        stored.content = Some(self.key.to_string());
        Ok(stored)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_has_not_are_null() {
        let text =
            br#"{"NaN": [NaN, -Infinity, Infinity, 1.5, "NaN \" Infinity", null], "x\\": NaN}"#;
        let value: Value = serde_json::from_slice(&plain(text)).unwrap();
        assert_eq!(
            value,
            json!({"NaN": [null, null, null, 1.5, "NaN \" Infinity", null], "x\\": null})
        );
        for broken in [&b"NaN"[..], b"\"\\", b"-Infinit", b""] {
            plain(broken);
        }
    }
}
