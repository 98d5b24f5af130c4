"""Jupyter Lab with the jobs as its files, on every profile: what it reads and writes goes
through om's own command line. A folder is what stands before a `/` in the names of jobs; an
empty one holds omega|ml's `_placeholder.ipynb`."""
import datetime
import json
import os
import subprocess
import sys

try:
    import nbformat
    from jupyter_server.services.contents.checkpoints import Checkpoints
    from jupyter_server.services.contents.manager import ContentsManager
    from jupyterlab.labapp import LabApp
    from tornado.web import HTTPError
except ImportError as error:
    sys.exit('om shell jupyter needs Jupyter Lab: %s -m pip install jupyterlab (%s)' % (sys.executable, error))

NOTEBOOK, PLACEHOLDER = '.ipynb', '_placeholder.ipynb'
# The exit codes of om that HTTP has an answer of its own for.
STATUS = {2: 400, 3: 404, 4: 403, 5: 409, 7: 503, 124: 504}


def om(*words, given=None):
    done = subprocess.run([os.environ.get('OM_PROGRAM', 'om'), '-q', 'jobs', *words], input=given, capture_output=True)
    if done.returncode:
        raise HTTPError(STATUS.get(done.returncode, 500), done.stderr.decode(errors='replace').strip())
    return done.stdout


def jobs(path=''):
    """The notebooks below a folder, by their names."""
    start = path + '/' if path else ''
    found = json.loads(om('list', '-o', 'json', '--', start + '*'))
    return {job['name']: job for job in found if job['name'].startswith(start) and job['name'].endswith(NOTEBOOK)}


def job_at(path):
    """What a listing says of a job, if it is there; names may look like patterns."""
    found = json.loads(om('list', '-o', 'json', '--', path))
    return next((job for job in found if job['name'] == path), None)


def moment(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


class NoCheckpoints(Checkpoints):
    """Jobs have none: what is saved is what there is."""

    def create_checkpoint(self, contents_mgr, path):
        return {'id': 'saved', 'last_modified': datetime.datetime.now(datetime.timezone.utc)}

    def list_checkpoints(self, path):
        return []

    def restore_checkpoint(self, contents_mgr, checkpoint_id, path):
        raise HTTPError(404, 'jobs have no checkpoints')

    rename_checkpoint = delete_checkpoint = lambda self, *_: None


class Jobs(ContentsManager):
    def __init__(self, **options):
        super().__init__(**{**options, 'checkpoints_class': NoCheckpoints})

    def info_string(self):
        return 'Serving the jobs of om'

    def is_hidden(self, path):
        return any(part.startswith('.') for part in path.strip('/').split('/'))

    def dir_exists(self, path):
        path = path.strip('/')
        return not path or bool(jobs(path))

    def file_exists(self, path):
        path = path.strip('/')
        return bool(path) and job_at(path) is not None

    def model(self, path, kind, job=None, **more):
        at = lambda field: moment(job[field]) if job else datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
        return {'name': path.rpartition('/')[2], 'path': path, 'type': kind, 'created': at('created'),
                'last_modified': at('modified'), 'size': job and job['bytes'], 'writable': True, 'mimetype': None,
                'format': None, 'content': None, 'hash': None, 'hash_algorithm': None, **more}

    def folder(self, path, content=True):
        below, entries, latest = jobs(path), {}, None
        if path and not below:
            raise HTTPError(404, 'there is no folder %s' % path)
        for name, job in below.items():
            latest = job if latest is None or job['modified'] > latest['modified'] else latest
            head, slash, _ = name[len(path) + 1 if path else 0:].partition('/')
            place = '%s/%s' % (path, head) if path else head
            if slash:
                entries.setdefault(place, self.model(place, 'directory', job, size=None))
            elif head != PLACEHOLDER:
                entries[place] = self.model(place, 'notebook', job)
        more = {'content': list(entries.values()), 'format': 'json'} if content else {}
        return self.model(path, 'directory', latest, **{'size': None, **more})

    def get(self, path, content=True, type=None, format=None, require_hash=False):
        path = path.strip('/')
        if type == 'directory' or not path.endswith(NOTEBOOK):
            if type not in (None, 'directory'):
                raise HTTPError(400, '%s is no notebook' % path)
            return self.folder(path, content)
        if type not in (None, 'notebook'):
            raise HTTPError(400, '%s is a notebook' % path)
        found = job_at(path)
        if found is None:
            raise HTTPError(404, 'there is no job %s' % path)
        model = self.model(path, 'notebook', found)
        if content:
            book = nbformat.reads(om('get', '--', path, '-').decode(), as_version=4)
            self.mark_trusted_cells(book, path)
            model.update(content=book, format='json')
            self.validate_notebook_model(model)
        return model

    def save(self, model, path):
        path, kind = path.strip('/'), model.get('type')
        self.run_pre_save_hooks(model=model, path=path)
        if kind == 'directory':
            if not self.dir_exists(path):
                self.put(nbformat.v4.new_notebook(), '%s/%s' % (path, PLACEHOLDER))
            return self.folder(path, content=False)
        if kind != 'notebook' or not path.endswith(NOTEBOOK):
            raise HTTPError(400, 'only notebooks (%s) are stored as jobs, not %s' % (NOTEBOOK, path))
        if model.get('content') is None:
            raise HTTPError(400, 'there is no content')
        try:
            book = nbformat.from_dict(model['content'])
            self.check_and_sign(book, path)
        except Exception as error:
            raise HTTPError(400, 'this is no notebook: %r' % error)
        self.put(book, path)
        saved = self.get(path, content=False)
        self.validate_notebook_model({**saved, 'content': book})
        return saved

    def put(self, book, path):
        om('put', '--', '-', path, given=nbformat.writes(book).encode())

    def delete_file(self, path):
        path = path.strip('/')
        if path.endswith(NOTEBOOK):
            om('drop', '--', path)
            return
        for name in jobs(path):
            if name != '%s/%s' % (path, PLACEHOLDER):
                raise HTTPError(400, 'the folder %s is not empty' % path)
        om('drop', '--', '%s/%s' % (path, PLACEHOLDER))

    def rename_file(self, old_path, new_path):
        old, new = old_path.strip('/'), new_path.strip('/')
        if self.exists(new):
            raise HTTPError(409, 'there is a %s already' % new)
        if old.endswith(NOTEBOOK):
            if not new.endswith(NOTEBOOK):
                raise HTTPError(400, 'the names of notebooks end with %s' % NOTEBOOK)
            om('rename', '--', old, new)
            return
        for name in jobs(old):
            om('rename', '--', name, new + name[len(old):])


LabApp.serverapp_config = {**LabApp.serverapp_config, 'contents_manager_class': Jobs,
                           'default_url': os.environ.get('JY_DEFAULT_URL') or '/lab'}
if os.environ.get('JUPYTER_PASSWORD'):
    # A hash, as omega|ml's containers give it.
    LabApp.serverapp_config['password'] = os.environ['JUPYTER_PASSWORD']
LabApp.launch_instance(argv=sys.argv[1:])
