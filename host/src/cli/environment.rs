//! Misspelt environment variables.

use clap::Command;

use crate::model::nearest;

/// Prefix of all variables of the host.
const PREFIX: &str = "STREAMTASK_";
/// What follows the prefix in variables that an orchestrator sets in containers for a service named `streamtask`.
const SERVICE: [&str; 2] = ["PORT_", "SERVICE_"];

/// The `names` that are similar to a variable of the host, each with the variable that was probably meant. Names that
/// are similar to none may belong to another program.
pub(super) fn misspelt(names: impl Iterator<Item = String>, command: &Command) -> Vec<(String, String)> {
    let mut known = Vec::new();
    add_known(command, &mut known);
    let short: Vec<&str> = known.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let mut misspelt: Vec<(String, String)> = names
        .filter(|name| !known.contains(name))
        .filter_map(|name| {
            let word = name.strip_prefix(PREFIX)?;
            if word == "PORT" || SERVICE.iter().any(|begin| word.starts_with(begin)) {
                return None;
            }
            let meant = nearest(word, &short)?;
            Some((name, format!("{PREFIX}{meant}")))
        })
        .collect();
    misspelt.sort();
    misspelt
}

fn add_known(command: &Command, known: &mut Vec<String>) {
    let names = command.get_arguments().filter_map(|argument| argument.get_env());
    known.extend(names.map(|name| name.to_string_lossy().into_owned()));
    command.get_subcommands().for_each(|command| add_known(command, known));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_variable_near_a_setting_is_found_and_those_of_others_are_not() {
        let names = [
            "PATH",
            "STREAMTASK_HOST",
            "STREAMTASK_MAX_RUNNING",
            "STREAMTASK_MAX_RUNING",
            "STREAMTASK_LISTEN_",
            "STREAMTASK_PORT",
            "STREAMTASK_SERVICE_HOST",
            "STREAMTASK_PORT_8080_TCP_ADDR",
            "STREAMTASK_BIN",
            "STREAMTASK_KIT",
        ];
        let found = misspelt(names.into_iter().map(str::to_owned), &Cli::command());
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, meant)| (name.as_str(), meant.as_str())).collect();
        assert_eq!(
            found,
            [
                ("STREAMTASK_LISTEN_", "STREAMTASK_LISTEN"),
                ("STREAMTASK_MAX_RUNING", "STREAMTASK_MAX_RUNNING")
            ]
        );
    }
}
