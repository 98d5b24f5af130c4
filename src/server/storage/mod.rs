//! Objects as other programs of ours see them (`crate::remote::wire`): the whole storage,
//! within the rights of who asks. People and scripts read the same as JSON, CSV, Parquet.

mod reading;
mod records;
mod uploads;

pub use reading::Plans;
pub use uploads::Uploads;

use super::app::Call;
use super::reply::Reply;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::wire;
use crate::storage::{Key, Metadata, Selection};
use bson::{Bson, Document, doc};
use regex::Regex;

/// What of the storage a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRoute {
    /// Which stores and buckets there are.
    Stores,
    /// Sizes of many objects.
    Stats,
    /// Whether everything is as it was written.
    Check,
    /// The objects of a store.
    List(String),
    /// A part of an object: prefix, name, part.
    Part(String, String, Part),
    /// A part of an upload: id, part.
    Upload(String, String),
    /// Records: space, verb.
    Records(String, String),
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its metadata; the object itself where it is deleted.
    Metadata,
    /// Another name for it.
    Rename,
    /// How a query of rows would be run.
    Plan,
    /// Its rows.
    Rows,
    /// Its documents.
    Documents,
    /// Its bytes.
    Content,
    /// Its size.
    Stats,
    /// The entries of a log.
    Log,
    /// Where writing it starts.
    Upload,
}

impl Part {
    const ALL: [(&str, Part); 9] = [
        ("metadata", Part::Metadata),
        ("rename", Part::Rename),
        ("plan", Part::Plan),
        ("rows", Part::Rows),
        ("documents", Part::Documents),
        ("content", Part::Content),
        ("stats", Part::Stats),
        ("log", Part::Log),
        ("upload", Part::Upload),
    ];

    fn word(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, part)| *part == self)
            .map_or("", |(word, _)| word)
    }
}

impl StoreRoute {
    /// What a path names, as it was sent: a name is one segment, its slashes encoded.
    pub fn of(raw_path: &str) -> Option<Self> {
        if let Some(rest) = raw_path.strip_prefix(wire::UPLOADS) {
            let (id, part) = rest.strip_prefix('/')?.split_once('/')?;
            return Some(StoreRoute::Upload(id.to_owned(), part.to_owned()));
        }
        if let Some(rest) = raw_path.strip_prefix(wire::RECORDS) {
            let (space, verb) = rest.strip_prefix('/')?.split_once('/')?;
            return Some(StoreRoute::Records(wire::decoded(space)?, verb.to_owned()));
        }
        let rest = raw_path.strip_prefix(wire::STORE)?;
        let rest = match rest {
            "" | "/" => return Some(StoreRoute::Stores),
            "/stats" => return Some(StoreRoute::Stats),
            "/check" => return Some(StoreRoute::Check),
            rest => rest.strip_prefix('/')?,
        };
        let mut segments = rest.split('/');
        let prefix = wire::prefix_of(segments.next()?)?;
        let Some(name) = segments.next().filter(|name| !name.is_empty()) else {
            return Some(StoreRoute::List(prefix));
        };
        let word = segments.next()?;
        let part = Part::ALL.iter().find(|(known, _)| *known == word)?.1;
        match segments.next() {
            Some(_) => None,
            None => Some(StoreRoute::Part(prefix, wire::decoded(name)?, part)),
        }
    }

    /// The methods that it takes.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            StoreRoute::Stores | StoreRoute::List(_) => &["GET"],
            StoreRoute::Stats | StoreRoute::Check | StoreRoute::Records(..) => &["POST"],
            StoreRoute::Part(_, _, part) => match part {
                Part::Metadata => &["GET", "PATCH", "DELETE"],
                Part::Rename | Part::Plan | Part::Upload => &["POST"],
                Part::Rows | Part::Documents | Part::Log => &["GET", "POST"],
                Part::Content | Part::Stats => &["GET"],
            },
            StoreRoute::Upload(_, part) => match part.as_str() {
                "" => &["DELETE"],
                "commit" | "index" => &["POST"],
                _ => &["PUT"],
            },
        }
    }
}

/// The answer to a request.
pub fn answer(call: &Call<'_>, route: &StoreRoute, method: &str) -> Reply {
    told(call, respond(call, route, method))
}

/// An outcome, in the form that is asked for.
pub fn told(call: &Call<'_>, outcome: Result<Reply>) -> Reply {
    outcome.unwrap_or_else(|error| failed(call, &error))
}

fn respond(call: &Call<'_>, route: &StoreRoute, method: &str) -> Result<Reply> {
    let (name, part) = match route {
        StoreRoute::Part(_, name, part) => (name.as_str(), part.word()),
        _ => ("", ""),
    };
    call.permit("store", name, part)
        .map_err(|failure| Error::new(ErrorKind::Unauthorized, failure.message()))?;
    check_digest(call)?;
    let storage = call.om.storage();
    match route {
        StoreRoute::Stores => document(call, stores(call)?),
        StoreRoute::List(prefix) => list(call, prefix),
        StoreRoute::Stats => reading::stats(call),
        StoreRoute::Check => {
            let repair = call
                .request
                .param("repair")
                .is_some_and(super::request::is_true);
            let report = storage.check(repair, call.om.progress().as_ref())?;
            document(call, wire::report(&report))
        }
        StoreRoute::Upload(id, part) => uploads::go_on(call, id, part),
        StoreRoute::Records(space, verb) => records::answer(call, space, verb),
        StoreRoute::Part(prefix, name, part) => {
            let name = call.request.param(wire::NAME).unwrap_or(name);
            let key = Key::new(call.om.bucket_name(), prefix, name);
            match (part, method) {
                (Part::Metadata, "PATCH") => {
                    let update = wire::update_of(&sent(call)?)?;
                    document(call, wire::metadata(&storage.update(&key, &update)?))
                }
                (Part::Metadata, "DELETE") => {
                    document(call, doc! { "deleted": storage.delete(&key)? })
                }
                (Part::Metadata, _) => metadata(call, &key),
                (Part::Rename, _) => rename(call, &key),
                (Part::Plan, _) => reading::plan(call, &key),
                (Part::Rows, _) => reading::rows(call, &key),
                (Part::Documents, _) => reading::documents(call, &key),
                (Part::Content, _) => reading::content(call, &key),
                (Part::Stats, _) => {
                    let metadata = reading::meant(call, &key, call.request.param("as"))?;
                    document(call, wire::stats(&storage.stats(&metadata)?))
                }
                (Part::Log, "POST") => records::append(call, &key),
                (Part::Log, _) => records::since(call, &key),
                (Part::Upload, _) => uploads::start(call, &key),
            }
        }
    }
}

fn stores(call: &Call<'_>) -> Result<Document> {
    let stores = crate::store::PREFIXES.iter().map(|(noun, _)| *noun);
    Ok(doc! {
        "om": env!("CARGO_PKG_VERSION"),
        "stores": stores.collect::<Vec<_>>(),
        "default_bucket": call.om.default_bucket(),
        "buckets": call.om.storage().buckets()?,
    })
}

fn list(call: &Call<'_>, prefix: &str) -> Result<Reply> {
    let request = call.request;
    let flag = |name| request.param(name).is_some_and(super::request::is_true);
    let names = request.param("names").map(Regex::new).transpose();
    let names =
        names.map_err(|error| Error::usage("`names` is no regular expression").because(error))?;
    let kinds = request.query.iter().filter(|(name, _)| name == "kind");
    let selection = Selection {
        names,
        kinds: kinds.map(|(_, kind)| kind.clone()).collect(),
        hidden: flag("hidden"),
        temporary: flag("temporary"),
        ..Selection::new(call.om.bucket_name(), prefix)
    };
    let found = call.om.storage().list(&selection)?;
    documents(call, found.iter().map(wire::metadata).collect())
}

fn metadata(call: &Call<'_>, key: &Key) -> Result<Reply> {
    match call.om.storage().find(key)? {
        Some(metadata) => document(call, wire::metadata(&metadata)),
        None if call.request.param("optional").is_some() => document(call, Document::new()),
        None => Err(Error::not_found(format!("{key} does not exist")).on(key.to_string())),
    }
}

fn rename(call: &Call<'_>, from: &Key) -> Result<Reply> {
    let target = sent(call)?;
    let text = |field: &str| target.get_str(field).ok();
    let to = Key {
        bucket: bucket(call, text("bucket").unwrap_or(&from.bucket)),
        prefix: text("prefix").unwrap_or(&from.prefix).to_owned(),
        name: text("name")
            .ok_or_else(|| Error::usage("the field `name` is missing"))?
            .to_owned(),
    };
    document(call, wire::metadata(&call.om.storage().rename(from, &to)?))
}

/// A bucket as it is stored.
fn bucket(call: &Call<'_>, name: &str) -> String {
    match name {
        "default" => call.om.default_bucket().to_owned(),
        name => name.to_owned(),
    }
}

/// Fails when the body is not what its digest says.
fn check_digest(call: &Call<'_>) -> Result<()> {
    match call.request.header(wire::DIGEST) {
        Some(told) if told.starts_with("sha-256=") && told != wire::digest(&call.request.body) => {
            Err(Error::new(
                ErrorKind::Unreachable,
                "the body was damaged on its way",
            ))
        }
        _ => Ok(()),
    }
}

/// The document in the body, which may be JSON; empty where there is none.
pub fn sent(call: &Call<'_>) -> Result<Document> {
    let request = call.request;
    if request.body.is_empty() {
        return Ok(Document::new());
    }
    if request.header("content-type") == Some(wire::BSON) {
        return wire::document(&request.body);
    }
    let fields = request
        .fields()
        .map_err(|failure| Error::invalid(failure.message()))?;
    Document::try_from(fields)
        .map_err(|error| Error::invalid("the body is malformed").because(error))
}

/// Whether who asks is a program of ours.
pub fn takes_bson(call: &Call<'_>) -> bool {
    let accepted = call.request.header("accept");
    accepted.is_some_and(|accepted| accepted.contains(wire::BSON))
}

/// A document, in the form that is asked for.
pub fn document(call: &Call<'_>, document: Document) -> Result<Reply> {
    match takes_bson(call) {
        true => Ok(Reply::bytes(wire::BSON, wire::bytes(&document)?)),
        false => Ok(Reply::bytes(
            "application/json",
            readable(document).to_string().into_bytes(),
        )),
    }
}

/// Documents, in the form that is asked for.
fn documents(call: &Call<'_>, documents: Vec<Document>) -> Result<Reply> {
    match takes_bson(call) {
        true => {
            let mut all = Vec::new();
            for document in &documents {
                all.extend(wire::bytes(document)?);
            }
            Ok(Reply::bytes(wire::BSON, all))
        }
        false => {
            let all = documents.into_iter().map(readable).collect();
            let all = serde_json::Value::Array(all);
            Ok(Reply::bytes(
                "application/json",
                all.to_string().into_bytes(),
            ))
        }
    }
}

fn readable(document: Document) -> serde_json::Value {
    Bson::from(document).into_relaxed_extjson()
}

fn failed(call: &Call<'_>, error: &Error) -> Reply {
    let status = match error.kind() {
        ErrorKind::NotFound => 404,
        ErrorKind::Unauthorized => 403,
        ErrorKind::Conflict => 409,
        ErrorKind::Invalid | ErrorKind::Usage | ErrorKind::TaskFailed => 400,
        ErrorKind::Unreachable | ErrorKind::Interrupted => 503,
        ErrorKind::TimedOut => 504,
        ErrorKind::Failed | ErrorKind::Corrupt | ErrorKind::BrokenPipe => 500,
    };
    if status >= 500 {
        tracing::error!("{error}");
    }
    let told = wire::error(error);
    let reply = match takes_bson(call) {
        true => Reply::bytes(wire::BSON, wire::bytes(&told).unwrap_or_default()),
        false => {
            let told = serde_json::json!({
                "message": error.to_string(), "error": readable(told),
            });
            Reply::bytes("application/json", told.to_string().into_bytes())
        }
    };
    let reply = reply.status(status);
    match status {
        503 => reply.header("retry-after", "1"),
        _ => reply,
    }
}

/// What identifies the content that metadata speaks of.
fn tag(metadata: &Metadata) -> String {
    use sha2::{Digest, Sha256};
    let content = metadata.content.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{}/{content}", metadata.id));
    let short = digest.split_at(16).0;
    format!("\"{}\"", hex::encode(short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_name_parts_of_objects() {
        let key = Key::new("", "data/", "a/b/rows");
        for (path, route) in [
            ("/api/v1/store", Some(StoreRoute::Stores)),
            (
                "/api/v1/store/models",
                Some(StoreRoute::List("models/".to_owned())),
            ),
            (
                "/api/v1/store/models/",
                Some(StoreRoute::List("models/".to_owned())),
            ),
            ("/api/v1/store/nothing", None),
            (
                &wire::object_path(&key, "rows"),
                Some(StoreRoute::Part(
                    "data/".to_owned(),
                    key.name.clone(),
                    Part::Rows,
                )),
            ),
            ("/api/v1/store/datasets/a/b/rows", None),
            (
                "/api/v1/upload/1/commit",
                Some(StoreRoute::Upload("1".to_owned(), "commit".to_owned())),
            ),
        ] {
            assert_eq!(StoreRoute::of(path), route, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in "/api/v1/(store|upload|records)[a-z/%0-9]{0,30}") {
            let _ = StoreRoute::of(&path);
        }
    }
}
