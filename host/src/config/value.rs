//! The types of settings: how their values are given as a flag, written as text, and converted for [`super::Config`].

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Arg, ArgAction, ArgMatches, ValueEnum, value_parser};

use super::listen::ListenAddress;
use super::{Durability, LogFormat};
use crate::model::Time;
use crate::registry::GrantKinds;

/// The type of a setting.
pub(super) trait Value: Clone + Send + Sync + 'static {
    /// Name of the value in the help.
    const NAME: &'static str;
    /// Whether the flag can be repeated.
    const IS_LIST: bool = false;

    /// Whether a value may have a secret in it, so that it is not shown.
    const IS_SECRET: bool = false;

    /// Adds to a flag how its values are parsed.
    fn parsed(flag: Arg) -> Arg;

    /// The value of a flag, if it is set.
    fn given(matches: &ArgMatches, id: &str) -> Option<Self> {
        matches.get_one(id).cloned()
    }

    /// The value as it is written in a flag.
    fn text(&self) -> String;
}

macro_rules! values {
    ($($type:ty, $name:literal, $text:expr;)*) => {
        $(impl Value for $type {
            const NAME: &'static str = $name;

            fn parsed(flag: Arg) -> Arg {
                flag.value_parser(value_parser!($type)).action(ArgAction::Set)
            }

            fn text(&self) -> String {
                $text(self)
            }
        })*
    };
}

values! {
    ListenAddress, "ADDR:PORT", ToString::to_string;
    PathBuf, "DIR", |path: &PathBuf| path.display().to_string();
    String, "TEXT", String::clone;
    u32, "N", ToString::to_string;
    u64, "N", ToString::to_string;
    usize, "N", ToString::to_string;
    NonZeroU64, "N", ToString::to_string;
    ByteSize, "SIZE", size_text;
    Time, "TIME", time_text;
    GrantKinds, "KINDS", ToString::to_string;
    Durability, "DURABILITY", variant_text;
    LogFormat, "LOG_FORMAT", variant_text;
}

/// `--uploads` means `--uploads true`.
impl Value for bool {
    const NAME: &'static str = "BOOL";

    fn parsed(flag: Arg) -> Arg {
        let flag = flag.value_parser(value_parser!(bool)).action(ArgAction::Set);
        flag.num_args(0..=1).default_missing_value("true")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Given in several flags, or in one, separated by commas.
impl Value for Vec<String> {
    const NAME: &'static str = "TEXT";
    const IS_LIST: bool = true;

    fn parsed(flag: Arg) -> Arg {
        flag.value_parser(value_parser!(String)).action(ArgAction::Append).value_delimiter(',')
    }

    fn given(matches: &ArgMatches, id: &str) -> Option<Self> {
        matches.get_many(id).map(|values| values.cloned().collect())
    }

    fn text(&self) -> String {
        self.join(",")
    }
}

fn size_text(size: &ByteSize) -> String {
    let bytes = size.as_u64();
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

fn time_text(time: &Time) -> String {
    let Some(time) = time.0 else { return "none".to_owned() };
    let seconds = time.as_secs();
    if time.subsec_nanos() != 0 {
        format!("{}ms", time.as_millis())
    } else if seconds != 0 && seconds.is_multiple_of(60 * 60) {
        format!("{}h", seconds / (60 * 60))
    } else if seconds != 0 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

fn variant_text(variant: &impl ValueEnum) -> String {
    variant.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Conversion into a type of [`super::Config`]. The text of a fault follows the name of the setting.
pub(super) trait Convert<T> {
    fn convert(self) -> Result<T, String>;
}

macro_rules! unchanged {
    ($($type:ty),*) => {
        $(impl Convert<$type> for $type {
            fn convert(self) -> Result<$type, String> {
                Ok(self)
            }
        })*
    };
}

unchanged!(PathBuf, String, Vec<String>, bool, u32, u64, usize, GrantKinds, Durability);

impl Convert<u64> for NonZeroU64 {
    fn convert(self) -> Result<u64, String> {
        Ok(self.get())
    }
}

impl Convert<u64> for ByteSize {
    fn convert(self) -> Result<u64, String> {
        Ok(self.as_u64())
    }
}

impl Convert<usize> for ByteSize {
    fn convert(self) -> Result<usize, String> {
        usize::try_from(self.as_u64()).map_err(|_| "exceeds the address space of this machine".to_owned())
    }
}

/// `none` means without limit.
impl Convert<Option<Duration>> for Time {
    fn convert(self) -> Result<Option<Duration>, String> {
        Ok(self.0)
    }
}

impl Convert<Duration> for Time {
    fn convert(self) -> Result<Duration, String> {
        self.0.ok_or_else(|| "can't be `none`".to_owned())
    }
}

/// A setting without a default.
impl<T: Convert<U>, U> Convert<Option<U>> for Option<T> {
    fn convert(self) -> Result<Option<U>, String> {
        self.map(T::convert).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_with_the_largest_unit_that_fits() {
        let sizes = [4 << 30, 256 << 20, 64 << 10, 1_500, 0].map(|bytes| size_text(&ByteSize(bytes)));
        assert_eq!(sizes, ["4GiB", "256MiB", "64KiB", "1500B", "0B"]);
        let times = [86_400_000, 300_000, 90_000, 250, 0]
            .map(|millis| time_text(&Time(Some(Duration::from_millis(millis)))));
        assert_eq!(times, ["24h", "5m", "90s", "250ms", "0s"]);
        assert_eq!(time_text(&Time(None)), "none");
    }
}
