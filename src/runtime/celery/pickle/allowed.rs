//! The classes and functions that a message may name. Everything else is refused before
//! anything is made of it.

use super::value::Global;
use crate::error::{Error, Result};

/// Names by module, in omega|ml's messages (spec/runtime.md §3 to §5, §12) and in what
/// models and scripts answer with.
const ALLOWED: &[(&str, &[&str])] = &[
    ("_codecs", &["encode"]),
    (
        "billiard.einfo",
        &["ExceptionInfo", "ExceptionWithTraceback", "Traceback"],
    ),
    (
        "billiard.exceptions",
        &[
            "RestartFreqExceeded",
            "SoftTimeLimitExceeded",
            "Terminated",
            "TimeLimitExceeded",
            "WorkerLostError",
        ],
    ),
    ("bson.objectid", &["ObjectId"]),
    (
        "builtins",
        &[
            "bool",
            "bytearray",
            "bytes",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "object",
            "range",
            "set",
            "slice",
            "str",
            "tuple",
            "ArithmeticError",
            "AssertionError",
            "AttributeError",
            "BaseException",
            "BaseExceptionGroup",
            "BlockingIOError",
            "BrokenPipeError",
            "BufferError",
            "BytesWarning",
            "ChildProcessError",
            "ConnectionAbortedError",
            "ConnectionError",
            "ConnectionRefusedError",
            "ConnectionResetError",
            "DeprecationWarning",
            "EOFError",
            "EncodingWarning",
            "Exception",
            "ExceptionGroup",
            "FileExistsError",
            "FileNotFoundError",
            "FloatingPointError",
            "FutureWarning",
            "GeneratorExit",
            "ImportError",
            "ImportWarning",
            "IndentationError",
            "IndexError",
            "InterruptedError",
            "IsADirectoryError",
            "KeyError",
            "KeyboardInterrupt",
            "LookupError",
            "MemoryError",
            "ModuleNotFoundError",
            "NameError",
            "NotADirectoryError",
            "NotImplementedError",
            "OSError",
            "OverflowError",
            "PendingDeprecationWarning",
            "PermissionError",
            "ProcessLookupError",
            "RecursionError",
            "ReferenceError",
            "ResourceWarning",
            "RuntimeError",
            "RuntimeWarning",
            "StopAsyncIteration",
            "StopIteration",
            "SyntaxError",
            "SyntaxWarning",
            "SystemError",
            "SystemExit",
            "TabError",
            "TimeoutError",
            "TypeError",
            "UnboundLocalError",
            "UnicodeDecodeError",
            "UnicodeEncodeError",
            "UnicodeError",
            "UnicodeTranslateError",
            "UnicodeWarning",
            "UserWarning",
            "ValueError",
            "Warning",
            "ZeroDivisionError",
        ],
    ),
    (
        "celery.canvas",
        &[
            "Signature",
            "_basemap",
            "_chain",
            "_chord",
            "chain",
            "chord",
            "chunks",
            "group",
            "signature",
            "xmap",
            "xstarmap",
        ],
    ),
    (
        "celery.exceptions",
        &[
            "AlreadyRegistered",
            "BackendError",
            "BackendGetMetaError",
            "BackendStoreError",
            "CeleryError",
            "ChordError",
            "Ignore",
            "ImproperlyConfigured",
            "IncompleteStream",
            "InvalidTaskError",
            "MaxRetriesExceededError",
            "NotRegistered",
            "OperationalError",
            "QueueNotFound",
            "Reject",
            "Retry",
            "SecurityError",
            "SoftTimeLimitExceeded",
            "TaskError",
            "TaskPredicate",
            "TaskRevokedError",
            "Terminated",
            "TimeLimitExceeded",
            "TimeoutError",
            "WorkerLostError",
            "WorkerShutdown",
            "WorkerTerminate",
        ],
    ),
    ("celery.result", &["result_from_tuple"]),
    (
        "celery.utils.serialization",
        &["UnpickleableExceptionWrapper"],
    ),
    (
        "collections",
        &["Counter", "OrderedDict", "defaultdict", "deque"],
    ),
    (
        "copyreg",
        &["__newobj__", "__newobj_ex__", "_reconstructor"],
    ),
    (
        "datetime",
        &["date", "datetime", "time", "timedelta", "timezone"],
    ),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("json.decoder", &["JSONDecodeError"]),
    (
        "kombu.exceptions",
        &[
            "ConnectionError",
            "ContentDisallowed",
            "DecodeError",
            "EncodeError",
            "KombuError",
            "LimitExceeded",
            "OperationalError",
            "SerializationError",
        ],
    ),
    ("kombu.utils.json", &["JSONEncoder"]),
    (
        "mongoengine.errors",
        &[
            "DoesNotExist",
            "FieldDoesNotExist",
            "InvalidDocumentError",
            "InvalidQueryError",
            "LookUpError",
            "MultipleObjectsReturned",
            "NotUniqueError",
            "OperationError",
            "ValidationError",
        ],
    ),
    ("numpy", &["dtype", "ndarray", "bool_", "float64", "int64"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    (
        "numpy.exceptions",
        &["AxisError", "DTypePromotionError", "TooHardError"],
    ),
    ("numpy.linalg", &["LinAlgError"]),
    ("omegaml.mixins.store.passthrough", &["PassthroughDataset"]),
    ("pandas", &["DataFrame", "Index", "RangeIndex", "Series"]),
    ("pandas._libs.arrays", &["__pyx_unpickle_NDArrayBacked"]),
    ("pandas._libs.internals", &["_unpickle_block"]),
    ("pandas._libs.missing", &["NA", "NAType"]),
    ("pandas._libs.tslibs.nattype", &["__nat_unpickle"]),
    (
        "pandas._libs.tslibs.timedeltas",
        &["Timedelta", "_timedelta_unpickle"],
    ),
    (
        "pandas._libs.tslibs.timestamps",
        &["Timestamp", "_unpickle_timestamp"],
    ),
    ("pandas._libs.tslibs.offsets", &["Day"]),
    ("pandas.core.arrays.boolean", &["BooleanArray"]),
    ("pandas.core.arrays.categorical", &["Categorical"]),
    (
        "pandas.core.arrays.floating",
        &["FloatingArray", "Float64Dtype"],
    ),
    (
        "pandas.core.arrays.integer",
        &["Int64Dtype", "IntegerArray"],
    ),
    (
        "pandas.core.arrays.string_",
        &["StringArray", "StringDtype"],
    ),
    (
        "pandas.core.dtypes.dtypes",
        &["CategoricalDtype", "DatetimeTZDtype"],
    ),
    ("pandas.core.arrays.datetimes", &["DatetimeArray"]),
    ("pandas.core.arrays.timedeltas", &["TimedeltaArray"]),
    ("pandas.core.frame", &["DataFrame"]),
    ("pandas.core.indexes.base", &["Index", "_new_Index"]),
    (
        "pandas.core.indexes.datetimes",
        &["DatetimeIndex", "_new_DatetimeIndex"],
    ),
    ("pandas.core.indexes.range", &["RangeIndex"]),
    ("pandas.core.internals.blocks", &["new_block"]),
    (
        "pandas.core.internals.managers",
        &["BlockManager", "SingleBlockManager"],
    ),
    ("pandas.core.series", &["Series"]),
    (
        "pandas.errors",
        &[
            "EmptyDataError",
            "MergeError",
            "ParserError",
            "UndefinedVariableError",
        ],
    ),
    (
        "pymongo.errors",
        &[
            "AutoReconnect",
            "BulkWriteError",
            "ConfigurationError",
            "ConnectionFailure",
            "DocumentTooLarge",
            "DuplicateKeyError",
            "ExecutionTimeout",
            "InvalidOperation",
            "NetworkTimeout",
            "NotPrimaryError",
            "OperationFailure",
            "PyMongoError",
            "ServerSelectionTimeoutError",
            "WTimeoutError",
            "WriteError",
        ],
    ),
    (
        "requests.exceptions",
        &["ConnectionError", "HTTPError", "RequestException"],
    ),
    ("sklearn.exceptions", &["NotFittedError"]),
    ("uuid", &["SafeUUID", "UUID"]),
];

/// Modules that Python 2 called otherwise; protocols 0 to 2 keep the old names.
const RENAMED: &[(&str, &str)] = &[
    ("__builtin__", "builtins"),
    ("copy_reg", "copyreg"),
    ("exceptions", "builtins"),
];

/// The name as today's Python has it.
pub(super) fn current(module: &str, name: &str) -> Global {
    let renamed = RENAMED.iter().find(|(old, _)| *old == module);
    Global::new(renamed.map_or(module, |(_, new)| new), name)
}

/// Lets the name in.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] that names it.
pub(super) fn check(global: &Global) -> Result<()> {
    if is_allowed(&global.module, &global.name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} is not allowed in a message",
        shown(global)
    )))
}

/// Whether messages may name `module.name`.
pub fn is_allowed(module: &str, name: &str) -> bool {
    let known = ALLOWED.iter().find(|(known, _)| *known == module);
    known.is_some_and(|(_, names)| names.contains(&name))
}

/// The name in a line of text; it comes from outside and may be anything.
fn shown(global: &Global) -> String {
    let text: String = global
        .to_string()
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    text
}
