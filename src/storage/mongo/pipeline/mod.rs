use crate::error::Result;
use crate::frame::Query;
use crate::frame::bson::Field;
use bson::Document;
use polars::prelude::Expr;
pub struct Plan {
    pub filter: Option<Document>,
    pub columns: Vec<Field>,
    pub sort: Option<Document>,
    pub skip: u64,
    pub limit: Option<u64>,
    pub group: Option<Group>,
    pub rest: Query,
}
pub struct Group {
    pub stages: Vec<Document>,
    pub answer: Vec<Field>,
}
pub fn plan(query: &Query, fields: &[Field]) -> Result<Plan> {
    Ok(Plan {
        filter: None,
        columns: fields.to_vec(),
        sort: None,
        skip: 0,
        limit: None,
        group: None,
        rest: query.clone(),
    })
}
pub fn predicate(_: &Expr, _: &[Field]) -> Option<Document> {
    None
}
