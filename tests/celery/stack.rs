//! What all tests use: the servers, a worker of each kind, a Python client. They are
//! started once, and end with the process of the tests, however that ends.

use crate::home::{Home, OM, Run};
use crate::{rabbit, server};
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The workers that are always there.
pub const RUST: &str = "rust@om";
pub const PY: &str = "py@om";

/// Seconds that a command may take, more than any does on a busy machine.
const LIMIT: &str = "120";

pub struct Stack {
    home: Home,
    mongo: String,
    client: Mutex<Client>,
}

/// The Python client: `client.py`.
struct Client {
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The one of this process.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(Stack::start)
}

fn python(program: &str) -> PathBuf {
    server::program(&format!("om-venv/bin/{program}"))
}

fn script(name: &str) -> String {
    format!("{}/tests/celery/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Stack {
    #[allow(clippy::zombie_processes)] // It ends with this process, by itself.
    fn start() -> Self {
        let broker = std::thread::spawn(rabbit::rabbit);
        let home = Home::new();
        std::fs::create_dir_all(home.path("tmp")).unwrap();
        let mongo = server::mongo().database();
        broker.join().unwrap();
        let mut command = with(&home, &mongo, python("python"));
        let mut client = command
            .arg(script("client.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(home.path("client.log")).unwrap())
            .spawn()
            .unwrap();
        let stack = Stack {
            client: Mutex::new(Client {
                stdin: client.stdin.take().unwrap(),
                answers: BufReader::new(client.stdout.take().unwrap()).lines(),
            }),
            home,
            mongo,
        };
        stack.celery_worker(PY, &["--queues", "py,both", "--task-events"], &[]);
        stack.om_worker(RUST, &["--queues", "rust,both", "--task-events"]);
        stack.python(
            "line = pd.DataFrame({'x': np.arange(1., 13.), 'y': np.arange(1., 13.) * 2})\n\
             om.datasets.put(line, 'line', append=False)\n\
             from sklearn.linear_model import LinearRegression, Ridge\n\
             om.models.put(LinearRegression(), 'py-line')\n\
             om.models.put(Ridge(), 'py-ridge')",
        );
        for label in ["py", "rust"] {
            let ping = stack.om(&["runtime", "ping", "--require", label, "--timeout", "90"]);
            assert_eq!(ping.code, 0, "{}\n{}", ping.stderr, stack.logs());
        }
        stack
    }

    /// A program of this cluster.
    fn command(&self, program: impl Into<PathBuf>) -> Command {
        with(&self.home, &self.mongo, program)
    }

    /// A path that nobody else uses.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// Runs a program until the process of the tests ends; its output is in `NAME.log`.
    /// The process id.
    fn keep(&self, name: &str, program: &Command) -> u32 {
        // Nobody tells a killed test to tidy up: a shell watches it.
        let script = "parent=$1 home=$2 name=$3; shift 3; \
            setsid \"$@\" >\"$home/$name.log\" 2>&1 & child=$!; echo $child >\"$home/$name.new\"; \
            mv \"$home/$name.new\" \"$home/$name.pid\"; \
            while kill -0 $parent 2>/dev/null && kill -0 $child 2>/dev/null; do sleep 0.3; done; \
            kill -9 -$child 2>/dev/null; kill -0 $parent 2>/dev/null || rm -rf \"$home\"";
        let mut guard = self.command("setsid");
        guard
            .args(["sh", "-c", script, "sh"])
            .arg(std::process::id().to_string())
            .arg(self.home.path(""))
            .arg(name)
            .arg(program.get_program())
            .args(program.get_args())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It ends by itself, and is waited for then.
        let mut guard = guard.spawn().unwrap();
        std::thread::spawn(move || guard.wait());
        let file = self.home.path(&format!("{name}.pid"));
        until(|| {
            let pid = std::fs::read_to_string(&file).ok()?;
            pid.trim().parse().ok()
        })
    }

    /// Starts a worker of om; its process id.
    pub fn om_worker(&self, name: &str, args: &[&str]) -> u32 {
        self.om_worker_with(name, args, &[])
    }

    /// The same with settings of its own.
    pub fn om_worker_with(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> u32 {
        let mut worker = self.command("env");
        worker.args(env.iter().map(|(name, value)| format!("{name}={value}")));
        worker.arg(OM);
        worker.args(["--loglevel", "INFO", "runtime", "worker"]);
        worker
            .args(["--concurrency", "2", "--name", name])
            .args(args);
        self.keep(name, &worker)
    }

    /// Starts a worker of Celery's, with settings of its own; its process id.
    pub fn celery_worker(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> u32 {
        let mut worker = self.command("env");
        worker.args(env.iter().map(|(name, value)| format!("{name}={value}")));
        worker.arg(python("celery"));
        worker.args(["-A", "omegaml.celeryapp", "worker"]);
        worker.args(["--concurrency", "2", "--loglevel", "INFO"]);
        worker.args(["--hostname", name]).args(args);
        self.keep(name, &worker)
    }

    /// Keeps om running, with settings of its own.
    pub fn keep_om(&self, name: &str, args: &[&str], env: &[(&str, &str)]) {
        let mut program = self.command("env");
        program.args(env.iter().map(|(name, value)| format!("{name}={value}")));
        program.arg(OM).args(args);
        self.keep(name, &program);
    }

    /// Keeps a Python program running, with settings of its own.
    pub fn keep_python(&self, name: &str, args: &[&str], env: &[(&str, &str)]) {
        let mut program = self.command("env");
        program.args(env.iter().map(|(name, value)| format!("{name}={value}")));
        program.arg(python("python")).args(args);
        self.keep(name, &program);
    }

    /// The database.
    pub fn mongo(&self) -> String {
        self.mongo.clone()
    }

    /// What a program has said.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// The last that the workers and the client have said.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for name in [RUST, PY, "client"] {
            let log = self.log(name);
            let start = log.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
            text.push_str(&format!("--- {name}\n{}\n", &log[start..]));
        }
        text
    }

    /// Runs om and waits.
    pub fn om(&self, args: &[&str]) -> Run {
        self.om_with(args, &[])
    }

    /// The same with settings of its own.
    pub fn om_with(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        let mut command = self.command("timeout");
        command.envs(env.iter().copied());
        Run::of(command.args([LIMIT, OM]).args(args).output().unwrap())
    }

    /// Runs om, which must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.om(args);
        assert_eq!(run.code, 0, "om {args:?}: {}\n{}", run.stderr, self.logs());
        run.stdout.trim_end().to_owned()
    }

    /// Runs om with `-o json`, which must succeed; the document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs om, which must fail with `code` and say `what`.
    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, what: &str) {
        let run = self.om(args);
        let told = (run.code, run.stderr.contains(what), run.stdout.as_str());
        assert_eq!(told, (code, true, ""), "om {args:?}: {}", run.stderr);
    }

    /// Runs Celery's command; what it printed, on both channels.
    #[track_caller]
    pub fn celery(&self, args: &[&str]) -> String {
        let mut command = self.command("timeout");
        command.arg(LIMIT).arg(python("celery"));
        let run = Run::of(
            command
                .args(["-A", "omegaml.celeryapp"])
                .args(args)
                .output()
                .unwrap(),
        );
        assert_eq!(run.code, 0, "celery {args:?}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// Runs one of the Python scripts beside this file; what it printed.
    #[track_caller]
    pub fn script(&self, name: &str, args: &[&str]) -> String {
        let mut command = self.command("timeout");
        command.arg(LIMIT).arg(python("python")).arg(script(name));
        let run = Run::of(command.args(args).output().unwrap());
        assert_eq!(run.code, 0, "{name} {args:?}: {}", run.stderr);
        run.stdout
    }

    /// Runs Python source in the client; what its last line is worth.
    #[track_caller]
    pub fn python(&self, source: &str) -> Value {
        let mut answer = self.ask(source);
        match answer.get_mut("value") {
            Some(value) => value.take(),
            None => panic!("{source}\n{answer}\n{}", self.logs()),
        }
    }

    /// Runs Python source in the client, which must raise an exception: class and message.
    #[track_caller]
    pub fn raises(&self, source: &str) -> (String, String) {
        let answer = self.ask(source);
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        match (text("module"), text("class"), text("message")) {
            (Some(module), Some(class), Some(message)) => {
                (format!("{module}.{class}"), message.to_owned())
            }
            _ => panic!("{source}\nraised nothing: {answer}"),
        }
    }

    fn ask(&self, source: &str) -> Value {
        let mut client: MutexGuard<'_, Client> =
            self.client.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(client.stdin, "{}", Value::from(source)).unwrap();
        match client.answers.next() {
            Some(answer) => serde_json::from_str(&answer.unwrap()).unwrap(),
            None => panic!("the Python client has ended\n{}", self.logs()),
        }
    }

    /// Stores a model of om that knows the line.
    pub fn trained(&self, spec: &str, name: &str) {
        self.ok(&["models", "put", spec, name]);
        let fit = ["runtime", "model", name, "fit", "line[x]", "line[y]"];
        self.ok(&[&fit[..], &["--require", "local"]].concat());
    }
}

fn with(home: &Home, mongo: &str, program: impl Into<PathBuf>) -> Command {
    let mut command = home.isolated(program.into());
    command
        .env("OMEGA_MONGO_URL", mongo)
        .env("OMEGA_BROKER", rabbit::rabbit().url())
        .env("OMEGA_TMP", home.path("tmp"))
        .env("MPLCONFIGDIR", home.path("tmp"))
        // A worker of root's takes pickles only when it is told that they are trusted.
        .env("C_FORCE_ROOT", "1")
        .env("OMP_NUM_THREADS", "1")
        .env("OMEGA_PYTHON", python("python"));
    command
}

/// Waits until there is something.
#[track_caller]
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(90),
            "it does not happen"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
