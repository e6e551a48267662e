//! `cargo xtask screenshots`: takes the pictures of the page that the README and the book show.

use std::process::Command;

use crate::process::{cargo, run as run_program};
use crate::{demo, root, target_folder};

/// The script, which starts the host and the browser.
const SCRIPT: &str = "web/page/screenshots.mjs";

pub(crate) fn run() -> Result<(), String> {
    if !root().join("node_modules/playwright-core").is_dir() {
        return Err(
            "screenshots need Node.js 20.19 or newer, and what `npm ci` fetches into this folder".to_owned()
        );
    }
    run_program(cargo(root()).arg("build").args(demo::HOST))?;
    let mut script = Command::new("node");
    script.arg(SCRIPT).env("STREAMTASK_BIN", target_folder().join("demo/streamtask"));
    run_program(script.current_dir(root()))
}
