//! What goes wrong in a task, in each language: which kind of end it is, and what a person reads of it. What comes out
//! stands in `docs/mishaps.md`, word for word.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use streamtask_tests::{Elsewhere, TestHost, kit, optional, root};

/// A case of the kit, and what it is in the page.
const CASES: [(&str, &str); 11] = [
    ("panic", "A panic or an exception, deep in calls"),
    ("panic-elsewhere", "The same where nobody waits for it"),
    ("out-of-memory", "No memory left"),
    ("endless-loop", "An endless loop, with `cpu = \"10s\"`"),
    ("wrong-type", "A result that the output schema forbids"),
    ("too-large", "An event that is too large"),
    ("abort", "`abort`"),
    ("exit", "Exit code 3"),
    ("denied", "A request that is not granted"),
    ("load-missing", "A checkpoint that was never saved"),
    ("load-other", "A checkpoint that is of another type"),
];
/// What they need: none is tried twice, and each result is an object or nothing.
const MANIFEST: &str =
    "[limits]\ncpu = '10s'\nmemory = '256MiB'\n[output-schema]\ntype = ['object', 'null']\n";

struct Kit {
    host: TestHost,
    elsewhere: Elsewhere,
}

impl Kit {
    async fn of(wasm: &[u8]) -> Self {
        let host =
            TestHost::with_kept_code(|config| config.limits.deadline = Some(Duration::from_secs(120))).await;
        fs::write(host.tasks().join("test/conformance.toml"), MANIFEST).unwrap();
        host.install("test/conformance.wasm", wasm).await;
        Self { host, elsewhere: Elsewhere::start().await }
    }

    async fn run(&self, case: &str) -> (Vec<streamtask_tests::Event>, Value) {
        let input = json!({ "case": case, "code": 3, "size": 2_000_000, "url": self.elsewhere.url("/") });
        let run = self.host.start_run("test/conformance", input).await;
        let events = self.host.follow(&run).await.rest().await;
        (events, self.host.finished(&run).await)
    }

    /// How a case ended, as a line of the page.
    async fn told(&self, case: &str) -> String {
        let (_, run) = self.run(case).await;
        let (kind, words) = match &run["error"] {
            Value::Null => ("completed".to_owned(), format!("`{}`", run["final_value"])),
            error if error["code"] == "unsupported" => return "–".to_owned(),
            error => {
                let text = |name: &str| error[name].as_str().unwrap_or_default();
                let code =
                    if text("code").is_empty() { String::new() } else { format!(", `{}`", text("code")) };
                (format!("`{}`{code}", text("kind")), in_words(text("message"), &self.elsewhere))
            }
        };
        format!("{kind} | {words}")
    }
}

/// A message as the page shows it: without numbers that change with the source, in one line.
fn in_words(message: &str, elsewhere: &Elsewhere) -> String {
    let here = format!("{}/", root().canonicalize().unwrap().display());
    let port = elsewhere.address.port().to_string();
    let message = message.replace(&here, "").replace(&port, "PORT").replace('|', "\\|");
    let mut words = String::new();
    let mut is_line = false;
    for character in message.lines().collect::<Vec<_>>().join(" ").chars() {
        if is_line && character.is_ascii_digit() {
            if !words.ends_with('N') {
                words.push('N');
            }
            continue;
        }
        is_line = character == ':' || (is_line && character == ' ');
        words.push(character);
    }
    // How much Go had then depends on its version.
    match words.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(" in use)")?.1))) {
        Some((before, after)) => format!("{before}(N in use){after}"),
        None => words,
    }
}

/// What the page says of a case in a language.
fn on_the_page(page: &str, title: &str, language: &str) -> Option<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("{title}\n")))?;
    let row = section.lines().find_map(|line| line.strip_prefix(&format!("| {language} | ")))?;
    Some(row.trim_end_matches(" |").to_owned())
}

async fn goes_wrong(language: &'static str, name: &str) {
    let Some(wasm) = kit::guest(language) else {
        return optional::skip(&format!("mishaps in {language}"), &kit::needs(language));
    };
    let kit = Kit::of(&wasm).await;
    let page = fs::read_to_string(root().join("docs/mishaps.md")).unwrap_or_default();
    let mut wrong = Vec::new();
    for (case, title) in CASES {
        let told = kit.told(case).await;
        if on_the_page(&page, title, name).as_deref() != Some(&told) {
            wrong.push(format!("## {title}\n| {name} | {told} |"));
        }
    }
    assert!(wrong.is_empty(), "docs/mishaps.md does not say what happens:\n{}", wrong.join("\n"));
    broken_text(&kit).await;
}

/// One broken unit is one U+FFFD, wherever the text goes.
async fn broken_text(kit: &Kit) {
    let (events, run) = kit.run("broken-text").await;
    if run["error"]["code"] == "unsupported" {
        return;
    }
    let mended = json!({ "text": "a\u{fffd}b" });
    assert_eq!(run["final_value"], mended, "{}", run["error"]);
    let data =
        |name: &str| events.iter().find(|event| event.name == name).map(|event| event.json()["data"].clone());
    assert_eq!(data("broken"), Some(mended.clone()));
    assert_eq!(data("log").map(|line| line["message"].clone()), Some(mended["text"].clone()));
    assert_eq!(data("progress").map(|progress| progress["message"].clone()), Some(mended["text"].clone()));
}

macro_rules! languages {
    ($($language:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $language() {
            let language = stringify!($language);
            let (_, name) = kit::LANGUAGES.into_iter().find(|(known, _)| *known == language).unwrap();
            goes_wrong(language, name).await;
        }
    )*};
}

languages! { rust python javascript typescript go c }

/// Of a program of preview 1, of a component with `exit-with-code`, and of one without.
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_is_told_as_what_it_is() {
    for (language, known) in [("go", true), ("c", true), ("rust", false)] {
        let Some(wasm) = kit::guest(language) else {
            optional::skip(&format!("exit codes in {language}"), &kit::needs(language));
            continue;
        };
        let kit = Kit::of(&wasm).await;
        for code in [0, 1, 2, 3, 125, 126, 127, 128, 255] {
            let input = json!({ "case": "exit", "code": code });
            let run = kit.host.start_run("test/conformance", input).await;
            let run = kit.host.finished(&run).await;
            let message = run["error"]["message"].as_str().unwrap_or_default();
            let is_named = message.ends_with(&format!("exited with code {code}"));
            match code {
                // Of a program that is success, and of a task that never returned it is none.
                0 if language == "go" => assert_eq!(run["status"], "completed", "{run}"),
                0 => assert!(is_named, "{language}: {run}"),
                // Without `exit-with-code`, WASI 0.2 does not tell more.
                _ if !known => assert!(message.ends_with("a non-zero code"), "{language} {code}: {run}"),
                1 => assert!(is_named || message.ends_with("a non-zero code"), "{language}: {run}"),
                _ => assert!(is_named, "{language} {code}: {run}"),
            }
        }
    }
}
