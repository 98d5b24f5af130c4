//! Which resource a path names (spec/rest.md §3). Names may hold slashes, and the action
//! is what follows the last one.

use super::storage::StoreRoute;
use super::ui::Page;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Whether the server answers.
    Ping,
    /// A model's metadata.
    Model(String),
    /// An action of a model.
    Action(String, String),
    /// A data set.
    Dataset(String),
    /// Running a script.
    Script(String),
    /// All jobs, which omega|ml never came to list.
    Jobs,
    /// A job and its runs.
    Job(String),
    /// Running a job.
    RunJob(String),
    /// All tasks, and where they are handed in.
    Tasks,
    /// A task.
    Task(String),
    /// The state of a task.
    TaskStatus(String),
    /// What a task answered.
    TaskResult(String),
    /// A service, with the action if the path has one.
    Service(String, Option<String>),
    /// A generative model's metadata.
    Ai(String),
    /// An action of a generative model.
    AiAction(String, String),
    /// The generative models.
    AiModels,
    /// An action of the generative model that the body names.
    OpenAi(&'static str),
    /// The storage, for programs of ours.
    Store(StoreRoute),
    /// What workers log.
    Log,
    /// A page of the dashboard.
    Page(Page),
    /// The start page.
    Root,
    /// Where the page of the API used to be.
    Docs,
    /// The page of the API.
    Doc,
    /// The API's description.
    Swagger,
    /// Whether the process lives.
    Alive,
    /// Whether it can answer.
    Ready,
    /// Counters.
    Metrics,
    /// The same path with a slash behind it.
    AddSlash,
    /// Nothing; whether it is nothing of the API.
    Unknown {
        /// Answer in JSON.
        api: bool,
    },
}

impl Route {
    /// What a request names by a path, decoded and as it was sent.
    pub fn asked(path: &str, raw_path: &str) -> Self {
        StoreRoute::of(raw_path).map_or_else(|| Self::of(path), Route::Store)
    }

    /// What the decoded `path` names.
    pub fn of(path: &str) -> Self {
        match path {
            "/" => return Route::Root,
            "/api/docs" => return Route::Docs,
            "/api/doc" => return Route::Doc,
            "/swagger.json" => return Route::Swagger,
            "/api/v1/log" => return Route::Log,
            "/healthz" => return Route::Alive,
            "/readyz" => return Route::Ready,
            "/metrics" => return Route::Metrics,
            "/api/openai/v1/models" => return Route::AiModels,
            "/api/openai/v1/chat/completions" => return Route::OpenAi("complete"),
            "/api/openai/v1/embeddings" => return Route::OpenAi("embed"),
            _ => {}
        }
        let unknown = Route::Unknown {
            api: path.starts_with("/api/v1/")
                || path.starts_with("/api/v2/")
                || path.starts_with("/api/service/")
                || path.starts_with("/api/openai/"),
        };
        if let Some(rest) = path
            .strip_prefix("/api/service/")
            .or_else(|| path.strip_prefix("/api/v1/service/"))
        {
            return match split(rest) {
                Split::Bare => Route::AddSlash,
                Split::Named(name) => Route::Service(name, None),
                Split::Action(name, action) => Route::Service(name, Some(action)),
                Split::Nothing => unknown,
            };
        }
        if let Some(rest) = path.strip_prefix("/api/v2/ai/") {
            return match split(rest) {
                Split::Bare => Route::AddSlash,
                Split::Named(name) => Route::Ai(name),
                Split::Action(name, action) => Route::AiAction(name, action),
                Split::Nothing => unknown,
            };
        }
        let Some(rest) = path.strip_prefix("/api/v1/") else {
            return Page::of(path).map_or(unknown, Route::Page);
        };
        let (resource, rest) = match rest.split_once('/') {
            Some((resource, rest)) => (resource, rest),
            None if rest == "ping" => return Route::Ping,
            None if rest == "job" => return Route::AddSlash,
            None => return unknown,
        };
        match resource {
            "model" => match split(rest) {
                Split::Bare => Route::AddSlash,
                Split::Named(name) => Route::Model(name),
                Split::Action(name, action) => Route::Action(name, action),
                Split::Nothing => unknown,
            },
            "dataset" if !rest.is_empty() && !rest.ends_with('/') => {
                Route::Dataset(rest.to_owned())
            }
            "script" => match split(rest) {
                Split::Action(name, action) if action == "run" => Route::Script(name),
                _ => unknown,
            },
            "job" => match split(rest) {
                _ if rest.is_empty() => Route::Jobs,
                Split::Bare => Route::AddSlash,
                Split::Named(name) => Route::Job(name),
                Split::Action(name, action) if action == "run" => Route::RunJob(name),
                Split::Action(..) => Route::AddSlash,
                Split::Nothing => unknown,
            },
            "task" => match split(rest) {
                _ if rest.is_empty() => Route::Tasks,
                Split::Bare => Route::Task(rest.to_owned()),
                Split::Action(id, action) if action == "status" => Route::TaskStatus(id),
                Split::Action(id, action) if action == "result" => Route::TaskResult(id),
                _ => unknown,
            },
            _ => unknown,
        }
    }

    /// The methods that it takes.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Route::Page(page) => page.methods(),
            Route::Store(route) => route.methods(),
            Route::Action(..) => &["GET", "PUT"],
            Route::Dataset(_) => &["GET", "PUT", "DELETE"],
            Route::Script(_) | Route::RunJob(_) => &["POST"],
            Route::Tasks => &["GET", "POST"],
            Route::Task(_) => &["GET", "DELETE"],
            Route::Service(..) => &["GET", "POST", "PUT", "DELETE"],
            Route::AiAction(..) | Route::OpenAi(_) => &["POST", "PUT"],
            _ => &["GET"],
        }
    }

    /// A word for logs and counters, without names.
    pub fn label(&self) -> &'static str {
        match self {
            Route::Ping => "ping",
            Route::Store(_) => "store",
            Route::Log => "log",
            Route::Model(_) | Route::Action(..) => "model",
            Route::Dataset(_) => "dataset",
            Route::Script(_) => "script",
            Route::Jobs | Route::Job(_) | Route::RunJob(_) => "job",
            Route::Tasks | Route::Task(_) | Route::TaskStatus(_) | Route::TaskResult(_) => "task",
            Route::Service(..) => "service",
            Route::Ai(_) | Route::AiAction(..) | Route::AiModels | Route::OpenAi(_) => "ai",
            Route::Root | Route::Docs | Route::Doc | Route::Swagger => "doc",
            Route::Page(_) => "page",
            Route::Alive | Route::Ready => "health",
            Route::Metrics => "metrics",
            Route::AddSlash | Route::Unknown { .. } => "none",
        }
    }
}

enum Split {
    /// A name without a slash behind it.
    Bare,
    Named(String),
    Action(String, String),
    Nothing,
}

fn split(rest: &str) -> Split {
    match rest.rsplit_once('/') {
        None if rest.is_empty() => Split::Nothing,
        None => Split::Bare,
        Some(("", _)) => Split::Nothing,
        Some((name, "")) => Split::Named(name.to_owned()),
        Some((name, action)) => Split::Action(name.to_owned(), action.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_name_resources() {
        let named = |text: &str| text.to_owned();
        for (path, route) in [
            ("/api/v1/ping", Route::Ping),
            ("/api/v1/model/rt/", Route::Model(named("rt"))),
            ("/api/v1/model/rt", Route::AddSlash),
            (
                "/api/v1/model/a/b/fit",
                Route::Action(named("a/b"), named("fit")),
            ),
            ("/api/v1/dataset/t/types", Route::Dataset(named("t/types"))),
            ("/api/v1/dataset/x/", Route::Unknown { api: true }),
            ("/api/v1/script/s/run", Route::Script(named("s"))),
            ("/api/v1/script/s/walk", Route::Unknown { api: true }),
            ("/api/v1/job", Route::AddSlash),
            ("/api/v1/job/", Route::Jobs),
            ("/api/v1/job/nb", Route::AddSlash),
            ("/api/v1/job/nb/", Route::Job(named("nb"))),
            ("/api/v1/job/nb/run", Route::RunJob(named("nb"))),
            ("/api/v1/task/1/status", Route::TaskStatus(named("1"))),
            ("/api/service/nope", Route::AddSlash),
            (
                "/api/v1/service/x/doc",
                Route::Service(named("x"), Some(named("doc"))),
            ),
            ("/api/nothing", Route::Unknown { api: false }),
            ("/api/v1/model//", Route::Unknown { api: true }),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in "(/api/(v1|v2/ai|service)/)?[a-z/%\\[\\]@.]{0,30}") {
            let _ = Route::of(&path);
        }
    }
}
