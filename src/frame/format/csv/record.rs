//! Fields of the records in a block. Quoting as RFC 4180 has it, lenient as pandas is: a
//! quote inside an unquoted field is an ordinary character, and so is what follows a
//! closing quote.

use super::dialect::Dialect;

/// Reads the records of a text one after the other.
pub(crate) struct Records<'a> {
    text: &'a str,
    dialect: &'a Dialect,
    position: usize,
    /// Where the last record started.
    start: usize,
    scratch: String,
}

/// What [`Records::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record of this many fields.
    Record(usize),
    /// An empty line, where these are not left out.
    Blank,
    /// A quote is not closed.
    Unclosed,
    /// No more.
    End,
}

impl<'a> Records<'a> {
    pub fn new(text: &'a str, dialect: &'a Dialect) -> Records<'a> {
        Records {
            text,
            dialect,
            position: 0,
            start: 0,
            scratch: String::new(),
        }
    }

    /// Where the last record started, in bytes.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the next record starts, in bytes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes back to a place that [`Records::position`] gave.
    pub fn rewind(&mut self, position: usize) {
        self.position = position;
    }

    /// Reads a record; `field` gets the number of each field and its text.
    #[inline]
    pub fn next<E>(
        &mut self,
        mut field: impl FnMut(usize, &str) -> Result<(), E>,
    ) -> Result<Found, E> {
        let bytes = self.text.as_bytes();
        loop {
            self.start = self.position;
            match bytes.get(self.position) {
                None => return Ok(Found::End),
                // What may be an empty line or a comment.
                Some(first) if *first <= b' ' || Some(*first) == self.dialect.comment => {
                    match self.special_line() {
                        Line::Skip => {}
                        Line::Blank => return Ok(Found::Blank),
                        Line::Record => break,
                    }
                }
                Some(_) => break,
            }
        }
        let mut count = 0;
        loop {
            if self.dialect.skip_initial_space {
                while bytes.get(self.position) == Some(&b' ') {
                    self.position += 1;
                }
            }
            let more = if self.dialect.quote.is_some()
                && bytes.get(self.position).copied() == self.dialect.quote
            {
                let Some(more) = self.quoted() else {
                    return Ok(Found::Unclosed);
                };
                field(count, &self.scratch)?;
                more
            } else {
                let from = self.position;
                let (to, more) = self.unquoted();
                field(count, self.text.get(from..to).unwrap_or_default())?;
                more
            };
            count += 1;
            if !more {
                return Ok(Found::Record(count));
            }
        }
    }

    /// Ends the unquoted field at the position: where it ends, and whether the record
    /// goes on.
    #[inline]
    fn unquoted(&mut self) -> (usize, bool) {
        let bytes = self.text.as_bytes();
        let (separator, terminator) = (self.dialect.separator, self.dialect.terminator);
        let rest = bytes.get(self.position..).unwrap_or_default();
        let length = match self.dialect.comment {
            Some(comment) => memchr::memchr3(separator, terminator, comment, rest),
            None => match rest
                .iter()
                .take(16)
                .position(|byte| *byte == separator || *byte == terminator)
            {
                Some(length) => Some(length),
                None => rest
                    .get(16..)
                    .and_then(|rest| memchr::memchr2(separator, terminator, rest))
                    .map(|length| length + 16),
            },
        }
        .unwrap_or(rest.len());
        let end = self.position + length;
        match bytes.get(end).copied() {
            Some(byte) if byte == separator => {
                self.position = end + 1;
                (end, true)
            }
            Some(byte) if byte == terminator => {
                self.position = end + 1;
                (self.without_return(end), false)
            }
            Some(_) => {
                self.skip_line(end);
                (end, false)
            }
            None => {
                self.position = end;
                (self.without_return(end), false)
            }
        }
    }

    /// Takes the quoted field at the position into the scratch text; whether the record
    /// goes on, or none when the quote is not closed.
    fn quoted(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let quote = self.dialect.quote?;
        self.scratch.clear();
        self.position += 1;
        loop {
            let rest = bytes.get(self.position..)?;
            let found = memchr::memchr(quote, rest)?;
            let end = self.position + found;
            self.scratch.push_str(self.text.get(self.position..end)?);
            self.position = end + 1;
            if bytes.get(self.position) != Some(&quote) {
                break;
            }
            self.scratch.push(char::from(quote));
            self.position += 1;
        }
        let from = self.position;
        let (to, more) = self.unquoted();
        self.scratch
            .push_str(self.text.get(from..to).unwrap_or_default());
        Some(more)
    }

    /// The end without a carriage return before it.
    #[inline]
    fn without_return(&self, end: usize) -> usize {
        let before = end
            .checked_sub(1)
            .and_then(|before| self.text.as_bytes().get(before));
        let within = end > self.start;
        end - usize::from(within && before == Some(&b'\r') && self.dialect.terminator == b'\n')
    }

    fn skip_line(&mut self, from: usize) {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let length =
            memchr::memchr(self.dialect.terminator, rest).map_or(rest.len(), |length| length + 1);
        self.position = from + length;
    }

    /// Looks at a line that starts with a blank, a line end or a comment sign.
    fn special_line(&mut self) -> Line {
        let bytes = self.text.as_bytes();
        let first = bytes.get(self.position).copied();
        if first.is_some() && first == self.dialect.comment {
            self.skip_line(self.position);
            return Line::Skip;
        }
        let rest = bytes.get(self.position..).unwrap_or_default();
        for (index, byte) in rest.iter().enumerate() {
            if *byte == self.dialect.terminator {
                return self.blank(index + 1);
            }
            if *byte == self.dialect.separator || !matches!(byte, b' ' | b'\t' | b'\r') {
                return Line::Record;
            }
        }
        self.blank(rest.len())
    }

    fn blank(&mut self, length: usize) -> Line {
        self.position += length;
        if self.dialect.skip_blank_lines {
            Line::Skip
        } else {
            Line::Blank
        }
    }
}

enum Line {
    Skip,
    Blank,
    Record,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::frame::format::read_options::ReadOptions;
    use proptest::prelude::*;

    fn read(text: &str, options: &ReadOptions) -> Vec<Vec<String>> {
        let dialect = Dialect::new(options, b',', text.as_bytes());
        let mut records = Records::new(text, &dialect);
        let mut all = Vec::new();
        loop {
            let mut fields = Vec::new();
            let found = records.next(|number, field| {
                assert_eq!(number, fields.len());
                fields.push(field.to_owned());
                Ok::<(), ()>(())
            });
            match found.unwrap() {
                Found::Record(_) | Found::Blank => all.push(fields),
                Found::Unclosed => panic!("unclosed"),
                Found::End => return all,
            }
        }
    }

    #[test]
    fn fields() {
        let options = ReadOptions::default();
        assert_eq!(read("a,b\r\n1,\n", &options), [["a", "b"], ["1", ""]]);
        assert_eq!(
            read("\"x\"\"y\",\"a\nb\"\n\n \n,z", &options),
            [["x\"y", "a\nb"], ["", "z"]]
        );
        assert_eq!(
            read("5\" pipe,\"a\"b,\n", &options),
            [["5\" pipe", "ab", ""]]
        );
        assert_eq!(read("a\rb\r", &options), [["a"], ["b"]]);
        assert_eq!(
            read("a-long-field-of-text,another-long-field-of-text", &options)
                .concat()
                .len(),
            2
        );
    }

    #[test]
    fn options() {
        let mut options = ReadOptions {
            comment: Some(b'#'),
            skip_initial_space: true,
            ..ReadOptions::default()
        };
        assert_eq!(
            read("# x\na, \"b\" # c\nd,e#\n", &options),
            [["a", "b "], ["d", "e"]]
        );
        options.quote = None;
        options.skip_blank_lines = false;
        assert_eq!(
            read("\"a\",b\n\nc,d", &options),
            [vec!["\"a\"", "b"], vec![], vec!["c", "d"]]
        );
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate(text in "[ab\",\né]{0,40}") {
            let dialect = Dialect::new(&ReadOptions::default(), b',', b"\n");
            let mut records = Records::new(&text, &dialect);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            for want in reader.records() {
                let want = want.unwrap();
                let mut got = Vec::new();
                match records.next(|_, field| { got.push(field.to_owned()); Ok::<(), ()>(()) }).unwrap() {
                    Found::Record(_) => prop_assert_eq!(got, want.iter().collect::<Vec<_>>()),
                    // The other reader closes quotes at the end of the file.
                    Found::Unclosed => return Ok(()),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
