//! `streamtask check`: manifests looked at without a host.

use std::fs;

use serde_json::Value;
use streamtask_tests::{Said, TestHost, child, root};

#[test]
fn a_manifest_is_checked_without_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let check = |files: &[&str]| Said::of(child::command().arg("check").args(files));
    let good = file("good.toml", "[limits]\nmemory = '1GiB'\n");
    let bad = file("bad.toml", "[limits]\nmemroy = '1GiB'\n");
    let said = check(&[&good]);
    assert_eq!((said.code, said.out.as_str()), (0, format!("{good} is a valid manifest\n").as_str()));
    check(&[&bad]).refused(2, "bad.toml line 2, column 1: unknown field `memroy`");
    check(&["nowhere.toml"]).refused(2, "can't read nowhere.toml");
    check(&["a.txt"]).refused(2, "a.txt");
    let said = check(&[&bad, &good, "a.txt"]);
    assert_eq!((said.code, said.out.lines().count(), said.err.lines().count()), (2, 1, 2), "{said:?}");
    assert_eq!(check(&[]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_manifests_is_shipped_printed_and_served() {
    let shipped = fs::read_to_string(root().join("host/schemas/manifest.schema.json")).unwrap();
    assert_eq!(Said::of(child::command().args(["check", "--manifest-schema"])).out, shipped);
    let host = TestHost::start().await;
    let served = host.get("/schemas/manifest.json").await;
    assert_eq!(served.header("content-type"), "application/schema+json");
    assert_eq!(served.json(), serde_json::from_str::<Value>(&shipped).unwrap());
}
