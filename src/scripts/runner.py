"""Runs a script of om: imports its module and calls run(om, *args, **kwargs)."""
import importlib
import json
import os
import sys

call = json.load(sys.stdin)
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # whatever is printed is no answer
sys.path.insert(0, call['path'])


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
