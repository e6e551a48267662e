//! Colours on a terminal.

use std::borrow::Cow;
use std::io::IsTerminal;

/// A colour, by the number of its escape sequence.
#[derive(Clone, Copy)]
pub(super) enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Cyan = 36,
}

/// Whether output is coloured.
#[derive(Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
}

impl Style {
    /// Colours only for a terminal, and not if `NO_COLOR` is set (no-color.org) or the terminal knows none.
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { coloured: stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb }
    }

    #[cfg(test)]
    pub(super) const fn plain() -> Self {
        Self { coloured: false }
    }

    /// The text in a colour. The text must be escaped already.
    pub(super) fn paint<'a>(&self, colour: Colour, text: &'a str) -> Cow<'a, str> {
        match self.coloured && !text.is_empty() {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8).into(),
            false => text.into(),
        }
    }
}

/// The colour of a run's status.
pub(super) fn of_status(status: &str) -> Colour {
    match status.trim_end() {
        "completed" => Colour::Green,
        "failed" => Colour::Red,
        "cancelled" | "paused" | "delayed" => Colour::Yellow,
        "running" => Colour::Blue,
        _ => Colour::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_coloured_only_on_a_terminal() {
        assert_eq!(Style::plain().paint(Colour::Red, "x"), "x");
        assert_eq!(Style { coloured: true }.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Style { coloured: true }.paint(Colour::Red, ""), "");
    }
}
