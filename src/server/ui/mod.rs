//! The dashboard: pages that are made here whole, without scripts and without anything from
//! outside. Which object a page shows stands in its path (spec/rest.md §9), the bucket in the
//! query.

mod layout;
mod notebook;
mod object;
mod plot;
mod repository;
mod runtime;

use super::app::Call;
use super::reply::{Failure, Reply};
use crate::error::ErrorKind;
use layout::Shell;
pub use layout::document;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// What there is.
    Index,
    /// The objects of a store.
    List(&'static str),
    /// An object of a store.
    Object(&'static str, String),
    /// Its bytes.
    Raw(&'static str, String),
    /// Workers and tasks.
    Runtime,
    /// A task.
    Task(String),
    /// What workers have logged.
    Log,
}

/// The stores in the order of the navigation.
const NOUNS: [&str; 5] = ["datasets", "models", "jobs", "scripts", "streams"];

impl Page {
    /// The page at the decoded `path`.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        match path {
            "index" => return Some(Page::Index),
            "runtime" => return Some(Page::Runtime),
            "runtime/log" => return Some(Page::Log),
            _ => {}
        }
        if let Some(id) = path.strip_prefix("runtime/task/") {
            return (!id.is_empty()).then(|| Page::Task(id.to_owned()));
        }
        let (raw, path) = match path.strip_prefix("raw/") {
            Some(rest) => (true, rest),
            None => (false, path),
        };
        let (noun, name) = path.split_once('/').unwrap_or((path, ""));
        let noun = NOUNS.into_iter().find(|known| *known == noun)?;
        match (raw, name) {
            (false, "") => Some(Page::List(noun)),
            (true, "") => None,
            (false, name) => Some(Page::Object(noun, name.to_owned())),
            (true, name) => Some(Page::Raw(noun, name.to_owned())),
        }
    }

    /// The methods that it takes: forms are posted to models and jobs.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Page::Object("models" | "jobs", _) => &["GET", "POST"],
            _ => &["GET"],
        }
    }
}

/// The page, or one that says why not.
pub fn show(call: &Call<'_>, page: &Page, method: &str) -> Reply {
    let shell = Shell::new(call, page);
    let made = match (page, method) {
        (Page::Index, _) => repository::index(call, &shell),
        (Page::List(noun), _) => repository::list(call, &shell, noun),
        (Page::Object("models", name), "POST") => object::predict(call, &shell, name),
        (Page::Object("jobs", name), "POST") => object::run_job(call, &shell, name),
        (Page::Object(noun, name), _) => object::show(call, &shell, noun, name, None),
        (Page::Raw(noun, name), _) => object::raw(call, noun, name),
        (Page::Runtime, _) => runtime::overview(call, &shell),
        (Page::Task(id), _) => runtime::task(call, &shell, id),
        (Page::Log, _) => runtime::log(call, &shell),
    };
    made.unwrap_or_else(|failure| shell.failed(&failure))
}

/// Errors of objects as pages have them: 404 for what is not there.
fn of_page(error: crate::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new(404, error.to_string()),
        _ => Failure::from(error).untraced(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_pages() {
        for (path, page) in [
            ("/index", Some(Page::Index)),
            ("/datasets", Some(Page::List("datasets"))),
            ("/datasets/", Some(Page::List("datasets"))),
            ("/models/a/b", Some(Page::Object("models", "a/b".into()))),
            (
                "/raw/datasets/x.png",
                Some(Page::Raw("datasets", "x.png".into())),
            ),
            ("/raw/datasets", None),
            ("/runtime/task/1", Some(Page::Task("1".into()))),
            ("/runtime/task/", None),
            ("/users", None),
            ("", None),
        ] {
            assert_eq!(Page::of(path), page, "{path}");
        }
    }
}
