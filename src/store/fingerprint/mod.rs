//! Fingerprints: what an object holds, as hashes that tell whether two objects hold the
//! same, wherever they are stored. Knows nothing of names, metadata or storages.
//!
//! Of rows, each column has a SHA-256 of its own over its values in order, so that it does
//! not matter in which batches they come. Of documents, there is one over their BSON
//! without `_id`, which belongs to the place where they are; of a blob, one over its bytes.

mod values;

use crate::error::{Context, Result};
use bson::Document;
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use values::Bytes;

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Rows, documents or bytes.
    pub count: u64,
    parts: BTreeMap<String, Part>,
}

/// The hash of a column, or of all there is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    exact: [u8; 32],
    /// With times cut to the millisecond, if there are finer ones.
    coarse: Option<[u8; 32]>,
}

/// How a copy compares to its original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    /// It is the same.
    None,
    /// It is the same but for the times in these columns, cut to the millisecond.
    CoarserTimes(Vec<String>),
    /// It differs; in what.
    Content(String),
}

impl Fingerprint {
    /// Compares an original to its `copy`.
    pub fn difference(&self, copy: &Fingerprint) -> Difference {
        if self.count != copy.count {
            return Difference::Content(format!("{} instead of {}", copy.count, self.count));
        }
        if !self.parts.keys().eq(copy.parts.keys()) {
            return Difference::Content("other columns".to_owned());
        }
        let mut coarser = Vec::new();
        for (name, part) in &self.parts {
            match copy.parts.get(name) {
                Some(other) if other.exact == part.exact => {}
                Some(other) if other.coarse.is_none() && part.coarse == Some(other.exact) => {
                    coarser.push(name.clone());
                }
                _ if name.is_empty() => return Difference::Content("its content".to_owned()),
                _ => return Difference::Content(format!("column `{name}`")),
            }
        }
        match coarser.is_empty() {
            true => Difference::None,
            false => Difference::CoarserTimes(coarser),
        }
    }
}

/// Makes a fingerprint piece by piece.
#[derive(Debug, Default)]
pub(super) struct Fingerprinter {
    count: u64,
    parts: BTreeMap<String, Hashes>,
}

/// The running hashes of one part.
#[derive(Debug, Default, Clone)]
struct Hashes {
    exact: Sha256,
    coarse: Option<Sha256>,
}

impl Hashes {
    fn update(&mut self, bytes: &Bytes) {
        if bytes.coarse.is_some() && self.coarse.is_none() {
            self.coarse = Some(self.exact.clone());
        }
        self.exact.update(&bytes.exact);
        if let Some(coarse) = &mut self.coarse {
            coarse.update(bytes.coarse.as_ref().unwrap_or(&bytes.exact));
        }
    }

    fn finish(self) -> Part {
        Part {
            exact: self.exact.finalize().into(),
            coarse: self.coarse.map(|coarse| coarse.finalize().into()),
        }
    }
}

impl Fingerprinter {
    /// Adds rows. All frames have the same columns.
    pub fn rows(&mut self, frame: &DataFrame) -> Result<()> {
        let encoded: Vec<(&Column, Bytes)> = frame
            .columns()
            .par_iter()
            .map(|column| {
                let mut bytes = Bytes::default();
                values::encode(column, &mut bytes)
                    .map_err(|error| error.on(column.name().as_str()))?;
                Ok((column, bytes))
            })
            .collect::<Result<_>>()?;
        for (column, bytes) in encoded {
            let part = self.parts.entry(column.name().to_string()).or_default();
            part.update(&bytes);
        }
        self.count += frame.height() as u64;
        Ok(())
    }

    /// Adds a document.
    pub fn document(&mut self, document: &Document) -> Result<()> {
        let fields = document.iter().filter(|(name, _)| *name != "_id");
        let document: Document = fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let bytes = document
            .to_vec()
            .context(|| "the document cannot be compared")?;
        self.whole().update(bytes);
        self.count += 1;
        Ok(())
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.whole().update(bytes);
        self.count += bytes.len() as u64;
    }

    fn whole(&mut self) -> &mut Sha256 {
        &mut self.parts.entry(String::new()).or_default().exact
    }

    /// The fingerprint of all that was added.
    pub fn finish(self) -> Fingerprint {
        let parts = self.parts.into_iter();
        Fingerprint {
            count: self.count,
            parts: parts
                .map(|(name, hashes)| (name, hashes.finish()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
