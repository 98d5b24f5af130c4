//! `om models show`.

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::store::bson_to_value;
use clap::Args;
use serde_json::{Value, json};

/// Show what a model is, what it was trained on and what it has learned.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  om models show iris-clf
  om models show iris-clf -o json | jq .learned")]
pub struct Show {
    /// Name of the model
    #[arg(add = crate::cli::stored::models())]
    name: String,
}

impl Show {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<()> {
        let om = session.omega()?;
        let metadata = om.models.metadata(&self.name)?;
        if metadata.kind != "linfa.model" {
            // What is in it only its backend knows.
            let shown = json!({
                "name": metadata.name(), "kind": metadata.kind, "attributes": document(&metadata.attributes),
            });
            return self.print(session, &shown);
        }
        let model = om.models.load(&self.name)?;
        let mut shown = json!({ "name": metadata.name() });
        if let (Value::Object(shown), Value::Object(summary)) = (&mut shown, model.summary()) {
            shown.extend(summary);
            if let Ok(scores) = metadata.attributes.get_document("scores") {
                shown.insert("scores".to_owned(), document(scores));
            }
        }
        self.print(session, &shown)
    }

    fn print(&self, session: &Session, shown: &Value) -> Result<()> {
        if session.output.is_structured() {
            return session.output.value(shown);
        }
        // Steps hold parameters and coefficients: too deep for a table.
        let text = serde_yaml_ng::to_string(shown);
        session
            .output
            .text(&text.map_err(|error| Error::failed("cannot show the model").because(error))?)
    }
}

fn document(document: &bson::Document) -> Value {
    bson_to_value(&bson::Bson::Document(document.clone()))
}
