//! Lists of runs.

use std::future::Future;
use std::sync::Arc;

use super::{claimed, host, new_run, task};
use crate::model::{ErrorKind, Json, Outcome, Run, RunError, RunStatus, Timestamp};
use crate::storage::{ListCursor, RunFilter, Storage};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    lists_are_filtered_and_paged(&*open().await).await;
    lists_by_time_are_in_order_of_time(&*open().await).await;
    a_brief_list_leaves_out_what_can_be_large(&*open().await).await;
    a_list_ends_where_it_has_enough_bytes(&*open().await).await;
}

async fn lists_are_filtered_and_paged(storage: &dyn Storage) {
    let owner = host(storage).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let mut new = new_run(if n % 2 == 0 { "even" } else { "odd" });
        new.labels.insert("third".to_owned(), (n % 3).to_string());
        new.labels.insert("half".to_owned(), (n / 5).to_string());
        let run = claimed(storage, new, &owner).await;
        if n < 5 {
            storage
                .finish(&run.run.key, run.fence, Outcome::Completed(Json::null()))
                .await
                .expect("finishes");
        }
        ids.push(run.run.key.id);
    }
    let list = async |filter: RunFilter| {
        let runs = storage.runs(filter).await.expect("reads");
        let at = |run: &Run| ids.iter().position(|id| *id == run.key.id).expect("one of ours");
        (runs.iter().map(at).collect::<Vec<_>>(), runs.last().map(ListCursor::from))
    };
    let base = RunFilter { limit: 100, ..RunFilter::default() };
    let even = || Some(task("even"));
    let running = || vec![RunStatus::Running];
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let third = || vec![label("third", "0")];
    assert_eq!(list(base.clone()).await.0, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(list(RunFilter { task: even(), ..base.clone() }).await.0, [8, 6, 4, 2, 0]);
    assert_eq!(list(RunFilter { statuses: running(), ..base.clone() }).await.0, [9, 8, 7, 6, 5]);
    assert_eq!(list(RunFilter { task: even(), statuses: running(), ..base.clone() }).await.0, [8, 6]);
    assert_eq!(list(RunFilter { labels: third(), ..base.clone() }).await.0, [9, 6, 3, 0]);
    assert_eq!(
        list(RunFilter { labels: third(), task: even(), statuses: running(), ..base.clone() }).await.0,
        [6]
    );
    assert_eq!(list(RunFilter { task: Some(task("none")), ..base.clone() }).await.0, [0; 0]);
    let both = || vec![label("half", "0"), label("third", "0")];
    assert_eq!(list(RunFilter { labels: both(), ..base.clone() }).await.0, [3, 0], "with all of the labels");
    let neither = || vec![RunStatus::Failed, RunStatus::Cancelled];
    assert_eq!(list(RunFilter { statuses: neither(), ..base.clone() }).await.0, [0; 0]);

    let either = || vec![RunStatus::Completed, RunStatus::Running, RunStatus::Completed];
    let filters = [
        base.clone(),
        RunFilter { task: even(), ..base.clone() },
        RunFilter { statuses: either(), ..base.clone() },
        RunFilter { task: even(), statuses: either(), ..base.clone() },
        RunFilter { labels: third(), ..base.clone() },
        RunFilter { labels: both(), statuses: either(), ..base },
    ];
    for filter in filters.clone() {
        let (mut all, _) = list(filter.clone()).await;
        all.reverse();
        let (mut found, mut since) = (Vec::new(), 0);
        while let (page, Some(last)) =
            list(RunFilter { limit: 2, since: Some(since), brief: true, ..filter.clone() }).await
        {
            found.extend(page);
            since = last.no;
        }
        assert_eq!(found, all, "the oldest first");
    }
    for filter in filters {
        let (all, _) = list(filter.clone()).await;
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let (page, last) = list(RunFilter { limit: 3, after, ..filter.clone() }).await;
            pages.extend(page);
            after = last;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, all, "pages are the list");
    }
}

/// The clock was set back after the third run.
async fn lists_by_time_are_in_order_of_time(storage: &dyn Storage) {
    let mut ids = Vec::new();
    for (nth, millis) in [1_000, 2_000, 3_000, 1_500, 2_000, 2_500].into_iter().enumerate() {
        let mut new = new_run(if nth == 4 { "other" } else { "a" });
        new.created_at = Timestamp::from_millis(millis);
        new.labels.insert("odd".to_owned(), (nth % 2).to_string());
        ids.push(new.id.clone());
        claimed(storage, new, &host(storage).await).await;
    }
    let list = async |filter: RunFilter| {
        let runs = storage.runs(filter).await.expect("reads");
        let at = |run: &Run| ids.iter().position(|id| *id == run.key.id).expect("one of ours");
        (runs.iter().map(at).collect::<Vec<_>>(), runs.last().map(ListCursor::from))
    };
    let after = |millis| Some(Timestamp::from_millis(millis));
    let base = RunFilter { created_after: after(0), limit: 100, ..RunFilter::default() };
    assert_eq!(list(base.clone()).await.0, [2, 5, 4, 1, 3, 0]);
    assert_eq!(list(RunFilter { created_after: after(2_000), ..base.clone() }).await.0, [2, 5]);
    let between = RunFilter { created_before: after(2_500), created_after: after(1_000), ..base.clone() };
    assert_eq!(list(between.clone()).await.0, [4, 1, 3]);
    assert_eq!(list(RunFilter { task: Some(task("a")), ..between.clone() }).await.0, [1, 3]);
    let statuses = vec![RunStatus::Running, RunStatus::Failed];
    assert_eq!(list(RunFilter { statuses, brief: true, ..between.clone() }).await.0, [4, 1, 3]);
    let labels = vec![("odd".to_owned(), "1".to_owned())];
    assert_eq!(list(RunFilter { labels: labels.clone(), ..between }).await.0, [1, 3]);
    for filter in [base.clone(), RunFilter { labels, ..base }] {
        let (all, _) = list(filter.clone()).await;
        let (mut pages, mut last) = (Vec::new(), None);
        loop {
            let (page, place) = list(RunFilter { limit: 2, after: last, ..filter.clone() }).await;
            pages.extend(page);
            last = place;
            if last.is_none() {
                break;
            }
        }
        assert_eq!(pages, all, "pages are the list");
    }
}

async fn a_brief_list_leaves_out_what_can_be_large(storage: &dyn Storage) {
    let error = RunError {
        code: Some("code".to_owned()),
        details: Some(Json::of("large")),
        trace: Some("large".to_owned()),
        ..RunError::new(ErrorKind::Trap, "why")
    };
    for outcome in [Outcome::Completed(Json::of("large")), Outcome::Failed(error.clone())] {
        let run = claimed(storage, new_run("a"), &host(storage).await).await;
        storage.finish(&run.run.key, run.fence, outcome).await.expect("finishes");
    }
    for filter in [
        RunFilter::default(),
        RunFilter { task: Some(task("a")), ..RunFilter::default() },
        RunFilter { created_after: Some(Timestamp::from_millis(0)), ..RunFilter::default() },
    ] {
        let filter = RunFilter { limit: 9, ..filter };
        let whole = storage.runs(filter.clone()).await.expect("reads");
        assert_eq!((whole[1].input.as_str(), whole[1].final_value.is_some()), (r#"{"n":1}"#, true));
        assert_eq!(whole[0].error.as_ref(), Some(&error));
        let brief = storage.runs(RunFilter { brief: true, ..filter }).await.expect("reads");
        assert_eq!(brief.len(), 2);
        assert_eq!((&brief[1].input, &brief[1].final_value), (&Json::null(), &None));
        let left = RunError { details: None, trace: None, ..error.clone() };
        assert_eq!(brief[0].error.as_ref(), Some(&left));
        assert_eq!(brief[0].labels, whole[0].labels);
    }
}

async fn a_list_ends_where_it_has_enough_bytes(storage: &dyn Storage) {
    for nth in 0..6 {
        let mut new = new_run("a");
        let length = if nth == 2 { 500 } else { 98 };
        new.input = Json::of(&"x".repeat(length));
        claimed(storage, new, &host(storage).await).await;
    }
    let list = async |filter: RunFilter| {
        let runs = storage.runs(RunFilter { limit: 9, ..filter }).await.expect("reads");
        (
            runs.iter().map(|run| run.input.as_str().len()).collect::<Vec<_>>(),
            runs.last().map(ListCursor::from),
        )
    };
    for base in [
        RunFilter::default(),
        RunFilter { task: Some(task("a")), ..RunFilter::default() },
        RunFilter { statuses: vec![RunStatus::Running, RunStatus::Queued], ..RunFilter::default() },
        RunFilter { created_after: Some(Timestamp::from_millis(0)), ..RunFilter::default() },
    ] {
        let base = RunFilter { max_bytes: Some(250), ..base };
        let (first, last) = list(base.clone()).await;
        assert_eq!(first, [100, 100]);
        let (second, last) = list(RunFilter { after: last, ..base.clone() }).await;
        assert_eq!(second, [100], "the next would be too much");
        let (third, last) = list(RunFilter { after: last, ..base.clone() }).await;
        assert_eq!(third, [502], "one is always returned");
        assert_eq!(list(RunFilter { after: last, ..base.clone() }).await.0, [100, 100]);
        assert_eq!(list(RunFilter { brief: true, ..base }).await.0.len(), 6);
    }
}
