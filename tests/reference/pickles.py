"""Pickles for the reader and the writer of src/runtime/celery, and the judge of what it wrote.

    pickles.py make     a line a pickle: name, protocol, pickle, repr, whether bytes must match
    pickles.py check    reads lines of name and pickle; fails unless each equals its original
"""

import collections
import datetime as dt
import decimal
import pickle
import sys
import uuid

import numpy as np

UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
shared = [1, 2]
# module and class of a datetime are equal texts that CPython writes twice
INEXACT = {"datetime"}
# values whose repr, and whose protocol 4 bytes, must be the same on both sides
PLAIN = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 1, -1, 255, 256, 65535, 65536, -32768, 2**31 - 1, -(2**31), 2**31, 2**32,
             2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 10**80, -(10**80), 127, 128, -128, -129,
             2**39, -(2**39), 2**47, -(2**55)],
    "floats": [0.0, -0.0, 1.0, 0.1, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 5e-324,
               1.7976931348623157e308, float("inf"), float("-inf"), 2.5, 1e22, 100.0],
    "text": ["", "a", "it's", 'say "x"', "both ' and \"", "naïve ☃ 😀", "tab\tnl\ncr\r\\", "\x00\x7f\x85\u200b\ufeff",
             "x" * 255, "y" * 256],
    "bytes": [b"", b"abc\x00\xff'", b"z" * 255, b"z" * 256],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((),))],
    "dict": {"a": 1, 2: "b", None: [], (1, "x"): {"n": {}}, True is None: 0.5},
    "one": {"k": [1]},
    "shared": [shared, shared, (shared, "text", "text")],
    "list of 1000": list(range(1000)),
    "list of 1001": list(range(1001)),
    "list of 2000": list(range(2000)),
    "dict of 1000": {n: n for n in range(1000)},
    "dict of 1001": {n: None for n in range(1001)},
    "dict of 2000": {n: None for n in range(2000)},
    "frames": [{"number": n, "half": n / 2, "name": "row %d" % n} for n in range(9000)],
    "large text": ["before", "é" * 70000, "after", b"b" * 65536, "c" * 65535, b"d" * 65535, "end"],
    "many memos": [["m%d" % n] for n in range(300)] * 2,
    "small set": {1},
    "frozen": frozenset([7]),
    "no set": set(),
    "exception": ValueError("bad", 1),
    "datetime": [dt.datetime(2026, 11, 23, 14, 5, 44), dt.datetime(2026, 1, 2, 3, 4, 5, 6),
                 dt.datetime(2026, 1, 2, tzinfo=UTC), dt.date(2026, 2, 28),
                 dt.datetime(2026, 1, 2, 3, 4, tzinfo=EAST), dt.timedelta(days=1, seconds=5)],
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "counter": collections.Counter({"omega": 3}),
}
# values that must come back equal
OBJECTS = {
    "bytearray": [bytearray(b""), bytearray(b"abc")],
    "sets": [{1, 2, 3}, {"a", "b"}, frozenset(range(20))],
    "array f8": np.arange(6.0).reshape(2, 3),
    "array fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "array i4": np.arange(5, dtype="i4"),
    "array u1": np.arange(5, dtype="u1"),
    "array bool": np.array([True, False]),
    "array text": np.array(["a", "äöü", ""]),
    "array f2": np.array([1.5, -2.0], dtype="f2"),
    "array big-endian": np.array([1.5, -2.0], dtype=">f8"),
    "array days": np.array(["2026-01-02", "NaT"], dtype="M8[ns]"),
    "array objects": np.array(["x", None, 1], dtype=object),
    "array 0-d": np.array(2.5),
    "array strided": np.arange(10.0)[::2],
    "scalars": [np.float64(1.5), np.int64(7), np.bool_(True), np.float32(0.5)],
    "uuid": uuid.UUID("851a6257-5332-4720-a5fb-eab7da904357"),
    "decimal": decimal.Decimal("1.50"),
    "deque": collections.deque([1, 2], maxlen=5),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "errors": [KeyError("k"), FileNotFoundError(2, "No such file", "x"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")],
    "complex": 1 + 2j,
}
EVERYTHING = {**PLAIN, **OBJECTS}


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):  # numpy itself swaps bytes on reading
        kind = "O" not in one.dtype.str and one.dtype.kind in "fcmM"
        return one.dtype.newbyteorder("=") == other.dtype.newbyteorder("=") and one.shape == other.shape and np.array_equal(one, other, equal_nan=kind)
    if isinstance(one, BaseException):
        return same(one.args, other.args) and str(one) == str(other)
    return one == other and repr(one) == repr(other) if not isinstance(one, (set, frozenset)) else one == other


def make():
    for name, value in EVERYTHING.items():
        plain = name in PLAIN
        for protocol in range(6):
            data = pickle.dumps(value, protocol)
            text = repr(value) if plain and name != "ordered" else ""  # differs by version
            print("\t".join([name, str(protocol), data.hex(), text.encode().hex(), str(int(plain and protocol == 4 and name not in INEXACT))]))


def check():
    count = 0
    for line in sys.stdin:
        name, data = line.rstrip("\n").split("\t")
        value = pickle.loads(bytes.fromhex(data))
        assert same(EVERYTHING[name], value), (name, EVERYTHING[name], value)
        count += 1
    print(count)


{"make": make, "check": check}[sys.argv[1]]()
