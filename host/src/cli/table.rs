//! Lists: a table fitted to a terminal, or lines with tabs for other programs.

use std::io::{self, IsTerminal as _, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::style::{Colour, Style, of_status};

/// Columns assumed if the terminal does not report its width.
const COLUMNS: usize = 80;
/// Spaces between columns.
const GAP: usize = 2;
/// Least width of a column that is cut.
const MIN_CUT: usize = 8;
/// Width for which less important columns are left out, so that the last column has it.
const MIN_REST: usize = 24;

/// A column of a table.
pub(super) struct Column {
    title: &'static str,
    kind: Kind,
}

/// How a column is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it is.
    Plain,
    /// Coloured as the status of a run.
    Status,
    /// Less important: left out if the terminal is too narrow for all columns.
    Dim,
    /// Cut to the space that is left. Only the last column.
    Rest,
}

pub(super) const fn column(title: &'static str) -> Column {
    Column { title, kind: Kind::Plain }
}

pub(super) const fn status(title: &'static str) -> Column {
    Column { title, kind: Kind::Status }
}

pub(super) const fn dim(title: &'static str) -> Column {
    Column { title, kind: Kind::Dim }
}

pub(super) const fn rest(title: &'static str) -> Column {
    Column { title, kind: Kind::Rest }
}

/// Rows of text that is escaped already.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Whether a person reads stdout. Then lists have a header and relative times.
pub(super) fn is_for_people() -> bool {
    io::stdout().is_terminal()
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the table to a terminal, or its rows with tabs. `none` is what a person is told if there are no rows.
    pub(super) fn print(&self, none: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !is_for_people() {
            return self.print_tabs(&mut out);
        }
        if self.rows.is_empty() {
            return writeln!(out, "{none}");
        }
        let style = Style::of(&out);
        let width = rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_col));
        self.print_fitted(&mut out, style, if width == 0 { COLUMNS } else { width })
    }

    /// A tab separates cells, and no cell contains one: a cell is escaped.
    fn print_tabs(&self, out: &mut impl Write) -> io::Result<()> {
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", row.join("\t")))
    }

    fn print_fitted(&self, out: &mut impl Write, style: Style, width: usize) -> io::Result<()> {
        let header: Vec<String> = self.columns.iter().map(|column| column.title.to_uppercase()).collect();
        let widths = self.fit(self.widths(&header), width);
        for (nth, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                let Some(width) = *width else { continue };
                let mut shown = cut(cell, width);
                if column.kind != Kind::Rest {
                    let missing = width.saturating_sub(shown.width());
                    shown.push_str(&" ".repeat(missing));
                }
                let colour = match (nth, column.kind) {
                    (0, _) | (_, Kind::Dim) => Some(Colour::Dim),
                    (_, Kind::Status) => Some(of_status(cell)),
                    (_, Kind::Plain | Kind::Rest) => None,
                };
                let painted = colour.map(|colour| style.paint(colour, &shown));
                line.push_str(painted.as_deref().unwrap_or(&shown));
                line.push_str(&" ".repeat(GAP));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self, header: &[String]) -> Vec<usize> {
        let longest = |nth: usize| {
            let cells = self.rows.iter().map(Vec::as_slice).chain([header]);
            cells.filter_map(|row| row.get(nth)).map(|cell| cell.width()).max().unwrap_or_default()
        };
        (0..self.columns.len()).map(longest).collect()
    }

    /// The width of each column in a terminal; none if there is no room for it. The first column stays whole, because
    /// it is what a user copies.
    fn fit(&self, natural: Vec<usize>, width: usize) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = natural.into_iter().map(Some).collect();
        let is = |nth: usize, kind: Kind| self.columns[nth].kind == kind;
        let rest = (0..widths.len()).find(|nth| is(*nth, Kind::Rest));
        let wanted = rest.and_then(|rest| widths[rest]).unwrap_or_default().min(MIN_REST);
        let fixed = |widths: &[Option<usize>]| -> usize {
            let others = widths.iter().enumerate().filter(|(nth, _)| Some(*nth) != rest);
            others.filter_map(|(_, width)| width.map(|width| width + GAP)).sum()
        };
        while fixed(&widths) + wanted > width {
            let dim = (1..widths.len()).rev().find(|nth| is(*nth, Kind::Dim) && widths[*nth].is_some());
            if let Some(nth) = dim {
                widths[nth] = None;
                continue;
            }
            let excess = fixed(&widths) + wanted - width;
            let plain = (1..widths.len()).filter(|nth| is(*nth, Kind::Plain));
            let widest = plain.filter(|nth| widths[*nth] > Some(MIN_CUT)).max_by_key(|nth| widths[*nth]);
            let Some(nth) = widest else { break };
            widths[nth] = widths[nth].map(|width| width.saturating_sub(excess).max(MIN_CUT));
        }
        if let Some(rest) = rest {
            let left = width.saturating_sub(fixed(&widths));
            widths[rest] = Some(left).filter(|left| *left >= MIN_CUT.min(wanted) || fixed(&widths) == 0);
        }
        widths
    }
}

/// The beginning of a text, with a mark if it was cut. `width` is in columns of the terminal, of which a character takes
/// two (most of Chinese, Japanese and Korean, emoji) or none (combining marks).
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut taken = 0;
    let end = text.char_indices().find_map(|(at, character)| {
        taken += character.width().unwrap_or_default();
        (taken > room).then_some(at)
    });
    let mut shown = text[..end.unwrap_or(text.len())].to_owned();
    // A sequence can be wider than its characters: a variation selector makes an emoji of a narrow sign.
    while shown.width() > room {
        shown.pop();
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![column("run"), status("status"), rest("error")]);
        table.add(vec!["first".into(), "failed".into(), "a long reason that does not fit".into()]);
        table.add(vec!["2".into(), "completed".into(), String::new()]);
        table
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let mut out = Vec::new();
        table().print_fitted(&mut out, Style::plain(), 36).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "RUN    STATUS     ERROR\nfirst  failed     a long reason tha…\n2      completed\n");
        assert!(out.lines().all(|line| line.chars().count() <= 36), "{out}");
    }

    #[test]
    fn a_narrow_terminal_leaves_out_what_is_less_important() {
        let columns = vec![column("run"), status("status"), column("task"), dim("created"), rest("error")];
        let mut table = Table::new(columns);
        let id = "01a1fd4b-848a-7755-8b30-db687ca24316";
        let row = [id, "failed", "billing/a-task-with-a-long-name", "3m ago", "no such file or directory"];
        table.add(row.map(str::to_owned).into());
        let print = |width| {
            let mut out = Vec::new();
            table.print_fitted(&mut out, Style::plain(), width).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(print(200).contains("3m ago   no such file or directory\n"));
        let narrow = print(80);
        assert!(!narrow.contains("CREATED") && narrow.contains("billing…"), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let narrowest = print(20);
        assert!(narrowest.contains(id) && !narrowest.contains("ERROR"), "{narrowest}");
    }

    #[test]
    fn columns_are_counted_as_a_terminal_shows_them() {
        let mut table = Table::new(vec![column("run"), column("task"), rest("error")]);
        // Wide characters, an emoji with a skin tone, one with a variation selector, and a combining accent.
        for (run, task) in [("一", "東京/集計"), ("👍🏽", "demo/❤\u{fe0f}"), ("e\u{301}", "demo/cafe\u{301}")]
        {
            table.add(vec![run.into(), task.into(), "エラーが発生しました、もう一度お試しください".into()]);
        }
        let mut out = Vec::new();
        table.print_fitted(&mut out, Style::plain(), 40).unwrap();
        let out = String::from_utf8(out).unwrap();
        let begin: Vec<usize> =
            out.lines().map(|line| line[..line.find(['E', 'エ']).unwrap()].width()).collect();
        assert_eq!(begin, [16; 4], "{out}");
        assert!(out.lines().all(|line| line.width() <= 40) && out.contains('…'), "{out}");

        assert_eq!(cut("集計する", 8), "集計する");
        assert_eq!(cut("集計する", 7), "集計す…");
        assert_eq!(cut("集計する", 6), "集計…", "half a character is not shown");
        assert_eq!(cut("cafe\u{301}s", 5), "cafe\u{301}s");
        assert_eq!(cut("cafe\u{301}s!", 5), "cafe\u{301}…", "an accent stays with its letter");
        assert!(cut("❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}", 4).width() <= 4, "a wide sequence of narrow signs");
    }

    #[test]
    fn other_programs_read_cells_between_tabs() {
        let mut out = Vec::new();
        table().print_tabs(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "first\tfailed\ta long reason that does not fit\n2\tcompleted\t\n");
    }
}
