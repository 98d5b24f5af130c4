//! numpy's `.npy` files: the header (format versions 1 to 3, see numpy's `lib.format`),
//! and arrays of one or two dimensions as frames.

use crate::error::{Context, Error, Result};
use polars::prelude::{Column, DataFrame, DataType, IntoColumn, NamedFrom, Series, TimeUnit};
use regex::Regex;
use std::sync::LazyLock;

const MAGIC: &[u8] = b"\x93NUMPY";
/// No sane array has a longer header.
const LONGEST_HEADER: usize = 64 << 10;

/// What the header of an array file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Type as numpy writes it, e.g. `<f8`.
    pub descr: String,
    /// Whether the first index varies fastest.
    pub fortran_order: bool,
    /// Size of each dimension; none for a single value.
    pub shape: Vec<usize>,
}

static FIELDS: LazyLock<Option<[Regex; 3]>> = LazyLock::new(|| {
    let field = |text| Regex::new(text).ok();
    Some([
        field(r"'descr':\s*'([^']{1,64})'")?,
        field(r"'fortran_order':\s*(True|False)")?,
        field(r"'shape':\s*\(([0-9L,\s]*)\)")?,
    ])
});

impl Header {
    /// Reads the header; answers it and where the payload starts.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is no array file, or one of Python objects.
    pub fn parse(bytes: &[u8]) -> Result<(Header, usize)> {
        let no_array = || Error::invalid("this is not a .npy array");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(no_array)?;
        let number = |range: std::ops::Range<usize>| -> Option<usize> {
            let bytes = rest.get(range)?;
            Some(
                bytes
                    .iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            )
        };
        let (length, start) = match rest.first() {
            Some(1) => (number(2..4), 4),
            Some(2 | 3) => (number(2..6), 6),
            _ => (None, 0),
        };
        let length = length
            .filter(|length| *length <= LONGEST_HEADER)
            .ok_or_else(no_array)?;
        let text = rest.get(start..start + length).ok_or_else(no_array)?;
        let text = std::str::from_utf8(text).map_err(|_| no_array())?;
        let [descr, order, shape] = FIELDS.as_ref().ok_or_else(no_array)?;
        let capture = |field: &Regex| Some(field.captures(text)?.get(1)?.as_str());
        let shape = capture(shape).ok_or_else(no_array)?;
        let header = Header {
            descr: capture(descr)
                .ok_or_else(|| {
                    Error::invalid("structured arrays cannot be stored as arrays")
                        .hint("store it as a file: --as file")
                })?
                .to_owned(),
            fortran_order: capture(order).ok_or_else(no_array)? == "True",
            shape: shape
                .split(',')
                .map(|size| size.trim().trim_end_matches('L'))
                .filter(|size| !size.is_empty())
                .map(|size| size.parse().map_err(|_| no_array()))
                .collect::<Result<_>>()?,
        };
        if header.descr.contains('O') {
            return Err(
                Error::invalid("an array of Python objects can only be opened by Python")
                    .hint("store it as a file: --as file"),
            );
        }
        header.payload_length()?;
        Ok((header, MAGIC.len() + start + length))
    }

    /// The header as a file starts with it, padded so that the payload is aligned to 64.
    pub fn to_bytes(&self) -> Vec<u8> {
        let shape = match self.shape.as_slice() {
            [one] => format!("({one},)"),
            sizes => {
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                format!("({})", sizes.join(", "))
            }
        };
        let order = if self.fortran_order { "True" } else { "False" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': {order}, 'shape': {shape}, }}",
            self.descr
        );
        let start = MAGIC.len() + 4;
        let padding = 63 - (start + text.len()) % 64;
        text.extend(std::iter::repeat_n(' ', padding));
        text.push('\n');
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        [MAGIC, &[1, 0], &length, text.as_bytes()].concat()
    }

    /// Number of values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the shape is beyond all memory.
    pub fn count(&self) -> Result<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size))
            .ok_or_else(|| Error::invalid("the array's shape is impossible"))
    }

    /// Bytes of one value.
    fn item_size(&self) -> Result<usize> {
        let unknown = || Error::invalid(format!("arrays of type `{}` are not known", self.descr));
        let digits: String = self
            .descr
            .chars()
            .skip(2)
            .take_while(char::is_ascii_digit)
            .collect();
        let size: usize = digits.parse().map_err(|_| unknown())?;
        match self.kind() {
            'U' => size.checked_mul(4).ok_or_else(unknown),
            'f' | 'i' | 'u' | 'b' | 'S' | 'V' | 'c' | 'M' | 'm' => Ok(size),
            _ => Err(unknown()),
        }
    }

    fn kind(&self) -> char {
        self.descr.chars().nth(1).unwrap_or(' ')
    }

    /// Bytes after the header.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for unknown types and impossible shapes.
    pub fn payload_length(&self) -> Result<u64> {
        self.count()?
            .checked_mul(self.item_size()?)
            .map(|length| length as u64)
            .ok_or_else(|| Error::invalid("the array's shape is impossible"))
    }

    /// numpy's name of the type, e.g. `float64`, `str96`.
    pub fn dtype_name(&self) -> String {
        let bits = self.item_size().unwrap_or(0) * 8;
        match self.kind() {
            'f' => format!("float{bits}"),
            'i' => format!("int{bits}"),
            'u' => format!("uint{bits}"),
            'b' => "bool".to_owned(),
            'U' => format!("str{bits}"),
            'S' => format!("bytes{bits}"),
            'c' => format!("complex{bits}"),
            'M' | 'm' => {
                let unit = self.descr.get(3..).unwrap_or_default();
                let name = if self.kind() == 'M' {
                    "datetime64"
                } else {
                    "timedelta64"
                };
                format!("{name}{unit}")
            }
            _ => format!("void{bits}"),
        }
    }
}

/// An array file of one or two dimensions as a frame with columns `column_0`, ….
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for other shapes, types without a column type, and files
/// that end early.
pub fn to_frame(bytes: &[u8]) -> Result<DataFrame> {
    let (header, start) = Header::parse(bytes)?;
    let payload = bytes.get(start..).unwrap_or_default();
    if (payload.len() as u64) < header.payload_length()? {
        return Err(Error::invalid("the array file ends early"));
    }
    let (height, width) = match header.shape.as_slice() {
        [] => (1, 1),
        [rows] => (*rows, 1),
        [rows, columns] => (*rows, *columns),
        shape => {
            return Err(Error::invalid(format!(
                "an array of {} dimensions is not a table",
                shape.len()
            ))
            .hint("get it as it is, to a .npy file"));
        }
    };
    let size = header.item_size()?;
    let columns = (0..width)
        .map(|column| {
            let cells = (0..height).map(|row| {
                let at = if header.fortran_order {
                    column * height + row
                } else {
                    row * width + column
                };
                payload.get(at * size..(at + 1) * size).unwrap_or_default()
            });
            series(&format!("column_{column}"), &header, cells).map(IntoColumn::into_column)
        })
        .collect::<Result<Vec<Column>>>()?;
    DataFrame::new(height, columns).context(|| "cannot make a table of the array")
}

fn series<'a>(
    name: &str,
    header: &Header,
    cells: impl Iterator<Item = &'a [u8]>,
) -> Result<Series> {
    let big = header.descr.starts_with('>');
    macro_rules! numbers {
        ($type:ty) => {{
            let values: Vec<$type> = cells
                .map(|cell| {
                    let mut bytes = [0; size_of::<$type>()];
                    bytes.copy_from_slice(cell);
                    if big {
                        <$type>::from_be_bytes(bytes)
                    } else {
                        <$type>::from_le_bytes(bytes)
                    }
                })
                .collect();
            Series::new(name.into(), values)
        }};
    }
    Ok(match (header.kind(), header.item_size()?) {
        ('f', 8) => numbers!(f64),
        ('f', 4) => numbers!(f32),
        ('i', 8) => numbers!(i64),
        ('i', 4) => numbers!(i32),
        ('i', 2) => numbers!(i16),
        ('i', 1) => numbers!(i8),
        ('u', 8) => numbers!(u64),
        ('u', 4) => numbers!(u32),
        ('u', 2) => numbers!(u16),
        ('u', 1) => numbers!(u8),
        ('b', 1) => {
            let flags: Vec<bool> = cells
                .map(|cell| cell.first().is_some_and(|byte| *byte != 0))
                .collect();
            Series::new(name.into(), flags)
        }
        ('U', _) => {
            let texts: Vec<String> = cells.map(|cell| text(cell, big)).collect();
            Series::new(name.into(), texts)
        }
        ('S', _) => {
            let texts: Vec<String> = cells
                .map(|cell| {
                    String::from_utf8_lossy(cell)
                        .trim_end_matches('\0')
                        .to_owned()
                })
                .collect();
            Series::new(name.into(), texts)
        }
        ('M', 8) => {
            let unit = match header.descr.get(3..) {
                Some("[ns]") => TimeUnit::Nanoseconds,
                Some("[us]") => TimeUnit::Microseconds,
                Some("[ms]") => TimeUnit::Milliseconds,
                _ => return Err(no_column(header)),
            };
            numbers!(i64)
                .cast(&DataType::Datetime(unit, None))
                .context(|| "cannot read the array's times")?
        }
        _ => return Err(no_column(header)),
    })
}

fn no_column(header: &Header) -> Error {
    Error::invalid(format!(
        "an array of `{}` cannot become a table",
        header.descr
    ))
    .hint("get it as it is, to a .npy file")
}

/// Four bytes a character, padded with zeros.
fn text(cell: &[u8], big: bool) -> String {
    cell.chunks_exact(4)
        .filter_map(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map(|bytes| {
            if big {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        })
        .take_while(|code| *code != 0)
        .map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A frame as a two-dimensional array file: of `f8` unless all columns are of one other
/// numeric type, all boolean, or all text.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when text and numbers are mixed, or for nulls other than
/// in numbers, where they become NaN.
pub fn from_frame(frame: &DataFrame) -> Result<Vec<u8>> {
    let types = frame.dtypes();
    let first = types.first().cloned().unwrap_or(DataType::Float64);
    let nulls = frame.columns().iter().any(|column| column.null_count() > 0);
    let same = types.iter().all(|dtype| *dtype == first) && !nulls;
    let (descr, cells): (String, Vec<Vec<Vec<u8>>>) = match &first {
        DataType::String if same => texts(frame)?,
        DataType::Boolean if same => {
            let cells = cells(frame, &DataType::Boolean, |column| {
                Ok(column
                    .bool()?
                    .iter()
                    .map(|flag| vec![u8::from(flag.unwrap_or(false))])
                    .collect())
            })?;
            ("|b1".to_owned(), cells)
        }
        DataType::Int64 if same => (
            "<i8".to_owned(),
            cells(frame, &first, |column| {
                Ok(column
                    .i64()?
                    .into_no_null_iter()
                    .map(|number| number.to_le_bytes().to_vec())
                    .collect())
            })?,
        ),
        _ if types
            .iter()
            .all(|dtype| dtype.is_primitive_numeric() || *dtype == DataType::Boolean) =>
        {
            (
                "<f8".to_owned(),
                cells(frame, &DataType::Float64, |column| {
                    Ok(column
                        .f64()?
                        .iter()
                        .map(|number| number.unwrap_or(f64::NAN).to_le_bytes().to_vec())
                        .collect())
                })?,
            )
        }
        _ => {
            return Err(Error::invalid(
                "an array has one type: the table mixes text, dates or nulls with others",
            )
            .hint("choose columns of one type with --columns"));
        }
    };
    let header = Header {
        descr,
        fortran_order: true,
        shape: vec![frame.height(), frame.width()],
    };
    let mut bytes = header.to_bytes();
    cells
        .iter()
        .flatten()
        .for_each(|cell| bytes.extend_from_slice(cell));
    Ok(bytes)
}

type Cells = Vec<Vec<Vec<u8>>>;

fn cells(
    frame: &DataFrame,
    dtype: &DataType,
    bytes: impl Fn(&Series) -> polars::prelude::PolarsResult<Vec<Vec<u8>>>,
) -> Result<Cells> {
    frame
        .columns()
        .iter()
        .map(|column| bytes(&column.as_materialized_series().cast(dtype)?))
        .collect::<polars::prelude::PolarsResult<_>>()
        .context(|| "cannot write the array")
}

fn texts(frame: &DataFrame) -> Result<(String, Cells)> {
    let mut columns: Vec<Vec<Vec<char>>> = Vec::new();
    for column in frame.columns() {
        let texts = column
            .as_materialized_series()
            .str()
            .context(|| "cannot write the array")?;
        columns.push(
            texts
                .iter()
                .map(|text| text.unwrap_or_default().chars().collect())
                .collect(),
        );
    }
    let longest = columns
        .iter()
        .flatten()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .max(1);
    let encode = |text: Vec<char>| {
        let mut bytes: Vec<u8> = text
            .iter()
            .flat_map(|char| u32::from(*char).to_le_bytes())
            .collect();
        bytes.resize(longest * 4, 0);
        bytes
    };
    let cells = columns
        .into_iter()
        .map(|column| column.into_iter().map(encode).collect())
        .collect();
    Ok((format!("<U{longest}"), cells))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::df;
    use proptest::prelude::*;

    #[test]
    fn headers_are_those_of_numpy() {
        let header = Header {
            descr: "<f8".into(),
            fortran_order: false,
            shape: vec![2, 3],
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes.len(), 128);
        assert_eq!(Header::parse(&bytes).unwrap(), (header.clone(), 128));
        assert_eq!(header.dtype_name(), "float64");
        let text = Header {
            descr: "<U3".into(),
            fortran_order: false,
            shape: vec![1],
        };
        assert_eq!(text.dtype_name(), "str96");
        assert_eq!(text.payload_length().unwrap(), 12);
    }

    #[test]
    fn frames_survive() {
        let frames = [
            df!("column_0" => [1.5, -2.0], "column_1" => [0.0, f64::INFINITY]).unwrap(),
            df!("column_0" => [1i64, 2]).unwrap(),
            df!("column_0" => [true, false]).unwrap(),
            df!("column_0" => ["a", "öß😀"], "column_1" => ["", "b"]).unwrap(),
        ];
        for frame in frames {
            assert!(
                to_frame(&from_frame(&frame).unwrap())
                    .unwrap()
                    .equals(&frame),
                "{frame:?}"
            );
        }
        assert!(from_frame(&df!("a" => [1.0], "b" => ["x"]).unwrap()).is_err());
    }

    #[test]
    fn impossible_headers_are_refused() {
        for text in [
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 2), }",
            "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f8'}",
        ] {
            let length = u16::try_from(text.len()).unwrap().to_le_bytes();
            assert!(
                Header::parse(&[MAGIC, &[1, 0], &length, text.as_bytes()].concat()).is_err(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), flip in 0usize..128) {
            let _ = to_frame(&bytes);
            let mut file = Header { descr: "<i4".into(), fortran_order: false, shape: vec![3, 4] }.to_bytes();
            file.append(&mut bytes);
            file[flip] ^= 0x15;
            let _ = to_frame(&file);
        }
    }
}
