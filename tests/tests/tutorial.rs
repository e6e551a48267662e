//! The book's tutorial, done to the letter: from an empty folder to a host that was killed, a page and a schedule.

use std::fs;
use std::time::{Duration, Instant};

use streamtask_tests::book::{Reader, Service, Step, free_port, get, steps};
use streamtask_tests::child::binary;
use streamtask_tests::{COMPILE_PATIENCE, PATIENCE, fetched_tools, optional, root};

/// What fetches the tools that `cargo xtask kit` has fetched already.
const FETCHES: [&str; 2] = ["python3 -m venv", ".venv/bin/pip"];

#[test]
fn the_tutorial_does_what_it_says() {
    if !root().join("target/kit/conformance-python.wasm").is_file() {
        return optional::skip("the tutorial", "what `cargo xtask kit` says");
    }
    let folder = tempfile::tempdir().unwrap();
    let (host, shop) = (free_port(), free_port());
    let ports = [("8080", host), ("9000", shop)].map(|(page, here)| (page.to_owned(), here.to_string()));
    let mut reader = Reader::new(folder.path().to_owned(), ports.into());
    let mut paths = fetched_tools();
    paths.push(binary().parent().expect("in a folder").to_owned());
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    reader.set("PATH", std::env::join_paths(paths).unwrap().to_str().unwrap());
    reader.set("STREAMTASK_LISTEN", &format!("127.0.0.1:{host}"));
    reader.set("STREAMTASK_HOST", &format!("http://127.0.0.1:{host}"));
    reader.set("XDG_CACHE_HOME", folder.path().join("cache").to_str().unwrap());
    let page = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let mut serving: Option<(Service, String)> = None;
    let mut services = Vec::new();
    for (line, step) in steps(&page) {
        let place = format!("docs/tutorial.md line {line}");
        match step {
            Step::Command(command, _) if FETCHES.iter().any(|fetch| command.starts_with(fetch)) => {}
            // "Start it again with the same command."
            Step::Command(command, _) if command.starts_with("kill -9") => {
                let (_, command) = serving.take().expect("a host to kill");
                serving = Some((reader.serve(&command, host, "/readyz", COMPILE_PATIENCE), command));
            }
            Step::Command(command, expected) => reader.run(&place, &command, &expected),
            Step::File(name, content, appends) => reader.write(&name, &content, appends),
            Step::Service(command) if command.contains("streamtask serve") => {
                serving = Some((reader.serve(&command, host, "/readyz", COMPILE_PATIENCE), command));
            }
            Step::Service(command) => services.push(reader.serve(&command, shop, "/", COMPILE_PATIENCE)),
        }
    }
    let page = get(shop, "/index.html").expect("the page of the shop");
    assert!(page.contains(&format!("http://127.0.0.1:{host}/streamtask.js")), "{page}");
    assert!(get(host, "/streamtask.js").is_some_and(|module| module.contains(" 200 ")));
    let until = Instant::now() + PATIENCE;
    while !get(host, "/api/tasks/shop/importer").is_some_and(|task| task.contains("nightly")) {
        assert!(Instant::now() < until, "stuck: the schedule of the task");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop((serving, services));
}
