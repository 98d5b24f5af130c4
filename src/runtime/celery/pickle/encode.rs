//! The writer of pickles: protocol 4, byte for byte what CPython's C pickler writes.
//!
//! What is written twice is remembered and mentioned: containers that are one allocation,
//! texts and names that are equal (Python interns the names and keys of a message).

use super::opcode as op;
use super::value::{Dict, Global, Made, Object, Value};
use std::collections::HashMap;
use std::sync::Arc;

const PROTOCOL: u8 = 4;
/// Items in one go.
const BATCH: usize = 1000;
const FRAME_HEADER: usize = 9;
/// A frame is closed when it has reached this size.
const FRAME_TARGET: usize = 64 << 10;
/// Shorter frames are written without a header.
const FRAME_LEAST: usize = 4;

/// The pickle of `value`.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut writer = Writer {
        out: vec![op::PROTO, PROTOCOL],
        frame: None,
        memo: HashMap::new(),
    };
    writer.save(value);
    writer.op(op::STOP);
    writer.close_frame();
    writer.out
}

struct Writer<'a> {
    out: Vec<u8>,
    /// Where the header of the open frame is.
    frame: Option<usize>,
    memo: HashMap<Known<'a>, u32>,
}

/// What has been written.
#[derive(PartialEq, Eq, Hash)]
enum Known<'a> {
    Text(&'a str),
    Name(&'a str, &'a str),
    /// The address of an allocation that lives as long as the value.
    Shared(usize),
}

fn address<T: ?Sized>(shared: &Arc<T>) -> Known<'static> {
    Known::Shared(Arc::as_ptr(shared).cast::<()>().addr())
}

impl<'a> Writer<'a> {
    fn save(&mut self, value: &'a Value) {
        if let Some(at) = self.frame
            && self.out.len() - at - FRAME_HEADER >= FRAME_TARGET
        {
            self.close_frame();
        }
        match value {
            Value::None => self.op(op::NONE),
            Value::Bool(true) => self.op(op::NEWTRUE),
            Value::Bool(false) => self.op(op::NEWFALSE),
            Value::Int(number) => self.int(*number),
            Value::Big(number) => self.long(number.as_bytes()),
            Value::Float(number) => {
                self.op(op::BINFLOAT);
                self.write(&number.to_bits().to_be_bytes());
            }
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => {
                if !self.mention(&address(bytes)) {
                    self.bytes(bytes);
                    self.remember(address(bytes));
                }
            }
            Value::ByteArray(bytes) => {
                if !self.mention(&address(bytes)) {
                    self.byte_array(bytes);
                    self.remember(address(bytes));
                }
            }
            Value::List(items) => {
                if !self.mention(&address(items)) {
                    self.op(op::EMPTY_LIST);
                    self.remember(address(items));
                    self.list(items);
                }
            }
            Value::Tuple(items) => self.tuple(items),
            Value::Dict(dict) => {
                if !self.mention(&address(dict)) {
                    self.op(op::EMPTY_DICT);
                    self.remember(address(dict));
                    self.dict(dict);
                }
            }
            Value::Set(items) => {
                if !self.mention(&address(items)) {
                    self.op(op::EMPTY_SET);
                    self.remember(address(items));
                    self.set(items);
                }
            }
            Value::FrozenSet(items) => {
                if !self.mention(&address(items)) {
                    self.op(op::MARK);
                    items.iter().for_each(|item| self.save(item));
                    self.op(op::FROZENSET);
                    self.remember(address(items));
                }
            }
            Value::Global(global) => self.global(global),
            Value::Object(object) => {
                if !self.mention(&address(object)) {
                    self.object(object);
                }
            }
        }
    }

    fn int(&mut self, number: i64) {
        if let Ok(byte) = u8::try_from(number) {
            self.write(&[op::BININT1, byte]);
        } else if let Ok(short) = u16::try_from(number) {
            self.op(op::BININT2);
            self.write(&short.to_le_bytes());
        } else if let Ok(int) = i32::try_from(number) {
            self.op(op::BININT);
            self.write(&int.to_le_bytes());
        } else {
            let bytes = number.to_le_bytes();
            let sign = if number < 0 { 0xff } else { 0 };
            let mut length = bytes.len();
            while let Some([next, last]) = bytes.get(length.saturating_sub(2)..length)
                && *last == sign
                && (next ^ sign) & 0x80 == 0
            {
                length -= 1;
            }
            self.long(bytes.get(..length).unwrap_or(&bytes));
        }
    }

    fn long(&mut self, bytes: &[u8]) {
        match u8::try_from(bytes.len()) {
            Ok(length) => self.write(&[op::LONG1, length]),
            Err(_) => {
                self.op(op::LONG4);
                self.write(&(bytes.len() as u32).to_le_bytes());
            }
        }
        self.write(bytes);
    }

    fn text(&mut self, text: &'a str) {
        if self.mention(&Known::Text(text)) {
            return;
        }
        let header = header(
            text.len(),
            op::SHORT_BINUNICODE,
            op::BINUNICODE,
            op::BINUNICODE8,
        );
        self.payload(&header, text.as_bytes());
        self.remember(Known::Text(text));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let header = header(bytes.len(), op::SHORT_BINBYTES, op::BINBYTES, op::BINBYTES8);
        self.payload(&header, bytes);
    }

    /// Protocol 4 has no opcode for it: a call with the bytes.
    fn byte_array(&mut self, bytes: &[u8]) {
        self.name("builtins", "bytearray");
        if bytes.is_empty() {
            self.op(op::EMPTY_TUPLE);
        } else {
            self.bytes(bytes);
            self.count();
            self.op(op::TUPLE1);
            self.count();
        }
        self.op(op::REDUCE);
    }

    fn list(&mut self, items: &'a [Value]) {
        if let [only] = items {
            self.save(only);
            self.op(op::APPEND);
            return;
        }
        for batch in items.chunks(BATCH) {
            self.op(op::MARK);
            batch.iter().for_each(|item| self.save(item));
            self.op(op::APPENDS);
        }
    }

    fn tuple(&mut self, items: &'a Arc<[Value]>) {
        if items.is_empty() {
            self.op(op::EMPTY_TUPLE);
        } else if !self.mention(&address(items)) {
            if items.len() > 3 {
                self.op(op::MARK);
            }
            items.iter().for_each(|item| self.save(item));
            self.op(match items.len() {
                1 => op::TUPLE1,
                2 => op::TUPLE2,
                3 => op::TUPLE3,
                _ => op::TUPLE,
            });
            self.remember(address(items));
        }
    }

    /// A full last batch is followed by an empty one, as CPython does it.
    fn dict(&mut self, dict: &'a Dict) {
        let mut rest = dict.iter();
        match dict.len() {
            0 => return,
            1 => {
                rest.for_each(|pair| self.pair(pair));
                return self.op(op::SETITEM);
            }
            _ => {}
        }
        loop {
            self.op(op::MARK);
            let mut count = 0;
            for pair in rest.by_ref().take(BATCH) {
                self.pair(pair);
                count += 1;
            }
            self.op(op::SETITEMS);
            if count < BATCH {
                return;
            }
        }
    }

    fn pair(&mut self, (key, value): &'a (Value, Value)) {
        self.save(key);
        self.save(value);
    }

    fn set(&mut self, items: &'a [Value]) {
        if items.is_empty() {
            return;
        }
        let mut rest = items.iter();
        loop {
            self.op(op::MARK);
            let mut count = 0;
            for item in rest.by_ref().take(BATCH) {
                self.save(item);
                count += 1;
            }
            self.op(op::ADDITEMS);
            if count < BATCH {
                return;
            }
        }
    }

    fn global(&mut self, global: &'a Global) {
        self.name(&global.module, &global.name);
    }

    fn name(&mut self, module: &'a str, name: &'a str) {
        if self.mention(&Known::Name(module, name)) {
            return;
        }
        self.text(module);
        self.text(name);
        self.op(op::STACK_GLOBAL);
        self.remember(Known::Name(module, name));
    }

    fn object(&mut self, object: &'a Arc<Object>) {
        self.global(&object.class);
        self.tuple(&object.args);
        match &object.made {
            Made::Call => self.op(op::REDUCE),
            Made::New => self.op(op::NEWOBJ),
            Made::NewWith(kwargs) => {
                self.save(kwargs);
                self.op(op::NEWOBJ_EX);
            }
        }
        self.remember(address(object));
        for batch in object.items.chunks(BATCH) {
            if let [only] = batch {
                self.save(only);
                self.op(op::APPEND);
            } else {
                self.op(op::MARK);
                batch.iter().for_each(|item| self.save(item));
                self.op(op::APPENDS);
            }
        }
        for batch in object.pairs.chunks(BATCH) {
            if let [only] = batch {
                self.pair(only);
                self.op(op::SETITEM);
            } else {
                self.op(op::MARK);
                batch.iter().for_each(|pair| self.pair(pair));
                self.op(op::SETITEMS);
            }
        }
        if let Some(state) = &object.state {
            self.save(state);
            self.op(op::BUILD);
        }
    }

    /// Mentions what has been written before, if it has.
    fn mention(&mut self, known: &Known<'a>) -> bool {
        let Some(index) = self.memo.get(known).copied() else {
            return false;
        };
        match u8::try_from(index) {
            Ok(short) => self.write(&[op::BINGET, short]),
            Err(_) => {
                self.op(op::LONG_BINGET);
                self.write(&index.to_le_bytes());
            }
        }
        true
    }

    fn remember(&mut self, known: Known<'a>) {
        let index = self.memo.len() as u32;
        self.memo.insert(known, index);
        self.op(op::MEMOIZE);
    }

    /// Takes a number for what nobody will mention.
    fn count(&mut self) {
        let unique = usize::MAX - self.memo.len();
        self.remember(Known::Shared(unique));
    }

    fn op(&mut self, opcode: u8) {
        self.write(&[opcode]);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.frame.is_none() {
            self.frame = Some(self.out.len());
            self.out.extend_from_slice(&[0; FRAME_HEADER]);
        }
        self.out.extend_from_slice(bytes);
    }

    /// Large payloads stand outside of frames.
    fn payload(&mut self, header: &[u8], bytes: &[u8]) {
        if bytes.len() >= FRAME_TARGET {
            self.close_frame();
            self.out.extend_from_slice(header);
            self.out.extend_from_slice(bytes);
        } else {
            self.write(header);
            self.write(bytes);
        }
    }

    fn close_frame(&mut self) {
        let Some(at) = self.frame.take() else { return };
        let start = at + FRAME_HEADER;
        let length = self.out.len() - start;
        if length < FRAME_LEAST {
            self.out.drain(at..start);
            return;
        }
        let header = std::iter::once(op::FRAME).chain((length as u64).to_le_bytes());
        if let Some(place) = self.out.get_mut(at..start) {
            place
                .iter_mut()
                .zip(header)
                .for_each(|(to, from)| *to = from);
        }
    }
}

fn header(length: usize, short: u8, medium: u8, long: u8) -> Vec<u8> {
    let mut header = Vec::with_capacity(FRAME_HEADER);
    if let Ok(length) = u8::try_from(length) {
        header.extend([short, length]);
    } else if let Ok(length) = u32::try_from(length) {
        header.push(medium);
        header.extend(length.to_le_bytes());
    } else {
        header.push(long);
        header.extend((length as u64).to_le_bytes());
    }
    header
}
