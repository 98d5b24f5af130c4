//! What all pages have around them.

use super::{NOUNS, Page};
use crate::server::app::Call;
use crate::server::reply::{Failure, Reply};
use crate::storage::wall_clock_text;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays readable in links.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// Nothing is loaded from anywhere but this server, and scripts not at all.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The frame of a page.
pub struct Shell {
    here: &'static str,
    bucket: Option<String>,
    buckets: Vec<String>,
}

impl Shell {
    /// The frame of `page`.
    pub fn new(call: &Call<'_>, page: &Page) -> Self {
        let here = match page {
            Page::Index => "index",
            Page::List(noun) | Page::Object(noun, _) | Page::Raw(noun, _) => noun,
            Page::Runtime | Page::Task(_) => "runtime",
            Page::Log => "runtime/log",
        };
        let bucket = call.om.bucket_name();
        Shell {
            here,
            bucket: (bucket != call.om.default_bucket()).then(|| bucket.to_owned()),
            buckets: call.om.storage().buckets().unwrap_or_default(),
        }
    }

    /// A link to `path` in the same bucket.
    pub fn link(&self, path: &str) -> String {
        let path = utf8_percent_encode(path, PLAIN);
        match &self.bucket {
            None => format!("/{path}"),
            Some(bucket) => format!("/{path}?bucket={}", utf8_percent_encode(bucket, PLAIN)),
        }
    }

    /// The same bucket, as a field of a form.
    pub fn bucket_field(&self) -> Markup {
        html! {
            @if let Some(bucket) = &self.bucket {
                input type="hidden" name="bucket" value=(bucket);
            }
        }
    }

    /// A whole page; `refresh` is after how many seconds it is loaded again.
    pub fn page(&self, title: &str, refresh: Option<u32>, content: Markup) -> Reply {
        let places = [("index", "Overview")]
            .into_iter()
            .chain(NOUNS.map(|noun| (noun, noun)))
            .chain([("runtime", "Runtime"), ("runtime/log", "Log")]);
        let body = html! {
            a.skip href="#content" { "Skip to the content" }
            header {
                strong { "omega|ml" }
                nav aria-label="Sections" style="display:contents" {
                    @for (path, name) in places {
                        a href=(self.link(path)) aria-current=[(path == self.here).then_some("page")] {
                            (capital(name))
                        }
                    }
                    a href="/api/doc" { "API" }
                }
                @if self.buckets.len() > 1 {
                    form method="get" action={"/" (self.here)} style="margin:0" {
                        label { span.skip { "Bucket" }
                            select name="bucket" aria-label="Bucket" {
                                @for bucket in &self.buckets {
                                    option selected[self.bucket.as_ref() == Some(bucket)] { (bucket) }
                                }
                            }
                        }
                        button { "Go" }
                    }
                }
            }
            main #content {
                h1 { (title) }
                (content)
            }
        };
        document(title, refresh, body).header("cache-control", "no-store")
    }

    /// A page that says what went wrong.
    pub fn failed(&self, failure: &Failure) -> Reply {
        let content = html! { p.bad role="alert" { (failure.message()) } };
        self.page("This did not work", None, content)
            .status(failure.status)
    }
}

/// A whole document, with nothing in it from elsewhere.
pub fn document(title: &str, refresh: Option<u32>, body: Markup) -> Reply {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(seconds) = refresh {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { (title) " · omega|ml" }
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (body) }
        }
    };
    Reply::text("text/html; charset=utf-8", page.into_string())
        .header("content-security-policy", POLICY)
        .header("referrer-policy", "same-origin")
}

/// `Datasets`
pub fn capital(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// `2026-11-27 13:11:09`
pub fn when(time: bson::DateTime) -> String {
    let text = wall_clock_text(time);
    text.split('.').next().unwrap_or_default().to_owned()
}

/// `1.5 MB`
pub fn bytes(size: u64) -> String {
    let mut size = size as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            let digits = usize::from(unit != "B" && size < 10.0);
            return format!("{size:.digits$} {unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// `336,776`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1500), "1.5 kB");
        assert_eq!(bytes(25_000_000), "25 MB");
        assert_eq!(count(336_776), "336,776");
        assert_eq!(count(7), "7");
        assert_eq!(capital("jobs"), "Jobs");
    }
}
