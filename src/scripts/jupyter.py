"""Jupyter Lab with the stored notebooks as its files."""
import os
import sys

try:
    import omegaml
except ImportError:
    sys.exit('om shell jupyter needs Python omega|ml: %s -m pip install omegaml' % sys.executable)
try:
    import jupyterlab
except ImportError:
    sys.exit('om shell jupyter needs Jupyter Lab: %s -m pip install jupyterlab' % sys.executable)
config = os.path.join(os.path.dirname(omegaml.__file__), 'notebook', 'jupyter', 'jupyter_server_config.py')
os.execv(sys.executable, [sys.executable, '-m', 'jupyter', 'lab', '--config', config, *sys.argv[1:]])
