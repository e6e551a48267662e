//! `streamtask progress`: the progress of a run as a tree of text.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::lists::{encoded, items, json};
use super::{Exit, Server};
use crate::process::plain;

/// Width of the name of an item with its indentation, in characters.
const NAME_WIDTH: usize = 32;
/// Width of a count.
const COUNT_WIDTH: usize = 12;

/// Show the progress of a run.
#[derive(Args)]
pub(super) struct Progress {
    /// Id of the run
    run: String,
    #[command(flatten)]
    server: Server,
    /// Print the JSON response of the host
    #[arg(long)]
    json: bool,
}

impl Progress {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let path = format!("/api/runs/{}/progress", encoded(&self.run));
        let answer = self.server.client()?.get(&path).await?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&answer))?;
            return Ok(());
        }
        let left = answer["remaining_ms"].as_u64().map(|ms| format!("{} left", time(ms)));
        line(&mut out, 0, "", &answer, left.as_deref().unwrap_or_default())?;
        for item in items(&answer, "items") {
            tree(&mut out, item, 1)?;
        }
        Ok(())
    }
}

/// Recursion is safe: the host limits the depth.
fn tree(out: &mut impl Write, item: &Value, level: usize) -> io::Result<()> {
    line(out, level, item["id"].as_str().unwrap_or_default(), item, "")?;
    items(item, "children").try_for_each(|child| tree(out, child, level + 1))
}

/// Prints `  name    running    42 %  20/80  message`, at level 0 (the run itself) without the name.
fn line(out: &mut impl Write, level: usize, name: &str, item: &Value, left: &str) -> io::Result<()> {
    let text = |name: &str| plain(item[name].as_str().unwrap_or_default());
    let fraction = item["fraction"].as_f64();
    let percent = fraction.map_or_else(|| "-".to_owned(), |fraction| format!("{:.0} %", fraction * 100.0));
    let count = match (item["done"].as_u64(), item["total"].as_u64()) {
        (Some(done), Some(total)) => format!("{done}/{total}"),
        (Some(done), None) => done.to_string(),
        _ => String::new(),
    };
    let (status, message) = (text("status"), text("message"));
    let rest = format!("{status:<10} {percent:>5}  {count:<COUNT_WIDTH$} {left} {message}");
    match level {
        0 => writeln!(out, "{}", rest.trim_end()),
        _ => {
            let name = format!("{:indent$}{}", "", plain(name), indent = 2 * level);
            writeln!(out, "{name:<NAME_WIDTH$} {}", rest.trim_end())
        }
    }
}

/// A duration in its two largest units.
fn time(ms: u64) -> String {
    let seconds = Duration::from_millis(ms).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => "less than 1s".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_what_is_known() {
        let print = |level, name, item: Value, left| {
            let mut out = Vec::new();
            line(&mut out, level, name, &item, left).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all = json!({"status":"running","fraction":0.424,"done":20,"total":80,"message":"page\u{1b}"});
        assert_eq!(
            print(0, "", all.clone(), "1m 3s left"),
            "running     42 %  20/80        1m 3s left page\\u{1b}\n"
        );
        let item = print(2, "fetch", all, "");
        assert!(
            item.starts_with("    fetch  ")
                && item.ends_with("running     42 %  20/80         page\\u{1b}\n"),
            "{item}"
        );
        assert_eq!(print(0, "", json!({"status":"queued","fraction":null}), ""), "queued         -\n");
    }

    #[test]
    fn a_time_is_printed_in_its_two_largest_units() {
        let told: Vec<String> = [400, 59_999, 61_000, 7_260_000, 180_000_000].map(time).into();
        assert_eq!(told, ["less than 1s", "59s", "1m 1s", "2h 1m", "2d 2h"]);
    }
}
