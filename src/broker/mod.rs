//! How tasks, replies, commands and events travel. A broker knows messages and queues; it
//! knows nothing of tasks, of Celery's bodies or of stores (spec/runtime.md §2, §12).

mod message;

pub use message::{Message, Properties};
