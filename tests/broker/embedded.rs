//! What can happen to processes that share a directory.

use crate::given::{
    GLANCE, PATIENCE, Place, consume, letter, message, next, nothing, prefetch, queue, text, until,
};
use omega::ErrorKind;
use omega::broker::embedded::EmbeddedBroker;
use omega::broker::{Broker, Letter, Options, Queue};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "OM_TEST_BROKER_FOLDER";
const STAGE: &str = "OM_TEST_BROKER_STAGE";

/// A lease that no test lives to see the end of.
const FOR_EVER: Duration = Duration::from_secs(36_000);

fn open(folder: &Path, lease: Duration) -> EmbeddedBroker {
    let options = Options {
        lease,
        ..Options::default()
    };
    EmbeddedBroker::open(folder, options)
}

/// Not a test: a worker's process that the tests start, and kill.
#[test]
fn child() {
    let (Ok(folder), Ok(stage)) = (std::env::var(FOLDER), std::env::var(STAGE)) else {
        return;
    };
    let lease = if stage == "hung" {
        Duration::from_secs(1)
    } else {
        FOR_EVER
    };
    let broker = open(Path::new(&folder), lease);
    let (tasks, replies) = (Queue::task("tasks"), Queue::task("replies"));
    let consumer = consume(&broker, &tasks, 4);
    match stage.as_str() {
        "claimed" => until("claimed", || broker.depth("tasks").unwrap().messages == 0),
        "held" | "hung" => {
            let held = next(&*consumer);
            println!("\nready");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            println!("\nours: {}", consumer.ack(held).unwrap());
            return;
        }
        "acknowledged" => assert!(consumer.ack(next(&*consumer)).unwrap()),
        "finished" => {
            consumer
                .finish(next(&*consumer), vec![letter(&replies, "done")])
                .unwrap();
            std::process::abort();
        }
        _ => loop {
            let task = next(&*consumer);
            let reply = letter(&replies, &text(&task));
            consumer.finish(task, vec![reply]).unwrap();
        },
    }
    println!("\nready");
    std::thread::sleep(PATIENCE);
}

fn start(folder: &Path, stage: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(STAGE, stage)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads the child's output up to a line that starts so.
fn line(output: &mut impl BufRead, start: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "the child has ended"
        );
        if line.starts_with(start) {
            return line.trim().to_owned();
        }
    }
}

#[test]
fn what_a_killed_process_held_comes_again_at_once() {
    for (stage, left) in [("claimed", 3), ("held", 3), ("acknowledged", 2)] {
        let home = tempfile::tempdir().unwrap();
        let broker = open(home.path(), FOR_EVER);
        let tasks = Queue::task("tasks");
        broker.declare(&tasks).unwrap();
        let letters = ["a", "b", "c"].map(|text| letter(&tasks, text));
        broker.publish_all(&letters).unwrap();
        let mut child = start(home.path(), stage);
        line(&mut BufReader::new(child.stdout.take().unwrap()), "ready");
        // It is there before, as it is when workers run beside each other.
        let consumer = consume(&broker, &tasks, 4);
        nothing(&*consumer);
        child.kill().unwrap();
        child.wait().unwrap();
        for _ in 0..left {
            let again = next(&*consumer);
            assert!(again.redelivered, "{stage}");
            assert!(consumer.ack(again).unwrap());
        }
        nothing(&*consumer);
        assert_eq!(broker.depth("tasks").unwrap().consumers, 1, "{stage}");
    }
}

#[test]
fn a_reply_and_its_message_are_one() {
    for _ in 0..10 {
        let home = tempfile::tempdir().unwrap();
        let broker = open(home.path(), FOR_EVER);
        let (tasks, replies) = (Queue::task("tasks"), Queue::task("replies"));
        broker.declare(&tasks).unwrap();
        broker.declare(&replies).unwrap();
        broker.publish(&letter(&tasks, "a")).unwrap();
        start(home.path(), "finished").wait().unwrap();
        // Dies whenever it likes: either both has happened or nothing.
        let consumer = consume(&broker, &tasks, 1);
        let again = consumer.next(GLANCE * 3).unwrap();
        let done = broker.depth("replies").unwrap().messages;
        assert_eq!(done, u64::from(again.is_none()));
    }
}

#[test]
fn what_a_hung_process_held_comes_again_when_its_lease_ends() {
    let home = tempfile::tempdir().unwrap();
    let broker = open(home.path(), FOR_EVER);
    let tasks = Queue::task("tasks");
    broker.declare(&tasks).unwrap();
    broker.publish(&letter(&tasks, "a")).unwrap();
    let mut child = start(home.path(), "hung");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    line(&mut output, "ready");
    let consumer = consume(&broker, &tasks, 1);
    // For as long as it is well it keeps the message, leases over.
    assert!(consumer.next(Duration::from_secs(3)).unwrap().is_none());
    let signal = |name: &str| {
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    let again = next(&*consumer);
    assert!(again.redelivered);
    signal("-CONT");
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    assert_eq!(line(&mut output, "ours"), "ours: false");
    child.wait().unwrap();
    assert!(consumer.ack(again).unwrap());
    nothing(&*consumer);
}

#[test]
fn killed_all_the_time_each_task_has_one_reply() {
    let home = tempfile::tempdir().unwrap();
    let broker = open(home.path(), FOR_EVER);
    let (tasks, replies) = (Queue::task("tasks"), Queue::task("replies"));
    broker.declare(&tasks).unwrap();
    broker.declare(&replies).unwrap();
    let count = 1_000_u64;
    let mut workers: Vec<Child> = (0..3).map(|_| start(home.path(), "work")).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..count {
                broker.publish(&letter(&tasks, &n.to_string())).unwrap();
            }
        });
        let mut turn = 0;
        until("all done", || {
            let index = turn % workers.len();
            workers[index].kill().unwrap();
            workers[index].wait().unwrap();
            workers[index] = start(home.path(), "work");
            std::thread::sleep(Duration::from_millis(150));
            turn += 1;
            broker.depth("replies").unwrap().messages >= count
        });
    });
    for mut worker in workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let consumer = consume(&broker, &replies, 1_000);
    let mut seen = BTreeMap::new();
    while let Some(reply) = consumer.next(GLANCE).unwrap() {
        *seen.entry(text(&reply)).or_insert(0) += 1;
        consumer.finish(reply, Vec::new()).unwrap();
    }
    assert_eq!(seen.len() as u64, count);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    nothing(&*consume(&broker, &tasks, 1));
    // Nobody's files are left.
    drop(consumer);
    until("files are swept", || {
        // Whoever comes next tidies up, and takes its own files with it.
        drop(consume(&broker, &tasks, 1));
        std::fs::read_dir(home.path().join("queue"))
            .unwrap()
            .count()
            == 0
    });
}

#[test]
fn priorities_go_first() {
    let place = Place::directory();
    let broker = place.open();
    let queue = queue(&*broker);
    let letters: Vec<_> = [
        (None, "a"),
        (Some(5), "b"),
        (Some(0), "c"),
        (Some(9), "d"),
        (Some(5), "e"),
    ]
    .into_iter()
    .map(|(priority, text)| {
        let mut letter = letter(&queue, text);
        letter.message.properties.priority = priority;
        letter
    })
    .collect();
    broker.publish_all(&letters).unwrap();
    let consumer = consume(&*broker, &queue, 2);
    for expected in ["d", "b", "e", "a", "c"] {
        let delivery = next(&*consumer);
        assert_eq!(text(&delivery), expected);
        assert!(consumer.ack(delivery).unwrap());
    }
}

#[test]
fn what_is_of_no_use_any_more_is_not_delivered() {
    let place = Place::directory();
    let broker = place.open();
    let queue = queue(&*broker);
    let mut stale = letter(&queue, "stale");
    stale.message.properties.expiration = Some("1".to_owned());
    broker.publish(&stale).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    broker.publish(&letter(&queue, "fresh")).unwrap();
    let consumer = consume(&*broker, &queue, 1);
    assert_eq!(text(&next(&*consumer)), "fresh");
    stale.message.properties.expiration = Some("soon".to_owned());
    assert_eq!(
        broker.publish(&stale).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn looking_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("store");
    let broker = open(&root, FOR_EVER);
    assert_eq!(
        broker.depth("tasks").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(!broker.delete("tasks").unwrap());
    broker
        .post(omega::broker::Topic::Events, "worker.online", &message("x"))
        .unwrap();
    assert!(!root.exists());
}

#[test]
fn two_hundred_clients_at_once() {
    let place = Place::directory();
    let broker = place.open();
    let tasks = queue(&*broker);
    let consumer = broker
        .consume(std::slice::from_ref(&tasks), &prefetch(50))
        .unwrap();
    std::thread::scope(|scope| {
        for client in 0..200 {
            let (place, tasks) = (&place, &tasks);
            scope.spawn(move || {
                let broker = place.open();
                for n in 0..3 {
                    let sent = Letter::new(tasks.name.as_str(), message(&format!("{client}-{n}")));
                    broker.publish(&sent).unwrap();
                }
            });
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..600 {
            let task = next(&*consumer);
            assert!(seen.insert(text(&task)));
            consumer.finish(task, Vec::new()).unwrap();
        }
    });
    nothing(&*consumer);
}
