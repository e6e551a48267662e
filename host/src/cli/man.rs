//! `streamtask man`: manual pages, made from the same text as `--help`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man as Page;

use super::{Cli, Exit};

/// The pages to print or write.
#[derive(Args)]
pub(super) struct Man {
    /// Command whose page to print [default: streamtask itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Option<String>,
    /// Write the page of every command into this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<(), Exit> {
        let root = root();
        let mut out = std::io::stdout().lock();
        let Some(folder) = self.dir else {
            let page = match &self.command {
                None => page(root)?,
                Some(name) => page(named(&root, name)?)?,
            };
            out.write_all(&page)?;
            return Ok(());
        };
        let cannot =
            |error: std::io::Error| Exit::Usage(format!("can't write to {}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(cannot)?;
        let commands: Vec<Command> = visible(&root).cloned().chain([root.clone()]).collect();
        for command in &commands {
            let name = format!("{}.1", file_name(command));
            fs::write(folder.join(name), page(command.clone())?).map_err(cannot)?;
        }
        writeln!(out, "{} pages are in {}", commands.len(), folder.display())?;
        Ok(())
    }
}

/// The whole command line, with the names of its commands.
fn root() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

fn visible(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands().filter(|command| !command.is_hide_set())
}

fn named(root: &Command, name: &str) -> Result<Command, Exit> {
    let found = visible(root).find(|command| command.get_name() == name);
    found.cloned().ok_or_else(|| Exit::Usage(format!("there is no command {name:?}; see streamtask --help")))
}

/// `streamtask` or `streamtask-COMMAND`.
fn file_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Generated in memory: a closed stdout is not an error of the page.
fn page(command: Command) -> Result<Vec<u8>, Exit> {
    let mut page = Vec::new();
    Page::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page_and_no_other() {
        let root = root();
        let names: Vec<String> = visible(&root).map(file_name).collect();
        assert!(names.contains(&"streamtask-serve".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("compile") || name.ends_with("help")), "{names:?}");
        let text = String::from_utf8(page(named(&root, "serve").unwrap()).unwrap()).unwrap();
        assert!(text.contains("STREAMTASK_LISTEN"), "{text}");
        assert!(named(&root, crate::app::COMPILE).is_err());
    }
}
