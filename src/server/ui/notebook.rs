//! Notebooks, to be read. What they hold is shown, never run: HTML in them stays text.

use crate::jobs::{CellKind, Notebook, joined};
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Event, Options, Parser, Tag, html::push_html};
use serde_json::Value;

/// The cells with their outputs.
pub fn render(notebook: &Notebook) -> Markup {
    html! {
        @for cell in notebook.cells() {
            div.cell {
                @match cell.kind() {
                    CellKind::Markdown => (PreEscaped(markdown(&cell.source()))),
                    _ => pre { code { (cell.source()) } },
                }
                @for output in cell.outputs() { (self::output(output)) }
            }
        }
    }
}

fn output(output: &Value) -> Markup {
    let text = |value: Option<&Value>| value.map(joined).unwrap_or_default();
    match output.get("output_type").and_then(Value::as_str) {
        Some("stream") => html! { pre { (plain(&text(output.get("text")))) } },
        Some("error") => {
            let lines = output.get("traceback").and_then(Value::as_array);
            let lines: Vec<&str> = lines
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            html! { pre.bad { (plain(&lines.join("\n"))) } }
        }
        _ => {
            let data = output.get("data");
            let of = |kind: &str| data.and_then(|data| data.get(kind));
            for kind in ["image/png", "image/jpeg"] {
                if let Some(image) = of(kind) {
                    let encoded: String = joined(image).split_whitespace().collect();
                    return html! { img src={"data:" (kind) ";base64," (encoded)} alt="output of the cell"; };
                }
            }
            match (of("text/markdown"), of("text/plain")) {
                (Some(source), _) => html! { (PreEscaped(markdown(&joined(source)))) },
                (_, Some(source)) => html! { pre { (plain(&joined(source))) } },
                _ => html! {},
            }
        }
    }
}

/// Markdown as HTML; HTML within it as text, links that run something as nothing.
pub fn markdown(source: &str) -> String {
    let safe = |link: &str| {
        let link = link.trim_start().to_ascii_lowercase();
        !link.contains(':')
            || ["http:", "https:", "mailto:"]
                .iter()
                .any(|s| link.starts_with(s))
    };
    let events = Parser::new_ext(source, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(mut tag) => {
            if let Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } = &mut tag
                && !safe(dest_url)
            {
                *dest_url = "".into();
            }
            Event::Start(tag)
        }
        other => other,
    });
    let mut out = String::new();
    push_html(&mut out, events);
    out
}

/// Text without the colours of terminals.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            out.push(letter);
            continue;
        }
        if letters.next() == Some('[') {
            for letter in letters.by_ref() {
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_in_a_notebook_runs() {
        let html = markdown(
            "# T\n\n<script>x</script>\n\n\
             [a](javascript:x) ![b](data:text/html,x) **b** <i>x</i>",
        );
        assert!(
            html.contains("<h1>T</h1>") && html.contains("<strong>b</strong>"),
            "{html}"
        );
        assert!(
            ["<script", "<i>", "javascript:"]
                .iter()
                .all(|evil| !html.contains(evil)),
            "{html}"
        );
        assert!(!html.contains("data:"), "{html}");
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m"), "red");
    }

    proptest! {
        #[test]
        fn any_text_is_shown(source in "\\PC{0,60}") {
            prop_assert!(!markdown(&source).contains("<script"));
            let _ = plain(&source);
        }
    }
}
