//! Python's clients and om's worker.

use crate::stack::{PY, RUST, stack, until};
use serde_json::{Value, json};

/// Python source with the label of a worker in the place of LABEL.
fn on(label: &str, source: &str) -> Value {
    stack().python(&source.replace("LABEL", label))
}

#[test]
fn pings_are_answered_as_python_answers_them() {
    let ping = "get(on('LABEL').ping(1, 'two', wait=False, key=[1, 2.5, None]))";
    for (label, worker) in [("rust", RUST), ("py", PY)] {
        let mut answer = on(label, ping);
        let time = answer["time"].take();
        assert_eq!(
            time.as_str().unwrap().len(),
            "2026-11-25T23:14:36.726282".len()
        );
        assert_eq!(
            answer,
            json!({"message": "ping return message", "time": null, "args": [1, "two"],
                   "kwargs": {"key": [1, 2.5, null]}, "worker": worker})
        );
        let fails = "get(on('LABEL').ping(wait=False, exception=True))";
        let (class, _) = stack().raises(&fails.replace("LABEL", label));
        assert_eq!(class, "builtins.RuntimeError", "{label}");
    }
}

#[test]
fn a_model_of_om_works_for_python() {
    let stack = stack();
    stack.ok(&["models", "put", "linear-regression", "served"]);
    let repr =
        "<Metadata: Metadata(name=served,bucket=omegaml,prefix=models/,kind=linfa.model,created=";
    let fitted = stack.python("get(on('rust').model('served').fit('line[x]', 'line[y]'))");
    assert!(fitted.as_str().unwrap().starts_with(repr), "{fitted}");
    // By name, inline, and as a table, which the client stores on the way.
    for (data, expected) in [
        (
            "'line[x]'",
            json!((1..=12).map(|x| [x * 2]).collect::<Vec<_>>()),
        ),
        ("[[20.], [30.]]", json!([[40], [60]])),
        ("pd.DataFrame({'x': [20., 30.]})", json!([[40], [60]])),
        ("np.array([[20.], [30.]])", json!([[40], [60]])),
    ] {
        let predict = format!(
            "result = get(on('rust').model('served').predict({data}))\n\
             [type(result).__name__, result.round(6).astype(int)]"
        );
        assert_eq!(
            stack.python(&predict),
            json!(["ndarray", expected]),
            "{data}"
        );
    }
    let stored = stack.python(
        "[get(on('rust').model('served').predict('line[x]', rName='served-result')),\n\
          om.datasets.get('served-result').values.round(6).astype(int)[:2]]",
    );
    let text = stored[0].as_str().unwrap();
    assert!(
        text.starts_with("<Metadata: Metadata(name=served-result,"),
        "{text}"
    );
    assert_eq!(stored[1], json!([[2], [4]]));
    let score = stack.python("get(on('rust').model('served').score('line[x]', 'line[y]'))");
    assert!((score.as_f64().unwrap() - 1.0).abs() < 1e-9, "{score}");
    // Learning from tables and lists, on what Python keeps of it.
    let refitted = stack.python(
        "get(on('rust').model('served').fit(line[['x']], line['y'] * 2))\n\
         get(on('rust').model('served').predict([[1.]])).round(6).tolist()",
    );
    assert_eq!(refitted, json!([[4.0]]));
    let kept = stack.python("om.models.metadata('served').attributes['dataset']['Xname']");
    assert!(kept.as_str().unwrap().starts_with("_fitX"), "{kept}");
}

#[test]
fn transformers_and_searches_of_om_work_for_python() {
    let stack = stack();
    stack.ok(&["models", "put", "standard-scaler", "scaler"]);
    let scaled = stack.python(
        "get(on('rust').model('scaler').fit('line[x]'))\n\
         scaled = get(on('rust').model('scaler').transform('line[x]'))\n\
         [round(float(scaled.mean()), 6), round(float(scaled.std()), 6)]",
    );
    assert_eq!(scaled, json!([0.0, 1.0]));
    stack.ok(&["models", "put", "ridge", "searched"]);
    let search = "get(on('rust').model('searched').gridsearch('line[x]', 'line[y]', parameters={'alpha': [0.1, 10.]}))";
    let answer = stack.python(search);
    // As Celery's own worker has it, the answer is the model that was searched for.
    let repr = "<Metadata: Metadata(name=searched,bucket=omegaml,prefix=models/,kind=linfa.model,";
    assert!(answer.as_str().unwrap().starts_with(repr), "{answer}");
    let best = stack.python(
        "name = om.models.metadata('searched').attributes['gridsearch'][-1]['gsModel']\n\
         [name, get(on('rust').model(name).predict([[3.]])).shape]",
    );
    assert!(best[0].as_str().unwrap().starts_with("searched."), "{best}");
    assert_eq!(best[1], json!([1, 1]));
}

#[test]
fn failures_have_classes_and_say_what_is_wrong() {
    let stack = stack();
    stack.trained("linear-regression", "failing");
    stack.python(
        "om.models.put(LinearRegression(), 'odd')\n\
         om.datasets.mongodb['metadata'].update_one({'name': 'odd', 'prefix': 'models/'}, {'$set': {'kind': 'model.r'}})\n\
         None",
    );
    for (source, class, text) in [
        (
            "on('rust').model('failing').predict('nowhere[x]')",
            "builtins.LookupError",
            "data/nowhere does not exist",
        ),
        (
            "on('rust').task('omegaml.tasks.omega_predict').delay('nomodel', 'line[x]')",
            "builtins.LookupError",
            "models/nomodel does not exist",
        ),
        (
            "on('rust').model('failing').predict([['text']])",
            "builtins.ValueError",
            "failing",
        ),
        (
            "om.runtime.celeryapp.send_task('omegaml.tasks.omega_predict', queue='rust')",
            "builtins.ValueError",
            "name of the model is missing",
        ),
        (
            "om.runtime.celeryapp.send_task('omegaml.tasks.nothing', queue='rust')",
            "celery.exceptions.NotRegistered",
            "omegaml.tasks.nothing",
        ),
        (
            "on('rust').model('odd').predict('line[x]')",
            "builtins.RuntimeError",
            "no worker on `rust` can run this: models/odd is a model.r, which no backend of this worker runs",
        ),
    ] {
        let (raised, message) = stack.raises(&format!("get({source})"));
        assert_eq!(raised, class, "{source}: {message}");
        assert!(message.contains(text), "{source}: {message}");
    }
    let failed = stack.python(
        "promise = on('rust').model('failing').predict('nowhere[x]')\n\
         promise.get(timeout=PATIENCE, propagate=False)\n\
         [promise.state, promise.failed(), promise.traceback.strip().split(':')[0]]",
    );
    assert_eq!(failed, json!(["FAILURE", true, "LookupError"]));
}

#[test]
fn models_of_scikit_learn_run_on_both() {
    let stack = stack();
    let mut answers = Vec::new();
    for label in ["py", "rust"] {
        answers.push(stack.python(&format!(
            "om.models.put(LinearRegression(), 'sk-{label}')\n\
             def task(): return on('{label}').model('sk-{label}')\n\
             fitted = get(task().fit('line[x]', 'line[y]'))\n\
             predicted = get(task().predict('line[x]'))\n\
             [fitted.split(',')[0].replace('sk-{label}', ''), list(predicted.shape), predicted.round(6).ravel().tolist(),\n\
              round(get(task().score('line[x]', 'line[y]')), 6), [[round(x, 6) for x in row] for row in get(task().predict([[1.], [2.]]))],\n\
              len(om.models.metadata('sk-{label}').attributes['versions']['commits'])]"
        )));
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn tasks_work_in_their_bucket() {
    let stack = stack();
    stack.python("om.setup(bucket='aside').datasets.put(line * 10, 'tens', append=False)");
    stack.ok(&[
        "--bucket",
        "aside",
        "models",
        "put",
        "linear-regression",
        "aside",
    ]);
    let predicted = stack.python(
        "get(on('rust', 'aside').model('aside').fit('tens[x]', 'tens[y]'))\n\
         get(on('rust', 'aside').model('aside').predict('tens[x]')).round(6).astype(int)[:2]",
    );
    assert_eq!(predicted, json!([[20], [40]]));
    let (class, _) = stack
        .raises("get(on('rust').task('omegaml.tasks.omega_predict').delay('aside', 'line[x]'))");
    assert_eq!(class, "builtins.LookupError");
}

#[test]
fn states_come_in_their_order() {
    let replies = stack().python(
        "import pickle\n\
         with om.runtime.celeryapp.connection_for_write() as c: c.default_channel.queue_declare('watched', auto_delete=False)\n\
         send('rust', json.dumps([[], {'pure_python': True, '__bucket': None}, {}]).encode(), 'application/json',\n\
              task='omegaml.tasks.omega_ping', id='watched-id', reply_to='watched')\n\
         end = time.time() + PATIENCE\n\
         while depth('watched') < 2 and time.time() < end: time.sleep(0.05)\n\
         read = lambda: pickle.loads(taken('watched')['body'].encode('latin-1'))\n\
         [read(), read()]",
    );
    let states: Vec<&Value> = replies
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["status"])
        .collect();
    assert_eq!(states, ["STARTED", "SUCCESS"]);
    assert_eq!(replies[0]["result"]["hostname"], RUST);
    assert!(replies[0]["result"]["pid"].is_i64());
    assert_eq!(replies[1]["result"]["message"], "ping return message");
    assert_eq!(replies[1]["task_id"], "watched-id");
    let states = stack().python(
        "promise = on('rust').ping(wait=False); get(promise)\n\
         [promise.state, promise.ready(), promise.successful()]",
    );
    assert_eq!(states, json!(["SUCCESS", true, true]));
}

#[test]
fn canvases_of_both_kinds_of_workers() {
    let stack = stack();
    stack.ok(&["models", "put", "linear-regression", "linked"]);
    // Om's worker sends what follows, also to Python's, and the other way round.
    let chain = stack.python(
        "with om.runtime.sequence() as crt:\n\
         \x20   crt.require(label='rust').model('linked').fit('line[x]', 'line[y]')\n\
         \x20   crt.require(label='py').model('py-line').fit('line[x]', 'line[y]')\n\
         \x20   crt.require(label='rust').model('linked').predict('line[x]', rName='linked-result')\n\
         \x20   result = crt.run()\n\
         get(result)\n\
         [repr(result.getall()), om.datasets.get('linked-result').values.round(6).astype(int)[:2]]",
    );
    let all = chain[0].as_str().unwrap();
    for name in ["name=linked,", "name=py-line,", "name=linked-result,"] {
        assert!(all.contains(name), "{all}");
    }
    assert_eq!(chain[1], json!([[2], [4]]));
    let broken = "with om.runtime.sequence() as crt:\n\
         \x20   crt.require(label='rust').model('linked').predict('nowhere[x]')\n\
         \x20   crt.require(label='rust').model('linked').predict('line[x]', rName='never')\n\
         \x20   result = crt.run()\n\
         get(result.parent)";
    assert_eq!(stack.raises(broken).0, "builtins.LookupError");
    assert_eq!(stack.python("om.datasets.metadata('never')"), json!(null));
    let group = stack.python(
        "with om.runtime.parallel() as crt:\n\
         \x20   for x in range(1, 7): crt.require(label='rust').model('linked').predict([[float(x)]])\n\
         \x20   result = crt.run()\n\
         [round(float(one[0][0]), 6) for one in get(result)]",
    );
    assert_eq!(group, json!([2.0, 4.0, 6.0, 8.0, 10.0, 12.0]));
}

#[test]
fn callbacks_of_tasks_on_an_om_worker_are_run() {
    let stack = stack();
    stack.trained("linear-regression", "calling");
    // The script needs Python; the task that it follows does not.
    stack.python(
        "from omegaml.backends.virtualobj import virtualobj\n\
         @virtualobj\n\
         def called(*args, om=None, state=None, results=None, key=None, **kwargs):\n\
         \x20   om.datasets.put({'state': state, 'results': repr(results)}, key, append=False)\n\
         om.scripts.put(called, 'called')\n\
         def link(state, key):\n\
         \x20   task = on('py').script('called').task(as_callback=True)\n\
         \x20   return task.signature(args=[state, 'called'], kwargs={'key': key}, immutable=False)\n\
         routing = {'link': link('SUCCESS', 'went-well'), 'link_error': link('ERROR', 'went-wrong')}\n\
         get(om.runtime.require(label='rust', routing=routing).model('calling').predict([[1.]]))\n\
         om.runtime.require(label='rust', routing=routing).model('calling').predict('nowhere[x]')\n\
         None",
    );
    for (key, state, result) in [
        ("went-well", "SUCCESS", "2."),
        ("went-wrong", "ERROR", "nowhere"),
    ] {
        let stored = until(|| {
            let stored = stack.python(&format!(
                "om.datasets.get('{key}') if om.datasets.metadata('{key}') else None"
            ));
            stored.get(0).cloned()
        });
        assert_eq!(stored["state"], state);
        let results = stored["results"].as_str().unwrap();
        assert!(results.contains(result), "{results}");
    }
    // Om's worker follows a task itself as well.
    let child = stack.python(
        "link = om.runtime.celeryapp.tasks['omegaml.tasks.omega_ping'].signature(args=('after',), queue='rust')\n\
         promise = om.runtime.require(label='rust', routing={'link': link}).model('calling').predict([[1.]])\n\
         get(promise)\n\
         get(promise.children[0])['args']",
    );
    assert_eq!(child, json!([[[2.0]], "after"]));
}

#[test]
fn what_needs_python_is_left_to_python() {
    // Both kinds of workers take tasks of `both`.
    let answers = stack().python(
        "get(on('py').model('py-line').fit('line[x]', 'line[y]'))\n\
         promises = [on('both').model('py-line').predict([[float(x)]]) for x in range(12)]\n\
         [round(float(get(promise)[0][0]), 6) for promise in promises]",
    );
    let expected: Vec<f64> = (0..12).map(|x| f64::from(x) * 2.0).collect();
    assert_eq!(answers, json!(expected));
}

#[test]
fn tasks_are_tracked_in_experiments_as_python_does() {
    let stack = stack();
    stack.trained("linear-regression", "tracked");
    stack.python("get(on('py').model('py-line').fit('line[x]', 'line[y]'))");
    // The events in order, without what differs from run to run.
    let events = |label: &str, model: &str| {
        stack.python(&format!(
            "exp = 'exp-{label}'\n\
             def read(): return [doc['data'] for doc in om.datasets.collection('.experiments/' + exp).find()]\n\
             def until(reached):\n\
             \x20   end = time.time() + PATIENCE\n\
             \x20   while not reached(read()) and time.time() < end: time.sleep(0.1)\n\
             with on('{label}').experiment(exp) as e:\n\
             \x20   e.log_param('a', 1)\n\
             \x20   def task(): return om.runtime.require(label='{label}').model('{model}')\n\
             \x20   get(task().fit('line[x]', 'line[y]'))\n\
             \x20   get(task().predict([[1.]]))\n\
             \x20   get(task().score('line[x]', 'line[y]'))\n\
             \x20   task().predict('nowhere').get(propagate=False, timeout=PATIENCE)\n\
             \x20   # Python's worker tells its tracker after it has told its client.\n\
             \x20   until(lambda data: data and any(event['event'] == 'task_failure' for event in data))\n\
             def known(event):\n\
             \x20   value = event['value']\n\
             \x20   if event['event'] == 'artifact':\n\
             \x20       assert json.loads(value.pop('data'))['name'] == '{model}'\n\
             \x20   if event['event'] == 'task_failure': value.pop('exception')\n\
             \x20   if event['event'] == 'task_success' and event['key'].endswith('fit'): value.pop('result')\n\
             \x20   if event['event'] == 'task_success' and event['key'].endswith('predict'):\n\
             \x20       value['result'] = [[round(x, 6) for x in row] for row in value['result']]\n\
             \x20   if event['event'] == 'task_call': value['args'] = [str(x)[:8] for x in value['args'][1:]]\n\
             \x20   if event['event'] in ('task_success', 'task_failure'): value['task_id'] = value['task_id'] == event['taskid']\n\
             \x20   return [event['event'], list(event), event['run'], event['key'], value]\n\
             until(lambda data: len(data) >= 16)\n\
             data = read()\n\
             data.sort(key=lambda event: event['dt'])\n\
             experiments = om.models.metadata('{model}').attributes['tracking']['experiments']\n\
             [known(event) for event in data] + [exp in experiments]"
        ))
    };
    let (theirs, ours) = (events("py", "py-line"), events("rust", "tracked"));
    assert_eq!(theirs, ours);
    let kinds: Vec<&str> = ours
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event[0].as_str())
        .collect();
    let task = |ends: &'static str| ["task_call", "artifact", ends];
    let expected = [
        &["start", "param"][..],
        &task("task_success"),
        &task("task_success"),
        &["task_call", "artifact", "metric", "task_success"],
        &task("task_failure"),
        &["stop"],
    ];
    assert_eq!(kinds, expected.concat());
    // Tracked from om's command line; Python's tracker reads it.
    let rows = stack.python("len(om.runtime.experiment('exp-rust').data())");
    for require in ["local", "rust"] {
        stack.ok(&[
            "runtime",
            "model",
            "tracked",
            "score",
            "line[x]",
            "line[y]",
            "--require",
            require,
            "--experiment",
            "exp-rust",
        ]);
    }
    let read = stack.python(
        "data = om.runtime.experiment('exp-rust').data(run='*')\n\
         [len(data), data[data.run == 3].event.tolist()]",
    );
    assert_eq!(read[0].as_u64().unwrap(), rows.as_u64().unwrap() + 12);
    let run = [
        "start",
        "task_call",
        "artifact",
        "metric",
        "task_success",
        "stop",
    ];
    assert_eq!(read[1], json!(run));
}

#[test]
fn the_log_is_shared() {
    let stack = stack();
    stack.trained("linear-regression", "logged");
    let entries = stack.python(
        "om.logger.info('python was here')\n\
         get(om.runtime.require(label='rust').mode(logging=('mymodule', 'DEBUG')).model('logged').predict([[1.]]))\n\
         on('rust').model('logged').predict('unlogged').get(propagate=False, timeout=PATIENCE)\n\
         end = time.time() + PATIENCE\n\
         def read(): return om.logger.dataset.get()\n\
         while not read().msg.str.contains('unlogged').any() and time.time() < end: time.sleep(0.1)\n\
         found = read()\n\
         found = found[found.logger.isin(['mymodule', 'omega.worker'])]\n\
         [[row.level, row.logger, row.msg.split('] ')[-1].split(' in ')[0].split(' (')[0]] for row in found.itertuples()\n\
          if row.logger == 'mymodule' or 'unlogged' in row.msg]",
    );
    assert_eq!(
        entries,
        json!([
            ["INFO", "mymodule", "started"],
            ["INFO", "mymodule", "succeeded"],
            [
                "ERROR",
                "omega.worker",
                "failed: LookupError: data/unlogged does not exist"
            ],
        ])
    );
    let log = stack.json(&["runtime", "log"]);
    let messages: Vec<&str> = log
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["message"].as_str())
        .collect();
    assert!(messages.contains(&"python was here"), "{messages:?}");
    let failed = stack.json(&["runtime", "log", "--level", "error", "--grep", "unlogged"]);
    assert_eq!(failed[0]["level"], "ERROR");
}

#[test]
fn results_are_shared_in_the_database_and_chords_are_run() {
    let stack = stack();
    let url = stack.mongo();
    let args = ["--queues", "rust-shared", "--task-events"];
    stack.om_worker_with(
        "shared@om",
        &args,
        &[("OMEGA_RESULT_BACKEND", "mongodb://")],
    );
    stack.ok(&[
        "runtime",
        "ping",
        "--require",
        "rust-shared",
        "--timeout",
        "90",
    ]);
    let told: Value = serde_json::from_str(&stack.script("shared_results.py", &[])).unwrap();
    assert_eq!(told["answer"], json!(["one"]));
    assert_eq!(told["again"], json!(["SUCCESS", ["one"]]));
    assert_eq!(told["failed"], json!(["RuntimeError", "FAILURE"]));
    let answers = told["chord"][0].as_array().unwrap();
    let args: Vec<&Value> = answers.iter().map(|answer| &answer["args"]).collect();
    assert_eq!(args, [&json!([1]), &json!([2]), &json!([3])]);
    assert_eq!(told["chord"][1], "after");
    assert_eq!(told["broken"], "ChordError");
    assert_eq!(
        told["keys"],
        json!([
            "_id",
            "status",
            "result",
            "traceback",
            "children",
            "date_done"
        ])
    );
    // A worker of Celery's that keeps its results there does not reply; om finds them.
    stack.celery_worker(
        "keeping@om",
        &["--queues", "py-shared"],
        &[("OMEGA_RESULT_BACKEND", &url)],
    );
    let ping = [
        "runtime",
        "ping",
        "--require",
        "py-shared",
        "--timeout",
        "90",
    ];
    let env = [("OMEGA_RESULT_BACKEND", url.as_str())];
    let answer = stack.om_with(&[&ping[..], &["-o", "json"]].concat(), &env);
    let answer: Value = serde_json::from_str(&answer.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", answer.stderr, stack.log("keeping@om")));
    assert_eq!(answer["worker"], "keeping@om");
    let id = stack.om_with(&[&ping[..], &["--async"]].concat(), &env);
    let result = [
        "runtime",
        "result",
        id.stdout.trim(),
        "--wait",
        "-o",
        "json",
    ];
    let answer: Value = serde_json::from_str(&stack.om_with(&result, &env).stdout).unwrap();
    assert_eq!(answer["worker"], "keeping@om");
}
