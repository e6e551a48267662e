use std::io::Write as _;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit};

/// What a shell completes this program's commands by.
#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Exit> {
        // Written at once: the library would panic where nobody reads any more.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown(), "streamtask", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(())
    }
}

/// The commands that are for people.
fn shown() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("streamtask").subcommands(shown.collect::<Vec<_>>())
}
