use std::collections::HashMap;

use serde_json::Value;

/// Most items of one run that are kept; an event about one more is ignored. A
/// guest chooses the ids, so without a bound it could fill the memory of whoever
/// watches.
pub const MAX_PROGRESS_ITEMS: usize = 1_000;

/// Where an item stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressStatus {
    /// It has not begun.
    Waiting,
    /// It is being worked at.
    #[default]
    Running,
    /// It is done.
    Completed,
    /// It was left out, which counts as done.
    Skipped,
    /// It could not be done.
    Failed,
}

/// One part of a run's work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressItem {
    /// Its id; empty for a run that just counts steps.
    pub id: String,
    /// The item it is a part of.
    pub parent: Option<String>,
    /// Its share among the parts of its parent.
    pub weight: Option<f64>,
    /// Where it stands.
    pub status: ProgressStatus,
    /// Units done.
    pub done: Option<u64>,
    /// Units in all.
    pub total: Option<u64>,
    /// How far it is, where it said so itself.
    pub percent: Option<f64>,
    /// One line for people.
    pub message: String,
}

/// What the `progress` events of a run say together: a tree of items, each as the
/// latest event about it left it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// In the order in which they were first heard of.
    items: Vec<ProgressItem>,
    by_id: HashMap<String, usize>,
}

impl Progress {
    /// Takes in the data of one event. Returns the place of its item; none for data
    /// that says nothing of progress.
    pub fn update(&mut self, data: &Value) -> Option<usize> {
        let text = |name: &str| data[name].as_str().map(str::to_owned);
        let number = |name: &str| data[name].as_u64();
        let (done, total) = (number("done").or_else(|| number("step")), number("total"));
        let id = text("id");
        let percent = data["percent"].as_f64().filter(|percent| percent.is_finite());
        if id.is_none() && done.is_none() && percent.is_none() {
            return None;
        }
        let place = self.place_of(id.unwrap_or_default())?;
        let item = &mut self.items[place];
        // What an event leaves out stays as it was.
        item.parent = text("parent").or(item.parent.take());
        item.weight = data["weight"].as_f64().filter(|weight| *weight >= 0.0).or(item.weight);
        item.status = data["status"].as_str().and_then(ProgressStatus::parse).unwrap_or(item.status);
        item.done = done.or(item.done);
        item.total = total.or(item.total);
        item.percent = percent.or(item.percent);
        item.message = text("message").unwrap_or(std::mem::take(&mut item.message));
        Some(place)
    }

    fn place_of(&mut self, id: String) -> Option<usize> {
        if let Some(&place) = self.by_id.get(&id) {
            return Some(place);
        }
        let place = self.items.len();
        if place == MAX_PROGRESS_ITEMS {
            return None;
        }
        self.items.push(ProgressItem { id: id.clone(), ..ProgressItem::default() });
        self.by_id.insert(id, place);
        Some(place)
    }

    /// The items, in the order in which they were first heard of.
    pub fn items(&self) -> &[ProgressItem] {
        &self.items
    }

    /// The items above the one at `place`, nearest first.
    pub fn ancestors(&self, place: usize) -> Vec<usize> {
        let mut ancestors: Vec<usize> = Vec::new();
        let mut at = place;
        while let Some(parent) = self.items[at].parent.as_ref().and_then(|id| self.by_id.get(id)) {
            // A guest may have closed a circle.
            if *parent == place || ancestors.contains(parent) {
                break;
            }
            ancestors.push(*parent);
            at = *parent;
        }
        ancestors
    }

    /// How far the item at `place` is, from 0 to 1; none if nothing is known. What
    /// says nothing of itself is as far as its parts are, by weight.
    pub fn fraction(&self, place: usize) -> Option<f64> {
        self.fraction_within(place, self.items.len())
    }

    /// `depth` bounds the way down, should the items form a circle.
    fn fraction_within(&self, place: usize, depth: usize) -> Option<f64> {
        let item = &self.items[place];
        if matches!(item.status, ProgressStatus::Completed | ProgressStatus::Skipped) {
            return Some(1.0);
        }
        if let Some(percent) = item.percent {
            return Some((percent / 100.0).clamp(0.0, 1.0));
        }
        if let (Some(done), Some(total @ 1..)) = (item.done, item.total) {
            return Some((done as f64 / total as f64).clamp(0.0, 1.0));
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        let depth = depth.checked_sub(1)?;
        for (part, _) in self.items.iter().enumerate().filter(|(part, other)| {
            *part != place && other.parent.as_deref() == Some(item.id.as_str()) && !item.id.is_empty()
        }) {
            let weight = self.items[part].weight.unwrap_or(1.0);
            sum += weight * self.fraction_within(part, depth).unwrap_or(0.0);
            weights += weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }
}

impl ProgressStatus {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "waiting" => Some(Self::Waiting),
            "running" => Some(Self::Running),
            "completed" => Some(Self::Completed),
            "skipped" => Some(Self::Skipped),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(events: &[Value]) -> Progress {
        let mut progress = Progress::default();
        for event in events {
            progress.update(event);
        }
        progress
    }

    #[test]
    fn plain_steps_are_one_item() {
        let progress = progress(&[json!({"step":1,"total":4,"message":"a"}), json!({"step":3,"total":4})]);
        assert_eq!(progress.items().len(), 1);
        assert_eq!(progress.fraction(0), Some(0.75));
        assert_eq!(progress.items()[0].message, "a");
    }

    #[test]
    fn what_an_event_leaves_out_stays_and_parents_are_as_far_as_their_parts_by_weight() {
        let progress = progress(&[
            json!({"id":"all","message":"All"}),
            json!({"id":"read","parent":"all","weight":1,"done":0,"total":10}),
            json!({"id":"write","parent":"all","weight":3,"status":"waiting"}),
            json!({"id":"read","done":5}),
        ]);
        assert_eq!(progress.fraction(1), Some(0.5));
        assert_eq!(progress.fraction(2), None);
        assert_eq!(progress.fraction(0), Some(0.125));
        assert_eq!(progress.ancestors(1), [0]);
    }

    #[test]
    fn a_circle_of_parents_and_a_flood_of_items_do_no_harm() {
        let mut circle = progress(&[
            json!({"id":"a","parent":"b"}),
            json!({"id":"b","parent":"a"}),
            json!({"id":"c","parent":"c"}),
        ]);
        assert_eq!(circle.ancestors(0), [1]);
        assert_eq!(circle.fraction(0), Some(0.0));
        assert_eq!(circle.fraction(2), None);
        for nth in 0..2 * MAX_PROGRESS_ITEMS {
            circle.update(&json!({"id":nth.to_string()}));
        }
        assert_eq!(circle.items().len(), MAX_PROGRESS_ITEMS);
    }

    #[test]
    fn data_that_says_nothing_of_progress_is_none() {
        for data in [json!(null), json!("half"), json!({"message":"x"}), json!({"done":"1"})] {
            assert_eq!(Progress::default().update(&data), None, "{data}");
        }
    }
}
