//! Points in time as people and git write them: `yesterday`, `7d`, `1 week ago`, `2026-03-01 09:00`.
//!
//! The rules are those of git's dates where git has a rule: a date without an offset is in the local time zone, a
//! duration counts back from now, `yesterday` is the current time on the previous day, and a weekday is the last such
//! day before today. Ambiguous texts are refused.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

use super::Timestamp;
use crate::text::quoted;

/// The longest text that is read as a date, in bytes.
const LONGEST: usize = 64;

/// The error for a text that is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a date; write for example 2026-03-01, '2026-03-01 09:00', yesterday, 7d or '1 week ago'")]
pub struct InvalidDate {
    /// The text, quoted.
    pub value: String,
}

/// The current time, and the time zone of dates without an offset and of displayed times.
#[derive(Debug, Clone)]
pub struct Calendar {
    now: Timestamp,
    zone: TimeZone,
}

impl Calendar {
    /// Makes a calendar for a time zone, with the current time `now`.
    pub const fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self { now, zone }
    }

    /// Makes a calendar in UTC, with the current time `now`.
    pub const fn utc(now: Timestamp) -> Self {
        Self::new(now, TimeZone::UTC)
    }

    /// The same moment in UTC.
    #[must_use]
    pub const fn in_utc(&self) -> Self {
        Self::utc(self.now)
    }

    /// Reads a point in time: RFC 3339 and RFC 2822, a date or a date and time of this time zone, `@SECONDS` since the
    /// epoch, `now`, `today` (its first moment), `yesterday` and `tomorrow`, a weekday, a length of time (`7d`,
    /// `2 hours`), with or without `ago`.
    ///
    /// # Errors
    /// Returns [`InvalidDate`] if the text has none of these forms.
    pub fn read(&self, text: &str) -> Result<Timestamp, InvalidDate> {
        let invalid = || InvalidDate { value: quoted(text) };
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.len() > LONGEST {
            return Err(invalid());
        }
        absolute(trimmed, &self.zone).or_else(|| self.relative(trimmed)).ok_or_else(invalid)
    }

    /// Parses the inclusive end of a period. A date and time without fractions of a second means the last millisecond
    /// of that second.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`].
    pub fn read_end(&self, text: &str) -> Result<Timestamp, InvalidDate> {
        let time = self.read(text)?;
        let is_whole = !text.contains('.') && absolute(text.trim(), &self.zone).is_some();
        Ok(if is_whole { time.plus_millis(999) } else { time })
    }

    /// Parses a future point in time like [`Self::read`], except that a duration (`90d`, `2w`) counts forward from now.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`].
    pub fn read_ahead(&self, text: &str) -> Result<Timestamp, InvalidDate> {
        let ahead = span(text.trim()).and_then(|length| self.local(self.now).checked_add(length).ok());
        ahead.map_or_else(|| self.read(text), |z| Ok(Timestamp::from_millis(z.timestamp().as_millisecond())))
    }

    /// Returns the first moments of the first and the last day of a text that names whole days: a date, `yesterday`,
    /// `today`, `tomorrow`, or a month. `None` for a text that names a point in time or a duration.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read_ahead`].
    pub fn days(&self, text: &str) -> Result<Option<(Timestamp, Timestamp)>, InvalidDate> {
        let time = self.read_ahead(text)?;
        let first = match date(text.trim()) {
            Some(NamedDays::Day(day) | NamedDays::Month(day)) => day,
            None if ["yesterday", "today", "tomorrow"].iter().any(|day| text.trim().eq_ignore_ascii_case(day)) => {
                self.local(time).date()
            }
            None => return Ok(None),
        };
        let last = match date(text.trim()) {
            Some(NamedDays::Month(month)) => month.last_of_month(),
            Some(NamedDays::Day(_)) | None => first,
        };
        let start = |day: Date| {
            let midnight = day.to_datetime(Time::midnight()).to_zoned(self.zone.clone());
            let invalid = |_| InvalidDate { value: quoted(text) };
            midnight.map_err(invalid).map(|z| Timestamp::from_millis(z.timestamp().as_millisecond()))
        };
        Ok(Some((start(first)?, start(last)?)))
    }

    /// Returns whether a point in time is in the future.
    pub fn is_ahead(&self, time: Timestamp) -> bool {
        time > self.now
    }

    /// Returns whether a text could also be the start of a commit id, such as the duration `1000d`.
    pub fn is_like_an_id(text: &str) -> bool {
        text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// Returns a time in this time zone for display, such as `2026-03-01 12:00+01:00`; `Z` stands for UTC.
    pub fn show(&self, at: Timestamp) -> String {
        let local = self.local(at);
        let offset = local.offset().seconds();
        let zone = match offset {
            0 => "Z".to_owned(),
            _ => {
                let minutes = offset.unsigned_abs() / 60;
                format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
        };
        format!("{}{zone}", local.strftime("%Y-%m-%d %H:%M"))
    }

    fn local(&self, at: Timestamp) -> Zoned {
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_zoned(self.zone.clone())
    }

    fn relative(&self, text: &str) -> Option<Timestamp> {
        let now = self.local(self.now);
        // git accepts `2.weeks.ago`, which needs no quotes in a shell.
        let text = text.replace(['.', '_'], " ").to_ascii_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let days = |n: i64| now.checked_add(Span::new().try_days(n).ok()?).ok();
        let found = match words.as_slice() {
            ["now"] => Some(now.clone()),
            ["today" | "midnight"] => now.start_of_day().ok(),
            ["noon"] => now.with().time(Time::constant(12, 0, 0, 0)).build().ok(),
            [clock] if clock.contains(':') => now.with().time(time_of_day(clock)?).build().ok(),
            ["yesterday"] => days(-1),
            ["tomorrow"] => days(1),
            ["last", unit @ ("week" | "month" | "year")] => now.checked_sub(span(&format!("1 {unit}"))?).ok(),
            ["last", day] => last(&now, weekday(day)?),
            [day] if weekday(day).is_some() => last(&now, weekday(day)?),
            [..] => {
                let length = text.strip_suffix("ago").unwrap_or(&text);
                let length = length
                    .strip_prefix("an ")
                    .or_else(|| length.strip_prefix("a "))
                    .map_or_else(|| length.trim().to_owned(), |unit| format!("1 {}", unit.trim()));
                now.checked_sub(span(&length)?).ok()
            }
        };
        found.map(|z| Timestamp::from_millis(z.timestamp().as_millisecond()))
    }
}

/// Parses a time of day such as `9:30` or `09:30:15`.
fn time_of_day(text: &str) -> Option<Time> {
    ["%H:%M:%S", "%H:%M"].into_iter().find_map(|form| Time::strptime(form, text).ok())
}

/// Returns the last such weekday before today, at the current time of day.
fn last(now: &Zoned, day: Weekday) -> Option<Zoned> {
    now.nth_weekday(-1, day).ok()
}

fn weekday(word: &str) -> Option<Weekday> {
    let all = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    all.into_iter().find(|(name, _)| *name == word || name.get(..3) == Some(word)).map(|(_, day)| day)
}

/// Parses a duration such as `7d` or `1 week 2 days`. Signs are refused, because a negative duration would count
/// forward.
fn span(text: &str) -> Option<Span> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
    // A number without a unit could be a year, a day or an entry of git's reflog.
    let unit = text.bytes().any(|b| b.is_ascii_alphabetic());
    let span: Span = text.parse().ok().filter(|_| plain && unit)?;
    (!span.is_negative()).then_some(span)
}

/// Parses a point in time that does not depend on the current time.
fn absolute(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let millis = |t: jiff::Timestamp| Timestamp::from_millis(t.as_millisecond());
    let local = |d: DateTime| d.to_zoned(zone.clone()).ok().map(|z| millis(z.timestamp()));
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse::<i64>().ok().map(Timestamp::from_seconds);
    }
    // Digits alone could be a date, seconds or a commit id.
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(millis(t));
    }
    if let Ok(t) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(millis(t));
    }
    // git's ISO form, `2026-03-01 12:00:00 +0100`, and its default, `Sun Mar 1 12:00:00 2026 +0100`.
    for form in ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M %z", "%a %b %d %H:%M:%S %Y %z"] {
        if let Ok(t) = jiff::Timestamp::strptime(form, text) {
            return Some(millis(t));
        }
    }
    if let Some(utc) = [" UTC", " GMT", " Z"].into_iter().find_map(|zone| text.strip_suffix(zone)) {
        return absolute(utc, &TimeZone::UTC);
    }
    if let Ok(d) = text.parse::<DateTime>() {
        return local(d);
    }
    for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
        if let Ok(d) = DateTime::strptime(form, text) {
            return local(d);
        }
    }
    // A day and a month mean their first moment.
    date(text).and_then(|(NamedDays::Day(d) | NamedDays::Month(d))| local(d.to_datetime(Time::midnight())))
}

/// A day, or the first day of a month.
enum NamedDays {
    Day(Date),
    Month(Date),
}

/// Parses a date without a time of day.
fn date(text: &str) -> Option<NamedDays> {
    let is_month = text.len() == 7 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if is_month && let Ok(d) = Date::strptime("%Y-%m-%d", format!("{text}-01")) {
        return Some(NamedDays::Month(d));
    }
    let forms = ["%Y-%m-%d", "%Y/%m/%d", "%b %d %Y", "%d %b %Y", "%B %d %Y", "%d %B %Y"];
    forms.into_iter().find_map(|form| Date::strptime(form, text).ok()).map(NamedDays::Day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a calendar at Sunday, 1 March 2026, 12:00 UTC, in UTC or in a zone with an offset in hours.
    fn calendar(zone: &str) -> Calendar {
        let zone = match zone {
            "UTC" => TimeZone::UTC,
            hours => TimeZone::fixed(jiff::tz::offset(hours.parse().expect("hours"))),
        };
        Calendar::new("2026-03-01T12:00:00Z".parse().expect("a time"), zone)
    }

    #[test]
    fn a_text_names_whole_days_or_a_point_in_time() {
        for (text, want) in [
            ("2026-12-20", Some("2026-12-20 2026-12-20")),
            ("20 Dec 2026", Some("2026-12-20 2026-12-20")),
            ("2026-02", Some("2026-02-01 2026-02-28")),
            ("2026-12", Some("2026-12-01 2026-12-31")),
            ("Tomorrow", Some("2026-03-02 2026-03-02")),
            ("2026-12-20T00:00:00Z", None),
            ("2026-12-20 00:00", None),
            ("@0", None),
            ("2w", None),
            ("now", None),
        ] {
            let days = calendar("UTC").days(text).expect("a date");
            let shown = days.map(|(first, last)| [first, last].map(|t| t.to_string()[..10].to_owned()).join(" "));
            assert_eq!(shown.as_deref(), want, "{text}");
        }
        assert!(calendar("UTC").days("soon").is_err());
    }

    fn read(text: &str) -> Option<String> {
        calendar("UTC").read(text).ok().map(|t| t.to_string().replace(":00.000Z", "Z"))
    }

    #[test]
    fn dates_are_read_as_git_and_people_write_them() {
        for (text, want) in [
            ("now", "2026-03-01T12:00Z"),
            ("today", "2026-03-01T00:00Z"),
            ("yesterday", "2026-02-28T12:00Z"),
            ("Tomorrow", "2026-03-02T12:00Z"),
            ("7d", "2026-02-22T12:00Z"),
            ("7 days", "2026-02-22T12:00Z"),
            ("1 week ago", "2026-02-22T12:00Z"),
            ("a week ago", "2026-02-22T12:00Z"),
            ("an hour ago", "2026-03-01T11:00Z"),
            ("2.weeks.ago", "2026-02-15T12:00Z"),
            ("1 month ago", "2026-02-01T12:00Z"),
            ("90m", "2026-03-01T10:30Z"),
            ("1h30m ago", "2026-03-01T10:30Z"),
            ("last month", "2026-02-01T12:00Z"),
            ("monday", "2026-02-23T12:00Z"),
            ("sun", "2026-02-22T12:00Z"),
            ("last friday", "2026-02-27T12:00Z"),
            ("2026-02-01", "2026-02-01T00:00Z"),
            ("2026/02/01", "2026-02-01T00:00Z"),
            ("1 Feb 2026", "2026-02-01T00:00Z"),
            ("Feb 1 2026", "2026-02-01T00:00Z"),
            ("2026-02-01 09:30", "2026-02-01T09:30Z"),
            ("2026-02-01 9:30", "2026-02-01T09:30Z"),
            ("2026-02-01 09:30 UTC", "2026-02-01T09:30Z"),
            ("2026-02-01 09:30:00 GMT", "2026-02-01T09:30Z"),
            ("2026-02", "2026-02-01T00:00Z"),
            ("02:26", "2026-03-01T02:26Z"),
            ("2:26", "2026-03-01T02:26Z"),
            ("noon", "2026-03-01T12:00Z"),
            ("2026-02-01T09:30:00+02:00", "2026-02-01T07:30Z"),
            ("2026-02-01 09:30:00 +0200", "2026-02-01T07:30Z"),
            ("Sun Feb 1 09:30:00 2026 +0200", "2026-02-01T07:30Z"),
            ("Sun, 1 Feb 2026 09:30:00 +0200", "2026-02-01T07:30Z"),
            ("@1769931000", "2026-02-01T07:30Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_no_date() {
        for text in [
            "",
            "1",
            "-1",
            "20260301",
            "2026",
            "12",
            "25:00",
            "12:60",
            "2026-13",
            "2026-02-01 UTC UTC x",
            "01.02.2026",
            "01/02/2026",
            "u",
            "upstream",
            "-7d",
            "+7d",
            "ago",
            "fortnight",
            "2026-02-30",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"7d ".repeat(40)), None);
    }

    #[test]
    fn a_date_without_an_offset_is_local_and_a_time_is_shown_with_its_zone() {
        let east = calendar("2");
        assert_eq!(east.read("2026-03-01").map(|t| t.to_string()), Ok("2026-02-28T22:00:00.000Z".to_owned()));
        assert_eq!(east.read("today").map(|t| t.to_string()), Ok("2026-02-28T22:00:00.000Z".to_owned()));
        assert_eq!(east.show("2026-03-01T12:00:00Z".parse().expect("a time")), "2026-03-01 14:00+02:00");
        assert_eq!(calendar("-3").show("2026-03-01T12:00:00Z".parse().expect("a time")), "2026-03-01 09:00-03:00");
        assert_eq!(calendar("UTC").show("2026-03-01T12:00:00Z".parse().expect("a time")), "2026-03-01 12:00Z");
    }

    #[test]
    fn a_length_of_time_counts_on_where_what_comes_is_asked_for() {
        let ahead = |text: &str| calendar("UTC").read_ahead(text).map(|t| t.to_string()).ok();
        assert_eq!(ahead("2w").as_deref(), Some("2026-03-15T12:00:00.000Z"));
        assert_eq!(ahead("90d").as_deref(), Some("2026-05-30T12:00:00.000Z"));
        assert_eq!(ahead("tomorrow").as_deref(), Some("2026-03-02T12:00:00.000Z"));
        assert_eq!(ahead("2026-04").as_deref(), Some("2026-04-01T00:00:00.000Z"));
        assert_eq!(ahead("soon"), None);
    }

    #[test]
    fn the_end_of_a_second_is_its_last_millisecond() {
        let end = |text: &str| calendar("UTC").read_end(text).map(|t| t.to_string());
        assert_eq!(end("2026-02-01 09:30:00"), Ok("2026-02-01T09:30:00.999Z".to_owned()));
        assert_eq!(end("2026-02-01T09:30:00.5Z"), Ok("2026-02-01T09:30:00.500Z".to_owned()));
        assert_eq!(end("1 day ago"), Ok("2026-02-28T12:00:00.000Z".to_owned()));
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        for now in [i64::MIN, i64::MAX, 0] {
            let calendar = Calendar::utc(Timestamp::from_millis(now));
            for text in [
                "yesterday",
                "tomorrow",
                "today",
                "9999 years",
                "last monday",
                "99999999999d",
                "@-99999999999999999",
                "@9223372036854775807",
            ] {
                let _ = calendar.read(text).map(|t| calendar.show(t));
            }
        }
    }
}
