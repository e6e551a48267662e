//! The pages of the SDKs, done to the letter.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{fetched_tools, root};

/// What a part of a page tells its reader to do: commands, and files.
pub struct Page {
    steps: Vec<Step>,
}

enum Step {
    Commands(String),
    /// The name stands in the line before.
    File(String, String),
}

impl Page {
    /// From its first heading to the second: from nothing to a running task.
    pub fn first_of(language: &str) -> Self {
        let text = text_of(language);
        let end = text.match_indices("\n## ").nth(1).map_or(text.len(), |(at, _)| at);
        Self::read(&text[..end])
    }

    /// What stands under a heading.
    pub fn section_of(language: &str, heading: &str) -> Self {
        let text = text_of(language);
        let section = text.split("\n## ").find(|section| section.lines().next() == Some(heading));
        Self::read(section.unwrap_or_else(|| panic!("the page of {language} has no {heading:?}")))
    }

    fn read(text: &str) -> Self {
        let mut steps = Vec::new();
        let (mut lines, mut before) = (text.lines(), String::new());
        while let Some(line) = lines.next() {
            let Some(fence) = line.strip_prefix("```") else {
                if !line.trim().is_empty() {
                    before = line.to_owned();
                }
                continue;
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            let block = block.join("\n");
            match fence {
                "sh" => steps.push(Step::Commands(block)),
                // What needs another machine state: a package manager as root, a stream that is shown.
                "console" => {}
                _ => {
                    let name = before.split('`').nth(1).expect("the name of the file").to_owned();
                    steps.push(Step::File(name, block));
                }
            }
        }
        Self { steps }
    }

    /// One script of all of it. `replace` is what differs here from a reader's machine.
    pub fn script(&self, replace: &[(&str, &str)]) -> String {
        let mut script = String::from("set -eu\n");
        for step in &self.steps {
            match step {
                Step::Commands(commands) => {
                    script.push_str(
                        &replace.iter().fold(commands.clone(), |text, (what, by)| text.replace(what, by)),
                    );
                }
                Step::File(name, content) => {
                    script.push_str(&format!("cat > {name} <<'END OF FILE'\n{content}\nEND OF FILE"));
                }
            }
            script.push('\n');
        }
        script
    }
}

fn text_of(language: &str) -> String {
    let path = root().join("guest-sdk").join(language).join("README.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A reader's shell, in a folder of theirs, with the tools of this machine.
pub struct Shell {
    folder: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Shell {
    /// In `folder`, for the SDK of a language and a host at `url` that watches `tasks`.
    pub fn new(folder: &Path, language: &str, tasks: &Path, url: &str) -> Self {
        let repository = root().canonicalize().expect("the repository");
        for link in ["guest-sdk", "node_modules"] {
            let _ = std::os::unix::fs::symlink(repository.join(link), folder.join(link));
        }
        let variables = vec![
            // The examples in Rust need the same libraries, so they are compiled already.
            ("CARGO_TARGET_DIR", repository.join("example-tasks/target")),
            ("SDK", repository.join("guest-sdk").join(language)),
            ("TASKS", tasks.to_owned()),
            ("HOST", url.into()),
        ];
        Self { folder: folder.to_owned(), variables }
    }

    /// Runs a script, and returns what it printed.
    pub fn run(&self, script: &str) -> String {
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(script).current_dir(&self.folder);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = fetched_tools().into_iter().chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(paths).expect("paths"));
        shell.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = shell.output().expect("bash runs");
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}
