//! Names that users write and that were changed: the old ones still work, and CHANGELOG.md lists them.

use std::fs;

use serde_json::Value;
use streamtask_tests::{Said, TestHost, child, root};

const SCHEDULE: &str = "[[schedule]]\ncron = '30 3 1 1 *'\ninput = { do = 'echo' }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_with_the_old_key_of_the_misfire_policy_is_loaded_and_shown_under_the_new_one() {
    let host = TestHost::start().await;
    for key in ["missed", "misfire"] {
        host.manifest(&format!("{SCHEDULE}{key} = 'all'\n")).await;
        let task = host.get("/api/tasks/test/probe").await.json();
        assert_eq!(task["problem"], Value::Null, "{key}");
        assert_eq!(task["schedules"][0]["misfire"], "all", "{key}");
    }
}

#[test]
fn the_check_takes_the_old_key_of_the_misfire_policy_but_not_beside_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.toml");
    let check = |keys: &str| {
        fs::write(&path, format!("{SCHEDULE}{keys}")).unwrap();
        Said::of(child::command().arg("check").arg(&path))
    };
    let said = check("missed = 'once'\n");
    assert_eq!(said.code, 0, "{said:?}");
    check("missed = 'once'\nmisfire = 'all'\n").refused(2, "duplicate field `misfire`");
}

#[test]
fn dev_takes_the_old_flag_of_a_running_host() {
    // Flags are parsed up to `--help`, so an unknown one would be an error.
    let said = Said::of(child::command().args(["dev", "--url", "http://127.0.0.1:1", "--help"]));
    assert_eq!(said.code, 0, "{said:?}");
}

/// Old and new name of each row of the table in CHANGELOG.md.
fn renamed() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let table = page.split_once("### Renamed").expect("the heading").1;
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ").skip(1);
        let mut name = || Some(cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        Some((name()?, name()?))
    });
    rows.collect()
}

#[test]
fn every_new_name_in_the_table_of_renamed_ones_is_in_the_docs_and_no_old_problem_type_is() {
    let read = |page: &str| fs::read_to_string(root().join(page)).unwrap();
    let pages = [
        "docs/problems.md",
        "docs/websocket.md",
        "docs/events.md",
        "docs/streams.md",
        "docs/reference/cli.md",
        "docs/reference/http.md",
        "docs/reference/limits.md",
        "docs/reference/manifest.md",
    ];
    let pages = pages.map(read).concat();
    let renamed = renamed();
    assert!(renamed.len() > 10, "the search finds them: {renamed:?}");
    for (old, new) in renamed {
        assert!(pages.contains(&new), "{new} is not in the docs");
        assert!(!pages.contains(&format!("urn:streamtask:problem:{old}`")), "{old} is still in the docs");
    }
}
