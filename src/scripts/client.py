"""The `om` of scripts and shells: Python omega|ml's where it is installed and its database is
used, else what om's own command line can do."""
import json
import os
import subprocess
import sys
import tempfile


class Store:
    """What om's own command line can do, where Python omega|ml is not installed."""

    def __init__(self, noun):
        self.noun = noun

    def _om(self, *words):
        done = subprocess.run([os.environ.get('OM_PROGRAM', 'om'), '-q', self.noun, *words], capture_output=True)
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


