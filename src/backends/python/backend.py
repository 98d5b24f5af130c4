"""om's backend for models that only Python can run; PROTOCOL.md says how it is talked to."""
import atexit
import json
import os
import struct
import sys
import traceback
from collections import OrderedDict

# Whatever libraries print is no reply.
requests, replies = os.fdopen(os.dup(0), 'rb'), os.fdopen(os.dup(1), 'wb')
os.dup2(2, 1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.path.insert(0, os.getcwd())
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

ACTIONS = ['fit', 'partial_fit', 'predict', 'predict_proba', 'transform', 'fit_transform', 'score',
           'decision_function', 'gridsearch']
KERAS = ('keras.h5', 'tfkeras.h5')
KINDS = {'sklearn.joblib': ACTIONS, 'python.model': ACTIONS, 'mlflow.model': ['predict'],
         **{kind: ['fit', 'partial_fit', 'predict', 'score'] for kind in KERAS}}
PACKAGES = {'sklearn': 'scikit-learn'}
KEPT = 8


class Missing(Exception):
    pass


def need(name):
    """A module that only some calls need."""
    __import__(name)
    return sys.modules[name]


def read(count):
    data = requests.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def receive():
    header = json.loads(read(struct.unpack('>I', read(4))[0]))
    return header, [read(length) for length in header.get('parts', [])]


def send(header, parts=()):
    text = json.dumps(dict(header, parts=[len(part) for part in parts])).encode()
    replies.write(struct.pack('>I', len(text)) + text)
    for part in parts:
        replies.write(part)
    replies.flush()


def dumped(model, kind):
    """The file that omega|ml makes of a model."""
    import io
    if kind in KERAS:
        import tempfile
        with tempfile.NamedTemporaryFile(suffix='.h5') as file:
            model.save(file.name)
            return file.read()
    joblib, out = need('joblib'), io.BytesIO()
    if kind == 'sklearn.joblib':
        joblib.dump(model, out, protocol=4, compress=True)
    else:
        joblib.dump(model, out)
    return out.getvalue()


def loaded(content, kind=None):
    import io
    import tempfile
    if kind in KERAS:
        models = need('tensorflow').keras.models if kind == 'tfkeras.h5' else need('keras').models
        with tempfile.NamedTemporaryFile(suffix='.h5') as file:
            file.write(content)
            file.flush()
            return models.load_model(file.name)
    if kind == 'mlflow.model':
        import tarfile
        pyfunc, folder = need('mlflow.pyfunc'), tempfile.mkdtemp(prefix='om-mlflow-')
        temporary.append(folder)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter='data')
        found = [place for place, _, files in os.walk(folder) if 'MLmodel' in files]
        if not found:
            raise ValueError('there is no MLmodel in it')
        return pyfunc.load_model(min(found, key=len))
    return need('joblib').load(io.BytesIO(content))


# Some models read their files later on.
temporary = []


@atexit.register
def tidy():
    import shutil
    for folder in temporary:
        shutil.rmtree(folder, ignore_errors=True)


def frame(part):
    if part is None:
        return None
    ipc = need('pyarrow.ipc')
    need('pandas')
    return ipc.open_stream(part).read_pandas()


def table(answer):
    """What a model answers, as a table in Arrow's stream format."""
    np, pd, pa = need('numpy'), need('pandas'), need('pyarrow')
    need('pyarrow.ipc')
    if hasattr(answer, 'toarray'):
        answer = answer.toarray()
    if isinstance(answer, pd.Series):
        answer = answer.to_frame()
    if not isinstance(answer, pd.DataFrame):
        answer = np.asarray(answer)
        if answer.ndim == 0:
            answer = answer.reshape(1, 1)
        if answer.ndim == 1:
            answer = answer.reshape(-1, 1)
        answer = pd.DataFrame(answer)
    answer = answer.copy()
    answer.columns = [str(column) for column in answer.columns]
    for column in answer.columns:
        if answer[column].dtype == object and not all(isinstance(v, (str, type(None))) for v in answer[column]):
            answer[column] = [v if v is None else str(v) for v in answer[column]]
    arrow = pa.Table.from_pandas(answer, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return sink.getvalue().to_pybytes()


models = OrderedDict()


def model_of(header, parts):
    name = header['id']
    if header.get('model') is not None:
        models[name] = loaded(parts[header['model']], header['kind'])
    elif name not in models:
        raise LookupError('unknown-model')
    models.move_to_end(name)
    while len(models) > KEPT:
        models.popitem(last=False)
    return models[name]


def part(header, parts, name):
    return parts[header[name]] if header.get(name) is not None else None


def act(action, header, parts):
    model = model_of(header, parts)
    x, y = frame(part(header, parts, 'x')), frame(part(header, parts, 'y'))
    if header.get('inline'):
        x = x.to_numpy()
    params, kind = header.get('params') or {}, header['kind']
    learned = lambda model: {'model': dumped(model, kind)}
    if action not in KINDS[kind]:
        raise ValueError('models of the kind %s cannot %s' % (kind, action.replace('_', ' ')))
    if kind in KERAS:
        x, y = (part if part is None else getattr(part, 'to_numpy', lambda: part)() for part in (x, y))
        if action == 'score':
            result = model.evaluate(x, y, verbose=0)
            return {'number': float(result[0] if isinstance(result, list) else result)}
        if action != 'predict':
            models.pop(header['id'])
            model.fit(x, y, verbose=0, **params)
            return learned(model)
        params.setdefault('verbose', 0)
    if action in ('fit', 'partial_fit', 'fit_transform'):
        # Others that ask for the same content must not see what this one learns.
        models.pop(header['id'])
        arguments = (x,) if y is None else (x, y)
        if action == 'fit_transform':
            answer = model.fit_transform(*arguments, **params)
            return {**learned(model), 'table': table(answer)}
        if action == 'partial_fit' and kind == 'sklearn.joblib' and 'classes' not in params and y is not None \
                and not hasattr(model, 'classes_') and need('sklearn.base').is_classifier(model):
            params['classes'] = sorted(set(y.to_numpy().ravel().tolist()))
        return learned(getattr(model, action)(*arguments, **params) or model)
    if action == 'score':
        if header.get('metric'):
            scorer = need('sklearn.metrics').get_scorer(header['metric'])
            return {'number': float(scorer(model, x, y))}
        return {'number': float(model.score(x) if y is None else model.score(x, y))}
    if action == 'gridsearch':
        np, selection = need('numpy'), need('sklearn.model_selection')
        search = selection.GridSearchCV(model, params, cv=header.get('folds') or 5, scoring=header.get('metric'))
        search.fit(x, y if y is None or y.shape[1] > 1 else np.ravel(y))
        results = need('pandas').DataFrame(search.cv_results_)
        columns = [c for c in results if c.startswith('param_')] + ['mean_test_score', 'std_test_score', 'rank_test_score']
        results = results[columns].rename(columns=lambda c: c[6:] if c.startswith('param_') else c)
        return {**learned(search), 'table': table(results), 'value': {'best_score': float(search.best_score_)}}
    return {'table': table(getattr(model, action)(x, **params))}


def make(header, parts):
    content = part(header, parts, 'file')
    if content is not None:
        kind = header.get('kind')
        model = loaded(content, kind)
        if kind in KERAS or kind == 'mlflow.model':
            # As it was made.
            return {'model': content, 'kind': kind, 'kind_meta': {'_om_backend_version': '1'}}
    else:
        module, _, name = header['spec'].rpartition('.')
        model = getattr(need(module), name)()
    kind = header.get('kind')
    if not kind:
        try:
            known = isinstance(model, need('sklearn.base').BaseEstimator)
        except ImportError:
            known = False
        kind = 'sklearn.joblib' if known else 'python.model'
    return {'model': dumped(model, kind), 'kind': kind, 'kind_meta': {'_om_backend_version': '1'}}


def answer(header, parts):
    call = header['call']
    if call == 'hello':
        kinds = [{'kind': kind, 'actions': actions} for kind, actions in KINDS.items()]
        return {'protocol': 1, 'name': 'Python %d.%d' % sys.version_info[:2], 'kinds': kinds}
    done = make(header, parts) if call == 'make' else act(call, header, parts)
    if 'model' in done:
        done.setdefault('kind_meta', {'_om_backend_version': '1'})
    return done


while True:
    header, parts = receive()
    try:
        done, out = answer(header, parts), []
        for name in ('model', 'table'):
            if name in done:
                out.append(done[name])
                done[name] = len(out) - 1
        send(done, out)
    except ImportError as error:
        name, kind = (error.name or '').split('.')[0], header.get('kind') or 'this'
        package = PACKAGES.get(name, name)
        message = '%s needs the Python package %s: %s' % (kind, package, error) if name else \
            '%s needs Python packages that do not work together: %s' % (kind, error)
        hint = 'install it: %s -m pip install %s; OMEGA_PYTHON chooses another Python' % (sys.executable, package) if name else \
            'OMEGA_PYTHON chooses another Python than %s' % sys.executable
        send({'error': {'type': 'missing-package', 'message': message, 'hint': hint}})
    except LookupError as error:
        kind = 'unknown-model' if error.args == ('unknown-model',) else type(error).__name__
        send({'error': {'type': kind, 'message': str(error), 'traceback': traceback.format_exc()}})
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code == 0:
            raise
        send({'error': {'type': type(error).__name__, 'message': str(error), 'traceback': traceback.format_exc()}})
