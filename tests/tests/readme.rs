//! The README's walk-through, as a reader types it: every `console` block runs
//! against a host with the examples, and prints what the README says it prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use streamtask_tests::child::binary;
use streamtask_tests::{ChildHost, TestHost, eventually, guests, optional, root};

/// Where the README's host listens.
const ADDRESS: &str = "127.0.0.1:8080";

struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// The commands of all `console` blocks, with what follows each.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut within = false;
    for (nth, line) in readme.lines().enumerate() {
        match line {
            "```console" => within = true,
            "```" => within = false,
            _ if !within => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { line: nth + 1, command: command.to_owned(), expected: Vec::new() })
                }
                None => steps.last_mut().expect("a command comes first").expected.push(line.to_owned()),
            },
        }
    }
    steps
}

/// Whether a line is as the README has it, where `…` stands for anything.
fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The same for many lines, where a line of `...` stands for any lines.
fn matches(expected: &[String], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([dots, others @ ..], _) if dots == "..." => {
            (0..=lines.len()).any(|skipped| matches(others, &lines[skipped..]))
        }
        ([first, others @ ..], [line, rest @ ..]) => line_matches(first, line) && matches(others, rest),
        _ => false,
    }
}

fn run(command: &str, host: &ChildHost, folder: &Path) -> String {
    let address = host.address.to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary().parent().expect("in a folder").display());
    let output = Command::new("sh")
        .args(["-c", &command.replace(ADDRESS, &address)])
        .env("PATH", path)
        .env("STREAMTASK_HOST", format!("http://{address}"))
        .current_dir(folder)
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_walk_through_does_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        return optional::skip("README's walk-through", "curl, as the package `curl` of most systems");
    }
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    for name in ["counter", "generator", "long-operation"] {
        guests::install(&tasks, &format!("demo/{name}.wasm"), &guests::example(name));
    }
    let host = ChildHost::start(&tasks, &data, &[]);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() > 8, "the walk-through is still there");
    for step in steps {
        let printed = run(&step.command, &host, folder.path());
        // Blank lines at the end are hard to see in a page.
        let lines: Vec<&str> = printed.trim_end().lines().collect();
        assert!(
            matches(&step.expected, &lines),
            "README.md line {}: {}\nprints\n{printed}\nnot\n{}",
            step.line,
            step.command,
            step.expected.join("\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_one_that_the_host_takes() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("### What one task may do").nth(1).unwrap();
    let manifest = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let host = TestHost::start().await;
    fs::write(host.tasks().join("test/probe.toml"), manifest).unwrap();
    eventually("the manifest", || async {
        let task = host.get("/api/tasks/test/probe").await.json();
        assert!(task["problem"].is_null(), "{task}");
        task["description"] == "Counts."
    })
    .await;
}

#[test]
fn the_matcher_tells_right_from_wrong() {
    assert!(line_matches("a…c", "abbbc") && line_matches("…", "") && line_matches("same", "same"));
    assert!(!line_matches("a…c", "abbb") && !line_matches("same", "same!") && !line_matches("…b…d", "abc"));
    let expected = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    assert!(matches(&expected(&["a", "...", "z"]), &["a", "b", "c", "z"]));
    assert!(!matches(&expected(&["a", "...", "z"]), &["a", "b", "c"]));
    assert!(!matches(&expected(&["a"]), &["a", "b"]));
}

/// What the README says in figures and names that the code decides.
#[test]
fn the_tables_agree_with_the_code() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = Command::new(binary()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let table: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `--")).collect();
    assert!(table.len() >= 5);
    for row in table {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let defaults = cells[2].trim_matches('`').split(", ");
        for (flag, default) in cells[1].split(", ").zip(defaults) {
            let flag = flag.trim_matches('`');
            let text =
                help.split(&format!("{flag} <")).nth(1).or_else(|| help.split(&format!("{flag} ")).nth(1));
            let text = text.unwrap_or_else(|| panic!("serve has no {flag}"));
            let text: String = text.split("\n  -").next().unwrap_or_default().split_whitespace().collect();
            if default != "none" {
                assert!(text.contains(&format!("[default:{default}]")), "{flag}: {default} is not in {text}");
            }
        }
    }
}
