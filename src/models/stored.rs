//! The stored form of a model.
//!
//! ```text
//! OMEGA-MODEL  11 bytes
//! version       2 bytes, little endian; 1
//! digest       32 bytes, SHA-256 of all that follows
//! length        4 bytes, little endian, of the header
//! header       JSON: spec, parameters, steps, training, scores
//! body         the states of the steps one after the other, MessagePack
//! ```
//!
//! Reading checks the digest first and builds plain data only; no code runs.

use super::labels::Labels;
use super::model::{Data, Model, Training};
use super::params::Params;
use super::pipeline::{Pipeline, Step};
use super::registry::find;
use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"OMEGA-MODEL";

/// The version of the format that is written, and the newest that is read.
pub const FORMAT: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    library: String,
    spec: String,
    given: Vec<(String, Value)>,
    auto: bool,
    classes: Option<Labels>,
    steps: Vec<StepHeader>,
    training: Option<Training>,
    data: Option<Data>,
    scores: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct StepHeader {
    id: String,
    estimator: String,
    params: Params,
    auto: bool,
    /// Length of its state in the body.
    bytes: usize,
}

impl Model {
    /// The model as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut steps = Vec::new();
        for step in self.pipeline.steps() {
            let state = step.estimator.save()?;
            steps.push(StepHeader {
                id: step.id.clone(),
                estimator: step.entry.name.to_string(),
                params: step.params.clone(),
                auto: step.auto,
                bytes: state.len(),
            });
            body.extend(state);
        }
        let header = serde_json::to_vec(&Header {
            library: env!("CARGO_PKG_VERSION").to_string(),
            spec: self.spec.clone(),
            given: self.given.clone(),
            auto: self.auto,
            classes: self.classes.clone(),
            steps,
            training: self.training.clone(),
            data: self.data.clone(),
            scores: self.scores.clone(),
        })
        .context(|| "cannot serialise the model")?;
        let length = u32::try_from(header.len())
            .map_err(|_| Error::failed("the description of the model is larger than 4 GB"))?;
        let length = length.to_le_bytes();
        let mut digest = Sha256::new();
        digest.update(length);
        digest.update(&header);
        digest.update(&body);
        let version = FORMAT.to_le_bytes();
        Ok([MAGIC, &version, &digest.finalize(), &length, &header, &body].concat())
    }

    /// The model that [`Model::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Invalid` for bytes that are no model or one of a newer format, `Corrupt` for a
    /// model whose bytes have changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(Error::invalid("this is not a model of om")
                .hint("models made by other programs are of other kinds"));
        };
        let (version, rest) = take::<2>(rest)?;
        let version = u16::from_le_bytes(version);
        if version != FORMAT {
            return Err(Error::invalid(format!(
                "the model is stored in format {version}, and this version reads {FORMAT}"
            ))
            .hint("use the version of om that stored it, or a newer one"));
        }
        let (digest, rest) = take::<32>(rest)?;
        if Sha256::digest(rest).as_slice() != digest {
            return Err(Error::corrupt("the stored model was changed or cut"));
        }
        let (length, rest) = take::<4>(rest)?;
        let (header, mut body) = usize::try_from(u32::from_le_bytes(length))
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(cut)?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|error| Error::corrupt("cannot read the stored model").because(error))?;
        let mut steps = Vec::with_capacity(header.steps.len().min(64));
        for step in header.steps {
            let (state, rest) = body.split_at_checked(step.bytes).ok_or_else(cut)?;
            body = rest;
            let entry = find(&step.estimator)?;
            steps.push(Step {
                id: step.id,
                estimator: (entry.load)(state)?,
                entry,
                params: step.params,
                auto: step.auto,
            });
        }
        Ok(Model {
            spec: header.spec,
            given: header.given,
            auto: header.auto,
            classes: header.classes,
            pipeline: Pipeline::of(steps)?,
            training: header.training,
            data: header.data,
            scores: header.scores,
        })
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or_else(cut)?;
    Ok((*first, rest))
}

fn cut() -> Error {
    Error::corrupt("the stored model is cut short")
}
