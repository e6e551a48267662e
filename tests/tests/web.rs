//! What a browser loads: how the host serves it, and the tests of the browser client and the page, which
//! run in Node.js and in Chromium, before this host.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use hyper::Method;
use streamtask_tests::{TestHost, child, optional, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_to_browsers_and_the_index_to_programs() {
    let host = TestHost::start().await;
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let page = host.request(&Method::GET, "/", &browser, "").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(host.get("/").await.json()["links"]["tasks"], "/api/tasks");
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    let dev = fs::read_to_string(root().join("web/page/dev.mjs")).unwrap();
    assert!(
        policy.split("; ").all(|rule| dev.contains(&format!("\"{rule}\""))),
        "the same while it is written"
    );

    // Each file that the page names is there.
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let named = html.split('"').filter(|text| text.starts_with("page/")).map(|file| format!("/{file}"));
    let modules = fs::read_dir(root().join("web/page/assets")).unwrap();
    let modules = modules.map(|file| format!("/page/{}", file.unwrap().file_name().display()));
    let all = named.chain(modules).chain(["/streamtask.js".to_owned()]);
    for path in all.filter(|path| path != "/page/index.html") {
        let file = host.get(&path).await;
        assert_eq!(file.status, 200, "{path}");
        let tag = file.header("etag").to_owned();
        let again = host.request(&Method::GET, &path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
    }
    for path in ["/page/nothing.js", "/page/index.html", "/page/..%2f..%2fCargo.toml", "/page/"] {
        assert_eq!(host.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_client_passes_its_own_tests() {
    run("the browser client", "web/client", &["types", "test"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_passes_its_own_tests() {
    run("the page", "web/page", &["test"]).await;
}

/// Runs scripts of a package. Tests within skip themselves, where they lack a browser.
async fn run(what: &str, folder: &str, scripts: &[&str]) {
    if let Some(missing) = missing(&root()) {
        return optional::skip(what, missing);
    }
    let binary = tokio::task::spawn_blocking(child::binary).await.unwrap();
    // For all hosts of all files: to compile a guest takes longer than most tests.
    let compiled = tempfile::tempdir().unwrap();
    for script in scripts {
        let mut npm = tokio::process::Command::new("npm");
        npm.args(["run", "--silent", script]).current_dir(root().join(folder)).stdin(Stdio::null());
        npm.env("STREAMTASK_BIN", binary).env("STREAMTASK_COMPILED", compiled.path());
        if std::env::var_os("STREAMTASK_KIT").is_none() {
            npm.env("STREAMTASK_KIT", root().join("target/kit"));
        }
        let output = npm.kill_on_drop(true).output().await.expect("npm starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {script}: {said}\n{complained}");
    }
}

/// What it takes besides a browser.
fn missing(root: &Path) -> Option<&'static str> {
    let node = std::process::Command::new("node").arg("--version").output();
    if node.is_err() {
        return Some("Node.js 20 or newer, as `node`");
    }
    let fetched = root.join("node_modules/playwright-core").is_dir();
    (!fetched).then_some("what `npm ci` fetches once, in the folder of the repository")
}
