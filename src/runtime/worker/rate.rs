//! Rate limits of tasks, in Celery's words: `10/s`, `100/m`, `1000/h`; 0 for none.

use crate::error::{Error, Result};
use crate::runtime::celery::pickle::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The limits of a worker's tasks, by their names.
#[derive(Default)]
pub(super) struct Rates(Mutex<HashMap<String, Rate>>);

struct Rate {
    /// The time of one task.
    each: Duration,
    /// When the next one may start.
    next: Instant,
}

impl Rates {
    /// Limits the tasks of a name, or ends its limit.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for what is no rate.
    pub fn set(&self, task: &str, rate: &Value) -> Result<()> {
        let each = parse(rate)?;
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match each {
            Some(each) => drop(rates.insert(
                task.to_owned(),
                Rate {
                    each,
                    next: Instant::now(),
                },
            )),
            None => drop(rates.remove(task)),
        }
        Ok(())
    }

    /// How long a task of this name has to wait; it has its turn then.
    pub fn wait(&self, task: &str) -> Duration {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = rates.get_mut(task) else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let turn = rate.next.max(now);
        rate.next = turn + rate.each;
        turn - now
    }
}

/// The time of one task; none for no limit.
fn parse(rate: &Value) -> Result<Option<Duration>> {
    let wrong = || {
        Error::usage(
            "a rate limit is a number of tasks a second, such as 10, 10/s, 100/m or 1000/h",
        )
    };
    let text = match rate {
        Value::None => return Ok(None),
        Value::Str(text) => text.to_string(),
        number => number.as_f64().ok_or_else(wrong)?.to_string(),
    };
    let (count, seconds) = match text.trim().split_once('/') {
        None => (text.trim(), 1.0),
        Some((count, "s")) => (count, 1.0),
        Some((count, "m")) => (count, 60.0),
        Some((count, "h")) => (count, 3600.0),
        Some(_) => return Err(wrong()),
    };
    let count: f64 = count.trim().parse().map_err(|_| wrong())?;
    match count {
        0.0 => Ok(None),
        count if count > 0.0 => Duration::try_from_secs_f64(seconds / count)
            .map(Some)
            .map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_celerys() {
        let each = |text: &str| parse(&Value::from(text)).unwrap();
        assert_eq!(each("10/s"), Some(Duration::from_millis(100)));
        assert_eq!(each("10/m"), Some(Duration::from_secs(6)));
        assert_eq!(each("1/h"), Some(Duration::from_secs(3600)));
        assert_eq!(
            parse(&Value::Int(4)).unwrap(),
            Some(Duration::from_millis(250))
        );
        assert_eq!(each("0"), None);
        for wrong in ["x", "-1", "1/d", "", "nan"] {
            assert!(parse(&Value::from(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tasks_wait_for_their_turn() {
        let rates = Rates::default();
        assert_eq!(rates.wait("a"), Duration::ZERO);
        rates.set("a", &Value::from("1/h")).unwrap();
        assert_eq!(rates.wait("a"), Duration::ZERO);
        assert!(rates.wait("a") > Duration::from_secs(3500));
        assert_eq!(rates.wait("b"), Duration::ZERO);
        rates.set("a", &Value::Int(0)).unwrap();
        assert_eq!(rates.wait("a"), Duration::ZERO);
    }
}
