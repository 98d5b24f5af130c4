//! The URL of a broker, as Celery reads it: `amqp://user:password@host:port/vhost`, with
//! percent escapes; no virtual host, or `//`, is `/` (spec/runtime.md §1).

use crate::config::AmqpSettings;
use crate::error::{Error, Result};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};

/// Seconds between signs of life: a silent connection is given up after twice the time.
const HEARTBEAT: u16 = 20;

/// Reads the URL of the settings.
///
/// # Errors
/// [`crate::ErrorKind::Usage`]; the URL is shown without its credentials.
pub(super) fn parse(settings: &AmqpSettings) -> Result<AMQPUri> {
    let refuse = |why: &str| {
        Error::usage(format!("\"{}\" is no URL of a broker: {why}", settings.url))
            .on("OMEGA_BROKER")
            .hint("write it as amqp://user:password@host:5672/vhost, with special characters escaped: %2F for /")
    };
    let text = settings.url.reveal();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(refuse("it has no scheme"));
    };
    let tls = match scheme {
        "amqp" | "pyamqp" => settings.tls,
        "amqps" => true,
        other => return Err(refuse(&format!("{other}:// is not AMQP"))),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold an @, a host may not; nor does a virtual host, unescaped.
    let start = rest.rfind('@').map_or(0, |at| at + 1);
    let (user, place) = rest.split_at(start);
    let (host, vhost) = match place.split_once('/') {
        Some((host, vhost)) => (host, vhost),
        None => (place, ""),
    };
    let decode =
        |text: &str| unescape(text).ok_or_else(|| refuse("a % is not followed by two hex digits"));
    let user = user.strip_suffix('@').unwrap_or(user);
    let (username, password) = match user {
        "" => ("guest".to_owned(), "guest".to_owned()),
        user => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (decode(name)?, decode(password)?)
        }
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port = port.parse().map_err(|_| refuse("its port is no number"))?;
            (host, Some(port))
        }
        _ => (host, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() {
        "localhost".to_owned()
    } else {
        decode(host)?
    };
    let vhost = match vhost {
        "" => "/".to_owned(),
        vhost => decode(vhost)?,
    };
    let mut heartbeat = HEARTBEAT;
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if key == "heartbeat" {
            // 0 would let a cut cable go unnoticed for ever.
            let seconds: u16 = value
                .parse()
                .map_err(|_| refuse("heartbeat is no number of seconds"))?;
            heartbeat = if seconds == 0 { HEARTBEAT } else { seconds };
        }
    }
    let scheme = if tls {
        AMQPScheme::AMQPS
    } else {
        AMQPScheme::AMQP
    };
    Ok(AMQPUri {
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username, password },
            host,
            port: port.unwrap_or_else(|| scheme.default_port()),
        },
        scheme,
        vhost,
        query: AMQPQueryString {
            heartbeat: Some(heartbeat),
            // A connection has room for 64 frames.
            frame_max: Some(32_768),
            ..AMQPQueryString::default()
        },
    })
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Url;
    use proptest::prelude::*;

    fn settings(url: &str) -> AmqpSettings {
        AmqpSettings {
            url: Url::new(url),
            tls: false,
            ca_file: None,
        }
    }

    #[test]
    fn urls_are_read_as_celery_reads_them() {
        for (url, user, password, host, port, vhost) in [
            (
                "amqp://admin:foobar@localhost:5672//",
                "admin",
                "foobar",
                "localhost",
                5672,
                "/",
            ),
            ("amqp://mq", "guest", "guest", "mq", 5672, "/"),
            ("amqp://mq/", "guest", "guest", "mq", 5672, "/"),
            ("amqp://mq/%2F", "guest", "guest", "mq", 5672, "/"),
            (
                "pyamqp://a%40b:p%2Fw%3A@mq:1/om%20x",
                "a@b",
                "p/w:",
                "mq",
                1,
                "om x",
            ),
            ("amqp://u:p@ss@mq/x/y", "u", "p@ss", "mq", 5672, "x/y"),
            ("amqps://u:p@[::1]/x", "u", "p", "::1", 5671, "x"),
            ("amqp://u:p@[::1]:7/x", "u", "p", "::1", 7, "x"),
            ("amqp://u@mq", "u", "", "mq", 5672, "/"),
            ("amqp://", "guest", "guest", "localhost", 5672, "/"),
        ] {
            let uri = parse(&settings(url)).unwrap();
            let AMQPAuthority {
                userinfo,
                host: found,
                port: at,
            } = uri.authority;
            assert_eq!(
                (userinfo.username.as_str(), userinfo.password.as_str()),
                (user, password),
                "{url}"
            );
            assert_eq!(
                (found.as_str(), at, uri.vhost.as_str()),
                (host, port, vhost),
                "{url}"
            );
        }
        let tls = AmqpSettings {
            tls: true,
            ..settings("amqp://mq//")
        };
        let uri = parse(&tls).unwrap();
        assert_eq!((uri.scheme, uri.authority.port), (AMQPScheme::AMQPS, 5671));
        assert_eq!(
            parse(&settings("amqp://mq?heartbeat=3"))
                .unwrap()
                .query
                .heartbeat,
            Some(3)
        );
    }

    #[test]
    fn other_urls_are_refused_without_their_password() {
        for url in [
            "",
            "mq",
            "memory://",
            "redis://u:CANARY@h",
            "amqp://u:CANARY%zz@h",
            "amqp://u:CANARY@h:x/",
        ] {
            let error = parse(&settings(url)).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Usage, "{url}");
            assert!(!format!("{error:?}").contains("CANARY"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = parse(&settings(&format!("amqp://{text}")));
        }
    }
}
