//! The text of a notification: the sender, then hints, separated by spaces.
//!
//! ```text
//! 4f1c09aa72b3d5e8 Q R0192f3c4-…,order-17 M0192f3c4-… P7
//! ```
//!
//! A letter is a topic; ids follow it, separated by commas. Ids have letters, digits, `-` and `_` only. What a newer host
//! sends and this one does not know is skipped.

use std::collections::HashSet;

use super::super::Topic;
use crate::model::{HostId, RunId};

/// Most bytes of a payload. PostgreSQL refuses 8,000.
const MAX_BYTES: usize = 7_900;
/// Most topics that wait to be sent. There are so many only while the database is away; then one hint for everything is
/// shorter to send and no slower to follow.
const MAX_TOPICS: usize = 4_096;

/// A hint that is received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// To the listeners of a topic.
    Topic(Topic),
    /// To all listeners.
    Everything,
    /// Whether this arrives shows whether hints do.
    Probe(u64),
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    topics: HashSet<Topic>,
    is_everything: bool,
    probe: Option<u64>,
}

impl Outgoing {
    pub(super) fn add(&mut self, topic: Topic) {
        if self.is_everything {
            return;
        }
        self.topics.insert(topic);
        if self.topics.len() > MAX_TOPICS {
            self.is_everything = true;
            self.topics = HashSet::new();
        }
    }

    pub(super) fn set_probe(&mut self, probe: u64) {
        self.probe = Some(probe);
    }

    pub(super) fn probe(&self) -> Option<u64> {
        self.probe
    }

    /// Number of hints, without the probe.
    pub(super) fn count(&self) -> usize {
        self.topics.len() + usize::from(self.is_everything)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && !self.is_everything && self.probe.is_none()
    }

    /// Adds what could not be sent. A newer probe stays.
    pub(super) fn put_back(&mut self, unsent: Self) {
        self.probe = self.probe.or(unsent.probe);
        if unsent.is_everything {
            (self.is_everything, self.topics) = (true, HashSet::new());
        }
        unsent.topics.into_iter().for_each(|topic| self.add(topic));
    }

    /// The payloads, each short enough.
    pub(super) fn payloads(&self, sender: &str) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.is_everything.then(|| "*".to_owned()));
        words.extend(self.probe.map(|probe| format!("P{probe}")));
        let mut ids = Vec::new();
        for topic in &self.topics {
            match topic {
                Topic::Queue => words.push("Q".to_owned()),
                Topic::Cancel => words.push("C".to_owned()),
                Topic::Runs => words.push("L".to_owned()),
                Topic::Tasks => words.push("T".to_owned()),
                Topic::Removed => words.push("X".to_owned()),
                Topic::Messages(host) => words.push(format!("M{}", host.as_str())),
                Topic::Run(run) => ids.push(run.as_str()),
            }
        }
        let mut payloads = vec![sender.to_owned()];
        for word in words {
            append(&mut payloads, sender, " ", &word);
        }
        for (nth, id) in ids.into_iter().enumerate() {
            let last = payloads.last_mut().expect("there is one");
            // Whether the last word of this payload is a list of runs.
            let is_list = nth > 0 && last.len() > sender.len();
            if is_list && last.len() + 1 + id.len() <= MAX_BYTES {
                last.push(',');
                last.push_str(id);
            } else {
                append(&mut payloads, sender, " R", id);
            }
        }
        payloads.retain(|payload| payload.len() > sender.len());
        payloads
    }
}

/// Appends to the last payload, or to another one if there is no space.
fn append(payloads: &mut Vec<String>, sender: &str, separator: &str, word: &str) {
    let last = payloads.last_mut().expect("there is one");
    if last.len() + separator.len() + word.len() > MAX_BYTES {
        payloads.push(format!("{sender}{separator}{word}"));
    } else {
        last.push_str(separator);
        last.push_str(word);
    }
}

/// The sender and the hints of a payload.
pub(super) fn parse(payload: &str) -> (&str, impl Iterator<Item = Hint>) {
    let (sender, words) = payload.split_once(' ').unwrap_or((payload, ""));
    (sender, words.split(' ').flat_map(hints))
}

fn hints(word: &str) -> Vec<Hint> {
    let (letter, ids) = word.split_at_checked(1).unwrap_or_default();
    let topic = |topic| vec![Hint::Topic(topic)];
    match letter {
        "*" => vec![Hint::Everything],
        "Q" => topic(Topic::Queue),
        "C" => topic(Topic::Cancel),
        "L" => topic(Topic::Runs),
        "T" => topic(Topic::Tasks),
        "X" => topic(Topic::Removed),
        "M" => topic(Topic::Messages(HostId::from_stored(ids))),
        "P" => ids.parse().map(Hint::Probe).into_iter().collect(),
        "R" => {
            let runs = ids.split(',').filter_map(|id| RunId::parse(id).ok());
            runs.map(|run| Hint::Topic(Topic::Run(run))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: &str = "0123456789abcdef";

    fn sent(topics: impl IntoIterator<Item = Topic>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        topics.into_iter().for_each(|topic| outgoing.add(topic));
        outgoing
    }

    fn received(outgoing: &Outgoing) -> Vec<Hint> {
        let payloads = outgoing.payloads(SENDER);
        payloads
            .iter()
            .flat_map(|payload| {
                assert!(payload.len() <= MAX_BYTES, "{}", payload.len());
                let (sender, hints) = parse(payload);
                assert_eq!(sender, SENDER);
                hints.collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn every_topic_arrives_as_it_was_sent() {
        let topics = [
            Topic::Queue,
            Topic::Cancel,
            Topic::Runs,
            Topic::Run(RunId::new()),
            Topic::Run(RunId::parse("own_id-1").expect("an id")),
            Topic::Messages(HostId::new()),
            Topic::Tasks,
            Topic::Removed,
        ];
        for topic in topics.clone() {
            assert_eq!(received(&sent([topic.clone()])), [Hint::Topic(topic)]);
        }
        let mut all = sent(topics.clone());
        all.set_probe(u64::MAX);
        let received = received(&all);
        assert_eq!(received.len(), topics.len() + 1);
        assert!(topics.into_iter().all(|topic| received.contains(&Hint::Topic(topic))));
        assert!(received.contains(&Hint::Probe(u64::MAX)));
    }

    #[test]
    fn many_topics_are_split_into_payloads_that_postgresql_accepts() {
        let longest = |nth| RunId::parse(&format!("{nth:064}")).expect("an id");
        let runs: Vec<_> = (0..1000).map(|nth| Topic::Run(longest(nth))).collect();
        let hosts = (0..400).map(|_| Topic::Messages(HostId::new()));
        let topics: HashSet<_> = runs.into_iter().chain(hosts).chain([Topic::Queue]).collect();
        let outgoing = sent(topics.clone());
        let payloads = outgoing.payloads(SENDER).len();
        assert!((10..=12).contains(&payloads), "{payloads} payloads");
        let received = received(&outgoing);
        assert_eq!(received.len(), topics.len());
        assert!(topics.into_iter().all(|topic| received.contains(&Hint::Topic(topic))));
    }

    #[test]
    fn more_topics_than_can_wait_become_one_hint_for_everything() {
        let mut outgoing = sent((0..=MAX_TOPICS).map(|_| Topic::Run(RunId::new())));
        assert_eq!(received(&outgoing), [Hint::Everything]);
        outgoing.add(Topic::Queue);
        assert_eq!(received(&outgoing), [Hint::Everything]);
        let mut again = sent([Topic::Queue]);
        again.put_back(outgoing);
        assert_eq!(received(&again), [Hint::Everything]);
    }

    #[test]
    fn what_was_not_sent_is_sent_with_the_next() {
        let mut unsent = sent([Topic::Queue, Topic::Runs]);
        unsent.set_probe(1);
        let mut next = sent([Topic::Queue, Topic::Cancel]);
        next.set_probe(2);
        next.put_back(unsent);
        let received = received(&next);
        assert_eq!(received.len(), 4, "{received:?}");
        assert!(received.contains(&Hint::Probe(2)));
    }

    #[test]
    fn nothing_to_send_has_no_payload() {
        assert!(Outgoing::default().is_empty());
        assert!(Outgoing::default().payloads(SENDER).is_empty());
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        for payload in ["", "x", "x ", "x Z Y1,2 P P-1 Px R R, R!,ä ä", "  "] {
            assert_eq!(parse(payload).1.collect::<Vec<_>>(), [], "{payload:?}");
        }
        assert_eq!(parse("x Z1 Q").1.collect::<Vec<_>>(), [Hint::Topic(Topic::Queue)]);
    }
}
