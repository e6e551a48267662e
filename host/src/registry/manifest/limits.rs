//! `[limits]`: what an attempt may use.

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
    /// All memories and tables together; beyond it the guest fails.
    #[schemars(with = "SizeText")]
    memory: Option<Spanned<ByteSize>>,
    /// From start to end of an attempt, without the time it is held.
    #[schemars(with = "TimeText")]
    deadline: Option<Spanned<Time>>,
    /// Computing, of all that time.
    #[schemars(with = "TimeText")]
    cpu: Option<Spanned<Time>>,
    /// Events of an attempt.
    #[schemars(with = "u64")]
    events: Option<Spanned<u64>>,
    /// Data of all events of an attempt.
    #[schemars(with = "SizeText")]
    events_size: Option<Spanned<ByteSize>>,
    /// Events a second; a guest that is faster waits.
    #[schemars(with = "u64", range(min = 1))]
    event_rate: Option<Spanned<u64>>,
    /// Data of events a second; a guest that is faster waits.
    #[schemars(with = "SizeText")]
    event_bytes_rate: Option<Spanned<ByteSize>>,
    /// Data of one event.
    #[schemars(with = "SizeText")]
    event_size: Option<Spanned<ByteSize>>,
    /// The input; beyond it the start is refused.
    #[schemars(with = "SizeText")]
    input: Option<Spanned<ByteSize>>,
    /// The result; beyond it the run fails.
    #[schemars(with = "SizeText")]
    output: Option<Spanned<ByteSize>>,
    /// What an attempt prints; beyond it the rest is left out.
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
