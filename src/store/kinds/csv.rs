//! `pandas.csv`: CSV files that lie elsewhere; an object of this kind says where
//! (spec/storage.md §9.15).

use super::{Backend, Target};
use crate::error::{Error, Result};
use crate::frame::format::{Format, FrameReader, ReadOptions, Source, Step, open};
use crate::frame::{self, Query};
use crate::progress::Silent;
use crate::storage::{Metadata, Storage};
use crate::store::object::{Object, Stored, Table};
use bson::Bson;
use polars::prelude::DataFrame;
use std::path::PathBuf;
use std::sync::Arc;

/// CSV files elsewhere.
pub struct External;

impl Backend for External {
    fn kinds(&self) -> &'static [&'static str] {
        &["pandas.csv"]
    }

    fn supports(&self, _object: &Object) -> bool {
        false
    }

    fn put(&self, target: &Target<'_>, _object: Object) -> Result<Metadata> {
        Err(Error::usage(format!("a {} is read only", target.kind)).on(target.key.to_string()))
    }

    fn get(&self, _storage: &dyn Storage, metadata: &Metadata, query: &Query) -> Result<Stored> {
        let object = metadata.key.to_string();
        let frame = read(metadata, query).map_err(|error| error.on(object))?;
        Ok(Stored::Table(Box::new(frame)))
    }
}

fn read(metadata: &Metadata, query: &Query) -> Result<Table> {
    let path = local(metadata.uri.as_deref().unwrap_or_default())?;
    let options = options(metadata)?;
    let format = match Format::of_path(&path) {
        Some((Format::Tsv, _)) => Format::Tsv,
        _ => Format::Csv,
    };
    let mut reader = open(Source::Path(path), format, &options, Arc::new(Silent))?;
    // Wider types may come up late: then all is read again.
    loop {
        let mut rows = Rows {
            reader: &mut *reader,
            restart: false,
        };
        let frame = frame::spool(&mut rows)?;
        if !rows.restart {
            return Ok(Table::new(frame::run(frame, query)?));
        }
    }
}

/// The frames of a file up to its end, or until it starts anew.
struct Rows<'a> {
    reader: &'a mut dyn FrameReader,
    restart: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.next() {
            Ok(Step::Frame(frame)) => Some(Ok(frame)),
            Ok(Step::Restart) => {
                self.restart = true;
                None
            }
            Ok(Step::Done) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// The file that a URI names.
fn local(uri: &str) -> Result<PathBuf> {
    let path = match uri.split_once("://") {
        Some(("file", path)) => path,
        None if !uri.is_empty() => uri,
        _ => {
            return Err(Error::invalid(format!(
                "its content is at `{uri}`, and only files of this machine can be read"
            ))
            .hint("fetch it and put it: om datasets put FILE NAME"));
        }
    };
    Ok(PathBuf::from(path))
}

/// How to read it, from the words that pandas was told.
fn options(metadata: &Metadata) -> Result<ReadOptions> {
    let mut options = ReadOptions::default();
    if let Ok(words) = metadata.kind_meta.get_document("pandas_kwargs") {
        for (key, value) in words {
            let value = match value {
                Bson::String(text) => text.clone(),
                Bson::Null => "none".to_owned(),
                Bson::Array(items) => {
                    let items = items.iter().map(crate::store::bson_to_value);
                    let texts = items.map(|item| match item {
                        serde_json::Value::String(text) => text,
                        other => other.to_string(),
                    });
                    texts.collect::<Vec<_>>().join(",")
                }
                other => crate::store::bson_to_value(other).to_string(),
            };
            options.set(key, &value)?;
        }
    }
    Ok(options)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read() {
        assert_eq!(local("file:///a/b.csv").unwrap(), PathBuf::from("/a/b.csv"));
        assert_eq!(local("b.csv").unwrap(), PathBuf::from("b.csv"));
        for uri in ["", "s3://bucket/b.csv", "https://host/b.csv"] {
            let error = local(uri).unwrap_err();
            assert!(
                error.hint_text().unwrap().contains("om datasets put"),
                "{uri}"
            );
        }
    }
}
