//! The columns of a run, as the statements of a backend select them.

/// Declares `Column` and `COLUMNS` in the same order: the number of a column is its position in a row. A column that can be
/// large also has an expression for brief lists.
macro_rules! columns {
    ($($column:ident = $sql:literal $(or $brief:literal)?;)*) => {
        #[derive(Clone, Copy, Debug)]
        enum Column {
            $($column),*
        }

        const COLUMNS: &[&[&str]] = &[$(&[$sql $(, $brief)?]),*];
    };
}

pub(super) use columns;

/// The expressions of the columns, whole or for a brief list.
pub(super) fn selected(columns: &[&[&str]], brief: bool) -> String {
    let form = |forms: &&[&str]| forms[if brief { forms.len() - 1 } else { 0 }].to_owned();
    columns.iter().map(form).collect::<Vec<_>>().join(", ")
}
