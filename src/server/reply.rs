//! Answers, and errors in the form that clients of omega|ml know (spec/rest.md §2).

use super::json::Json;
use crate::error::{Error, ErrorKind};
use crate::runtime::celery::repr;
use crate::runtime::task_id;
use std::io::{self, Write};

/// What writes a body while it is sent.
pub type Stream = Box<dyn FnOnce(Box<dyn Write + Send>) -> io::Result<()> + Send>;

/// An answer.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What makes the body instead, as it is sent.
    pub stream: Option<Stream>,
    /// Who has asked, for the logs.
    pub user: Option<String>,
    /// In which bucket, likewise.
    pub bucket: Option<String>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// 200 with JSON.
    pub fn json(value: &Json) -> Self {
        Reply::bytes("application/json", value.to_body().into_bytes())
    }

    /// 200 with bytes.
    pub fn bytes(content_type: &'static str, body: Vec<u8>) -> Self {
        Reply {
            status: 200,
            content_type,
            headers: Vec::new(),
            body,
            stream: None,
            user: None,
            bucket: None,
        }
    }

    /// 200 with a body that is made while it is sent.
    pub fn streamed(content_type: &'static str, stream: Stream) -> Self {
        Reply {
            stream: Some(stream),
            ..Reply::bytes(content_type, Vec::new())
        }
    }

    /// 200 with other text.
    pub fn text(content_type: &'static str, text: impl Into<String>) -> Self {
        Reply::bytes(content_type, text.into().into_bytes())
    }

    /// With another status code.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A redirection with a page that says so.
    pub fn redirect(status: u16, location: &str) -> Self {
        let shown = escaped(location);
        let page = format!(
            "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n\
             <h1>Redirecting...</h1>\n<p>You should be redirected automatically to the target \
             URL: <a href=\"{shown}\">{shown}</a>. If not, click the link.\n"
        );
        Reply::text("text/html; charset=utf-8", page)
            .status(status)
            .header("location", location)
    }

    /// The page of a path that is nothing.
    pub fn no_such_page() -> Self {
        let page = format!(
            "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n\
             <h1>Not Found</h1>\n<p>{NO_SUCH_URL}</p>\n"
        );
        Reply::text("text/html; charset=utf-8", page).status(404)
    }
}

/// What is said of paths that are nothing.
pub const NO_SUCH_URL: &str = "The requested URL was not found on the server. If you entered \
                               the URL manually please check your spelling and try again.";

/// Text that cannot be taken for HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Why a request is not answered as it was meant to be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The status code.
    pub status: u16,
    message: String,
    /// Errors by field, of a body that does not pass validation.
    errors: Vec<(String, String)>,
    /// Whether the message gets an id that stands in the log too.
    traced: bool,
    retry_after: Option<u32>,
    /// Whether browsers are to ask for user and key.
    browser: bool,
}

impl Failure {
    /// A failure with this message as it is.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Failure {
            status,
            message: message.into(),
            errors: Vec::new(),
            traced: false,
            retry_after: None,
            browser: false,
        }
    }

    /// What a Python exception that is raised with one text makes: 400 with its `repr`.
    pub fn raised(class: &str, message: &str) -> Self {
        Self::exception(class, &repr::quoted(message))
    }

    /// The same, the arguments printed already.
    pub fn exception(class: &str, args: &str) -> Self {
        Failure {
            traced: true,
            ..Self::new(400, format!("{class}({args})"))
        }
    }

    /// A body whose fields are not what they must be.
    pub fn validation(errors: Vec<(String, String)>) -> Self {
        Failure {
            errors,
            ..Self::new(400, "Input payload validation failed")
        }
    }

    /// Not now; try again in so many seconds.
    pub fn busy(status: u16, message: &str, seconds: u32) -> Self {
        Failure {
            retry_after: Some(seconds),
            ..Self::new(status, message)
        }
    }

    /// Nobody, or not who it says to be.
    pub fn unauthenticated(message: &str) -> Self {
        Self::new(401, message)
    }

    /// Makes browsers ask for user and key.
    pub fn asking_browsers(mut self) -> Self {
        self.browser = true;
        self
    }

    /// What is wrong, without an id.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Without an id, as data sets have it.
    pub fn untraced(mut self) -> Self {
        self.traced = false;
        self
    }

    /// What is sent for it. The id of an error that is sent stands in the log.
    pub fn to_reply(&self) -> Reply {
        let mut message = self.message.clone();
        if self.traced {
            let id = task_id();
            tracing::warn!("error {id}: {message}");
            message = format!("{message} [Error ID: {id}]");
        }
        let message = Json::from(message);
        let body = match self.errors.is_empty() {
            true => Json::object([("message", message)]),
            false => {
                let errors = self.errors.iter();
                let errors = errors.map(|(field, error)| (field.clone(), error.as_str().into()));
                Json::object([
                    ("errors", Json::Object(errors.collect())),
                    ("message", message),
                ])
            }
        };
        let mut reply = Reply::json(&body).status(self.status);
        if self.status == 401 {
            let schemes = match self.browser {
                true => "Basic realm=\"omega|ml: user and API key\", charset=\"UTF-8\"",
                false => "ApiKey, Bearer",
            };
            reply = reply.header("www-authenticate", schemes);
        }
        match self.retry_after {
            Some(seconds) => reply.header("retry-after", seconds.to_string()),
            None => reply,
        }
    }
}

/// As the Python exception that omega|ml raises at this place; what is no fault of the
/// request keeps a status of its own.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = match error.hint_text() {
            Some(hint) if error.kind() != ErrorKind::NotFound => format!("{error} ({hint})"),
            _ => error.to_string(),
        };
        match error.kind() {
            ErrorKind::NotFound => Self::raised("AssertionError", &error.to_string()),
            ErrorKind::Unauthorized => Self::new(403, text),
            ErrorKind::Unreachable => Self::busy(503, &text, 5),
            ErrorKind::TimedOut => Self::busy(504, &text, 5),
            ErrorKind::Conflict => Self::new(409, text),
            ErrorKind::Interrupted => Self::busy(503, "the server is about to stop", 5),
            ErrorKind::TaskFailed | ErrorKind::Failed | ErrorKind::Corrupt => {
                Self::raised("RuntimeError", &text)
            }
            ErrorKind::Invalid | ErrorKind::Usage | ErrorKind::BrokenPipe => {
                Self::raised("ValueError", &text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_as_omegaml_does() {
        let missing = Failure::from(Error::not_found("models/nope does not exist"));
        let body = String::from_utf8_lossy(&missing.to_reply().body).into_owned();
        assert!(
            body.starts_with(
                "{\"message\": \"AssertionError('models/nope does not exist') [Error ID: "
            ),
            "{body}"
        );
        let invalid = Failure::validation(vec![("data".to_owned(), "no".to_owned())]);
        assert_eq!(
            String::from_utf8_lossy(&invalid.to_reply().body),
            "{\"errors\": {\"data\": \"no\"}, \"message\": \"Input payload validation failed\"}\n"
        );
    }

    #[test]
    fn pages_escape_what_they_show() {
        let page = Reply::redirect(308, "http://x/<script>");
        assert!(!String::from_utf8_lossy(&page.body).contains("<script>"));
    }
}
