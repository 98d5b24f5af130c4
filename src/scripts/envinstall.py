"""Lists, installs and removes packages of the Python that a worker runs.

Called as a script of omega|ml or om, by clients of both (spec/cli.md §6).
"""
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile


def run(om, *args, action='install', package=None, requirements=None, format=None, **kwargs):
    """The output of pip, or of uv where there is no pip; RuntimeError with it when it failed."""
    if args:
        action, package = args[0], list(args[1:]) or package
    packages = [package] if isinstance(package, str) else list(package or [])
    reading = action in ('list', 'freeze')
    lines = '' if reading else stored(om, requirements)
    if not reading and not packages and not lines.strip():
        raise ValueError(f'{action} needs packages, or a requirements file')
    # One at a time on a machine, whichever process runs it.
    with open(os.path.join(tempfile.gettempdir(), f'om-envinstall-{os.getuid()}.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
            file.write(lines)
            file.flush()
            given = packages + (['-r', file.name] if lines.strip() else [])
            return said(installer() + words(action, format) + given)


def stored(om, name):
    """The text of a requirements file among the scripts; none unless it is there or named."""
    try:
        content = om.scripts.get(name or '.system/requirements.txt')
    except RuntimeError:  # om's own client; Python omega|ml answers None
        content = None
    if content is None:
        if name:
            raise ValueError(f'there is no requirements file {name}')
        return ''
    content = content.read() if hasattr(content, 'read') else content
    return content.decode() if isinstance(content, bytes) else content


def installer():
    if importlib.util.find_spec('pip'):
        return [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--no-input']
    uv = shutil.which('uv')
    if not uv:
        raise RuntimeError(f'{sys.executable} has no pip, and there is no uv')
    return [uv, 'pip']


def words(action, format):
    by_uv = not importlib.util.find_spec('pip')
    python = ['--python', sys.executable] if by_uv else []
    if action == 'install':
        return ['install', *python, '--upgrade']
    if action == 'uninstall':
        return ['uninstall', *python, *([] if by_uv else ['-y'])]
    return [action, *python, *(['--format', format] if format else [])]


def said(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output = done.stdout.strip()
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or output or f'{command[0]} failed').replace('ERROR: ', ''))
    notes = done.stderr.strip()
    return output if '--format' in command or not notes else f'{output}\n{notes}'.strip()
