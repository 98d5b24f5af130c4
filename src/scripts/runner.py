"""Runs a script of om: imports its module and calls run(om, *args, **kwargs)."""
import importlib
import json
import os
import subprocess
import sys
import tempfile

call = json.load(sys.stdin)
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # whatever is printed is no answer
sys.path.insert(0, call['path'])


class Store:
    """What om's own command line can do, where Python omega|ml is not installed."""

    def __init__(self, noun):
        self.noun = noun

    def _om(self, *words):
        done = subprocess.run([call['om'], '-q', self.noun, *words], capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode().strip())
        return done.stdout

    def list(self, pattern=None):
        words = [pattern] if pattern else []
        return [entry['name'] for entry in json.loads(self._om('list', *words, '-o', 'json'))]

    def get(self, name):
        kind = json.loads(self._om('metadata', name))['kind']
        if kind == 'pandas.dfrows' or kind == 'pandas.serows':
            rows = json.loads(self._om('query', name, '-o', 'json'))
            try:
                import pandas
                return pandas.DataFrame(rows)
            except ImportError:
                return rows
        if kind == 'python.data':
            return json.loads(self._om('get', name, '-', '--format', 'json'))
        return self._om('get', name, '-')

    def put(self, obj, name, append=True):
        text = obj.to_json(orient='records') if hasattr(obj, 'to_json') else json.dumps(obj)
        with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
            file.write(text)
            file.flush()
            self._om('put', file.name, name, *([] if append else ['--replace']))

    def drop(self, name):
        self._om('drop', name)

    def metadata(self, name):
        return json.loads(self._om('metadata', name))


class Om:
    def __init__(self):
        for noun in ('datasets', 'models', 'jobs', 'scripts', 'streams'):
            setattr(self, noun, Store(noun))


def client():
    # Python omega|ml keeps its objects in MongoDB only.
    if os.environ.get('OMEGA_MONGO_URL'):
        try:
            import omegaml
            return omegaml.setup()
        except ImportError:
            pass
    return Om()


def plain(value):
    if hasattr(value, 'to_dict'):
        return value.to_dict()
    if hasattr(value, 'tolist'):
        return value.tolist()
    return str(value)


try:
    result = importlib.import_module(call['module']).run(client(), *call['args'], **call['kwargs'])
    answer = json.dumps({"result": result}, default=plain)
except BaseException as error:
    import traceback
    traceback.print_exc()
    answer = json.dumps({"error": repr(error)})
answers.write(answer)
answers.flush()
