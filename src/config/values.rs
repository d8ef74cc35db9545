//! How the values of settings are read, and what is said of those that cannot be.

use std::time::Duration;

/// The longest time that most settings take.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest.
pub const FROM_1_MS: Duration = Duration::from_millis(1);

/// A whole number within a range.
///
/// # Errors
/// What is allowed.
pub fn whole<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

/// A number from 0 to 1.
///
/// # Errors
/// What is allowed.
pub fn fraction(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 1".into())
}

/// A truth, by the words that people have for it.
///
/// # Errors
/// What is allowed.
pub fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("1, true, yes, on, 0, false, no or off".into()),
    }
}

/// What one of these words stands for, in any case of letters.
///
/// # Errors
/// What is allowed.
pub fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    })
}

/// Seconds, or a number with its unit.
///
/// # Errors
/// What is allowed.
pub fn time(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| (least..=most).contains(time)).ok_or_else(|| {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        format!("seconds, or a time such as 500ms or 2m, from {least} to {most}")
    })
}

/// Names of models, with commas between.
///
/// # Errors
/// What is allowed.
pub fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err("names of models, separated by commas".into()),
        false => Ok(names),
    }
}

/// Pairs of a glob and what stands for the names that it matches.
///
/// # Errors
/// What is allowed.
pub fn pairs(text: &str, what: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |alias: &str| {
        let (glob, hint) = alias.split_once('=')?;
        let (glob, hint) = (glob.trim(), hint.trim());
        (!glob.is_empty() && !hint.is_empty()).then(|| (glob.to_owned(), hint.to_owned()))
    };
    let aliases: Option<Vec<_>> = text.split(',').map(pair).collect();
    aliases.ok_or_else(|| format!("pairs GLOB={what}, separated by commas"))
}

/// A time from 1 ms to a day, or `None` for one without end.
///
/// # Errors
/// What is allowed.
pub fn time_or_none(text: &str) -> Result<Option<Duration>, String> {
    match text.to_ascii_lowercase().as_str() {
        "none" | "0" | "inf" | "infinite" => Ok(None),
        text => time(text, FROM_1_MS, DAY)
            .map(Some)
            .map_err(|allowed| format!("{allowed}; or none, 0, inf, infinite for no limit")),
    }
}

/// A time in milliseconds.
///
/// # Errors
/// What is allowed.
pub fn millis(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    whole(text, least, most)
        .map(Duration::from_millis)
        .map_err(|_| format!("milliseconds, a whole number from {least} to {most}"))
}
