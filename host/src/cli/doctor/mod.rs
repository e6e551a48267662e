//! `streamtask doctor`: checks whether a host can run here, and what would fix what is missing.

mod finding;
mod folders;
mod groups;
mod network;
mod system;
mod tools;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use self::finding::{Finding, Level};
use super::style::Style;
use super::{Exit, lists};
use crate::app::own_program;
use crate::config::{Config, ConfigError, Settings};
use crate::process::spawn_blocking;

/// The host to check for, with the settings that `serve` would have.
#[derive(Args)]
pub(super) struct Doctor {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Configuration file of the host [default: streamtask.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "STREAMTASK_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Settings of the host, as for serve")]
    settings: Settings,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let (settings, mut findings) = match self.settings() {
            Ok(settings) => (settings, Vec::new()),
            Err(finding) => (self.settings.clone(), vec![finding]),
        };
        let config = match settings.config() {
            Ok(config) => config,
            Err(error) => {
                findings.push(invalid(&error));
                Config::new(
                    settings.tasks.clone().unwrap_or_else(|| "tasks".into()),
                    settings.data.clone().unwrap_or_else(|| "data".into()),
                )
            }
        };
        if let Err(error) = settings.address() {
            let port = settings.listen.unwrap_or_default().0.port();
            let remedy = format!("--listen {port} for this machine alone, or --open");
            findings.push(Finding::problem("settings", error.to_string(), remedy));
        }
        findings.extend(folders::check(&config));
        findings.push(network::check(settings.listen.unwrap_or_default()).await);
        let config = Config { compiler: Some(own_program()), ..config };
        let machine = spawn_blocking(move || {
            let mut findings = system::check(&config);
            findings.extend(tools::check());
            findings
        });
        findings.extend(match machine {
            Ok(machine) => machine.await.unwrap_or_else(|_| vec![broken()]),
            Err(error) => vec![Finding::problem("threads", error.to_string(), "ulimit -u 4096")],
        });
        self.report(&findings)
    }

    fn settings(&self) -> Result<Settings, Finding> {
        let file = Settings::read(self.config.as_deref());
        let file = file.map_err(|error| invalid(&error))?;
        Ok(self.settings.clone().or(file))
    }

    fn report(&self, findings: &[Finding]) -> Result<(), Exit> {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
        let mut out = std::io::stdout().lock();
        if self.json {
            let report =
                serde_json::json!({ "problems": problems, "warnings": warnings, "checks": findings });
            writeln!(out, "{}", lists::json(&report))?;
        } else {
            let style = Style::of(&out);
            for finding in findings {
                writeln!(out, "{}", finding.line(style))?;
            }
        }
        match problems {
            0 => Ok(()),
            1 => Err(Exit::Unhealthy("1 problem keeps a host from working here".to_owned())),
            _ => Err(Exit::Unhealthy(format!("{problems} problems keep a host from working here"))),
        }
    }
}

/// A faulty configuration. The error of a file quotes it on lines of their own, which `serve --check` prints.
fn invalid(error: &ConfigError) -> Finding {
    let text = error.to_string();
    let (first, last) = (text.lines().next(), text.trim_end().lines().skip(1).last());
    let found: Vec<&str> = first.into_iter().chain(last).collect();
    Finding::problem("settings", found.join(": "), CHECK)
}

/// The checks of the machine panicked, which is a bug.
fn broken() -> Finding {
    Finding::problem("machine", "the checks of the machine failed", "report this with the output above")
}

/// The command that shows the settings with their sources.
const CHECK: &str = "streamtask serve --check";
