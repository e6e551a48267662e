//! The progress of a run on a terminal: a bar for each item, other events as lines above the bars.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::echo::EchoSuppressed;
use crate::model::Progress;
use crate::process::plain;

/// Most bars at once; a terminal has few more lines.
const MAX_BARS: usize = 16;
/// Width of a label in columns, so that all bars start in one column; less on a narrow terminal.
const LABEL_WIDTH: usize = 24;
/// Width of a bar; less on a narrow terminal.
const BAR_WIDTH: usize = 30;
/// Width of the count next to a bar.
const COUNT_WIDTH: usize = 16;
/// Columns assumed if the terminal does not report its width.
const COLUMNS: usize = 80;
/// Interval at which spinners turn, to show that the run is alive.
const SPIN: Duration = Duration::from_millis(120);
/// Redraws per second.
const RATE: u8 = 15;

/// The progress bars of one run.
pub(super) struct Bars {
    multi: MultiProgress,
    progress: Progress,
    /// In the order of the items.
    bars: Vec<ProgressBar>,
    _echo_suppressed: Option<EchoSuppressed>,
}

impl Bars {
    /// Draws on stderr.
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(RATE);
        Self {
            multi: MultiProgress::with_draw_target(target),
            progress: Progress::default(),
            bars: Vec::new(),
            _echo_suppressed: EchoSuppressed::begin(),
        }
    }

    /// Applies the data of a `progress` event; false if it is not progress that bars can show.
    pub(super) fn update(&mut self, data: &Value) -> bool {
        let Some(place) = self.progress.update(data) else { return false };
        while self.bars.len() < self.progress.items().len().min(MAX_BARS) {
            let bar = self.multi.add(ProgressBar::new(0));
            bar.enable_steady_tick(SPIN);
            self.bars.push(bar);
        }
        self.draw(place);
        for ancestor in self.progress.ancestors(place) {
            self.draw(ancestor);
        }
        true
    }

    fn draw(&self, place: usize) {
        let Some(bar) = self.bars.get(place) else { return };
        let item = &self.progress.items()[place];
        let fraction = self.progress.fraction(place);
        let count = match (item.done, item.total) {
            (Some(_), Some(_)) => "{pos}/{len}",
            (Some(_), None) => "{pos}",
            _ if fraction.is_some() => "{percent}%",
            _ => "",
        };
        let (label_width, bar_width) = widths(columns());
        let bar_part = match fraction {
            Some(_) => format!("{{bar:{bar_width}}}"),
            None => "{spinner}".to_owned(),
        };
        let indent = "  ".repeat(self.progress.ancestors(place).len());
        // The label of an item is its message, or else its id. The item without an id is the run itself; its message
        // stands after the bar.
        let (label, label_part, message) = if item.id.is_empty() {
            (String::new(), String::new(), item.message.as_str())
        } else {
            let name = if item.message.is_empty() { &item.id } else { &item.message };
            // Filled up or cut by the library, which knows the width of each character.
            (format!("{indent}{name}"), format!("{{prefix:{label_width}!}} "), "")
        };
        let rest = if message.is_empty() { "" } else { "{wide_msg}" };
        let template = format!("{label_part}{bar_part} {count} {rest}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let (position, length) = match (item.done, item.total, fraction) {
            (Some(done), Some(total), _) => (done, total),
            (Some(done), None, _) => (done, done.max(1)),
            (_, _, fraction) => ((fraction.unwrap_or(0.0) * 100.0) as u64, 100),
        };
        bar.set_length(length);
        bar.set_position(position);
        bar.set_prefix(plain(&label).into_owned());
        bar.set_message(plain(message).into_owned());
    }

    /// Prints a line above the bars.
    pub(super) fn line(&self, text: &str) {
        // A closed stderr does not stop the run.
        let _ = self.multi.println(text);
    }

    /// Leaves the bars as they are.
    pub(super) fn finish(&self) {
        for bar in &self.bars {
            bar.abandon();
        }
    }
}

/// Widths of labels and bars so that no line wraps: a redraw does not erase wrapped lines.
fn widths(columns: usize) -> (usize, usize) {
    let label = LABEL_WIDTH.min(columns / 3);
    (label, BAR_WIDTH.min(columns.saturating_sub(label + COUNT_WIDTH)).max(1))
}

/// The current width of the terminal, which the user may change.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(COLUMNS, |size| usize::from(size.ws_col)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal() {
        assert_eq!(widths(120), (24, 30));
        for columns in 24..120 {
            let (label, bar) = widths(columns);
            assert!(label + 1 + bar + COUNT_WIDTH <= columns + 2, "{columns}");
        }
        assert_eq!(widths(1), (0, 1));
    }
}
