//! Objects in one database, written and read by `om` and by Python omega|ml in turns
//! (spec/storage.md). A real server and a real Python; tests/servers.sh installs both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "interop/cli.rs"]
mod cli;
#[path = "interop/foreign.rs"]
mod foreign;
#[path = "interop/frames.rs"]
mod frames;
#[path = "interop/jobs.rs"]
mod jobs;
#[path = "interop/metadata.rs"]
mod metadata;
#[path = "interop/models.rs"]
mod models;
#[path = "interop/python.rs"]
mod python;
mod server;
mod stores;
#[path = "interop/values.rs"]
mod values;

use bson::{Bson, Document, doc};
use omega::progress::Silent;
use omega::store::{Object, PutMode, PutOptions, Stored};
use omega::{Omega, storage::Metadata};
use polars::prelude::DataFrame;
use python::Python;
use server::Raw;
use std::io::Read;
use std::sync::Arc;

/// One database and everybody who works on it.
struct Both {
    om: Omega,
    python: Python,
    raw: Raw,
    url: String,
}

impl Both {
    fn new() -> Self {
        let url = server::mongo().database();
        Both {
            om: Omega::new(stores::open(&url).into(), Arc::new(Silent)),
            python: Python::start(&url),
            raw: server::raw(&url),
            url,
        }
    }

    /// The rows of a table as `om` has them.
    fn frame(&self, name: &str) -> DataFrame {
        let got = self.om.datasets.collect(name, &Default::default());
        got.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn put_frame(&self, name: &str, frame: &DataFrame, mode: PutMode, kind: Option<&str>) {
        let options = PutOptions {
            mode,
            kind: kind.map(str::to_owned),
            ..PutOptions::default()
        };
        let put = self
            .om
            .datasets
            .put(name, Object::frame(frame.clone()), &options);
        put.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    fn put_values(&self, name: &str, values: Vec<Bson>) -> Metadata {
        let object = Object::Values(values);
        let put = self.om.datasets.put(name, object, &PutOptions::default());
        put.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn values(&self, name: &str) -> Vec<Bson> {
        match self.om.datasets.get(name).unwrap() {
            Stored::Values(values) => values,
            _ => panic!("{name} is no document"),
        }
    }

    /// The metadata document of an object, as stored.
    fn document(&self, prefix: &str, name: &str) -> Document {
        let filter = doc! { "prefix": prefix, "name": name, "bucket": "omegaml" };
        let mut found = self.raw.find("metadata", filter);
        assert_eq!(found.len(), 1, "{prefix}{name}");
        found.remove(0)
    }

    /// The bytes of a stored file, as they are in the database.
    fn file(&self, document: &Document) -> Vec<u8> {
        let id = document.get_object_id("gridfile").unwrap();
        let mut chunks = self.raw.find("omegaml.chunks", doc! { "files_id": id });
        chunks.sort_by_key(|chunk| chunk.get_i32("n").unwrap());
        let bytes = chunks
            .iter()
            .map(|chunk| chunk.get_binary_generic("data").unwrap().clone());
        bytes.collect::<Vec<_>>().concat()
    }

    /// Nothing is left but what objects refer to, and none of these is there.
    fn nothing_left(&self, context: &str) {
        let objects = self.raw.find("metadata", doc! {});
        assert!(objects.is_empty(), "{context}: {objects:#?}");
        stores::no_leftovers(&self.url, context);
    }
}

/// Equal, NaN and null as they are.
fn assert_rows(got: &DataFrame, expected: &DataFrame, context: &str) {
    assert_eq!(
        got.schema(),
        expected.schema(),
        "{context}: {got} {expected}"
    );
    assert!(
        got.equals_missing(expected),
        "{context}: {got} is not {expected}"
    );
}

fn bytes(stored: Stored) -> Vec<u8> {
    let (Stored::File(mut blob) | Stored::Array(mut blob)) = stored else {
        panic!("no bytes");
    };
    let mut bytes = Vec::new();
    blob.read_to_end(&mut bytes).unwrap();
    bytes
}
