//! Times as labs write them, in PostgreSQL's own form, so that the server need not read their text.
//!
//! The rules are PostgreSQL's: a fraction is rounded to microseconds through a double, ties to even.

/// Microseconds since 2000-01-01 UTC; `None` when the text is not an RFC 3339 time that PostgreSQL would take: it refuses
/// offsets of 16 hours and more.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (seconds, rest) = bytes.split_at_checked(19)?;
    let separators =
        [seconds[4], seconds[7], seconds[13], seconds[16]] == *b"--::" && matches!(seconds[10], b'T' | b't' | b' ');
    let (year, month, day) = (number(&seconds[..4])?, number(&seconds[5..7])?, number(&seconds[8..10])?);
    let (hour, minute, second) = (number(&seconds[11..13])?, number(&seconds[14..16])?, number(&seconds[17..])?);
    let possible = (1..=12).contains(&month)
        && day >= 1
        && day <= days_of(year, month)
        && hour <= 23
        && minute <= 59
        && second <= 59
        && year >= 1;
    if !(separators && possible) {
        return None;
    }
    let digits = match rest {
        [b'.', fraction @ ..] => fraction.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let (fraction, zone) = rest.split_at(if digits > 0 { digits + 1 } else { 0 });
    let whole = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset(zone)?;
    Some(whole * 1_000_000 + microseconds(fraction)?)
}

/// Seconds that the zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
            let seconds = (hours * 60 + minutes) * 60;
            (hours < 16 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// `.` and digits, or nothing.
fn microseconds(fraction: &[u8]) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let value: f64 = std::str::from_utf8(fraction).ok()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and 1 000 000")]
    Some((value * 1e6).round_ties_even() as i64)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 2000-01-01 to a date of the Gregorian calendar.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1;
    days - 730_425
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn known_times() {
        for (text, time) in [
            ("2000-01-01T00:00:00Z", 0),
            ("2000-01-01T01:00:00+01:00", 0),
            ("1999-12-31t23:30:00-00:30", 0),
            ("2000-03-01T00:00:00z", 60 * DAY),
            ("2001-01-01T00:00:00Z", 366 * DAY),
            ("1970-01-01T00:00:00Z", -946_684_800_000_000),
            ("0001-01-01T00:00:00Z", -63_082_281_600_000_000),
            ("9999-12-31T23:59:59.999999Z", 252_455_615_999_999_999),
            ("2000-01-01T00:00:00.123456789Z", 123_457),
            ("2000-01-01T00:00:00.9999995Z", 1_000_000),
            ("2000-01-01T00:00:00.1+15:59", 100_000 - 57_540_000_000),
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
    }

    #[test]
    fn impossible_times() {
        for text in [
            "",
            "2000-01-01",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00+16:00",
            "2000-01-01T00:00:00-99:00",
            "2000-01-01T00:00:00.Z",
            "2001-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:60Z",
            "0000-01-01T00:00:00Z",
            "2000/01/01T00:00:00Z",
            "2000-01-01T00:00:00Zx",
            "2000-01-01T00:00:0öZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
