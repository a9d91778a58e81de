//! What is printed and kept: tables, each with the sentence that says what was measured.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// One table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// What was measured, and how to read it.
    pub(crate) about: String,
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// One figure that the design names.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) asked: String,
    pub(crate) measured: String,
    pub(crate) reached: bool,
}

impl Table {
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The goals as a table.
    pub(crate) fn of_goals(goals: &[Goal]) -> Self {
        let rows = goals.iter().map(|goal| {
            let reached = if goal.reached { "yes" } else { "**no**" };
            vec![goal.what.to_owned(), goal.asked.clone(), goal.measured.clone(), reached.to_owned()]
        });
        Self {
            title: "Goals",
            about: "What the design asks for, and what this run measured.".to_owned(),
            head: vec!["figure", "asked", "measured", "reached"],
            rows: rows.collect(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<String> = self.head.iter().map(|name| (*name).to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |row: &[String]| {
            row.iter().zip(&widths).fold(String::from("|"), |mut line, (cell, width)| {
                // Writing to a String cannot fail.
                let _infallible = write!(line, " {cell:width$} |");
                line
            })
        };
        writeln!(out, "### {}\n\n{}\n\n{}", self.title, self.about, line(&head))?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(out, "|{}|", rule.join("|"))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", line(row)))
    }
}

/// To whoever watches; flushed, so that it stands before what a child prints next.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    // When nobody reads any more, the exit code still speaks.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// The same beside the tables: what happens now.
pub(crate) fn remark(text: &str) {
    drop(writeln!(io::stderr().lock(), "bench: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_whose_columns_stand_below_each_other() {
        let mut table = Table { title: "T", about: "What.".into(), head: vec!["a", "long head"], rows: Vec::new() };
        table.row(["12 µs".into(), "x".into()]);
        let expected = "### T\n\nWhat.\n\n| a     | long head |\n|-------|-----------|\n| 12 µs | x         |\n";
        assert_eq!(table.to_string(), expected);
    }
}
