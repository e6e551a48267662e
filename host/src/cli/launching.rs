//! Why a host did not start, and what to do about it.

use std::error::Error as StdError;
use std::io::{Error, ErrorKind};
use std::path::Path;

use super::Exit;
use super::shell::quoted;
use crate::app::LaunchError;

/// The exit of a command whose host did not start.
pub(super) fn failed(error: LaunchError) -> Exit {
    let remedy = match &error {
        LaunchError::Data { path, source } => of_folder(path, source, "--data"),
        LaunchError::Tasks(error) => of_folder(&error.path, &error.source, "--tasks"),
        LaunchError::Database { path, source } => {
            of_system(&**source).and_then(|error| of_folder(path, error, "--data"))
        }
        _ => None,
    };
    Exit::Start(match remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    })
}

/// The error of the system behind an error, if there is one.
fn of_system<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(system) = error.downcast_ref() {
            return Some(system);
        }
        next = error.source();
    }
    None
}

fn of_folder(path: &Path, error: &Error, flag: &str) -> Option<String> {
    let folder = quoted(path);
    match error.kind() {
        ErrorKind::NotFound => {
            Some(format!("`mkdir -p {folder}` creates it, and {flag} names another folder"))
        }
        ErrorKind::PermissionDenied => Some(format!(
            "`sudo chown -R \"$USER\" {folder}` makes it yours, and {flag} names another folder"
        )),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some(format!("{flag} names another folder"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_an_unusable_folder_names_the_command_that_fixes_it() {
        let told = |kind: ErrorKind| {
            let exit = failed(LaunchError::Data { path: "my data".into(), source: kind.into() });
            exit.message().unwrap().to_owned()
        };
        assert!(told(ErrorKind::PermissionDenied).ends_with(
            "; `sudo chown -R \"$USER\" 'my data'` makes it yours, and --data names another folder"
        ));
        assert!(told(ErrorKind::NotFound).contains("`mkdir -p 'my data'`"));
        assert!(told(ErrorKind::NotADirectory).ends_with("; --data names another folder"));
        let database = |source: Box<dyn StdError + Send + Sync>| {
            let exit = failed(LaunchError::Database { path: "data".into(), source });
            exit.message().unwrap().to_owned()
        };
        let read_only = database(Box::new(Error::from(ErrorKind::ReadOnlyFilesystem)));
        assert!(read_only.ends_with("; --data names another folder"), "{read_only}");
        assert_eq!(database("it is another".into()), "can't open the database in data: it is another");
        assert_eq!(told(ErrorKind::TimedOut), "can't use the data folder my data: timed out");
    }
}
