//! What is no task: it is refused, kept with the reason, never executed, and the worker
//! goes on.

use crate::stack::{RUST, stack, until};
use serde_json::{Value, json};

#[test]
fn garbage_is_refused_and_kept_and_nothing_of_it_is_run() {
    let stack = stack();
    let process =
        || stack.json(&["runtime", "inspect", "stats", "--worker", RUST])[RUST]["pid"].clone();
    let before = process();
    let marker = stack.path("executed");
    stack.python(&format!(
        "import os, pickle\n\
         class Evil:\n\
         \x20   def __reduce__(self): return (os.system, ('touch {marker}',))\n\
         class Code:\n\
         \x20   def __reduce__(self): return (exec, (\"open('{marker}', 'w')\",))\n\
         bomb = 'x' * 1000\n\
         for _ in range(60): bomb = [bomb] * 10\n\
         task = lambda argument: pickle.dumps(((argument,), dict(pure_python=True), {{}}), protocol=4)\n\
         pickled, ping = 'application/x-python-serialize', 'omegaml.tasks.omega_ping'\n\
         garbage = {{\n\
         \x20   'noise': (os.urandom(5000), pickled),\n\
         \x20   'noise-json': (os.urandom(5000), 'application/json'),\n\
         \x20   'nothing': (b'', pickled),\n\
         \x20   'cut': (task('argument')[:-5], pickled),\n\
         \x20   'huge': (b'\\x80\\x04(' + b']' * (5 << 20) + b't.', pickled),\n\
         \x20   'deep': (b'\\x80\\x04' + b'(' * 100000 + b't' * 100000 + b'.', pickled),\n\
         \x20   'bomb': (task(bomb), pickled),\n\
         \x20   'length': (b'\\x80\\x04\\x8d' + (1 << 62).to_bytes(8, 'little') + b'x.', pickled),\n\
         \x20   'system': (pickle.dumps(Evil(), protocol=4), pickled),\n\
         \x20   'system-within': (task(Evil()), pickled),\n\
         \x20   'exec-within': (task({{'a': [Code()]}}), pickled),\n\
         \x20   'old-system': (b'cos\\nsystem\\n(S\\'touch {marker}\\'\\ntR.', pickled),\n\
         \x20   'yaml': (b'!!python/object/apply:os.system [\"touch {marker}\"]', 'application/x-yaml'),\n\
         \x20   'msgpack': (b'\\x93\\x90\\x80\\x80', 'application/x-msgpack'),\n\
         \x20   'untyped': (b'[[], {{}}, {{}}]', 'text/plain'),\n\
         \x20   'shape': (b'{{\"a\": 1}}', 'application/json'),\n\
         }}\n\
         for id, (body, kind) in garbage.items(): send('rust', body, kind, task=ping, id=id)\n\
         send('rust', b'[1, 2]', 'application/json')\n\
         send('rust', pickle.dumps(Evil()), pickled)\n\
         None",
        marker = marker.display(),
    ));
    let count = stack.python("len(garbage) + 2").as_u64().unwrap();
    until(|| (stack.python("depth('rust.dead')") == count).then_some(()));
    let dead = stack.python(
        "dead = [taken('rust.dead') for _ in range(len(garbage) + 2)]\n\
         [{'id': one['headers'].get('id'), 'why': one['headers']['x-om-death'],\n\
           'same': one['headers'].get('id') not in garbage\n\
                   or garbage[one['headers']['id']][0] == one['body'].encode('latin-1')} for one in dead]",
    );
    for letter in dead.as_array().unwrap() {
        assert_eq!(letter["same"], true, "{letter}");
        assert_eq!(letter["why"]["queue"], "rust", "{letter}");
        assert!(
            letter["why"]["reason"]
                .as_str()
                .is_some_and(|why| why.len() > 10),
            "{letter}"
        );
    }
    let reason = |id: &str| {
        let letters = dead.as_array().unwrap();
        let letter = letters.iter().find(|letter| letter["id"] == id);
        letter.unwrap_or_else(|| panic!("{id} is lost: {dead}"))["why"]["reason"].to_string()
    };
    for (id, why) in [
        ("huge", "more values than allowed"),
        ("bomb", "too large unpacked"),
        ("system", "posix.system is not allowed"),
        ("exec-within", "exec"),
        ("msgpack", "application/x-msgpack"),
    ] {
        assert!(reason(id).contains(why), "{id}: {}", reason(id));
    }
    assert!(!marker.exists(), "a pickle was executed");
    // Whoever waits for one of them is told.
    let told = stack.raises(
        "promise = om.runtime.celeryapp.tasks[ping].apply_async(args=(Evil(),), queue='rust')\n\
         get(promise)",
    );
    assert_eq!(told.0, "builtins.ValueError", "{told:?}");
    assert!(!marker.exists(), "a pickle was executed");
    let shown = stack.json(&["runtime", "tasks", "show", "system"]);
    assert_eq!(
        [&shown["state"], &shown["error"]["type"]],
        ["FAILURE", "builtins.ValueError"]
    );
    // Nobody waits for this one any more; what it answers is nobody's business.
    stack.python(
        "ping_body = json.dumps([['my secret'], {'pure_python': True}, {}]).encode()\n\
         send('rust', ping_body, 'application/json', task=ping, id='unwanted', reply_to='no-such-queue')",
    );
    until(|| {
        let shown = stack.om(&["runtime", "tasks", "show", "unwanted"]);
        shown.stdout.contains("SUCCESS").then_some(())
    });
    // It is the same process, and it works.
    assert_eq!(process(), before);
    let answer = stack.python("get(on('rust').ping('after', wait=False))['args']");
    assert_eq!(answer, json!(["after"]) as Value);
    let log = stack.log(RUST);
    assert!(
        log.contains("is refused") && !log.contains("my secret"),
        "{log}"
    );
    assert!(!log.contains("BasicReturnMessage"), "{log}");
}
