//! A client of task workers for tests/bench that is neither `om` nor Celery, so that both
//! are asked alike: it sends Celery messages in JSON and waits for their replies.
//!
//! ```text
//! task_load rate    URL QUEUE COUNT     COUNT at once, a window of them unanswered: seconds
//! task_load latency URL QUEUE COUNT     one after the other: median and 99th percentile, seconds
//! task_load first   URL QUEUE 1         says "sent", then the time of the answer since the epoch
//! ```
//!
//! It sends pings, or what follows: the name of a task, its arguments and keyword arguments
//! as a JSON list of both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_core::Stream;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

/// Tasks that may be unanswered at a time, many more than any worker runs.
const WINDOW: usize = 1000;

/// No answer for so long means that none comes.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, url, queue, count, task @ ..] = arguments.as_slice() else {
        panic!("MODE URL QUEUE COUNT [TASK ARGUMENTS]")
    };
    let (task, arguments) = match task {
        [task, arguments] => (task.as_str(), arguments.as_str()),
        _ => (
            "omegaml.tasks.omega_ping",
            r#"["x"], {"pure_python": true}"#,
        ),
    };
    let count: usize = count.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut load = Load::connect(url, queue).await;
        task.clone_into(&mut load.task);
        load.body = format!(
            r#"[{arguments}, {{"callbacks": null, "errbacks": null, "chain": null, "chord": null}}]"#
        );
        match mode.as_str() {
            "rate" => println!("{}", load.rate(count).await),
            "latency" => {
                let mut times = load.latency(count).await;
                times.sort_by(f64::total_cmp);
                let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
                println!("{} {}", at(0.5), at(0.99));
            }
            "first" => {
                load.send().await;
                println!("sent");
                load.answer().await;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                println!("{}", now.unwrap().as_secs_f64());
            }
            _ => panic!("rate, latency or first"),
        }
    });
}

struct Load {
    channel: Channel,
    answers: Consumer,
    replies: String,
    queue: String,
    task: String,
    body: String,
    sent: u64,
    run: u64,
}

impl Load {
    async fn connect(url: &str, queue: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connection = Connection::connect(url, ConnectionProperties::default());
        let channel = connection.await.unwrap().create_channel().await.unwrap();
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare("".into(), exclusive, FieldTable::default());
        let replies = declared.await.unwrap().name().to_string();
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(queue.into(), durable, FieldTable::default());
        declared.await.unwrap();
        let unacknowledged = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let answers = channel.basic_consume(
            replies.as_str().into(),
            "".into(),
            unacknowledged,
            FieldTable::default(),
        );
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Load {
            answers: answers.await.unwrap(),
            channel,
            replies,
            queue: queue.to_owned(),
            task: String::new(),
            body: String::new(),
            sent: 0,
            run: since.unwrap().as_nanos() as u64,
        }
    }

    async fn send(&mut self) {
        self.sent += 1;
        let id = format!(
            "{:08x}-{:04x}-4000-8000-{:012x}",
            self.run >> 16 & 0xffff_ffff,
            self.run & 0xffff,
            self.sent
        );
        let text = |text: &str| AMQPValue::LongString(LongString::from(text.to_owned()));
        let mut headers = FieldTable::default();
        headers.insert("task".into(), text(&self.task));
        headers.insert("id".into(), text(&id));
        headers.insert("root_id".into(), text(&id));
        headers.insert("lang".into(), text("py"));
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_correlation_id(id.as_str().into())
            .with_reply_to(self.replies.as_str().into())
            .with_delivery_mode(2);
        let sent = self.channel.basic_publish(
            "".into(),
            self.queue.as_str().into(),
            BasicPublishOptions::default(),
            self.body.as_bytes(),
            properties,
        );
        sent.await.unwrap();
    }

    /// Waits for the next final reply, which must be a success.
    async fn answer(&mut self) {
        loop {
            let next = std::future::poll_fn(|context| {
                Stream::poll_next(Pin::new(&mut self.answers), context)
            });
            let delivery = tokio::time::timeout(PATIENCE, next).await;
            let data = delivery.expect("no answer").unwrap().unwrap().data;
            let says = |word: &[u8]| data.windows(word.len()).any(|part| part == word);
            if says(b"SUCCESS") {
                return;
            }
            assert!(says(b"STARTED"), "{}", String::from_utf8_lossy(&data));
        }
    }

    async fn rate(&mut self, count: usize) -> f64 {
        let start = Instant::now();
        for number in 0..count {
            if number >= WINDOW {
                self.answer().await;
            }
            self.send().await;
        }
        for _ in 0..count.min(WINDOW) {
            self.answer().await;
        }
        start.elapsed().as_secs_f64()
    }

    async fn latency(&mut self, count: usize) -> Vec<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.send().await;
            self.answer().await;
            times.push(start.elapsed().as_secs_f64());
        }
        times
    }
}
