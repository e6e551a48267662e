//! "Write a task in …": what each SDK's page says, done to the letter, from an empty
//! folder to a run that completes.

use std::fs;
use std::process::Command;

use serde_json::Value;
use streamtask_tests::{COMPILE_PATIENCE, ChildHost, eventually_within, fetched_tools, optional, root};

/// What a page tells its reader to do before its second heading: commands, and files.
struct Page {
    steps: Vec<Step>,
}

enum Step {
    Commands(String),
    /// The name stands in the line before.
    File(String, String),
}

impl Page {
    fn read(language: &str) -> Self {
        let path = root().join("guest-sdk").join(language).join("README.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut steps = Vec::new();
        let (mut lines, mut before, mut headings) = (text.lines(), String::new(), 0);
        while let Some(line) = lines.next() {
            headings += usize::from(line.starts_with("## "));
            if headings > 1 {
                break;
            }
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
    fn script(&self, replace: &[(&str, &str)]) -> String {
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

/// Follows a page; then a run of the task that it leads to completes with `result`.
async fn leads_to(language: &str, task: &str, replace: &[(&str, &str)], result: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, work) = (folder.path().join("tasks"), folder.path().join("work"));
    fs::create_dir_all(tasks.join("demo")).unwrap();
    fs::create_dir_all(&work).unwrap();
    let host = ChildHost::start(&tasks, &folder.path().join("data"), &[]);
    let url = format!("http://{}", host.address);
    let repository = root().canonicalize().unwrap();
    for link in ["guest-sdk", "node_modules"] {
        let _ = std::os::unix::fs::symlink(repository.join(link), work.join(link));
    }
    let mut script = Page::read(language).script(replace).replace("http://127.0.0.1:8080", &url);
    // The last command starts a run, for which the task has to be loaded.
    let start = script.rfind("curl ").map(|at| script.split_off(at));
    let run = |script: &str| {
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(script).current_dir(&work);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = fetched_tools().into_iter().chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(paths).unwrap());
        // The examples in Rust need the same libraries, so they are compiled already.
        shell.env("CARGO_TARGET_DIR", repository.join("example-tasks/target"));
        shell.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        shell.env("SDK", repository.join("guest-sdk").join(language)).env("TASKS", &tasks).env("HOST", &url);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&script);
    let at = format!("/api/tasks/demo/{task}");
    eventually_within(COMPILE_PATIENCE, "the task is loaded", || async {
        host.get(&at).await.json()["version"].is_string()
    })
    .await;
    let started = match &start {
        Some(start) => run(&format!("export SDK TASKS HOST\n{start}")),
        None => host.post(&format!("{at}/runs"), r#"{"steps":3}"#).await.json().to_string(),
    };
    let started: Value = serde_json::from_str(&started).unwrap_or_else(|error| panic!("{error}: {started}"));
    let ended = host.finished(&started).await;
    assert_eq!(ended["final_value"].to_string(), result, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    let here = [("cp target/", "cp \"$CARGO_TARGET_DIR\"/")];
    leads_to("rust", "hello", &here, r#"{"greeted":2}"#).await;
}

/// Whether the kit's guest of a language is there, and so its tools; a note if not.
fn has_tools(language: &str) -> bool {
    let there = root().join(format!("target/kit/conformance-{language}.wasm")).is_file();
    if !there {
        optional::skip(&format!("the page of the SDK for {language}"), "what `cargo xtask kit` says");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    if has_tools("python") {
        let here = [("streamtask serve --tasks tasks", ""), ("-o tasks/demo", "-o \"$TASKS\"/demo")];
        leads_to("python", "count", &here, r#"{"step":3,"total":3}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_and_typescript() {
    if has_tools("typescript") {
        // The packages are those of this repository, where the SDK is one.
        let here = [
            ("npm install --save-dev --install-links ../streamtask/guest-sdk/js", ""),
            ("../streamtask/tasks", "\"$TASKS\""),
        ];
        leads_to("js", "hello", &here, r#"{"greeted":2}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn go() {
    if has_tools("go") {
        leads_to("go", "greet", &[], r#"{"greeted":2}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c() {
    if has_tools("c") {
        leads_to("c", "greet", &[], r#"{"greeted":2}"#).await;
    }
}
