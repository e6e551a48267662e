//! Figures, and the limits or targets that they are compared with.

use std::fmt::Write as _;

/// All figures of a benchmark run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    figure: String,
    against: String,
    met: bool,
}

impl Report {
    /// Adds a rate that should be at least `share` of the rate of a bare implementation.
    pub(crate) fn ratio(&mut self, what: &str, rate: f64, limit: (&str, f64), share: f64) {
        let ratio = rate / limit.1;
        self.add(Row {
            what: what.to_owned(),
            figure: format!("{} a second", short(rate)),
            against: format!(
                "{:.0} % of {} {} (target: {:.0} %)",
                ratio * 100.0,
                limit.0,
                short(limit.1),
                share * 100.0
            ),
            met: ratio >= share,
        });
    }

    /// Adds a rate that should be at least `wanted`.
    pub(crate) fn at_least(&mut self, what: &str, rate: f64, wanted: f64) {
        let against = format!("target: {}", short(wanted));
        self.add(Row {
            what: what.to_owned(),
            figure: format!("{} a second", short(rate)),
            against,
            met: rate >= wanted,
        });
    }

    /// Adds a quantity that should be at most `wanted`.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, unit: &str, wanted: f64) {
        let against = format!("target: at most {wanted} {unit}");
        self.add(Row {
            what: what.to_owned(),
            figure: format!("{value:.2} {unit}"),
            against,
            met: value <= wanted,
        });
    }

    /// Adds a figure without a target.
    pub(crate) fn note(&mut self, what: &str, figure: String) {
        self.add(Row { what: what.to_owned(), figure, against: String::new(), met: true });
    }

    fn add(&mut self, row: Row) {
        print(&format!("{}\n", line(&row)));
        self.rows.push(row);
    }

    /// All figures as a table.
    pub(crate) fn print(&self) {
        let mut out = String::from("\n| what | figure | held against | met |\n|---|---|---|---|\n");
        for row in &self.rows {
            let met = if row.met { "yes" } else { "NO" };
            let _ = writeln!(out, "| {} | {} | {} | {met} |", row.what, row.figure, row.against);
        }
        print(&out);
    }
}

fn line(row: &Row) -> String {
    format!("{:<58} {:<22} {} {}", row.what, row.figure, row.against, if row.met { "" } else { "  NOT MET" })
}

/// Prints a heading or a line.
#[expect(clippy::print_stdout, reason = "a command-line tool")]
pub(crate) fn print(text: &str) {
    print!("{text}");
}

/// A number with a unit prefix.
pub(crate) fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// The value below which `share` of `values` lie. Sorts them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 - 1.0) * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
