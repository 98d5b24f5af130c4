//! Records in the database: a row each, in a table of their own. A power cut may lose the
//! last changes, so none of them waits for the disk.

use super::database::{Database, Sql};
use crate::error::{Context, Error, Result};
use crate::storage::records::{Alteration, Record, Records, When, now};
use bson::Document;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::sync::Arc;

/// The records of one space.
pub(super) struct EmbeddedRecords {
    pub database: Arc<Database>,
    pub space: String,
}

const COLUMNS: &str = "id, state, owner, due, created, expires, body";

impl Records for EmbeddedRecords {
    fn insert(&self, records: &[Record]) -> Result<Vec<String>> {
        self.database.write_soon(|transaction| {
            let mut there = Vec::new();
            for record in records {
                let added = transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO records
                         (space, id, state, owner, due, created, expires, body)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    )
                    .sql("write to")?
                    .execute(params![
                        self.space,
                        record.id,
                        record.state,
                        record.owner,
                        record.due,
                        record.created,
                        record.expires,
                        bytes(&record.body)?,
                    ])
                    .sql("write to")?;
                if added == 0 {
                    there.push(record.id.clone());
                }
            }
            Ok(there)
        })
    }

    fn get(&self, id: &str) -> Result<Option<Record>> {
        let found = self
            .database
            .read(|connection| match has_records(connection)? {
                true => find(connection, &self.space, id),
                false => Ok(None),
            })?;
        Ok(found.flatten())
    }

    fn change(&self, changes: &[Alteration]) -> Result<Vec<Record>> {
        self.database.write_soon(|transaction| {
            let mut changed = Vec::new();
            for alteration in changes {
                let Some(mut record) = find(transaction, &self.space, &alteration.id)? else {
                    continue;
                };
                let conditions = &alteration.conditions;
                if !conditions.is_empty() && !conditions.iter().any(|when| when.holds(&record)) {
                    continue;
                }
                alteration.change.apply(&mut record);
                transaction
                    .prepare_cached(
                        "UPDATE records SET state = ?3, owner = ?4, due = ?5, expires = ?6,
                         body = ?7 WHERE space = ?1 AND id = ?2",
                    )
                    .sql("write to")?
                    .execute(params![
                        self.space,
                        record.id,
                        record.state,
                        record.owner,
                        record.due,
                        record.expires,
                        bytes(&record.body)?,
                    ])
                    .sql("write to")?;
                changed.push(record);
            }
            Ok(changed)
        })
    }

    fn list(&self, conditions: &[When], limit: u64) -> Result<Vec<Record>> {
        let (clause, mut values) = clause(conditions);
        let statement = format!(
            "SELECT {COLUMNS} FROM records WHERE space = ? AND ({clause})
             ORDER BY created DESC, id LIMIT ?"
        );
        values.insert(0, self.space.clone().into());
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let found = self.database.read(|connection| {
            if !has_records(connection)? {
                return Ok(Vec::new());
            }
            let mut statement = connection.prepare_cached(&statement).sql("read")?;
            let mut rows = statement.query(params_from_iter(values)).sql("read")?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().sql("read")? {
                found.push(record(row)?);
            }
            Ok(found)
        })?;
        Ok(found.unwrap_or_default())
    }

    fn remove(&self, ids: &[&str]) -> Result<u64> {
        self.database.write_soon(|transaction| {
            let mut removed = 0;
            for id in ids {
                removed += transaction
                    .prepare_cached("DELETE FROM records WHERE space = ?1 AND id = ?2")
                    .sql("write to")?
                    .execute(params![self.space, id])
                    .sql("write to")?;
            }
            Ok(removed as u64)
        })
    }

    fn sweep(&self) -> Result<u64> {
        self.database.write_soon(|transaction| {
            let removed = transaction
                .prepare_cached("DELETE FROM records WHERE space = ?1 AND expires <= ?2")
                .sql("write to")?
                .execute(params![self.space, now()])
                .sql("write to")?;
            Ok(removed as u64)
        })
    }
}

/// Whether there is the table: not in an old store on a disk that cannot be written to.
fn has_records(connection: &Connection) -> Result<bool> {
    connection.table_exists(None, "records").sql("read")
}

fn find(connection: &Connection, space: &str, id: &str) -> Result<Option<Record>> {
    let statement = format!("SELECT {COLUMNS} FROM records WHERE space = ?1 AND id = ?2");
    connection
        .prepare_cached(&statement)
        .sql("read")?
        .query_row(params![space, id], |row| Ok(record(row)))
        .optional()
        .sql("read")?
        .transpose()
}

fn record(row: &Row<'_>) -> Result<Record> {
    let body: Vec<u8> = row.get(6).sql("read")?;
    let id: String = row.get(0).sql("read")?;
    Ok(Record {
        body: Document::from_reader(body.as_slice()).map_err(|error| {
            Error::corrupt("a record is malformed")
                .on(&id)
                .because(error)
        })?,
        state: row.get(1).sql("read")?,
        owner: row.get(2).sql("read")?,
        due: row.get(3).sql("read")?,
        created: row.get(4).sql("read")?,
        expires: row.get(5).sql("read")?,
        id,
    })
}

fn bytes(body: &Document) -> Result<Vec<u8>> {
    body.to_vec().context(|| "a record cannot be stored")
}

/// The conditions as SQL with `?` for the values.
fn clause(conditions: &[When]) -> (String, Vec<rusqlite::types::Value>) {
    let mut values = Vec::new();
    let mut any = Vec::with_capacity(conditions.len());
    for when in conditions {
        let mut all = vec!["1".to_owned()];
        if !when.states.is_empty() {
            all.push(format!(
                "state IN ({})",
                vec!["?"; when.states.len()].join(", ")
            ));
            values.extend(when.states.iter().map(|state| state.clone().into()));
        }
        if let Some(owner) = &when.owner {
            all.push("owner = ?".to_owned());
            values.push(owner.clone().into());
        }
        if let Some(by) = when.due_by {
            all.push("due <= ?".to_owned());
            values.push(by.into());
        }
        any.push(format!("({})", all.join(" AND ")));
    }
    match any.is_empty() {
        true => ("1".to_owned(), values),
        false => (any.join(" OR "), values),
    }
}
