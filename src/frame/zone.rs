//! Local times in named time zones.

use chrono::TimeZone as _;
use polars::prelude::TimeZone;

/// Turns local seconds since 1970 into UTC; none for a time that the clocks left out.
/// Of a time that comes twice, the first is meant.
pub(crate) type LocalToUtc = Box<dyn Fn(i64) -> Option<i64> + Send + Sync>;

/// The conversion for a zone; none if the zone is not known.
pub(crate) fn local_to_utc(zone: &TimeZone) -> Option<LocalToUtc> {
    if *zone == TimeZone::UTC {
        return Some(Box::new(Some));
    }
    let zone = zone.to_chrono().ok()?;
    Some(Box::new(move |seconds| {
        let local = chrono::DateTime::from_timestamp(seconds, 0)?.naive_utc();
        zone.from_local_datetime(&local)
            .earliest()
            .map(|time| time.timestamp())
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn summer_and_winter() {
        let zurich = TimeZone::opt_try_new(Some("Europe/Zurich"))
            .unwrap()
            .unwrap();
        let to_utc = local_to_utc(&zurich).unwrap();
        // 2024-01-01T12:00 and 2024-07-01T12:00.
        for (local, hours) in [(1_704_110_400, 1), (1_719_835_200, 2)] {
            assert_eq!(to_utc(local), Some(local - hours * 3_600));
        }
        // 2024-03-31T02:30 did not exist.
        assert_eq!(to_utc(1_711_852_200), None);
    }
}
