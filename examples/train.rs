//! Trains a model on a stored table, keeps it under a name and predicts.
//!
//! `cargo run --example train`

use omega::models::Model;
use omega::runtime::{Action, Input, ModelCall, Outcome, Runtime, SubmitOptions, TaskCall};
use omega::store::PutOptions;
use omega::{Omega, Result};
use polars::prelude::df;

fn main() -> Result<()> {
    let om = Omega::embedded(std::env::temp_dir().join("om-example"))?;
    let points = df!("x" => [1.0, 2.0, 3.0, 4.0], "y" => [2.1, 3.9, 6.2, 7.8]);
    om.datasets
        .put_frame("points", points.unwrap_or_default())?;
    om.models.save(
        "line",
        &Model::new("linear-regression", &[])?,
        &PutOptions::default(),
    )?;

    let call = |action, x: &str, y: Option<&str>| -> Result<Outcome> {
        let call = ModelCall {
            x: Some(Input::parse(x)?),
            y: y.map(Input::parse).transpose()?,
            ..ModelCall::new("line", action)
        };
        om.local_runtime()
            .run(&TaskCall::Model(call), &SubmitOptions::default())
    };
    call(Action::Fit, "points[x]", Some("points[y]"))?;
    if let Outcome::Table(predicted) = call(Action::Predict, "[[5.0], [6.0]]", None)? {
        println!("{predicted:?}");
    }
    Ok(())
}
