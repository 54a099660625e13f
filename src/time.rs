//! Points in time: UTC, to the millisecond, written as RFC 3339.

mod calendar;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

pub use calendar::{Calendar, InvalidDate};

/// A point in time in milliseconds since the Unix epoch, between the years 1 and 9999.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The error for a text that is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a point in time; write for example 2026-03-01T12:00:00Z or 2026-03-01")]
pub struct InvalidTime {
    /// The text, quoted.
    pub value: String,
}

impl Timestamp {
    /// Makes a timestamp from milliseconds since the epoch, clamped to the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_135_596_800_000, 253_402_300_799_999))
    }

    /// Makes a timestamp from whole seconds since the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Returns the milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the start of the day, in UTC.
    pub const fn day(self) -> Self {
        Self(self.0.div_euclid(86_400_000) * 86_400_000)
    }

    /// Returns the time that is later by a number of milliseconds, or earlier for a negative number.
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Parses an HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Returns `None` if the text is not a date.
    pub fn from_http_date(s: &str) -> Option<Self> {
        let read = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(s);
        read.ok().map(|t| Self::from_millis(t.as_millisecond()))
    }

    /// Parses the inclusive end of a period. A time without fractions of a second means the last millisecond of that
    /// second.
    ///
    /// # Errors
    /// Returns [`InvalidTime`] if the text is not a point in time.
    pub fn parse_end(s: &str) -> Result<Self, InvalidTime> {
        let time: Self = s.parse()?;
        Ok(if s.contains('.') { time } else { time.plus_millis(999) })
    }

    /// Returns the time for messages, such as `2026-03-01 12:00Z`; the `Z` stands for UTC.
    pub fn short(self) -> String {
        let text = self.to_string();
        format!("{}Z", text.get(..16).unwrap_or(&text).replace('T', " "))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{t:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    /// Parses RFC 3339 with any offset, or a date or a date and time in UTC.
    fn from_str(s: &str) -> Result<Self, InvalidTime> {
        let utc = |d: jiff::civil::DateTime| d.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
        let instant = s
            .parse::<jiff::Timestamp>()
            .or_else(|_| s.parse::<jiff::civil::DateTime>().and_then(utc))
            .or_else(|_| s.parse::<jiff::civil::Date>().and_then(|d| utc(d.at(0, 0, 0, 0))));
        match instant {
            Ok(t) => Ok(Self::from_millis(t.as_millisecond())),
            Err(_) => Err(InvalidTime { value: crate::text::quoted(s) }),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A point in time as a TOML date-time with offset, in UTC to the millisecond: 2026-03-01T12:00:00.000Z.",
            "type": "string",
            "format": "date-time"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_one_way_and_read_in_several() {
        for (given, want) in [
            ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500Z"),
            ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000Z"),
            ("2026-03-01", "2026-03-01T00:00:00.000Z"),
            ("2026-03-01T08:30", "2026-03-01T08:30:00.000Z"),
            ("2026-03-01 08:30:01", "2026-03-01T08:30:01.000Z"),
        ] {
            assert_eq!(given.parse::<Timestamp>().map(|t| t.to_string()), Ok(want.to_owned()), "{given}");
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
        for (given, end) in [("2026-03-01T12:00:00Z", "12:00:00.999Z"), ("2026-03-01T12:00:00.000Z", "12:00:00.000Z")] {
            assert!(Timestamp::parse_end(given).is_ok_and(|t| t.to_string().ends_with(end)), "{given}");
        }
    }
}
