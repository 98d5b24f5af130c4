//! Data of kinds that backends in other programs know: what becomes of a file that is put,
//! and the table that is read back (`backends/PROTOCOL.md`).

use crate::backends::{Request, SharedBackends, decode_frame};
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use crate::storage::Metadata;
use crate::store::{Foreign, Opener};
use bson::Document;
use polars::prelude::DataFrame;
use serde_json::json;
use std::sync::Arc;

/// The kinds of data of all backends.
pub struct DataKinds {
    /// The backends.
    pub backends: SharedBackends,
    /// Who is told of progress.
    pub progress: Arc<dyn Progress>,
}

impl DataKinds {
    /// The kind that a file becomes because of its name; none if no backend wants it.
    pub fn kind_of(&self, file: &str) -> Option<String> {
        self.backends.kind_of(file, &*self.progress)
    }

    /// A file as its backend wants it to be stored; as it is where that has no wish.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a kind that no backend knows; what it fails with.
    pub fn made(&self, kind: &str, file: &str, content: Vec<u8>) -> Result<Foreign> {
        let can = |action| self.backends.can(kind, action, &*self.progress);
        if !can("write") {
            if !can("read") {
                return Err(
                    Error::invalid(format!("no backend knows data of the kind {kind}"))
                        .hint("which there are: om backends"),
                );
            }
            return Ok(Foreign {
                content,
                kind: kind.to_owned(),
                kind_meta: Document::new(),
            });
        }
        let fields = json!({ "kind": kind, "name": file });
        let request = Request::new("write", fields).part("file", content.clone());
        let reply = self.backends.call(kind, request, &*self.progress)?;
        let kind_meta = match reply.header.get("kind_meta") {
            Some(about) => bson::serialize_to_document(about)
                .context(|| "the backend's kind_meta is no object")?,
            None => Document::new(),
        };
        Ok(Foreign {
            content: reply.part("content").map_or(content, <[u8]>::to_vec),
            kind: kind.to_owned(),
            kind_meta,
        })
    }
}

impl Opener for DataKinds {
    fn reads(&self, kind: &str) -> bool {
        self.backends.can(kind, "read", &*self.progress)
    }

    fn table(&self, metadata: &Metadata, content: Vec<u8>) -> Result<DataFrame> {
        let about = crate::store::bson_to_value(&metadata.kind_meta.clone().into());
        let fields = json!({ "kind": metadata.kind, "kind_meta": about });
        let request = Request::new("read", fields).part("content", content);
        let reply = self
            .backends
            .call(&metadata.kind, request, &*self.progress)?;
        let table = reply
            .part("table")
            .ok_or_else(|| Error::failed("the backend answered no table"))?;
        decode_frame(table)
    }
}
