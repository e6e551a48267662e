//! `serve --check`: the settings with which a host would start, with the source of each.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command};

use crate::config::{DEFAULT_FILE, Settings};

/// Prefix of the default in the help of a setting.
const DEFAULT: &str = "[default: ";
/// Width of a setting with its value, before its source.
const WIDTH: usize = 44;

/// Prints each setting as a line of a configuration file. Defaults are printed as comments.
pub(super) fn print(out: &mut impl Write, matches: &ArgMatches, file: Option<&Path>) -> io::Result<()> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    // An invalid file has been refused before.
    let written: toml::Table =
        fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    let path = path.display().to_string();
    for argument in Settings::augment_args(Command::new("")).get_arguments() {
        let name = argument.get_id().as_str().replace('_', "-");
        let source = match matches.value_source(argument.get_id().as_str()) {
            Some(ValueSource::CommandLine) => argument.get_long().map(|flag| format!("--{flag}")),
            Some(ValueSource::EnvVariable) => {
                argument.get_env().map(|name| name.to_string_lossy().into_owned())
            }
            _ => None,
        };
        let (line, source) = match (source, written.get(&name)) {
            (Some(source), _) => (format!("{name} = {}", given(matches, argument)), source),
            (None, Some(value)) => (format!("{name} = {value}"), path.clone()),
            (None, None) => (format!("# {name}: {}", default_of(argument)), "default".to_owned()),
        };
        writeln!(out, "{line:<WIDTH$} # {source}")?;
    }
    Ok(())
}

/// The value of a flag or variable in TOML.
fn given(matches: &ArgMatches, argument: &Arg) -> String {
    let values = matches.get_raw(argument.get_id().as_str()).into_iter().flatten();
    let values: Vec<toml::Value> = values.map(|value| value_of(&value.to_string_lossy())).collect();
    let is_list = argument.get_value_delimiter().is_some();
    match <[toml::Value; 1]>::try_from(values) {
        Ok([value]) if !is_list => value.to_string(),
        Ok(values) => toml::Value::Array(values.into()).to_string(),
        Err(values) => toml::Value::Array(values).to_string(),
    }
}

fn value_of(text: &str) -> toml::Value {
    let number = text.parse().map(toml::Value::Integer).ok();
    let plain = number.or_else(|| text.parse().map(toml::Value::Boolean).ok());
    plain.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn default_of(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let default = help.split_once(DEFAULT).and_then(|(_, rest)| rest.split_once(']'));
    default.map_or("not set", |(default, _)| default).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_printed_with_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("host.toml");
        fs::write(&file, "memory = \"64MiB\"\nmax-running = 7\n").unwrap();
        let command = Settings::augment_args(Command::new("serve"));
        let flags = ["serve", "--listen", "9000", "--max-running", "3", "--cors-origin", "https://a.example"];
        let matches = command.get_matches_from(flags);
        let mut out = Vec::new();
        print(&mut out, &matches, Some(&file)).unwrap();
        let out = String::from_utf8(out).unwrap();
        let printed = |name: &str| {
            let line = out.lines().find(|line| line.trim_start_matches("# ").starts_with(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(printed("listen"), "listen = 9000 # --listen");
        assert_eq!(printed("max-running ="), "max-running = 3 # --max-running");
        assert_eq!(printed("memory"), format!("memory = \"64MiB\" # {}", file.display()));
        assert_eq!(printed("cors-origins"), "cors-origins = [\"https://a.example\"] # --cors-origin");
        assert_eq!(printed("deadline"), "# deadline: 24h # default");
        // The output is a valid configuration file.
        let again: Settings = toml::from_str(&out).unwrap();
        assert_eq!((again.max_running, again.cors_origins.map(|origins| origins.len())), (Some(3), Some(1)));
    }
}
