use std::io::Write as _;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit};

/// The shell to print a completion script for.
#[derive(Args)]
pub(super) struct Completions {
    /// Name of the shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Exit> {
        // Generated in memory first: clap_complete panics if stdout is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut visible(), "streamtask", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(())
    }
}

/// The commands that are not hidden.
fn visible() -> Command {
    let all = Cli::command();
    let visible = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("streamtask").subcommands(visible.collect::<Vec<_>>())
}
