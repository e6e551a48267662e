use std::collections::HashMap;

use serde_json::Value;

use super::RunStatus;

/// Most items of one run; an event about one more is ignored. The guest chooses the ids, so without a limit it could fill
/// the memory of subscribers.
pub const MAX_PROGRESS_ITEMS: usize = 1_000;
/// Longest id of an item in bytes; an event about a longer one is ignored.
const MAX_ID_BYTES: usize = 256;
/// Longest message in bytes, which is one line for people; the rest is cut off.
const MAX_MESSAGE_BYTES: usize = 1 << 10;
/// Greatest weight, so that the sum of all weights stays finite.
const MAX_WEIGHT: f64 = 1e12;

/// Status of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressStatus {
    /// It has not begun.
    Waiting,
    /// It is in progress.
    #[default]
    Running,
    /// It is done.
    Completed,
    /// It was skipped, which counts as done.
    Skipped,
    /// It failed.
    Failed,
    /// The run was cancelled before it was done. Tasks can't report this status.
    Cancelled,
}

/// One part of a run's work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressItem {
    /// Its id; empty for a run that just counts steps.
    pub id: String,
    /// The parent item.
    pub parent: Option<String>,
    /// Its weight among the parts of its parent.
    pub weight: Option<f64>,
    /// The status.
    pub status: ProgressStatus,
    /// Units done.
    pub done: Option<u64>,
    /// Units in all.
    pub total: Option<u64>,
    /// The fraction that is done, if reported explicitly.
    pub percent: Option<f64>,
    /// A message for people, in one line.
    pub message: String,
}

/// Progress of a run, from its `progress` events: a tree of items in their latest states.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// In the order of their first events.
    items: Vec<ProgressItem>,
    by_id: HashMap<String, usize>,
}

/// The items of a [`Progress`] as a tree, by index, with their fractions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressTree {
    /// Items without a parent, in the order of their first events.
    pub roots: Vec<usize>,
    /// The parts of each item, in the same order.
    pub parts: Vec<Vec<usize>>,
    /// The done fraction of each item, from 0 to 1; none if unknown. Without a fraction of its own, an item has the weighted
    /// mean of its parts.
    pub fractions: Vec<Option<f64>>,
    /// The done fraction of the whole run, as reported or from its roots.
    pub fraction: Option<f64>,
}

impl Progress {
    /// Applies the data of one event. Returns the index of its item; none if the data is no progress.
    pub fn update(&mut self, data: &Value) -> Option<usize> {
        let text = |name: &str| data[name].as_str();
        let number = |name: &str| data[name].as_u64();
        let (done, total) = (number("done").or_else(|| number("step")), number("total"));
        let id = text("id");
        let percent = data["percent"].as_f64().filter(|percent| percent.is_finite());
        if id.is_none() && done.is_none() && percent.is_none() {
            return None;
        }
        let place = self.place_of(id.unwrap_or_default())?;
        let item = &mut self.items[place];
        // Missing fields keep their values.
        if let Some(parent) = text("parent").filter(|id| id.len() <= MAX_ID_BYTES) {
            item.parent = Some(parent.to_owned());
        }
        let weight = data["weight"].as_f64().filter(|weight| *weight >= 0.0);
        item.weight = weight.map(|weight| weight.min(MAX_WEIGHT)).or(item.weight);
        item.status = data["status"].as_str().and_then(ProgressStatus::parse).unwrap_or(item.status);
        item.done = done.or(item.done);
        item.total = total.or(item.total);
        item.percent = percent.or(item.percent);
        if let Some(message) = text("message") {
            message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)].clone_into(&mut item.message);
        }
        Some(place)
    }

    /// Closes all open items after the run has ended with that status.
    pub fn close(&mut self, status: RunStatus) {
        let closed = match status {
            RunStatus::Completed => ProgressStatus::Completed,
            RunStatus::Failed => ProgressStatus::Failed,
            RunStatus::Cancelled => ProgressStatus::Cancelled,
            RunStatus::Queued | RunStatus::Delayed | RunStatus::Running | RunStatus::Paused => return,
        };
        for item in &mut self.items {
            if matches!(item.status, ProgressStatus::Waiting | ProgressStatus::Running) {
                item.status = closed;
            }
        }
    }

    fn place_of(&mut self, id: &str) -> Option<usize> {
        if let Some(&place) = self.by_id.get(id) {
            return Some(place);
        }
        let place = self.items.len();
        if place == MAX_PROGRESS_ITEMS || id.len() > MAX_ID_BYTES {
            return None;
        }
        self.items.push(ProgressItem { id: id.to_owned(), ..ProgressItem::default() });
        self.by_id.insert(id.to_owned(), place);
        Some(place)
    }

    /// The items, in the order of their first events.
    pub fn items(&self) -> &[ProgressItem] {
        &self.items
    }

    /// The ancestors of the item at `place`, nearest first.
    pub fn ancestors(&self, place: usize) -> Vec<usize> {
        let mut ancestors: Vec<usize> = Vec::new();
        let mut at = place;
        while let Some(parent) = self.items[at].parent.as_ref().and_then(|id| self.by_id.get(id)) {
            // A guest may have made a cycle.
            if *parent == place || ancestors.contains(parent) {
                break;
            }
            ancestors.push(*parent);
            at = *parent;
        }
        ancestors
    }

    /// The done fraction of the item at `place`, from 0 to 1; none if unknown.
    pub fn fraction(&self, place: usize) -> Option<f64> {
        self.tree().fractions[place]
    }

    /// The item for the whole run, if there was an event about it.
    pub fn whole(&self) -> Option<usize> {
        self.by_id.get("").copied()
    }

    /// All items as a tree. Linear in their number, whatever tree a guest has made.
    pub fn tree(&self) -> ProgressTree {
        let mut tree = ProgressTree {
            parts: vec![Vec::new(); self.items.len()],
            fractions: vec![None; self.items.len()],
            ..ProgressTree::default()
        };
        for place in 0..self.items.len() {
            match self.parent(place) {
                Some(parent) => tree.parts[parent].push(place),
                None => tree.roots.push(place),
            }
        }
        let order = tree.untangle();
        // Each item comes after its parent.
        for &place in order.iter().rev() {
            tree.fractions[place] =
                self.items[place].own_fraction().or_else(|| self.roll_up(&tree.parts[place], &tree));
        }
        let whole = self.whole();
        let roots: Vec<usize> = tree.roots.iter().copied().filter(|root| Some(*root) != whole).collect();
        let own = whole.and_then(|whole| tree.fractions[whole]);
        tree.fraction = own.or_else(|| self.roll_up(&roots, &tree));
        tree
    }

    /// The parent of an item. The item for the whole run has none.
    fn parent(&self, place: usize) -> Option<usize> {
        let item = &self.items[place];
        let parent = item.parent.as_ref().filter(|parent| !parent.is_empty() && !item.id.is_empty())?;
        self.by_id.get(parent).copied().filter(|parent| *parent != place)
    }

    fn roll_up(&self, parts: &[usize], tree: &ProgressTree) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        for &part in parts {
            let weight = self.items[part].weight.unwrap_or(1.0);
            sum += weight * tree.fractions[part].unwrap_or(0.0);
            weights += weight;
        }
        (weights > 0.0).then(|| sum / weights)
    }
}

impl ProgressTree {
    /// Breaks cycles that a guest may have made: items in a cycle or below one become roots. Returns all items, each after its
    /// parent.
    fn untangle(&mut self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut reached = vec![false; self.parts.len()];
        let mut at = 0;
        while let Some(&place) = order.get(at) {
            reached[place] = true;
            order.extend_from_slice(&self.parts[place]);
            at += 1;
        }
        for place in (0..reached.len()).filter(|place| !reached[*place]) {
            self.parts[place].clear();
            self.roots.push(place);
            order.push(place);
        }
        self.roots.sort_unstable();
        order
    }
}

impl ProgressItem {
    /// The fraction that the item itself reported.
    fn own_fraction(&self) -> Option<f64> {
        if matches!(self.status, ProgressStatus::Completed | ProgressStatus::Skipped) {
            return Some(1.0);
        }
        if let Some(percent) = self.percent {
            return Some((percent / 100.0).clamp(0.0, 1.0));
        }
        match (self.done, self.total) {
            (Some(done), Some(total @ 1..)) => Some((done as f64 / total as f64).clamp(0.0, 1.0)),
            _ => None,
        }
    }
}

impl ProgressStatus {
    /// All statuses that a task can report.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Completed, Self::Skipped, Self::Failed];

    /// The word used in events and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
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
    fn the_end_of_a_run_closes_what_is_open_and_nothing_else() {
        let open = progress(&[
            json!({"id":"run","percent":16}),
            json!({"id":"wait","status":"waiting"}),
            json!({"id":"done","status":"completed"}),
            json!({"id":"out","status":"skipped"}),
            json!({"id":"bad","status":"failed","percent":50}),
        ]);
        let statuses = |end| {
            let mut progress = open.clone();
            progress.close(end);
            let words: Vec<&str> = progress.items().iter().map(|item| item.status.as_str()).collect();
            (words, progress.fraction(0))
        };
        let (left, over) = (["completed", "skipped", "failed"], |word| vec![word, word]);
        for (end, word, fraction) in [
            (RunStatus::Completed, "completed", 1.0),
            (RunStatus::Failed, "failed", 0.16),
            (RunStatus::Cancelled, "cancelled", 0.16),
        ] {
            assert_eq!(statuses(end), ([over(word), left.to_vec()].concat(), Some(fraction)));
        }
        assert_eq!(statuses(RunStatus::Paused).0[..2], ["running", "waiting"]);
    }

    #[test]
    fn a_circle_of_parents_and_a_flood_of_items_do_no_harm() {
        let mut circle = progress(&[
            json!({"id":"a","parent":"b","done":1,"total":2}),
            json!({"id":"b","parent":"a"}),
            json!({"id":"c","parent":"c"}),
            json!({"id":"d","parent":"b"}),
        ]);
        assert_eq!(circle.ancestors(0), [1]);
        let tree = circle.tree();
        assert_eq!((tree.roots, tree.parts), (vec![0, 1, 2, 3], vec![vec![]; 4]));
        assert_eq!(tree.fractions, [Some(0.5), None, None, None]);
        assert_eq!(tree.fraction, Some(0.125));
        for nth in 0..2 * MAX_PROGRESS_ITEMS {
            circle.update(&json!({"id":nth.to_string()}));
        }
        assert_eq!(circle.items().len(), MAX_PROGRESS_ITEMS);
    }

    #[test]
    fn the_whole_is_what_it_says_of_itself_or_else_what_its_roots_add_up_to() {
        let mut both = progress(&[
            json!({"id":"a","weight":3,"status":"skipped"}),
            json!({"id":"b","status":"failed","percent":50}),
        ]);
        assert_eq!(both.tree().fraction, Some(0.875));
        both.update(&json!({"step":1,"total":10}));
        let tree = both.tree();
        assert_eq!((tree.fraction, tree.roots), (Some(0.1), vec![0, 1, 2]));
        assert_eq!(Progress::default().tree(), ProgressTree::default());
    }

    #[test]
    fn a_chain_as_long_as_can_be_is_added_up() {
        let mut chain = progress(&[json!({"id":"0"})]);
        for nth in 1..MAX_PROGRESS_ITEMS {
            chain.update(&json!({"id":nth.to_string(),"parent":(nth - 1).to_string()}));
        }
        chain.update(&json!({"id":(MAX_PROGRESS_ITEMS - 1).to_string(),"percent":25,"weight":1e308}));
        assert_eq!(chain.fraction(0), Some(0.25));
    }

    #[test]
    fn what_is_kept_of_a_text_is_bounded() {
        let long = "ü".repeat(MAX_MESSAGE_BYTES);
        let mut progress = progress(&[json!({"id":"a","message":long,"parent":long})]);
        assert_eq!(progress.items()[0].message.len(), MAX_MESSAGE_BYTES);
        assert_eq!(progress.items()[0].parent, None);
        assert_eq!(progress.update(&json!({"id":long})), None);
    }

    #[test]
    fn data_that_says_nothing_of_progress_is_none() {
        for data in [json!(null), json!("half"), json!({"message":"x"}), json!({"done":"1"})] {
            assert_eq!(Progress::default().update(&data), None, "{data}");
        }
    }
}
