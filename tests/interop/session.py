"""Runs Python omega|ml for tests: one JSON command a line, one JSON answer a line.

    {"database": "mongodb://..."}    -> {"value": null}, `om` and `db` are those of the URL
    {"eval": "om.datasets.list()"}   -> {"value": [...]}
    {"exec": "x = 1"}                -> {"value": null}
    whatever fails                   -> {"error": "ValueError: ..."}

Tables come as columns, pandas' types, the index and rows; what JSON lacks as text.
"""
import datetime
import io
import json
import math
import os
import shutil
import sys
import warnings

answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # whatever is printed is no answer
warnings.simplefilter('ignore')

import numpy as np
import pandas as pd
import omegaml
from bson import Decimal128, ObjectId


def plain(value):
    """The value in JSON, keeping apart what Python keeps apart."""
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (str, np.str_)):
        return str(value)
    if isinstance(value, pd.DataFrame):
        return {
            'columns': [plain(c) for c in value.columns],
            'dtypes': [str(t) for t in value.dtypes],
            'index': {'names': [plain(n) for n in value.index.names],
                      'values': [plain(v) for v in value.index]},
            'rows': [[plain(v) for v in row] for row in value.itertuples(index=False, name=None)],
        }
    if isinstance(value, pd.Series):
        return dict(plain(value.to_frame('value')), name=plain(value.name))
    if isinstance(value, np.ndarray):
        return {'dtype': str(value.dtype), 'shape': list(value.shape),
                'fortran': bool(value.flags.f_contiguous and not value.flags.c_contiguous),
                'values': [plain(v) for v in value.ravel()]}
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, io.IOBase) or hasattr(value, 'read'):
        return value.read().hex()
    if isinstance(value, (ObjectId, Decimal128)):
        return str(value)
    return repr(value)


def same(got, expected, index=True):
    """'same', or how two tables differ."""
    compare = pd.testing.assert_series_equal if isinstance(expected, pd.Series) \
        else pd.testing.assert_frame_equal
    options = {'check_freq': False}
    if not isinstance(index, bool) or index is False:
        got, expected = got.reset_index(drop=True), expected.reset_index(drop=True)
    try:
        compare(got, expected, **options)
    except AssertionError as difference:
        return f'{difference}\ngot\n{got}\nexpected\n{expected}'
    return 'same'


scope = dict(globals())


def handle(command):
    if 'database' in command:
        scope['om'] = omegaml.Omega(mongo_url=command['database'])
        scope['db'] = scope['om'].datasets.mongodb
        return None
    if 'exec' in command:
        exec(command['exec'], scope)
        return None
    return plain(eval(command['eval'], scope))


for line in sys.stdin:
    try:
        answer = {'value': handle(json.loads(line))}
    except Exception as error:
        answer = {'error': f'{type(error).__name__}: {error}'}
    answers.write(json.dumps(answer) + '\n')
    answers.flush()

shutil.rmtree(os.environ['OMEGA_TMP'], ignore_errors=True)
