//! `[limits]`: limits of an attempt.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use super::schema::{SizeText, TimeText};
use crate::engine::Limits;
use crate::model::Time;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "limits")]
pub(super) struct LimitsTable {
    /// Most memory, including tables; beyond it the guest fails.
    #[schemars(with = "SizeText")]
    memory: Option<Spanned<ByteSize>>,
    /// Longest time of an attempt, without pauses.
    #[schemars(with = "TimeText")]
    deadline: Option<Spanned<Time>>,
    /// Longest CPU time of an attempt.
    #[schemars(with = "TimeText")]
    cpu: Option<Spanned<Time>>,
    /// Most events of an attempt.
    #[schemars(with = "u64")]
    events: Option<Spanned<u64>>,
    /// Most data in all events of an attempt.
    #[schemars(with = "SizeText")]
    events_size: Option<Spanned<ByteSize>>,
    /// Most events per second; a faster guest waits.
    #[schemars(with = "u64", range(min = 1))]
    event_rate: Option<Spanned<u64>>,
    /// Most data of events per second; a faster guest waits.
    #[schemars(with = "SizeText")]
    event_bytes_rate: Option<Spanned<ByteSize>>,
    /// Most data in one event.
    #[schemars(with = "SizeText")]
    event_size: Option<Spanned<ByteSize>>,
    /// Largest input; with a larger one, the start is rejected.
    #[schemars(with = "SizeText")]
    input: Option<Spanned<ByteSize>>,
    /// Largest result; with a larger one, the run fails.
    #[schemars(with = "SizeText")]
    output: Option<Spanned<ByteSize>>,
    /// Most printed output of an attempt; the rest is dropped.
    #[schemars(with = "SizeText")]
    log: Option<Spanned<ByteSize>>,
}

impl LimitsTable {
    /// Takes the limits that are set. None can exceed that of the host.
    pub(super) fn apply(self, limits: &mut Limits, host: &Limits) -> Result<(), Fault> {
        take(self.memory, &mut limits.memory_bytes, host.memory_bytes)?;
        take(self.event_size, &mut limits.event_bytes, host.event_bytes)?;
        take(self.input, &mut limits.input_bytes, host.input_bytes)?;
        take(self.output, &mut limits.output_bytes, host.output_bytes)?;
        take(self.log, &mut limits.log_bytes, host.log_bytes)?;
        take(self.deadline, &mut limits.deadline, host.deadline)?;
        take(self.cpu, &mut limits.cpu, host.cpu)?;
        check_rate(self.event_rate.as_ref(), 0)?;
        check_rate(self.event_bytes_rate.as_ref(), ByteSize(0))?;
        take(self.events, &mut limits.events, host.events)?;
        take(self.events_size, &mut limits.events_bytes, host.events_bytes)?;
        take(self.event_rate, &mut limits.event_rate, host.event_rate)?;
        take(self.event_bytes_rate, &mut limits.event_bytes_rate, host.event_bytes_rate)
    }
}

fn take<W: Within<T>, T>(set: Option<Spanned<W>>, limit: &mut T, ceiling: T) -> Result<(), Fault> {
    let Some(set) = set else { return Ok(()) };
    let at = set.span().start;
    let within = set.into_inner().within(ceiling);
    *limit = within.map_err(|ceiling| (at, format!("the host allows at most {ceiling}")))?;
    Ok(())
}

fn check_rate<T: PartialEq>(rate: Option<&Spanned<T>>, zero: T) -> Result<(), Fault> {
    match rate {
        Some(rate) if *rate.get_ref() == zero => {
            Err((rate.span().start, "at a rate of 0 no event is ever sent".to_owned()))
        }
        _ => Ok(()),
    }
}

/// A limit as it is written in a manifest.
trait Within<T> {
    /// The limit, or as an error the text of the host's limit if that is lower.
    fn within(self, ceiling: T) -> Result<T, String>;
}

impl Within<usize> for ByteSize {
    fn within(self, ceiling: usize) -> Result<usize, String> {
        let bytes = usize::try_from(self.as_u64()).unwrap_or(usize::MAX);
        if bytes > ceiling { Err(ByteSize(ceiling as u64).to_string()) } else { Ok(bytes) }
    }
}

impl Within<Option<u64>> for ByteSize {
    fn within(self, ceiling: Option<u64>) -> Result<Option<u64>, String> {
        self.as_u64().within(ceiling)
    }
}

impl Within<Option<u64>> for u64 {
    fn within(self, ceiling: Option<u64>) -> Result<Option<u64>, String> {
        match ceiling {
            Some(ceiling) if self > ceiling => Err(ceiling.to_string()),
            _ => Ok(Some(self)),
        }
    }
}

impl Within<Option<Duration>> for Time {
    fn within(self, ceiling: Option<Duration>) -> Result<Option<Duration>, String> {
        match ceiling {
            Some(ceiling) if self.0.is_none_or(|time| time > ceiling) => Err(format!("{ceiling:?}")),
            _ => Ok(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_can_be_lowered_and_none_can_exceed_that_of_the_host() {
        let host = Limits {
            memory_bytes: 1 << 20,
            deadline: Some(Duration::from_secs(60)),
            events: Some(10),
            events_bytes: Some(2048),
            ..Limits::UNLIMITED
        };
        let applied = |text: &str| {
            let mut limits = host;
            let table: LimitsTable = toml::from_str(text).unwrap();
            table.apply(&mut limits, &host).map(|()| limits).map_err(|(_, message)| message)
        };
        for (text, limits) in [
            ("", host),
            ("memory = '64KiB'", Limits { memory_bytes: 64 << 10, ..host }),
            ("deadline = '60s'", host),
            ("cpu = '5s'", Limits { cpu: Some(Duration::from_secs(5)), ..host }),
            ("cpu = 'none'", host),
            ("events = 0", Limits { events: Some(0), ..host }),
            ("event-bytes-rate = '1KiB'", Limits { event_bytes_rate: Some(1024), ..host }),
            ("log = 0", Limits { log_bytes: 0, ..host }),
        ] {
            assert_eq!(applied(text), Ok(limits), "{text}");
        }
        for (text, message) in [
            ("memory = '2MiB'", "the host allows at most 1.0 MiB"),
            ("deadline = '61s'", "the host allows at most 60s"),
            ("deadline = 'none'", "the host allows at most 60s"),
            ("events = 11", "the host allows at most 10"),
            ("events-size = '3KiB'", "the host allows at most 2048"),
            ("event-rate = 0", "at a rate of 0 no event is ever sent"),
        ] {
            assert_eq!(applied(text), Err(message.to_owned()), "{text}");
        }
    }
}
