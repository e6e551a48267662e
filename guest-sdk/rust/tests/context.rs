//! What a `Context` sends and answers, against a recording.

use std::cell::Cell;
use std::io::Read as _;
use std::time::Duration;

use serde::{Serialize, Serializer};
use streamtask_sdk::http::ErrorKind;
use streamtask_sdk::testing::{Content, Recording, Reply};
use streamtask_sdk::{Cancelled, Context, ErrorCode, Failure, Level, Outcome, http, json};

#[test]
fn events_keep_their_order_channel_and_content() {
    let run = Recording::new();
    run.send("a", &1).unwrap();
    run.send_on("side", "b", "text").unwrap();
    run.send_bytes("c", "image/png", &[1, 2]).unwrap();
    run.send_bytes_on("side", "d", "image/png", &[]).unwrap();
    run.log(Level::Warn, format_args!("{} left", 3)).unwrap();
    run.flush().unwrap();

    let channels: Vec<_> = run.events().into_iter().map(|event| event.channel).collect();
    let side = || Some("side".to_owned());
    assert_eq!(channels, [None, side(), None, side(), None]);
    assert_eq!(run.types(), ["a", "b", "c", "d", "log"]);
    assert_eq!(run.data("b"), ["text"]);
    assert_eq!(
        run.events()[2].content,
        Content::Bytes { content_type: "image/png".to_owned(), bytes: vec![1, 2] }
    );
    assert_eq!(run.data("log"), [json!({ "level": "warn", "message": "3 left" })]);
}

#[test]
fn what_the_host_refuses_is_refused_and_nothing_is_sent() {
    let run = Recording::new();
    for bad in ["", "a\nb", "run.completed", "gap", &"x".repeat(129)] {
        let error = run.send(bad, &1).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{bad:?}: {error}");
    }
    assert_eq!(run.send_on("a\rb", "x", &1).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(run.send("x", &"y".repeat(1 << 20)).unwrap_err().code(), ErrorCode::TooLarge);
    assert_eq!(run.save_checkpoint("", &1).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert!(run.events().is_empty());
}

#[test]
fn a_value_without_a_form_in_json_is_refused() {
    let run = Recording::new();
    let by_pair = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(run.send("x", &by_pair).unwrap_err().code(), ErrorCode::InvalidArgument);
    // The half-written text does not get into the next event.
    run.send("x", &1).unwrap();
    assert_eq!(run.data("x"), [1]);
}

#[test]
fn a_value_can_send_while_it_is_sent() {
    struct Chatty<'a>(&'a Context, Cell<bool>);
    impl Serialize for Chatty<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.1.set(self.0.send("inner", &"i".repeat(100)).is_ok());
            serializer.serialize_str("outer")
        }
    }
    let run = Recording::new();
    let chatty = Chatty(&run, Cell::new(false));
    run.send("outer", &chatty).unwrap();
    assert!(chatty.1.get());
    assert_eq!(run.types(), ["inner", "outer"]);
    assert_eq!(run.data("outer"), ["outer"]);
}

#[test]
fn a_sleep_ends_early_when_the_run_is_cancelled() {
    let run = Recording::new().with_cancel_after(Duration::from_secs(90));
    assert_eq!(run.sleep(Duration::from_secs(60)), Ok(()));
    assert!(!run.cancelled());
    assert_eq!(run.sleep(Duration::from_secs(60)), Err(Cancelled));
    assert_eq!(run.elapsed(), Duration::from_secs(90));
    assert_eq!(run.check_cancelled(), Err(Cancelled));
    assert_eq!(run.sleep(Duration::ZERO), Err(Cancelled));
}

#[test]
fn a_sleep_can_be_longer_than_the_contract_s_longest() {
    let run = Recording::new();
    let year = Duration::from_secs(365 * 86_400);
    run.sleep(year).unwrap();
    assert_eq!(run.elapsed(), year);
}

#[test]
fn the_time_left_runs_out() {
    assert_eq!(Recording::new().remaining(), None);
    let run = Recording::new().with_deadline(Duration::from_secs(10));
    run.sleep(Duration::from_secs(4)).unwrap();
    assert_eq!(run.remaining(), Some(Duration::from_secs(6)));
    run.sleep(Duration::from_secs(10)).unwrap();
    assert_eq!(run.remaining(), Some(Duration::ZERO));
}

#[test]
fn signals_come_in_order_or_by_name() {
    let run = Recording::new().with_signal("a", &1).with_signal("b", &2).with_signal("a", &3);
    let next = |name| {
        let signal = run.receive_signal(name, Some(Duration::ZERO))?;
        Some((signal.name().to_owned(), signal.payload::<u32>().unwrap()))
    };
    assert_eq!(next(Some("b")), Some(("b".to_owned(), 2)));
    assert_eq!(next(None), Some(("a".to_owned(), 1)));
    assert_eq!(next(None), Some(("a".to_owned(), 3)));
    assert_eq!(next(None), None);
}

#[test]
fn waiting_for_a_signal_takes_its_time_and_ends_when_cancelled() {
    let run = Recording::new();
    assert_eq!(run.receive_signal(None, Some(Duration::from_secs(100 * 86_400))), None);
    assert_eq!(run.elapsed(), Duration::from_secs(100 * 86_400));

    let run = Recording::new().with_cancel_after(Duration::from_secs(5));
    assert_eq!(run.receive_signal(None, None), None);
    assert!(run.cancelled());
}

#[test]
fn a_payload_or_parameter_of_another_type_is_refused() {
    let run = Recording::new().with_signal("s", "text").with_parameter("p", "text");
    let signal = run.receive_signal(None, None).unwrap();
    let error = signal.payload::<u32>().unwrap_err();
    assert!(error.message().starts_with(r#"the payload of the signal "s": invalid type"#), "{error}");
    let error = run.parameter::<u32>("p").unwrap_err();
    assert!(error.message().starts_with(r#"the parameter "p": invalid type"#), "{error}");
    assert_eq!(run.parameter::<String>("p").unwrap().as_deref(), Some("text"));
    assert_eq!(run.parameter::<u32>("never set").unwrap(), None);
}

#[test]
fn a_checkpoint_replaces_the_one_before() {
    let run = Recording::new().with_checkpoint("next", &3);
    assert_eq!(run.load_checkpoint("next").unwrap(), Some(3));
    run.save_checkpoint("next", &4).unwrap();
    assert_eq!(run.load_checkpoint("next").unwrap(), Some(4));
    assert_eq!(run.load_checkpoint_bytes("next").unwrap().as_deref(), Some(&b"4"[..]));
    assert_eq!(run.load_checkpoint::<u32>("other").unwrap(), None);
    assert!(run.load_checkpoint::<String>("next").is_err());
}

#[test]
fn the_run_knows_itself() {
    let run = Recording::new().with_attempt(2).with_label("team", "blue");
    let info = run.info();
    assert_eq!((info.attempt, info.label("team"), info.label("none")), (2, Some("blue"), None));
}

#[test]
fn a_stream_sends_each_value_and_returns_the_last() {
    let run = Recording::new();
    assert_eq!(run.stream(1..=3).unwrap(), Some(3));
    assert_eq!(run.data("progress"), [1, 2, 3]);
    assert_eq!(run.stream([0; 0]).unwrap(), None);
}

#[test]
fn a_stream_ends_with_its_first_failure() {
    let run = Recording::new();
    let values = ["1", "2", "x", "4"].map(str::parse::<u32>);
    let failure = run.try_stream(values).unwrap_err();
    assert_eq!(failure.message, "invalid digit found in string");
    assert_eq!(run.data("progress"), [1, 2]);
}

#[test]
fn a_stream_stops_when_the_run_is_cancelled() {
    let run = Recording::new().with_cancel_after(Duration::from_secs(2));
    let values = (1..).take_while(|_| run.sleep(Duration::from_secs(1)).is_ok());
    let failure: Failure = run.stream(values).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("cancelled"));
    assert_eq!(run.data("progress"), [1, 2]);
}

#[test]
fn children_are_started_and_their_ends_are_results_or_failures() {
    let failed = || Recording::new().with_child("part", Outcome::Cancelled(None));
    let run = Recording::new().with_child("part", Outcome::Completed(json!(21)));
    let twice = |run: &Recording| -> Result<u32, Failure> {
        let first = run.child("part").key("first").priority(3).start(&json!({ "n": 1 }))?;
        let second = run.start_child("part", "two")?;
        let (at, outcome) = run.wait_for_any(&[first, second.clone()])?;
        assert_eq!(at, 0);
        Ok(outcome.value::<u32>()? + run.wait_for(&second)?.value::<u32>()?)
    };
    assert_eq!(twice(&run).unwrap(), 42);
    assert_eq!(run.children(), [("part".to_owned(), json!({ "n": 1 })), ("part".to_owned(), json!("two"))]);
    assert!(twice(&failed()).is_err());
    assert!(run.start_child("other", "x").is_err());
}

#[test]
fn a_request_gets_the_reply_to_its_address() {
    let url = "https://api.example.org/words";
    let run = Recording::new()
        .with_reply(url, Reply::new(503))
        .with_reply(url, Reply::new(200).header("Content-Type", "application/json").body("[1,2]"));
    let request = || http::post(url).header("X-Key", "k").json(&json!({ "of": "moss" }));

    let busy = request().send(&run).unwrap();
    assert_eq!(busy.status(), 503);
    let error = busy.error_for_status().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(503));
    assert_eq!(error.to_string(), "POST https://api.example.org/words: the server says 503");

    let response = request().send(&run).unwrap().error_for_status().unwrap();
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json::<Vec<u32>>().unwrap(), [1, 2]);
    let mut piece = [0; 2];
    request().send(&run).unwrap().read_exact(&mut piece).unwrap();
    assert_eq!(&piece, b"[1");
    let long = request().max_response(4).send(&run).unwrap().text().unwrap_err();
    assert_eq!(long.kind(), ErrorKind::TooLarge, "{long}");
    assert_eq!(request().max_response(5).send(&run).unwrap().text().unwrap(), "[1,2]");
    let other = request().send(&run).unwrap().json::<String>().unwrap_err();
    assert_eq!(other.kind(), ErrorKind::InvalidResponse, "{other}");

    let sent = &run.requests()[0];
    assert_eq!((sent.method(), sent.url()), ("POST", url));
    assert_eq!(sent.body_bytes(), br#"{"of":"moss"}"#);
    assert_eq!(sent.headers()[0], ("X-Key".to_owned(), "k".to_owned()));
}

#[test]
fn a_request_that_nobody_answers_says_why() {
    let minute = Duration::from_secs(60);
    let slow = || Recording::new().with_reply("http://a", Reply::new(200).delay(minute));
    let kind = |run: &Recording, request: http::Request| request.send(run).unwrap_err().kind();

    assert_eq!(kind(&slow(), http::get("http://b")), ErrorKind::Denied);
    let run = slow();
    assert_eq!(kind(&run, http::get("http://a").timeout(Duration::from_secs(1))), ErrorKind::TimedOut);
    assert_eq!(run.elapsed(), Duration::from_secs(1));
    let run = slow().with_cancel_after(Duration::from_secs(2));
    assert_eq!(kind(&run, http::get("http://a")), ErrorKind::Cancelled);
    // Whoever cleans up may still send requests.
    assert_eq!(http::get("http://a").send(&run).unwrap().status(), 200);
    let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(kind(&slow(), http::post("http://a").json(&unwritable)), ErrorKind::InvalidArgument);
}
