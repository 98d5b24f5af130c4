//! What the bytes of a CSV file mean, made once of the options and the file's first block.

use crate::frame::format::read_options::ReadOptions;

/// The characters and words of a CSV file.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    pub separator: u8,
    pub quote: Option<u8>,
    pub terminator: u8,
    pub comment: Option<u8>,
    pub decimal: u8,
    pub thousands: Option<u8>,
    pub skip_blank_lines: bool,
    pub skip_initial_space: bool,
    pub nulls: Words,
    pub trues: Words,
    pub falses: Words,
}

impl Dialect {
    /// The dialect of a file that starts with `start`.
    pub fn new(options: &ReadOptions, separator: u8, start: &[u8]) -> Dialect {
        // Old Macintosh files end lines with a carriage return alone.
        let only_returns =
            memchr::memchr(b'\n', start).is_none() && memchr::memchr(b'\r', start).is_some();
        Dialect {
            separator: options.separator.unwrap_or(separator),
            quote: options.quote,
            terminator: options
                .terminator
                .unwrap_or(if only_returns { b'\r' } else { b'\n' }),
            comment: options.comment,
            decimal: options.decimal,
            thousands: options.thousands,
            skip_blank_lines: options.skip_blank_lines,
            skip_initial_space: options.skip_initial_space,
            nulls: Words::new(&options.nulls),
            trues: Words::new(&options.trues),
            falses: Words::new(&options.falses),
        }
    }
}

/// A small set of words, quick to say no.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// Sorted.
    words: Vec<Box<[u8]>>,
    /// Where the words are that start with a byte.
    starts: Vec<std::ops::Range<usize>>,
    empty: bool,
}

impl Words {
    pub fn new(words: &[String]) -> Words {
        let empty = words.iter().any(String::is_empty);
        let mut words: Vec<Box<[u8]>> = words
            .iter()
            .filter(|word| !word.is_empty())
            .map(|word| word.as_bytes().into())
            .collect();
        words.sort();
        let starts = (0..=u8::MAX)
            .map(|byte| {
                let before = words.partition_point(|word| word.first() < Some(&byte));
                let until = words.partition_point(|word| word.first() <= Some(&byte));
                before..until
            })
            .collect();
        Words {
            words,
            starts,
            empty,
        }
    }

    #[inline]
    pub fn contains(&self, word: &[u8]) -> bool {
        let Some(first) = word.first() else {
            return self.empty;
        };
        match self.starts.get(usize::from(*first)) {
            Some(range) if !range.is_empty() => self
                .words
                .get(range.clone())
                .unwrap_or_default()
                .iter()
                .any(|known| **known == *word),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let words = Words::new(&[
            "NA".to_owned(),
            "N/A".to_owned(),
            String::new(),
            "-".to_owned(),
        ]);
        for (word, known) in [
            ("NA", true),
            ("N/A", true),
            ("", true),
            ("-", true),
            ("N", false),
            ("x", false),
        ] {
            assert_eq!(words.contains(word.as_bytes()), known, "{word}");
        }
        assert!(!Words::new(&[]).contains(b""));
    }
}
