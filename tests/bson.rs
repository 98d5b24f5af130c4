//! Raw BSON into columns and back, against the bson crate's own reading and writing:
//! random documents of all types, random tables, and bytes that are no documents.
//!
//! `PROPTEST_CASES=100000 cargo test --release --test bson` looks longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bson::oid::ObjectId;
use bson::raw::RawDocument;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Timestamp, doc};
use omega::ErrorKind;
use omega::frame::bson::{
    Decoder, Encoder, Field, ObjectIds, bson_to_value, documents, infer, stored_name,
};
use polars::prelude::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

const DAY: i64 = 86_400_000;

/// As many as `PROPTEST_CASES` says. What fails is printed, not kept in a file.
fn cases() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A field's name.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "c", "d e", "ü"]).prop_map(str::to_owned),
        1 => "[^\\x00]{0,6}",
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0),
        (-1000_i32..1000).prop_map(f64::from),
    ]
}

/// Values of one type, by its number; the last one is any value at all.
fn typed(kind: usize) -> BoxedStrategy<Bson> {
    match kind {
        0 => any::<i32>().prop_map(Bson::Int32).boxed(),
        1 => any::<i64>().prop_map(Bson::Int64).boxed(),
        2 => double().prop_map(Bson::Double).boxed(),
        3 => "\\PC{0,12}".prop_map(Bson::String).boxed(),
        4 => any::<bool>().prop_map(Bson::Boolean).boxed(),
        5 => any::<i64>()
            .prop_map(|millis| Bson::DateTime(DateTime::from_millis(millis)))
            .boxed(),
        6 => binary().boxed(),
        7 => prop_oneof![typed(0), typed(1), typed(2)].boxed(),
        8 => vec(typed(0), 0..4).prop_map(Bson::Array).boxed(),
        9 => (typed(0), typed(3))
            .prop_map(|(x, y)| Bson::Document(doc! { "x": x, "y": y }))
            .boxed(),
        _ => anything().boxed(),
    }
}

const KINDS: usize = 11;

fn binary() -> impl Strategy<Value = Bson> {
    let subtypes = vec![
        BinarySubtype::Generic,
        BinarySubtype::BinaryOld,
        BinarySubtype::Uuid,
        BinarySubtype::UserDefined(0x80),
    ];
    let bytes = vec(any::<u8>(), 0..12);
    (proptest::sample::select(subtypes), bytes)
        .prop_map(|(subtype, bytes)| Bson::Binary(Binary { subtype, bytes }))
}

/// A value of the type that has no constructor.
fn pointer() -> Bson {
    let bytes = b"\x24\0\0\0\x0cp\0\x0c\0\0\0namespace.x\0twelve bytes\0";
    let length = bytes.len() as u8;
    let mut bytes = bytes.to_vec();
    bytes[0] = length;
    let document = Document::from_reader(bytes.as_slice()).unwrap();
    document.get("p").unwrap().clone()
}

fn anything() -> impl Strategy<Value = Bson> {
    let text = || "\\PC{0,6}";
    let leaf = prop_oneof![
        (0..7_usize).prop_flat_map(typed),
        Just(Bson::Null),
        Just(Bson::Undefined),
        Just(Bson::MinKey),
        Just(Bson::MaxKey),
        Just(pointer()),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        any::<[u8; 16]>().prop_map(|bytes| Bson::Decimal128(Decimal128::from_bytes(bytes))),
        (any::<u32>(), any::<u32>())
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        text().prop_map(Bson::Symbol),
        text().prop_map(Bson::JavaScriptCode),
        (text(), any::<i32>()).prop_map(|(code, x)| {
            let scope = doc! { "x": x };
            Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })
        }),
        ("[^\\x00]{0,6}", "i?m?x?").prop_map(|(pattern, options)| {
            Bson::RegularExpression(bson::Regex {
                pattern: pattern.try_into().unwrap(),
                options: options.try_into().unwrap(),
            })
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Bson::Array),
            btree_map(name(), inner, 0..4)
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
        ]
    })
}

/// Documents whose fields have one type each, mostly; some are null or missing.
fn rows() -> impl Strategy<Value = Vec<Document>> {
    btree_map(name(), 0..KINDS, 0..6).prop_flat_map(|columns| {
        let fields: Vec<_> = columns
            .into_iter()
            .map(|(name, kind)| {
                let value = prop_oneof![
                    8 => typed(kind).prop_map(Some),
                    1 => Just(Some(Bson::Null)),
                    1 => Just(None),
                ];
                value.prop_map(move |value| value.map(|value| (name.clone(), value)))
            })
            .collect();
        let row = fields.prop_map(|fields| fields.into_iter().flatten().collect::<Document>());
        vec(row, 1..12)
    })
}

/// Whether a column's value is that of the document.
fn agrees(found: &AnyValue<'_>, value: Option<&Bson>, dtype: &DataType) -> bool {
    let Some(value) = value.filter(|value| !matches!(value, Bson::Null | Bson::Undefined)) else {
        return match found.clone().into_static() {
            AnyValue::Null => true,
            AnyValue::StructOwned(inner) => inner.0.iter().all(|value| value.is_null()),
            _ => false,
        };
    };
    match (dtype, found.clone().into_static(), value) {
        (DataType::Boolean, AnyValue::Boolean(found), Bson::Boolean(value)) => found == *value,
        (DataType::Int64, AnyValue::Int64(found), Bson::Int32(value)) => found == i64::from(*value),
        (DataType::Int64, AnyValue::Int64(found), Bson::Int64(value)) => found == *value,
        (DataType::Float64, AnyValue::Float64(found), value) => match value {
            Bson::Double(value) if value.is_nan() => found.is_nan(),
            Bson::Double(value) => found.to_bits() == value.to_bits(),
            Bson::Int32(value) => found == f64::from(*value),
            Bson::Int64(value) => found as i128 == i128::from(*value),
            _ => false,
        },
        (
            DataType::Datetime(TimeUnit::Milliseconds, None),
            AnyValue::Datetime(found, ..) | AnyValue::DatetimeOwned(found, ..),
            Bson::DateTime(value),
        ) => found == value.timestamp_millis(),
        (DataType::Binary, AnyValue::BinaryOwned(found), Bson::Binary(value)) => {
            found == value.bytes
        }
        (DataType::List(inner), AnyValue::List(found), Bson::Array(values)) => {
            found.len() == values.len()
                && found
                    .iter()
                    .zip(values)
                    .all(|(found, value)| agrees(&found, Some(value), inner))
        }
        (DataType::Struct(fields), AnyValue::StructOwned(found), Bson::Document(values)) => found
            .0
            .iter()
            .zip(fields)
            .all(|(found, field)| agrees(found, values.get(field.name()), field.dtype())),
        (DataType::String, AnyValue::StringOwned(found), value) => {
            let text = match bson_to_value(value) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            found.as_str() == text
        }
        _ => false,
    }
}

/// Whether a value is a number that a float cannot hold, somewhere.
fn is_too_exact(value: &Bson) -> bool {
    match value {
        Bson::Int64(number) => (*number as f64) as i128 != i128::from(*number),
        Bson::Array(values) => values.iter().any(is_too_exact),
        Bson::Document(values) => values.values().any(is_too_exact),
        _ => false,
    }
}

/// The columns of raw documents, found and filled.
fn decoded(documents: &[Vec<u8>]) -> omega::Result<(Vec<Field>, DataFrame)> {
    let fields = infer(documents.iter().map(Vec::as_slice))?;
    let mut decoder = Decoder::new(&fields)?;
    for document in documents {
        decoder.push(document)?;
    }
    Ok((fields, decoder.finish()?))
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn documents_become_the_columns_that_the_bson_crate_reads(rows in rows()) {
        let raw: Vec<Vec<u8>> = rows.iter().map(|row| row.to_vec().unwrap()).collect();
        match decoded(&raw) {
            Ok((fields, frame)) => {
                prop_assert_eq!(frame.height(), rows.len());
                for field in &fields {
                    let column = frame.column(&field.column).unwrap();
                    prop_assert_eq!(column.dtype(), &field.dtype);
                    for (position, row) in rows.iter().enumerate() {
                        let (found, value) = (column.get(position).unwrap(), row.get(&field.name));
                        prop_assert!(
                            agrees(&found, value, &field.dtype),
                            "{} as {}: {found:?} for {value:?}",
                            field.name,
                            stored_name(&field.dtype)
                        );
                    }
                }
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error);
                prop_assert!(rows.iter().flat_map(Document::values).any(is_too_exact), "{error}");
            }
        }
    }

    /// A reply of the server: its documents one by one.
    #[test]
    fn arrays_fall_into_their_documents(rows in rows()) {
        let array = doc! { "": rows.iter().cloned().map(Bson::Document).collect::<Vec<_>>() };
        let raw = bson::RawDocumentBuf::try_from(&array).unwrap();
        let reply = raw.get_array("").unwrap().as_bytes();
        let found: Vec<Document> = documents(reply)
            .map(|document| Document::from_reader(document.unwrap()).unwrap())
            .collect();
        // NaN is not itself.
        prop_assert_eq!(format!("{found:?}"), format!("{rows:?}"));
    }
}

/// A table with a column of each type.
fn table() -> impl Strategy<Value = DataFrame> {
    (0..12_usize).prop_flat_map(|rows| {
        let ints = || vec(option::weighted(0.8, any::<i64>()), rows);
        let texts = vec(option::weighted(0.8, "\\PC{0,8}"), rows);
        let flags = vec(option::weighted(0.8, any::<bool>()), rows);
        let floats = vec(option::weighted(0.8, double()), rows);
        let bytes = vec(option::weighted(0.8, vec(any::<u8>(), 0..6)), rows);
        let lists = vec(vec(any::<i32>(), 0..4), rows);
        (ints(), ints(), texts, flags, floats, bytes, lists).prop_map(
            |(wide, times, texts, flags, floats, bytes, lists)| {
                let narrow = |dtype: DataType, bits: u32| {
                    let kept = wide.iter().map(|n| n.map(|n| n >> (64 - bits)));
                    let kept: Int64Chunked = kept.collect();
                    kept.into_series().cast(&dtype).unwrap()
                };
                let unsigned: UInt64Chunked = wide.iter().map(|n| n.map(|n| n as u64)).collect();
                let part = |n: u32| unsigned.apply_values(|u| u >> (64 - n)).into_series();
                // Whole milliseconds, of about thirty thousand years or what fits.
                let millis: Int64Chunked = times.iter().map(|n| n.map(|n| n >> 24)).collect();
                let ticks = |per_milli: i64, bits: u32| {
                    millis
                        .apply_values(|n| (n >> bits) * per_milli)
                        .into_series()
                };
                let moment = |unit, zone| DataType::Datetime(unit, zone);
                let lists: Vec<Series> = lists
                    .into_iter()
                    .map(|items| Series::new("".into(), items))
                    .collect();
                let x = Series::new("x".into(), &wide);
                let y = Series::new("y".into(), &texts);
                let height = wide.len();
                let pair = StructChunked::from_series("pair".into(), height, [x, y].iter());
                let utc = TimeZone::opt_try_new(Some("UTC")).unwrap();
                let columns = [
                    ("i64", Series::new("".into(), &wide)),
                    ("i32", narrow(DataType::Int32, 32)),
                    ("i16", narrow(DataType::Int16, 16)),
                    ("i8", narrow(DataType::Int8, 8)),
                    ("u64", part(64)),
                    ("u32", part(32).cast(&DataType::UInt32).unwrap()),
                    ("u16", part(16).cast(&DataType::UInt16).unwrap()),
                    ("u8", part(8).cast(&DataType::UInt8).unwrap()),
                    ("f64", Series::new("".into(), &floats)),
                    (
                        "f32",
                        Series::new("".into(), &floats)
                            .cast(&DataType::Float32)
                            .unwrap(),
                    ),
                    ("text", Series::new("".into(), &texts)),
                    ("bytes", Series::new("".into(), &bytes)),
                    ("flag", Series::new("".into(), &flags)),
                    (
                        "ms",
                        ticks(1, 0)
                            .cast(&moment(TimeUnit::Milliseconds, None))
                            .unwrap(),
                    ),
                    (
                        "us",
                        ticks(1_000, 0)
                            .cast(&moment(TimeUnit::Microseconds, utc))
                            .unwrap(),
                    ),
                    (
                        "ns",
                        ticks(1_000_000, 1)
                            .cast(&moment(TimeUnit::Nanoseconds, None))
                            .unwrap(),
                    ),
                    (
                        "date",
                        narrow(DataType::Int32, 20).cast(&DataType::Date).unwrap(),
                    ),
                    (
                        "delta",
                        ticks(1, 0)
                            .cast(&DataType::Duration(TimeUnit::Microseconds))
                            .unwrap(),
                    ),
                    (
                        "null",
                        Series::full_null("".into(), height, &DataType::Null),
                    ),
                    (
                        "list",
                        Series::new("".into(), lists)
                            .cast(&DataType::List(Box::new(DataType::Int32)))
                            .unwrap(),
                    ),
                    ("pair", pair.unwrap().into_series()),
                ];
                let columns =
                    columns.map(|(name, values)| values.with_name(name.into()).into_column());
                DataFrame::new(height, columns.to_vec()).unwrap()
            },
        )
    })
}

/// What the database holds for a value (spec/storage.md §9.1).
fn stored(value: &AnyValue<'_>) -> Bson {
    let int = |number: i64| match i32::try_from(number) {
        Ok(number) => Bson::Int32(number),
        Err(_) => Bson::Int64(number),
    };
    match value.clone().into_static() {
        AnyValue::Null => Bson::Null,
        AnyValue::Boolean(flag) => Bson::Boolean(flag),
        AnyValue::Float32(number) => Bson::Double(f64::from(number)),
        AnyValue::Float64(number) => Bson::Double(number),
        AnyValue::StringOwned(text) => Bson::String(text.to_string()),
        AnyValue::BinaryOwned(bytes) => Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        }),
        AnyValue::Date(days) => Bson::DateTime(DateTime::from_millis(i64::from(days) * DAY)),
        AnyValue::Datetime(ticks, unit, _) => moment(ticks, unit),
        AnyValue::DatetimeOwned(ticks, unit, _) => moment(ticks, unit),
        AnyValue::Duration(ticks, _) => Bson::Int64(ticks),
        AnyValue::UInt64(number) => match i64::try_from(number) {
            Ok(number) => int(number),
            Err(_) => Bson::Decimal128(number.to_string().parse().unwrap()),
        },
        AnyValue::List(items) => Bson::Array(items.iter().map(|item| stored(&item)).collect()),
        AnyValue::StructOwned(inner) => {
            let fields = inner.0.iter().zip(&inner.1);
            let fields = fields.map(|(value, field)| (field.name().to_string(), stored(value)));
            Bson::Document(fields.collect())
        }
        other => int(other.try_extract().unwrap()),
    }
}

fn moment(ticks: i64, unit: TimeUnit) -> Bson {
    let per_milli = match unit {
        TimeUnit::Milliseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Nanoseconds => 1_000_000,
    };
    Bson::DateTime(DateTime::from_millis(ticks.div_euclid(per_milli)))
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn columns_become_documents_that_the_bson_crate_reads(
        frame in table(),
        first in prop_oneof![Just(0_i64), Just(i64::from(i32::MAX) - 2)],
    ) {
        let fields: Vec<Field> = frame
            .schema()
            .iter()
            .map(|(name, dtype)| Field {
                column: name.to_string(),
                name: name.to_string(),
                dtype: dtype.clone(),
            })
            .collect();
        let mut ids = ObjectIds::new();
        let encoded = Encoder::new(&fields, true)
            .encode(&frame, 0..frame.height(), first, &mut ids)
            .unwrap();
        prop_assert_eq!(encoded.ends.len(), frame.height());
        let mut decoder = Decoder::new(&fields).unwrap();
        let mut start = 0;
        for (row, end) in encoded.ends.iter().enumerate() {
            let raw = &encoded.bytes[start..*end];
            start = *end;
            let document = Document::from_reader(raw).unwrap();
            let number = stored(&AnyValue::Int64(first + row as i64));
            let mut expected = doc! {
                "_id": document.get_object_id("_id").unwrap(), "_idx#0_0": number.clone(),
            };
            for column in frame.columns() {
                expected.insert(column.name().as_str(), stored(&column.get(row).unwrap()));
            }
            expected.insert("_om#rowid", number);
            prop_assert_eq!(format!("{document:?}"), format!("{expected:?}"));
            decoder.push(raw).unwrap();
        }
        // A null struct comes back as one of nulls: there is no other in the database.
        let back = decoder.finish().unwrap();
        prop_assert!(back.equals_missing(&frame), "{back:?}\n{frame:?}");
    }
}

/// A way to spoil bytes.
#[derive(Debug, Clone)]
enum Damage {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index),
    /// The length in front is made right again.
    Length,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), prop_oneof![any::<u8>(), 0..20_u8, Just(0x7f), Just(0xff)])
            .prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => index().prop_map(Damage::Cut),
        2 => (index(), vec(any::<u8>(), 1..9)).prop_map(|(at, more)| Damage::Insert(at, more)),
        2 => (index(), index()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        4 => Just(Damage::Length),
    ]
}

fn spoil(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Byte(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Repeat(one, two) => {
                let (one, two) = (one.index(bytes.len()), two.index(bytes.len()));
                let part = bytes[one.min(two)..one.max(two)].to_vec();
                bytes.splice(two..two, part);
            }
            Damage::Length => {
                let length = (bytes.len() as u32).to_le_bytes();
                if let Some(front) = bytes.get_mut(..4) {
                    front.copy_from_slice(&length);
                }
            }
        }
    }
    bytes
}

/// What is no document for the bson crate is none here; what is one is read or refused,
/// without a panic and without more memory than a document of its length can ask for.
fn judged_alike(bytes: &[u8]) -> std::result::Result<(), TestCaseError> {
    let owned = bytes.to_vec();
    match decoded(std::slice::from_ref(&owned)) {
        Ok((_, frame)) => {
            prop_assert!(RawDocument::from_bytes(bytes).is_ok());
            if let Err(error) = Document::from_reader(bytes) {
                return Err(TestCaseError::fail(format!("{error} reads as {frame:?}")));
            }
            prop_assert!(frame.estimated_size() <= 64 * bytes.len() + (64 << 10));
        }
        Err(error) => prop_assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid),
            "{error}"
        ),
    }
    // Columns that have nothing to do with it.
    let fields = ["a", "b", "c"].map(|name| Field {
        column: name.to_owned(),
        name: name.to_owned(),
        dtype: DataType::Int64,
    });
    let mut decoder = Decoder::new(&fields).unwrap();
    if decoder.push(bytes).is_ok() {
        let raw = RawDocument::from_bytes(bytes);
        prop_assert!(raw.is_ok_and(|raw| raw.iter_elements().all(|element| element.is_ok())));
        prop_assert_eq!(decoder.finish().unwrap().height(), 1);
    }
    documents(bytes).for_each(drop);
    Ok(())
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn bytes_are_documents_or_refused(bytes in vec(any::<u8>(), 0..64), damages in vec(damage(), 0..3)) {
        judged_alike(&spoil(bytes, &damages))?;
    }

    #[test]
    fn spoilt_documents_are_documents_or_refused(
        rows in rows(),
        damages in vec(damage(), 1..5),
    ) {
        for row in rows {
            judged_alike(&spoil(row.to_vec().unwrap(), &damages))?;
        }
    }
}
