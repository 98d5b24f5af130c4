//! Celery's formats against Python itself: its pickles of every protocol, and ours in its
//! hands.
#![allow(clippy::unwrap_used, clippy::panic)]

use omega::runtime::celery::exception::Exception;
use omega::runtime::celery::json;
use omega::runtime::celery::message::TaskMessage;
use omega::runtime::celery::numpy::Array;
use omega::runtime::celery::passthrough;
use omega::runtime::celery::pickle::{Value, decode, encode};
use omega::runtime::celery::repr::repr;
use omega::runtime::celery::serial::Serializer;
use omega::runtime::celery::signature::{Kwargs, Signature};
use omega::runtime::celery::times;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

mod server;

fn run(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(server::program("om-venv/bin/python"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn script() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/reference/pickles.py")
        .display()
        .to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn pythons_pickles_of_every_protocol_read_the_same_and_come_back() {
    let mut back = String::new();
    let mut count = 0;
    for line in run(&[&script(), "make"], "").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, protocol, pickle, text, exact] = fields.as_slice() else {
            panic!("{line}");
        };
        let pickle = unhex(pickle);
        let value = decode(&pickle).unwrap_or_else(|error| panic!("{name} ({protocol}): {error}"));
        let text = String::from_utf8(unhex(text)).unwrap();
        if !text.is_empty() {
            assert!(
                repr(&value) == text,
                "{name} ({protocol}): {} {text}",
                repr(&value)
            );
        }
        let ours = encode(&value);
        if *exact == "1" {
            assert!(ours == pickle, "{name}: bytes differ");
        }
        assert_eq!(decode(&ours).unwrap(), value, "{name} ({protocol})");
        back += &format!("{name}\t{}\n", hex(&ours));
        count += 1;
    }
    assert_eq!(run(&[&script(), "check"], &back).trim(), count.to_string());
}

#[test]
fn arrays_have_the_items_that_python_sees() {
    let program = "
import json, pickle, numpy as np
arrays = [np.arange(6.).reshape(2, 3), np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
          np.array([[True], [False]]), np.array(['a', 'äö', '']), np.array([1.5, -2], dtype='>f4'),
          np.array([-1, 300], dtype='>i2'), np.arange(3, dtype='u8') + 2**63, np.array(7),
          np.array([1.5, 65504, 2**-24], dtype='f2'), np.array([], dtype='f8'), np.float32(0.25),
          np.array(['x', None, 1], dtype=object)]
for array in arrays:
    for protocol in (2, 4, 5):
        print(pickle.dumps(array, protocol).hex(), json.dumps(array.tolist()))
times = np.array(['2026-01-02T03:04:05.25', 'NaT'], dtype='M8[ns]')
print(pickle.dumps(times, 4).hex(), json.dumps(['2026-01-02T03:04:05.250000', None]))
print(pickle.dumps(times.astype('M8[D]'), 4).hex(), json.dumps(['2026-01-02', None]))
";
    let mut count = 0;
    for line in run(&["-c", program], "").lines() {
        let (pickle, expected) = line.split_once(' ').unwrap();
        let value = decode(&unhex(pickle)).unwrap();
        let shown = json::shown(&value).unwrap();
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(shown, expected);
        count += 1;
    }
    assert_eq!(count, 38);
}

#[test]
fn data_frames_have_the_rows_that_python_sees() {
    let program = "
import json, pickle, pandas as pd
frames = [
    pd.DataFrame({'a': [1, 2], 'b': [1.5, 2.5], 's': ['x', None], 'c': [3, 4], 'd': [True, False]}),
    pd.DataFrame({'t': pd.to_datetime(['2026-01-02T03:04:05', None])}, index=['i', 'j']),
    pd.DataFrame([[1.0, 2.0], [3.0, 4.0]]), pd.DataFrame({'a': []}), pd.DataFrame(),
    pd.DataFrame({'a': [1, 2, 3], 'b': ['x', 'y', 'z']}).iloc[1:],
    pd.DataFrame({c: [n] for n, c in enumerate('abcdefgh')})[['h', 'b', 'e']],
    pd.Series([1.5, 2.5], name='z'), pd.Series(['x', 'y']),
]
for frame in frames:
    for protocol in (2, 4, 5):
        if isinstance(frame, pd.Series): rows = frame.tolist()
        else: rows = json.loads(frame.to_json(orient='records', date_format='iso'))
        for row in rows:
            if isinstance(row, dict) and row.get('t'): row['t'] = row['t'].removesuffix('.000')
        print(pickle.dumps(frame, protocol).hex(), json.dumps(rows))
";
    let mut count = 0;
    for line in run(&["-c", program], "").lines() {
        let (pickle, expected) = line.split_once(' ').unwrap();
        let value = decode(&unhex(pickle)).unwrap();
        let shown = json::shown(&value).unwrap();
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(shown, expected);
        assert_eq!(decode(&encode(&value)).unwrap(), value);
        count += 1;
    }
    assert_eq!(count, 27);
}

#[test]
fn what_we_write_is_what_omegaml_and_celery_expect() {
    let program = "
import pickle, sys
import numpy as np
from omegaml.mixins.store.passthrough import PassthroughDataset
from celery.canvas import Signature
def hexed(line): return pickle.loads(bytes.fromhex(line.strip()))
data, array, signature, moment, *errors = map(hexed, sys.stdin)
assert type(data) is PassthroughDataset and data.startswith('./system/passthrough/'), data
assert data._passthrough_data == [[1.5], [2]], data._passthrough_data
assert array.dtype == np.dtype('f8') and array.tolist() == [[1.5], [2.5]], array
assert isinstance(signature, Signature) and signature.task == 'a.b' and signature.args == (1,)
assert moment.isoformat() == '2026-11-23T14:05:44.570965+05:30', moment
for error in errors:
    print(type(error).__module__, type(error).__name__, error, sep='|')
";
    let raw: Vec<u8> = [1.5f64, 2.5].iter().flat_map(|n| n.to_le_bytes()).collect();
    let at = times::parse_iso("2026-11-23T14:05:44.570965+05:30").unwrap();
    let errors = [
        Exception::new("builtins", "RuntimeError", "it broke"),
        Exception::new("builtins", "KeyError", "k"),
        Exception::not_registered("a.b"),
        Exception::worker_lost("signal 9"),
        Exception::revoked("expired"),
        Exception::soft_time_limit(),
        Exception::time_limit(30.0),
        Exception::new("my.module", "MyError", "who knows"),
    ];
    let mut values = vec![
        passthrough::wrap(&serde_json::json!([1.5, 2])),
        Array::new("<f8", &[2, 1], false, &raw).to_object().unwrap(),
        Signature::new("a.b", vec![Value::Int(1)], Kwargs::default()).to_value(Serializer::Pickle),
        times::datetime(at.naive_local(), Some(*at.offset())),
    ];
    values.extend(errors.iter().map(Exception::to_value));
    let lines: String = values
        .iter()
        .map(|value| hex(&encode(value)) + "\n")
        .collect();
    let answer = run(&["-c", program], &lines);
    let seen: Vec<&str> = answer.lines().collect();
    assert_eq!(
        seen,
        [
            "builtins|RuntimeError|it broke",
            "builtins|KeyError|'k'",
            "celery.exceptions|NotRegistered|'a.b'",
            "billiard.exceptions|WorkerLostError|signal 9",
            "celery.exceptions|TaskRevokedError|expired",
            "billiard.exceptions|SoftTimeLimitExceeded|SoftTimeLimitExceeded()",
            "billiard.exceptions|TimeLimitExceeded|TimeLimitExceeded(30.0,)",
            "celery.utils.serialization|UnpickleableExceptionWrapper|MyError('who knows')",
        ]
    );
    for (error, line) in errors.iter().zip(&seen) {
        let text = line.splitn(3, '|').nth(2).unwrap();
        // Of a task that is not registered Python shows the sentence only as `repr`.
        if !matches!(error.class.as_str(), "MyError" | "NotRegistered") {
            assert_eq!(error.message(), text);
        }
    }
}

#[test]
fn celerys_own_messages_come_back() {
    let program = "
import datetime as dt, json, pickle, sys
from celery import Celery, chain, chord, group
from kombu.serialization import dumps
app = Celery('t', broker='memory://', backend='cache+memory://')
def add(x, y=0): return x
add = app.task(add, name='t.add')
x, y, z = add.s(1, y=2), add.si(3).set(queue='q', task_id='b'), add.s([4, (5, None)], y={'k': 1.5})
eta = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
cases = [
    dict(callbacks=[x, y], errbacks=[z]), dict(chain=[z, y, x]), dict(chord=chord([x, y], z).body),
    dict(callbacks=[group(x, y), chain(x, z)]), dict(eta=eta, expires=eta + dt.timedelta(0, 0, 7)),
    dict(group_id='g', group_index=3, retries=2, time_limit=30, soft_time_limit=2.5, shadow='s',
         root_id='r', parent_id='p', origin='o@h', ignore_result=True, reply_to='rq'),
    dict(args=(dt.datetime(2026, 1, 2), {1, 2}, b'x', 1.5, None, ['a'] * 3)),
]
if sys.argv[1] == 'make':
    for case in cases:
        args = case.pop('args', (1, 'two'))
        m = app.amqp.as_task_v2('id', 't.add', args=args, kwargs={'y': 3}, **case)
        kind, encoding, body = dumps(m.body, serializer='pickle')
        print(json.dumps([m.headers, m.properties['reply_to'], body.hex()]))
else:
    for line in sys.stdin:
        ours, theirs = (pickle.loads(bytes.fromhex(body)) for body in line.split())
        assert ours == theirs and type(ours) is type(theirs), (ours, theirs)
        for kind in ('callbacks', 'errbacks', 'chain'):
            for one, other in zip(ours[2][kind] or [], theirs[2][kind] or []):
                assert type(one) is type(other), (one, other)
        print('equal')
";
    let mut pairs = String::new();
    let mut count = 0;
    for line in run(&["-c", program, "make"], "").lines() {
        let made: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut message = TaskMessage::new("id", "t.add", Vec::new(), Kwargs::default())
            .write(Serializer::Pickle)
            .unwrap();
        message.headers = made[0].as_object().unwrap().clone();
        message.properties.reply_to = made[1].as_str().map(str::to_owned);
        let theirs = made[2].as_str().unwrap();
        message.body = unhex(theirs);
        let task = TaskMessage::read(&message).unwrap();
        let written = task.write(Serializer::Pickle).unwrap();
        // Celery prints times and bytes in a way of its own.
        message.headers.remove("argsrepr");
        let mut headers = written.headers.clone();
        headers.remove("argsrepr");
        assert_eq!(headers, message.headers);
        assert_eq!(TaskMessage::read(&written).unwrap(), task);
        pairs += &format!("{} {theirs}\n", hex(&written.body));
        count += 1;
    }
    assert_eq!(count, 7);
    assert_eq!(
        run(&["-c", program, "check"], &pairs),
        "equal\n".repeat(count)
    );
}
