//! Lists: a table fitted to a terminal, or lines with tabs for other programs.

use std::io::{self, IsTerminal as _, Write};

use super::style::{Colour, Style, of_status};

/// Columns assumed if the terminal does not report its width.
const COLUMNS: usize = 80;
/// Spaces between columns.
const GAP: usize = 2;
/// Least width of a column that is cut.
const MIN_CUT: usize = 8;

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
    /// Less important.
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
        let widths = self.widths(&header);
        for (nth, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            let mut line = String::new();
            let mut used = 0;
            for ((cell, column), cell_width) in row.iter().zip(&self.columns).zip(&widths) {
                let shown = match column.kind {
                    Kind::Rest => cut(cell, width.saturating_sub(used).max(MIN_CUT)),
                    _ => format!("{cell:cell_width$}"),
                };
                let colour = match (nth, column.kind) {
                    (0, _) | (_, Kind::Dim) => Some(Colour::Dim),
                    (_, Kind::Status) => Some(of_status(cell)),
                    (_, Kind::Plain | Kind::Rest) => None,
                };
                let painted = colour.map(|colour| style.paint(colour, &shown));
                line.push_str(painted.as_deref().unwrap_or(&shown));
                line.push_str(&" ".repeat(GAP));
                used += cell_width + GAP;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self, header: &[String]) -> Vec<usize> {
        let longest = |nth: usize| {
            let cells = self.rows.iter().map(Vec::as_slice).chain([header]);
            let lengths = cells.filter_map(|row| row.get(nth)).map(|cell| cell.chars().count());
            lengths.max().unwrap_or_default()
        };
        (0..self.columns.len()).map(longest).collect()
    }
}

/// The beginning of a text, with a mark if it was cut.
fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
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
    fn other_programs_read_cells_between_tabs() {
        let mut out = Vec::new();
        table().print_tabs(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "first\tfailed\ta long reason that does not fit\n2\tcompleted\t\n");
    }
}
