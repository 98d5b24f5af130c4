//! Names and values come from others: what they hold must not drive the terminal.

/// `text` with control characters, and those that reorder or hide text, as escapes:
/// `\n`, `\t`, `\u{1b}`.
pub fn escaped(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    let mut result = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_unsafe(c) {
            true => result.extend(c.escape_default()),
            false => result.push(c),
        }
    }
    result
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Line and paragraph separators, marks, embeddings, overrides and isolates.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_stays() {
        for text in ["sales", "ünïcode 数据 🦀", "a\\nb", "some/long name"] {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(
            escaped("a\tb\nc\u{1b}[31m\u{202e}d\u{9b}"),
            "a\\tb\\nc\\u{1b}[31m\\u{202e}d\\u{9b}"
        );
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in "(\\PC|[\u{0}-\u{1f}\u{7f}-\u{9f}\u{202e}]){0,30}") {
            prop_assert!(!escaped(&text).chars().any(is_unsafe));
        }
    }
}
