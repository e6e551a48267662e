//! Which rules are in force for a task.
//!
//! A rule that keeps more is in force at once. One that removes more first has to hold for a while, for it may be a
//! mistake, or half of a change; and it never comes from a manifest that is away. Until then as much is kept as the
//! former rule and the new one keep together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Origin, Origins, Retention};

/// What the settings of a task say now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) keep: Retention,
    pub(super) origins: Origins,
}

/// One setting: how much is kept, in milliseconds or runs; none: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    most: Option<u64>,
    from: Origin,
}

impl Rule {
    fn keeps_as_much_as(self, other: Self) -> bool {
        self.most.is_none_or(|most| other.most.is_some_and(|other| most >= other))
    }

    /// This rule as it comes after `former`. A manifest that is away takes nothing back: what it said stays, unless
    /// one that wins over it says otherwise.
    fn after(self, former: Self, origins: &Origins) -> Self {
        let is_taken_back = !origins.is_present(former.from) && self.from <= former.from;
        if is_taken_back && !self.keeps_as_much_as(former) { former } else { self }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rules {
    max_age: Rule,
    max_runs: Rule,
    events_max_age: Rule,
}

impl Rules {
    fn of(wanted: &Wanted) -> Self {
        let millis =
            |age: Option<Duration>| age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let Wanted { keep, origins } = wanted;
        Self {
            max_age: Rule { most: millis(keep.max_age), from: origins.max_age },
            max_runs: Rule { most: keep.max_runs, from: origins.max_runs },
            events_max_age: Rule { most: millis(keep.events_max_age), from: origins.events_max_age },
        }
    }

    fn zip(self, other: Self, with: impl Fn(Rule, Rule) -> Rule) -> Self {
        Self {
            max_age: with(self.max_age, other.max_age),
            max_runs: with(self.max_runs, other.max_runs),
            events_max_age: with(self.events_max_age, other.events_max_age),
        }
    }

    fn keep(&self) -> Retention {
        Retention {
            max_age: self.max_age.most.map(Duration::from_millis),
            max_runs: self.max_runs.most,
            events_max_age: self.events_max_age.most.map(Duration::from_millis),
        }
    }
}

/// The rules of a task, as they are kept over restarts. By default everything is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    in_force: Rules,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
}

/// Rules that would remove more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Next {
    rules: Rules,
    /// For how long a host has seen them so. Not since when: the clock may be wrong, and a host that does not run
    /// gives nobody the time to see what it has logged.
    held_ms: u64,
}

/// What a look at the settings brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that anyone has to know.
    Nothing,
    /// Rules that remove more are new, and will be in force when they have held for the delay.
    Waits,
    /// They are in force from now on.
    InForce,
}

/// A setting's name, what was kept by it and what will be, and how a value of it is said.
type Setting<'a> = (&'static str, Rule, Rule, &'a dyn Fn(u64) -> String);

impl Standing {
    /// What was kept. Text that is none of ours counts as nothing, so all rules are new.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// To be kept.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes note of what the settings say now, `elapsed` after the last look.
    pub(super) fn look(&mut self, wanted: &Wanted, elapsed: Duration, delay: Duration) -> News {
        let rules = Rules::of(wanted).zip(self.in_force, |rule, former| rule.after(former, &wanted.origins));
        self.in_force = rules.zip(self.in_force, |rule, former| match rule.keeps_as_much_as(former) {
            true => rule,
            false => former,
        });
        if rules == self.in_force {
            self.next = None;
            return News::Nothing;
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let held_ms = match self.next {
            Some(next) if next.rules == rules => Some(next.held_ms.saturating_add(millis(elapsed))),
            _ => None,
        };
        if held_ms.unwrap_or(0) >= millis(delay) {
            *self = Self { in_force: rules, next: None };
            return News::InForce;
        }
        self.next = Some(Next { rules, held_ms: held_ms.unwrap_or(0) });
        if held_ms.is_some() { News::Nothing } else { News::Waits }
    }

    /// What is to be kept now.
    pub(super) fn in_force(&self) -> Retention {
        self.in_force.keep()
    }

    /// What will be kept, and when that begins; none if nothing waits.
    pub(super) fn next(&self, delay: Duration) -> Option<(Retention, Duration)> {
        let next = self.next.as_ref()?;
        Some((next.rules.keep(), delay.saturating_sub(Duration::from_millis(next.held_ms))))
    }

    /// Which settings wait, as text: `max-runs is now 1`.
    pub(super) fn reason(&self) -> String {
        let Some(next) = self.next else { return String::new() };
        let age = |millis: u64| text_of(Duration::from_millis(millis));
        let number = |number: u64| number.to_string();
        let (new, old) = (next.rules, self.in_force);
        let settings: [Setting<'_>; 3] = [
            ("max-age", new.max_age, old.max_age, &age),
            ("max-runs", new.max_runs, old.max_runs, &number),
            ("events-max-age", new.events_max_age, old.events_max_age, &age),
        ];
        let changed = settings.into_iter().filter(|(_, new, old, _)| !new.keeps_as_much_as(*old));
        let said =
            changed.filter_map(|(name, new, _, text)| Some(format!("{name} is now {}", text(new.most?))));
        said.collect::<Vec<_>>().join(" and ")
    }
}

/// What is kept, in the words of a manifest.
pub(super) fn said(keep: &Retention) -> String {
    let rules = [
        keep.max_age.map(|age| format!("max-age {}", text_of(age))),
        keep.max_runs.map(|runs| format!("max-runs {runs}")),
        keep.events_max_age.map(|age| format!("events-max-age {}", text_of(age))),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    if rules.is_empty() { "everything".to_owned() } else { rules.join(", ") }
}

/// In the largest unit that gives a whole number, as it may stand in a manifest.
pub(super) fn text_of(time: Duration) -> String {
    text_in(time, |millis, unit| millis >= unit && millis.is_multiple_of(unit))
}

/// In the largest unit of which it has more than one, without the rest.
pub(super) fn about(time: Duration) -> String {
    text_in(time, |millis, unit| millis >= 2 * unit)
}

fn text_in(time: Duration, fits: impl Fn(u128, u128) -> bool) -> String {
    const UNITS: [(u128, &str); 4] =
        [(24 * 60 * 60 * 1000, "d"), (60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s")];
    let millis = time.as_millis();
    let unit = UNITS.iter().find(|(unit, _)| fits(millis, *unit));
    unit.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(300);
    const MINUTE: Duration = Duration::from_secs(60);
    const ZERO: Duration = Duration::ZERO;

    const HOST: Origins = Origins {
        max_age: Origin::Host,
        max_runs: Origin::Host,
        events_max_age: Origin::Host,
        has_app: false,
        has_task: false,
    };

    fn runs(max_runs: Option<u64>, origins: Origins) -> Wanted {
        Wanted { keep: Retention { max_runs, ..Retention::default() }, origins }
    }

    /// By a manifest of the task.
    fn own(max_runs: Option<u64>) -> Wanted {
        runs(max_runs, Origins { max_runs: Origin::Task, has_task: true, ..HOST })
    }

    /// By the host, while the task has no manifest.
    fn host(max_runs: Option<u64>) -> Wanted {
        runs(max_runs, HOST)
    }

    fn with(wanted: &Wanted) -> Standing {
        let mut standing = Standing::default();
        standing.look(wanted, ZERO, ZERO);
        assert_eq!(standing.in_force(), wanted.keep);
        standing
    }

    #[test]
    fn what_removes_more_waits_and_what_removes_less_does_not() {
        let mut standing = with(&own(Some(10)));
        assert_eq!(
            standing.look(&own(Some(1)), MINUTE, DELAY),
            News::Waits,
            "the time before it does not count"
        );
        assert_eq!(standing.reason(), "max-runs is now 1");
        for left in [4, 3, 2, 1] {
            assert_eq!(standing.look(&own(Some(1)), MINUTE, DELAY), News::Nothing);
            assert_eq!(standing.in_force().max_runs, Some(10));
            assert_eq!(standing.next(DELAY).unwrap().1, left * MINUTE);
            // As after a restart.
            standing = Standing::parse(&standing.text());
        }
        assert_eq!(standing.look(&own(Some(1)), MINUTE, DELAY), News::InForce);
        assert_eq!((standing.in_force().max_runs, standing.next(DELAY)), (Some(1), None));
        assert_eq!(standing.look(&own(None), ZERO, DELAY), News::Nothing);
        assert_eq!(standing.in_force().max_runs, None, "to keep more needs no time");
    }

    #[test]
    fn a_change_that_is_taken_back_removes_nothing() {
        let mut standing = with(&own(Some(10)));
        for _ in 0..20 {
            standing.look(&own(Some(1)), 4 * MINUTE, DELAY);
            assert_eq!(standing.in_force().max_runs, Some(10));
            standing.look(&own(Some(10)), 4 * MINUTE, DELAY);
        }
        assert_eq!(standing, with(&own(Some(10))));
    }

    #[test]
    fn meanwhile_as_much_is_kept_as_both_keep_together() {
        let day = Duration::from_secs(24 * 60 * 60);
        let keep = |max_age, max_runs| Wanted {
            keep: Retention { max_age: Some(max_age), max_runs, events_max_age: None },
            origins: own(None).origins,
        };
        let mut standing = with(&keep(day, Some(5)));
        standing.look(&keep(2 * day, Some(3)), ZERO, DELAY);
        assert_eq!(standing.in_force(), keep(2 * day, Some(5)).keep);
        standing.look(&keep(2 * day, Some(3)), DELAY, DELAY);
        assert_eq!(standing.in_force(), keep(2 * day, Some(3)).keep);
        standing.look(&keep(day / 2, Some(3)), ZERO, DELAY);
        assert_eq!(standing.reason(), "max-age is now 12h");
    }

    #[test]
    fn a_manifest_that_is_away_never_has_more_removed() {
        for was in [None, Some(10)] {
            let mut standing = with(&own(was));
            for _ in 0..100 {
                assert_eq!(standing.look(&host(Some(1)), DELAY, DELAY), News::Nothing);
                assert_eq!(standing.in_force().max_runs, was);
                standing = Standing::parse(&standing.text());
            }
            // A manifest that is there and says nothing of it leaves it to the host.
            let silent = runs(Some(1), Origins { has_task: true, ..HOST });
            assert_eq!(standing.look(&silent, ZERO, DELAY), News::Waits);
            assert_eq!(standing.look(&silent, DELAY, DELAY), News::InForce);
        }
        let mut standing = with(&own(Some(10)));
        standing.look(&host(Some(20)), ZERO, DELAY);
        assert_eq!(standing.in_force().max_runs, Some(20), "it may well have more kept");
    }

    #[test]
    fn what_the_apps_manifest_said_is_replaced_by_the_tasks_own_only() {
        let app = Origins { max_runs: Origin::App, has_app: true, ..HOST };
        let mut standing = with(&runs(Some(10), app));
        standing.look(&host(Some(1)), DELAY, DELAY);
        standing.look(&host(Some(1)), DELAY, DELAY);
        assert_eq!(standing.in_force().max_runs, Some(10));
        standing.look(&own(Some(1)), ZERO, DELAY);
        standing.look(&own(Some(1)), DELAY, DELAY);
        assert_eq!(standing.in_force().max_runs, Some(1));
        // And the other way round: the task's own is away, and the app's says what it always said.
        let both = Origins { max_runs: Origin::Task, has_app: true, has_task: true, ..HOST };
        let mut standing = with(&runs(None, both));
        standing.look(&runs(Some(1), app), DELAY, DELAY);
        standing.look(&runs(Some(1), app), DELAY, DELAY);
        assert_eq!(standing.in_force().max_runs, None);
    }

    #[test]
    fn all_rules_are_new_for_a_task_of_which_nothing_is_kept() {
        for text in ["", "null", "{\"in_force\":7}", &Standing::default().text()] {
            let mut standing = Standing::parse(text);
            assert_eq!(standing.look(&host(Some(5)), DELAY, DELAY), News::Waits);
            assert_eq!(standing.in_force(), Retention::default());
            assert_eq!(standing.look(&host(Some(5)), DELAY, DELAY), News::InForce);
        }
    }

    #[test]
    fn times_print_as_a_manifest_has_them() {
        for text in ["0ms", "250ms", "90s", "2m", "36h", "30d"] {
            let time: crate::model::Time = text.parse().unwrap();
            assert_eq!(text_of(time.0.unwrap()), text);
        }
        assert_eq!(about(Duration::from_millis(27 * 24 * 60 * 60 * 1000 + 4711)), "27d");
    }
}
