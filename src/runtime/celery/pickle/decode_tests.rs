//! The reader against what is hostile, broken or old.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Limits, Value, decode, decode_any, encode};
use crate::ErrorKind;
use proptest::prelude::*;

fn refused(bytes: &[u8]) -> String {
    let error = decode(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

#[test]
fn what_runs_code_is_refused_by_name() {
    let cases: [(&[u8], &str); 7] = [
        (b"cos\nsystem\n(S'ls'\ntR.", "os.system"),
        (b"cposix\nsystem\n(S'ls'\ntR.", "posix.system"),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            "builtins.eval",
        ),
        (b"(ios\nsystem\n.", "os.system"),
        (b"c__builtin__\nexec\n.", "builtins.exec"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (
            b"ccelery.canvas\nsys.modules\n.",
            "celery.canvas.sys.modules",
        ),
    ];
    for (pickle, name) in cases {
        assert_eq!(
            refused(pickle),
            format!("{name} is not allowed in a message")
        );
    }
    assert!(refused(b"Pid\n.").contains("persistent"));
    assert!(refused(b"N\x51.").contains("persistent"));
    assert!(refused(b"\x82\x01.").contains("extensions"));
    assert!(refused(b"\x80\x05\x97.").contains("buffer"));
}

#[test]
fn whatever_it_names_it_stays_inert() {
    let value = decode_any(b"cos\nsystem\n(S'ls'\ntR.", &Limits::default()).unwrap();
    let object = value.as_object().unwrap();
    assert!(object.class.is("os", "system"));
    assert_eq!(&*object.args, ["ls".into()]);
}

#[test]
fn names_in_errors_show_no_control_characters() {
    let message = refused(b"\x80\x04\x8c\x03a\x1bb\x8c\x01\n\x93.");
    assert_eq!(message, "a?b.? is not allowed in a message");
}

/// Ten lists in ten lists in ten lists, each written once.
fn bomb(opcode: &[u8], levels: usize) -> Vec<u8> {
    let mut pickle = b"\x80\x04]\x94\x8c\x03lol\x8c\x03lol\x86a".to_vec();
    for level in 0..levels {
        pickle.extend(b"]\x94");
        for _ in 0..10 {
            pickle.extend(b"h");
            pickle.push(level as u8);
            pickle.extend(opcode);
        }
    }
    pickle.push(b'.');
    pickle
}

#[test]
fn bombs_are_refused() {
    // A list per level is left on the stack, so wrap all but the last away.
    let mut pickle = b"\x80\x04]\x94\x8c\x03lola0".to_vec();
    for level in 0u8..40 {
        pickle.extend(b"]\x94(");
        for _ in 0..10 {
            pickle.extend([b'h', level]);
        }
        pickle.extend(b"e0");
    }
    pickle.extend([b'h', 40, b'.']);
    assert!(refused(&pickle).contains("too large unpacked"));
    // Doubling tuples, and tuples as keys that would be hashed without end.
    let mut pickle = b"\x80\x04N".to_vec();
    pickle.extend([0x94, b'2', 0x86].repeat(150));
    pickle.push(b'.');
    assert!(refused(&pickle).contains("too large unpacked"));
    let mut pickle = b"\x80\x04}N".to_vec();
    pickle.extend([b'2', 0x86].repeat(150));
    pickle.extend(b"Ns.");
    assert!(refused(&pickle).contains("too large unpacked"));
    refused(&bomb(b"a", 5));
}

#[test]
fn a_long_text_mentioned_often_is_refused() {
    let mut pickle = b"\x80\x04\x8e".to_vec();
    pickle.extend((1u64 << 20).to_le_bytes());
    pickle.extend(vec![b'x'; 1 << 20]);
    pickle.extend(b"\x940](");
    pickle.extend(b"h\x00".repeat(1 << 20));
    pickle.extend(b"e.");
    assert!(refused(&pickle).contains("too large unpacked"));
}

#[test]
fn what_costs_too_much_is_refused() {
    let deep = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    assert!(refused(&deep).contains("nested more than 200 deep"));
    let tuples = [b")".to_vec(), b"\x85".repeat(100_000), b".".to_vec()].concat();
    assert!(refused(&tuples).contains("nested more than 200 deep"));
    let small = Limits {
        steps: 1000,
        containers: 100,
        bytes: 6000,
        depth: 10,
    };
    let refused = |pickle: &[u8]| decode_any(pickle, &small).unwrap_err().to_string();
    for flood in [
        b"(".repeat(2000),
        b"N".repeat(2000),
        b"]".repeat(200),
        [b"N".to_vec(), b"2".repeat(2000)].concat(),
        [b"N".to_vec(), b"\x94".repeat(2000)].concat(),
        [
            b"Nr\xff\xff\xff\xff".to_vec(),
            b"j\xff\xff\xff\xff".repeat(1100),
        ]
        .concat(),
    ] {
        let message = refused(&flood);
        assert!(message.contains("more values"), "{message}");
    }
    assert!(refused(&b"N".repeat(6001)).contains("6001 bytes"));
    // A copy is paid for at each call.
    let set = b"\x80\x04cbuiltins\nset\n(NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNl\x85\x94R";
    let again = b"0cbuiltins\nset\nh\x00R".repeat(40);
    assert!(refused(&[set.as_slice(), &again].concat()).contains("more values"));
}

#[test]
fn what_is_as_deep_as_allowed_can_be_used() {
    let pickle = [b"]".repeat(200), b"a".repeat(199), b".".to_vec()].concat();
    let value = decode(&pickle).unwrap();
    assert_eq!(decode(&encode(&value)).unwrap(), value);
    let text = crate::runtime::celery::repr::repr(&value);
    assert_eq!(text, "[".repeat(200) + &"]".repeat(200));
    let sets = Value::Set(std::sync::Arc::new(vec![Value::Int(1)]));
    assert_eq!(decode(&encode(&sets)).unwrap(), sets);
}

#[test]
fn claimed_lengths_are_not_believed() {
    for opcode in [b'X', b'B', b'T', 0x8b] {
        let pickle = [&[opcode], [0xff, 0xff, 0xff, 0x7f].as_slice(), b"abc."].concat();
        assert!(refused(&pickle).contains("cut off"), "{opcode}");
    }
    for opcode in [0x8d, 0x8e, 0x96, 0x95] {
        let pickle = [&[opcode], [0xff; 8].as_slice(), b"abc."].concat();
        assert!(refused(&pickle).contains("cut off"), "{opcode}");
    }
    assert!(refused(&[b"I".as_slice(), &[b'9'; 5000], b"\n."].concat()).contains("digits"));
    let long = [b"\x8b".as_slice(), &2000u32.to_le_bytes(), &[1; 2000], b"."].concat();
    assert!(refused(&long).contains("digits"));
}

#[test]
fn values_that_contain_themselves_are_refused() {
    for pickle in [
        b"\x80\x04]\x94h\x00a.".as_slice(),
        b"\x80\x04}\x94\x8c\x01ah\x00s.",
        b"\x80\x04]\x94h\x00\x85a.",
        b"\x80\x04cbuiltins\nValueError\n)R\x94h\x00b.",
    ] {
        assert!(refused(pickle).contains("contains itself"));
    }
}

#[test]
fn broken_pickles_are_refused() {
    for pickle in [
        b"".as_slice(),
        b".",
        b"N",
        b"NN.",
        b"N.N",
        b"(.",
        b"0.",
        b"h\x00.",
        b"g-1\n.",
        b"u.",
        b"(Nu.",
        b"}(Nu.",
        b"N(Nu.",
        b"\x80\x06N.",
        b"N\x85\x85R.",
        b"Nb.",
        b"\x8c\x01\xff.",
        b"\x80\x04\x8f(]\x90.",
        b"}]Ns.",
        b"(N\x85.",
        b"]N(a.",
        b"V\\ud800\n.",
        b"V\\u12\n.",
        b"S'a\n.",
        b"Fabc\n.",
        b"o.",
        b"(o.",
        b"\x80\x04\x8c\x08builtins\x8c\x03set\x93NR.",
        b"cbuiltins\nValueError\nNR.",
        b"cbuiltins\nValueError\n)\x81NbNb.",
        b"\xffN.",
    ] {
        let message = decode(pickle).map(|value| format!("{value:?}"));
        assert!(message.is_err(), "{pickle:?} was read as {message:?}");
    }
}

#[test]
fn the_last_value_of_a_key_counts() {
    let value = decode(b"\x80\x04}(\x8c\x01aK\x01\x8c\x01bK\x02\x8c\x01aK\x03u.").unwrap();
    assert_eq!(
        value,
        Value::dict([("a", Value::Int(3)), ("b", Value::Int(2))])
    );
}

#[test]
fn credentials_are_not_in_debug_texts() {
    let value = Value::dict([("__auth", Value::tuple(["u".into(), "topsecret".into()]))]);
    assert!(!format!("{value:?}").contains("topsecret"));
}

fn value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        ".{0,8}".prop_map(Value::from),
        any::<bool>().prop_map(Value::Bool),
    ];
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-70_000i64..70_000).prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        ".{0,300}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|b| Value::Bytes(b.into())),
        proptest::collection::vec(any::<u8>(), 0..10).prop_map(|b| Value::ByteArray(b.into())),
        (r"-?[1-9][0-9]{20,80}").prop_map(|text| super::big::from_decimal(&text).unwrap()),
        proptest::collection::hash_set(key.clone(), 0..5)
            .prop_map(|items| Value::Set(std::sync::Arc::new(items.into_iter().collect()))),
        proptest::collection::hash_set(key.clone(), 0..5)
            .prop_map(|items| Value::FrozenSet(std::sync::Arc::new(items.into_iter().collect()))),
        Just(Value::global("collections", "Counter")),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::list),
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::tuple),
            proptest::collection::vec((key.clone(), inner.clone()), 0..6)
                .prop_map(|pairs| { Value::Dict(std::sync::Arc::new(super::Dict::new(pairs))) }),
            proptest::collection::vec(inner, 0..3).prop_map(|args| Value::call(
                "builtins",
                "ValueError",
                args
            )),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back(value in value()) {
        let pickle = encode(&value);
        let back = decode(&pickle).unwrap();
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(encode(&back), pickle);
    }

    #[test]
    fn random_bytes_end_well(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode_any(&bytes, &Limits::default());
    }

    #[test]
    fn mutated_pickles_end_well(
        value in value(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut pickle = encode(&value);
        for (place, byte) in changes {
            let place = place.index(pickle.len());
            pickle[place] = byte;
        }
        let _ = decode_any(&pickle, &Limits::default());
        pickle.truncate(cut.index(pickle.len()));
        prop_assert!(decode(&pickle).is_err() || pickle.ends_with(b"."));
    }
}
