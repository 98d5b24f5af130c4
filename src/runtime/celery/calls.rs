//! The tasks of omega|ml (spec/runtime.md §5): names and arguments to typed calls and back.

use super::json;
use super::message::TaskMessage;
use super::passthrough;
use super::pickle::Value;
use super::signature::{Kwargs, Signature};
use crate::error::{Error, Result};
use crate::runtime::{Action, Input, ModelCall};
use serde_json::Value as Json;

const MODELS: &str = "omegaml.tasks.omega_";
const RUN_JOB: &str = "omegaml.notebook.tasks.run_omegaml_job";
const SCHEDULE_JOB: &str = "omegaml.notebook.tasks.schedule_omegaml_job";
const EXECUTE_SCRIPTS: &str = "omegaml.notebook.tasks.execute_scripts";
const RUN_SCRIPT: &str = "omegaml.backends.package.tasks.run_omega_script";
const UNLOCK_CHORD: &str = "celery.chord_unlock";
const RUN_CALLBACK: &str = "omegaml.backends.package.tasks.run_omega_callback_script";

/// Seconds before the group of a chord is looked at again, as Celery has it.
const LOOK_AGAIN: f64 = 1.0;

/// The store whose objects a task of this name is about.
pub fn prefix_of(task: &str) -> &'static str {
    match task {
        RUN_JOB | SCHEDULE_JOB | EXECUTE_SCRIPTS => "jobs/",
        RUN_SCRIPT | RUN_CALLBACK => "scripts/",
        _ => "models/",
    }
}

/// The script that a task runs; none for other tasks.
pub fn script_of(message: &TaskMessage) -> Option<&str> {
    let place = match message.task.as_str() {
        RUN_SCRIPT => 0,
        RUN_CALLBACK => message.args.len().checked_sub(1)?,
        _ => return None,
    };
    message.args.get(place)?.as_str()
}

/// What a task is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskCall {
    /// An action of a model.
    Model(ModelCall),
    /// An action of a model that only some models have: `complete`, `embed`, `reduce`.
    Special {
        /// `complete`
        action: String,
        /// Arguments as they came.
        args: Vec<Value>,
        /// Keyword arguments as they came.
        kwargs: Kwargs,
    },
    /// Another task, which a backend may know.
    Other {
        /// Its name.
        task: String,
        /// Its arguments.
        args: Vec<Value>,
        /// Its keyword arguments.
        kwargs: Kwargs,
    },
    /// Whether a worker is there; it answers what it was called with.
    Ping {
        /// Any values.
        args: Vec<Value>,
        /// Any values; with `exception` true the task fails.
        kwargs: Kwargs,
    },
    /// The worker's settings.
    Settings,
    /// Nothing: once loaded models ahead.
    Preload,
    /// Run a job.
    RunJob(JobCall),
    /// Set the schedule of a job.
    ScheduleJob {
        /// The notebook.
        name: String,
        /// Cron or natural language.
        run_at: Option<String>,
    },
    /// Run the jobs that are due.
    ExecuteScripts,
    /// Run a script.
    RunScript {
        /// The script.
        name: String,
        /// Its arguments.
        args: Vec<Value>,
        /// Its keyword arguments.
        kwargs: Kwargs,
    },
    /// Send the task that follows a group, once the group is done.
    UnlockChord {
        /// The group's id.
        group: String,
        /// The tasks of the group.
        tasks: Vec<String>,
        /// What follows; its first argument is the list of their results.
        callback: Box<Signature>,
        /// Seconds before it is looked again.
        interval: f64,
    },
    /// Run a script because a task is done.
    Callback {
        /// The script.
        name: String,
        /// `SUCCESS` or `ERROR`
        state: String,
        /// What the task answered.
        results: Vec<Value>,
        /// The script's keyword arguments.
        kwargs: Kwargs,
    },
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobCall {
    /// The notebook.
    pub name: String,
    /// The trigger that it runs for.
    pub event: Option<String>,
    /// Seconds that it may take.
    pub timeout: Option<f64>,
    /// Values of the notebook's parameters, which workers of om set.
    pub parameters: Kwargs,
}

impl JobCall {
    /// A run by hand, with the notebook's own parameters.
    pub fn new(name: &str) -> Self {
        JobCall {
            name: name.to_owned(),
            ..JobCall::default()
        }
    }
}

/// What every task is told about where and how it runs (spec/runtime.md §3).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surroundings {
    /// Whether results must do without numpy and pandas.
    pub pure_python: bool,
    /// The bucket; none for the default one.
    pub bucket: Option<String>,
    /// What is logged to `.omega/logs`: a level, a logger, both, or nothing. None says
    /// nothing about it.
    pub logging: Option<Value>,
    /// The experiment to track in; the inner none ends tracking.
    pub experiment: Option<Option<String>>,
    /// User, key and qualifier.
    pub auth: Option<Auth>,
    /// How a script's answer is written: `json` or `python`.
    pub format: Option<String>,
    /// Whether a script's error has the whole traceback.
    pub traceback: bool,
}

/// Credentials of the user on whose behalf a task runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// User id.
    pub user: String,
    /// API key.
    pub key: String,
    /// Which of the user's configurations.
    pub qualifier: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Takes what belongs to the framework out of `kwargs`. Names with two underscores that
    /// are not known are dropped: they never reach a model or script.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for malformed ones.
    pub fn take(kwargs: &mut Kwargs) -> Result<Self> {
        let text = |name: &str, value: Value| match value {
            Value::None => Ok(None),
            Value::Str(text) => Ok(Some(text.to_string())),
            other => Err(Error::invalid(format!(
                "`{name}` of a task is a {}, not text",
                other.type_name()
            ))),
        };
        let mut found = Surroundings {
            pure_python: kwargs
                .take("pure_python")
                .is_some_and(|value| is_true(&value)),
            logging: kwargs.take("__logging"),
            traceback: kwargs
                .take("__traceback")
                .is_some_and(|value| is_true(&value)),
            ..Surroundings::default()
        };
        if let Some(bucket) = kwargs.take("__bucket") {
            found.bucket = text("__bucket", bucket)?;
        }
        if let Some(experiment) = kwargs.take("__experiment") {
            found.experiment = Some(text("__experiment", experiment)?);
        }
        if let Some(format) = kwargs.take("__format") {
            found.format = text("__format", format)?;
        }
        match kwargs.take("__auth") {
            None | Some(Value::None) => {}
            Some(auth) => match auth.as_items() {
                Some([Value::Str(user), Value::Str(key), Value::Str(qualifier)]) => {
                    found.auth = Some(Auth {
                        user: user.to_string(),
                        key: key.to_string(),
                        qualifier: qualifier.to_string(),
                    });
                }
                _ => {
                    return Err(Error::invalid(
                        "`__auth` of a task is not (user, key, qualifier)",
                    ));
                }
            },
        }
        kwargs.0.retain(|(name, _)| !name.starts_with("__"));
        Ok(found)
    }

    /// Adds it to `kwargs` in the order of Python clients.
    pub fn put(&self, kwargs: &mut Kwargs) {
        if let Some(format) = &self.format {
            kwargs.push("__format", format.as_str());
        }
        if self.traceback {
            kwargs.push("__traceback", true);
        }
        if let Some(auth) = &self.auth {
            let parts = [&auth.user, &auth.key, &auth.qualifier];
            kwargs.push(
                "__auth",
                Value::tuple(parts.map(|part| part.as_str().into())),
            );
        }
        if let Some(logging) = &self.logging {
            kwargs.push("__logging", logging.clone());
        }
        if let Some(experiment) = &self.experiment {
            kwargs.push("__experiment", experiment.as_deref());
        }
        kwargs.push("pure_python", self.pure_python);
        kwargs.push("__bucket", self.bucket.as_deref());
    }
}

impl TaskCall {
    /// Whether it changes nothing, so that it may as well be run twice.
    pub fn is_pure(&self) -> bool {
        match self {
            TaskCall::Ping { .. } | TaskCall::Settings | TaskCall::Preload => true,
            TaskCall::Model(call) => {
                call.result.is_none()
                    && matches!(
                        call.action,
                        Action::Predict
                            | Action::PredictProba
                            | Action::DecisionFunction
                            | Action::Transform
                    )
            }
            _ => false,
        }
    }

    /// What the message asks for.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for arguments that it doesn't take.
    pub fn of(message: &TaskMessage) -> Result<(Self, Surroundings)> {
        let mut kwargs = message.kwargs.clone();
        let surroundings = Surroundings::take(&mut kwargs)?;
        let call = Self::parse(&message.task, message.args.clone(), kwargs)
            .map_err(|error| error.on(message.task.as_str()))?;
        Ok((call, surroundings))
    }

    fn parse(task: &str, args: Vec<Value>, mut kwargs: Kwargs) -> Result<Self> {
        let other = |args, kwargs| TaskCall::Other {
            task: task.to_owned(),
            args,
            kwargs,
        };
        Ok(match task {
            RUN_JOB => TaskCall::RunJob(JobCall {
                name: name(&args, 0, "name of the job")?,
                event: optional_text(kwargs.take("event"), "event")?,
                timeout: kwargs.take("timeout").as_ref().and_then(Value::as_f64),
                parameters: match kwargs.take("parameters") {
                    None | Some(Value::None) => Kwargs::default(),
                    Some(values) => Kwargs::read(&values)?,
                },
            }),
            SCHEDULE_JOB => TaskCall::ScheduleJob {
                name: name(&args, 0, "name of the job")?,
                run_at: optional_text(
                    args.get(1).cloned().or_else(|| kwargs.take("run_at")),
                    "run_at",
                )?,
            },
            EXECUTE_SCRIPTS => TaskCall::ExecuteScripts,
            UNLOCK_CHORD => {
                let callback = args.get(1).cloned().or_else(|| kwargs.take("callback"));
                TaskCall::UnlockChord {
                    group: name(&args, 0, "id of the group")?,
                    tasks: group(&kwargs.take("result").unwrap_or(Value::None))?,
                    callback: Box::new(Signature::read(&callback.unwrap_or(Value::None))?),
                    interval: kwargs
                        .take("interval")
                        .and_then(|interval| interval.as_f64())
                        .filter(|interval| *interval > 0.0)
                        .unwrap_or(LOOK_AGAIN),
                }
            }
            RUN_SCRIPT => TaskCall::RunScript {
                name: name(&args, 0, "name of the script")?,
                args: args.into_iter().skip(1).collect(),
                kwargs,
            },
            RUN_CALLBACK => {
                let split = args.len().saturating_sub(2);
                TaskCall::Callback {
                    state: name(&args, split, "state")?,
                    name: name(&args, split + 1, "name of the script")?,
                    results: args.into_iter().take(split).collect(),
                    kwargs,
                }
            }
            _ => match task.strip_prefix(MODELS).unwrap_or_default() {
                "ping" => TaskCall::Ping { args, kwargs },
                "settings" => TaskCall::Settings,
                "preload" => TaskCall::Preload,
                action @ ("complete" | "embed" | "reduce") => TaskCall::Special {
                    action: action.to_owned(),
                    args,
                    kwargs,
                },
                action => match Action::ALL.iter().find(|(name, _)| *name == action) {
                    Some((_, action)) => TaskCall::Model(model_call(*action, &args, kwargs)?),
                    None => other(args, kwargs),
                },
            },
        })
    }

    /// The task's name and arguments, as Python clients send them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for what Celery's tasks of omega|ml have no argument for.
    pub fn arguments(&self, surroundings: &Surroundings) -> Result<(String, Vec<Value>, Kwargs)> {
        let (task, args, mut kwargs) = match self {
            TaskCall::Model(call) => from_model_call(call)?,
            TaskCall::Special {
                action,
                args,
                kwargs,
            } => (format!("{MODELS}{action}"), args.clone(), kwargs.clone()),
            TaskCall::Other { task, args, kwargs } => (task.clone(), args.clone(), kwargs.clone()),
            TaskCall::Ping { args, kwargs } => {
                (format!("{MODELS}ping"), args.clone(), kwargs.clone())
            }
            TaskCall::Settings => (format!("{MODELS}settings"), Vec::new(), Kwargs::default()),
            TaskCall::Preload => (format!("{MODELS}preload"), Vec::new(), Kwargs::default()),
            TaskCall::RunJob(job) => {
                let mut kwargs = Kwargs::default();
                if let Some(event) = &job.event {
                    kwargs.push("event", event.as_str());
                }
                kwargs.push("timeout", job.timeout);
                if !job.parameters.0.is_empty() {
                    kwargs.push("parameters", job.parameters.to_value());
                }
                (RUN_JOB.to_owned(), vec![job.name.as_str().into()], kwargs)
            }
            TaskCall::ScheduleJob { name, run_at } => {
                let mut kwargs = Kwargs::default();
                kwargs.push("run_at", run_at.as_deref());
                (SCHEDULE_JOB.to_owned(), vec![name.as_str().into()], kwargs)
            }
            TaskCall::ExecuteScripts => (EXECUTE_SCRIPTS.to_owned(), Vec::new(), Kwargs::default()),
            TaskCall::UnlockChord { .. } => {
                return Err(Error::usage("Celery sends this task, nobody else does"));
            }
            TaskCall::RunScript { name, args, kwargs } => {
                let mut all = vec![name.as_str().into()];
                all.extend(args.iter().cloned());
                (RUN_SCRIPT.to_owned(), all, kwargs.clone())
            }
            TaskCall::Callback {
                name,
                state,
                results,
                kwargs,
            } => {
                let mut all = results.clone();
                all.extend([state.as_str().into(), name.as_str().into()]);
                (RUN_CALLBACK.to_owned(), all, kwargs.clone())
            }
        };
        surroundings.put(&mut kwargs);
        Ok((task, args, kwargs))
    }
}

fn model_call(action: Action, args: &[Value], mut kwargs: Kwargs) -> Result<ModelCall> {
    let mut call = ModelCall::new(&name(args, 0, "name of the model")?, action);
    let x = args.get(1).cloned().or_else(|| kwargs.take("Xname"));
    let y = args.get(2).cloned().or_else(|| kwargs.take("Yname"));
    call.x = input(x)?;
    call.y = input(y)?;
    call.result = optional_text(kwargs.take("rName"), "rName")?;
    call.metric = optional_text(kwargs.take("metric"), "metric")?;
    let folds = kwargs.take("folds").and_then(|folds| folds.as_int());
    call.folds = folds.and_then(|folds| usize::try_from(folds).ok());
    if let Some(grid) = kwargs.take("parameters")
        && !grid.is_none()
    {
        for (name, values) in Kwargs::read(&grid)?.0 {
            call.params.push((name, json::plain(&values)?));
        }
    }
    for (name, value) in kwargs.0 {
        call.params.push((name, json::plain(&value)?));
    }
    Ok(call)
}

fn from_model_call(call: &ModelCall) -> Result<(String, Vec<Value>, Kwargs)> {
    let action = call.action.name();
    let given = |input: &Option<Input>| match input {
        None => Value::None,
        Some(Input::Name(name)) => name.as_str().into(),
        Some(Input::Inline(data)) => passthrough::wrap(data),
    };
    let args = vec![call.model.as_str().into(), given(&call.x)];
    let mut kwargs = Kwargs::default();
    let result = |kwargs: &mut Kwargs| kwargs.push("rName", call.result.as_deref());
    match call.action {
        Action::Predict | Action::PredictProba | Action::Transform | Action::DecisionFunction => {
            result(&mut kwargs);
        }
        Action::Fit | Action::PartialFit => kwargs.push("Yname", given(&call.y)),
        Action::FitTransform | Action::Score => {
            kwargs.push("Yname", given(&call.y));
            result(&mut kwargs);
        }
        Action::Gridsearch => {
            kwargs.push("Yname", given(&call.y));
            if call.result.is_some() {
                result(&mut kwargs);
            }
        }
    }
    let params = call.params.iter();
    let params = params.map(|(name, value)| (name.clone(), json::to_value(value)));
    match call.action {
        Action::Gridsearch => kwargs.push("parameters", Kwargs(params.collect()).to_value()),
        _ => kwargs.0.extend(params),
    }
    // Not in Python omega|ml; its models refuse what they don't know.
    if let Some(metric) = &call.metric {
        kwargs.push("metric", metric.as_str());
    }
    if let Some(folds) = call.folds {
        kwargs.push(
            "folds",
            Value::Int(i64::try_from(folds).unwrap_or(i64::MAX)),
        );
    }
    Ok((format!("{MODELS}{action}"), args, kwargs))
}

fn input(value: Option<Value>) -> Result<Option<Input>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(name)) => Ok(Some(Input::Name(name.to_string()))),
        Some(other) => match passthrough::data(&other)? {
            Some(data) => Ok(Some(Input::Inline(data))),
            // A client of our own may send plain data in JSON.
            None => match json::plain(&other)? {
                data @ (Json::Array(_) | Json::Object(_) | Json::Number(_)) => {
                    Ok(Some(Input::Inline(data)))
                }
                _ => Err(Error::invalid(format!(
                    "a {} is neither data nor the name of a data set",
                    other.type_name()
                ))),
            },
        },
    }
}

fn name(args: &[Value], index: usize, what: &str) -> Result<String> {
    let text = args.get(index).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| Error::invalid(format!("the {what} is missing")))
}

/// The ids of the tasks of a group: `((id, parent), children)` each.
fn group(results: &Value) -> Result<Vec<String>> {
    let malformed = || Error::invalid("the group of a chord is malformed");
    let id = |task: &Value| {
        let id = task.as_items()?.first()?;
        let id = id.as_str().or_else(|| id.as_items()?.first()?.as_str())?;
        Some(id.to_owned())
    };
    let tasks = results.as_items().ok_or_else(malformed)?;
    let ids = tasks.iter().map(|task| id(task).ok_or_else(malformed));
    ids.collect()
}

fn optional_text(value: Option<Value>, name: &str) -> Result<Option<String>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text.to_string())),
        Some(other) => Err(Error::invalid(format!(
            "`{name}` is a {}, not text",
            other.type_name()
        ))),
    }
}

/// Python's truth of plain values.
fn is_true(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(false) | Value::Int(0) => false,
        Value::Str(text) => !text.is_empty(),
        _ => true,
    }
}
