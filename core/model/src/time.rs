//! Points in time as microseconds since the Unix epoch, and their RFC 3339 text. Reads no clock.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// Microseconds since 1970-01-01T00:00:00Z; leap seconds are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// Days since the epoch of a proleptic Gregorian date (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * mp + 2) / 5 + 1)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
}

/// `HH:MM` east (+) or west (-) of UTC, or `Z`, in seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if text.len() != 6 || text.as_bytes()[3] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(text, 1, 3)?, digits(text, 4, 6)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 7)?, digits(text, 8, 10)?);
    let (hour, minute, second) = (digits(text, 11, 13)?, digits(text, 14, 16)?, digits(text, 17, 19)?);
    let marks = text.as_bytes();
    let shape = marks[4] == b'-' && marks[7] == b'-' && matches!(marks[10], b'T' | b't' | b' ') && marks[13] == b':' && marks[16] == b':';
    let ranges = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month) && hour <= 23 && minute <= 59 && second <= 59;
    if !shape || !ranges {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().position(|b| !b.is_ascii_digit())?;
        if end == 0 || end > 9 {
            return None;
        }
        micros = format!("{:0<6}", &fraction[..end])[..6].parse().ok()?;
        rest = &fraction[end..];
    }
    let seconds = days_from_civil(year, month, day) * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second - offset_seconds(rest)?;
    Some(Timestamp(seconds * MICROS_A_SECOND + micros))
}

impl FromStr for Timestamp {
    type Err = Invalid;

    /// Reads RFC 3339 text with years 0000 to 9999; digits past the microsecond are cut off.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse_rfc3339(text).ok_or_else(|| Invalid::new("", "must be a date and time as in RFC 3339, such as 2026-11-22T08:30:00Z"))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with microseconds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_A_SECOND);
        let micros = self.0.rem_euclid(MICROS_A_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_A_DAY));
        let second = seconds.rem_euclid(SECONDS_A_DAY);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)?;
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_read_and_print() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000),
            ("2026-11-22T08:30:00.250000Z", 1_795_336_200_250_000),
            ("1969-12-31T23:59:59Z", -1_000_000),
        ] {
            assert_eq!(text.parse::<Timestamp>().expect(text).0, micros, "{text}");
            assert_eq!(Timestamp(micros).to_string(), text);
        }
        assert_eq!("2026-11-22T10:30:00+02:00".parse::<Timestamp>(), "2026-11-22T08:30:00Z".parse());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T08:30:00",
            "2026-11-22T08:30:00.Z",
            "é026-11-22T08:30:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
