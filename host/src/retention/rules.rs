//! Rules in force for a task.
//!
//! A rule that keeps more is in force at once. One that removes more has to be set for a while first, because it may be a
//! mistake or half of a change; and the absence of a manifest never causes one. Until then, data is kept that the former or
//! the new rule keeps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Origin, Origins, Retention};

/// The current retention settings of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurrentSettings {
    pub(super) keep: Retention,
    pub(super) origins: Origins,
}

/// One setting: the limit in milliseconds or runs, none for no limit, and its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    most: Option<u64>,
    from: Origin,
}

impl Rule {
    fn keeps_as_much_as(self, other: Self) -> bool {
        self.most.is_none_or(|most| other.most.is_some_and(|other| most >= other))
    }

    /// This rule as the successor of `former`. An absent manifest does not revoke its setting, unless a source with higher
    /// precedence overrides it.
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
    fn of(current_settings: &CurrentSettings) -> Self {
        let millis =
            |age: Option<Duration>| age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let CurrentSettings { keep, origins } = current_settings;
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

/// The rules of a task, as stored over restarts. By default everything is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskRules {
    in_force: Rules,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<PendingRules>,
}

/// Pending rules, which remove more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PendingRules {
    rules: Rules,
    /// For how long hosts have seen them. A duration and not a time, because the clock may be wrong, and because operators must
    /// have the time to see the log of a running host.
    held_ms: u64,
}

/// Result of applying the current settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleChange {
    /// No change to report.
    Nothing,
    /// New rules that remove more; they will be in force after the delay.
    Waits,
    /// Pending rules are now in force.
    InForce,
}

/// A setting: its name, its new and its former rule, and how its values are formatted.
type Setting<'a> = (&'static str, Rule, Rule, &'a dyn Fn(u64) -> String);

impl TaskRules {
    /// Parses stored rules. Invalid text counts as no rules, so all rules are new.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The text to store.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Applies the current settings, `elapsed` after the last time.
    pub(super) fn apply(
        &mut self,
        current_settings: &CurrentSettings,
        elapsed: Duration,
        delay: Duration,
    ) -> RuleChange {
        let rules = Rules::of(current_settings)
            .zip(self.in_force, |rule, former| rule.after(former, &current_settings.origins));
        self.in_force = rules.zip(self.in_force, |rule, former| match rule.keeps_as_much_as(former) {
            true => rule,
            false => former,
        });
        if rules == self.in_force {
            self.next = None;
            return RuleChange::Nothing;
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let held_ms = match self.next {
            Some(next) if next.rules == rules => Some(next.held_ms.saturating_add(millis(elapsed))),
            _ => None,
        };
        if held_ms.unwrap_or(0) >= millis(delay) {
            *self = Self { in_force: rules, next: None };
            return RuleChange::InForce;
        }
        self.next = Some(PendingRules { rules, held_ms: held_ms.unwrap_or(0) });
        if held_ms.is_some() { RuleChange::Nothing } else { RuleChange::Waits }
    }

    /// The rules in force.
    pub(super) fn in_force(&self) -> Retention {
        self.in_force.keep()
    }

    /// The pending rules, and the time until they are in force; none if there are none.
    pub(super) fn next(&self, delay: Duration) -> Option<(Retention, Duration)> {
        let next = self.next.as_ref()?;
        Some((next.rules.keep(), delay.saturating_sub(Duration::from_millis(next.held_ms))))
    }

    /// The pending settings as text: `max-runs is now 1`.
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
        let reasons =
            changed.filter_map(|(name, new, _, text)| Some(format!("{name} is now {}", text(new.most?))));
        reasons.collect::<Vec<_>>().join(" and ")
    }
}

/// The rules as text, with the names of a manifest.
pub(super) fn describe(keep: &Retention) -> String {
    let rules = [
        keep.max_age.map(|age| format!("max-age {}", text_of(age))),
        keep.max_runs.map(|runs| format!("max-runs {runs}")),
        keep.events_max_age.map(|age| format!("events-max-age {}", text_of(age))),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    if rules.is_empty() { "everything".to_owned() } else { rules.join(", ") }
}

/// A duration in the largest unit that gives a whole number, in the format of a manifest.
pub(super) fn text_of(time: Duration) -> String {
    text_in(time, |millis, unit| millis >= unit && millis.is_multiple_of(unit))
}

/// A duration rounded down in the largest unit of which it has at least two.
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

    fn runs(max_runs: Option<u64>, origins: Origins) -> CurrentSettings {
        CurrentSettings { keep: Retention { max_runs, ..Retention::default() }, origins }
    }

    /// Set by a manifest of the task.
    fn own(max_runs: Option<u64>) -> CurrentSettings {
        runs(max_runs, Origins { max_runs: Origin::Task, has_task: true, ..HOST })
    }

    /// Set by the host, while the task has no manifest.
    fn host(max_runs: Option<u64>) -> CurrentSettings {
        runs(max_runs, HOST)
    }

    fn with(current_settings: &CurrentSettings) -> TaskRules {
        let mut task_rules = TaskRules::default();
        task_rules.apply(current_settings, ZERO, ZERO);
        assert_eq!(task_rules.in_force(), current_settings.keep);
        task_rules
    }

    #[test]
    fn a_rule_that_removes_more_is_delayed_and_one_that_removes_less_is_not() {
        let mut task_rules = with(&own(Some(10)));
        assert_eq!(
            task_rules.apply(&own(Some(1)), MINUTE, DELAY),
            RuleChange::Waits,
            "earlier time does not count"
        );
        assert_eq!(task_rules.reason(), "max-runs is now 1");
        for left in [4, 3, 2, 1] {
            assert_eq!(task_rules.apply(&own(Some(1)), MINUTE, DELAY), RuleChange::Nothing);
            assert_eq!(task_rules.in_force().max_runs, Some(10));
            assert_eq!(task_rules.next(DELAY).unwrap().1, left * MINUTE);
            // As after a restart.
            task_rules = TaskRules::parse(&task_rules.text());
        }
        assert_eq!(task_rules.apply(&own(Some(1)), MINUTE, DELAY), RuleChange::InForce);
        assert_eq!((task_rules.in_force().max_runs, task_rules.next(DELAY)), (Some(1), None));
        assert_eq!(task_rules.apply(&own(None), ZERO, DELAY), RuleChange::Nothing);
        assert_eq!(task_rules.in_force().max_runs, None, "keeping more needs no delay");
    }

    #[test]
    fn a_change_that_is_taken_back_removes_nothing() {
        let mut task_rules = with(&own(Some(10)));
        for _ in 0..20 {
            task_rules.apply(&own(Some(1)), 4 * MINUTE, DELAY);
            assert_eq!(task_rules.in_force().max_runs, Some(10));
            task_rules.apply(&own(Some(10)), 4 * MINUTE, DELAY);
        }
        assert_eq!(task_rules, with(&own(Some(10))));
    }

    #[test]
    fn during_the_delay_data_is_kept_that_either_rule_keeps() {
        let day = Duration::from_secs(24 * 60 * 60);
        let keep = |max_age, max_runs| CurrentSettings {
            keep: Retention { max_age: Some(max_age), max_runs, events_max_age: None },
            origins: own(None).origins,
        };
        let mut task_rules = with(&keep(day, Some(5)));
        task_rules.apply(&keep(2 * day, Some(3)), ZERO, DELAY);
        assert_eq!(task_rules.in_force(), keep(2 * day, Some(5)).keep);
        task_rules.apply(&keep(2 * day, Some(3)), DELAY, DELAY);
        assert_eq!(task_rules.in_force(), keep(2 * day, Some(3)).keep);
        task_rules.apply(&keep(day / 2, Some(3)), ZERO, DELAY);
        assert_eq!(task_rules.reason(), "max-age is now 12h");
    }

    #[test]
    fn an_absent_manifest_never_causes_more_to_be_removed() {
        for was in [None, Some(10)] {
            let mut task_rules = with(&own(was));
            for _ in 0..100 {
                assert_eq!(task_rules.apply(&host(Some(1)), DELAY, DELAY), RuleChange::Nothing);
                assert_eq!(task_rules.in_force().max_runs, was);
                task_rules = TaskRules::parse(&task_rules.text());
            }
            // A manifest without the setting leaves it to the host.
            let silent = runs(Some(1), Origins { has_task: true, ..HOST });
            assert_eq!(task_rules.apply(&silent, ZERO, DELAY), RuleChange::Waits);
            assert_eq!(task_rules.apply(&silent, DELAY, DELAY), RuleChange::InForce);
        }
        let mut task_rules = with(&own(Some(10)));
        task_rules.apply(&host(Some(20)), ZERO, DELAY);
        assert_eq!(task_rules.in_force().max_runs, Some(20), "it may keep more");
    }

    #[test]
    fn a_setting_of_the_apps_manifest_is_replaced_by_the_tasks_own_only() {
        let app = Origins { max_runs: Origin::App, has_app: true, ..HOST };
        let mut task_rules = with(&runs(Some(10), app));
        task_rules.apply(&host(Some(1)), DELAY, DELAY);
        task_rules.apply(&host(Some(1)), DELAY, DELAY);
        assert_eq!(task_rules.in_force().max_runs, Some(10));
        task_rules.apply(&own(Some(1)), ZERO, DELAY);
        task_rules.apply(&own(Some(1)), DELAY, DELAY);
        assert_eq!(task_rules.in_force().max_runs, Some(1));
        // And the reverse: the task's own is absent, and the app's is unchanged.
        let both = Origins { max_runs: Origin::Task, has_app: true, has_task: true, ..HOST };
        let mut task_rules = with(&runs(None, both));
        task_rules.apply(&runs(Some(1), app), DELAY, DELAY);
        task_rules.apply(&runs(Some(1), app), DELAY, DELAY);
        assert_eq!(task_rules.in_force().max_runs, None);
    }

    #[test]
    fn all_rules_are_new_for_a_task_without_stored_rules() {
        for text in ["", "null", "{\"in_force\":7}", &TaskRules::default().text()] {
            let mut task_rules = TaskRules::parse(text);
            assert_eq!(task_rules.apply(&host(Some(5)), DELAY, DELAY), RuleChange::Waits);
            assert_eq!(task_rules.in_force(), Retention::default());
            assert_eq!(task_rules.apply(&host(Some(5)), DELAY, DELAY), RuleChange::InForce);
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
