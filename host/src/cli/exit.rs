use super::client::ClientError;

/// The outcome of a command, which determines its exit code.
#[derive(Debug)]
pub enum Exit {
    /// The command succeeded.
    Ok,
    /// At least one run failed.
    RunFailed(String),
    /// The host failed while it served.
    HostFailed(String),
    /// The build tool of a project failed.
    BuildFailed(String),
    /// The doctor found a problem.
    Unhealthy(String),
    /// The arguments or the configuration are invalid, or a tool is missing.
    Usage(String),
    /// The host refused the request.
    Refused(String),
    /// The host can't be reached.
    Unreachable(String),
    /// At least one run was cancelled, and none failed.
    RunCancelled(String),
    /// The host could not start.
    Start(String),
    /// The user interrupted the command.
    Interrupted(String),
    /// The exit code of the compiler, for the host that called it.
    Compiler(u8),
}

/// The exit codes, at the end of `--help`.
pub(super) const HELP: &str = "Exit codes: 0 done, 1 the run, the build or the host failed, or the doctor found a problem, \
2 wrong arguments or configuration, 3 the host refused, 4 no host reached, 5 the run was cancelled, 6 the host could not start, 130 interrupted";

impl Exit {
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::RunFailed(_) | Self::HostFailed(_) | Self::BuildFailed(_) | Self::Unhealthy(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
            Self::RunCancelled(_) => 5,
            Self::Start(_) => 6,
            Self::Interrupted(_) => 130,
            Self::Compiler(code) => *code,
        }
    }

    /// The message for the user, without a full stop.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Ok | Self::Compiler(_) => None,
            Self::RunFailed(message)
            | Self::RunCancelled(message)
            | Self::HostFailed(message)
            | Self::BuildFailed(message)
            | Self::Unhealthy(message)
            | Self::Usage(message)
            | Self::Refused(message)
            | Self::Unreachable(message)
            | Self::Start(message)
            | Self::Interrupted(message) => Some(message),
        }
    }
}

impl From<ClientError> for Exit {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Address(_) => Self::Usage(message),
            ClientError::Refused { .. } => Self::Refused(message),
            ClientError::Unreachable { .. } => Self::Unreachable(format!(
                "{message}; `streamtask serve` starts one, and --host names another"
            )),
            ClientError::Broken(_) => Self::Unreachable(message),
        }
    }
}

/// A closed pipe ends a command silently, as is usual for tools.
impl From<std::io::Error> for Exit {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Ok,
            _ => Self::Usage(format!("can't write the output: {error}")),
        }
    }
}
