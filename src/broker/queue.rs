//! What queues there are: those of tasks, of replies, and of listeners to the topics that
//! workers and their tools share (spec/runtime.md §2, §12).

use std::time::Duration;

/// How long Celery's reply queues live without being used.
pub const REPLY_EXPIRY: Duration = Duration::from_secs(3600);

/// A queue: its name and what it is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name; a task queue's is the label.
    pub name: String,
    /// What it is like.
    pub kind: QueueKind,
}

/// What a queue is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKind {
    /// Lives for ever; its messages are tasks.
    Task,
    /// Messages are replies; see [`Lifetime`].
    Reply {
        /// Who or what ends it.
        lifetime: Lifetime,
        /// It goes when it has not been used for so long.
        expires: Duration,
    },
    /// Gets copies of what is posted on a topic; exclusive to who consumes it.
    Listener {
        /// The topic.
        topic: Topic,
        /// What is listened to: the address on [`Topic::Replies`], a pattern of words with
        /// `*` and `#` on [`Topic::Events`], nothing on [`Topic::Control`].
        key: String,
        /// How long a copy is kept for a listener that does not read.
        keep: Duration,
    },
}

/// What ends a queue of replies, besides not being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The client's connection: nobody else can read it.
    Connection,
    /// Its last consumer: what Celery's clients have.
    Consumer,
    /// Nothing: it outlives the client, and a cut of its connection.
    Expiry,
}

/// What everybody may listen to. A message that nobody listens to is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Commands to all workers: `celery.pidbox`.
    Control,
    /// Answers to commands: `reply.celery.pidbox`.
    Replies,
    /// What workers tell of themselves and their tasks: `celeryev`.
    Events,
}

impl Queue {
    /// The queue of tasks under a label.
    pub fn task(label: impl Into<String>) -> Self {
        Queue {
            name: label.into(),
            kind: QueueKind::Task,
        }
    }

    /// A queue of replies that lives as Celery's do, but for its `lifetime`.
    pub fn reply(name: impl Into<String>, lifetime: Lifetime) -> Self {
        let kind = QueueKind::Reply {
            lifetime,
            expires: REPLY_EXPIRY,
        };
        Queue {
            name: name.into(),
            kind,
        }
    }

    /// Where the worker `node` (`name@host`) gets commands.
    pub fn control(node: &str) -> Self {
        Self::listener(format!("{node}.celery.pidbox"), Topic::Control, "", 300)
    }

    /// Where answers to commands come that were asked for at the address `id`.
    pub fn control_replies(id: &str) -> Self {
        Self::listener(format!("{id}.reply.celery.pidbox"), Topic::Replies, id, 300)
    }

    /// Where events come whose key matches `pattern`; `id` is one that nobody else has.
    pub fn events(id: &str, pattern: &str) -> Self {
        Self::listener(format!("celeryev.{id}"), Topic::Events, pattern, 5)
    }

    fn listener(name: String, topic: Topic, key: &str, seconds: u64) -> Self {
        let kind = QueueKind::Listener {
            topic,
            key: key.to_owned(),
            keep: Duration::from_secs(seconds),
        };
        Queue { name, kind }
    }
}

impl Topic {
    /// The exchange that Celery uses.
    pub fn exchange(self) -> &'static str {
        match self {
            Topic::Control => "celery.pidbox",
            Topic::Replies => "reply.celery.pidbox",
            Topic::Events => "celeryev",
        }
    }

    /// Whether a message posted under `key` is for who listens to `pattern`.
    pub fn matches(self, pattern: &str, key: &str) -> bool {
        match self {
            Topic::Control => true,
            Topic::Replies => pattern == key,
            Topic::Events => {
                let pattern: Vec<_> = pattern.split('.').collect();
                let key: Vec<_> = key.split('.').collect();
                words_match(&pattern, &key)
            }
        }
    }
}

/// AMQP's topics: `*` stands for one word, `#` for any number.
fn words_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", rest @ ..], _) => {
            (0..=key.len()).any(|skip| words_match(rest, key.get(skip..).unwrap_or_default()))
        }
        ([first, pattern @ ..], [word, key @ ..]) => {
            (*first == "*" || first == word) && words_match(pattern, key)
        }
        _ => false,
    }
}

/// What is in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait, without those that a consumer holds or that are delayed.
    pub messages: u64,
    /// Consumers.
    pub consumers: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_as_in_amqp() {
        for (pattern, key, matches) in [
            ("#", "", true),
            ("#", "worker.heartbeat", true),
            ("worker.*", "worker.heartbeat", true),
            ("worker.*", "worker", false),
            ("worker.#", "worker", true),
            ("*.multi", "task.multi", true),
            ("task.multi", "task.sent", false),
            ("#.multi", "a.b.multi", true),
            ("a.#.c.#", "a.b.c", true),
        ] {
            assert_eq!(
                Topic::Events.matches(pattern, key),
                matches,
                "{pattern} {key}"
            );
        }
        assert!(Topic::Control.matches("", "anything"));
        assert!(Topic::Replies.matches("a", "a") && !Topic::Replies.matches("a", "b"));
    }

    #[test]
    fn names_are_those_of_celery() {
        assert_eq!(Queue::control("om@host").name, "om@host.celery.pidbox");
        assert_eq!(
            Queue::control_replies("1-2").name,
            "1-2.reply.celery.pidbox"
        );
    }
}
