//! `[limits]`: limits of an attempt.

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
    pub(super) fn apply(self, limits: &mut Limits, ceilings: &Limits) -> Result<(), Fault> {
        let size = |set: Option<Spanned<ByteSize>>, present: &mut usize, ceiling: usize| {
            let Some(set) = set else { return Ok(()) };
            let bytes = usize::try_from(set.get_ref().as_u64()).unwrap_or(usize::MAX);
            *present = at_most(set.span().start, bytes, ceiling, &ByteSize(ceiling as u64))?;
            Ok(())
        };
        size(self.memory, &mut limits.memory_bytes, ceilings.memory_bytes)?;
        size(self.event_size, &mut limits.event_bytes, ceilings.event_bytes)?;
        size(self.input, &mut limits.input_bytes, ceilings.input_bytes)?;
        size(self.output, &mut limits.output_bytes, ceilings.output_bytes)?;
        size(self.log, &mut limits.log_bytes, ceilings.log_bytes)?;
        for (set, present, ceiling) in [
            (self.deadline, &mut limits.deadline, ceilings.deadline),
            (self.cpu, &mut limits.cpu, ceilings.cpu),
        ] {
            let Some(set) = set else { continue };
            let at = set.span().start;
            *present = match (set.into_inner().0, ceiling) {
                (Some(time), Some(ceiling)) => {
                    Some(at_most(at, time, ceiling, &format_args!("{ceiling:?}"))?)
                }
                (None, Some(ceiling)) => {
                    return Err((at, format!("the host allows at most {ceiling:?}")));
                }
                (time, None) => time,
            };
        }
        let bytes = |size: Spanned<ByteSize>| Spanned::new(size.span(), size.get_ref().as_u64());
        let bytes_rate = self.event_bytes_rate.map(bytes);
        for rate in [&self.event_rate, &bytes_rate].into_iter().flatten() {
            if *rate.get_ref() == 0 {
                return Err((rate.span().start, "at a rate of 0 no event is ever sent".to_owned()));
            }
        }
        for (set, present, ceiling) in [
            (self.events, &mut limits.events, ceilings.events),
            (self.events_size.map(bytes), &mut limits.events_bytes, ceilings.events_bytes),
            (self.event_rate, &mut limits.event_rate, ceilings.event_rate),
            (bytes_rate, &mut limits.event_bytes_rate, ceilings.event_bytes_rate),
        ] {
            let Some(set) = set else { continue };
            let (at, count) = (set.span().start, set.into_inner());
            *present = Some(match ceiling {
                Some(ceiling) => at_most(at, count, ceiling, &ceiling)?,
                None => count,
            });
        }
        Ok(())
    }
}

fn at_most<T: PartialOrd>(
    at: usize,
    wanted: T,
    ceiling: T,
    text: &dyn std::fmt::Display,
) -> Result<T, Fault> {
    if wanted > ceiling { Err((at, format!("the host allows at most {text}"))) } else { Ok(wanted) }
}
