//! What of a query runs inside the database: filters, projections, windows, groups and
//! aggregates (spec/storage.md §12, §13), as far as the answer is exactly that of
//! `frame::run`. Pure functions from queries to MongoDB's filters and stages; what they
//! leave out stays for Polars. Only standard operators; forms that an index can answer
//! where there are some.
//!
//! The columns decide how values compare: a text column turns numbers and others among its
//! texts into text, which the database does not. Filters on such a column find these rows
//! too and are applied again; windows and groups, which can not be applied again, run
//! inside only when somebody has looked that there is nothing but text ([`Plan::doubts`]).

mod compare;
mod condition;
mod group;
mod membership;
mod place;
mod predicate;
mod sort;
#[cfg(test)]
mod tests;
mod text;

use super::schema_of;
use crate::error::Result;
use crate::frame::bson::Field;
use crate::frame::{self, Columns, Filter, Query};
use crate::storage::projection::ROW_ID;
use bson::{Bson, Document, doc};
use condition::Condition;
use place::Place;
use polars::prelude::{DataFrame, Expr, IntoLazy, Schema};
use predicate::{Texts, Translator};
use sort::Key;
use std::collections::BTreeSet;

/// The longest filter that is sent, in bytes; a command has 16 MiB.
const LONGEST: usize = 8 << 20;

/// The most rows that windows are made for; numbers beyond are not everybody's.
const MOST: u64 = 1 << 52;

/// How a query is divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which documents.
    pub filter: Option<Document>,
    /// Which columns are read of them.
    pub columns: Vec<Field>,
    /// Another order than that of the rows.
    pub sort: Option<Document>,
    /// Rows that are left out at the start.
    pub skip: u64,
    /// Rows at the most.
    pub limit: Option<u64>,
    /// Stages that make the answer, instead of reading documents.
    pub aggregation: Option<Aggregation>,
    /// What is left for Polars, on the columns that are read.
    pub rest: Query,
    /// Fields of text columns: more could run inside if they held no other values.
    pub doubts: Vec<String>,
}

/// Stages of an aggregation, after the filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// The stages.
    pub stages: Vec<Document>,
    /// The columns of their answer.
    pub answer: Vec<Field>,
}

/// Divides `query` over an object with these columns. `texts` are the fields of text columns
/// that are known to hold nothing but texts and nulls.
pub fn plan(query: &Query, fields: &[Field], texts: &BTreeSet<String>) -> Plan {
    let (mut plan, _) = divided(query, fields, Texts::In(texts));
    // Filters are applied again anyhow.
    let cuts = query.is_grouped() || query.limit.is_some() || query.skip > 0;
    if cuts {
        let (best, mut asked) = divided(query, fields, Texts::All);
        if best.rest != plan.rest {
            asked.retain(|field| !texts.contains(field));
            plan.doubts.extend(asked);
        }
    }
    plan
}

/// The plan, and the fields of text columns of which it mattered what they hold.
fn divided(query: &Query, fields: &[Field], texts: Texts<'_>) -> (Plan, BTreeSet<String>) {
    let mut plan = Plan {
        filter: None,
        columns: fields.to_vec(),
        sort: None,
        skip: 0,
        limit: None,
        aggregation: None,
        rest: query.clone(),
        doubts: Vec::new(),
    };
    let schema = schema_of(fields);
    // Polars is the one to say what is wrong with a query.
    let Ok(answer) = answered(query, &schema) else {
        plan.columns = needed(&plan.rest, fields);
        return (plan, BTreeSet::new());
    };
    let translator = Translator::new(fields, texts);
    let condition = match &query.filter {
        None => Condition::Always,
        Some(filter) => {
            let (condition, left) = split(&translator, filter, &schema);
            match fits(&condition) {
                true => {
                    plan.rest.filter = left;
                    condition
                }
                false => Condition::Always,
            }
        }
    };
    if plan.rest.filter.is_none() {
        match query.is_grouped() {
            true => group(&mut plan, &translator, query, &schema),
            false => window(&mut plan, &translator, query, &condition),
        }
    }
    plan.filter = match condition {
        Condition::Always => None,
        condition => Some(condition.filter()),
    };
    if plan.aggregation.is_none() || !query.is_grouped() {
        project(&mut plan, fields, &answer);
    }
    (plan, translator.asked())
}

/// A filter for documents of which `predicate` is true, and perhaps others; none when
/// nothing of it can be told inside the database.
pub fn predicate(predicate: &Expr, fields: &[Field]) -> Option<Document> {
    let pushed = Translator::new(fields, Texts::In(&BTreeSet::new())).predicate(predicate)?;
    let useful = pushed.condition != Condition::Always && fits(&pushed.condition);
    useful.then(|| pushed.condition.filter())
}

/// Documents with another value than text or null in one of these fields.
pub fn other_than_texts(fields: &[String]) -> Document {
    let each = fields
        .iter()
        .map(|field| Condition::Op(field.clone(), "$type", Place::no_text()));
    Condition::any(each).filter()
}

/// The fields among `fields` whose value in a document is neither text nor null.
pub fn others_in(document: &Document, fields: &[String]) -> Vec<String> {
    let value = |path: &str| {
        let mut names = path.split('.');
        let first = document.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_document()?.get(name))
    };
    let other = |path: &&String| {
        value(path).is_some_and(|value| !matches!(value, Bson::String(_) | Bson::Null))
    };
    fields.iter().filter(other).cloned().collect()
}

/// The columns of a query's answer.
fn answered(query: &Query, schema: &Schema) -> Result<Schema> {
    let mut frame = frame::run(DataFrame::empty_with_schema(schema).lazy(), query)?;
    Ok(frame::schema(&mut frame)?.as_ref().clone())
}

/// The conditions of a filter that run inside, and what is to be applied again.
fn split(
    translator: &Translator<'_>,
    filter: &Filter,
    schema: &Schema,
) -> (Condition, Option<Filter>) {
    let mut conditions = Vec::new();
    let mut left = Vec::new();
    for part in conjuncts(filter) {
        let pushed = part
            .to_expr(schema)
            .ok()
            .and_then(|expr| translator.predicate(&expr));
        match pushed {
            Some(pushed) => {
                if !pushed.exact {
                    left.push(part.clone());
                }
                conditions.push(pushed.condition);
            }
            None => left.push(part.clone()),
        }
    }
    let left = match left.len() {
        0 | 1 => left.pop(),
        _ => Some(Filter::And(left)),
    };
    (Condition::all(conditions), left)
}

/// The filters of which all must hold.
fn conjuncts(filter: &Filter) -> Vec<&Filter> {
    let mut found = Vec::new();
    let mut open = vec![filter];
    while let Some(filter) = open.pop() {
        match filter {
            Filter::And(parts) => open.extend(parts.iter().rev()),
            filter => found.push(filter),
        }
    }
    found
}

/// Whether a condition can be sent.
fn fits(condition: &Condition) -> bool {
    let filter = condition.clone().filter();
    filter.to_vec().is_ok_and(|bytes| bytes.len() <= LONGEST)
}

fn group(plan: &mut Plan, translator: &Translator<'_>, query: &Query, schema: &Schema) {
    let plainly = Query {
        columns: Columns::All,
        ..query.clone()
    };
    let bounded = query.skip <= MOST && query.limit.is_none_or(|limit| (1..=MOST).contains(&limit));
    let Ok(answer) = answered(&plainly, schema) else {
        return;
    };
    let Some((aggregation, cut)) = group::grouped(translator, query, &answer).filter(|_| bounded)
    else {
        return;
    };
    plan.rest = Query {
        columns: query.columns.clone(),
        ..Query::default()
    };
    if !cut {
        plan.rest.sort.clone_from(&query.sort);
        (plan.rest.skip, plan.rest.limit) = (query.skip, query.limit);
    }
    plan.aggregation = Some(aggregation);
}

fn window(plan: &mut Plan, translator: &Translator<'_>, query: &Query, condition: &Condition) {
    // There are not as many rows.
    let (skip, limit) = match query.skip {
        skip if skip > MOST => (0, Some(0)),
        skip => (skip, query.limit.filter(|limit| *limit <= MOST)),
    };
    // Without a limit all rows come anyhow, and Polars sorts faster.
    if limit.is_none() && (skip == 0 || !query.sort.is_empty()) {
        return;
    }
    let keys = query.sort.iter().map(|sort| {
        let key = Key {
            place: translator.column(&sort.column)?,
            descending: sort.descending,
            settled: false,
        };
        let texts = !key.place.is_text() || translator.holds_texts(&key.place);
        (key.is_orderly() && texts).then_some(key)
    });
    let Some(keys) = keys.collect::<Option<Vec<Key>>>() else {
        return;
    };
    let sort = match keys.is_empty() {
        true => None,
        false => sort::plain(&keys, condition, ROW_ID),
    };
    // `$limit` takes no zero.
    if sort.is_none() && !keys.is_empty() && limit != Some(0) {
        let mut stages = sort::stages(&keys, ROW_ID);
        stages.extend(sort::window(skip, limit));
        plan.aggregation = Some(Aggregation {
            stages,
            answer: Vec::new(),
        });
    } else {
        plan.sort = sort;
        (plan.skip, plan.limit) = (skip, limit);
    }
    plan.rest.sort.clear();
    (plan.rest.skip, plan.rest.limit) = (0, None);
}

/// Reads what is still needed: the answer's columns in their order where nothing else is
/// left to do.
fn project(plan: &mut Plan, fields: &[Field], answer: &Schema) {
    let columns_only = Query {
        columns: plan.rest.columns.clone(),
        ..Query::default()
    };
    let find = |name: &str| fields.iter().find(|field| field.column == name);
    plan.columns = if plan.rest == columns_only {
        plan.rest.columns = Columns::All;
        let names = answer.iter_names();
        names.filter_map(|name| find(name)).cloned().collect()
    } else {
        needed(&plan.rest, fields)
    };
    if let Some(aggregation) = &mut plan.aggregation {
        // As a path, another name would mean another field.
        if plan.columns.iter().all(|field| Place::of(field).is_some()) {
            let columns = plan.columns.iter();
            let kept = columns.map(|field| (field.name.clone(), Bson::Int32(1)));
            let mut project = doc! { "_id": 0 };
            project.extend(kept);
            aggregation.stages.push(doc! { "$project": project });
        }
        aggregation.answer.clone_from(&plan.columns);
    }
}

/// The columns that a query needs.
fn needed(query: &Query, fields: &[Field]) -> Vec<Field> {
    let all: Vec<String> = fields.iter().map(|field| field.column.clone()).collect();
    let required = query.required(&all);
    let needed: BTreeSet<&str> = required
        .iter()
        .filter_map(|name| column(name, fields))
        .collect();
    let is_needed = |field: &&Field| needed.contains(field.column.as_str());
    fields.iter().filter(is_needed).cloned().collect()
}

/// The column that a query means by a name: dots descend, or stand for two underscores.
fn column<'a>(name: &str, fields: &'a [Field]) -> Option<&'a str> {
    let find = |name: &str| {
        let field = fields.iter().find(|field| field.column == name)?;
        Some(field.column.as_str())
    };
    let outer = || {
        name.rmatch_indices('.')
            .find_map(|(dot, _)| find(name.get(..dot)?))
    };
    find(name)
        .or_else(outer)
        .or_else(|| find(&name.replace('.', "__")))
}
