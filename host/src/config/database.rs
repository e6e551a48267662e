//! The URL of a database as a setting. It may have a password, so it is not shown anywhere: not in an error either, and so
//! it is parsed only when the configuration is complete.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Arg, ArgAction, value_parser};
use serde::Deserialize;

use super::value::{Convert, Value};
use crate::postgres::{DatabaseUrl, SchemaName};

/// The text of a URL that may have a password. `Debug` does not show it.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Value for SecretUrl {
    const NAME: &'static str = "URL";
    const IS_SECRET: bool = true;

    /// Every text is accepted, because clap's errors repeat a value that is not.
    fn parsed(flag: Arg) -> Arg {
        flag.value_parser(clap::builder::ValueParser::from(|text: &str| -> Result<_, String> {
            Ok(Self(text.to_owned()))
        }))
        .action(ArgAction::Set)
    }

    fn text(&self) -> String {
        "(not shown)".to_owned()
    }
}

impl Convert<DatabaseUrl> for SecretUrl {
    fn convert(self) -> Result<DatabaseUrl, String> {
        self.0.trim().parse().map_err(|error| format!("is no URL of a database: {error}"))
    }
}

/// A file with a secret in it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretFile(PathBuf);

impl FromStr for SecretFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl Value for SecretFile {
    const NAME: &'static str = "FILE";

    fn parsed(flag: Arg) -> Arg {
        flag.value_parser(value_parser!(SecretFile)).action(ArgAction::Set)
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

impl Convert<DatabaseUrl> for SecretFile {
    fn convert(self) -> Result<DatabaseUrl, String> {
        let path = self.0.display();
        let text = fs::read_to_string(&self.0).map_err(|error| format!("can't be read: {path}: {error}"))?;
        SecretUrl(text).convert().map_err(|fault| format!("{path}: what it contains {fault}"))
    }
}

impl Convert<SchemaName> for String {
    fn convert(self) -> Result<SchemaName, String> {
        self.parse().map_err(|fault| format!("can't be {self:?}: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::config::{Config, ConfigError, Settings};

    const URL: &str = "postgres://host:s3cret@db.example/runs";

    fn config(settings: Settings) -> Result<Config, ConfigError> {
        settings.config()
    }

    fn with_url(text: &str) -> Settings {
        Settings { database: Some(SecretUrl(text.to_owned())), ..Settings::default() }
    }

    #[test]
    fn a_password_is_in_no_text() {
        let settings = with_url(URL);
        let config = config(settings.clone()).unwrap();
        assert!(!format!("{settings:?} {config:?}").contains("s3cret"));
        for wrong in
            ["postgres://host:s3cret@db.example/runs?sslmode=prefer", "postgres://host:s3cret@", "s3cret"]
        {
            let error = self::config(with_url(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("database is no URL") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_in_a_faulty_file_is_not_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("streamtask.toml");
        for text in [
            format!("databse = \"{URL}\""),
            format!("database = \"{URL}"),
            format!("database = [\"{URL}\"]"),
            format!("database = {URL}"),
            format!("database = \"{URL}\"\ndatabase = \"{URL}\""),
            format!("[database]\nurl = \"{URL}\""),
        ] {
            fs::write(&path, &text).unwrap();
            let error = Settings::read(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("streamtask.toml: line ") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_in_the_environment_is_not_in_the_help() {
        let command = Settings::augment_args(Command::new("serve"));
        let hidden = command.get_arguments().filter(|flag| flag.is_hide_env_values_set());
        assert_eq!(hidden.map(|flag| flag.get_id().as_str()).collect::<Vec<_>>(), ["database"]);
    }

    #[test]
    fn the_url_can_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let in_file = || Settings { database_file: Some(SecretFile(path.clone())), ..Settings::default() };
        assert!(config(in_file()).unwrap_err().to_string().starts_with("database-file can't be read: "));
        fs::write(&path, format!("{URL}\n")).unwrap();
        assert_eq!(config(in_file()).unwrap().database().unwrap(), Some(&URL.parse().unwrap()));
        fs::write(&path, "s3cret").unwrap();
        let error = config(in_file()).unwrap_err().to_string();
        assert!(error.contains("url: what it contains is no URL") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn one_place_has_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, URL).unwrap();
        let both = Settings { database_file: Some(SecretFile(path)), ..with_url(URL) };
        assert!(config(both).unwrap().database().unwrap_err().to_string().contains("both"));
    }
}
