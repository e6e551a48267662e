//! `serve --check`: the settings with which a host would start, with the source of each.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::config::{DEFAULT_FILE, Setting, Settings};

/// Width of a setting with its value, before its source.
const WIDTH: usize = 44;

/// Prints each setting as a line of a configuration file. Defaults are printed as comments.
pub(super) fn print(out: &mut impl Write, matches: &ArgMatches, file: Option<&Path>) -> io::Result<()> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    // An invalid file has been refused before.
    let written: toml::Table =
        fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    let path = path.display().to_string();
    for setting in Settings::table() {
        let Setting { key, flag, variable, .. } = setting;
        let source = match matches.value_source(setting.id) {
            Some(ValueSource::CommandLine) => Some(format!("--{flag}")),
            Some(ValueSource::EnvVariable) => Some(variable.clone()),
            _ => None,
        };
        let (line, source) = match (source, written.get(key)) {
            (Some(source), _) if setting.is_secret => (format!("# {key}: set, not shown"), source),
            (None, Some(_)) if setting.is_secret => (format!("# {key}: set, not shown"), path.clone()),
            (Some(source), _) => (format!("{key} = {}", given(matches, setting)), source),
            (None, Some(value)) => (format!("{key} = {value}"), path.clone()),
            (None, None) => (format!("# {key}: {}", setting.default_text()), "default".to_owned()),
        };
        writeln!(out, "{line:<WIDTH$} # {source}")?;
    }
    Ok(())
}

/// The value of a flag or variable in TOML.
fn given(matches: &ArgMatches, setting: &Setting) -> String {
    let values = matches.get_raw(setting.id).into_iter().flatten();
    let values: Vec<toml::Value> = values.map(|value| value_of(&value.to_string_lossy())).collect();
    match <[toml::Value; 1]>::try_from(values) {
        Ok([value]) if !setting.is_list => value.to_string(),
        Ok(values) => toml::Value::Array(values.into()).to_string(),
        Err(values) => toml::Value::Array(values).to_string(),
    }
}

fn value_of(text: &str) -> toml::Value {
    let number = text.parse().map(toml::Value::Integer).ok();
    let plain = number.or_else(|| text.parse().map(toml::Value::Boolean).ok());
    plain.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

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
