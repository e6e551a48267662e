//! `streamtask open`: shows the page of a host in the browser.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use clap::Args;

use super::lists::encoded;
use super::{Exit, Server};
use crate::process::start_thread;

/// The program that opens a URL in the browser of the desktop.
const OPENER: &str = "xdg-open";

/// What to show.
#[derive(Args)]
pub(super) struct Open {
    /// Id of a run [default: the list of all runs]
    run: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Print the URL only
    #[arg(long)]
    print: bool,
}

impl Open {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let client = self.server.client()?;
        let path = match &self.run {
            Some(run) => format!("/api/runs/{}", encoded(run)),
            // Also of a host that is not healthy.
            None => "/".to_owned(),
        };
        // So that a mistake shows here instead of in the browser.
        client.get(&path).await?;
        let url = page(client.base(), self.run.as_deref());
        writeln!(std::io::stdout().lock(), "{url}")?;
        if self.print { Ok(()) } else { browse(&url).map_err(Exit::Usage) }
    }
}

/// The URL of the page, or of a run on it.
pub(super) fn page(host: &str, run: Option<&str>) -> String {
    let host = host.trim_end_matches('/');
    match run {
        Some(run) => format!("{host}/#/runs/{}", encoded(run)),
        None => format!("{host}/"),
    }
}

/// Opens a URL in `$BROWSER`, or else in the browser of the desktop. Does not wait for it.
pub(super) fn browse(url: &str) -> Result<(), String> {
    let browsers = std::env::var("BROWSER").ok().filter(|browsers| !browsers.is_empty());
    let (program, arguments) = command(browsers.as_deref(), url);
    let mut browser = Command::new(&program);
    browser.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A Ctrl-C for this command must not end the browser.
    browser.process_group(0);
    match browser.spawn() {
        Ok(mut browser) => {
            // Only so that no zombie stays while this command runs.
            let _ = start_thread("browser", move || drop(browser.wait()));
            Ok(())
        }
        Err(error) => {
            Err(format!("can't start the browser ({program}: {error}); set BROWSER, or open the URL"))
        }
    }
}

/// The first program of a list such as `firefox:chromium --new-window %s`.
fn command(browsers: Option<&str>, url: &str) -> (String, Vec<String>) {
    let first = browsers.and_then(|browsers| browsers.split(':').next()).unwrap_or(OPENER);
    let mut words = first.split_whitespace().map(str::to_owned);
    let program = words.next().unwrap_or_else(|| OPENER.to_owned());
    let mut arguments: Vec<String> = words.collect();
    match arguments.iter_mut().find(|argument| argument.contains("%s")) {
        Some(argument) => *argument = argument.replace("%s", url),
        None => arguments.push(url.to_owned()),
    }
    (program, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_that_of_the_user() {
        let parts = |browsers| {
            let (program, arguments) = command(browsers, "http://x/");
            format!("{program} {}", arguments.join(" "))
        };
        assert_eq!(parts(None), "xdg-open http://x/");
        assert_eq!(parts(Some("firefox:chromium")), "firefox http://x/");
        assert_eq!(parts(Some("chromium --app=%s --new-window")), "chromium --app=http://x/ --new-window");
        assert_eq!(parts(Some(" ")), "xdg-open http://x/");
    }

    #[test]
    fn a_run_has_a_place_on_the_page() {
        assert_eq!(page("http://127.0.0.1:8080", Some("a/b")), "http://127.0.0.1:8080/#/runs/a%2Fb");
        assert_eq!(page("http://127.0.0.1:8080", None), "http://127.0.0.1:8080/");
    }
}
