//! What the cases have in common: places to open brokers at, messages, patience.

use crate::rabbit::{self, Rabbit};
use omega::broker::{
    self, Broker, ConsumeOptions, Consumer, Delivery, Letter, Message, Options, Queue,
};
use omega::config::{AmqpSettings, BrokerSettings, StoreUrl, Url};
use std::time::{Duration, Instant};

/// Longer than anything takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As long as one looks for what must not come.
pub const GLANCE: Duration = Duration::from_millis(300);

/// Where a broker is, for any number of clients.
pub struct Place {
    settings: BrokerSettings,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    /// An empty directory.
    pub fn directory() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Place {
            settings: BrokerSettings::Directory(StoreUrl::from_directory(folder.path())),
            _folder: Some(folder),
        }
    }

    /// RabbitMQ.
    pub fn rabbitmq() -> Self {
        Self::at(&rabbit::rabbit().url())
    }

    /// A broker at a URL.
    pub fn at(url: &str) -> Self {
        Place {
            settings: BrokerSettings::Amqp(AmqpSettings {
                url: Url::new(url),
                tls: false,
                ca_file: None,
            }),
            _folder: None,
        }
    }

    /// A new client.
    pub fn open(&self) -> Box<dyn Broker> {
        let options = Options {
            timeout: Duration::from_secs(20),
            ..Options::default()
        };
        self.open_with(options)
    }

    pub fn open_with(&self, options: Options) -> Box<dyn Broker> {
        broker::open(&self.settings, options).unwrap()
    }
}

/// A task queue that nobody else uses, made.
pub fn queue(broker: &dyn Broker) -> Queue {
    let queue = Queue::task(Rabbit::name("tasks"));
    broker.declare(&queue).unwrap();
    queue
}

/// A message with this text.
pub fn message(text: &str) -> Message {
    Message {
        body: text.as_bytes().to_vec(),
        ..Message::default()
    }
}

pub fn letter(queue: &Queue, text: &str) -> Letter {
    Letter::new(queue.name.as_str(), message(text))
}

/// The text of a message.
pub fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.body.clone()).unwrap()
}

pub fn prefetch(count: u16) -> ConsumeOptions {
    ConsumeOptions {
        prefetch: count,
        ..ConsumeOptions::default()
    }
}

pub fn consume(broker: &dyn Broker, queue: &Queue, count: u16) -> Box<dyn Consumer> {
    broker
        .consume(std::slice::from_ref(queue), &prefetch(count))
        .unwrap()
}

/// The next message, which must come.
pub fn next(consumer: &dyn Consumer) -> Delivery {
    consumer.next(PATIENCE).unwrap().expect("a message")
}

/// No message comes.
pub fn nothing(consumer: &dyn Consumer) {
    let delivery = consumer.next(GLANCE).unwrap();
    assert!(delivery.is_none(), "{delivery:?}");
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
