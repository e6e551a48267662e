//! Measures one run that sends as fast as possible, from guest to one client, compared with a bare
//! loop that inserts the same rows.

use std::time::Instant;

use crate::bare;
use crate::client::{open_stream, read_to_end};
use crate::host::{BenchHost, database};
use crate::report::{Report, print};

/// Bytes at a stream's end that include its last event.
const TAIL: usize = 600;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print("\nevents of one run, delivered to one client (durability full)\n");
    let steps = 1_000_000 / scale;
    let host = BenchHost::start(&["--durability", "full"]);
    // Alternating, because the speed of a shared machine changes from minute to minute.
    let mut pairs = Vec::new();
    // The first one warms up the disk and the code.
    for round in 0..6 {
        let count = if round == 0 { steps / 10 } else { steps };
        let began = Instant::now();
        let body = format!("{{\"steps\":{count},\"delay_ms\":0}}");
        let mut stream = open_stream(host.address, "POST", "/api/tasks/bench/counter/runs", &body).await;
        let (mut frames, mut tail): (usize, Vec<u8>) = (0, Vec::new());
        read_to_end(&mut stream, |bytes| {
            frames += memchr::memmem::find_iter(bytes, b"\nid: ").count();
            tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
            tail.drain(..tail.len().saturating_sub(TAIL));
            true
        })
        .await;
        let rate = f64::from(count) / began.elapsed().as_secs_f64();
        assert!(memchr::memmem::find(&tail, b"run.completed").is_some(), "the run completed");
        assert!(frames >= count as usize * 99 / 100, "{frames} of {count} events counted");
        if round > 0 {
            let folder = tempfile::tempdir_in(host.data()).expect("a writable folder");
            let bare = bare::insert_rate(&database(&host.data()), folder.path(), count as usize);
            pairs.push((rate, bare));
        }
    }
    pairs.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    let (rate, bare) = pairs[pairs.len() / 2];
    report.ratio("events of one run → one client", rate, ("a bare SQLite loop", bare), 0.6);
    host.stop();
}
