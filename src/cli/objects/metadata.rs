//! `om … metadata`.

use super::{pairs, store};
use crate::cli::Session;
use crate::error::{Error, Result};
use crate::storage::Update;
use clap::Args;

/// Print an object's metadata document as JSON, in omega|ml's form, and change its
/// attributes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om datasets metadata sales
  om datasets metadata sales | jq .kind_meta.dtypes
  om models metadata clf --set docs='predicts the species' --set require=gpu
  om models metadata clf --unset require")]
pub struct ShowMetadata {
    /// Name of the object
    #[arg(add = crate::cli::stored::objects())]
    name: String,
    /// Set an attribute; the name may be dotted, values are JSON or text
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Remove an attribute
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

impl ShowMetadata {
    /// Runs the command on the store called `noun`.
    pub fn run(self, noun: &str, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let store = store(&om, noun)?;
        if self.set.is_empty() && self.unset.is_empty() {
            let metadata = store.metadata(&self.name)?;
            return session.output.value(&metadata.to_json());
        }
        let mut update = Update::default();
        for (key, text) in pairs(&self.set, "--set")? {
            let value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
            update
                .set
                .push((attribute(&key)?, crate::store::value_to_bson(value)));
        }
        for key in &self.unset {
            update.unset.push(attribute(key)?);
        }
        let metadata = store.update(&self.name, &update)?;
        session.output.value(&metadata.to_json())
    }
}

/// The path of an attribute in the metadata.
fn attribute(name: &str) -> Result<String> {
    let fits = |part: &str| !part.is_empty() && !part.starts_with('$') && !part.contains('\0');
    match name.split('.').all(fits) {
        true => Ok(format!("attributes.{name}")),
        false => Err(Error::usage(format!("`{name}` is no name of an attribute"))),
    }
}
