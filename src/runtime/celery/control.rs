//! Remote control of workers: requests on the pidbox and the answers (spec/runtime.md §12).

use super::pickle::Value;
use super::serial::Serializer;
use super::signature::Kwargs;
use crate::broker::{Message, Properties};
use crate::error::{Error, Result};
use serde_json::{Map, Value as Json};

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
}

/// A request to workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `ping`, `active`, `stats`, `shutdown`, …
    pub method: String,
    /// Its arguments.
    pub arguments: Kwargs,
    /// The workers that are meant; none for all.
    pub destination: Option<Vec<String>>,
    /// A pattern of the names that are meant, read as `matcher` says.
    pub pattern: Option<String>,
    /// `glob` or `pcre`
    pub matcher: Option<String>,
    /// What the answers belong to.
    pub ticket: Option<String>,
    /// Where to answer; none when nobody listens.
    pub reply_to: Option<ReplyTo>,
}

impl Request {
    /// A request to all workers.
    pub fn new(method: &str, arguments: Kwargs) -> Self {
        Request {
            method: method.to_owned(),
            arguments,
            destination: None,
            pattern: None,
            matcher: None,
            ticket: None,
            reply_to: None,
        }
    }

    /// Reads a request, pickled or in JSON.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is none.
    pub fn read(message: &Message) -> Result<Self> {
        let malformed = || Error::invalid("a control request is malformed");
        let body = Serializer::of(&message.properties)?.read(&message.body)?;
        let dict = body.as_dict().ok_or_else(malformed)?;
        let text = |field: &str| dict.get(field).and_then(Value::as_str).map(str::to_owned);
        let destination = match dict.get("destination") {
            None | Some(Value::None) => None,
            Some(Value::Str(single)) => Some(vec![single.to_string()]),
            Some(names) => {
                let names = names.as_items().ok_or_else(malformed)?.iter();
                let names = names.map(|name| name.as_str().map(str::to_owned));
                Some(names.collect::<Option<_>>().ok_or_else(malformed)?)
            }
        };
        let reply_to = match dict.get("reply_to").and_then(Value::as_dict) {
            None => None,
            Some(to) => {
                let part = |field: &str| {
                    to.get(field)
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                        .ok_or_else(malformed)
                };
                Some(ReplyTo {
                    exchange: part("exchange")?,
                    routing_key: part("routing_key")?,
                })
            }
        };
        Ok(Request {
            method: text("method").ok_or_else(malformed)?,
            arguments: match dict.get("arguments") {
                None | Some(Value::None) => Kwargs::default(),
                Some(arguments) => Kwargs::read(arguments)?,
            },
            destination,
            pattern: text("pattern"),
            matcher: text("matcher"),
            ticket: text("ticket"),
            reply_to,
        })
    }

    /// The message; `expires` in seconds since 1970.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for arguments that JSON cannot hold.
    pub fn write(&self, by: Serializer, clock: u64, expires: Option<f64>) -> Result<Message> {
        let names = |names: &Vec<String>| Value::list(names.iter().map(|n| n.as_str().into()));
        let mut fields = vec![
            ("method", self.method.as_str().into()),
            ("arguments", self.arguments.to_value()),
            ("destination", self.destination.as_ref().map(names).into()),
            ("pattern", self.pattern.as_deref().into()),
            ("matcher", self.matcher.as_deref().into()),
        ];
        if let Some(ticket) = &self.ticket {
            fields.push(("ticket", ticket.as_str().into()));
        }
        if let Some(to) = &self.reply_to {
            let to = Value::dict([
                ("exchange", to.exchange.as_str().into()),
                ("routing_key", to.routing_key.as_str().into()),
            ]);
            fields.push(("reply_to", to));
        }
        let mut headers = Map::new();
        headers.insert("clock".to_owned(), clock.into());
        headers.insert("expires".to_owned(), expires.map_or(Json::Null, Json::from));
        let mut properties = Properties {
            delivery_mode: 2,
            priority: Some(0),
            ..Properties::default()
        };
        by.mark(&mut properties);
        Ok(Message {
            body: by.write(&Value::dict(fields))?,
            properties,
            headers,
        })
    }

    /// Whether the worker called `node` is meant.
    pub fn is_for(&self, node: &str) -> bool {
        let listed = |names: &Vec<String>| names.iter().any(|name| name == node);
        match (&self.pattern, self.matcher.as_deref()) {
            (Some(pattern), Some("pcre")) => {
                // Python's `match` is bound to the start only.
                let anchored = regex::Regex::new(&format!("^(?:{pattern})"));
                anchored.is_ok_and(|pattern| pattern.is_match(node))
            }
            (Some(pattern), Some(_)) => {
                glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(node))
            }
            _ => self.destination.as_ref().is_none_or(listed),
        }
    }
}

/// What a worker answers: always pickled, whatever the request was.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The worker.
    pub node: String,
    /// The value, such as `{ok: "pong"}`.
    pub value: Value,
    /// What it belongs to.
    pub ticket: Option<String>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is none.
    pub fn read(message: &Message) -> Result<Self> {
        let body = Serializer::of(&message.properties)?.read(&message.body)?;
        let mut pairs = body.as_dict().into_iter().flatten();
        match (pairs.next(), pairs.next()) {
            (Some((Value::Str(node), value)), None) => Ok(Answer {
                node: node.to_string(),
                value: value.clone(),
                ticket: message
                    .headers
                    .get("ticket")
                    .and_then(Json::as_str)
                    .map(str::to_owned),
            }),
            _ => Err(Error::invalid("an answer of a worker is not {node: value}")),
        }
    }

    /// The message.
    ///
    /// # Errors
    /// None that a pickle could have.
    pub fn write(&self, clock: u64) -> Result<Message> {
        let by = Serializer::Pickle;
        let mut headers = Map::new();
        headers.insert("ticket".to_owned(), Json::from(self.ticket.clone()));
        headers.insert("clock".to_owned(), clock.into());
        let mut properties = Properties {
            delivery_mode: 1,
            priority: Some(0),
            ..Properties::default()
        };
        by.mark(&mut properties);
        Ok(Message {
            body: by.write(&Value::dict([(self.node.as_str(), self.value.clone())]))?,
            properties,
            headers,
        })
    }
}
