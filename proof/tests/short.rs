//! A short run of `cargo xtask proof`.

use streamtask_proof::{Options, prove};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_again_and_again_loses_nothing() {
    let options = Options {
        kills: 25,
        time: None,
        seed: fastrand::u64(..1_000_000),
        actors: 16,
        hosts: 1,
        ..Options::default()
    };
    let report = prove(options).await;
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.kills.all() >= 25 && report.seen > report.stored, "{report}");
}
