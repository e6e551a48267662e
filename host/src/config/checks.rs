//! Checks of values with which a host would start but not work. The text of a fault follows the name of the setting.

use std::fmt::Display;
use std::time::Duration;

use bytesize::ByteSize;

use crate::model::Time;

/// A value that may be zero.
pub(super) trait Zero {
    const ZERO: Self;
}

macro_rules! zeros {
    ($($type:ty = $zero:expr,)*) => {
        $(impl Zero for $type {
            const ZERO: Self = $zero;
        })*
    };
}

zeros! {
    u32 = 0,
    u64 = 0,
    usize = 0,
    ByteSize = ByteSize(0),
    Time = Time(Some(Duration::ZERO)),
}

/// Refuses zero.
pub(super) fn not_zero<T: Zero + PartialEq>(why: &'static str) -> impl Fn(&T) -> Result<(), String> {
    move |value| if *value == T::ZERO { Err(format!("can't be 0: {why}")) } else { Ok(()) }
}

/// Refuses less than `least`.
pub(super) fn at_least<T: PartialOrd + Display>(
    least: T,
    why: &'static str,
) -> impl Fn(&T) -> Result<(), String> {
    move |value| if *value < least { Err(format!("must be at least {least}: {why}")) } else { Ok(()) }
}

/// Refuses more than `most`.
pub(super) fn at_most<T: PartialOrd + Display>(most: T) -> impl Fn(&T) -> Result<(), String> {
    move |value| if *value > most { Err(format!("can be at most {most}")) } else { Ok(()) }
}

/// Checks that origins are written like in the requests of browsers; another spelling would never match.
pub(super) fn are_origins(origins: &[String]) -> Result<(), String> {
    let is_authority = |authority: &str| {
        let stray = |c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic() || "/?#@*".contains(c);
        !authority.is_empty() && !authority.contains(stray)
    };
    let is_origin = |origin: &str| {
        let parts = origin.split_once("://");
        parts.is_some_and(|(scheme, authority)| !scheme.is_empty() && is_authority(authority))
    };
    match origins.iter().find(|origin| *origin != "*" && !is_origin(origin)) {
        None => Ok(()),
        Some(origin) => Err(format!(
            "{origin:?} matches no page; write it in lower case, with a scheme and without a path, such as \
             https://example.com, or use * for all origins"
        )),
    }
}

/// Refuses a time that is shorter than `least`.
pub(super) fn is_long_enough(least: Duration) -> impl Fn(&Time) -> Result<(), String> {
    move |time| match time.0 {
        Some(time) if time < least => Err(format!("must be at least {}s", least.as_secs())),
        _ => Ok(()),
    }
}

/// Checks that a text is the URL of a host.
pub(super) fn is_http_url(url: &String) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_authority = |rest: &str| {
        !rest.is_empty() && !rest.contains(|c: char| !c.is_ascii_graphic() || "/?#@".contains(c))
    };
    match rest.is_some_and(|rest| is_authority(rest.strip_suffix('/').unwrap_or(rest))) {
        true => Ok(()),
        false => {
            Err(format!("can't be {url:?}; it has a scheme, a host and a port, such as http://10.0.0.7:8080"))
        }
    }
}
