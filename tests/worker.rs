//! Workers on both brokers, as processes: they are killed at any stage, their broker is
//! restarted, they are stopped and steered, and every task ends exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use omega::broker::{self, Broker};
use omega::config::{AmqpSettings, BrokerSettings, StoreUrl, Url};
use omega::runtime::celery::signature::Kwargs;
use omega::runtime::{
    Action, Input, ModelCall, Outcome, QueueRuntime, Runtime, SubmitOptions, TaskCall, TaskRecord,
    TaskSelection, TaskState,
};
use omega::storage::Storage;
use omega::store::PutOptions;
use omega::{ErrorKind, Omega};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[path = "home/mod.rs"]
mod home;
mod rabbit;
mod server;
mod stores;

use home::Home;
use rabbit::{Rabbit, rabbit};

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// A store and a broker, and a label that nobody else uses.
struct Place {
    home: Home,
    settings: Vec<(String, String)>,
    broker: BrokerSettings,
    storage: Arc<dyn Storage>,
    label: String,
    /// How many workers may die over a task.
    deaths: u32,
}

impl Place {
    fn directory() -> Self {
        let home = Home::new();
        let path = home.path("store");
        let url = format!("file://{}", path.display());
        Place {
            settings: vec![("OMEGA_STORE_URL".to_owned(), url.clone())],
            broker: BrokerSettings::Directory(StoreUrl::parse(&url).unwrap()),
            storage: Arc::from(stores::open(path.to_str().unwrap())),
            label: "default".to_owned(),
            deaths: 3,
            home,
        }
    }

    fn cluster_on(rabbit: &Rabbit) -> Self {
        let (database, url) = (server::mongo().database(), rabbit.url());
        Place {
            settings: vec![
                ("OMEGA_MONGO_URL".to_owned(), database.clone()),
                ("OMEGA_BROKER".to_owned(), url.clone()),
            ],
            broker: BrokerSettings::Amqp(AmqpSettings {
                url: Url::new(url),
                tls: false,
                ca_file: None,
            }),
            storage: Arc::from(stores::open(&database)),
            label: Rabbit::name("label"),
            deaths: 3,
            home: Home::new(),
        }
    }

    fn cluster() -> Self {
        Self::cluster_on(rabbit())
    }

    fn om(&self) -> Omega {
        Omega::new(self.storage.clone(), Arc::new(omega::progress::Silent))
    }

    fn open(&self) -> Arc<dyn Broker> {
        Arc::from(broker::open(&self.broker, broker::Options::default()).unwrap())
    }

    fn runtime(&self) -> QueueRuntime {
        self.om().queue_runtime(self.open(), &self.label)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.om(args);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A worker that has taken up its work.
    fn worker(&self, name: &str, more: &[&str]) -> Worker {
        let worker = self.start(name, more, &[]);
        let began = Instant::now();
        let node = format!("{name}@");
        while !self.answers(&node) {
            assert!(began.elapsed() < LONG, "the worker {name} does not answer");
        }
        worker
    }

    fn answers(&self, node: &str) -> bool {
        let found = omega::runtime::control::ask(
            self.open().as_ref(),
            "ping",
            Kwargs::default(),
            None,
            Duration::from_millis(500),
            &omega::progress::Silent,
        );
        found
            .unwrap()
            .iter()
            .any(|(worker, _)| worker.starts_with(node))
    }

    fn start(&self, name: &str, more: &[&str], settings: &[(&str, &str)]) -> Worker {
        let mut command = self.command(&["runtime", "worker", "--name", name]);
        command
            .args(["--queues", &self.label, "--lease", "2s"])
            .args(["--max-deaths", &self.deaths.to_string()])
            .args(more)
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    fn submit(&self, runtime: &QueueRuntime, call: &TaskCall) -> String {
        runtime.submit(call, &SubmitOptions::default()).unwrap()
    }

    fn all(&self) -> Vec<TaskRecord> {
        self.om().tasks().list(&TaskSelection::default()).unwrap()
    }

    /// Waits until all tasks are finished.
    fn finished(&self, count: usize) -> Vec<TaskRecord> {
        let began = Instant::now();
        loop {
            let all = self.all();
            if all.len() == count && all.iter().all(|task| task.state.is_final()) {
                return all;
            }
            let open: BTreeMap<&str, usize> = all.iter().fold(BTreeMap::new(), |mut open, task| {
                *open.entry(task.state.word()).or_default() += 1;
                open
            });
            assert!(began.elapsed() < LONG, "{open:?} of {count}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A model that takes its time to be fitted.
    fn slow_model(&self) -> TaskCall {
        let om = self.om();
        let model =
            omega::models::Model::new("random-forest", &[("n_estimators".to_owned(), 4000.into())]);
        om.models
            .save("slow", &model.unwrap(), &PutOptions::default())
            .unwrap();
        let x: Vec<f64> = (0..4000).map(|n| f64::from(n % 97)).collect();
        let y: Vec<i64> = (0..4000).map(|n| n % 3).collect();
        let frame = polars::prelude::df!("x" => x, "y" => y).unwrap();
        om.datasets.put_frame("points", frame).unwrap();
        TaskCall::Model(ModelCall {
            x: Some(Input::Name("points[x]".to_owned())),
            y: Some(Input::Name("points[y]".to_owned())),
            ..ModelCall::new("slow", Action::Fit)
        })
    }
}

/// A worker's process; killed when dropped.
struct Worker(Child);

impl Worker {
    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code.
    fn wait(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < LONG, "the worker does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ping(number: i64) -> TaskCall {
    let mut kwargs = Kwargs::default();
    kwargs.push("number", omega::runtime::celery::pickle::Value::Int(number));
    TaskCall::Ping {
        args: Vec::new(),
        kwargs,
    }
}

/// All tasks have ended well, once, with the answer that belongs to them.
fn all_well(tasks: &[TaskRecord], numbers: &BTreeMap<String, i64>) {
    for task in tasks {
        assert_eq!(task.state, TaskState::Success, "{task:?}");
        let number = task.result.pointer("/kwargs/number");
        assert_eq!(
            number.and_then(|number| number.as_i64()),
            Some(numbers[&task.id])
        );
    }
}

fn killed_workers(mut place: Place, count: i64) {
    // Here the tasks are not to blame.
    place.deaths = 1_000;
    let runtime = place.runtime();
    let mut workers: Vec<Worker> = (0..3)
        .map(|number| place.worker(&format!("w{number}"), &[]))
        .collect();
    let numbers: BTreeMap<String, i64> = std::thread::scope(|scope| {
        let submitting = scope.spawn(|| {
            (0..count)
                .map(|number| (place.submit(&runtime, &ping(number)), number))
                .collect()
        });
        let mut kills = 0;
        while !submitting.is_finished() || kills < 8 {
            std::thread::sleep(Duration::from_millis(250));
            let which = kills % workers.len();
            // The old one is killed as the new one comes.
            workers[which] = place.start(&format!("k{kills}"), &[], &[]);
            kills += 1;
        }
        submitting.join().unwrap()
    });
    let tasks = place.finished(numbers.len());
    all_well(&tasks, &numbers);
}

#[test]
fn a_thousand_tasks_survive_killed_workers_in_a_directory() {
    killed_workers(Place::directory(), 1000);
}

#[test]
fn a_thousand_tasks_survive_killed_workers_on_a_cluster() {
    killed_workers(Place::cluster(), 1000);
}

/// A worker dies at each step that it takes in the store, over a task of its own.
fn dying_at_every_step(mut place: Place, steps: std::ops::Range<u32>) {
    // A task that is handed back may meet several of them, and is not to blame.
    place.deaths = 1_000;
    let runtime = place.runtime();
    let mut numbers = BTreeMap::new();
    for step in steps {
        let number = i64::from(step);
        numbers.insert(place.submit(&runtime, &ping(number)), number);
        let step = step.to_string();
        let settings = [("OM_CRASH_AT", step.as_str())];
        let mut dying = place.start("dying", &["--until-idle", "1s"], &settings);
        dying.wait();
    }
    let _worker = place.worker("alive", &[]);
    all_well(&place.finished(numbers.len()), &numbers);
}

#[test]
fn a_worker_may_die_at_every_step_in_a_directory() {
    dying_at_every_step(Place::directory(), 1..14);
}

#[test]
fn a_worker_may_die_at_every_step_on_a_cluster() {
    dying_at_every_step(Place::cluster(), 1..12);
}

#[test]
fn tasks_survive_a_restart_of_the_broker() {
    let own = Rabbit::start();
    let place = Place::cluster_on(&own);
    let _workers = [place.worker("a", &[]), place.worker("b", &[])];
    let runtime = place.runtime();
    let mut numbers = BTreeMap::new();
    for number in 0..300 {
        if number == 100 {
            own.kill();
            own.restart();
        }
        let began = Instant::now();
        // While the broker is away a client is told so, and nothing is entered.
        let id = loop {
            match runtime.submit(&ping(number), &SubmitOptions::default()) {
                Ok(id) => break id,
                Err(error) => assert!(
                    error.kind().retryable() && began.elapsed() < LONG,
                    "{error}"
                ),
            }
        };
        numbers.insert(id, number);
    }
    let began = Instant::now();
    let tasks = loop {
        let tasks: Vec<TaskRecord> = place
            .all()
            .into_iter()
            .filter(|task| numbers.contains_key(&task.id))
            .collect();
        if tasks.iter().all(|task| task.state.is_final()) {
            break tasks;
        }
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(tasks.len(), numbers.len());
    all_well(&tasks, &numbers);
}

#[test]
fn two_hundred_clients_at_once() {
    let place = Place::cluster();
    let _worker = place.worker("busy", &["--concurrency", "8"]);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let place = &place;
                scope.spawn(move || {
                    let options = SubmitOptions {
                        patience: Some(LONG),
                        ..SubmitOptions::default()
                    };
                    match place.runtime().run(&ping(number), &options).unwrap() {
                        Outcome::Value(value) => {
                            assert_eq!(value.pointer("/kwargs/number"), Some(&number.into()));
                        }
                        other => panic!("{other:?}"),
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    assert_eq!(place.finished(200).len(), 200);
}

#[test]
fn a_stopped_worker_ends_what_it_runs_and_hands_back_the_rest() {
    for place in [Place::directory(), Place::cluster()] {
        let slow = place.slow_model();
        let runtime = place.runtime();
        let mut worker = place.worker("first", &["--concurrency", "1"]);
        let running = place.submit(&runtime, &slow);
        let began = Instant::now();
        while runtime.task(&running).unwrap().state != TaskState::Started {
            assert!(began.elapsed() < LONG);
        }
        let waiting = place.submit(&runtime, &ping(1));
        std::thread::sleep(Duration::from_millis(300));
        worker.signal("-TERM");
        assert_eq!(worker.wait(), 0);
        let done = runtime.task(&running).unwrap();
        assert_eq!(done.state, TaskState::Success, "{done:?}");
        assert_eq!(runtime.task(&waiting).unwrap().state, TaskState::Pending);
        let _second = place.worker("second", &[]);
        let done = runtime.wait(&waiting, LONG).unwrap();
        assert_eq!(done.state, TaskState::Success);
        assert!(done.worker.unwrap().starts_with("second@"));
    }
}

#[test]
fn a_task_that_takes_too_long_fails_and_the_worker_goes_on() {
    for place in [Place::directory(), Place::cluster()] {
        let slow = place.slow_model();
        let limits = [
            "--soft-limit",
            "150ms",
            "--hard-limit",
            "400ms",
            "--concurrency",
            "1",
        ];
        let _worker = place.worker("strict", &limits);
        let runtime = place.runtime();
        let id = place.submit(&runtime, &slow);
        let failed = runtime.wait(&id, LONG).unwrap();
        assert_eq!(failed.state, TaskState::Failure, "{failed:?}");
        let class = failed.error.unwrap().class;
        assert!(class.ends_with("TimeLimitExceeded"), "{class}");
        let id = place.submit(&runtime, &ping(1));
        assert_eq!(runtime.wait(&id, LONG).unwrap().state, TaskState::Success);
    }
}

#[test]
fn a_task_that_takes_longer_than_the_broker_waits_ends_once() {
    let impatient = "[{rabbit, [{consumer_timeout, 1000}, {channel_tick_interval, 500}]}].";
    let own = Rabbit::start_with(impatient);
    let place = Place::cluster_on(&own);
    let slow = place.slow_model();
    let _workers = [place.worker("a", &[]), place.worker("b", &[])];
    let runtime = place.runtime();
    let began = Instant::now();
    let id = place.submit(&runtime, &slow);
    // While it runs its message comes again and again, to both.
    let ended = runtime.wait(&id, LONG).unwrap();
    assert_eq!(ended.state, TaskState::Success, "{ended:?}");
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "the task is too fast for this test: {:?}",
        began.elapsed()
    );
    std::thread::sleep(Duration::from_secs(3));
    let later = runtime.task(&id).unwrap();
    assert_eq!((later.attempts, &later.ended), (1, &ended.ended));
    own.kill();
}

#[test]
fn a_task_that_kills_its_workers_fails() {
    let place = Place::directory();
    let slow = place.slow_model();
    let runtime = place.runtime();
    let id = place.submit(&runtime, &slow);
    let mut deaths = 0;
    let began = Instant::now();
    let failed = loop {
        assert!(began.elapsed() < LONG);
        let worker = place.start(&format!("w{deaths}"), &["--concurrency", "1"], &[]);
        let last = loop {
            let record = runtime.task(&id).unwrap();
            if record.state.is_final() || record.attempts > deaths {
                break record;
            }
            assert!(began.elapsed() < LONG, "{record:?}");
            std::thread::sleep(Duration::from_millis(20));
        };
        if last.state.is_final() {
            break last;
        }
        deaths = last.attempts;
        drop(worker);
    };
    assert_eq!(failed.state, TaskState::Failure, "{failed:?}");
    assert!(failed.error.unwrap().class.ends_with("WorkerLostError"));
}

#[test]
fn tasks_are_cancelled_before_and_while_they_run() {
    for place in [Place::directory(), Place::cluster()] {
        let runtime = place.runtime();
        let waiting = place.submit(&runtime, &ping(1));
        assert!(runtime.revoke(&waiting).unwrap());
        assert!(!runtime.revoke(&waiting).unwrap());
        assert_eq!(
            runtime.revoke("no such task").unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let _worker = place.worker("w", &[]);
        let after = place.submit(&runtime, &ping(2));
        assert_eq!(
            runtime.wait(&after, LONG).unwrap().state,
            TaskState::Success
        );
        let record = runtime.task(&waiting).unwrap();
        assert_eq!((record.state, record.attempts), (TaskState::Revoked, 0));
        let options = SubmitOptions {
            expires: Some(Duration::from_millis(1)),
            countdown: Some(Duration::from_millis(300)),
            ..SubmitOptions::default()
        };
        let late = runtime.submit(&ping(3), &options).unwrap();
        assert_eq!(runtime.wait(&late, LONG).unwrap().state, TaskState::Revoked);
        let options = SubmitOptions {
            countdown: Some(Duration::from_millis(700)),
            ..SubmitOptions::default()
        };
        let began = Instant::now();
        let later = runtime.submit(&ping(4), &options).unwrap();
        assert_eq!(
            runtime.wait(&later, LONG).unwrap().state,
            TaskState::Success
        );
        assert!(began.elapsed() >= Duration::from_millis(600));
    }
}

#[test]
fn the_command_line_of_tasks() {
    for place in [Place::directory(), Place::cluster()] {
        let run = |args: &[&str]| home::Run::of(place.command(args).output().unwrap());
        let label = place.label.clone();
        let unanswered = run(&["runtime", "ping", "--require", &label, "--timeout", "1s"]);
        assert_eq!(unanswered.code, 124, "{unanswered:?}");
        let _worker = place.worker("cli", &[]);
        let pinged = run(&["runtime", "ping", "--require", &label, "-o", "json"]);
        assert_eq!(pinged.code, 0, "{pinged:?}");
        assert!(
            pinged.json()["worker"]
                .as_str()
                .unwrap()
                .starts_with("cli@")
        );
        let id = run(&["runtime", "ping", "--require", &label, "--async"]);
        let id = id.stdout.trim();
        let answered = run(&["runtime", "result", id, "-o", "json"]);
        assert_eq!(
            answered.json()["message"],
            "ping return message",
            "{answered:?}"
        );
        assert_eq!(
            run(&["runtime", "result", id]).code,
            0,
            "a result can be read twice"
        );
        let nothing = run(&["runtime", "result", "nosuch"]);
        assert_eq!(nothing.code, 3, "{nothing:?}");
        let listed = run(&[
            "runtime", "tasks", "list", "--state", "success", "-o", "json",
        ]);
        let ids: Vec<String> = listed
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap().to_owned())
            .collect();
        assert!(ids.iter().any(|listed| listed == id));
        let shown = run(&["runtime", "tasks", "show", id, "-o", "json"]).json();
        assert_eq!(shown["state"], "SUCCESS");
        assert_eq!(run(&["runtime", "tasks", "cancel", id]).code, 5);
        let labels = run(&["runtime", "status", "labels", "-o", "json"]).json();
        let worker = labels
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["worker"].as_str().unwrap().starts_with("cli@"))
            .unwrap();
        assert_eq!(worker["labels"][0], label.as_str());
        let failed = run(&[
            "runtime",
            "model",
            "nosuch",
            "predict",
            "[[1]]",
            "--require",
            &label,
        ]);
        assert_eq!(failed.code, 3, "{failed:?}");
        let stopped = run(&[
            "runtime",
            "control",
            "shutdown",
            "--worker",
            pinged.json()["worker"].as_str().unwrap(),
        ]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
    }
    assert!(Path::new(home::OM).exists());
}
