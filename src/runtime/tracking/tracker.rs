//! The object that stands for an experiment in the models store: what Python omega|ml
//! pickles of its tracker (spec/storage.md §9.17). It has no state but its name, so its
//! bytes are known, and nobody has to read them.

/// The kind.
pub const KIND: &str = "experiment.tracker";

/// The pickle of the tracker of this experiment, protocol 4.
pub fn pickle(experiment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "omegaml.backends.tracking.simple");
    text(&mut body, "OmegaSimpleTracker");
    body.extend([STACK_GLOBAL, MEMOIZE, EMPTY_TUPLE, NEWOBJ, MEMOIZE]);
    body.extend([EMPTY_DICT, MEMOIZE, MARK]);
    text(&mut body, "_experiment");
    text(&mut body, experiment);
    for field in ["_run", "_store", "_model_store", "_extra_log"] {
        text(&mut body, field);
        body.push(NONE);
    }
    text(&mut body, "_autotrack");
    body.push(NEWFALSE);
    text(&mut body, "log_buffer");
    body.extend([EMPTY_LIST, MEMOIZE]);
    text(&mut body, "max_buffer");
    body.extend([BININT1, 10, SETITEMS, BUILD, STOP]);

    let mut pickle = vec![PROTO, 4, FRAME];
    pickle.extend((body.len() as u64).to_le_bytes());
    pickle.extend(body);
    pickle
}

const PROTO: u8 = 0x80;
const FRAME: u8 = 0x95;
const SHORT_BINUNICODE: u8 = 0x8c;
const BINUNICODE: u8 = b'X';
const MEMOIZE: u8 = 0x94;
const STACK_GLOBAL: u8 = 0x93;
const EMPTY_TUPLE: u8 = b')';
const NEWOBJ: u8 = 0x81;
const EMPTY_DICT: u8 = b'}';
const EMPTY_LIST: u8 = b']';
const MARK: u8 = b'(';
const NONE: u8 = b'N';
const NEWFALSE: u8 = 0x89;
const BININT1: u8 = b'K';
const SETITEMS: u8 = b'u';
const BUILD: u8 = b'b';
const STOP: u8 = b'.';

fn text(body: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) => body.extend([SHORT_BINUNICODE, length]),
        Err(_) => {
            body.push(BINUNICODE);
            // Names of objects are far shorter than four gigabytes.
            body.extend((text.len() as u32).to_le_bytes());
        }
    }
    body.extend(text.as_bytes());
    body.push(MEMOIZE);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::celery::pickle as reader;

    #[test]
    fn it_is_what_python_has_written() {
        let golden = include_bytes!("../../../tests/golden/store/experiment.gridfs.0.bin");
        assert_eq!(pickle("exp1"), golden);
    }

    #[test]
    fn long_names_are_written_in_full() {
        let name = "ü".repeat(200);
        let bytes = pickle(&name);
        assert!(bytes.windows(400).any(|part| part == name.as_bytes()));
        // A class that builds no plain value: it is refused, but read to its end.
        let error = reader::decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("OmegaSimpleTracker"), "{error}");
    }
}
