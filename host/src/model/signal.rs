use super::{Channel, Json, Refusal};

/// Most bytes in the payload of a signal or the value of a parameter. Larger data belongs in a place from which the run can
/// fetch it.
pub const MAX_SIGNAL_BYTES: usize = 64 << 10;

/// A message to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The name, which the task defines.
    pub name: SignalName,
    /// The payload.
    pub payload: Json,
}

/// The name of a signal or of a parameter: 1 to 128 bytes without control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalName(Box<str>);

impl SignalName {
    /// Fails unless the name follows the rules of an event's channel.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match Channel::of_guest(name.to_owned())? {
            Some(_) => Ok(Self(name.into())),
            None => Err(Refusal::new(super::RefusalCode::InvalidArgument, "the name is empty")),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
